//! The rounds: every way in turns.

use crate::calm::Calm;
use anyhow::{Context, Result, ensure};
use guideway_lab::first_byte::{ClientBy, FILE_BYTES, Open, Place, Site, TlsEnd, Way};
use guideway_lab::process::run as output_of;
use guideway_lab::remove_leftovers;
use guideway_perf::first_byte::Round;
use guideway_perf::first_byte::report::{Load, Report, WayReport};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

/// Connections before those that count, each time that a balancer was started.
const WARM_UP: usize = 20;

/// What is measured.
pub struct Options {
    /// In this order; the first one is the floor.
    pub turns: Vec<Turn>,
    /// How often each way is taken.
    pub rounds: usize,
    /// Connections of a way in a round.
    pub connections: usize,
    /// Connections at once, one load after another.
    pub at_once: Vec<usize>,
    /// How long in all may be waited for other work to end.
    pub patience: Duration,
    /// Real-time priority of all that is measured.
    pub real_time: Option<u8>,
    /// The core of the balancers.
    pub balancer_core: u32,
    /// The core of all else.
    pub other_core: u32,
    /// Guideway's program.
    pub guideway: PathBuf,
}

/// A way, and how Guideway's worker rests on it.
#[derive(Clone, Debug)]
pub struct Turn {
    way: Way,
    idle: String,
}

impl Turn {
    /// Of a way: one for each word of `idle` where Guideway is in it, else one.
    pub fn of(way: Way, idle: &[String]) -> Vec<Self> {
        let words = if way.is_guideway() { idle } else { &idle[..1] };
        words.iter().map(|idle| Self { way, idle: idle.clone() }).collect()
    }
}

/// Measures. `tell` is called with a line whenever a round is over.
///
/// # Errors
///
/// Without root, when a balancer does not start, and when what a way is said to do is not what client and backend see.
pub fn run(options: &Options, mut tell: impl FnMut(&str)) -> Result<Report> {
    let place = Place { balancer: options.balancer_core, others: options.other_core, real_time: options.real_time };
    // Of a run that was killed.
    remove_leftovers()?;
    let site = Site::build(options.guideway.clone(), place)?;
    let mut report = empty(options)?;
    let mut calm = Calm::new([options.balancer_core, options.other_core], options.patience);
    for round in 0..options.rounds {
        for number in 0..options.turns.len() {
            // Each round begins with another way, so that none has always the same one before it.
            let place = (round + number) % options.turns.len();
            for (load, found) in
                report.loads.iter_mut().zip(calm_turn(&site, options, &options.turns[place], &mut calm)?)
            {
                load.ways[place].rounds.push(found);
            }
        }
        tell(&format!("round {} of {}", round + 1, options.rounds));
    }
    Ok(report)
}

/// A turn, again if other work disturbed it and there is patience left.
fn calm_turn(site: &Site, options: &Options, turn: &Turn, calm: &mut Calm) -> Result<Vec<Round>> {
    loop {
        let calm_before = calm.wait();
        let start = Instant::now();
        let rounds = take(site, options, turn)?;
        let disturbed = !(calm_before && calm.is_now());
        if !disturbed || !calm.forgives(start.elapsed()) {
            return Ok(rounds.into_iter().map(|round| Round { disturbed, ..round }).collect());
        }
    }
}

/// Takes a turn: its balancer starts, carries a round under each load, and ends.
fn take(site: &Site, options: &Options, turn: &Turn) -> Result<Vec<Round>> {
    let way = turn.way;
    let open = site.open(way, &turn.idle)?;
    verify(site, way, &open)?;
    options.at_once.iter().map(|&side_by_side| one_round(&open, way, options.connections, side_by_side)).collect()
}

/// A warmed-up round; that all of its connections fail is an error, and no figure.
fn one_round(open: &Open<'_>, way: Way, connections: usize, side_by_side: usize) -> Result<Round> {
    open.round(WARM_UP, side_by_side)?;
    let found = open.round(connections, side_by_side)?;
    ensure!(!found.visits.is_empty(), "{}: nothing answered: {:?}\n{}", way.name(), found.failures, open.log());
    for failure in &found.failures {
        eprintln!("first-byte: {}: {failure}", way.name());
    }
    let times = found.visits.iter().map(|visit| [visit.connected, visit.secured, visit.first_byte]);
    Ok(Round::new(times, found.failed as u64))
}

/// Whether TLS ends where the report says it, and the backend knows the client as the report says.
fn verify(site: &Site, way: Way, open: &Open<'_>) -> Result<()> {
    let visit = open.ask(way.asks_for_client())?;
    ensure!(visit.was_shown(site.expected(way))?, "{}: not the certificate of the {}", way.name(), tls_end(way));
    let seen = String::from_utf8_lossy(&visit.body);
    let seen = seen.split_whitespace().next().with_context(|| format!("{}: an empty answer", way.name()))?;
    ensure!(seen == visit.local.ip().to_string(), "{}: the backend takes the client for {seen}", way.name());
    Ok(())
}

fn tls_end(way: Way) -> &'static str {
    match way.tls_end() {
        TlsEnd::Backend => "backend",
        TlsEnd::Balancer => "balancer",
    }
}

fn client_by(way: Way) -> &'static str {
    match way.client_by() {
        ClientBy::Packets => "packets",
        ClientBy::Proxy => "PROXY v2",
        ClientBy::Header => "X-Forwarded-For",
    }
}

/// What tells ways apart that differ in how Guideway's worker rests.
fn suffix(way: Way, idle: &str) -> String {
    if way.is_guideway() { format!(", {idle}") } else { String::new() }
}

/// A report without rounds yet.
fn empty(options: &Options) -> Result<Report> {
    let way = |Turn { way, idle }: &Turn| WayReport {
        name: format!("{}{}", way.name(), suffix(*way, idle)),
        description: format!("{}{}", way.description(), suffix(*way, idle)),
        tls_end: tls_end(*way).to_owned(),
        client_by: client_by(*way).to_owned(),
        rounds: Vec::new(),
    };
    let load = |&side_by_side: &usize| Load { side_by_side, ways: options.turns.iter().map(way).collect() };
    Ok(Report {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        balancer_core: options.balancer_core as usize,
        other_core: options.other_core as usize,
        real_time: options.real_time,
        rounds: options.rounds,
        connections: options.connections,
        bytes: FILE_BYTES,
        programs: programs(options)?,
        loads: options.at_once.iter().map(load).collect(),
    })
}

/// What the programs call themselves.
fn programs(options: &Options) -> Result<Vec<String>> {
    let first_line = |text: &str| text.lines().next().unwrap_or_default().trim().to_owned();
    let guideway = output_of(Command::new(&options.guideway).arg("--version"))?;
    let haproxy = output_of(Command::new("haproxy").arg("-v"))?;
    // "HAProxy version 2.6.12-1+deb12u4 2026/10/17 - https://haproxy.org/"
    let haproxy: Vec<_> = haproxy.split_whitespace().take(3).collect();
    // nginx tells its version on standard error.
    let nginx = Command::new("nginx").arg("-v").output().context("cannot run nginx")?;
    let nginx = first_line(&String::from_utf8_lossy(&nginx.stderr)).replace("nginx version: ", "");
    Ok(vec![first_line(&guideway), haproxy.join(" "), nginx])
}
