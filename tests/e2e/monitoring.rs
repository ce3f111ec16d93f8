//! Metrics as an operator has them: a real Prometheus scrapes a real load balancer, with the files of the documentation.

use crate::setup::{PATIENCE, Site, http, patient_checks};
use anyhow::{Context, Result, ensure};
use guideway_lab::process::{run, wait_for};
use guideway_lab::{Device, GuidewayConfig, LabOptions, Process, address};
use serde_json::Value;
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where the files are that operators get.
fn documented(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/monitoring").join(file)
}

fn promtool(arguments: &[&str]) -> Result<String> {
    run(Command::new("promtool").args(arguments))
}

/// A TCP address that leads to a control socket, for a Prometheus that opens no unix sockets. It lasts as long as the
/// test's process.
fn relay(socket: &Path) -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").context("cannot listen")?;
    let address = listener.local_addr()?;
    let socket = socket.to_owned();
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let socket = socket.clone();
            std::thread::spawn(move || join(&client, &socket));
        }
    });
    Ok(address)
}

/// Moves bytes in both directions until both sides have ended.
fn join(client: &TcpStream, socket: &Path) -> std::io::Result<()> {
    let server = UnixStream::connect(socket)?;
    let (mut from_client, mut to_server) = (client.try_clone()?, server.try_clone()?);
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut from_client, &mut to_server);
        let _ = to_server.shutdown(std::net::Shutdown::Write);
    });
    std::io::copy(&mut &server, &mut &*client)?;
    client.shutdown(std::net::Shutdown::Write)
}

/// A running Prometheus with the files of the documentation, all but the addresses.
struct Prometheus {
    _process: Process,
    address: SocketAddr,
}

impl Prometheus {
    fn start(folder: &Path, target: SocketAddr) -> Result<Self> {
        let token = folder.join("token");
        std::fs::write(&token, "secret\n")?;
        std::fs::copy(documented("alerts.yml"), folder.join("alerts.yml"))?;
        let config = std::fs::read_to_string(documented("prometheus.yml"))?;
        let edits = [
            ("127.0.0.1:9400", target.to_string()),
            ("/etc/guideway/token", token.to_string_lossy().into_owned()),
            ("_interval: 5s", "_interval: 200ms".to_owned()),
        ];
        let config = edits.iter().try_fold(config, |config, (from, to)| {
            ensure!(config.contains(from), "no {from} in prometheus.yml");
            Ok(config.replace(from, to))
        })?;
        let file = folder.join("prometheus.yml");
        std::fs::write(&file, config)?;
        promtool(&["check", "config", &file.to_string_lossy()])?;
        // Free a moment ago: who takes it meanwhile makes the test fail, not pass.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let mut command = Command::new("prometheus");
        command
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("prometheus").display()))
            .arg(format!("--web.listen-address={address}"));
        let process = Process::spawn(&mut command, "prometheus", &folder.join("prometheus.log"))?;
        let prometheus = Self { _process: process, address };
        wait_for("Prometheus to be ready", PATIENCE, || Ok(prometheus.get("/-/ready", "").is_ok().then_some(())))?;
        Ok(prometheus)
    }

    fn get(&self, path: &str, query: &str) -> Result<String> {
        let url = format!("http://{}{path}", self.address);
        let mut command = Command::new("curl");
        command.args(["-sSf", "--max-time", "20", "--get", &url]);
        if !query.is_empty() {
            command.args(["--data-urlencode", &format!("query={query}")]);
        }
        run(&mut command)
    }

    fn api(&self, path: &str, query: &str) -> Result<Value> {
        let text = self.get(&format!("/api/v1/{path}"), query)?;
        let mut answer: Value = serde_json::from_str(&text).with_context(|| format!("no JSON: {text}"))?;
        ensure!(answer["status"] == "success", "{answer}");
        Ok(answer["data"].take())
    }

    /// The value of a query that gives one; `None`: it gives none.
    fn value(&self, query: &str) -> Result<Option<f64>> {
        let data = self.api("query", query)?;
        let text = data["result"][0]["value"][1].as_str();
        text.map(|text| text.parse().with_context(|| format!("no number: {text}"))).transpose()
    }

    fn wait_for(&self, query: &str, good: impl Fn(f64) -> bool) -> Result<()> {
        let mut last = None;
        let came = wait_for(query, PATIENCE, || {
            last = self.value(query)?;
            Ok(last.is_some_and(&good).then_some(()))
        });
        came.with_context(|| format!("the last value is {last:?}"))
    }
}

#[test]
fn prometheus_scrapes_it_and_loads_its_alerts() -> Result<()> {
    let mut site = Site::start(LabOptions::new().backends(2), |lab| {
        let config = GuidewayConfig::new(lab, Device::AfPacket, &[1]).pool(lab, "web", "l2dsr", false);
        patient_checks(config.vip(address::vip_v4(10), "tcp", 80, "web"))
    })?;
    site.requests(http(address::vip_v4(10)), 50)?;
    let target = relay(site.guideway.socket())?;
    let prometheus = Prometheus::start(site.lab.folder(), target)?;
    prometheus.wait_for("up{job=\"guideway\"}", |up| up == 1.0)?;
    prometheus.wait_for("sum(guideway_vip_packets_total{pool=\"web\"})", |packets| packets >= 250.0)?;
    prometheus.wait_for("sum(guideway_backend_up)", |up| up == 2.0)?;
    prometheus.wait_for("min(guideway_backend_check_rtt_seconds)", |rtt| rtt > 0.0 && rtt < 3.0)?;
    let metadata = prometheus.api("metadata", "")?;
    ensure!(metadata["guideway_dropped_packets"][0]["type"] == "counter", "OpenMetrics was read: {metadata:#}");

    // The alerts are there and can be evaluated; one of them says what is wrong.
    site.servers.pop();
    prometheus.wait_for("guideway_pool_backends{pool=\"web\",state=\"down\"}", |down| down == 1.0)?;
    prometheus.wait_for("ALERTS{alertname=\"GuidewayBackendDown\",pool=\"web\"}", |active| active == 1.0)?;
    let groups = prometheus.api("rules", "")?;
    let rules = groups["groups"][0]["rules"].as_array().context("no rules")?;
    let written = std::fs::read_to_string(documented("alerts.yml"))?.matches("- alert: ").count();
    ensure!(rules.len() == written && written > 12, "{} of {written} rules", rules.len());
    for rule in rules {
        ensure!(rule["health"] == "ok", "{rule:#}");
    }

    // What the dashboard asks can be answered.
    for expression in expressions(&serde_json::from_str(&std::fs::read_to_string(documented("dashboard.json"))?)?) {
        let query = expression.replace("$__rate_interval", "1m").replace("$instance", ".*").replace("$pool", ".*");
        prometheus.api("query", &query).with_context(|| query.clone())?;
    }

    // What scrapes found stays as it is in the format of before.
    let text = run(Command::new("curl")
        .args(["-sSf", "--unix-socket"])
        .arg(site.guideway.socket())
        .arg("http://guideway/metrics"))?;
    check_metrics(&text)
}

/// The expressions of all panels.
fn expressions(dashboard: &Value) -> Vec<String> {
    let panels = dashboard["panels"].as_array().into_iter().flatten();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    targets.filter_map(|target| target["expr"].as_str().map(str::to_owned)).collect()
}

/// `promtool check metrics`: it reads from its standard input, and finds names, types and help texts that are not usual.
fn check_metrics(text: &str) -> Result<()> {
    let mut command = Command::new("promtool");
    command.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().context("cannot run promtool (scripts/setup installs it)")?;
    child.stdin.take().context("no standard input")?.write_all(text.as_bytes())?;
    let output = child.wait_with_output()?;
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success() && said.trim().is_empty(), "{said}");
    Ok(())
}

#[test]
fn alerts_fire_when_they_should_and_only_then() -> Result<()> {
    let file = |name| documented(name).to_string_lossy().into_owned();
    let checked = promtool(&["check", "rules", &file("alerts.yml")])?;
    ensure!(checked.contains("SUCCESS"), "{checked}");
    promtool(&["test", "rules", &file("alerts_test.yml")])?;
    Ok(())
}

#[test]
fn every_alert_is_explained() -> Result<()> {
    let alerts = std::fs::read_to_string(documented("alerts.yml"))?;
    let readme = std::fs::read_to_string(documented("README.md"))?;
    let names: Vec<&str> = alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    let told: Vec<&str> = readme.lines().filter_map(|line| line.strip_prefix("### ")).collect();
    ensure!(names == told, "alerts.yml has {names:?}, README.md {told:?}");
    for text in readme.split("\n### ").skip(1) {
        ensure!(text.contains("\n- Cause: ") && text.contains("\n- Cure: "), "{text}");
    }
    Ok(())
}
