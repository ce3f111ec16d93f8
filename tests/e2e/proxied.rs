//! Servers behind `fullnat` and the PROXY protocol: what their tests have in common, and servers that speak first.

use crate::setup::{PATIENCE, Site, patient_checks, with_port};
use anyhow::{Context, Result, ensure};
use guideway_lab::{Device, GuidewayConfig, Lab, LabOptions, address, runnable};
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;
use toml::Value;

/// Where a server that speaks first listens, and the VIPs' port.
const SPEAKER_PORT: u16 = 2525;
const SPEAKER_SERVICE: u16 = 25;

/// What a server says as soon as somebody connects, and what a client says to that and not before.
struct Dialogue {
    banner: &'static [u8],
    request: &'static [u8],
}

const SMTP: Dialogue = Dialogue { banner: b"220 ready\r\n", request: b"EHLO client\r\nQUIT\r\n" };
/// The first packet of each side of MySQL (protocol 10): three bytes of length, a number, and little that is text.
const MYSQL: Dialogue = Dialogue {
    banner: b"\x4a\0\0\0\x0a8.0.36\0\x2a\0\0\0\x01\x7f\r\n\x80\xff\x1a\x05\0\xff\xf7\xff\x02\0\xff\xdf\x15\0\0\0\0\0\0\0\0\0\0\
        0123456789ab\0caching_sha2_password\0",
    request: b"\x25\0\0\x01\x85\xa2\x1a\0\0\0\0\x01\xff\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0root\0",
};

/// A VIP, the version of the header behind it, and whether its backend is reached by IPv6.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    pub vip: IpAddr,
    pub version: &'static str,
    ipv6: bool,
}

const fn way(vip: IpAddr, version: &'static str, ipv6: bool) -> Way {
    Way { vip, version, ipv6 }
}

/// Both versions of the header in all four combinations of families.
pub const WAYS: [Way; 8] = [
    way(address::vip_v4(20), "v1", false),
    way(address::vip_v6(20), "v1", false),
    way(address::vip_v4(21), "v1", true),
    way(address::vip_v6(21), "v1", true),
    way(address::vip_v4(22), "v2", false),
    way(address::vip_v6(22), "v2", false),
    way(address::vip_v4(23), "v2", true),
    way(address::vip_v6(23), "v2", true),
];

/// VIPs at `port`, each with a pool of its own, whose backends listen at another one.
fn config(lab: &Lab, port: u16, backend_port: u16) -> GuidewayConfig {
    let config = GuidewayConfig::new(lab, Device::AfPacket, &[1]);
    let config = WAYS.iter().zip(1..).fold(config, |config, (way, number)| {
        let name = format!("pool{number}");
        let mut config = config.pool(lab, &name, "fullnat", way.ipv6).vip(way.vip, "tcp", port, &name);
        if let Some(pool) = config.pool.last_mut() {
            pool.more.insert("proxy_protocol".to_owned(), Value::from(way.version));
        }
        with_port(config, backend_port)
    });
    patient_checks(config)
}

/// A site of one backend, with VIPs at `port` and the server at `backend_port`.
pub fn site(port: u16, backend_port: u16) -> Result<Site> {
    Site::start(LabOptions::new().backends(1), |lab| config(lab, port, backend_port))
}

/// The header that tells of this client and this service.
pub fn header(version: &str, client: SocketAddr, service: SocketAddr) -> Vec<u8> {
    let family = if client.is_ipv4() { "TCP4" } else { "TCP6" };
    if version == "v1" {
        let (from, to) = (client.ip(), service.ip());
        return format!("PROXY {family} {from} {to} {} {}\r\n", client.port(), service.port()).into_bytes();
    }
    let octets = |address: IpAddr| match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let addresses = [octets(client.ip()), octets(service.ip())].concat();
    let length = addresses.len() as u16 + 4;
    let kind = if client.is_ipv4() { 0x11 } else { 0x21 };
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21".to_vec();
    header.push(kind);
    header.extend(length.to_be_bytes());
    header.extend(addresses);
    header.extend(client.port().to_be_bytes());
    header.extend(service.port().to_be_bytes());
    header
}

/// Accepts one connection, speaks first, and returns all that came, to the end of the request.
fn speak_first(listener: &TcpListener, dialogue: &Dialogue) -> Result<Vec<u8>> {
    let (mut stream, _) = listener.accept()?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(dialogue.banner)?;
    let mut got = Vec::new();
    while !got.ends_with(dialogue.request) {
        let mut bytes = [0; 512];
        let count = stream.read(&mut bytes)?;
        ensure!(count > 0, "the client ended after {got:?}");
        got.extend_from_slice(&bytes[..count]);
    }
    Ok(got)
}

/// A client that waits for the banner and says nothing before; its address.
fn listen_first(service: SocketAddr, dialogue: &Dialogue) -> Result<SocketAddr> {
    let mut stream = TcpStream::connect_timeout(&service, PATIENCE)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let mut banner = vec![0; dialogue.banner.len()];
    stream.read_exact(&mut banner)?;
    ensure!(banner == dialogue.banner, "{banner:?}");
    stream.write_all(dialogue.request)?;
    Ok(stream.local_addr()?)
}

/// The client says nothing before the banner, and the header has come all the same, before its first byte.
#[test]
fn servers_that_speak_first() -> Result<()> {
    if !runnable("servers that speak first") {
        return Ok(());
    }
    let site = site(SPEAKER_SERVICE, SPEAKER_PORT)?;
    let backend = site.lab.backend(1);
    let listener = backend.namespace().enter(|| TcpListener::bind((Ipv6Addr::UNSPECIFIED, SPEAKER_PORT)))??;
    for dialogue in [&SMTP, &MYSQL] {
        for way in WAYS {
            let service = SocketAddr::new(way.vip, SPEAKER_SERVICE);
            let listener = listener.try_clone()?;
            let server = std::thread::spawn(move || speak_first(&listener, dialogue));
            let client = site.lab.client().enter(|| listen_first(service, dialogue))?;
            let client = client.with_context(|| format!("{way:?}\n{}", site.log()))?;
            let got = server.join().map_err(|_| anyhow::anyhow!("the server panicked"))??;
            let expected = [&header(way.version, client, service), dialogue.request].concat();
            assert_eq!(got, expected, "{way:?}: {}", String::from_utf8_lossy(&got));
        }
    }
    Ok(())
}
