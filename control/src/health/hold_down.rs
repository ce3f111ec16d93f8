//! Hold-down: the recovery of a backend that flaps is delayed, longer with each flap.
//!
//! A flap is a death soon after a recovery. The first death of a backend is none, so its first recovery needs `rise`
//! probes and no more. Time up is measured from the recovery, not from the death before it: a hold of a minute would
//! otherwise outlast the window and forget itself. (Two deaths within [`STABLE_AFTER`] of each other are always
//! a flap, since the recovery lies between them.)

use guideway_dataplane::time::Nanos;
use std::time::Duration;

/// The hold after the first flap; each further flap doubles it.
pub const SHORTEST_HOLD: Duration = Duration::from_secs(1);
/// No hold is longer.
pub const LONGEST_HOLD: Duration = Duration::from_secs(60);
/// A backend that stayed up for longer than this has its flaps forgotten when it dies.
pub const STABLE_AFTER: Duration = Duration::from_secs(60);

/// The flaps of one backend. Pure: each method takes the time and returns the new value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HoldDown {
    flaps: u8,
    recovered: Option<Nanos>,
    answering_since: Option<Nanos>,
}

impl HoldDown {
    /// No flaps.
    pub const NEW: Self = Self { flaps: 0, recovered: None, answering_since: None };

    /// The backend went down at `now`.
    #[must_use]
    pub fn died(self, now: Nanos) -> Self {
        let flapped = self.recovered.is_some_and(|recovered| now.since(recovered) <= STABLE_AFTER);
        let flaps = if flapped { self.flaps.saturating_add(1) } else { 0 };
        Self { flaps, recovered: None, answering_since: None }
    }

    /// A probe failed while the backend was down: a hold that runs starts over.
    #[must_use]
    pub const fn failed(self) -> Self {
        Self { answering_since: None, ..self }
    }

    /// `rise` probes in a row were answered, the last one at `now`: whether the recovery may be published.
    ///
    /// The hold runs from the first call after a death or failure; the backend has to answer throughout.
    #[must_use]
    pub fn answers(self, now: Nanos) -> (Self, bool) {
        let since = self.answering_since.unwrap_or(now);
        if now.since(since) >= self.hold() {
            (Self { recovered: Some(now), answering_since: None, ..self }, true)
        } else {
            (Self { answering_since: Some(since), ..self }, false)
        }
    }

    /// For how long the next recovery is held down.
    #[must_use]
    pub fn hold(self) -> Duration {
        match self.flaps {
            0 => Duration::ZERO,
            n => SHORTEST_HOLD.saturating_mul(1 << u32::from(n - 1).min(16)).min(LONGEST_HOLD),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Nanos {
        Nanos(seconds * 1_000_000_000)
    }

    #[test]
    fn the_first_recovery_is_not_held() {
        let (_, free) = HoldDown::default().died(at(5)).answers(at(6));
        assert!(free);
    }

    #[test]
    fn holds_double_up_to_a_minute() {
        let mut now = 100;
        let mut flaps = HoldDown::default().died(at(now));
        let mut holds = Vec::new();
        for _ in 0..9 {
            let (next, free) = flaps.answers(at(now));
            flaps = if free { next } else { next.answers(at(now) + next.hold()).0 };
            now += flaps.hold().as_secs() + 3;
            flaps = flaps.died(at(now));
            holds.push(flaps.hold().as_secs());
        }
        assert_eq!(holds, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
    }

    #[test]
    fn a_minute_up_forgets_the_flaps() {
        let (flaps, _) = HoldDown::default().died(at(0)).answers(at(1));
        assert_eq!(flaps.died(at(61)).hold(), SHORTEST_HOLD);
        assert_eq!(flaps.died(at(62)).hold(), Duration::ZERO);
    }

    #[test]
    fn the_hold_needs_answers_throughout() {
        let (flaps, _) = HoldDown::default().died(at(0)).answers(at(1));
        let (held, free) = flaps.died(at(2)).answers(at(3));
        assert!(!free);
        assert!(held.answers(at(4)).1, "the hold of a second is over");
        assert!(!held.failed().answers(at(4)).1, "a failure starts it over");
    }

    #[test]
    fn many_flaps_do_not_overflow() {
        let mut flaps = HoldDown::default();
        for second in 0..600 {
            flaps = HoldDown { recovered: Some(at(second)), ..flaps.died(at(second)) };
        }
        assert_eq!(flaps.hold(), LONGEST_HOLD);
    }
}
