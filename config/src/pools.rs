//! `[[pool]]`: backends, how packets reach them, and the size of their table.

use crate::backends::{self, BackendDraft};
use crate::draft::index_names;
use crate::health::{self, HealthDraft};
use crate::model::Forward;
use crate::names::quote;
use crate::quic::{self, QuicLbDraft};
use crate::reader::{Located, Reader, Value};
use crate::report::Report;
use crate::scalar::{self, Fault};
use crate::tunnel::{self, TunnelDraft};
use crate::{schema, table_size};
use std::collections::HashMap;
use std::net::IpAddr;

/// Backends of one pool: a slot has 15 bits for them (CONSISTENCY, Slots), and one value says "none".
const MOST_BACKENDS: usize = 32767;

pub(crate) struct PoolDraft {
    pub(crate) at: usize,
    pub(crate) name: Option<Located<String>>,
    pub(crate) forward: Option<Forward>,
    pub(crate) health: Option<HealthDraft>,
    pub(crate) table_size: Option<u32>,
    pub(crate) tunnel: TunnelDraft,
    pub(crate) quic_lb: Vec<QuicLbDraft>,
    /// `Some(None)`: off.
    pub(crate) panic_threshold: Option<Option<f64>>,
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
    let configured = pool.get("table_size");
    let tunnel = tunnel::read(&mut pool, forward, report);
    let panic_threshold = match pool.get("panic_threshold") {
        Some(value) => panic_threshold(value, report).map(Some),
        None => Some(None),
    };
    if let Some(tracking) = pool.get("tracking") {
        let always = Err("remove it; flows are pinned in transitions only");
        tracking.word(&[("transition", Ok(())), ("always", always)], report);
    }
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
    let draft = PoolDraft { at, name, forward, health, table_size, tunnel, quic_lb, panic_threshold, backends };
    weights(&draft, report);
    tunnel::check(&draft.tunnel, &draft.backends, report);
    quic::check(&draft, quic_complete, report);
    draft
}

fn forward(value: Value<'_>, report: &mut Report) -> Option<Forward> {
    let instead = Err("use forward = \"l2dsr\", \"ipip\", \"gre\" or \"gue\"");
    let words = [
        ("l2dsr", Ok(Forward::L2dsr)),
        ("ipip", Ok(Forward::Ipip)),
        ("gre", Ok(Forward::Gre)),
        ("gue", Ok(Forward::Gue)),
        ("nat", instead),
        ("fullnat", instead),
    ];
    value.word(&words, report).map(|forward| forward.value)
}

fn panic_threshold(value: Value<'_>, report: &mut Report) -> Option<f64> {
    let share = if value.as_str().is_some() {
        value.parsed(percent, report)?.value
    } else {
        match value.number() {
            Some(share) => share,
            None => return value.wrong("a number from 0 to 1, or a string such as \"50%\"", report),
        }
    };
    if (0.0..=1.0).contains(&share) {
        return Some(share);
    }
    let finding = report.error(value.at, "`panic_threshold` must be from 0 to 1, or from \"0%\" to \"100%\"");
    if value.is_integer() && (2.0..=100.0).contains(&share) {
        finding.help(format!("write \"{share}%\""));
    }
    None
}

fn percent(text: &str) -> Result<f64, Fault> {
    let digits = text.strip_suffix('%').filter(|number| number.chars().all(|c| c.is_ascii_digit() || c == '.'));
    match digits.and_then(|number| number.parse::<f64>().ok()) {
        Some(percent) => Ok(percent / 100.0),
        None => {
            Err(Fault::with_help(format!("{} is not a percentage", quote(text)), "write for example \"50%\" or 0.5"))
        }
    }
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
    let weights: Option<Vec<u32>> = pool.backends.iter().map(|backend| backend.weight).collect();
    let Some(weights) = weights.filter(|weights| !weights.is_empty()) else { return };
    let total: u64 = weights.iter().copied().map(u64::from).sum();
    if total == 0 {
        report
            .warning(pool.at, format!("all backends of {} have weight 0: they are all drained", pool.called()))
            .help("with all drained, the drained ones serve");
        return;
    }
    let Some(size) = pool.table_size else { return };
    let starved = |&weight: &u32| weight > 0 && u64::from(weight) * u64::from(size) < total;
    let count = weights.iter().filter(|weight| starved(weight)).count();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages() {
        assert_eq!(percent("50%"), Ok(0.5));
        assert_eq!(percent("0%"), Ok(0.0));
        for bad in ["50", "%", "-1%", "inf%", "1e2%", "5 %"] {
            assert!(percent(bad).is_err(), "{bad}");
        }
    }
}
