//! What is known of one check of one backend: its verdict, its counts and its last results.

use super::history::{History, Result as HistoryResult};
use super::speak::Fault;
use crate::health::dampen::{Dampened, Level, Outcome, Thresholds};
use crate::health::{CheckNumber, HoldDown, Reason, State, Status, Transition};
use guideway_config::model::CheckTimes;
use guideway_dataplane::ids::BackendId;
use guideway_dataplane::time::Nanos;
use std::time::Duration;

/// A check of one backend, as `status` shows it.
#[derive(Clone, Debug)]
pub struct CheckReport {
    /// The backend.
    pub backend: BackendId,
    /// Which check of its pool.
    pub number: CheckNumber,
    /// What is known.
    pub status: Status,
    /// More about the last result, for people.
    pub detail: Option<String>,
}

/// One result, by the clock of the workers.
#[derive(Clone, Debug)]
struct Entry {
    at: Nanos,
    took: Duration,
    reason: Option<Reason>,
    detail: Option<String>,
}

/// The state of one check of one backend.
pub(super) struct Judged {
    dampened: Dampened,
    hold: HoldDown,
    since: Nanos,
    reason: Option<Reason>,
    last: Option<Duration>,
    sent: u32,
    failed: u32,
    void: u32,
    outstanding: u32,
    history: History<Entry>,
}

impl Judged {
    pub(super) fn new(now: Nanos) -> Self {
        Self {
            dampened: Dampened::default(),
            hold: HoldDown::NEW,
            since: now,
            reason: None,
            last: None,
            sent: 0,
            failed: 0,
            void: 0,
            outstanding: 0,
            history: History::new(),
        }
    }

    /// A probe begins.
    pub(super) fn begin(&mut self) {
        self.sent = self.sent.wrapping_add(1);
        self.outstanding += 1;
    }

    /// A probe was given up, since nobody asks any more.
    pub(super) fn give_up(&mut self) {
        self.outstanding = 0;
        self.void = self.void.wrapping_add(1);
    }

    /// A probe ended. Returns the transition that it brings, and why. `detail` of a good answer may be set too.
    pub(super) fn settle(
        &mut self,
        at: Nanos,
        took: Duration,
        result: Result<Option<String>, Fault>,
        times: &CheckTimes,
    ) -> Option<(Transition, Reason)> {
        self.outstanding = self.outstanding.saturating_sub(1);
        let (reason, detail) = match result {
            Ok(detail) => (Some(Reason::Answered), detail),
            Err(Fault { reason, detail }) => (reason, detail),
        };
        self.history.push(Entry { at, took, reason, detail });
        let Some(reason) = reason else {
            self.void = self.void.wrapping_add(1);
            return None;
        };
        let outcome = if reason == Reason::Answered { Outcome::Pass } else { Outcome::Fail };
        match outcome {
            Outcome::Pass => self.last = Some(took),
            Outcome::Fail => self.failed = self.failed.wrapping_add(1),
        }
        let (after, hold, transition) = self.dampened.judge(self.hold, thresholds(times), outcome, at);
        // What stays up says nothing new.
        let transition = transition.filter(|_| after.level != self.dampened.level);
        (self.dampened, self.hold) = (after, hold);
        if transition.is_some() {
            (self.since, self.reason) = (at, Some(reason));
        }
        transition.map(|transition| (transition, reason))
    }

    /// Whether the backend counts as up and nothing failed: then a probe out of turn may tell something new.
    pub(super) fn stands(&self) -> bool {
        self.dampened == Dampened { level: Level::Up, run: 0 }
    }

    /// From the beginning of a probe to that of the next one.
    pub(super) fn pause(&self, times: &CheckTimes) -> Duration {
        if self.dampened.is_unsettled(thresholds(times)) { times.fast_interval } else { times.interval }
    }

    /// The state for `status`.
    pub(super) fn status(&self, times: &CheckTimes) -> Status {
        let state = match self.dampened.level {
            Level::Unknown => State::Unknown,
            Level::Up => State::Up,
            Level::Down if self.dampened.is_held(thresholds(times)) => State::HeldDown,
            Level::Down => State::Down,
        };
        let rest = self.failed.wrapping_add(self.void).wrapping_add(self.outstanding);
        Status {
            state,
            since: self.since,
            reason: self.reason,
            rtt: self.last,
            slow: self.last.is_some_and(|took| took > times.timeout / 2),
            sent: self.sent,
            answered: self.sent.wrapping_sub(rest),
            failed: self.failed,
            void: self.void,
            outstanding: self.outstanding,
        }
    }

    /// More about the last result.
    pub(super) fn detail(&self) -> Option<String> {
        self.history.iter().next().and_then(|entry| entry.detail.clone())
    }

    /// The last results, the latest one first.
    pub(super) fn history(&self, now: Nanos) -> Vec<HistoryResult> {
        let result = |entry: &Entry| HistoryResult {
            age: now.since(entry.at),
            took: entry.took,
            reason: entry.reason,
            detail: entry.detail.clone(),
        };
        self.history.iter().map(result).collect()
    }
}

fn thresholds(times: &CheckTimes) -> Thresholds {
    Thresholds::new(times.rise, times.fall)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMES: CheckTimes = CheckTimes {
        interval: Duration::from_secs(1),
        fast_interval: Duration::from_millis(250),
        timeout: Duration::from_secs(1),
        rise: 2,
        fall: 3,
    };

    #[test]
    fn results_make_verdicts_counts_and_a_history() {
        let mut judged = Judged::new(Nanos(0));
        let mut probe = |second: u64, result: Result<Option<String>, Fault>| {
            judged.begin();
            let transition = judged.settle(Nanos(second * 1_000_000_000), Duration::from_millis(3), result, &TIMES);
            (transition, judged.pause(&TIMES))
        };
        let bad = || Err(Fault::of(Reason::Status(503)));
        assert_eq!(probe(1, Ok(None)), (None, TIMES.fast_interval), "unknown until `rise`");
        assert_eq!(probe(2, Ok(None)), (Some((Transition::Up, Reason::Answered)), TIMES.interval));
        assert_eq!(probe(3, bad()), (None, TIMES.fast_interval));
        assert_eq!(probe(4, bad()), (None, TIMES.fast_interval));
        assert_eq!(probe(5, Err(Fault::ours(&"no socket"))), (None, TIMES.fast_interval), "judges nothing");
        assert_eq!(probe(6, bad()), (Some((Transition::Down, Reason::Status(503))), TIMES.interval));
        let status = judged.status(&TIMES);
        assert_eq!((status.state, status.reason), (State::Down, Some(Reason::Status(503))));
        assert_eq!((status.sent, status.answered, status.failed, status.void), (6, 2, 3, 1));
        let history = judged.history(Nanos(10_000_000_000));
        let ages: Vec<u64> = history.iter().map(|result| result.age.as_secs()).collect();
        assert_eq!(ages, [4, 5, 6, 7, 8, 9]);
        assert_eq!((history[1].reason, history[1].detail.as_deref()), (None, Some("no socket")));
    }
}
