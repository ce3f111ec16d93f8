//! ARP, NDP and echo: who is asked, who answers, and whose new address is followed.

use crate::setup::{PATIENCE, Site, backends_of, http, patient_checks};
use anyhow::{Context, Result, ensure};
use guideway_lab::address::{self, BALANCER_MAC, BALANCER_V4, BALANCER_V6, Mac, mac_text};
use guideway_lab::config::table;
use guideway_lab::packet::{Packet, read_frames};
use guideway_lab::process::wait_for;
use guideway_lab::{Analysis, Capture, Device, GuidewayConfig, Lab, LabOptions, PoolConfig, ping, runnable};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::SystemTime;

/// VIPs inside the segment's subnets: nobody routes them, hosts ask for them.
const NEAR_V4: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 80);
const NEAR_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0x80);
/// Where a backend is that only the router reaches.
const FAR: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);
/// New Ethernet addresses.
const NEW_ROUTER: Mac = [2, 0, 0, 0, 7, 0xfe];
const NEW_BACKEND: Mac = [2, 0, 0, 0, 7, 2];

/// The addresses that gratuitous ARP and unsolicited neighbor advertisements in these frames are about, if the balancer
/// sent them.
fn announced(frames: &[Vec<u8>]) -> Vec<IpAddr> {
    let own = frames.iter().filter(|frame| frame[6..12] == BALANCER_MAC);
    own.filter_map(|frame| match (frame.get(12..14)?, frame.len()) {
        ([0x08, 0x06], 42..) => {
            let (sender, target) = (&frame[28..32], &frame[38..42]);
            let sender = <[u8; 4]>::try_from(sender).ok().filter(|sender| sender == target)?;
            Some(IpAddr::from(sender))
        }
        // A neighbor advertisement (ICMPv6 type 136) that was not solicited, to all nodes.
        ([0x86, 0xdd], 78..) if frame[20] == 58 && frame[54] == 136 && frame[58] & 0x40 == 0 && frame[38] == 0xff => {
            Some(IpAddr::from(<[u8; 16]>::try_from(&frame[62..78]).ok()?))
        }
        _ => None,
    })
    .collect()
}

/// Answers go on the interface of the segment, where the kernel must know the VIPs as its own.
fn own_near_vips(lab: &Lab) -> Result<()> {
    let add = |host: &guideway_lab::Backend| {
        host.namespace().ip(&format!("route add local {NEAR_V4} dev lo\nroute add local {NEAR_V6} dev lo"))
    };
    lab.backends().iter().try_for_each(add)
}

fn near_site(device: Device) -> Result<(Site, Capture)> {
    let mut capture = None;
    let site = Site::start(LabOptions::new(), |lab| {
        let file = lab.folder().join("start.pcap");
        capture = Some(own_near_vips(lab).and_then(|()| Capture::start(lab.segment(), "gw", &file, "arp or icmp6")));
        let config = GuidewayConfig::new(lab, device, &[1])
            .pool(lab, "web4", "l2dsr", false)
            .pool(lab, "web6", "l2dsr", true)
            .vip(NEAR_V4.into(), "tcp", 80, "web4")
            .vip(NEAR_V6.into(), "tcp", 80, "web6")
            .vip(address::vip_v4(10), "tcp", 80, "web4");
        patient_checks(config)
    })?;
    Ok((site, capture.context("no capture")??))
}

fn vips_on_the_segment(device: Device) -> Result<()> {
    let (site, capture) = near_site(device)?;
    // The router is a host on the segment too: it has no route to these VIPs but the segment itself.
    let host = site.lab.router();
    for vip in [IpAddr::from(NEAR_V4), IpAddr::from(NEAR_V6)] {
        let url = format!("http://{}/", http(vip));
        let answer = host.exec("curl", &["-sS", "--max-time", "30", &url])?;
        ensure!(answer.starts_with("web"), "{vip}: {answer:?}");
        let known = host.exec("ip", &["neigh", "show", &vip.to_string()])?;
        ensure!(known.contains(&mac_text(BALANCER_MAC)), "{vip} is not at the balancer: {known}");
    }
    for address in [BALANCER_V4.into(), BALANCER_V6.into(), NEAR_V4.into(), NEAR_V6.into()] {
        ping(host, address)?;
    }
    // VIPs that are routed here answer echo as well, to clients behind the router.
    ping(site.lab.client(), address::vip_v4(10))?;
    let status = site.guideway.status()?;
    ensure!(status["control"]["echo_answers"].as_u64() >= Some(5), "{:#}", status["control"]);
    ensure!(status["control"]["neighbor_answers"].as_u64() >= Some(2), "{:#}", status["control"]);

    // It announces itself before it says that it is ready, or soon after: all of the above took longer.
    capture.finish()?;
    let announced = announced(&read_frames(&site.lab.folder().join("start.pcap"))?);
    for address in [BALANCER_V4.into(), BALANCER_V6.into(), NEAR_V4.into(), NEAR_V6.into()] {
        ensure!(announced.contains(&address), "no announcement of {address}: {announced:?}");
    }
    ensure!(!announced.contains(&address::vip_v4(10)), "a VIP that is routed is nobody's neighbor");
    Ok(())
}

#[test]
fn vips_on_the_segment_over_af_packet() -> Result<()> {
    if !runnable("VIPs on the segment over af_packet") {
        return Ok(());
    }
    vips_on_the_segment(Device::AfPacket)
}

#[test]
fn vips_on_the_segment_over_af_xdp() -> Result<()> {
    if !runnable("VIPs on the segment over af_xdp") {
        return Ok(());
    }
    vips_on_the_segment(Device::AfXdp)
}

/// A pool with a backend that only the router reaches, and one of direct neighbors.
fn routed_site() -> Result<Site> {
    let mut outcome = Ok(());
    let site = Site::start(LabOptions::new(), |lab| {
        outcome = make_far(lab);
        let far = table([("name", "far".into()), ("address", FAR.to_string().into())]);
        let mut config = GuidewayConfig::new(lab, Device::AfPacket, &[1]).pool(lab, "near", "l2dsr", false);
        config.pool.push(PoolConfig {
            name: "far".into(),
            forward: "ipip".into(),
            backend: vec![far],
            ..config.pool[0].clone()
        });
        patient_checks(config.vip(address::vip_v4(10), "tcp", 80, "near").vip(address::vip_v4(11), "tcp", 80, "far"))
    });
    outcome.and(site)
}

/// The first backend is at another address as well, which the router knows the way to. Hosts that change their Ethernet
/// address tell so.
fn make_far(lab: &Lab) -> Result<()> {
    let backend = lab.backend(1);
    backend.namespace().ip(&format!("addr add {FAR}/32 dev lo"))?;
    lab.router().ip(&format!("route add {FAR}/32 via {}", backend.v4()))?;
    lab.router().sysctl(&[("net.ipv4.conf.seg.arp_notify", "1"), ("net.ipv4.conf.seg.send_redirects", "0")])?;
    lab.backend(2).namespace().sysctl(&[("net.ipv4.conf.eth0.arp_notify", "1")])
}

fn wait_for_next_hop(site: &Site, pool: &str, backend: &str, mac: Mac) -> Result<()> {
    wait_for(&format!("{pool}/{backend} to be at {}", mac_text(mac)), PATIENCE, || {
        let pool = site.guideway.pool(pool)?;
        let found = backends_of(&pool).any(|of| of["name"] == backend && of["next_hop_mac"] == mac_text(mac).as_str());
        Ok(found.then_some(()))
    })
}

/// Clients' packets that left the balancer for `vip` after `moment`, and whether all of them went to `mac`.
fn all_go_to(packets: &[Packet], vip: IpAddr, moment: SystemTime, mac: Mac) -> Result<()> {
    let sent = packets.iter().filter(|packet| packet.source_mac == BALANCER_MAC && packet.time > moment);
    let of_vip: Vec<_> = sent.filter(|packet| packet.flow.destination == http(vip)).collect();
    ensure!(!of_vip.is_empty(), "no packets for {vip}");
    let other = of_vip.iter().find(|packet| packet.destination_mac != mac);
    ensure!(other.is_none(), "a packet to the old address: {other:?}");
    Ok(())
}

#[test]
fn forwarding_follows_new_ethernet_addresses() -> Result<()> {
    if !runnable("new Ethernet addresses") {
        return Ok(());
    }
    let site = routed_site()?;
    let (near, far) = (address::vip_v4(10), address::vip_v4(11));
    wait_for_next_hop(&site, "far", "far", address::ROUTER_MAC)?;
    site.requests(http(far), 30)?;
    site.requests(http(near), 30)?;

    site.lab.router().ip(&format!("link set seg address {}", mac_text(NEW_ROUTER)))?;
    site.lab.backend(2).namespace().ip(&format!("link set eth0 address {}", mac_text(NEW_BACKEND)))?;
    wait_for_next_hop(&site, "far", "far", NEW_ROUTER)?;
    wait_for_next_hop(&site, "near", "web2", NEW_BACKEND)?;
    site.wait_until_up()?;

    let moment = SystemTime::now();
    let capture = Capture::start(site.lab.segment(), "gw", &site.lab.folder().join("moved.pcap"), "")?;
    site.requests(http(far), 30)?;
    let report = site.requests(http(near), 90)?;
    ensure!(report.by_backend.len() == 3, "one of them gets nothing: {:?}", report.by_backend);
    let packets = capture.finish()?;
    all_go_to(&packets, far, moment, NEW_ROUTER)?;
    let to_new = |packet: &&Packet| packet.flow.destination == http(near) && packet.destination_mac == NEW_BACKEND;
    ensure!(packets.iter().any(|packet| to_new(&packet)), "no packet to the new address of web2");
    let to_old = Analysis::new(&site.lab, packets).sent_to("web2").count();
    ensure!(to_old == 0, "{to_old} packets to the old address of web2");
    Ok(())
}
