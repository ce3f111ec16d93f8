//! The drain of a machine: it falls silent, carries what is there to its end, and stops.

use crate::download::Download;
use crate::setup::{BINARY, PATIENCE, Site, http, wait_for_good};
use anyhow::{Context, Result, ensure};
use guideway_lab::process::wait_for;
use guideway_lab::{address, ping_with, runnable};
use std::net::SocketAddr;
use std::process::{Command, Output, Stdio};

const POOL: &str = "web";

fn target() -> SocketAddr {
    http(address::vip_v4(10))
}

fn command(site: &Site, arguments: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    command.args(["drain", "--node"]).args(arguments).arg("--socket").arg(site.guideway.socket());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run(site: &Site, arguments: &[&str]) -> Result<Output> {
    command(site, arguments).output().context("cannot run the program")
}

fn answers_echo(site: &Site) -> bool {
    ping_with(site.lab.client(), address::vip_v4(10), 56).is_ok()
}

#[test]
fn a_machine_drains_without_breaking_what_it_carries() -> Result<()> {
    if !runnable("the drain of a machine") {
        return Ok(());
    }
    let mut site = Site::of_changes(POOL, target(), "4s")?;
    let (_, download) = Download::from_each(&site.lab, target())?.pop_first().context("a download")?;
    ensure!(answers_echo(&site), "before");

    // Begun and undone.
    ensure!(run(&site, &[])?.status.success());
    ensure!(site.guideway.control(&["status"])?.contains("this machine drains since"));
    ensure!(!answers_echo(&site), "while it drains");
    let load = site.load(target())?;
    wait_for_good(&load, 50)?;
    let report = load.stop()?;
    ensure!(report.failures.is_empty(), "what still arrives is served: {:?}", report.failures);
    ensure!(run(&site, &["--cancel"])?.status.success());
    wait_for("an answer to an echo request", PATIENCE, || Ok(answers_echo(&site).then_some(())))?;
    let told = site.guideway.control(&["changes", "--last", "2"])?;
    let told: Vec<&str> = told.lines().filter_map(|line| line.split_once(": node: ").map(|(_, what)| what)).collect();
    let ask = "{\"quiet_seconds\":10.0}";
    assert_eq!(told, [format!("drain: null -> {ask}"), format!("cancel drain: {ask} -> null")]);
    let again = run(&site, &["--cancel"])?;
    ensure!(!again.status.success() && String::from_utf8_lossy(&again.stderr).contains("does not drain"), "{again:?}");

    // To its end.
    let waits = command(&site, &["--wait", "--quiet", "3s"]).spawn().context("cannot run the program")?;
    std::thread::sleep(std::time::Duration::from_secs(5));
    ensure!(download.is_under_way(), "the download ended too early to say anything");
    ensure!(site.guideway.process().log_tail(5).contains("drains"), "{}", site.log());
    site.guideway.status().context("it goes on while packets come")?;
    download.finish().with_context(|| site.log())?;
    let ended = waits.wait_with_output()?;
    ensure!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    ensure!(String::from_utf8_lossy(&ended.stdout).contains("drained and stopped"));
    let status = wait_for("the end of the process", PATIENCE, || site.guideway.try_wait())?;
    let log = site.log();
    ensure!(status.success() && log.contains("every packet buffer is accounted for"), "{status}: {log}");
    Ok(())
}
