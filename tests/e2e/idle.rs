//! Workers that sleep until something comes: next to no processor time while nothing does, and nothing is lost or late.

use crate::setup::{PATIENCE, Site, backends_of, http, patient_checks, wait_for_good};
use anyhow::{Context, Result, ensure};
use guideway_lab::process::wait_for;
use guideway_lab::{Device, GuidewayConfig, LabOptions, address, runnable};
use serde_json::Value;
use std::path::Path;
use std::time::{Duration, Instant};

/// Ticks a second of the times in `/proc/PID/stat` (proc(5)).
const TICKS: f64 = 100.0;
/// How long nobody says anything but the health checks.
const SILENCE: Duration = Duration::from_secs(2);

/// Processor time of the first worker so far, in seconds.
fn worker_time(process: u32) -> Result<f64> {
    let folder = Path::new("/proc").join(process.to_string()).join("task");
    for thread in std::fs::read_dir(folder)?.flatten() {
        let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        let Some((_, fields)) = stat.split_once("(gw-worker-0) ") else { continue };
        let times = fields.split(' ').skip(11).take(2).map(str::parse::<f64>);
        return Ok(times.sum::<Result<f64, _>>().context("a time that is no number")? / TICKS);
    }
    anyhow::bail!("there is no worker")
}

fn worker(status: &Value) -> &Value {
    &status["workers"][0]
}

/// The states of all backends, and since when.
fn judgement(status: &Value) -> Vec<Value> {
    let pools = status["pools"].as_array().into_iter().flatten();
    pools.flat_map(backends_of).flat_map(|backend| [&backend["state"], &backend["since_unix"]]).cloned().collect()
}

fn sleeps(device: Device) -> Result<()> {
    let vip = address::vip_v4(10);
    let site = Site::start(LabOptions::new(), |lab| {
        let mut config = GuidewayConfig::new(lab, device, &[1]).pool(lab, "web", "l2dsr", false);
        config.cores.insert("idle".to_owned(), "interrupt".into());
        patient_checks(config.vip(vip, "tcp", 80, "web"))
    })?;
    let load = site.load(http(vip))?;
    wait_for_good(&load, 200)?;
    let report = load.stop()?;
    ensure!(report.failures.is_empty(), "{:?}", report.failures);

    let before = site.guideway.status()?;
    ensure!(worker(&before)["idle"] == "interrupt" && worker(&before)["power"] == "off", "{}", worker(&before));
    let (process, start) = (site.guideway.process().id(), Instant::now());
    let used = worker_time(process)?;
    std::thread::sleep(SILENCE);
    let share = (worker_time(process)? - used) / start.elapsed().as_secs_f64();
    let after = site.guideway.status()?;
    let count = |status: &Value| worker(status)["sleeps"].as_u64().context("no count of sleeps");
    let slept = count(&after)? - count(&before)?;
    println!("{device:?}: {:.1} % of a core, {slept} sleeps in {:?}", share * 100.0, start.elapsed());
    ensure!(share < 0.3, "an idle worker used {:.0} % of its core", share * 100.0);
    ensure!(slept >= 20, "it slept {slept} times only");
    let busy = worker(&after)["busy_share"].as_f64().context("no busy share")?;
    ensure!(busy < 0.3, "busy {busy}");

    // The first packet after the silence wakes it: a lost one would come again after a second.
    for _ in 0..5 {
        std::thread::sleep(Duration::from_secs(1));
        let start = Instant::now();
        site.curl(&["-o", "/dev/null", &format!("http://{vip}/")])?;
        println!("{device:?}: an answer after {:?}", start.elapsed());
        ensure!(start.elapsed() < PATIENCE);
    }
    let sent = |status: &Value| status["control"]["probes_sent"].as_u64().context("no count of probes");
    let until = sent(&after)? + 60;
    wait_for("checks to go on", PATIENCE, || Ok((sent(&site.guideway.status()?)? > until).then_some(())))?;
    let last = site.guideway.status()?;
    assert_eq!(judgement(&before), judgement(&last), "{}", site.log());
    let (asked, answered) = (sent(&last)?, last["control"]["probes_answered"].as_u64().context("no count of answers")?);
    ensure!(answered * 10 > asked * 8, "{answered} of {asked} checks were answered");
    println!(
        "{device:?}: {} of {asked} checks void, {} stalls",
        last["control"]["probes_void"],
        worker(&last)["stalls"]
    );
    Ok(())
}

#[test]
fn a_worker_sleeps_over_af_packet() -> Result<()> {
    if !runnable("a worker asleep over af_packet") {
        return Ok(());
    }
    sleeps(Device::AfPacket)
}

#[test]
fn a_worker_sleeps_over_af_xdp() -> Result<()> {
    if !runnable("a worker asleep over af_xdp") {
        return Ok(());
    }
    sleeps(Device::AfXdp)
}

/// Two workers, of which the kernel's fanout gives each its flows; a change of weights is told to both.
#[test]
fn workers_asleep_learn_of_changes() -> Result<()> {
    if !runnable("workers asleep and changes") {
        return Ok(());
    }
    let vip = address::vip_v4(10);
    let site = Site::start(LabOptions::new(), |lab| {
        let mut config = GuidewayConfig::new(lab, Device::AfPacket, &[0, 1]).pool(lab, "web", "l2dsr", false);
        config.cores.insert("idle".to_owned(), "interrupt".into());
        patient_checks(config.vip(vip, "tcp", 80, "web"))
    })?;
    for weight in ["10", "20", "100"] {
        site.guideway.control(&["backend", "weight", "web/web1", weight])?;
        wait_for("all workers to use the latest snapshot", PATIENCE, || {
            let status = site.guideway.status()?;
            Ok((status["generation"] == status["acknowledged_generation"]).then_some(()))
        })?;
    }
    site.requests(http(vip), 100)?;
    let mut site = site;
    let start = Instant::now();
    let status = site.guideway.terminate()?;
    ensure!(status.success(), "{status}\n{}", site.log());
    println!("two workers asleep ended within {:?}", start.elapsed());
    ensure!(site.log().contains("every packet buffer is accounted for"), "{}", site.log());
    Ok(())
}
