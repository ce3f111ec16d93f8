//! Dampening: a pure function of (state, result). No clock, no I/O.

use super::hold_down::HoldDown;
use super::report::Transition;
use guideway_dataplane::time::Nanos;

/// How many results in a row it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Thresholds {
    rise: i16,
    fall: i16,
}

impl Thresholds {
    /// `rise` successes in a row bring a backend up, `fall` failures take it down. Both are used within 1..=32,767.
    #[must_use]
    pub fn new(rise: u32, fall: u32) -> Self {
        let bounded = |n: u32| i16::try_from(n.max(1)).unwrap_or(i16::MAX);
        Self { rise: bounded(rise), fall: bounded(fall) }
    }
}

/// The last verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Level {
    /// No verdict yet: counts as up.
    #[default]
    Unknown,
    /// Up.
    Up,
    /// Down.
    Down,
}

/// The verdict and the results in a row that speak against it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dampened {
    /// The verdict.
    pub level: Level,
    /// Successes in a row if positive, failures in a row if negative. Results that agree with the verdict leave 0.
    pub run: i16,
}

/// One result of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Answered in time.
    Pass,
    /// Timed out, refused or unreachable.
    Fail,
}

impl Dampened {
    /// The state after one more result, and the transition that it brings.
    ///
    /// Up changes only by `fall` failures in a row, down only by `rise` successes in a row, unknown by either.
    #[must_use]
    pub fn step(self, thresholds: Thresholds, outcome: Outcome) -> (Self, Option<Transition>) {
        let run = match (self.level, outcome) {
            (Level::Up, Outcome::Pass) | (Level::Down, Outcome::Fail) => 0,
            (_, Outcome::Pass) => self.run.max(0).saturating_add(1),
            (_, Outcome::Fail) => self.run.min(0).saturating_sub(1),
        };
        if run >= thresholds.rise {
            (Self { level: Level::Up, run: 0 }, Some(Transition::Up))
        } else if run <= -thresholds.fall {
            (Self { level: Level::Down, run: 0 }, Some(Transition::Down))
        } else {
            (Self { run, ..self }, None)
        }
    }

    /// [`Self::step`] with the hold-down of a backend that flaps: a recovery that is held brings no transition.
    #[must_use]
    pub fn judge(
        self,
        hold: HoldDown,
        thresholds: Thresholds,
        outcome: Outcome,
        at: Nanos,
    ) -> (Self, HoldDown, Option<Transition>) {
        let (after, transition) = self.step(thresholds, outcome);
        match (transition, self.level, outcome) {
            (Some(Transition::Down), ..) => (after, hold.died(at), transition),
            (Some(Transition::Up), Level::Down, _) => match hold.answers(at) {
                (hold, true) => (after, hold, transition),
                (hold, false) => (Self::held(thresholds), hold, None),
            },
            (None, Level::Down, Outcome::Fail) => (after, hold.failed(), None),
            _ => (after, hold, transition),
        }
    }

    /// The state of a recovery that is held down: `rise` is reached, and the next success asks again.
    #[must_use]
    pub const fn held(thresholds: Thresholds) -> Self {
        Self { level: Level::Down, run: thresholds.rise }
    }

    /// Whether `rise` is reached but the recovery is held down.
    #[must_use]
    pub fn is_held(self, thresholds: Thresholds) -> bool {
        self.level == Level::Down && self.run >= thresholds.rise
    }

    /// Whether a verdict is in the making, so that probes come at the fast interval.
    #[must_use]
    pub fn is_unsettled(self, thresholds: Thresholds) -> bool {
        self.run != 0 && !self.is_held(thresholds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The rule again, from the whole history: look at the last results, newest last.
    fn oracle(history: &[Outcome], rise: usize, fall: usize) -> Level {
        let mut level = Level::Unknown;
        for end in 1..=history.len() {
            let all = |n: usize, outcome| end >= n && history[end - n..end].iter().all(|&o| o == outcome);
            if all(rise, Outcome::Pass) {
                level = Level::Up;
            } else if all(fall, Outcome::Fail) {
                level = Level::Down;
            }
        }
        level
    }

    proptest! {
        #[test]
        fn agrees_with_the_history(passes in prop::collection::vec(any::<bool>(), 0..60), rise in 1usize..5, fall in 1usize..5) {
            let thresholds = Thresholds::new(u32::try_from(rise).unwrap(), u32::try_from(fall).unwrap());
            let history: Vec<_> = passes.iter().map(|&p| if p { Outcome::Pass } else { Outcome::Fail }).collect();
            let mut state = Dampened::default();
            for end in 0..history.len() {
                let before = state.level;
                let (next, transition) = state.step(thresholds, history[end]);
                prop_assert_eq!(next.level, oracle(&history[..=end], rise, fall));
                let expected = match (before, next.level) {
                    (Level::Up, Level::Up) | (Level::Down, Level::Down) | (_, Level::Unknown) => None,
                    (_, Level::Up) => Some(Transition::Up),
                    (_, Level::Down) => Some(Transition::Down),
                };
                prop_assert_eq!(transition, expected);
                state = next;
            }
        }
    }

    #[test]
    fn unsettled_from_the_first_failure_to_the_verdict() {
        let thresholds = Thresholds::new(2, 3);
        let up = Dampened { level: Level::Up, run: 0 };
        assert!(!up.is_unsettled(thresholds));
        let (one, _) = up.step(thresholds, Outcome::Fail);
        assert!(one.is_unsettled(thresholds));
        let (two, _) = one.step(thresholds, Outcome::Fail);
        assert!(two.is_unsettled(thresholds));
        let (down, transition) = two.step(thresholds, Outcome::Fail);
        assert_eq!(transition, Some(Transition::Down));
        assert!(!down.is_unsettled(thresholds));
        assert!(!one.step(thresholds, Outcome::Pass).0.is_unsettled(thresholds));
    }

    #[test]
    fn a_held_recovery_asks_again_with_each_success_and_starts_over_after_a_failure() {
        let thresholds = Thresholds::new(2, 3);
        let held = Dampened::held(thresholds);
        assert!(held.is_held(thresholds) && !held.is_unsettled(thresholds));
        assert_eq!(held.step(thresholds, Outcome::Pass).1, Some(Transition::Up));
        let (failed, _) = held.step(thresholds, Outcome::Fail);
        assert_eq!(failed, Dampened { level: Level::Down, run: 0 });
    }

    #[test]
    fn thresholds_of_zero_count_as_one() {
        let (state, transition) = Dampened::default().step(Thresholds::new(0, 0), Outcome::Fail);
        assert_eq!((state.level, transition), (Level::Down, Some(Transition::Down)));
    }
}
