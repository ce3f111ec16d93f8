//! Several VLANs on one port: clients' packets come in one, leave in another, and each is a link of its own.

use crate::setup::{PATIENCE, Site, http, patient_checks};
use crate::transfer::{download, noise, post};
use anyhow::{Context, Result, ensure};
use guideway_lab::address::{self, BALANCER_MAC, BALANCER_V4, OUTSIDE_V4, mac_text};
use guideway_lab::config::table;
use guideway_lab::link::End;
use guideway_lab::packet::read_frames;
use guideway_lab::process::wait_for;
use guideway_lab::{Capture, Device, GuidewayConfig, Lab, LabOptions, VlanSwitch, ping, runnable};
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use toml::Value;

/// The clients' VLAN, the backends', and one that Guideway does not know.
const OUTSIDE: i64 = 120;
const INSIDE: i64 = 130;
const FOREIGN: i64 = 140;
/// The provider's VLAN that the clients' is in, where there is one.
const SERVICE: i64 = 100;
/// VIPs inside the subnets of the two links: hosts ask for them.
const NEAR_CLIENTS_V4: Ipv4Addr = Ipv4Addr::new(10, 2, 0, 80);
const NEAR_CLIENTS_V6: Ipv6Addr = Ipv6Addr::new(0xfd02, 0, 0, 0, 0, 0, 0, 0x80);
const NEAR_BACKENDS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 80);
/// Bytes that are posted.
const UPLOAD_BYTES: usize = 300_000;

/// VIPs that are routed, and their pools.
const WAYS: [(IpAddr, &str); 4] = [
    (address::vip_v4(10), "direct4"),
    (address::vip_v6(10), "direct6"),
    (address::vip_v4(11), "tunnel6"),
    (address::vip_v6(11), "tunnel4"),
];

/// The router reaches the balancer by VLAN `OUTSIDE`, in the addresses of the outside link; the segment is VLAN `INSIDE`.
fn trunk(lab: &Lab, service: Option<i64>) -> Result<VlanSwitch> {
    lab.add_bridge("trunk0", 1600)?;
    lab.segment().ip("link set gw nomaster\nlink set gw master trunk0\n")?;
    // The kernel carries a tag beside a frame where a device may put it in: this one is a wire, and it lies in the frame.
    lab.segment().exec("ethtool", &["-K", "gw", "txvlan", "off", "tx-vlan-stag-hw-insert", "off"])?;
    for vlan in [OUTSIDE, FOREIGN] {
        let (bridge, device) = (format!("br{vlan}"), format!("v{vlan}"));
        lab.add_bridge(&bridge, 1500)?;
        lab.plug_in(&bridge, &format!("rt{vlan}"), End::new(lab.router(), &device), 1500)?;
    }
    lab.router().ip(&format!(
        "addr add {}/24 dev v{OUTSIDE}\naddr add {}/64 dev v{OUTSIDE} nodad\n\
         route replace {} via {OUTSIDE_V4}\nroute replace {} via {}\n",
        address::ROUTER_OUTSIDE_V4,
        address::ROUTER_OUTSIDE_V6,
        address::VIPS_V4,
        address::VIPS_V6,
        address::OUTSIDE_V6
    ))?;
    for backend in lab.backends() {
        let own = [IpAddr::from(NEAR_CLIENTS_V4), NEAR_CLIENTS_V6.into(), NEAR_BACKENDS.into()];
        own.iter().try_for_each(|vip| backend.namespace().ip(&format!("route add local {vip} dev lo")))?;
    }
    let outside = service.map_or_else(|| OUTSIDE.to_string(), |service| format!("{service}.{OUTSIDE}"));
    let access = [("br120", outside), ("br130", INSIDE.to_string()), ("br140", FOREIGN.to_string())];
    let bridges = access.each_ref().map(|(bridge, tags)| (if *bridge == "br130" { "br0" } else { *bridge }, &**tags));
    VlanSwitch::start(lab, "trunk0", &bridges)
}

fn configure(lab: &Lab, device: Device, service: Option<i64>) -> GuidewayConfig {
    let mut config = GuidewayConfig::new(lab, device, &[1])
        .pool(lab, "direct4", "l2dsr", false)
        .pool(lab, "direct6", "l2dsr", true)
        .pool(lab, "tunnel4", "ipip", false)
        .pool(lab, "tunnel6", "ipip", true)
        .vip(NEAR_CLIENTS_V4.into(), "tcp", 80, "direct4")
        .vip(NEAR_CLIENTS_V6.into(), "tcp", 80, "direct6")
        .vip(NEAR_BACKENDS.into(), "tcp", 80, "direct4");
    config.interface[0].insert("vlan".into(), INSIDE.into());
    let addresses = vec![format!("{OUTSIDE_V4}/24"), format!("{}/64", address::OUTSIDE_V6)];
    let mut outside = table([("port", "edge".into()), ("vlan", OUTSIDE.into()), ("addresses", Value::from(addresses))]);
    outside.extend(service.map(|service| ("service_vlan".to_owned(), service.into())));
    config.interface.push(outside);
    config.route.clear();
    let gateways: [IpAddr; 2] = [address::ROUTER_OUTSIDE_V4.into(), address::ROUTER_OUTSIDE_V6.into()];
    let config = config.route("default", &gateways);
    patient_checks(WAYS.iter().fold(config, |config, (vip, pool)| config.vip(*vip, "tcp", 80, pool)))
}

/// The VLANs of a frame, from the outer one on; priorities are left out.
fn vlans(frame: &[u8]) -> Vec<i64> {
    let mut rest = frame.get(12..).unwrap_or_default();
    let mut vlans = Vec::new();
    while let [0x81, 0x00, high, low, behind @ ..] | [0x88, 0xa8, high, low, behind @ ..] = rest {
        vlans.push(i64::from(u16::from_be_bytes([high & 0x0f, *low])));
        rest = behind;
    }
    vlans
}

/// The router asks for an address on a device where nobody has it.
fn nobody_answers(lab: &Lab, device: &str, address: Ipv4Addr) -> Result<()> {
    let router = lab.router();
    router.ip(&format!("route add {address}/32 dev {device} src {}", address::ROUTER_OUTSIDE_V4))?;
    let socket = router.enter(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)))??;
    // The packet has nowhere to go, which may be told at once or later.
    let _ = socket.send_to(b"?", (address, 9));
    let state = wait_for("the kernel to give up", PATIENCE, || {
        let state = router.exec("ip", &["neigh", "show", &address.to_string(), "dev", device])?;
        Ok(["FAILED", "REACHABLE", "STALE", "DELAY"].iter().any(|word| state.contains(word)).then_some(state))
    })?;
    ensure!(state.contains("FAILED"), "{address} is answered for on {device}: {state}");
    router.ip(&format!("route del {address}/32 dev {device}"))
}

fn links_are_apart(device: Device, service: Option<i64>) -> Result<()> {
    let lab = Site::lab(LabOptions::new())?;
    let _switch = trunk(&lab, service)?;
    let config = configure(&lab, device, service);
    let site = Site::start_in(lab, config, &[])?;
    let upload = site.lab.folder().join("upload");
    std::fs::write(&upload, noise(UPLOAD_BYTES))?;
    let file = site.lab.folder().join("trunk.pcap");
    let capture = Capture::start(site.lab.segment(), "gw", &file, "")?;
    for (vip, _) in WAYS {
        let report = site.requests(http(vip), 30)?;
        ensure!(report.by_backend.len() == 3, "{vip}: {:?}", report.by_backend);
        download(&site, http(vip))?;
        post(&site, http(vip), &upload)?;
    }

    // Hosts find the VIPs and own addresses of their link.
    let router = site.lab.router();
    for vip in [NEAR_CLIENTS_V4.into(), NEAR_CLIENTS_V6.into(), IpAddr::from(NEAR_BACKENDS)] {
        let answer = router.exec("curl", &["-sS", "--max-time", "30", &format!("http://{}/", http(vip))])?;
        ensure!(answer.starts_with("web"), "{vip}: {answer:?}");
        let known = router.exec("ip", &["neigh", "show", &vip.to_string()])?;
        ensure!(known.contains(&mac_text(BALANCER_MAC)), "{vip} is not at the balancer: {known}");
    }
    for own in [OUTSIDE_V4.into(), address::OUTSIDE_V6.into(), BALANCER_V4.into(), address::BALANCER_V6.into()] {
        ping(router, own).with_context(|| format!("{own}"))?;
    }
    // Those of another link they do not, and those of a VLAN that Guideway has no part in find nothing.
    nobody_answers(&site.lab, "v120", NEAR_BACKENDS)?;
    nobody_answers(&site.lab, "v120", BALANCER_V4)?;
    nobody_answers(&site.lab, "v140", OUTSIDE_V4)?;

    capture.finish()?;
    let frames = read_frames(&file)?;
    let own = frames.iter().filter(|frame| frame.get(6..12) == Some(&BALANCER_MAC));
    let tags: BTreeSet<_> = own.map(|frame| vlans(frame)).collect();
    let outside = service.into_iter().chain([OUTSIDE]).collect();
    ensure!(tags == BTreeSet::from([outside, vec![INSIDE]]), "frames of the balancer are in {tags:?}");
    Ok(())
}

#[test]
fn of_a_trunk_over_af_packet() -> Result<()> {
    if !runnable("VLANs over af_packet") {
        return Ok(());
    }
    links_are_apart(Device::AfPacket, None)
}

#[test]
fn of_a_trunk_over_af_xdp() -> Result<()> {
    if !runnable("VLANs over af_xdp") {
        return Ok(());
    }
    links_are_apart(Device::AfXdp, None)
}

#[test]
fn in_a_service_vlan_over_af_xdp() -> Result<()> {
    if !runnable("VLANs in a service VLAN over af_xdp") {
        return Ok(());
    }
    links_are_apart(Device::AfXdp, Some(SERVICE))
}
