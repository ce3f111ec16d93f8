//! Affinity: a client's connections reach one backend, whatever is changed.

use crate::churn::{Churn, Random, wait_until_settled};
use crate::http::{every_worker_had_packets, everything_is_accounted_for};
use crate::setup::{PATIENCE, Site, http, patient_checks};
use anyhow::{Context, Result, ensure};
use guideway_lab::config::table;
use guideway_lab::process::wait_for;
use guideway_lab::{Device, GuidewayConfig, LabOptions, Load, LoadOptions, address, raise_file_limit, runnable};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

const POOL: &str = "web";
const BACKENDS: usize = 6;
const CLIENTS: usize = 1_000;
/// Of each client, one after the other.
const CONNECTIONS: usize = 20;
/// New connections a second: each client comes back every 2.5 s.
const RATE: f64 = 400.0;
/// Four times what a client stays away, since the machine may be busy.
const WINDOW: Duration = Duration::from_secs(10);

fn target() -> SocketAddr {
    http(address::vip_v4(10))
}

/// When a client was where.
type Visits = BTreeMap<IpAddr, Vec<(f64, String)>>;

#[test]
fn a_client_stays_on_one_backend_while_backends_change() -> Result<()> {
    if !runnable("affinity during changes") {
        return Ok(());
    }
    raise_file_limit()?;
    let site = Site::start(LabOptions::new().backends(BACKENDS as u8).queues(2), |lab| {
        let config = GuidewayConfig::new(lab, Device::AfPacket, &[0, 1]).pool(lab, POOL, "l2dsr", false);
        let mut config = patient_checks(config.vip(target().ip(), "tcp", 80, POOL));
        config.state = Some(table([("arm_time", "200ms".into())]));
        let idle = toml::Table::from_iter([("tcp".to_owned(), "4s".into())]);
        config.pool[0].more.insert("idle_timeout".to_owned(), idle.into());
        let window = format!("{}s", WINDOW.as_secs());
        config.vip[0].more = table([("affinity", "client".into()), ("affinity_window", window.into())]);
        config
    })?;
    site.lab.add_crowd()?;
    let sources = (1..=CLIENTS as u16).map(address::crowd_v4).collect();
    let options = LoadOptions::new(target()).sources(sources).clients(CLIENTS).requests_per_client(CONNECTIONS);
    let load = Load::start(site.lab.client(), options.rate(RATE).timeout(PATIENCE))?;
    let all = (CLIENTS * CONNECTIONS) as u64;
    // Every client has been somewhere.
    wait_for("each client's first connection", PATIENCE, || Ok((load.report().good >= CLIENTS as u64).then_some(())))?;
    let mut churn = Churn::new(&site, POOL, BACKENDS, Random::new(0x7761_7900));
    churn.run()?;
    let under_way = load.report().good;
    wait_for("all connections", 3 * PATIENCE, || {
        let report = load.report();
        Ok((report.good + report.failures.len() as u64 >= all).then_some(()))
    })?;
    let report = load.stop()?;
    println!("{} changes ({}) until connection {under_way} of {}", churn.changes(), churn.kinds(), report.good);
    let visits = visits(&site)?;
    let longest = longest_absence(&visits);
    println!("a client stayed away for at most {longest:.2} s of {WINDOW:?}, by backend: {:?}", report.by_backend);
    let moved: Vec<_> = visits.iter().filter(|(_, of_one)| of_one.iter().any(|visit| visit.1 != of_one[0].1)).collect();
    println!("{} of {} clients were on more than one backend", moved.len(), visits.len());
    ensure!(longest < WINDOW.as_secs_f64(), "this machine was too busy: a client stayed away for {longest} s");
    ensure!(moved.is_empty(), "{} clients moved: {:#?}\n{}", moved.len(), &moved[..moved.len().min(5)], site.log());
    ensure!(report.failures.is_empty(), "connections failed: {:?}", report.failures);
    assert_eq!((visits.len(), report.good), (CLIENTS, all));
    ensure!(visits.values().all(|visits| visits.len() == CONNECTIONS), "the logs lack connections, or have too many");

    churn.enable_all()?;
    wait_until_settled(&site, POOL)?;
    let pins = site.guideway.status()?["pins"].take();
    println!("pins: {pins}");
    assert_eq!((&pins["failed"], &pins["evicted_confirmed"]), (&0.into(), &0.into()));
    ensure!(pins["inserted"].as_u64() > Some(CLIENTS as u64), "too few clients were concerned: {pins}");
    everything_is_accounted_for(&site)?;
    every_worker_had_packets(&site)
}

/// What the logs of the servers say, in the order of time.
fn visits(site: &Site) -> Result<Visits> {
    let mut visits = Visits::new();
    for (backend, server) in site.lab.backends().iter().zip(&site.servers) {
        for line in server.access_log()?.lines() {
            let (client, time) = line.split_once(' ').zip(line.rsplit_once(' ')).with_context(|| line.to_owned())?;
            let client = client.0.parse().with_context(|| line.to_owned())?;
            let time = time.1.parse().with_context(|| line.to_owned())?;
            visits.entry(client).or_default().push((time, backend.name().to_owned()));
        }
    }
    visits.values_mut().for_each(|visits| visits.sort_by(|a, b| a.0.total_cmp(&b.0)));
    Ok(visits)
}

fn longest_absence(visits: &Visits) -> f64 {
    let pauses = visits.values().flat_map(|visits| visits.windows(2).map(|pair| pair[1].0 - pair[0].0));
    pauses.fold(0.0, f64::max)
}
