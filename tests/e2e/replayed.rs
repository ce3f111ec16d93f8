//! A capture of real traffic, replayed: twice the same, and the same decisions as the live run took.

use crate::setup::{BINARY, PATIENCE, Site, http, patient_checks};
use anyhow::{Context, Result, ensure};
use guideway_lab::address::{self, mac_text};
use guideway_lab::config::table;
use guideway_lab::process::wait_for;
use guideway_lab::{Analysis, Capture, Device, GuidewayConfig, Lab, LabOptions, Process, runnable};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;
use toml::Value as Toml;

/// How long a frame may be on its way from the wire to tcpdump's reading.
const SETTLE: Duration = Duration::from_millis(300);
/// Requests in each family.
const REQUESTS: u64 = 60;

/// The live load balancer and the replay read the same file: next hops are in it, since a replay can ask nobody.
fn configure(lab: &Lab) -> GuidewayConfig {
    let mut config = GuidewayConfig::new(lab, Device::AfPacket, &[1])
        .pool(lab, "direct", "l2dsr", false)
        .pool(lab, "tunnel", "ipip", true)
        .vip(address::vip_v4(10), "tcp", 80, "direct")
        .vip(address::vip_v6(10), "tcp", 80, "tunnel");
    let neighbors = lab.backends().iter().flat_map(|backend| {
        [backend.v4().to_string(), backend.v6().to_string()]
            .map(|address| table([("address", address.into()), ("mac", mac_text(backend.mac()).into())]))
    });
    let neighbors: Vec<Toml> = neighbors.map(|neighbor| Toml::Table(neighbor.into_iter().collect())).collect();
    config.interface[0].insert("neighbor".into(), neighbors.into());
    patient_checks(config)
}

/// tcpdump where the frames arrive, with all of their bytes.
struct Arrivals {
    process: Process,
    file: PathBuf,
}

impl Arrivals {
    fn capture(lab: &Lab) -> Result<Self> {
        let file = lab.folder().join("arrivals.pcap");
        let name = file.to_string_lossy();
        let arguments = [
            "-i",
            "gw0",
            "-Q",
            "in",
            "-w",
            &name,
            "-U",
            "-n",
            "-s",
            "0",
            "-B",
            "32768",
            "-Z",
            "root",
            "--immediate-mode",
        ];
        let mut process = lab.balancer().spawn("tcpdump", &arguments, &file.with_extension("log"))?;
        wait_for("tcpdump to listen", PATIENCE, || {
            ensure!(process.try_wait()?.is_none(), "tcpdump ended: {}", process.log_tail(10));
            Ok(process.log_tail(5).contains("listening on").then_some(()))
        })?;
        Ok(Self { process, file })
    }

    fn finish(mut self) -> Result<PathBuf> {
        sleep(SETTLE);
        self.process.signal(Signal::SIGINT)?;
        self.process.wait(PATIENCE)?;
        let summary = self.process.log_tail(5);
        ensure!(summary.lines().any(|line| line == "0 packets dropped by kernel"), "the capture has holes: {summary}");
        Ok(self.file)
    }
}

/// Who got the packets of each flow, and how many: (client, VIP) → (backend, packets).
type Decisions = BTreeMap<(SocketAddr, SocketAddr), (String, usize)>;

fn decide(decisions: &mut Decisions, flow: (SocketAddr, SocketAddr), backend: &str) -> Result<()> {
    let (name, packets) = decisions.entry(flow).or_insert_with(|| (backend.to_owned(), 0));
    ensure!(name == backend, "{flow:?} went to {name} and to {backend}");
    *packets += 1;
    Ok(())
}

fn live_decisions(analysis: &Analysis) -> Result<Decisions> {
    let mut decisions = Decisions::new();
    for (backend, packet) in analysis.sent() {
        decide(&mut decisions, (packet.flow.source, packet.flow.destination), backend)?;
    }
    Ok(decisions)
}

/// The output of `replay --json`: an object a packet, and counters at the end.
fn replayed_decisions(text: &str) -> Result<Decisions> {
    let mut decisions = Decisions::new();
    for line in text.lines() {
        let object: Value = serde_json::from_str(line)?;
        if object["verdict"] == "forward" {
            let flow = object["flow"].as_str().context("a forwarded packet without a flow")?;
            let backend = object["backend"].as_str().and_then(|name| name.split_once('/')).context("no backend")?.1;
            decide(&mut decisions, parse_flow(flow)?, backend)?;
        }
    }
    Ok(decisions)
}

/// `source > destination protocol`.
fn parse_flow(text: &str) -> Result<(SocketAddr, SocketAddr)> {
    let mut words = text.split(' ');
    let mut next = || words.next().with_context(|| format!("no flow: {text:?}"));
    let source = next()?.parse()?;
    ensure!(next()? == ">", "no flow: {text:?}");
    Ok((source, next()?.parse()?))
}

fn replay(config: &Path, input: &Path, output: &Path) -> Result<String> {
    let mut command = Command::new(BINARY);
    command.args(["replay", "--json", "--config"]).arg(config).arg("--in").arg(input).arg("--out").arg(output);
    let result = command.output()?;
    ensure!(result.status.success(), "{}", String::from_utf8_lossy(&result.stderr));
    Ok(String::from_utf8(result.stdout)?)
}

#[test]
fn decides_as_the_live_run_did() -> Result<()> {
    if !runnable("replay of a capture") {
        return Ok(());
    }
    let site = Site::start(LabOptions::new(), configure)?;
    let live = Capture::start(site.lab.segment(), "gw", &site.lab.folder().join("live.pcap"), "")?;
    let arrivals = Arrivals::capture(&site.lab)?;
    let targets = [http(address::vip_v4(10)), http(address::vip_v6(10))];
    for target in targets {
        site.requests(target, REQUESTS)?;
        site.curl(&["-o", "/dev/null", &format!("http://{target}/big")])?;
    }
    let (input, live) = (arrivals.finish()?, Analysis::new(&site.lab, live.finish()?));

    let outputs = ["first.pcap", "second.pcap"].map(|name| site.lab.folder().join(name));
    let config = site.guideway.config_file();
    let text = replay(config, &input, &outputs[0])?;
    ensure!(text == replay(config, &input, &outputs[1])?, "the same capture was judged in another way");
    let (first, second) = (std::fs::read(&outputs[0])?, std::fs::read(&outputs[1])?);
    ensure!(first == second, "the same capture gave other frames");

    let (live, replayed) = (live_decisions(&live)?, replayed_decisions(&text)?);
    ensure!(live.len() as u64 > 2 * REQUESTS, "only {} flows prove little", live.len());
    for target in targets {
        let flows = live.keys().filter(|(_, to)| *to == target).count();
        ensure!(flows as u64 > REQUESTS, "only {flows} flows to {target}");
    }
    let agree = |flow: &(SocketAddr, SocketAddr), backend: &str| {
        replayed.get(flow).is_some_and(|replayed| replayed.0 == backend)
    };
    let differ: Vec<_> = live.iter().filter(|(flow, (backend, _))| !agree(flow, backend)).collect();
    ensure!(differ.is_empty(), "the replay disagrees with these of the live run: {differ:?}");
    let only_replayed: Vec<_> = replayed.keys().filter(|flow| !live.contains_key(flow)).collect();
    ensure!(only_replayed.is_empty(), "nobody sent these: {only_replayed:?}");
    // Either socket may lose a packet when this machine is busy, a worker's or tcpdump's at its end.
    let packets = |of: &Decisions| of.values().map(|(_, packets)| packets).sum::<usize>();
    let (live, replayed) = (packets(&live), packets(&replayed));
    ensure!(live.abs_diff(replayed) < live / 20, "{replayed} packets replayed, {live} live");
    Ok(())
}
