//! What a pool says of new connections: when another backend is tried, and whether clients must prove that they are there.

use crate::model::{Connect, Forward, SynProxy};
use crate::reader::Reader;
use crate::report::Report;
use crate::scalar;

/// Backends that a connection may try beside the first one.
const MOST_RETRIES: u64 = 4;
/// SYNs a second of a pool.
const RATES: (u64, u64) = (100, 1_000_000_000);

/// Reads the keys out of a pool that forwards by `forward`.
pub(crate) fn read(pool: &mut Reader<'_>, forward: Option<Forward>, report: &mut Report) -> Option<Connect> {
    let default = Connect::default();
    let is_nat = forward.is_none_or(Forward::is_nat);
    let timeout = match pool.key("connect_timeout", forward, is_nat, report) {
        Some(value) => {
            let time = value.parsed(|text| scalar::duration_between(text, "10ms", "60s"), report);
            time.map(|time| time.value)
        }
        None => Some(default.timeout),
    };
    let retries = match pool.key("connect_retries", forward, is_nat, report) {
        Some(value) => value.integer(0, MOST_RETRIES, report).map(|count| count.value as u8),
        None => Some(default.retries),
    };
    let syn_proxy = match pool.key("syn_proxy", forward, is_nat, report) {
        Some(value) => {
            let words = [
                ("off", Ok(SynProxy::Off)),
                ("on", Ok(SynProxy::On)),
                ("auto", Ok(SynProxy::Auto { rate: SynProxy::RATE })),
            ];
            value.word(&words, report).map(|word| word.value)
        }
        None => Some(default.syn_proxy),
    };
    let syn_proxy = match (syn_proxy, pool.get("syn_proxy_rate")) {
        (Some(SynProxy::Auto { .. }), Some(value)) => {
            value.integer(RATES.0, RATES.1, report).map(|rate| SynProxy::Auto { rate: rate.value as u32 })
        }
        (Some(_), Some(value)) => {
            report
                .error(value.at, "`syn_proxy_rate` has no meaning without syn_proxy = \"auto\"")
                .help("set syn_proxy = \"auto\", or remove it");
            None
        }
        (mode, _) => mode,
    };
    Some(Connect { timeout: timeout?, retries: retries?, syn_proxy: syn_proxy? })
}
