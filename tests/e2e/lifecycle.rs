//! Beginning and end: in order, by a crash, and with a process that is there already.

use crate::hugepages::Hugepages;
use crate::setup::{BINARY, Site, http, patient_checks, wait_for_good};
use anyhow::{Result, ensure};
use guideway_lab::{Device, GuidewayConfig, LabOptions, address, runnable};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// An orderly end takes a fraction of a second; this much on a machine that is busy with other things.
const END: Duration = Duration::from_secs(10);
/// Crashes in a row.
const CRASHES: usize = 3;

fn site(device: Device, arguments: &[&str]) -> Result<Site> {
    Site::start_with(LabOptions::new(), arguments, |lab| {
        patient_checks(GuidewayConfig::new(lab, device, &[1]).pool(lab, "web", "l2dsr", false).vip(
            target().ip(),
            "tcp",
            80,
            "web",
        ))
    })
}

fn target() -> SocketAddr {
    http(address::vip_v4(10))
}

/// SIGTERM under load: exit code 0, every buffer back, nothing left behind.
fn ends_in_order(device: Device) -> Result<()> {
    let mut site = site(device, &[])?;
    let load = site.load(target())?;
    wait_for_good(&load, 100)?;
    let begun = Instant::now();
    let status = site.guideway.terminate()?;
    let took = begun.elapsed();
    println!("{device:?}: ended {took:?} after SIGTERM");
    let log = site.log();
    ensure!(status.code() == Some(0), "{status}\n{log}");
    ensure!(took < END, "took {took:?}\n{log}");
    ensure!(log.contains("every packet buffer is accounted for"), "{log}");
    ensure!(!site.guideway.socket().exists(), "the control socket is still there");
    let link = site.lab.balancer().exec("ip", &["link", "show", "gw0"])?;
    ensure!(!link.contains("xdp"), "an XDP program was left behind: {link}");
    drop(load);
    site.start_again(&[])?;
    ensure!(!site.log().contains("replaced"), "there was nothing to replace\n{}", site.log());
    site.requests(target(), 30)?;
    Ok(())
}

/// SIGKILL under load, and again at once, some times.
fn survives_crashes(device: Device, arguments: &[&str], banner: &str) -> Result<()> {
    let mut site = site(device, arguments)?;
    ensure!(site.log().contains(banner), "{}", site.log());
    for crash in 0..CRASHES {
        let load = site.load(target())?;
        wait_for_good(&load, 50)?;
        site.guideway.kill()?;
        ensure!(site.guideway.socket().exists(), "a crash leaves the control socket");
        site.start_again(arguments)?;
        drop(load);
        let log = site.log();
        ensure!(log.contains(banner), "crash {crash}: {log}");
        ensure!(log.contains("replaced the control socket"), "crash {crash}: {log}");
        if device == Device::AfXdp {
            ensure!(log.contains("XDP program") && log.contains("was left on gw0"), "crash {crash}: {log}");
        }
        site.requests(target(), 50)?;
    }
    let status = site.guideway.terminate()?;
    ensure!(status.code() == Some(0) && site.log().contains("every packet buffer is accounted for"), "{}", site.log());
    Ok(())
}

/// What the first line says of memory.
const WITHOUT: &str = ", no hugepages";
const WITH: &str = ", hugepages\n";

#[test]
fn sigterm_over_af_packet() -> Result<()> {
    if !runnable("SIGTERM over af_packet") {
        return Ok(());
    }
    ends_in_order(Device::AfPacket)
}

#[test]
fn sigterm_over_af_xdp() -> Result<()> {
    if !runnable("SIGTERM over af_xdp") {
        return Ok(());
    }
    ends_in_order(Device::AfXdp)
}

#[test]
fn sigkill_over_af_packet() -> Result<()> {
    if !runnable("SIGKILL over af_packet") {
        return Ok(());
    }
    survives_crashes(Device::AfPacket, &["--no-hugepages"], WITHOUT)
}

#[test]
fn sigkill_over_af_xdp() -> Result<()> {
    if !runnable("SIGKILL over af_xdp") {
        return Ok(());
    }
    survives_crashes(Device::AfXdp, &["--no-hugepages"], WITHOUT)
}

#[test]
fn sigkill_with_hugepages() -> Result<()> {
    if !runnable("SIGKILL with hugepages") {
        return Ok(());
    }
    let Some(_pages) = Hugepages::reserve("SIGKILL with hugepages") else { return Ok(()) };
    survives_crashes(Device::AfPacket, &[], WITH)?;
    survives_crashes(Device::AfXdp, &[], WITH)
}

#[test]
fn a_second_process_with_the_same_socket_is_refused() -> Result<()> {
    if !runnable("a second process") {
        return Ok(());
    }
    let site = site(Device::AfPacket, &[])?;
    let load = site.load(target())?;
    wait_for_good(&load, 20)?;
    let before = site.guideway.status()?["pid"].take();
    let mut second = site.lab.balancer().command(BINARY);
    let output = second.args(["run", "--config"]).arg(site.guideway.config_file()).output()?;
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{message}");
    ensure!(message.contains("another guideway answers on this control socket"), "{message}");
    ensure!(message.contains(&*site.guideway.socket().to_string_lossy()), "{message}");
    let after = load.report().good;
    wait_for_good(&load, after + 50)?;
    let report = load.stop()?;
    ensure!(report.failures.is_empty(), "the first process took harm: {:?}", report.failures);
    assert_eq!(site.guideway.status()?["pid"], before);
    Ok(())
}
