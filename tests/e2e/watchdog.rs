//! systemd is told that all is well only while every worker polls and the control threads come round.

use crate::setup::{BINARY, PATIENCE, Site, patient_checks};
use anyhow::{Context, Result, ensure};
use guideway_lab::process::wait_for;
use guideway_lab::{Device, GuidewayConfig, LabOptions, Process, address, freeze_thread, runnable};
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

/// What systemd would give: it is told four times in it.
const LIMIT: Duration = Duration::from_secs(2);
/// How long a thread stands still: ten times as often as that.
const FREEZE: Duration = Duration::from_secs(5);
/// What was on its way when the thread stopped, and when it went on.
const ON_THE_WAY: usize = 3;

/// Takes what was told so far; how often it was that all is well.
fn well(told: &UnixDatagram) -> usize {
    let mut buffer = [0; 4096];
    let mut count = 0;
    while let Ok(length) = told.recv(&mut buffer) {
        count += String::from_utf8_lossy(&buffer[..length]).lines().filter(|line| *line == "WATCHDOG=1").count();
    }
    count
}

#[test]
fn is_fed_while_threads_do_their_work() -> Result<()> {
    if !runnable("the watchdog") {
        return Ok(());
    }
    let lab = Site::lab(LabOptions::new())?;
    let config = GuidewayConfig::new(&lab, Device::AfPacket, &[1]).pool(&lab, "web", "l2dsr", false);
    let config = patient_checks(config.vip(address::vip_v4(10), "tcp", 80, "web"));
    let (file, notify) = (lab.folder().join("guideway.toml"), lab.folder().join("notify.sock"));
    std::fs::write(&file, config.text()?)?;
    let told = UnixDatagram::bind(&notify).context("cannot bind")?;
    told.set_nonblocking(true)?;
    let mut command = lab.balancer().command(BINARY);
    command.args(["run", "--no-hugepages", "--config"]).arg(&file).env("NOTIFY_SOCKET", &notify);
    command.env("WATCHDOG_USEC", LIMIT.as_micros().to_string());
    let mut process = Process::spawn(&mut command, "guideway", &lab.folder().join("guideway.log"))?;
    let is_fed = || wait_for("the watchdog to be fed", PATIENCE, || Ok((well(&told) > 0).then_some(())));

    is_fed().with_context(|| process.log_tail(30))?;
    for thread in ["gw-worker-0", "gw-rt", "gw-bg"] {
        well(&told);
        freeze_thread(process.id(), thread, FREEZE)?;
        let count = well(&told);
        ensure!(count <= ON_THE_WAY, "{thread} stood still for {FREEZE:?}, and all was well {count} times");
        is_fed().with_context(|| format!("after {thread} went on\n{}", process.log_tail(30)))?;
    }
    let log = process.log_tail(usize::MAX);
    ensure!(log.contains("this worker does not poll") && log.contains("a control thread does not come round"), "{log}");
    let status = process.terminate(PATIENCE)?;
    ensure!(status.code() == Some(0), "{status}\n{}", process.log_tail(30));
    Ok(())
}
