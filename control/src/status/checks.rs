//! Checks of backends in `status`, and their last results.

use super::model::{CheckDetail, CheckHistory, CheckStatus, ResultStatus, ShareStatus};
use crate::checks::{Asked, HistoryResult};
use crate::health::{self, AGENT, CheckNumber, Reason};
use crate::rt::Report;
use crate::state::{BackendState, State};
use guideway_config::model::Via;
use guideway_dataplane::ids::BackendId;
use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

/// What is known of one check of a backend.
pub(crate) type Known<'r> = (CheckNumber, health::Status, Option<&'r str>);

/// The checks of the backends that have some, by their numbers.
pub(crate) type Checks<'r> = BTreeMap<BackendId, Vec<Known<'r>>>;

pub(crate) fn checks(report: &Report) -> Checks<'_> {
    let mut checks = Checks::new();
    for ((backend, status), (_, number)) in report.health.iter().zip(&report.numbers) {
        checks.entry(*backend).or_default().push((*number, *status, None));
    }
    for check in &report.checks {
        checks.entry(check.backend).or_default().push((check.number, check.status, check.detail.as_deref()));
    }
    checks.values_mut().for_each(|known| known.sort_by_key(|(number, ..)| *number));
    checks
}

/// What a pool's backends are asked, by number.
#[must_use]
pub fn asked(state: &State, pool: usize) -> Vec<Asked> {
    let of_config = &state.config.pools[pool];
    let checks = (0..).zip(&of_config.health).map(|(number, check)| Asked::check(number, check));
    checks.chain(of_config.agent.as_ref().map(Asked::agent)).collect()
}

fn named(asked: &[Asked], number: CheckNumber) -> Option<&Asked> {
    asked.iter().find(|asked| asked.number == number)
}

const fn way(via: Via) -> &'static str {
    match via {
        Via::Dataplane => "dataplane",
        Via::Kernel => "kernel",
    }
}

fn port(asked: &Asked) -> Option<u16> {
    (asked.port != 0).then_some(asked.port)
}

/// Whether a backend is down only since its checks say that it returned too often.
pub(crate) fn is_held(known: &[Known<'_>]) -> bool {
    let down = |(_, status, _): &&Known<'_>| matches!(status.state, health::State::Down | health::State::HeldDown);
    let mut down = known.iter().filter(down).peekable();
    down.peek().is_some() && down.all(|(_, status, _)| status.state == health::State::HeldDown)
}

/// All checks together: sums, and of round trips the last one of the first check.
pub(crate) fn together(known: &[Known<'_>]) -> Option<CheckStatus> {
    let mut checks = known.iter().filter(|(number, ..)| *number != AGENT).map(|(_, status, _)| counts(status));
    let first = checks.next()?;
    Some(checks.fold(first, |sum, check| CheckStatus {
        sent: sum.sent.wrapping_add(check.sent),
        answered: sum.answered.wrapping_add(check.answered),
        failed: sum.failed.wrapping_add(check.failed),
        void: sum.void.wrapping_add(check.void),
        rtt_microseconds: sum.rtt_microseconds,
        slow: sum.slow || check.slow,
    }))
}

/// Each check by itself.
pub(super) fn details(asked: &[Asked], known: &[Known<'_>]) -> Vec<CheckDetail> {
    let detail = |(number, status, detail): &Known<'_>| {
        let asked = named(asked, *number)?;
        Some(CheckDetail {
            kind: asked.question.word().to_owned(),
            via: way(asked.via).to_owned(),
            port: port(asked),
            state: status.state.to_string(),
            reason: status.reason.map(|reason| reason.to_string()),
            detail: detail.map(str::to_owned),
            counts: counts(status),
        })
    };
    known.iter().filter_map(detail).collect()
}

fn counts(check: &health::Status) -> CheckStatus {
    CheckStatus {
        sent: check.sent,
        answered: check.answered,
        failed: check.failed,
        void: check.void,
        rtt_microseconds: check.rtt.map(|rtt| rtt.as_secs_f64() * 1e6),
        slow: check.slow,
    }
}

pub(super) fn share(backend: &BackendState) -> ShareStatus {
    ShareStatus {
        agent_percent: backend.advice.percent,
        agent_drain: backend.advice.drain,
        warm_percent: backend.warmth.percent(),
    }
}

/// The last results of a backend's checks.
#[must_use]
pub fn history(asked: &[Asked], results: &[(CheckNumber, Vec<HistoryResult>)], now: SystemTime) -> Vec<CheckHistory> {
    let of_check = |(number, results): &(CheckNumber, Vec<HistoryResult>)| {
        let asked = named(asked, *number)?;
        Some(CheckHistory {
            kind: asked.question.word().to_owned(),
            via: way(asked.via).to_owned(),
            port: port(asked),
            results: results.iter().map(|of| result(of, now)).collect(),
        })
    };
    results.iter().filter_map(of_check).collect()
}

fn result(of: &HistoryResult, now: SystemTime) -> ResultStatus {
    let at = now.checked_sub(of.age).unwrap_or(UNIX_EPOCH);
    ResultStatus {
        at_unix: at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64(),
        took_microseconds: of.took.as_secs_f64() * 1e6,
        result: match of.reason {
            None => "void",
            Some(Reason::Answered) => "passed",
            Some(_) => "failed",
        }
        .to_owned(),
        reason: of.reason.map(|reason| reason.to_string()),
        detail: of.detail.clone(),
    }
}
