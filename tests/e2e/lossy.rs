//! `fullnat` with the PROXY protocol over a link that loses, doubles and reorders segments, between real kernels: every
//! stream is exact. `GUIDEWAY_SEED` (7) is what chance begins with, `GUIDEWAY_FAULTS` (5) how many of a hundred segments are lost,
//! how many doubled, and how many delayed.

use crate::setup::{PATIENCE, Site, number, patient_checks};
use anyhow::{Context, Result, ensure};
use guideway_lab::streams::{self, Meetings, StreamOptions, StreamServers, Version};
use guideway_lab::{Device, Faults, FaultyLink, GuidewayConfig, Lab, LabOptions, address, runnable};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};
use toml::Value;

/// Where the servers expect a header.
const BACKEND_PORTS: [(u16, Version); 2] = [(9101, Version::V1), (9102, Version::V2)];
/// Connections to each VIP: half of them have a server that speaks first, so for both VIPs of a version together it is
/// as many with, and as many without.
const CONNECTIONS: u16 = 500;
/// The client's port of the first one; a multiple of 4, so that all kinds are as frequent.
const FIRST_PORT: u16 = 20_000;
const AT_ONCE: usize = 50;
/// A SYN that is lost seven times in a row waits for two minutes, and this is no failure.
const HANGS: Duration = Duration::from_secs(240);
/// A VIP and its pool.
struct Way {
    pool: &'static str,
    version: Version,
    vip: IpAddr,
    backends_in_ipv6: bool,
}

/// Both versions from both families, in one of them to backends of the other family.
const WAYS: [Way; 4] = [
    Way { pool: "one4", version: Version::V1, vip: address::vip_v4(30), backends_in_ipv6: false },
    Way { pool: "one6", version: Version::V1, vip: address::vip_v6(30), backends_in_ipv6: true },
    Way { pool: "two4", version: Version::V2, vip: address::vip_v4(31), backends_in_ipv6: true },
    Way { pool: "two6", version: Version::V2, vip: address::vip_v6(31), backends_in_ipv6: false },
];

fn config(lab: &Lab) -> GuidewayConfig {
    let config = GuidewayConfig::new(lab, Device::AfPacket, &[1]);
    let config = WAYS.iter().fold(config, |config, way| {
        let mut config = config.pool(lab, way.pool, "fullnat", way.backends_in_ipv6).vip(way.vip, "tcp", 80, way.pool);
        let (port, name) = match way.version {
            Version::V1 => (BACKEND_PORTS[0].0, "v1"),
            Version::V2 => (BACKEND_PORTS[1].0, "v2"),
        };
        if let Some(pool) = config.pool.last_mut() {
            pool.more.insert("proxy_protocol".to_owned(), Value::from(name));
            for backend in &mut pool.backend {
                backend.insert("port".to_owned(), i64::from(port).into());
            }
        }
        config
    });
    patient_checks(config)
}

/// The clients of a way, which take turns in their addresses.
fn clients(vip: IpAddr) -> Vec<SocketAddr> {
    let address = |n| if vip.is_ipv4() { address::client_v4(n) } else { address::client_v6(n) };
    (0..CONNECTIONS).map(|n| SocketAddr::new(address((n / 4 % 8) as u8), FIRST_PORT + n)).collect()
}

/// All connections to the VIPs of one version.
fn every_stream_is_exact(version: Version) -> Result<()> {
    let site = Site::start(LabOptions::new().backends(2), config)?;
    // Five answers to a SYN, or the acknowledgements of them, are lost once in 100,000 connections: then a server has given up whose
    // client knows of nothing, and waits for it for good if it has nothing to say.
    for backend in site.lab.backends() {
        backend.namespace().sysctl(&[("net.ipv4.tcp_synack_retries", "6")])?;
    }
    let meetings = Meetings::default();
    let servers = StreamServers::start(site.lab.backends(), &BACKEND_PORTS, &meetings)?;
    // In each direction, and all packets pass twice: between client and balancer, and between balancer and backend.
    let share = number("GUIDEWAY_FAULTS", 5)? as f64 / 100.0;
    let faults = Faults { lost: share, doubled: share, delayed: share, seed: number("GUIDEWAY_SEED", 7)? };
    let link = FaultyLink::insert(&site.lab, "gw", faults)?;
    let mut complete = 0;
    for way in WAYS.iter().filter(|way| way.version == version) {
        let (target, begin) = (SocketAddr::new(way.vip, 80), Instant::now());
        let options = StreamOptions { target, clients: clients(way.vip), at_once: AT_ONCE, patience: HANGS };
        let report = streams::run(site.lab.client(), &options, &meetings)?;
        println!(
            "{version:?} {target}: {} of {CONNECTIONS} exact, {} bytes in {:.1?}; longest {:.1?}, longest connect {:.1?}",
            report.exact,
            report.bytes,
            begin.elapsed(),
            report.longest,
            report.longest_connect
        );
        let failures = &report.failures;
        ensure!(failures.is_empty(), "{} connections failed: {failures:#?}\n{}", failures.len(), site.log());
        complete += report.exact;
        servers.wait_until_complete(complete, PATIENCE).with_context(|| site.log())?;
    }
    ensure!(complete == 2 * usize::from(CONNECTIONS), "{complete} connections");
    for (counts, direction) in link.stop()?.into_iter().zip(["from the balancer", "to the balancer"]) {
        println!("{version:?} {direction}: {counts}");
        // Without these the test would prove nothing.
        let least = (counts.segments as f64 * share * 0.7) as u64;
        ensure!(counts.lost > least && counts.doubled > least && counts.delayed > least, "{counts}");
    }
    Ok(())
}

#[test]
fn version_1_of_the_header() -> Result<()> {
    if !runnable("the PROXY protocol, version 1, under loss") {
        return Ok(());
    }
    every_stream_is_exact(Version::V1)
}

#[test]
fn version_2_of_the_header() -> Result<()> {
    if !runnable("the PROXY protocol, version 2, under loss") {
        return Ok(());
    }
    every_stream_is_exact(Version::V2)
}
