//! Many backends die, one after the other: how long each death stays unknown, and who is called dead without being so.
//!
//! Sized by the environment: `GUIDEWAY_BACKENDS` (20; at most 200), `GUIDEWAY_DEATHS` (4; no more than backends) and
//! `GUIDEWAY_QUIET_SECONDS` (5). The figures are printed: `cargo test --test e2e deaths -- --nocapture`.

use crate::setup::{BINARY, PATIENCE, Site, http, number};
use anyhow::{Context, Result, ensure};
use guideway_lab::process::wait_for;
use guideway_lab::{Device, Guideway, GuidewayConfig, LabOptions, Listener, address, runnable};
use std::fmt;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, SystemTime};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

const POOL: &str = "web";
/// From the death to its line in the log, on a machine that may be busy with anything.
const LIMIT: Duration = Duration::from_secs(2);
/// Between two deaths: no multiple of the checks' interval, so that deaths fall anywhere into it.
const PAUSE: Duration = Duration::from_millis(137);

/// How large the experiment is.
struct Size {
    backends: u8,
    deaths: usize,
    quiet: Duration,
}

impl Size {
    fn from_environment() -> Result<Self> {
        let backends = number("GUIDEWAY_BACKENDS", 20)?;
        let deaths = number("GUIDEWAY_DEATHS", 4)?;
        // A backend that dies twice within a minute is held down, which is another matter.
        ensure!(deaths <= backends, "GUIDEWAY_DEATHS: {deaths} of {backends} backends cannot die once each");
        Ok(Self {
            backends: u8::try_from(backends).context("GUIDEWAY_BACKENDS: a lab has at most 200 backends")?,
            deaths: usize::try_from(deaths)?,
            quiet: Duration::from_secs(number("GUIDEWAY_QUIET_SECONDS", 5)?),
        })
    }
}

/// How a backend dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Its link goes down: nobody answers.
    Silence,
    /// Its server ends: the kernel refuses.
    Refusal,
}

/// A backend called dead, by a line of the log.
struct Down {
    at: SystemTime,
    backend: String,
}

impl Down {
    /// From `2026-01-31T12:00:00.123456Z  INFO down backend=web/web7 address=…`; other lines are `None`.
    fn read(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let at = OffsetDateTime::parse(words.next()?, &Rfc3339).ok()?.into();
        if (words.next()?, words.next()?) != ("INFO", "down") {
            return None;
        }
        let backend = words.next()?.strip_prefix("backend=")?.split_once('/')?.1.to_owned();
        Some(Self { at, backend })
    }
}

/// All that were called dead so far.
fn downs(site: &Site) -> Vec<Down> {
    site.log().lines().filter_map(Down::read).collect()
}

/// What was not judged, and why.
#[derive(Clone, Copy)]
struct Disturbances {
    /// Checks that count for nothing because somebody was kept from running.
    void: u64,
    /// How often workers were kept from polling.
    stalls: u64,
}

impl Disturbances {
    fn of(site: &Site) -> Result<Self> {
        let status = site.guideway.status()?;
        let workers = status["workers"].as_array().context("the status has no workers")?;
        let stalls = workers.iter().map(|worker| worker["stalls"].as_u64().context("no count of stalls"));
        Ok(Self {
            void: status["control"]["probes_void"].as_u64().context("no count of void checks")?,
            stalls: stalls.sum::<Result<_>>()?,
        })
    }

    fn since(self, before: Self) -> Self {
        Self { void: self.void - before.void, stalls: self.stalls - before.stalls }
    }

    fn is_none(self) -> bool {
        self.void == 0 && self.stalls == 0
    }
}

impl fmt::Display for Disturbances {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} checks void, {} stalls of workers", self.void, self.stalls)
    }
}

/// A site without web servers: 200 of them would be more than the machine.
fn site(backends: u8) -> Result<(Site, Vec<Option<Listener>>)> {
    let lab = Site::lab(LabOptions::new().backends(backends))?;
    let vip = address::vip_v4(10);
    let config = GuidewayConfig::new(&lab, Device::AfPacket, &[1]).pool(&lab, POOL, "l2dsr", vip.is_ipv6());
    let config = config.vip(vip, "tcp", http(vip).port(), POOL);
    let listeners = lab.backends().iter().map(|backend| Listener::start(backend, 80).map(Some));
    let listeners = listeners.collect::<Result<_>>()?;
    let guideway = Guideway::start(&lab, Path::new(BINARY), &config)?;
    let site = Site { guideway, servers: Vec::new(), decaps: Vec::new(), config, lab };
    site.wait_until_up()?;
    Ok((site, listeners))
}

/// Lets backend `number` die, waits until that is known, and lets it come back. From before the death began to its
/// line in the log.
fn die(site: &Site, number: usize, listener: &mut Option<Listener>, kind: Kind) -> Result<Duration> {
    let backend = site.lab.backend(number);
    // It may be down for a moment without any reason of ours, on a busy machine.
    site.guideway.wait_for_state(POOL, backend.name(), "up", PATIENCE)?;
    let death = SystemTime::now();
    match kind {
        Kind::Silence => backend.cut()?,
        Kind::Refusal => *listener = None,
    }
    let found = wait_for(&format!("the death of {} to be known", backend.name()), PATIENCE, || {
        let own = downs(site).into_iter().find(|down| down.backend == backend.name() && down.at >= death);
        Ok(own.map(|down| down.at))
    })?;
    match kind {
        Kind::Silence => backend.restore()?,
        Kind::Refusal => *listener = Some(Listener::start(backend, 80)?),
    }
    Ok(found.duration_since(death)?)
}

/// The value that a share of the sorted `times` does not exceed (nearest rank).
fn percentile(times: &[Duration], share: usize) -> Option<Duration> {
    times.get((times.len() * share).div_ceil(100).checked_sub(1)?).copied()
}

fn print_times(label: &str, times: impl Iterator<Item = Duration>) {
    let mut times: Vec<_> = times.collect();
    times.sort_unstable();
    let [p50, p99, max] = [50, 99, 100].map(|share| percentile(&times, share).unwrap_or_default());
    println!("detection, {label}: {} deaths, p50 {p50:.1?}, p99 {p99:.1?}, max {max:.1?}", times.len());
}

/// Looks on while nobody dies: the false removals, and what kept checks from being judged.
fn look_on(site: &Site, quiet: Duration) -> Result<(Vec<Down>, Disturbances)> {
    let (begin, before) = (SystemTime::now(), Disturbances::of(site)?);
    sleep(quiet);
    let disturbances = Disturbances::of(site)?.since(before);
    Ok((downs(site).into_iter().filter(|down| down.at >= begin).collect(), disturbances))
}

#[test]
fn deaths_are_found_soon_and_nobody_else_is_removed() -> Result<()> {
    if !runnable("many deaths") {
        return Ok(());
    }
    let size = Size::from_environment()?;
    let (site, mut listeners) = site(size.backends)?;
    let before = Disturbances::of(&site)?;
    let called = downs(&site).len();
    let mut found = Vec::new();
    for (index, listener) in listeners.iter_mut().enumerate().take(size.deaths) {
        let kind = if index % 2 == 0 { Kind::Silence } else { Kind::Refusal };
        found.push((kind, die(&site, index + 1, listener, kind)?));
        sleep(PAUSE);
    }
    let others = (downs(&site).len() - called).saturating_sub(size.deaths);
    let disturbances = Disturbances::of(&site)?.since(before);
    print_times("all", found.iter().map(|(_, time)| *time));
    for kind in [Kind::Silence, Kind::Refusal] {
        print_times(&format!("{kind:?}").to_lowercase(), found.iter().filter(|of| of.0 == kind).map(|of| of.1));
    }
    println!("meanwhile, of {} backends: {others} false removals; {disturbances}", size.backends);

    site.wait_until_up()?;
    let (removed, disturbances) = look_on(&site, size.quiet)?;
    println!(
        "quiet for {:?}, {} backends: {} false removals; {disturbances}",
        size.quiet,
        size.backends,
        removed.len()
    );
    let late = found.iter().find(|(_, time)| *time > LIMIT);
    ensure!(late.is_none(), "a death was known only after {late:?}\n{}", site.log());
    let names: Vec<_> = removed.iter().map(|down| &down.backend).collect();
    ensure!(names.is_empty() || !disturbances.is_none(), "removed without a reason: {names:?}\n{}", site.log());
    Ok(())
}

#[test]
fn a_percentile_is_the_nearest_rank() {
    let times: Vec<_> = (1..=200).map(Duration::from_millis).collect();
    assert_eq!(percentile(&times, 50), Some(Duration::from_millis(100)));
    assert_eq!(percentile(&times, 99), Some(Duration::from_millis(198)));
    assert_eq!(percentile(&times, 100), times.last().copied());
    assert_eq!(percentile(&times[..1], 50), times.first().copied());
    assert_eq!(percentile(&[], 50), None);
}

#[test]
fn only_a_line_that_calls_a_backend_dead_is_one() {
    let line =
        |what| format!("2026-01-31T12:00:00.250000Z  INFO {what} backend=web/web7 address=10.0.0.7 reason=timeout");
    let down = Down::read(&line("down")).expect("a line of the log");
    assert_eq!(down.backend, "web7");
    let at = SystemTime::UNIX_EPOCH + Duration::from_micros(1_769_860_800_250_000);
    assert_eq!(down.at, at);
    assert!(Down::read(&line("up")).is_none());
    assert!(Down::read("Guideway 0.1.0: 1 worker").is_none());
}
