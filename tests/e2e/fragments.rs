//! Datagrams larger than a packet: all fragments of one reach the backend that its first fragment went to.

use crate::setup::{PATIENCE, Site, patient_checks};
use crate::transfer::noise;
use anyhow::{Context, Result, bail, ensure};
use guideway_lab::{Device, EchoServer, GuidewayConfig, Lab, LabOptions, Namespace, address, runnable};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// The service's port.
const PORT: u16 = 7000;
/// Bytes of a datagram: six fragments.
const LENGTH: usize = 8000;
/// Client sockets, each with a port of its own and one datagram.
const CLIENTS: usize = 200;
/// Datagrams that are under way at one time, so that fragments of different flows mix.
const AT_ONCE: usize = 10;

/// VIPs and their pools: `l2dsr` in both families, `ipip` in all four combinations.
const WAYS: [(IpAddr, &str); 6] = [
    (address::vip_v4(10), "direct4"),
    (address::vip_v6(10), "direct6"),
    (address::vip_v4(11), "tunnel4"),
    (address::vip_v6(11), "tunnel4"),
    (address::vip_v4(12), "tunnel6"),
    (address::vip_v6(12), "tunnel6"),
];

fn site() -> Result<Site> {
    Site::start(LabOptions::new(), |lab| {
        let config = GuidewayConfig::new(lab, Device::AfXdp, &[1])
            .pool(lab, "direct4", "l2dsr", false)
            .pool(lab, "direct6", "l2dsr", true)
            .pool(lab, "tunnel4", "ipip", false)
            .pool(lab, "tunnel6", "ipip", true);
        patient_checks(WAYS.iter().fold(config, |config, (vip, pool)| config.vip(*vip, "udp", PORT, pool)))
    })
}

/// Datagrams to a VIP come back whole; the local port of each client, and the backend that answered it.
fn exchange(client: &Namespace, vip: IpAddr) -> Result<BTreeMap<u16, u8>> {
    let local: IpAddr = if vip.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let open = || (0..CLIENTS).map(|_| UdpSocket::bind((local, 0))).collect::<Result<Vec<_>, _>>();
    let sockets = client.enter(open)?.context("cannot open the clients' sockets")?;
    let payload = noise(CLIENTS + LENGTH);
    // Every client has another datagram: the same noise, begun one byte later.
    let numbered: Vec<_> = sockets.iter().zip(payload.windows(LENGTH)).collect();
    let mut served = BTreeMap::new();
    for group in numbered.chunks(AT_ONCE) {
        for (socket, datagram) in group {
            socket.connect((vip, PORT))?;
            socket.set_read_timeout(Some(PATIENCE))?;
            socket.send(datagram)?;
        }
        for (socket, datagram) in group {
            served.insert(socket.local_addr()?.port(), answer(socket, datagram)?);
        }
    }
    for (socket, _) in &numbered {
        socket.set_nonblocking(true)?;
        ensure!(socket.recv(&mut [0; 16]).is_err(), "{vip}: an answer came twice");
    }
    Ok(served)
}

/// Who answers.
fn answer(socket: &UdpSocket, datagram: &[u8]) -> Result<u8> {
    let mut buffer = vec![0; 65536];
    let length = socket.recv(&mut buffer).context("no answer")?;
    match buffer[..length].split_first() {
        Some((backend, echo)) if echo == datagram => Ok(*backend),
        _ => bail!("the {length} bytes of an answer are not what was sent"),
    }
}

/// Ports of the clients that a server heard from.
fn ports(heard: &[(SocketAddr, usize)]) -> BTreeSet<u16> {
    heard.iter().map(|(from, _)| from.port()).collect()
}

/// Frames that came to the balancer so far.
fn received(site: &Site) -> Result<u64> {
    site.guideway.status()?["packets"]["received"].as_u64().context("no count of frames")
}

/// Backends know that the way to clients carries less than the segment: a datagram that is told so is lost, and nobody
/// sends it again.
fn know_the_way_back(lab: &Lab) -> Result<()> {
    let (v4, v6) = (address::ROUTER_V4, address::ROUTER_V6);
    let lines = format!("route replace default via {v4} mtu 1500\nroute replace default via {v6} mtu 1500\n");
    lab.backends().iter().try_for_each(|backend| backend.namespace().ip(&lines))
}

#[test]
fn of_one_datagram_stay_together() -> Result<()> {
    if !runnable("fragments") {
        return Ok(());
    }
    let site = site()?;
    know_the_way_back(&site.lab)?;
    for (vip, pool) in WAYS {
        let backends = site.lab.backends().iter();
        let servers = backends.map(|backend| EchoServer::start(backend, vip, PORT)).collect::<Result<Vec<_>>>()?;
        let before = received(&site)?;
        let served = exchange(site.lab.client(), vip)
            .with_context(|| format!("{vip}, {pool}: {:#}", site.guideway.status().unwrap_or_default()["drops"]))?;
        // Nobody on the way put them together: six frames came for each.
        let frames = received(&site)? - before;
        ensure!(frames >= 6 * CLIENTS as u64, "{vip}: only {frames} frames came");
        ensure!(served.len() == CLIENTS, "{vip}: {} of {CLIENTS} clients were served", served.len());
        for (server, backend) in servers.into_iter().zip(site.lab.backends()) {
            let heard = server.stop()?;
            ensure!(heard.iter().all(|(_, length)| *length == LENGTH), "{vip}: {heard:?}");
            ensure!(heard.len() == ports(&heard).len(), "{vip}: {} got a datagram twice", backend.name());
            let own = served.iter().filter(|(_, number)| **number == backend.number());
            ensure!(own.map(|(port, _)| *port).collect::<BTreeSet<_>>() == ports(&heard), "{vip}: {heard:?}");
            ensure!(!heard.is_empty(), "{vip}: {} got nothing", backend.name());
        }
    }
    Ok(())
}
