//! `guideway capture` beside real traffic, read by tshark.

use crate::setup::{BINARY, PATIENCE, Site, http, patient_checks};
use anyhow::{Context, Result, ensure};
use guideway_lab::config::table;
use guideway_lab::process::{run, wait_for};
use guideway_lab::{Device, GuidewayConfig, Lab, LabOptions, address, runnable};
use serde_json::Value;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

/// Starts a capture into a file, and waits until its head is there: then workers look.
fn start(site: &Site, file: &Path, options: &[&str]) -> Result<Child> {
    let mut command = Command::new(BINARY);
    command.arg("capture").arg("--socket").arg(site.guideway.socket()).arg("--out").arg(file).args(options);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    wait_for("the capture to begin", PATIENCE, || {
        let begun = std::fs::metadata(file).is_ok_and(|file| file.len() > 0);
        let status = site.guideway.status()?;
        Ok((begun && status["generation"] == status["acknowledged_generation"]).then_some(()))
    })?;
    Ok(child)
}

/// Fields of the frames that a display filter shows.
fn tshark(file: &Path, filter: &str, fields: &[&str]) -> Result<Vec<Vec<String>>> {
    let mut command = Command::new("tshark");
    command.arg("-r").arg(file).args(["-Y", filter, "-T", "fields"]);
    command.args(fields.iter().flat_map(|field| ["-e", field]));
    let text = run(&mut command)?;
    Ok(text.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect())
}

fn ended(child: Child) -> Result<Output> {
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "{}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    Ok(output)
}

/// A log as a file in the lab's folder.
fn log(lab: &Lab, name: &str) -> toml::Value {
    let path = lab.folder().join(name).to_string_lossy().into_owned();
    toml::Table::from_iter([("to".to_owned(), "file".into()), ("path".to_owned(), path.into())]).into()
}

/// The lines of such a file.
fn lines(site: &Site, name: &str) -> Result<Vec<Value>> {
    let text = std::fs::read_to_string(site.lab.folder().join(name))?;
    text.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

/// Each connection of a client is in the log, and each change of an operator.
fn logs(site: &Site, target: SocketAddr) -> Result<()> {
    let port = "61234";
    let url = format!("http://{target}/");
    site.curl(&["-o", "/dev/null", "--local-port", port, &url])?;
    wait_for("the connection to be logged", PATIENCE, || {
        let told = lines(site, "connections")?;
        let ours = |line: &&Value| line["client"].as_str().is_some_and(|client| client.ends_with(port));
        let Some(line) = told.iter().find(ours) else { return Ok(None) };
        let goes = line["pool"] == "web" && line["backend"].as_str().is_some_and(|name| name.starts_with("web"));
        ensure!(line["event"] == "syn" && line["vip"] == format!("{target}/tcp") && goes, "{line}");
        Ok(Some(()))
    })?;
    site.guideway.control(&["backend", "weight", "web/web1", "3"])?;
    let uid = nix::unistd::getuid().as_raw();
    let told = lines(site, "changes")?;
    let change = told.iter().find(|line| line["change"] == "weight").context("no change")?;
    ensure!(change["by"]["uid"] == uid && change["by"]["pid"].is_number() && change["to"]["weight"] == 3, "{change}");
    ensure!(told.iter().any(|line| line["by"]["kind"] == "health" && line["to"]["health"] == "up"), "{told:?}");
    let listed = site.guideway.control(&["changes", "--last", "1"])?;
    ensure!(listed.contains("backend web/web1: weight: {\"weight\":1} -> {\"weight\":3}"), "{listed}");
    Ok(())
}

#[test]
fn captures_and_logs_tell_what_became_of_packets() -> Result<()> {
    if !runnable("capture") {
        return Ok(());
    }
    let vip = address::vip_v4(1);
    let site = Site::start(LabOptions::new(), |lab| {
        let mut config = GuidewayConfig::new(lab, Device::AfPacket, &[1]).pool(lab, "web", "l2dsr", false);
        config.audit = Some(table([("connections", log(lab, "connections")), ("changes", log(lab, "changes"))]));
        patient_checks(config.vip(vip, "tcp", 80, "web"))
    })?;
    let target = http(vip);
    let folder = tempfile::tempdir()?;

    let file = folder.path().join("client.pcapng");
    let client = address::client_v4(0).to_string();
    let capture = start(&site, &file, &["--client", &client, "--json"])?;
    site.requests(target, 20)?;
    site.curl(&["-o", "/dev/null", &format!("http://{target}/")])?;
    // Nobody serves this port.
    let refused = site.lab.client().exec("curl", &["-sS", "--max-time", "1", &format!("http://{vip}:81/")]);
    ensure!(refused.is_err(), "port 81 answered");
    Command::new("kill").args(["-INT", &capture.id().to_string()]).status()?;
    let summary: Value = serde_json::from_slice(&ended(capture)?.stdout)?;
    let frames = tshark(&file, "frame", &["frame.number"])?.len();
    ensure!(summary["frames"] == frames && summary["lost"].is_null(), "{summary}, and tshark reads {frames}");
    let comes = "frame.interface_name matches \"-in$\"";
    let syns = tshark(&file, &format!("tcp.flags.syn == 1 && tcp.dstport == 80 && {comes}"), &["frame.comment"])?;
    ensure!(!syns.is_empty(), "no SYN came in");
    for comment in syns.iter().flatten() {
        let begins = format!("verdict=forward vip={target}/tcp pool=web backend=web/");
        ensure!(comment.starts_with(&begins) && comment.contains(" by=slot generation="), "{comment}");
    }
    let leaving = tshark(&file, "tcp.dstport == 80 && frame.interface_name matches \"-out$\"", &["eth.dst"])?;
    let macs: Vec<String> = site.lab.backends().iter().map(|backend| address::mac_text(backend.mac())).collect();
    ensure!(!leaving.is_empty() && leaving.iter().flatten().all(|mac| macs.contains(mac)), "{leaving:?}, {macs:?}");
    let sources = tshark(&file, "ip", &["ip.src"])?;
    ensure!(sources.iter().flatten().all(|source| *source == client), "another client: {sources:?}");

    let file = folder.path().join("drops.pcapng");
    let capture = start(&site, &file, &["--drop", "vip_no_service", "--count", "1"])?;
    let refused = site.lab.client().exec("curl", &["-sS", "--max-time", "1", &format!("http://{vip}:81/")]);
    ensure!(refused.is_err(), "port 81 answered");
    let output = ended(capture)?;
    ensure!(String::from_utf8_lossy(&output.stderr).contains(" 1 frames, "), "{output:?}");
    let drops = tshark(&file, "frame.comment contains \"reason=vip_no_service\"", &["tcp.dstport", "frame.comment"])?;
    ensure!(drops.len() == 1 && drops[0][0] == "81", "{drops:?}");

    let probes = folder.path().join("probes.pcapng");
    let capture = start(&site, &probes, &["--backend", "web/web1", "--direction", "out", "--count", "2"])?;
    ended(capture)?;
    let injected = tshark(&probes, "frame.comment contains \"verdict=inject\" && tcp.flags.syn == 1", &["eth.dst"])?;
    ensure!(!injected.is_empty() && injected.iter().flatten().all(|mac| *mac == macs[0]), "{injected:?}");

    let mut wrong = Command::new(BINARY);
    wrong.args(["capture", "--drop", "bad_luck", "--out", "-", "--socket"]).arg(site.guideway.socket());
    let output = wrong.output()?;
    ensure!(output.status.code() == Some(2) && output.stdout.is_empty(), "{output:?}");
    ensure!(String::from_utf8_lossy(&output.stderr).contains("docs/drops.md"), "{output:?}");
    // Last: it changes a weight, and while slots change it is not always they alone that decide.
    logs(&site, target)
}
