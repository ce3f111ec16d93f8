//! Servers that read the PROXY protocol, behind `fullnat`: HAProxy, and one that speaks first.

use crate::setup::{PATIENCE, Site, patient_checks};
use anyhow::{Context, Result, ensure};
use guideway_lab::process::wait_for;
use guideway_lab::{Backend, Device, GuidewayConfig, Lab, LabOptions, Process, address, runnable};
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;
use toml::Value;

/// Where HAProxy expects the header.
const HAPROXY_PORT: u16 = 9081;
/// Where the server that speaks first listens, and what it says.
const BANNER_PORT: u16 = 2525;
const BANNER: &[u8] = b"220 ready\r\n";
const REQUEST: &[u8] = b"EHLO client\r\nQUIT\r\n";

/// Both families before backends of IPv4, in both versions of the header: pool, VIP.
const WAYS: [(&str, &str, IpAddr); 4] = [
    ("one", "v1", address::vip_v4(20)),
    ("one6", "v1", address::vip_v6(20)),
    ("two", "v2", address::vip_v4(21)),
    ("two6", "v2", address::vip_v6(21)),
];

/// VIPs at `port`, whose backends listen at another one.
fn config(lab: &Lab, port: u16, backend_port: u16) -> GuidewayConfig {
    let config = GuidewayConfig::new(lab, Device::AfPacket, &[1]);
    let config = WAYS.iter().fold(config, |config, (pool, version, vip)| {
        let mut config = config.pool(lab, pool, "fullnat", false).vip(*vip, "tcp", port, pool);
        if let Some(pool) = config.pool.last_mut() {
            pool.more.insert("proxy_protocol".to_owned(), Value::from(*version));
            pool.backend.truncate(1);
            pool.backend
                .iter_mut()
                .for_each(|backend| drop(backend.insert("port".to_owned(), i64::from(backend_port).into())));
        }
        config
    });
    patient_checks(config)
}

/// A site of one backend.
fn site(port: u16, backend_port: u16) -> Result<Site> {
    Site::start(LabOptions::new().backends(1), |lab| config(lab, port, backend_port))
}

/// Whether an address is one of the client's.
fn is_client(address: IpAddr) -> bool {
    let own = |n| if address.is_ipv4() { address::client_v4(n) } else { address::client_v6(n) };
    (0..8).any(|n| own(n) == address)
}

/// HAProxy that answers every request by its client's address and port.
fn start_haproxy(backend: &Backend) -> Result<Process> {
    let file = backend.folder().join("haproxy.cfg");
    let text = format!(
        "defaults\n  mode http\n  timeout client 10s\n  timeout server 10s\n  timeout connect 10s\nfrontend web\n  bind \
         :::{HAPROXY_PORT} v4v6 accept-proxy\n  http-request return status 200 content-type text/plain lf-string \"%ci %cp\"\n"
    );
    std::fs::write(&file, text)?;
    let file = file.to_string_lossy().into_owned();
    let mut haproxy =
        backend.namespace().spawn("haproxy", &["-db", "-f", &file], &backend.folder().join("haproxy.log"))?;
    wait_for("HAProxy to listen", PATIENCE, || {
        ensure!(haproxy.try_wait()?.is_none(), "HAProxy ended: {}", haproxy.log_tail(10));
        let connected = backend.namespace().enter(|| TcpStream::connect((Ipv6Addr::LOCALHOST, HAPROXY_PORT)))?;
        Ok(connected.ok())
    })?;
    Ok(haproxy)
}

#[test]
fn haproxy_learns_the_client() -> Result<()> {
    if !runnable("HAProxy behind the PROXY protocol") {
        return Ok(());
    }
    let site = site(80, HAPROXY_PORT)?;
    let _haproxy = start_haproxy(site.lab.backend(1))?;
    for (pool, _, vip) in WAYS {
        for _ in 0..5 {
            let answer = site.curl(&[&format!("http://{}/", SocketAddr::new(vip, 80))])?;
            let client = answer.split_once(' ').and_then(|(address, _)| address.parse::<IpAddr>().ok());
            let client = client.with_context(|| format!("{pool}: {answer}\n{}", site.log()))?;
            ensure!(client.is_ipv4() == vip.is_ipv4() && is_client(client), "{pool}: {answer}");
        }
    }
    Ok(())
}

/// Accepts one connection, speaks first, and returns all that came, to the end of the request.
fn speak_first(listener: &TcpListener) -> Result<Vec<u8>> {
    let (mut stream, _) = listener.accept()?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(BANNER)?;
    let mut got = Vec::new();
    while !got.ends_with(REQUEST) {
        let mut bytes = [0; 512];
        let count = stream.read(&mut bytes)?;
        ensure!(count > 0, "the client ended after {got:?}");
        got.extend_from_slice(&bytes[..count]);
    }
    Ok(got)
}

/// The client waits for the banner and says nothing before; the header has come all the same, before its first byte.
#[test]
fn a_server_that_speaks_first() -> Result<()> {
    if !runnable("a server that speaks first") {
        return Ok(());
    }
    let site = site(25, BANNER_PORT)?;
    let backend = site.lab.backend(1);
    let listener = backend.namespace().enter(|| TcpListener::bind((Ipv6Addr::UNSPECIFIED, BANNER_PORT)))??;
    for (pool, version, vip) in WAYS {
        let listener = listener.try_clone()?;
        let server = std::thread::spawn(move || speak_first(&listener));
        let local = site.lab.client().enter(|| -> Result<SocketAddr> {
            let mut stream = TcpStream::connect_timeout(&SocketAddr::new(vip, 25), PATIENCE)?;
            stream.set_read_timeout(Some(Duration::from_secs(20)))?;
            let mut banner = [0; BANNER.len()];
            stream.read_exact(&mut banner)?;
            ensure!(banner == BANNER, "{banner:?}");
            stream.write_all(REQUEST)?;
            Ok(stream.local_addr()?)
        })?;
        let local = local.with_context(|| format!("{pool}\n{}", site.log()))?;
        let got = server.join().map_err(|_| anyhow::anyhow!("the server panicked"))??;
        let header = got.strip_suffix(REQUEST).context("the request")?;
        if version == "v1" {
            let family = if vip.is_ipv4() { "TCP4" } else { "TCP6" };
            let expected = format!("PROXY {family} {} {vip} {} 25\r\n", local.ip(), local.port());
            assert_eq!(String::from_utf8_lossy(header), expected, "{pool}");
        } else {
            let addresses = if vip.is_ipv4() { 12 } else { 36 };
            assert!(header.starts_with(b"\r\n\r\n\0\r\nQUIT\n\x21"), "{pool}: {header:?}");
            assert_eq!(header.len(), 16 + addresses, "{pool}");
            assert_eq!(header[16 + addresses - 4..][..2], local.port().to_be_bytes(), "{pool}");
        }
    }
    Ok(())
}
