//! The demonstration: three web servers behind Guideway, one of them killed under load.

use anyhow::{Result, bail, ensure};
use clap::Parser;
use guideway_lab::load::Failure;
use guideway_lab::nginx::Nginx;
use guideway_lab::{Analysis, Capture, Device, Guideway, GuidewayConfig, Lab, LabOptions, Load, LoadOptions, address};
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

/// The lab's name: what `ip netns` shows.
const NAME: &str = "gwdemo";
/// The pool and the server that dies.
const POOL: &str = "web";
const VICTIM: usize = 2;
/// From the death to the last packet.
const BUDGET: Duration = Duration::from_millis(100);
/// Requests a second of the load, a new connection for each.
const RATE: f64 = 500.0;
/// Clients that share the load.
const CLIENTS: usize = 32;
/// Requests of the count at the start.
const COUNTED: u64 = 1500;

/// Lays out a network of namespaces, runs Guideway in it, kills a server under load and says what happened.
#[derive(Parser)]
struct Arguments {
    /// The program to demonstrate.
    #[arg(long, value_name = "PATH")]
    guideway: PathBuf,
    /// Leave everything running at the end.
    #[arg(long)]
    keep: bool,
    /// Remove what --keep left running, and do nothing else.
    #[arg(long, conflicts_with = "keep")]
    stop: bool,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if arguments.stop {
        let removed = Lab::remove(NAME)?;
        println!("{} namespaces removed", removed.len());
        return Ok(());
    }
    ensure!(nix::unistd::geteuid().is_root(), "network namespaces need root");
    ensure!(
        !std::path::Path::new("/run/netns").join(format!("{NAME}.client")).exists(),
        "a demonstration is already there; remove it with: scripts/demo --stop"
    );
    run(&arguments)
}

fn run(arguments: &Arguments) -> Result<()> {
    let start = Instant::now();
    let step = |text: &str| println!("[{:5.1} s] {text}", start.elapsed().as_secs_f64());
    step("a client, a router, a balancer and three web servers, each in a network namespace of its own");
    let lab = LabOptions::new().backends(3).client_addresses(8).name(NAME).build()?;
    let mut servers = lab.start_nginx()?;
    let vip = SocketAddr::new(address::vip_v4(10), 80);
    let config = GuidewayConfig::new(&lab, Device::AfPacket, &[last_core()]).pool(&lab, POOL, "l2dsr", false).vip(
        vip.ip(),
        "tcp",
        vip.port(),
        POOL,
    );
    step("Guideway on a virtual device (net_af_packet) before them: VIP 203.0.113.10:80, direct server return");
    let guideway = Guideway::start(&lab, &arguments.guideway, &config)?;
    for server in lab.backends() {
        guideway.wait_for_state(POOL, server.name(), "up", Duration::from_secs(10))?;
    }
    show_spreading(&lab, vip, &step)?;
    let verdict = kill_under_load(&lab, &guideway, &mut servers, vip, &step)?;
    step(if verdict { "as promised" } else { "NOT as promised" });
    if arguments.keep {
        say_how_to_play(&lab, &guideway, arguments);
        servers.into_iter().for_each(Nginx::detach);
        guideway.detach();
        lab.keep();
    }
    if !verdict {
        bail!("the demonstration did not show what it should");
    }
    Ok(())
}

fn last_core() -> u32 {
    std::thread::available_parallelism().map_or(0, |count| u32::try_from(count.get() - 1).unwrap_or(0))
}

fn load_options(lab_clients: u8, vip: SocketAddr) -> LoadOptions {
    LoadOptions::new(vip).clients(CLIENTS).rate(RATE).sources((0..lab_clients).map(address::client_v4).collect())
}

fn show_spreading(lab: &Lab, vip: SocketAddr, step: &impl Fn(&str)) -> Result<()> {
    let load = Load::start(lab.client(), load_options(8, vip))?;
    let begun = Instant::now();
    while load.report().good < COUNTED && begun.elapsed() < Duration::from_secs(20) {
        sleep(Duration::from_millis(20));
    }
    let report = load.stop()?;
    ensure!(report.failures.is_empty(), "requests failed before anything was killed: {:?}", report.failures);
    ensure!(report.good >= COUNTED, "only {} requests were answered in 20 s", report.good);
    step(&format!("{} requests, a connection each, spread over: {}", report.good, shares(&report.by_backend)));
    Ok(())
}

/// Whether all went as promised.
fn kill_under_load(
    lab: &Lab,
    guideway: &Guideway,
    servers: &mut [Nginx],
    vip: SocketAddr,
    step: &impl Fn(&str),
) -> Result<bool> {
    let victim = lab.backend(VICTIM);
    let before = guideway.pool(POOL)?;
    let capture = Capture::start(lab.segment(), victim.port(), &lab.folder().join("victim.pcap"), "")?;
    let load = Load::start(lab.client(), load_options(8, vip))?;
    sleep(Duration::from_secs(1));

    step(&format!("{RATE} requests a second; now nginx on {} is killed (SIGKILL)", victim.name()));
    let killed = SystemTime::now();
    servers[VICTIM - 1].kill()?;
    guideway.wait_for_state(POOL, victim.name(), "down", Duration::from_secs(5))?;
    sleep(Duration::from_secs(2));
    let without = guideway.pool(POOL)?;
    step(&format!("without it: {}", slots(&without)));

    let rebirth = SystemTime::now();
    servers[VICTIM - 1] = Nginx::start(victim)?;
    guideway.wait_for_state(POOL, victim.name(), "up", Duration::from_secs(20))?;
    sleep(Duration::from_secs(1));
    let report = load.stop()?;
    let analysis = Analysis::new(lab, capture.finish()?);
    let after = guideway.pool(POOL)?;
    step(&format!("{} is back: {}", victim.name(), slots(&after)));

    let budget_kept = show_last_packet(&analysis, victim.name(), killed, rebirth, step);
    let (at_death, at_return): (Vec<_>, Vec<_>) = report.failures.iter().partition(|failure| failure.began < rebirth);
    step(&format!(
        "of {} requests {} failed at its death ({}), {} at its return ({})",
        report.good + report.failures.len() as u64,
        at_death.len(),
        reasons(&at_death),
        at_return.len(),
        reasons(&at_return)
    ));
    let restored = before["table_digest"] == after["table_digest"] && !before["table_digest"].is_null();
    step(&format!(
        "the table is {}: digest {} before, {} without it, {} after",
        if restored { "restored to the last slot" } else { "NOT restored" },
        before["table_digest"],
        without["table_digest"],
        after["table_digest"]
    ));
    Ok(budget_kept && restored)
}

/// Whether the last packet to the victim left within the budget. Counts until it is started again, since then it gets
/// packets by right.
fn show_last_packet(
    analysis: &Analysis,
    victim: &str,
    killed: SystemTime,
    rebirth: SystemTime,
    step: &impl Fn(&str),
) -> bool {
    let death = analysis.last_accepted(victim, rebirth).unwrap_or(killed).max(killed);
    let times = || analysis.sent_to(victim).map(|packet| packet.time).filter(|time| *time < rebirth);
    let after = |moment: SystemTime| times().filter_map(|time| time.duration_since(moment).ok()).max();
    step(&format!(
        "{:.1} ms after SIGKILL its process had ended and its port was closed: from then on it was dead",
        millis(death.duration_since(killed).unwrap_or_default())
    ));
    let last = after(death);
    step(&match last {
        Some(last) => format!(
            "the last packet of a client to the dead server left {:.1} ms after its death (promised: {} ms), {:.1} ms \
             after SIGKILL",
            millis(last),
            BUDGET.as_millis(),
            millis(after(killed).unwrap_or_default())
        ),
        None => "no packet of a client was sent to the dead server after its death".to_owned(),
    });
    let probes = analysis.probes_to(victim).filter(|packet| packet.time > death && packet.time < rebirth).count();
    step(&format!("since then it got only probes: {probes} packets"));
    last.is_none_or(|last| last <= BUDGET)
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn shares(by_backend: &BTreeMap<String, u64>) -> String {
    let total: u64 = by_backend.values().sum();
    let share = |(name, count): (&String, &u64)| format!("{name} {:.1} %", *count as f64 * 100.0 / total.max(1) as f64);
    by_backend.iter().map(share).collect::<Vec<_>>().join(", ")
}

fn slots(pool: &Value) -> String {
    let empty = Vec::new();
    let backends = pool["backends"].as_array().unwrap_or(&empty);
    let line = |backend: &Value| format!("{} {} slots", backend["name"].as_str().unwrap_or("?"), backend["slots"]);
    backends.iter().map(line).collect::<Vec<_>>().join(", ")
}

fn reasons(failures: &[&Failure]) -> String {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for failure in failures {
        let when = if failure.local.is_some() { "" } else { " while connecting" };
        let reason = format!("{:?}", failure.reason).to_lowercase();
        *counts.entry(reason + when).or_default() += 1;
    }
    if counts.is_empty() {
        return "none".to_owned();
    }
    counts.iter().map(|(reason, count)| format!("{count} {reason}")).collect::<Vec<_>>().join(", ")
}

fn say_how_to_play(lab: &Lab, guideway: &Guideway, arguments: &Arguments) {
    let (name, program) = (lab.name(), arguments.guideway.display());
    println!(
        "\nLeft running. To look around:\n  \
         ip netns exec {name}.client curl http://203.0.113.10/\n  \
         {program} status --socket {}\n  \
         ip netns exec {name}.segment tcpdump -n -i gw\n  \
         less {}\n\
         To stop and remove everything:\n  scripts/demo --stop",
        guideway.socket().display(),
        guideway.process().log().display()
    );
}
