//! `[[pool.quic_lb]]` and the server IDs of backends: connection IDs that name a backend
//! (draft-ietf-quic-load-balancers).

use crate::backends::BackendDraft;
use crate::model::QuicLb;
use crate::pools::PoolDraft;
use crate::reader::{Located, Reader};
use crate::report::Report;
use crate::scalar;
use std::collections::HashMap;

/// Highest value of the three configuration bits: 7 marks a connection ID that cannot be routed (section 3).
const HIGHEST_CONFIG: u64 = 6;
/// Lengths of the nonce in bytes (section 3.1).
const NONCE: (u64, u64) = (4, 18);
/// What fits behind the first byte of a connection ID of 20 bytes (RFC 9000, section 17.2).
const LONGEST: u8 = 19;

pub(crate) struct QuicLbDraft {
    pub(crate) at: usize,
    config_id: Option<Located<u8>>,
    server_id_len: Option<Located<u8>>,
    nonce_len: Option<Located<u8>>,
    /// `Some(None)`: the server ID lies open.
    key: Option<Option<[u8; 16]>>,
}

impl QuicLbDraft {
    /// The draft in the model; `None` if anything of it was refused.
    pub(crate) fn model(&self) -> Option<QuicLb> {
        Some(QuicLb {
            config_id: self.config_id?.value,
            server_id_len: self.server_id_len?.value,
            nonce_len: self.nonce_len?.value,
            key: self.key?,
        })
    }
}

/// Reads one entry.
pub(crate) fn read(mut entry: Reader<'_>, report: &mut Report) -> QuicLbDraft {
    let at = entry.at;
    let mut number = |key: &'static str, low: u64, high: u64, report: &mut Report| {
        let value = entry.need(key, report)?.integer(low, high, report)?;
        Some(value.map(|value| value as u8))
    };
    let config_id = number("config_id", 0, HIGHEST_CONFIG, report);
    let server_id_len = number("server_id_len", 1, scalar::SERVER_ID_LENGTH as u64, report);
    let nonce_len = number("nonce_len", NONCE.0, NONCE.1, report);
    let key = match entry.get("key") {
        Some(value) => value.parsed(scalar::key, report).map(|key| Some(key.value)),
        None => Some(None),
    };
    entry.finish(report);
    if let (Some(id), Some(nonce)) = (server_id_len, nonce_len)
        && id.value + nonce.value > LONGEST
    {
        let sum = id.value + nonce.value;
        report
            .error(nonce.at, format!("`server_id_len` and `nonce_len` are {sum} bytes together, more than {LONGEST}"))
            .help("a connection ID has 20 bytes, and the first one is taken");
    }
    QuicLbDraft { at, config_id, server_id_len, nonce_len, key }
}

/// Checks a pool's entries among themselves and against its backends; `complete`: all entries could be read.
pub(crate) fn check(pool: &PoolDraft, complete: bool, report: &mut Report) {
    let entries = &pool.quic_lb;
    let mut first: HashMap<u8, usize> = HashMap::new();
    for id in entries.iter().filter_map(|entry| entry.config_id) {
        if let Some(&at) = first.get(&id.value) {
            report.error(id.at, format!("`config_id` {} is given twice in this pool", id.value)).related(at, "first");
        }
        first.entry(id.value).or_insert(id.at);
    }
    let mut lengths = entries.iter().filter_map(|entry| entry.server_id_len);
    let length = lengths.next();
    for other in lengths.filter(|other| length.is_some_and(|length| length.value != other.value)) {
        report
            .error(other.at, "`server_id_len` differs within this pool")
            .related(length.map_or(other.at, |length| length.at), "first given")
            .help("a backend has one `server_id`, so all entries of a pool agree on its length");
    }
    if complete {
        server_ids(pool, length, report);
    }
    distinct(&pool.backends, report);
}

fn server_ids(pool: &PoolDraft, length: Option<Located<u8>>, report: &mut Report) {
    // What was refused counts as given: it has been reported.
    let ids = || pool.backends.iter().filter(|backend| !matches!(backend.server_id, Some(None)));
    let Some(entry) = pool.quic_lb.first() else {
        for id in ids().filter_map(|backend| backend.server_id.as_ref()?.as_ref()) {
            report
                .error(id.at, "`server_id` has no meaning in a pool without [[pool.quic_lb]]")
                .help("remove it, or say with [[pool.quic_lb]] where connection IDs hold it");
        }
        return;
    };
    let (with, all) = (ids().count(), pool.backends.len());
    if with == 0 && all > 0 {
        report
            .error(entry.at, format!("no backend of {} has a `server_id`", pool.called()))
            .help("give each backend the server ID that its connection IDs carry, for example server_id = \"0a0b\"");
    } else if with < all {
        report
            .warning(entry.at, format!("{} of {all} backends of {} have no `server_id`", all - with, pool.called()))
            .help("their connections follow addresses and ports, and break when a client's address changes");
    }
    let Some(length) = length else { return };
    for id in ids().filter_map(|backend| backend.server_id.as_ref()?.as_ref()) {
        if id.value.len() != usize::from(length.value) {
            report
                .error(id.at, format!("`server_id` has {} bytes, not `server_id_len` {}", id.value.len(), length.value))
                .related(length.at, "given");
        }
    }
}

fn distinct(backends: &[BackendDraft], report: &mut Report) {
    let mut first = HashMap::new();
    for id in backends.iter().filter_map(|backend| backend.server_id.as_ref()?.as_ref()) {
        if let Some(&at) = first.get(&id.value) {
            report.error(id.at, "two backends of this pool have this `server_id`").related(at, "first given");
        } else {
            first.insert(&id.value, id.at);
        }
    }
}

/// Warns of entries that no packet will ask for.
pub(crate) fn warn_unused(entries: &[QuicLbDraft], report: &mut Report) {
    if let Some(entry) = entries.first() {
        report
            .warning(entry.at, "[[pool.quic_lb]] has no effect: no VIP with protocol = \"quic\" uses this pool")
            .help("set protocol = \"quic\" at the VIP, or remove it");
    }
}
