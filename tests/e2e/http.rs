//! HTTP in all forwarding modes and families, over both devices and with one or two workers.

use crate::setup::{PATIENCE, Site, http, patient_checks};
use crate::transfer::{download, noise, post};
use anyhow::{Context, Result, ensure};
use guideway_lab::packet::Packet;
use guideway_lab::process::wait_for;
use guideway_lab::{Analysis, Capture, Device, GuidewayConfig, Lab, LabOptions, address, runnable};
use std::net::IpAddr;

/// Answers to wait for: enough that a backend without any would be no accident.
const REQUESTS: u64 = 90;
/// Bytes that are posted.
const UPLOAD_BYTES: usize = 300_000;

/// One way of a request: its VIP, its pool, and whether that is reached by a tunnel, and in which family.
struct Way {
    vip: IpAddr,
    pool: &'static str,
    outer_is_ipv4: Option<bool>,
}

const fn way(vip: IpAddr, pool: &'static str, outer_is_ipv4: Option<bool>) -> Way {
    Way { vip, pool, outer_is_ipv4 }
}

/// `l2dsr` in both families, `ipip` in all four combinations.
const WAYS: [Way; 6] = [
    way(address::vip_v4(10), "direct4", None),
    way(address::vip_v6(10), "direct6", None),
    way(address::vip_v4(11), "tunnel4", Some(true)),
    way(address::vip_v6(11), "tunnel4", Some(true)),
    way(address::vip_v4(12), "tunnel6", Some(false)),
    way(address::vip_v6(12), "tunnel6", Some(false)),
];

/// A lab, and the configuration of its ports.
fn one_armed(device: Device, workers: &[u32]) -> Result<Site> {
    let queues = u32::try_from(workers.len())?;
    Site::start(LabOptions::new().queues(queues), |lab| with_ways(lab, GuidewayConfig::new(lab, device, workers)))
}

/// The worker on core 0 polls the outside, the one on core 1 the segment, and every packet changes hands. The driver
/// net_af_xdp sees a single queue of a veth interface, however many it has.
fn two_armed_over_af_xdp() -> Result<Site> {
    Site::start(LabOptions::new().two_armed(), |lab| {
        let mut config = GuidewayConfig::new(lab, Device::AfXdp, &[0]);
        config.cores.insert("workers".into(), vec![0, 1].into());
        for (core, port) in (0..).zip(&mut config.port) {
            port.insert("workers".into(), vec![core].into());
        }
        with_ways(lab, config)
    })
}

fn with_ways(lab: &Lab, config: GuidewayConfig) -> GuidewayConfig {
    let pools = config
        .pool(lab, "direct4", "l2dsr", false)
        .pool(lab, "direct6", "l2dsr", true)
        .pool(lab, "tunnel4", "ipip", false)
        .pool(lab, "tunnel6", "ipip", true);
    patient_checks(WAYS.iter().fold(pools, |config, way| config.vip(way.vip, "tcp", 80, way.pool)))
}

/// Requests spread over all backends, and big bodies arrive whole in both directions, in every way.
fn every_way(site: &Site) -> Result<()> {
    let upload = site.lab.folder().join("upload");
    std::fs::write(&upload, noise(UPLOAD_BYTES))?;
    for (number, way) in WAYS.iter().enumerate() {
        let file = site.lab.folder().join(format!("way{number}.pcap"));
        let capture = Capture::start(site.lab.segment(), "gw", &file, "")?;
        let target = http(way.vip);
        let report = site.requests(target, REQUESTS)?;
        let backends: Vec<_> = report.by_backend.keys().map(String::as_str).collect();
        assert_eq!(backends, ["web1", "web2", "web3"], "{target}: {:?}", report.by_backend);
        download(site, target)?;
        post(site, target, &upload)?;
        let analysis = Analysis::new(&site.lab, capture.finish()?);
        ensure!(analysis.moves().is_empty(), "{target}: {:?}", analysis.moves());
        let mut sent = analysis.sent().filter(|(_, packet)| packet.flow.destination == target);
        let outer = |packet: &Packet| packet.outer.map(|(_, to)| to.is_ipv4());
        ensure!(sent.all(|(_, packet)| outer(packet) == way.outer_is_ipv4), "{target}: a packet in another form");
        ensure!(analysis.sent().count() > UPLOAD_BYTES / 1500, "{target}: the capture misses packets");
    }
    everything_is_accounted_for(site)?;
    every_worker_had_packets(site)
}

/// The conservation law, as `status` shows it once nothing is under way.
pub fn everything_is_accounted_for(site: &Site) -> Result<()> {
    wait_for("packets in and out to balance", PATIENCE, || {
        let packets = site.guideway.status()?["packets"].take();
        let count = |name: &str| packets[name].as_u64().with_context(|| format!("no count of {name}"));
        let gone = count("sent")? + count("handed_off")? + count("dropped")? + count("punted")?;
        Ok((count("received")? + count("injected")? == gone).then_some(()))
    })
}

pub fn every_worker_had_packets(site: &Site) -> Result<()> {
    let status = site.guideway.status()?;
    for worker in status["workers"].as_array().context("no workers")? {
        ensure!(worker["received"].as_u64() > Some(100), "this worker had too little to do: {worker}");
    }
    Ok(())
}

#[test]
fn over_af_packet() -> Result<()> {
    if !runnable("HTTP over af_packet") {
        return Ok(());
    }
    every_way(&one_armed(Device::AfPacket, &[1])?)
}

#[test]
fn over_af_xdp() -> Result<()> {
    if !runnable("HTTP over af_xdp") {
        return Ok(());
    }
    every_way(&one_armed(Device::AfXdp, &[1])?)
}

#[test]
fn over_af_packet_with_two_workers() -> Result<()> {
    if !runnable("HTTP over af_packet with two workers") {
        return Ok(());
    }
    every_way(&one_armed(Device::AfPacket, &[0, 1])?)
}

#[test]
fn over_af_xdp_with_two_workers() -> Result<()> {
    if !runnable("HTTP over af_xdp with two workers") {
        return Ok(());
    }
    let site = two_armed_over_af_xdp()?;
    every_way(&site)?;
    let packets = site.guideway.status()?["packets"].take();
    ensure!(packets["handed_off"].as_u64() > Some(1000), "packets change hands here: {packets}");
    Ok(())
}
