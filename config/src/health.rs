//! `health` of a pool: the probe, its times and what it needs of the pool's VIPs.

use crate::addresses;
use crate::model::{Health, PortMatch, Protocol, TcpCheck};
use crate::reader::{Located, Reader, Value};
use crate::report::Report;
use crate::scalar::{self, Fault};
use crate::schema;
use std::net::IpAddr;
use std::time::Duration;

pub(crate) const INTERVAL: Duration = Duration::from_millis(20);
const FAST_INTERVAL: Duration = Duration::from_millis(10);
const TIMEOUT: Duration = Duration::from_millis(20);
const RISE: u32 = 2;
const FALL: u32 = 3;

/// Longest run of results that `rise` and `fall` may ask for.
const LONGEST_RUN: u64 = 255;

/// Shortest time of a probe: the control loop's own step is below it.
const SHORTEST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_secs(3600);

/// Kinds that the design has and this version does not build share one way out.
const INSTEAD: &str = "use kind = \"tcp\" or kind = \"none\"";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    None,
    Tcp,
}

pub(crate) enum HealthDraft {
    None,
    Tcp(TcpDraft),
}

pub(crate) struct TcpDraft {
    at: usize,
    /// `Some(None)`: the port of the first VIP.
    port: Option<Option<u16>>,
    interval: Option<Duration>,
    fast_interval: Option<Duration>,
    timeout: Option<Duration>,
    rise: Option<u32>,
    fall: Option<u32>,
    /// `Some(None)`: the own address on the way.
    pub(crate) probe_source: Option<Option<Located<IpAddr>>>,
}

/// Reads `health` of a pool that begins at `pool_at`; absent means `tcp` with its defaults.
pub(crate) fn read(value: Option<Value<'_>>, pool_at: usize, report: &mut Report) -> Option<HealthDraft> {
    let Some(value) = value else {
        return Some(HealthDraft::Tcp(TcpDraft {
            at: pool_at,
            port: Some(None),
            interval: Some(INTERVAL),
            fast_interval: Some(FAST_INTERVAL),
            timeout: Some(TIMEOUT),
            rise: Some(RISE),
            fall: Some(FALL),
            probe_source: Some(None),
        }));
    };
    if let Some(kind) = value.as_str() {
        report
            .error(value.at, "`health` must be a table, not a string")
            .help(format!("write {{ kind = \"{}\" }}", kind.escape_debug()));
        return None;
    }
    let mut health = value.table(&schema::HEALTH, report)?;
    let kind = match health.get("kind") {
        Some(value) => kind(value, report)?,
        None => Kind::Tcp,
    };
    let tcp = tcp(&mut health, report);
    if kind == Kind::None {
        report_unused(&mut health, report);
    }
    health.finish(report);
    Some(if kind == Kind::Tcp { HealthDraft::Tcp(tcp) } else { HealthDraft::None })
}

fn kind(value: Value<'_>, report: &mut Report) -> Option<Kind> {
    let words = [
        ("tcp", Ok(Kind::Tcp)),
        ("none", Ok(Kind::None)),
        ("http", Err(INSTEAD)),
        ("https", Err(INSTEAD)),
        ("tls", Err(INSTEAD)),
        ("udp", Err(INSTEAD)),
        ("dns", Err(INSTEAD)),
        ("icmp", Err(INSTEAD)),
        ("grpc", Err(INSTEAD)),
    ];
    value.word(&words, report).map(|kind| kind.value)
}

fn report_unused(health: &mut Reader<'_>, report: &mut Report) {
    for key in schema::HEALTH.built().filter(|key| *key != "kind") {
        if let Some(value) = health.get(key) {
            report.warning(value.at, format!("`{key}` has no effect with kind = \"none\""));
        }
    }
}

fn tcp(health: &mut Reader<'_>, report: &mut Report) -> TcpDraft {
    let at = health.at;
    let port = match health.get("port") {
        Some(value) => value.integer(1, 65535, report).map(|port| Some(port.value as u16)),
        None => Some(None),
    };
    let interval = time(health, "interval", report).unwrap_or(Some(Located { at, value: INTERVAL }));
    let longest_fast = interval.map_or(FAST_INTERVAL, |interval| interval.value.min(FAST_INTERVAL));
    let fast_interval = time(health, "fast_interval", report).unwrap_or(Some(Located { at, value: longest_fast }));
    if let (Some(fast), Some(interval)) = (fast_interval, interval)
        && fast.value > interval.value
    {
        report
            .error(fast.at, format!("`fast_interval` {:?} is longer than `interval` {:?}", fast.value, interval.value));
    }
    let timeout = time(health, "timeout", report).unwrap_or(Some(Located { at, value: TIMEOUT }));
    let rise = run(health, "rise", RISE, report);
    let fall = run(health, "fall", FALL, report);
    if let Some(via) = health.get("via") {
        via.word(&[("dataplane", Ok(())), ("kernel", Err("remove it; probes go through the dataplane"))], report);
    }
    let probe_source = match health.get("probe_source") {
        Some(value) => value.parsed(addresses::address, report).map(Some),
        None => Some(None),
    };
    TcpDraft {
        at,
        port,
        interval: interval.map(|interval| interval.value),
        fast_interval: fast_interval.map(|interval| interval.value),
        timeout: timeout.map(|timeout| timeout.value),
        rise,
        fall,
        probe_source,
    }
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

/// What the first VIP of a pool gives to its probes.
pub(crate) struct FirstVip {
    pub(crate) at: usize,
    pub(crate) protocol: Protocol,
    pub(crate) port: PortMatch,
}

impl HealthDraft {
    /// The check for a pool whose first VIP is `vip`; without a port and a VIP there is nothing to probe.
    pub(crate) fn resolve(&self, vip: Option<&FirstVip>) -> Option<Health> {
        let Self::Tcp(tcp) = self else { return Some(Health::None) };
        let port = match (tcp.port?, vip) {
            (Some(port), _) => port,
            (None, Some(FirstVip { port: PortMatch::Exact(port), .. })) => *port,
            (None, Some(_)) => return None,
            (None, None) => return Some(Health::None),
        };
        Some(Health::Tcp(TcpCheck {
            port,
            interval: tcp.interval?,
            fast_interval: tcp.fast_interval?,
            timeout: tcp.timeout?,
            rise: tcp.rise?,
            fall: tcp.fall?,
            probe_source: tcp.probe_source?.map(|source| source.value),
        }))
    }

    /// Reports a probe without a port that it could take from the pool's first VIP.
    pub(crate) fn check_port(&self, vip: &FirstVip, report: &mut Report) {
        let Self::Tcp(TcpDraft { at, port: Some(None), .. }) = self else { return };
        let why = match (vip.protocol, vip.port) {
            (Protocol::Udp, _) => "its VIP is UDP",
            (Protocol::Quic, _) => "its VIP is QUIC",
            (Protocol::Tcp, PortMatch::Range(..)) => "its VIP takes a range of ports",
            (Protocol::Tcp, PortMatch::Any) => "its VIP takes any port",
            (Protocol::Tcp, PortMatch::Exact(_)) => return,
        };
        report
            .error(*at, format!("the pool's tcp health check has no port: {why}"))
            .related(vip.at, "VIP")
            .help("set `port` in health, or health = { kind = \"none\" }");
    }
}
