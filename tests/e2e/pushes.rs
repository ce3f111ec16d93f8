//! Hundreds of new snapshots under load, without one packet lost or misdirected.

use crate::download::Download;
use crate::setup::{PATIENCE, Site, http, load_options, wait_for_good};
use anyhow::{Context, Result, ensure};
use guideway_lab::address::{self, BALANCER_MAC};
use guideway_lab::config::table;
use guideway_lab::packet::{Flow, Tcp};
use guideway_lab::process::wait_for;
use guideway_lab::{Analysis, Capture, Device, GuidewayConfig, Lab, LabOptions, Load, Tap, runnable};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::thread::sleep;
use std::time::{Duration, Instant};
use toml::Value;

/// Snapshots to publish.
const PUSHES: u64 = 200;
/// Next hops that carry no traffic and move all the time, in each of two pools.
const BYSTANDERS: u8 = 10;
/// From one move to the next, of another next hop each time. More than five moves of one next hop in a second are not
/// followed, so twenty of them make at most a hundred snapshots in a second.
const PAUSE: Duration = Duration::from_millis(20);

/// Packets of one slow download that may be on their way at a time.
const UNDER_WAY: usize = 4;

const VIP: u8 = 10;
const BYSTANDERS_VIP: u8 = 20;

/// A next hop that moves: in the pool under load with weight 0, or in a pool of their own. It is an address of the
/// router, so that requests for it are answered too.
fn bystander(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, 100 + number)
}

fn backends(numbers: std::ops::Range<u8>, weight: i64) -> impl Iterator<Item = BTreeMap<String, Value>> {
    let of =
        |number| table([("name", format!("moving{number}").into()), ("address", bystander(number).to_string().into())]);
    numbers.map(of).map(move |mut backend| {
        backend.insert("weight".into(), weight.into());
        backend
    })
}

fn configure(lab: &Lab, device: Device, workers: &[u32]) -> GuidewayConfig {
    let mut config = GuidewayConfig::new(lab, device, workers)
        .pool(lab, "web", "l2dsr", false)
        .pool(lab, "bystanders", "l2dsr", false)
        .vip(address::vip_v4(VIP), "tcp", 80, "web")
        .vip(address::vip_v4(BYSTANDERS_VIP), "tcp", 80, "bystanders");
    for pool in &mut config.pool {
        pool.health = table([("kind", "none".into())]);
    }
    if device == Device::AfPacket {
        // A worker that waits for its core must lose nothing either: room for many more frames than the driver's 512.
        config.port[0]
            .entry("device".into())
            .and_modify(|text| *text = format!("{},framecnt=4096", text.as_str().unwrap_or_default()).into());
    }
    config.pool[0].backend.extend(backends(0..BYSTANDERS, 0));
    config.pool[1].backend = backends(BYSTANDERS..2 * BYSTANDERS, 1).collect();
    config
}

fn site(device: Device, workers: &[u32]) -> Result<Site> {
    let options = LabOptions::new().queues(u32::try_from(workers.len())?);
    let mut outcome = Ok(());
    let site = Site::start(options, |lab| {
        let lines = (0..2 * BYSTANDERS).fold(String::new(), |mut lines, number| {
            let _ = writeln!(lines, "addr add {}/32 dev seg", bystander(number));
            lines
        });
        outcome = lab.router().ip(&lines);
        configure(lab, device, workers)
    });
    outcome.and(site)
}

/// Moves one bystander after the other until enough snapshots were published.
fn push(site: &Site, tap: &Tap) -> Result<u64> {
    let generation = || site.guideway.status()?["generation"].as_u64().context("no generation");
    let first = generation()?;
    let begun = Instant::now();
    let mut round = 0;
    loop {
        round ^= 1;
        for number in 0..2 * BYSTANDERS {
            tap.announce(bystander(number), [2, 0, 0, 9, round, number])?;
            sleep(PAUSE);
        }
        let published = generation()? - first;
        if published >= PUSHES {
            return Ok(published);
        }
        ensure!(begun.elapsed() < 2 * PATIENCE, "only {published} snapshots were published");
    }
}

fn pushes_under_load(device: Device, workers: &[u32]) -> Result<()> {
    let site = site(device, workers)?;
    let target = http(address::vip_v4(VIP));
    let tap = Tap::plug_in(&site.lab, "moving")?;
    let capture = Capture::start(site.lab.segment(), "gw", &site.lab.folder().join("gw.pcap"), "")?;
    let downloads = Download::from_each(&site.lab, target)?;
    let load = Load::start(site.lab.client(), load_options(target).rate(300.0))?;
    wait_for_good(&load, 50)?;
    let before = load.report().good;
    let published = push(&site, &tap)?;
    let during = load.report().good - before;
    wait_for("all workers to use the latest snapshot", PATIENCE, || {
        let status = site.guideway.status()?;
        Ok((status["generation"] == status["acknowledged_generation"]).then_some(()))
    })?;
    let report = load.stop()?;
    let packets = capture.finish()?;
    ensure!(downloads.values().all(Download::is_under_way), "a download ended too early to prove anything");
    for (backend, download) in downloads {
        download.finish().with_context(|| format!("the download from {backend}"))?;
    }
    println!("{published} snapshots, {during} requests meanwhile");
    ensure!(report.failures.is_empty(), "{:?}", report.failures);
    ensure!(during > 200, "only {during} requests during {published} snapshots: that proves little");
    let analysis = Analysis::new(&site.lab, packets);
    ensure!(analysis.moves().is_empty(), "flows changed their backend: {:?}", analysis.moves());
    nothing_is_lost(&analysis, target)
}

/// What became of a flow at the balancer.
#[derive(Debug, Default)]
struct Passage {
    came: usize,
    went: usize,
    starts_came: usize,
    starts_went: usize,
    closed: bool,
}

/// What came in for the VIP went out again: of every flow, packet for packet and SYN for SYN. Of the downloads, which
/// are still open, some packets may be on their way inside the balancer when the capture ends.
fn nothing_is_lost(analysis: &Analysis, target: SocketAddr) -> Result<()> {
    let mut flows: BTreeMap<Flow, Passage> = BTreeMap::new();
    for packet in analysis.packets().iter().filter(|packet| packet.flow.destination == target) {
        let passage = flows.entry(packet.flow).or_default();
        let start = usize::from(packet.tcp.as_ref().is_some_and(Tcp::is_start));
        passage.closed |= packet.tcp.is_some_and(|tcp| tcp.fin || tcp.rst);
        if packet.source_mac == BALANCER_MAC {
            passage.went += 1;
            passage.starts_went += start;
        } else {
            passage.came += 1;
            passage.starts_came += start;
        }
    }
    let went: usize = flows.values().map(|passage| passage.went).sum();
    let known = analysis.sent().filter(|(_, packet)| packet.flow.destination == target).count();
    ensure!(known == went, "{went} packets went out, only {known} of them to a backend");
    ensure!(known > 1000, "only {known} packets prove little");
    let lossy: Vec<_> = flows.iter().filter(|(_, passage)| !passage.is_complete()).collect();
    ensure!(lossy.is_empty(), "of {known} packets some were lost: {lossy:?}");
    Ok(())
}

impl Passage {
    fn is_complete(&self) -> bool {
        let under_way = if self.closed { 0 } else { UNDER_WAY };
        self.starts_came == self.starts_went && self.went <= self.came && self.came - self.went <= under_way
    }
}

#[test]
fn under_load_over_af_packet_with_two_workers() -> Result<()> {
    if !runnable("pushes over af_packet") {
        return Ok(());
    }
    pushes_under_load(Device::AfPacket, &[0, 1])
}

#[test]
fn under_load_over_af_xdp() -> Result<()> {
    if !runnable("pushes over af_xdp") {
        return Ok(());
    }
    pushes_under_load(Device::AfXdp, &[1])
}
