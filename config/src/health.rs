//! `health` and `agent` of a pool: the checks, their times and what they need of the pool's VIPs.

use crate::addresses;
use crate::model::{Agent, Check, CheckKind, CheckTimes, MOST_CHECKS, PortMatch, Protocol, Tls, Via};
use crate::questions::{self, Kind};
use crate::reader::{Located, Reader, Value};
use crate::report::Report;
use crate::scalar::{self, Fault};
use crate::schema;
use std::net::IpAddr;
use std::time::Duration;

/// Interval, fast interval and timeout unless configured.
type Defaults = (Duration, Duration, Duration);

/// Of the prober of its own that `tcp` has on the dataplane's path.
pub(crate) const OF_PROBER: Defaults =
    (Duration::from_millis(20), Duration::from_millis(10), Duration::from_millis(20));
/// Of every other check: each of its probes is a conversation, and a process answers it.
const OF_CONVERSATIONS: Defaults = (Duration::from_secs(1), Duration::from_millis(250), Duration::from_secs(1));

const RISE: u32 = 2;
const FALL: u32 = 3;

const AGENT_INTERVAL: Duration = Duration::from_secs(2);
const AGENT_TIMEOUT: Duration = Duration::from_secs(1);

/// Longest run of results that `rise` and `fall` may ask for.
const LONGEST_RUN: u64 = 255;

/// Shortest time of a probe: the control loop's own step is below it.
const SHORTEST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_secs(3600);

/// The checks of a pool. `None`: refused.
pub(crate) struct HealthDraft {
    pub(crate) checks: Vec<Option<CheckDraft>>,
}

/// One check.
pub(crate) struct CheckDraft {
    at: usize,
    pub(crate) kind: Kind,
    question: Option<CheckKind>,
    pub(crate) via: Option<Via>,
    /// `Some(None)`: the port of the first VIP.
    port: Option<Option<u16>>,
    times: Option<CheckTimes>,
    dead_after: Option<Option<Located<Duration>>>,
    /// `Some(None)`: the own address on the way.
    pub(crate) probe_source: Option<Option<Located<IpAddr>>>,
    /// Where `ca_file` stands.
    ca_file_at: Option<usize>,
}

/// Reads `health` of a pool that begins at `pool_at`; absent means `tcp` with its defaults.
pub(crate) fn read(value: Option<Value<'_>>, pool_at: usize, report: &mut Report) -> Option<HealthDraft> {
    let Some(value) = value else { return Some(HealthDraft { checks: vec![Some(default_check(pool_at))] }) };
    if let Some(kind) = value.as_str() {
        report
            .error(value.at, "`health` must be a table, not a string")
            .help(format!("write {{ kind = \"{}\" }}", kind.escape_debug()));
        return None;
    }
    if value.is_empty() {
        report.error(value.at, "`health` is empty").help("to have no checks, write { kind = \"none\" }");
        return None;
    }
    let readers = if value.is_tables() {
        value.tables(&schema::HEALTH, report)
    } else {
        vec![value.table(&schema::HEALTH, report)?]
    };
    if readers.len() > MOST_CHECKS {
        report.error(readers[MOST_CHECKS].at, format!("a pool has at most {MOST_CHECKS} checks"));
    }
    let alone = readers.len() == 1;
    let checks: Vec<_> = readers.into_iter().map(|reader| check(reader, report)).collect();
    if let Some(none) = checks.iter().flatten().find(|check| check.kind == Kind::None && !alone) {
        report.error(none.at, "kind = \"none\" stands alone").help("remove it, or the other checks");
    }
    let draft = HealthDraft { checks: checks.into_iter().filter(|c| !is_none(c)).collect() };
    draft.check_twice(report);
    Some(draft)
}

fn is_none(check: &Option<CheckDraft>) -> bool {
    check.as_ref().is_some_and(|check| check.kind == Kind::None)
}

fn default_check(at: usize) -> CheckDraft {
    let (interval, fast_interval, timeout) = OF_PROBER;
    CheckDraft {
        at,
        kind: Kind::Tcp,
        question: Some(CheckKind::Tcp),
        via: Some(Via::Dataplane),
        port: Some(None),
        times: Some(CheckTimes { interval, fast_interval, timeout, rise: RISE, fall: FALL }),
        dead_after: Some(None),
        probe_source: Some(None),
        ca_file_at: None,
    }
}

fn check(mut health: Reader<'_>, report: &mut Report) -> Option<CheckDraft> {
    let kind = match health.get("kind") {
        Some(value) => Kind::read(value, report)?,
        None => Kind::Tcp,
    };
    questions::check_keys(kind, &mut health, report);
    let via = via(&mut health, report);
    let defaults = if kind == Kind::Tcp && via != Some(Via::Kernel) { OF_PROBER } else { OF_CONVERSATIONS };
    let draft = CheckDraft {
        at: health.at,
        kind,
        question: questions::read(kind, &mut health, report),
        via,
        port: if kind.has_port() { port(&mut health, report) } else { Some(None) },
        times: times(&mut health, defaults, report),
        dead_after: match health.get("dead_after") {
            Some(value) => value.parsed(|text| scalar::duration_between(text, "0s", "1h"), report).map(Some),
            None => Some(None),
        },
        probe_source: match health.get("probe_source") {
            Some(value) => value.parsed(addresses::address, report).map(Some),
            None => Some(None),
        },
        ca_file_at: health.get("ca_file").map(|value| value.at),
    };
    health.finish(report);
    Some(draft)
}

fn via(health: &mut Reader<'_>, report: &mut Report) -> Option<Via> {
    match health.get("via") {
        Some(value) => {
            value.word(&[("dataplane", Ok(Via::Dataplane)), ("kernel", Ok(Via::Kernel))], report).map(|via| via.value)
        }
        None => Some(Via::Dataplane),
    }
}

fn port(health: &mut Reader<'_>, report: &mut Report) -> Option<Option<u16>> {
    match health.get("port") {
        Some(value) => value.integer(1, 65535, report).map(|port| Some(port.value as u16)),
        None => Some(None),
    }
}

fn times(health: &mut Reader<'_>, defaults: Defaults, report: &mut Report) -> Option<CheckTimes> {
    let at = health.at;
    let interval = time(health, "interval", report).unwrap_or(Some(Located { at, value: defaults.0 }));
    let longest_fast = interval.map_or(defaults.1, |interval| interval.value.min(defaults.1));
    let fast_interval = time(health, "fast_interval", report).unwrap_or(Some(Located { at, value: longest_fast }));
    if let (Some(fast), Some(interval)) = (fast_interval, interval)
        && fast.value > interval.value
    {
        report
            .error(fast.at, format!("`fast_interval` {:?} is longer than `interval` {:?}", fast.value, interval.value));
    }
    let timeout = time(health, "timeout", report).unwrap_or(Some(Located { at, value: defaults.2 }));
    let rise = run(health, "rise", RISE, report);
    let fall = run(health, "fall", FALL, report);
    Some(CheckTimes {
        interval: interval?.value,
        fast_interval: fast_interval?.value,
        timeout: timeout?.value,
        rise: rise?,
        fall: fall?,
    })
}

/// A time of a probe; outer `None`: absent.
fn time(health: &mut Reader<'_>, key: &'static str, report: &mut Report) -> Option<Option<Located<Duration>>> {
    let in_range = |text: &str| match scalar::duration(text)? {
        time if (SHORTEST..=LONGEST).contains(&time) => Ok(time),
        time => Err(Fault::new(format!("{time:?} is not between {SHORTEST:?} and one hour"))),
    };
    Some(health.get(key)?.parsed(in_range, report))
}

fn run(health: &mut Reader<'_>, key: &'static str, default: u32, report: &mut Report) -> Option<u32> {
    match health.get(key) {
        Some(value) => value.integer(1, LONGEST_RUN, report).map(|run| run.value as u32),
        None => Some(default),
    }
}

/// Reads `agent` of a pool; inner `None`: absent, outer: refused.
pub(crate) fn agent(value: Option<Value<'_>>, report: &mut Report) -> Option<Option<Agent>> {
    let Some(value) = value else { return Some(None) };
    let mut agent = value.table(&schema::AGENT, report)?;
    let port = agent.need("port", report).and_then(|value| value.integer(1, 65535, report));
    let default = |time| Some(Located { at: value.at, value: time });
    let interval = time(&mut agent, "interval", report).unwrap_or(default(AGENT_INTERVAL));
    let timeout = time(&mut agent, "timeout", report).unwrap_or(default(AGENT_TIMEOUT));
    let via = via(&mut agent, report);
    agent.finish(report);
    Some(Some(Agent { port: port?.value as u16, interval: interval?.value, timeout: timeout?.value, via: via? }))
}

/// What the first VIP of a pool gives to its probes.
pub(crate) struct FirstVip {
    pub(crate) at: usize,
    pub(crate) protocol: Protocol,
    pub(crate) port: PortMatch,
}

impl HealthDraft {
    /// The checks for a pool whose first VIP is `vip`; without a port and a VIP there is nothing to probe.
    pub(crate) fn resolve(self, vip: Option<&FirstVip>) -> Option<Vec<Check>> {
        let checks = self.checks.into_iter().map(|check| check?.resolve(vip));
        Some(checks.collect::<Option<Vec<_>>>()?.into_iter().flatten().collect())
    }

    /// Reports probes without a port that they could take from the pool's first VIP.
    pub(crate) fn check_ports(&self, vip: &FirstVip, report: &mut Report) {
        self.checks.iter().flatten().for_each(|check| check.check_port(vip, report));
    }

    /// Warns of a check that another one makes unnecessary.
    fn check_twice(&self, report: &mut Report) {
        for (index, check) in self.checks.iter().enumerate() {
            let Some(check) = check else { continue };
            let mut before = self.checks[..index].iter().flatten();
            let same = |other: &&CheckDraft| {
                check.question.is_some()
                    && (&check.question, check.via, check.port) == (&other.question, other.via, other.port)
            };
            if let Some(other) = before.find(same) {
                report.warning(check.at, "another check of this pool asks the same").related(other.at, "defined");
            }
        }
    }

    /// Reports files that cannot be read on this machine.
    pub(crate) fn check_files(&self, report: &mut Report) {
        for check in self.checks.iter().flatten() {
            let file = check.question.as_ref().and_then(tls_of).and_then(|tls| tls.ca_file.as_ref());
            if let Some((path, at)) = file.zip(check.ca_file_at)
                && let Err(error) = std::fs::File::open(path)
            {
                report
                    .error(at, format!("`ca_file` cannot be read: {error}"))
                    .help("write the path of a file of certificates in PEM");
            }
        }
    }
}

/// The TLS of a question.
fn tls_of(kind: &CheckKind) -> Option<&Tls> {
    match kind {
        CheckKind::Https(_, tls) | CheckKind::Tls(tls) => Some(tls),
        CheckKind::Grpc(grpc) => grpc.tls.as_ref(),
        _ => None,
    }
}

impl CheckDraft {
    fn resolve(self, vip: Option<&FirstVip>) -> Option<Option<Check>> {
        let port_of_vip = self.kind.has_port() && self.port == Some(None);
        let port = match (self.kind.has_port(), self.port?, vip) {
            (false, ..) => None,
            (true, Some(port), _) => Some(port),
            (true, None, Some(FirstVip { port: PortMatch::Exact(port), .. })) => Some(*port),
            (true, None, Some(_)) => return None,
            (true, None, None) => return Some(None),
        };
        Some(Some(Check {
            kind: self.question?,
            via: self.via?,
            port,
            port_of_vip,
            times: self.times?,
            dead_after: self.dead_after?.map_or(Duration::ZERO, |time| time.value),
            probe_source: self.probe_source?.map(|source| source.value),
        }))
    }

    fn check_port(&self, vip: &FirstVip, report: &mut Report) {
        if !self.kind.has_port() || self.port != Some(None) {
            return;
        }
        let why = match (vip.protocol, vip.port) {
            (Protocol::Udp, _) if self.kind.is_tcp() => "its VIP is UDP",
            (Protocol::Quic, _) => "its VIP is QUIC",
            (Protocol::Tcp, _) if !self.kind.is_tcp() => "its VIP is TCP",
            (_, PortMatch::Range(..)) => "its VIP takes a range of ports",
            (_, PortMatch::Any) => "its VIP takes any port",
            (_, PortMatch::Exact(_)) => return,
        };
        report
            .error(self.at, format!("the pool's {} health check has no port: {why}", self.kind.word()))
            .related(vip.at, "VIP")
            .help("set `port` in health, or health = { kind = \"none\" }");
    }
}
