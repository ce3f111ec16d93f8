//! A backend dies under load: killed, cut off, or hung; and comes back.

use crate::download::Download;
use crate::retrying::Retrying;
use crate::setup::{PATIENCE, Site, http, wait_for_good};
use anyhow::{Context, Result, ensure};
use guideway_lab::config::table;
use guideway_lab::load::Failure;
use guideway_lab::process::wait_for;
use guideway_lab::{Analysis, Capture, Device, GuidewayConfig, LabOptions, Load, LoadReport, Nginx, address, runnable};
use nix::sys::signal::Signal;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

const POOL: &str = "web";
/// The backend that dies.
const VICTIM: usize = 2;
const NAME: &str = "web2";
/// From the death to the last packet, on a machine that may be busy with anything. The demonstration shows the budget
/// of 100 ms.
const LIMIT: Duration = Duration::from_secs(2);
/// Requests that shall be answered in each phase of an experiment.
const PHASE: u64 = 150;

/// A pool checked by `tcp`, with a timeout that a busy machine keeps.
fn site(device: Device, forward: &str, vip: IpAddr) -> Result<Site> {
    Site::start(LabOptions::new(), |lab| {
        let mut config = GuidewayConfig::new(lab, device, &[1]).pool(lab, POOL, forward, vip.is_ipv6());
        config.pool[0].health.extend(table([("timeout", "500ms".into())]));
        config.vip(vip, "tcp", 80, POOL)
    })
}

/// Moments of an experiment.
struct Times {
    /// The backend dies.
    death: SystemTime,
    /// `status` calls it down.
    known: SystemTime,
    /// It begins to come back.
    revival: SystemTime,
    /// `status` calls it up.
    back: SystemTime,
}

/// Kills and revives a backend under load, and looks at it from all sides.
fn dies_under_load(
    site: &mut Site,
    vip: IpAddr,
    kill: impl FnOnce(&mut Site) -> Result<()>,
    revive: impl FnOnce(&mut Site) -> Result<()>,
) -> Result<()> {
    let target = http(vip);
    let digest = site.digest(POOL)?;
    let mut downloads = Download::from_each(&site.lab, target)?;
    let retrying = Retrying::start(&site.lab, target)?;
    let capture = Capture::start(site.lab.segment(), "gw", &site.lab.folder().join("death.pcap"), "")?;
    let load = site.load(target)?;
    wait_for_good(&load, PHASE)?;
    ensure!(load.report().failures.is_empty(), "failures before the death: {:?}", load.report().failures);

    let death = SystemTime::now();
    kill(site)?;
    site.guideway.wait_for_state(POOL, NAME, "down", PATIENCE)?;
    let known = SystemTime::now();
    ensure!(site.digest(POOL)? != digest, "the table did not change");
    more_requests(&load)?;
    let revival = SystemTime::now();
    revive(site)?;
    site.wait_until_up()?;
    site.wait_for_digest(POOL, &digest)?;
    let back = SystemTime::now();
    more_requests(&load)?;

    let report = load.stop()?;
    let times = Times { death, known, revival, back };
    let requests = retrying.stop()?;
    ensure!(requests > 0, "the client that retries did nothing");
    let analysis = Analysis::new(&site.lab, capture.finish()?);
    let seen = last_packet_in_time(&analysis, &times)
        .and_then(|()| only_the_victims_flows_moved(&analysis, &times))
        .and_then(|()| failures_in_their_time(&report, &times));
    seen.with_context(|| site.log())?;
    downloads.remove(NAME).context("no download from the victim")?;
    ensure!(downloads.values().all(Download::is_under_way), "a download ended too early to prove anything");
    for (backend, download) in downloads {
        download.finish().with_context(|| format!("the download from {backend}, which was well all the time"))?;
    }
    Ok(())
}

fn more_requests(load: &Load) -> Result<()> {
    wait_for_good(load, load.report().good + PHASE)
}

fn last_packet_in_time(analysis: &Analysis, times: &Times) -> Result<()> {
    let sent = analysis.sent_to(NAME).map(|packet| packet.time).filter(|time| *time < times.revival);
    let last = sent.filter_map(|time| time.duration_since(times.death).ok()).max();
    println!("the last packet to the dead backend left {last:?} after its death");
    ensure!(last.is_none_or(|last| last < LIMIT), "the last packet to the dead backend left {last:?} after its death");
    ensure!(analysis.sent_to(NAME).any(|packet| packet.time > times.revival), "it got no packet after its return");
    Ok(())
}

/// Away from the victim while it is down, back to it afterwards.
fn only_the_victims_flows_moved(analysis: &Analysis, times: &Times) -> Result<()> {
    for step in analysis.moves() {
        let of_the_victim = step.from == NAME || (step.to == NAME && step.at > times.revival);
        ensure!(of_the_victim, "a flow moved that had nothing to do with the victim: {step:?}");
    }
    Ok(())
}

/// Requests may fail until the death is known, and at the return, when flows that the victim's slots carry meanwhile go
/// back with them. Never in between, and never after.
fn failures_in_their_time(report: &LoadReport, times: &Times) -> Result<()> {
    println!("{} requests answered, failures: {:?}", report.good, report.failures_by_reason());
    let wrong = |failure: &&Failure| {
        let between = failure.began > times.known && failure.began + failure.after < times.revival;
        between || failure.began > times.back
    };
    let wrong: Vec<_> = report.failures.iter().filter(wrong).collect();
    ensure!(wrong.is_empty(), "requests failed that were not to fail: {wrong:?}");
    Ok(())
}

/// SIGKILL: from then on the kernel refuses.
fn killed(device: Device, forward: &str, vip: IpAddr) -> Result<()> {
    let mut site = site(device, forward, vip)?;
    let kill = |site: &mut Site| site.servers[VICTIM - 1].kill();
    let revive = |site: &mut Site| {
        site.servers[VICTIM - 1] = Nginx::start(site.lab.backend(VICTIM))?;
        Ok(())
    };
    dies_under_load(&mut site, vip, kill, revive)
}

/// The link goes down: silence.
fn cut_off(device: Device, forward: &str, vip: IpAddr) -> Result<()> {
    let mut site = site(device, forward, vip)?;
    let kill = |site: &mut Site| site.lab.backend(VICTIM).cut();
    let revive = |site: &mut Site| site.lab.backend(VICTIM).restore();
    dies_under_load(&mut site, vip, kill, revive)
}

#[test]
fn killed_over_af_packet() -> Result<()> {
    if !runnable("a killed backend over af_packet") {
        return Ok(());
    }
    killed(Device::AfPacket, "l2dsr", address::vip_v4(10))
}

#[test]
fn killed_over_af_xdp_in_a_tunnel() -> Result<()> {
    if !runnable("a killed backend over af_xdp") {
        return Ok(());
    }
    killed(Device::AfXdp, "ipip", address::vip_v6(10))
}

#[test]
fn cut_off_over_af_packet_in_a_tunnel() -> Result<()> {
    if !runnable("a backend cut off over af_packet") {
        return Ok(());
    }
    cut_off(Device::AfPacket, "ipip", address::vip_v4(10))
}

#[test]
fn cut_off_over_af_xdp() -> Result<()> {
    if !runnable("a backend cut off over af_xdp") {
        return Ok(());
    }
    cut_off(Device::AfXdp, "l2dsr", address::vip_v6(10))
}

#[test]
fn a_hung_server_stays_up_for_tcp_and_is_well_when_it_goes_on() -> Result<()> {
    if !runnable("a hung backend") {
        return Ok(());
    }
    let site = site(Device::AfPacket, "l2dsr", address::vip_v4(10))?;
    let target = http(address::vip_v4(10));
    let mut downloads = Download::from_each(&site.lab, target)?;
    let before = site.guideway.backend(POOL, NAME)?;
    let digest = site.digest(POOL)?;
    let load = Load::start(site.lab.client(), crate::setup::load_options(target).timeout(PATIENCE))?;
    wait_for_good(&load, PHASE)?;

    site.servers[VICTIM - 1].process().signal(Signal::SIGSTOP)?;
    let checks = |backend: &serde_json::Value| backend["check"]["answered"].as_u64().unwrap_or(0);
    let answered = checks(&site.guideway.backend(POOL, NAME)?);
    wait_for("checks of the hung server to pass", PATIENCE, || {
        Ok((checks(&site.guideway.backend(POOL, NAME)?) > answered + 20).then_some(()))
    })?;
    let hung = site.guideway.backend(POOL, NAME)?;
    assert_eq!(
        (&hung["state"], &hung["since_unix"]),
        (&before["state"], &before["since_unix"]),
        "a tcp check asks the kernel, which accepts for a server that hangs: it stays up, and only a check of \
         kind http would find it"
    );
    assert_eq!(site.digest(POOL)?, digest);
    site.servers[VICTIM - 1].process().signal(Signal::SIGCONT)?;
    more_requests(&load)?;
    let report = load.stop()?;
    ensure!(report.failures.is_empty(), "requests waited and were answered in the end: {:?}", report.failures);
    for (backend, download) in std::mem::take(&mut downloads) {
        download.finish().with_context(|| format!("the download from {backend}"))?;
    }
    Ok(())
}

#[test]
fn without_any_backend_packets_are_dropped_under_a_name() -> Result<()> {
    if !runnable("all backends down") {
        return Ok(());
    }
    let vip = address::vip_v4(10);
    let mut site = site(Device::AfPacket, "l2dsr", vip)?;
    let digest = site.digest(POOL)?;
    assert_eq!(site.guideway.status()?["vips"][0]["serving"], true);
    for server in &mut site.servers {
        server.kill()?;
    }
    for backend in site.lab.backends() {
        site.guideway.wait_for_state(POOL, backend.name(), "down", PATIENCE)?;
    }
    let url = format!("http://{}/", http(vip));
    let refused = site.lab.client().exec("curl", &["-sS", "--max-time", "2", &url]);
    ensure!(refused.is_err(), "somebody answered: {refused:?}");
    let status = site.guideway.status()?;
    assert_eq!(status["vips"][0]["serving"], false);
    ensure!(status["drops"]["no_backend"].as_u64() > Some(0), "{:#}", status["drops"]);
    let screen = site.guideway.control(&["status"])?;
    ensure!(screen.contains("NOT SERVING") && screen.contains("dropped as no_backend"), "{screen}");

    site.servers = site.lab.start_nginx()?;
    site.wait_until_up()?;
    site.wait_for_digest(POOL, &digest)?;
    assert_eq!(site.guideway.status()?["vips"][0]["serving"], true);
    site.requests(http(vip), PHASE)?;
    Ok(())
}
