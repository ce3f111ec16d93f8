//! `[[pool]]`: backends, how packets reach them, and the size of their table.

use crate::backends::{self, BackendDraft};
use crate::connect;
use crate::draft::index_names;
use crate::flows::{self, FlowsDraft};
use crate::groups::{self, GroupsDraft};
use crate::health::{self, HealthDraft};
use crate::model::{Agent, Connect, Forward};
use crate::nat::{self, NatDraft};
use crate::quic::{self, QuicLbDraft};
use crate::reader::{Located, Reader, Value};
use crate::report::Report;
use crate::tunnel::{self, TunnelDraft};
use crate::{scalar, schema, table_size};
use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

/// Backends of one pool: a slot has 15 bits for them (CONSISTENCY, Slots), and one value says "none".
const MOST_BACKENDS: usize = 32767;

pub(crate) struct PoolDraft {
    pub(crate) at: usize,
    pub(crate) name: Option<Located<String>>,
    pub(crate) forward: Option<Forward>,
    pub(crate) health: Option<HealthDraft>,
    pub(crate) agent: Option<Option<Agent>>,
    pub(crate) slow_start: Option<Option<Duration>>,
    pub(crate) table_size: Option<u32>,
    pub(crate) tunnel: TunnelDraft,
    pub(crate) nat: NatDraft,
    pub(crate) connect: Option<Connect>,
    pub(crate) quic_lb: Vec<QuicLbDraft>,
    pub(crate) groups: GroupsDraft,
    pub(crate) flows: FlowsDraft,
    pub(crate) backends: Vec<BackendDraft>,
}

impl PoolDraft {
    /// The pool in a message.
    pub(crate) fn called(&self) -> String {
        self.name.as_ref().map_or_else(|| "the pool".to_owned(), |name| format!("pool \"{}\"", name.value))
    }
}

/// Reads one pool.
pub(crate) fn read(mut pool: Reader<'_>, report: &mut Report) -> PoolDraft {
    let at = pool.at;
    let name = pool.need("name", report).and_then(|value| value.parsed(scalar::name, report));
    let forward = pool.need("forward", report).and_then(|value| forward(value, report));
    let health = health::read(pool.get("health"), at, report);
    let agent = health::agent(pool.get("agent"), report);
    let slow_start = match pool.get("slow_start") {
        Some(value) => {
            let time = value.parsed(|text| scalar::duration_between(text, "1s", "1h"), report);
            time.map(|time| Some(time.value))
        }
        None => Some(None),
    };
    let configured = pool.get("table_size");
    let tunnel = tunnel::read(&mut pool, forward, report);
    let nat = nat::read(&mut pool, forward, report);
    let connect = connect::read(&mut pool, forward, report);
    let groups = groups::read(&mut pool, report);
    let flows = flows::read(&mut pool, report);
    let (quic_lb, quic_complete) = match pool.get("quic_lb") {
        Some(value) => {
            let entries = value.tables(&schema::QUIC_LB, report);
            (entries.into_iter().map(|entry| quic::read(entry, report)).collect(), value.is_tables())
        }
        None => (Vec::new(), true),
    };
    let backends = backends(pool.get("backend"), at, report);
    let table_size = match configured {
        Some(value) => configured_size(value, backends.len(), report),
        None => Some(table_size::default_for(backends.len())),
    };
    pool.finish(report);
    let draft = PoolDraft {
        at,
        name,
        forward,
        health,
        agent,
        slow_start,
        table_size,
        tunnel,
        nat,
        connect,
        quic_lb,
        groups,
        flows,
        backends,
    };
    weights(&draft, report);
    groups::check(&draft, report);
    tunnel::check(&draft.tunnel, &draft.backends, report);
    nat::check_ports(draft.forward, &draft.backends, report);
    quic::check(&draft, quic_complete, report);
    draft
}

fn forward(value: Value<'_>, report: &mut Report) -> Option<Forward> {
    let words = [
        ("l2dsr", Ok(Forward::L2dsr)),
        ("ipip", Ok(Forward::Ipip)),
        ("gre", Ok(Forward::Gre)),
        ("gue", Ok(Forward::Gue)),
        ("nat", Ok(Forward::Nat)),
        ("fullnat", Ok(Forward::Fullnat)),
    ];
    value.word(&words, report).map(|forward| forward.value)
}

fn backends(value: Option<Value<'_>>, pool_at: usize, report: &mut Report) -> Vec<BackendDraft> {
    let Some(value) = value else {
        report.error(pool_at, "the pool has no backends").help("add at least one [[pool.backend]] after it");
        return Vec::new();
    };
    let readers = value.tables(&schema::BACKEND, report);
    if readers.is_empty() && value.is_empty() {
        report.error(value.at, "the pool has no backends").help("add at least one [[pool.backend]] after it");
    }
    if readers.len() > MOST_BACKENDS {
        let at = readers[MOST_BACKENDS].at;
        report.error(at, format!("a pool holds at most {MOST_BACKENDS} backends, this one has {}", readers.len()));
        return Vec::new();
    }
    let backends: Vec<_> = readers.into_iter().map(|reader| backends::read(reader, report)).collect();
    index_names("backends of this pool", backends.iter().map(|backend| backend.name.as_ref()), report);
    same_addresses(&backends, report);
    backends
}

fn same_addresses(backends: &[BackendDraft], report: &mut Report) {
    let mut first: HashMap<IpAddr, (usize, &str)> = HashMap::new();
    for backend in backends {
        let (Some(address), Some(name)) = (backend.address, &backend.name) else { continue };
        match first.get(&address.value) {
            Some(&(at, other)) if other != name.value => {
                report
                    .warning(address.at, format!("two backends of this pool have the address {}", address.value))
                    .related(at, "first given")
                    .help("give one backend a higher `weight` instead");
            }
            Some(_) => {}
            None => {
                first.insert(address.value, (address.at, &name.value));
            }
        }
    }
}

fn configured_size(value: Value<'_>, backends: usize, report: &mut Report) -> Option<u32> {
    let Located { at, value: size } = value.integer(2, u64::from(table_size::LARGEST), report)?.map(|size| size as u32);
    if !table_size::is_prime(size) {
        let finding = report.error(at, format!("`table_size` {size} is not prime"));
        if let Some(prime) = table_size::next_prime(size) {
            finding.help(format!("the next prime is {prime}"));
        }
        return None;
    }
    let wanted = backends.saturating_mul(table_size::SLOTS_PER_BACKEND);
    if (size as usize) < backends {
        report.error(at, format!("`table_size` {size} has less than one slot for each of {backends} backends"));
        return None;
    }
    if (size as usize) < wanted {
        let each = table_size::SLOTS_PER_BACKEND;
        report
            .warning(at, format!("`table_size` {size} is less than {each} slots for each of {backends} backends"))
            .help(format!("shares differ by more than a percent; {wanted} slots or more keep them even"));
    }
    Some(size)
}

/// Warns of weights that give nobody, or somebody less than, a slot.
fn weights(pool: &PoolDraft, report: &mut Report) {
    let weights = pool.backends.iter().map(|backend| Some((backend.priority?, backend.weight?)));
    let Some(weights) = weights.collect::<Option<Vec<(u8, u32)>>>().filter(|weights| !weights.is_empty()) else {
        return;
    };
    if weights.iter().all(|&(_, weight)| weight == 0) {
        report
            .warning(pool.at, format!("all backends of {} have weight 0: they are all drained", pool.called()))
            .help("with all drained, the drained ones serve");
        return;
    }
    let Some(size) = pool.table_size else { return };
    // A table is built over one group.
    let mut totals: HashMap<u8, u64> = HashMap::new();
    for &(priority, weight) in &weights {
        *totals.entry(priority).or_default() += u64::from(weight);
    }
    let starved = |&&(priority, weight): &&(u8, u32)| {
        weight > 0 && totals.get(&priority).is_some_and(|&total| u64::from(weight) * u64::from(size) < total)
    };
    let count = weights.iter().filter(starved).count();
    if count > 0 {
        report
            .warning(
                pool.at,
                format!(
                    "weights of {} are so far apart that {count} of its backends get less than one of {size} slots",
                    pool.called()
                ),
            )
            .help("raise their `weight`, or `table_size`");
    }
}
