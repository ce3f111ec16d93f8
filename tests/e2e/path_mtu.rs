//! Paths narrower than clients and backends believe: everybody who sends too much is told, and sends less.

use crate::setup::{Site, http, patient_checks};
use crate::transfer::{download, noise, post};
use anyhow::{Context, Result, ensure};
use guideway_lab::far::{self, Far};
use guideway_lab::{Device, GuidewayConfig, Lab, LabOptions, Namespace, address, runnable};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

/// What the narrow link of a test carries, in bytes.
const NARROW: u16 = 1400;
/// Bytes that are posted.
const UPLOAD_BYTES: usize = 2_000_000;

/// A VIP, its pool, and how much of `NARROW` the outer header takes.
struct Way {
    vip: IpAddr,
    pool: &'static str,
    header: u16,
}

const fn way(vip: IpAddr, pool: &'static str, header: u16) -> Way {
    Way { vip, pool, header }
}

/// `ipip` in all four combinations.
const TUNNELS: [Way; 4] = [
    way(address::vip_v4(11), "tunnel4", 20),
    way(address::vip_v6(11), "tunnel4", 20),
    way(address::vip_v4(12), "tunnel6", 40),
    way(address::vip_v6(12), "tunnel6", 40),
];

/// No tunnel: `l2dsr`.
const DIRECT: [Way; 2] = [way(address::vip_v4(10), "direct4", 0), way(address::vip_v6(10), "direct6", 0)];

fn with_vips(config: GuidewayConfig, ways: &[Way]) -> GuidewayConfig {
    patient_checks(ways.iter().fold(config, |config, way| config.vip(way.vip, "tcp", 80, way.pool)))
}

/// What a host has learned of the path to an address, from one of its own if it has several.
fn path_mtu(host: &Namespace, to: IpAddr, from: Option<IpAddr>) -> Result<Option<u16>> {
    let (to, from) = (to.to_string(), from.map(|from| from.to_string()));
    let mut arguments = vec!["route", "get", &to];
    if let Some(from) = &from {
        arguments.extend(["from", from]);
    }
    let route = host.exec("ip", &arguments)?;
    let mut words = route.split_whitespace();
    let mtu = words.by_ref().find(|word| *word == "mtu").and_then(|_| words.next());
    mtu.map(|mtu| mtu.parse().with_context(|| route.clone())).transpose()
}

/// Posts arrive whole, and the client knows what the narrow link leaves of its packets.
fn posts_arrive(site: &Site, ways: &[Way]) -> Result<()> {
    let upload = site.lab.folder().join("upload");
    std::fs::write(&upload, noise(UPLOAD_BYTES))?;
    for Way { vip, header, .. } in ways {
        let before = path_mtu(site.lab.client(), *vip, None)?;
        ensure!(before.is_none(), "{vip}: the client knows the path already: {before:?}");
        post(site, http(*vip), &upload).with_context(|| site.log())?;
        let known = path_mtu(site.lab.client(), *vip, None)?;
        ensure!(known == Some(NARROW - header), "{vip}: the client was told {known:?}");
    }
    Ok(())
}

/// The port towards the backends carries less than the clients'.
fn narrow_port() -> Result<Site> {
    Site::start(LabOptions::new().two_armed().segment_mtu(1500), |lab| {
        let mut config = GuidewayConfig::new(lab, Device::AfXdp, &[1])
            .pool(lab, "tunnel4", "ipip", false)
            .pool(lab, "tunnel6", "ipip", true);
        config.port[1].insert("mtu".into(), i64::from(NARROW).into());
        with_vips(config, &TUNNELS)
    })
}

#[test]
fn of_its_own_port_guideway_tells_clients() -> Result<()> {
    if !runnable("a narrow port") {
        return Ok(());
    }
    posts_arrive(&narrow_port()?, &TUNNELS)
}

/// A router on the way to the backends has a link that carries less.
fn narrow_hop() -> Result<(Far, Site)> {
    let lab = Site::lab(LabOptions::new())?;
    let network = Far::build(&lab, 1, NARROW.into())?;
    let [v4, v6] = far::hop_addresses(1);
    let config = GuidewayConfig::new(&lab, Device::AfXdp, &[1])
        .route(far::FAR_V4, &[v4])
        .route(far::FAR_V6, &[v6])
        .pool_at(lab.backends(), "tunnel4", "ipip", |backend| far::backend_addresses(backend)[0])
        .pool_at(lab.backends(), "tunnel6", "ipip", |backend| far::backend_addresses(backend)[1]);
    Ok((network, Site::start_in(lab, with_vips(config, &TUNNELS), &[])?))
}

#[test]
fn what_routers_tell_guideway_it_tells_clients() -> Result<()> {
    if !runnable("a narrow hop behind the balancer") {
        return Ok(());
    }
    let (_network, site) = narrow_hop()?;
    posts_arrive(&site, &TUNNELS)
}

/// The router's link to the clients carries less than backends believe: it tells the VIP, which is where answers come from.
#[test]
fn what_routers_tell_a_vip_reaches_the_backend() -> Result<()> {
    if !runnable("a narrow hop behind the backends") {
        return Ok(());
    }
    let ways = || DIRECT.iter().chain(&TUNNELS);
    let site = Site::start(LabOptions::new(), |lab| {
        let config = GuidewayConfig::new(lab, Device::AfXdp, &[1])
            .pool(lab, "direct4", "l2dsr", false)
            .pool(lab, "direct6", "l2dsr", true)
            .pool(lab, "tunnel4", "ipip", false)
            .pool(lab, "tunnel6", "ipip", true);
        with_vips(with_vips(config, &DIRECT), &TUNNELS)
    })?;
    site.lab.router().ip(&format!("link set cl mtu {NARROW}"))?;
    for way in ways() {
        forget_paths(&site.lab)?;
        download(&site, http(way.vip))?;
        let client = source_to(site.lab.client(), way.vip)?;
        let hosts = site.lab.backends().iter();
        let known = hosts.map(|host| path_mtu(host.namespace(), client, Some(way.vip))).collect::<Result<Vec<_>>>()?;
        // One of them served the download and was told, and nobody else was.
        let told: Vec<_> = known.iter().flatten().collect();
        ensure!(told == [&NARROW], "{}: the backends were told {known:?}", way.vip);
    }
    Ok(())
}

/// The address that a host of several sends from.
fn source_to(host: &Namespace, address: IpAddr) -> Result<IpAddr> {
    let any: IpAddr = if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = host.enter(|| UdpSocket::bind((any, 0)))??;
    socket.connect((address, 80))?;
    Ok(socket.local_addr()?.ip())
}

/// Lets backends forget what they learned of paths.
fn forget_paths(lab: &Lab) -> Result<()> {
    for backend in lab.backends() {
        for family in ["-4", "-6"] {
            backend.namespace().exec("ip", &[family, "route", "flush", "cache"])?;
        }
    }
    Ok(())
}
