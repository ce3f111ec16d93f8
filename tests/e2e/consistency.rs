//! Connection consistency: whatever is changed, connections stay on their backends.

use crate::churn::{Churn, Random, wait_until_settled};
use crate::http::{every_worker_had_packets, everything_is_accounted_for};
use crate::setup::{BINARY, PATIENCE, Site, backends_of, http, load_options, patient_checks};
use anyhow::{Context, Result, bail, ensure};
use guideway_lab::config::table;
use guideway_lab::dialogue::Kind;
use guideway_lab::process::wait_for;
use guideway_lab::{
    Device, DialogueOptions, DialogueReport, DialogueServers, Dialogues, GuidewayConfig, LabOptions, Load, address,
    raise_file_limit, runnable,
};
use serde_json::Value;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

const POOL: &str = "web";
/// Backends at the beginning.
const BACKENDS: usize = 6;
/// Machines that come and go besides.
const SPARE: usize = 3;
/// The port of the long connections.
const PORT: u16 = 7000;
/// T of the pool.
const IDLE: Duration = Duration::from_secs(4);
/// The longest pause of a client: the rest up to T is for a machine that is busy with other things.
const PAUSE: Duration = Duration::from_millis(2800);
/// Connections that are open all the time.
const LONG: usize = 500;
/// Further ones that begin during the changes and stay.
const LATER: usize = 100;
/// New short connections a second meanwhile.
const RATE: f64 = 50.0;
/// Longer than a delayed acknowledgement.
const QUIET: Duration = Duration::from_millis(500);
/// Idle connections in the experiment with a blip.
const IDLE_CONNECTIONS: usize = 40;

fn target() -> SocketAddr {
    SocketAddr::new(address::vip_v4(10), PORT)
}

/// One address for web pages and for dialogues, in one pool.
fn config(site: GuidewayConfig, idle: Duration) -> GuidewayConfig {
    let vip = target().ip();
    let mut config = site.vip(vip, "tcp", 80, POOL).vip(vip, "tcp", PORT, POOL);
    config.state = Some(table([("arm_time", "200ms".into())]));
    let idle = toml::Table::from_iter([("tcp".to_owned(), format!("{}ms", idle.as_millis()).into())]);
    config.pool[0].more.insert("idle_timeout".to_owned(), idle.into());
    config
}

/// Half downloads, half conversations.
fn kinds(count: usize) -> Vec<Kind> {
    [Kind::Download, Kind::Asks, Kind::Download, Kind::Both].into_iter().cycle().take(count).collect()
}

fn dialogues(site: &Site, count: usize, over: Duration) -> Result<Dialogues> {
    let sources = (0..8).map(address::client_v4).collect();
    let options = DialogueOptions::new(target(), kinds(count)).longest_pause(PAUSE).opened_over(over);
    Dialogues::start(site.lab.client(), options.sources(sources))
}

#[test]
fn no_connection_breaks_while_backends_change_a_hundred_times() -> Result<()> {
    if !runnable("connections during a hundred changes") {
        return Ok(());
    }
    raise_file_limit()?;
    let site = Site::start(LabOptions::new().backends((BACKENDS + SPARE) as u8).queues(2), |lab| {
        let old = &lab.backends()[..BACKENDS];
        let site = GuidewayConfig::new(lab, Device::AfPacket, &[0, 1]);
        patient_checks(config(site.pool_at(old, POOL, "l2dsr", |backend| backend.v4().into()), IDLE))
    })?;
    let servers = DialogueServers::start(site.lab.backends(), PORT)?;
    let long = dialogues(&site, LONG, Duration::from_secs(3))?;
    long.wait_until_open(PATIENCE)?;
    println!("{LONG} connections: {:?}", long.report().by_backend());
    let short = load_options(http(target().ip())).rate(RATE).timeout(PATIENCE);
    let short = Load::start(site.lab.client(), short)?;

    let mut churn = Churn::new(&site, POOL, BACKENDS, Random::new(0x6775_6964));
    let later = dialogues(&site, LATER, Duration::from_secs(30))?;
    let most_pins = churn.run()?;
    let of_backends = site.guideway.pool(POOL)?;
    let remembered: u64 = backends_of(&of_backends).filter_map(|backend| backend["pins"].as_u64()).sum();
    churn.enable_all()?;
    none_is_broken(&site, Some(&churn), &[long.report(), later.report()])?;
    later.wait_until_open(PATIENCE)?;
    wait_until_settled(&site, POOL)?;
    println!("{} changes ({}), up to {most_pins} pins, {remembered} after a rest", churn.changes(), churn.kinds());
    println!("afterwards: {:?}, later ones: {:?}", long.report().by_backend(), later.report().by_backend());
    let short = short.stop()?;
    println!("{} short connections, the slowest took {:?}", short.good, short.longest);
    ensure!(short.failures.is_empty(), "short connections failed: {:?}", short.failures);

    let old: Vec<_> = churn.old().map(str::to_owned).collect();
    reaches_zero(&site, &old, [&long, &later]).with_context(|| site.log())?;
    let reports = [long.finish()?, later.finish()?];
    none_is_broken(&site, Some(&churn), &reports)?;
    ensure!(reports.iter().all(|report| report.ended() == report.connections.len()), "some never began");
    ensure!(servers.failures().is_empty(), "broken for the servers: {:?}", servers.failures());
    let [long, later] = &reports;
    println!(
        "0 of {} connections broken, {} answers and pieces, the longest wait {:?}",
        long.ended() + later.ended(),
        long.answers() + later.answers(),
        long.longest().max(later.longest())
    );
    sane(&site)
}

/// Each connection that broke, with what was changed before.
fn none_is_broken(site: &Site, churn: Option<&Churn<'_>>, reports: &[DialogueReport]) -> Result<()> {
    let broken: Vec<_> = reports.iter().flat_map(DialogueReport::broken).collect();
    if broken.is_empty() {
        return Ok(());
    }
    let before = |at| churn.map(|churn| churn.before(at)).unwrap_or_default();
    let lines: Vec<_> = broken.iter().take(10).map(|broken| format!("{broken}\n{}", before(broken.at))).collect();
    let status = site.guideway.status()?;
    bail!("{} connections broke:\n{}\n{:#}\n{}", broken.len(), lines.join("\n"), status["pins"], site.log())
}

/// Drains the backend with the most connections: it is done when the last of them has ended, and not before.
fn reaches_zero(site: &Site, candidates: &[String], dialogues: [&Dialogues; 2]) -> Result<()> {
    let on = |name: &str| {
        let counts = dialogues.map(|dialogues| dialogues.report().by_backend().get(name).copied().unwrap_or(0));
        counts.iter().sum::<usize>()
    };
    let name = candidates.iter().max_by_key(|name| on(name)).context("no backend")?;
    let count = on(name);
    let backend = || site.guideway.backend(POOL, name);
    ensure!(count > 0, "no connection is on {name}");
    site.guideway.control(&["backend", "drain", &format!("{POOL}/{name}")])?;
    let mut last = Value::Null;
    let known = wait_for("the pins of a backend that drains", PATIENCE, || {
        last = backend()?;
        Ok((last["pins"] == count).then_some(()))
    });
    known.with_context(|| format!("{count} connections: {last:#}"))?;
    assert_eq!((&last["state"], &last["drained"]), (&"draining".into(), &false.into()));
    println!("{name} drains: {count} connections, as many pins");

    let mut waiting = drain_and_wait(site, name)?;
    sleep(IDLE);
    ensure!(waiting.try_wait()?.is_none(), "the drain was done before its connections ended");
    ensure!(on(name) == count, "connections to {name} ended by themselves");
    dialogues.iter().for_each(|dialogues| dialogues.end(name));
    let output = waiting.wait_with_output().context("cannot wait for the drain")?;
    ensure!(output.status.success(), "{}\n{:#}", String::from_utf8_lossy(&output.stderr), backend()?);
    ensure!(on(name) == 0, "the drain was done with {} connections open", on(name));
    let done = backend()?;
    assert_eq!((&done["state"], &done["drained"], &done["pins"]), (&"drained".into(), &true.into(), &0.into()));
    Ok(())
}

fn drain_and_wait(site: &Site, name: &str) -> Result<Child> {
    let mut command = Command::new(BINARY);
    command.args(["backend", "drain", &format!("{POOL}/{name}"), "--wait", "--timeout", "60s"]);
    command.arg("--socket").arg(site.guideway.socket());
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().context("cannot run the program")
}

/// No pin was lost, no packet vanished, and both workers took part.
fn sane(site: &Site) -> Result<()> {
    let pins = site.guideway.status()?["pins"].take();
    println!("pins: {pins}");
    assert_eq!((&pins["failed"], &pins["evicted_confirmed"]), (&0.into(), &0.into()));
    ensure!(pins["inserted"].as_u64() > Some(LONG as u64), "too few flows were concerned to prove anything: {pins}");
    everything_is_accounted_for(site)?;
    every_worker_had_packets(site)
}

#[test]
fn idle_connections_outlive_a_blip_of_their_backend() -> Result<()> {
    if !runnable("idle connections during a blip") {
        return Ok(());
    }
    let site = Site::start(LabOptions::new().backends(BACKENDS as u8).queues(2), |lab| {
        let site = GuidewayConfig::new(lab, Device::AfPacket, &[0, 1]).pool(lab, POOL, "l2dsr", false);
        let mut config = config(site, PATIENCE);
        config.pool[0].health.extend(table([("timeout", "500ms".into())]));
        config
    })?;
    let _servers = DialogueServers::start(site.lab.backends(), PORT)?;
    let options = DialogueOptions::new(target(), vec![Kind::Quiet; IDLE_CONNECTIONS]);
    let idle = Dialogues::start(site.lab.client(), options)?;
    idle.wait_until_open(PATIENCE)?;
    idle.ask(PATIENCE)?;
    let before = idle.report().by_backend();
    // The one that the most are on.
    let victim = site.lab.backends().iter().max_by_key(|backend| before.get(backend.name())).context("no backend")?;
    println!("{IDLE_CONNECTIONS} idle connections: {before:?}; {} is cut off", victim.name());

    let digest = site.digest(POOL)?;
    // A delayed acknowledgement that is lost with the link is repeated when it returns, before the checks passed: then
    // that connection was not idle.
    sleep(QUIET);
    victim.cut()?;
    site.guideway.wait_for_state(POOL, victim.name(), "down", PATIENCE)?;
    ensure!(site.digest(POOL)? != digest, "its slots went to nobody else");
    victim.restore()?;
    site.wait_until_up()?;
    none_is_broken(&site, None, &[idle.report()])?;
    // Until every worker has its slots back it is down: `status` calls it up a little earlier.
    site.wait_for_digest(POOL, &digest)?;
    idle.ask(PATIENCE).with_context(|| site.log())?;
    assert_eq!(idle.report().by_backend(), before);
    let report = idle.finish()?;
    println!("{} answered after the blip, the slowest after {:?}", report.ended(), report.longest());
    assert_eq!(report.ended(), IDLE_CONNECTIONS);
    Ok(())
}
