//! Every kind of health check before real servers, by both ways: up while they answer rightly, down when they do not.

use crate::setup::{PATIENCE, Site};
use anyhow::{Context, Result, ensure};
use guideway_lab::config::table;
use guideway_lab::process::wait_for;
use guideway_lab::{Device, EchoServer, Guideway, GuidewayConfig, Lab, LabOptions, Nginx, Process, address, runnable};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use toml::Value as Toml;

const POOL: &str = "web";
/// The backend whose server goes wrong.
const VICTIM: usize = 2;
const NAME: &str = "web2";

/// The options of a check that a busy machine has time for.
fn check<const N: usize>(kind: &str, via: &str, options: [(&str, Toml); N]) -> BTreeMap<String, Toml> {
    let mut health = table(options);
    health.extend(table([
        ("kind", kind.into()),
        ("via", via.into()),
        ("interval", "100ms".into()),
        ("fast_interval", "50ms".into()),
        ("timeout", "3s".into()),
    ]));
    health
}

/// A lab with a pool that is checked like that, in front of whatever runs there.
fn start(lab: &Lab, forward: &str, health: BTreeMap<String, Toml>) -> Result<(GuidewayConfig, Guideway)> {
    let mut config = GuidewayConfig::new(lab, Device::AfPacket, &[1]).pool(lab, POOL, forward, false);
    config.pool[0].health = health;
    let config = config.vip(address::vip_v4(10), "tcp", 80, POOL);
    let guideway = Guideway::start(lab, Path::new(crate::setup::BINARY), &config)?;
    Ok((config, guideway))
}

fn all_up(lab: &Lab, guideway: &Guideway) -> Result<()> {
    for backend in lab.backends() {
        let state = guideway.wait_for_state(POOL, backend.name(), "up", PATIENCE);
        state.with_context(|| format!("{:#}", guideway.pool(POOL).unwrap_or(Value::Null)))?;
    }
    Ok(())
}

/// Everybody is up; the victim goes down by `harm`, with a reason that holds `reason`, and nobody else does.
fn finds(forward: &str, health: BTreeMap<String, Toml>, harm: impl FnOnce(&mut Nginx), reason: &str) -> Result<()> {
    let lab = Site::lab(LabOptions::new())?;
    let mut servers = lab.start_nginx()?;
    let tunnels = lab.backends().iter().filter(|_| forward != "l2dsr").map(|backend| backend.start_decap());
    let _decaps = tunnels.collect::<Result<Vec<Process>>>()?;
    let (_config, guideway) = start(&lab, forward, health)?;
    all_up(&lab, &guideway)?;
    harm(&mut servers[VICTIM - 1]);
    guideway.wait_for_state(POOL, NAME, "down", PATIENCE)?;
    let said = guideway.backend(POOL, NAME)?;
    ensure!(said["reason"].as_str().is_some_and(|text| text.contains(reason)), "{said:#}");
    ensure!(guideway.backend(POOL, "web1")?["state"] == "up", "{:#}", guideway.pool(POOL)?);
    Ok(())
}

#[test]
fn http_finds_a_server_that_is_gone_by_the_way_of_traffic() -> Result<()> {
    if !runnable("http checks over af_packet") {
        return Ok(());
    }
    for forward in ["l2dsr", "ipip"] {
        let health = check("http", "dataplane", [("expect_status", 200.into()), ("expect_body", "web".into())]);
        finds(forward, health, |server| server.kill().expect("a process"), "refused")?;
    }
    Ok(())
}

#[test]
fn http_by_the_way_of_traffic_judges_status_and_body() -> Result<()> {
    if !runnable("http checks over af_packet") {
        return Ok(());
    }
    let lab = Site::lab(LabOptions::new())?;
    let _servers = lab.start_nginx()?;
    let health = check("http", "dataplane", [("path", "/nothing".into())]);
    let (_config, guideway) = start(&lab, "l2dsr", health)?;
    guideway.wait_for_state(POOL, NAME, "down", PATIENCE)?;
    let said = guideway.backend(POOL, NAME)?;
    ensure!(said["reason"] == "HTTP status 404", "{said:#}");
    Ok(())
}

#[test]
fn icmp_and_udp_by_the_way_of_traffic() -> Result<()> {
    if !runnable("icmp and udp checks over af_packet") {
        return Ok(());
    }
    let lab = Site::lab(LabOptions::new())?;
    let vip = address::vip_v4(10);
    let mut echoes = lab.backends().iter().map(|b| EchoServer::start(b, vip, 7)).collect::<Result<Vec<_>>>()?;
    let health = check("udp", "dataplane", [("port", 7.into()), ("send", "ping".into()), ("expect", "ping".into())]);
    let (_config, guideway) = start(&lab, "l2dsr", health)?;
    all_up(&lab, &guideway)?;
    drop(echoes.remove(VICTIM - 1));
    guideway.wait_for_state(POOL, NAME, "down", PATIENCE)?;
    drop(guideway);
    let (_config, guideway) = start(&lab, "l2dsr", check("icmp", "dataplane", []))?;
    all_up(&lab, &guideway)?;
    lab.backend(VICTIM).cut()?;
    guideway.wait_for_state(POOL, NAME, "down", PATIENCE)?;
    let history = guideway.backend(POOL, NAME)?["checks"][0].clone();
    ensure!(history["kind"] == "icmp" && history["failed"].as_u64() >= Some(3), "{history:#}");
    wait_for("the others to stay up", PATIENCE, || Ok((guideway.backend(POOL, "web1")?["state"] == "up").then_some(())))
}
