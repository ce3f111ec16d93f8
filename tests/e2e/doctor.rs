//! `doctor` on a real machine: what a killed process left is named and cleared; what is in use is left alone.

use crate::setup::{BINARY, Site, http, patient_checks};
use anyhow::{Context, Result, ensure};
use guideway_lab::{Device, GuidewayConfig, LabOptions, address, runnable};
use serde_json::Value;

/// Runs `doctor` in the balancer's namespace; its findings and its exit code.
fn doctor(site: &Site, arguments: &[&str]) -> Result<(Value, Option<i32>)> {
    let mut command = site.lab.balancer().command(BINARY);
    command.args(["doctor", "--json", "--config"]).arg(site.guideway.config_file()).args(arguments);
    let output = command.output().context("cannot run doctor")?;
    let errors = String::from_utf8_lossy(&output.stderr);
    let findings = serde_json::from_slice(&output.stdout).with_context(|| format!("no JSON; {errors}"))?;
    Ok((findings, output.status.code()))
}

fn ids(findings: &Value) -> Vec<&str> {
    findings["checks"].as_array().into_iter().flatten().filter_map(|check| check["id"].as_str()).collect()
}

#[test]
fn what_a_killed_process_left_is_cleared() -> Result<()> {
    if !runnable("doctor --fix") {
        return Ok(());
    }
    let mut site = Site::start_with(LabOptions::new(), &["--no-hugepages"], |lab| {
        let config = GuidewayConfig::new(lab, Device::AfXdp, &[1]).pool(lab, "web", "l2dsr", false);
        patient_checks(config.vip(address::vip_v4(10), "tcp", 80, "web"))
    })?;
    let (running, code) = doctor(&site, &["--fix"])?;
    ensure!(
        code == Some(0) && ids(&running).contains(&"leftover"),
        "a process runs: nothing is left over: {running:#}"
    );
    site.requests(http(address::vip_v4(10)), 20)?;

    site.guideway.kill()?;
    let (left, _) = doctor(&site, &[])?;
    for id in ["leftover.socket", "leftover.xdp"] {
        ensure!(ids(&left).contains(&id), "{id} is not named: {left:#}");
    }
    let (cleared, code) = doctor(&site, &["--fix"])?;
    ensure!(code == Some(0) && ids(&cleared).contains(&"leftover"), "{cleared:#}");
    ensure!(!site.guideway.socket().exists(), "the socket is still there");
    let link = site.lab.balancer().exec("ip", &["-d", "link", "show", "gw0"])?;
    ensure!(!link.contains("xdp") && !link.contains("PROMISC"), "{link}");

    site.start_again(&["--no-hugepages"])?;
    ensure!(!site.log().contains("was left on"), "there was nothing left\n{}", site.log());
    Ok(())
}
