//! The control thread stands still for a second: nothing changes, nobody notices.

use crate::setup::{PATIENCE, Site, backends_of, http, wait_for_good};
use anyhow::{Context, Result, ensure};
use guideway_lab::config::table;
use guideway_lab::process::wait_for;
use guideway_lab::{Device, GuidewayConfig, LabOptions, address, freeze_thread, runnable};
use serde_json::Value;
use std::time::Duration;

/// How long the thread stands still: many times the checks' timeout.
const FREEZE: Duration = Duration::from_secs(1);

/// What must not change: generation, and of every backend its state and since when.
fn judgement(status: &Value) -> Vec<Value> {
    let pools = status["pools"].as_array().into_iter().flatten();
    let backends = pools.flat_map(backends_of).flat_map(|backend| [&backend["state"], &backend["since_unix"]]);
    std::iter::once(&status["generation"]).chain(backends).cloned().collect()
}

fn checks_sent(status: &Value) -> Result<u64> {
    status["control"]["probes_sent"].as_u64().context("no count of probes")
}

fn stands_still(device: Device) -> Result<()> {
    let vip = address::vip_v4(10);
    let site = Site::start(LabOptions::new(), |lab| {
        let mut config = GuidewayConfig::new(lab, device, &[1]).pool(lab, "web", "l2dsr", false);
        config.pool[0].health.extend(table([("timeout", "200ms".into())]));
        config.vip(vip, "tcp", 80, "web")
    })?;
    let load = site.load(http(vip))?;
    wait_for_good(&load, 100)?;
    let before = site.guideway.status()?;
    let good = load.report().good;

    let stood = freeze_thread(site.guideway.process().id(), "gw-rt", FREEZE)?;
    ensure!(stood >= FREEZE, "it stood still for {stood:?} only");
    ensure!(load.report().good > good, "no request was answered meanwhile");
    // Whatever the thread concludes from its absence, it concludes it within the next rounds of checks.
    wait_for("checks to go on", PATIENCE, || {
        Ok((checks_sent(&site.guideway.status()?)? > checks_sent(&before)? + 150).then_some(()))
    })?;
    let after = site.guideway.status()?;
    println!("{device:?}: {} checks void after {stood:?}", after["control"]["probes_void"]);
    assert_eq!(judgement(&before), judgement(&after), "{}", site.log());
    let report = load.stop()?;
    ensure!(report.failures.is_empty(), "{:?}", report.failures);
    Ok(())
}

#[test]
fn over_af_packet() -> Result<()> {
    if !runnable("a frozen control thread over af_packet") {
        return Ok(());
    }
    stands_still(Device::AfPacket)
}

#[test]
fn over_af_xdp() -> Result<()> {
    if !runnable("a frozen control thread over af_xdp") {
        return Ok(());
    }
    stands_still(Device::AfXdp)
}
