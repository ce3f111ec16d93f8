//! What a pool says of its flows: which are pinned, how long they may be silent, when they have to move.

use crate::model::{IdleTimeout, OnDown, Tracking};
use crate::reader::{Reader, Value};
use crate::report::Report;
use crate::{scalar, schema};
use std::time::Duration;

pub(crate) struct FlowsDraft {
    pub(crate) tracking: Option<Tracking>,
    pub(crate) idle_timeout: Option<IdleTimeout>,
    /// `Some(None)`: never.
    pub(crate) drain_timeout: Option<Option<Duration>>,
    pub(crate) on_down: Option<OnDown>,
}

/// Reads the keys out of a pool.
pub(crate) fn read(pool: &mut Reader<'_>, report: &mut Report) -> FlowsDraft {
    let tracking = match pool.get("tracking") {
        Some(value) => {
            let words = [("transition", Ok(Tracking::Transition)), ("always", Ok(Tracking::Always))];
            value.word(&words, report).map(|tracking| tracking.value)
        }
        None => Some(Tracking::Transition),
    };
    let idle_timeout = match pool.get("idle_timeout") {
        Some(value) => idle_timeout(value, report),
        None => Some(IdleTimeout::default()),
    };
    let drain_timeout = match pool.get("drain_timeout") {
        Some(value) => value.parsed(drain_timeout, report).map(|time| Some(time.value)),
        None => Some(None),
    };
    let on_down = match pool.get("on_down") {
        Some(value) => {
            let words = [("move", Ok(OnDown::Move)), ("keep", Ok(OnDown::Keep))];
            value.word(&words, report).map(|on_down| on_down.value)
        }
        None => Some(OnDown::Move),
    };
    FlowsDraft { tracking, idle_timeout, drain_timeout, on_down }
}

fn idle_timeout(value: Value<'_>, report: &mut Report) -> Option<IdleTimeout> {
    if let Some(time) = value.as_str() {
        report
            .error(value.at, "`idle_timeout` must be a table, not a string")
            .help(format!("write {{ tcp = \"{}\" }}", time.escape_debug()));
        return None;
    }
    let mut table = value.table(&schema::IDLE_TIMEOUT, report)?;
    let default = IdleTimeout::default();
    let mut time = |key: &'static str, default: Duration| match table.get(key) {
        Some(value) => value.parsed(scalar::idle_time, report).map(|time| time.value),
        None => Some(default),
    };
    let (tcp, udp, quic) = (time("tcp", default.tcp), time("udp", default.udp), time("quic", default.quic));
    table.finish(report);
    Some(IdleTimeout { tcp: tcp?, udp: udp?, quic: quic? })
}

/// Zero would be a drain that breaks its flows: that is for the one who drains to say (`--force`).
fn drain_timeout(text: &str) -> Result<Duration, scalar::Fault> {
    scalar::duration_between(text, "1us", "720h")
}
