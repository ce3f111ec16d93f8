//! The API over TCP, as an operator uses it from a shell: who is let in, and that the log of changes says who it was.

use crate::setup::{PATIENCE, Site, http, patient_checks};
use anyhow::{Context, Result, ensure};
use guideway_lab::config::table;
use guideway_lab::process::wait_for;
use guideway_lab::{Device, GuidewayConfig, Lab, LabOptions, address, runnable};
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;

/// Where the API listens, in the balancer's namespace.
const LISTEN: &str = "127.0.0.1:9400";
const TOKEN: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f0";
const STATUS: &str = "/v1/status";
const WEIGHT: &str = "/v1/pools/web/backends/web1/weight";

fn configuration(lab: &Lab) -> Result<GuidewayConfig> {
    let file = lab.folder().join("token");
    std::fs::write(&file, format!("{TOKEN}\n")).context("cannot write the token")?;
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).context("cannot close the token")?;
    let mut config = GuidewayConfig::new(lab, Device::AfPacket, &[1]).pool(lab, "web", "l2dsr", false);
    config.api.insert("listen".to_owned(), LISTEN.into());
    config.api.insert("token_file".to_owned(), file.to_string_lossy().into_owned().into());
    let stdout = toml::Table::from_iter([("to".to_owned(), "stdout".into())]);
    config.audit = Some(table([("changes", stdout.into())]));
    Ok(patient_checks(config.vip(address::vip_v4(10), "tcp", 80, "web")))
}

/// What curl gets with these options: the code, and the body.
fn curl(site: &Site, path: &str, token: Option<&str>, options: &[&str]) -> Result<(u16, String)> {
    let header = token.map(|token| format!("Authorization: Bearer {token}"));
    let header: Vec<&str> = header.iter().flat_map(|header| ["-H", header]).collect();
    let url = format!("http://{LISTEN}{path}");
    let common = ["-sS", "--max-time", "60", "-w", "\n%{http_code}", &url];
    let output = site.lab.balancer().exec("curl", &[&common, &header[..], options].concat())?;
    let (body, code) = output.trim_end().rsplit_once('\n').context("no code")?;
    Ok((code.parse().with_context(|| output.clone())?, body.to_owned()))
}

fn weight(site: &Site) -> Result<Value> {
    Ok(site.guideway.backend("web", "web1")?["weight"].take())
}

#[test]
fn the_token_lets_in_and_the_log_says_who_changed_what() -> Result<()> {
    if !runnable("the API over TCP") {
        return Ok(());
    }
    let lab = Site::lab(LabOptions::new())?;
    let config = configuration(&lab)?;
    let site = Site::start_in(lab, config, &[])?;
    let change = ["-d", r#"{"weight": 5}"#];
    for token in [None, Some(""), Some("0f1e2d3c4b5a69788796a5b4c3d2e1f1"), Some(&TOKEN[1..])] {
        for (path, options) in [(STATUS, &[][..]), (WEIGHT, &change[..])] {
            let (code, body) = curl(&site, path, token, options)?;
            ensure!(code == 401 && body.contains("token_file"), "{token:?} {path}: {code} {body}");
        }
    }
    assert_eq!(weight(&site)?, 1, "who is not let in changes nothing");
    let (code, status) = curl(&site, STATUS, Some(TOKEN), &[])?;
    let status: Value = serde_json::from_str(&status).context("the status is no JSON")?;
    assert_eq!((code, &status["pid"]), (200, &site.guideway.status()?["pid"]));
    let (code, changed) = curl(&site, WEIGHT, Some(TOKEN), &change)?;
    ensure!(code == 200, "{code}: {changed}");
    assert_eq!(weight(&site)?, 5);
    site.requests(http(address::vip_v4(10)), 30)?;

    let listed = site.guideway.control(&["changes", "--last", "1"])?;
    let (author, what) = listed.trim_end().split_once(": ").context("no author")?;
    assert_eq!(what, r#"backend web/web1: weight: {"weight":1} -> {"weight":5}"#);
    let from = author.split_once(" api 127.0.0.1:").and_then(|(_, rest)| rest.strip_suffix(" token"));
    ensure!(from.is_some_and(|port| port.parse::<u16>().is_ok()), "{listed}");
    // The same on standard output, a line of JSON.
    let line = wait_for("the change on standard output", PATIENCE, || {
        let log = site.log();
        let told = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        Ok(told.into_iter().find(|line| line["change"] == "weight"))
    })?;
    let by = &line["by"];
    ensure!(by["kind"] == "tcp" && by["token"] == true && by["address"].is_string(), "{line}");

    // The command over the socket has another author.
    site.guideway.control(&["backend", "weight", "web/web1", "1"])?;
    let listed = site.guideway.control(&["changes", "--last", "1"])?;
    ensure!(listed.contains(" api uid 0 pid "), "{listed}");
    Ok(())
}
