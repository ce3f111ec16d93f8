//! What is changed at run time, over an orderly end and over a crash.

use crate::setup::{BINARY, PATIENCE, Site, http, patient_checks};
use anyhow::{Context, Result, ensure};
use guideway_lab::config::table;
use guideway_lab::{Device, Guideway, GuidewayConfig, Lab, LabOptions, address, runnable};
use std::net::SocketAddr;
use std::path::Path;

const POOL: &str = "web";
/// Requests that shall be answered: enough that a backend without any would be no accident.
const REQUESTS: u64 = 90;

fn target() -> SocketAddr {
    http(address::vip_v4(10))
}

/// Like [`Site::of_changes`], with a state file.
fn configuration(lab: &Lab) -> GuidewayConfig {
    let mut config = GuidewayConfig::new(lab, Device::AfPacket, &[1]).pool(lab, POOL, "l2dsr", false);
    let file = lab.folder().join("state.json").to_string_lossy().into_owned();
    config.state = Some(table([("arm_time", "200ms".into()), ("file", file.into())]));
    let idle = toml::Table::from_iter([("tcp".to_owned(), "1s".into())]);
    config.pool[0].more.insert("idle_timeout".to_owned(), idle.into());
    patient_checks(config.vip(target().ip(), "tcp", 80, POOL))
}

fn backend(site: &Site, arguments: &[&str]) -> Result<String> {
    site.guideway.control(&[&["backend"], arguments].concat())
}

/// Starts it again. Who gets no connections never counts as up, so only these are waited for.
fn start_again(site: &mut Site, backends: &[&str]) -> Result<()> {
    site.guideway = Guideway::start_with(&site.lab, Path::new(BINARY), &site.config, &[])?;
    backends.iter().try_for_each(|name| site.guideway.wait_for_state(POOL, name, "up", PATIENCE))
}

/// What `guideway status` says of changes at run time.
fn differences(site: &Site) -> Result<Vec<String>> {
    let screen = site.guideway.control(&["status"])?;
    let lines = screen.lines().filter_map(|line| line.strip_prefix("changed at run time: "));
    Ok(lines.map(str::to_owned).collect())
}

/// Who answers new connections.
fn serving(site: &Site) -> Result<Vec<String>> {
    Ok(site.requests(target(), REQUESTS)?.by_backend.into_keys().collect())
}

#[test]
fn what_was_changed_at_run_time_is_there_after_a_restart() -> Result<()> {
    if !runnable("a restart with a state file") {
        return Ok(());
    }
    let mut site = Site::start(LabOptions::new(), configuration)?;
    ensure!(differences(&site)?.is_empty(), "{:?}", differences(&site)?);
    let third = site.lab.backend(3).v4().to_string();
    backend(&site, &["weight", "web/web1", "3"])?;
    backend(&site, &["drain", "web/web2"])?;
    backend(&site, &["remove", "web/web3", "--wait", "--timeout", "60s"])?;
    backend(&site, &["add", "web/web4", &third])?;
    let told = differences(&site)?;
    let expected = [
        "web/web1: weight 3, another one in the file".to_owned(),
        "web/web2: drained".to_owned(),
        "web/web3: removed, still in the file".to_owned(),
        format!("web/web4: added ({third}, weight 1), not in the file"),
    ];
    assert_eq!(told, expected);

    let ended = site.guideway.terminate()?;
    ensure!(ended.success(), "{ended}\n{}", site.log());
    start_again(&mut site, &["web1", "web4"]).with_context(|| site.log())?;
    assert_eq!(differences(&site)?, expected);
    assert_eq!(site.guideway.backend(POOL, "web1")?["weight"], 3);
    ensure!(site.guideway.backend(POOL, "web3").is_err(), "it was removed");
    // The server that was web3 is web4 now, and gives its old name.
    assert_eq!(serving(&site)?, ["web1", "web3"], "who drains gets no new connections");

    // A change that was answered is kept, however the process ends.
    backend(&site, &["enable", "web/web2"])?;
    site.guideway.kill()?;
    start_again(&mut site, &["web1", "web2", "web4"]).with_context(|| site.log())?;
    assert_eq!(differences(&site)?, [&expected[0], &expected[2], &expected[3]].map(Clone::clone));
    assert_eq!(serving(&site)?, ["web1", "web2", "web3"]);
    Ok(())
}
