//! The verdicts of all checks of one backend → its health. Pure.

use super::report::Transition;
use guideway_config::model::{Check, MOST_CHECKS};

/// Which check of a pool: its place there.
pub type CheckNumber = u8;

/// The number that stands for a pool's agent.
pub const AGENT: CheckNumber = MOST_CHECKS as CheckNumber;

/// What checks said last: a bit each, by its number. A check that is in neither set has not judged yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdicts {
    up: u16,
    down: u16,
}

const _: () = assert!(MOST_CHECKS < u16::BITS as usize);

/// What they say together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Together {
    /// None says down, and not all of them judged.
    Unknown,
    /// All say up.
    Up,
    /// At least one says down.
    Down,
}

impl Verdicts {
    /// The verdicts with one more.
    #[must_use]
    pub const fn with(self, check: CheckNumber, transition: Transition) -> Self {
        let bit = 1 << check;
        match transition {
            Transition::Up => Self { up: self.up | bit, down: self.down & !bit },
            Transition::Down => Self { up: self.up & !bit, down: self.down | bit },
        }
    }

    /// The same verdict of every one of `checks` checks, and of an agent none.
    #[must_use]
    pub const fn all(checks: usize, transition: Transition) -> Self {
        let bits = (1 << checks) - 1;
        match transition {
            Transition::Up => Self { up: bits, down: 0 },
            // Without a check somebody else says so.
            Transition::Down => Self { up: 0, down: if bits == 0 { 1 } else { bits } },
        }
    }

    /// What they are for a pool of so many checks. An agent that said nothing does not count.
    #[must_use]
    pub const fn together(self, checks: usize) -> Together {
        let all = (1 << checks) - 1;
        if self.down != 0 {
            Together::Down
        } else if self.up & all == all {
            Together::Up
        } else {
            Together::Unknown
        }
    }

    /// The verdicts of the checks that are still asked, where the pool has others now.
    #[must_use]
    pub fn moved(self, before: &[Check], after: &[Check]) -> Self {
        let mut moved = Self { up: self.up & 1 << AGENT, down: self.down & 1 << AGENT };
        for (to, check) in after.iter().enumerate() {
            if let Some(from) = before.iter().position(|old| old.asks_like(check)) {
                moved.up |= (self.up >> from & 1) << to;
                moved.down |= (self.down >> from & 1) << to;
            }
        }
        moved
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use guideway_config::model::{CheckKind, CheckTimes, Via};
    use proptest::prelude::*;
    use std::time::Duration;

    fn check(port: u16) -> Check {
        let times = CheckTimes {
            interval: Duration::from_secs(1),
            fast_interval: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            rise: 1,
            fall: 1,
        };
        let (kind, via) = (CheckKind::Tcp, Via::Kernel);
        Check { kind, via, port: Some(port), port_of_vip: false, times, dead_after: Duration::ZERO, probe_source: None }
    }

    proptest! {
        /// Against a list of the last verdicts.
        #[test]
        fn up_needs_all_and_down_needs_one(
            checks in 0..=MOST_CHECKS,
            steps in prop::collection::vec((0..MOST_CHECKS, prop::bool::ANY), 0..30),
        ) {
            let mut last = vec![None; checks];
            let mut verdicts = Verdicts::default();
            for (check, up) in steps.into_iter().filter(|(check, _)| *check < checks) {
                last[check] = Some(up);
                verdicts = verdicts.with(check as u8, if up { Transition::Up } else { Transition::Down });
            }
            let expected = if last.contains(&Some(false)) {
                Together::Down
            } else if last.iter().all(|verdict| *verdict == Some(true)) {
                Together::Up
            } else {
                Together::Unknown
            };
            prop_assert_eq!(verdicts.together(checks), expected);
        }

        /// A list of checks becomes another one: who stays keeps its verdict, who is new has none.
        #[test]
        fn verdicts_follow_their_checks(
            before in prop::collection::vec(1_u16..6, 0..MOST_CHECKS),
            after in prop::collection::hash_set(1_u16..9, 0..MOST_CHECKS),
            downs: u8,
        ) {
            let mut seen = Vec::new();
            let before: Vec<u16> = before.into_iter().filter(|port| { let new = !seen.contains(port); seen.push(*port); new }).collect();
            let after: Vec<u16> = after.into_iter().collect();
            let mut verdicts = Verdicts::default();
            for number in 0..before.len() {
                let down = downs >> number & 1 == 1;
                verdicts = verdicts.with(number as u8, if down { Transition::Down } else { Transition::Up });
            }
            let lists = |ports: &[u16]| ports.iter().map(|port| check(*port)).collect::<Vec<_>>();
            let moved = verdicts.moved(&lists(&before), &lists(&after));
            for (to, port) in after.iter().enumerate() {
                let from = before.iter().position(|old| old == port);
                let down = from.is_some_and(|from| downs >> from & 1 == 1);
                prop_assert_eq!(moved.down >> to & 1 == 1, down);
                prop_assert_eq!(moved.up >> to & 1 == 1, from.is_some() && !down);
            }
        }
    }

    #[test]
    fn an_agent_that_says_down_is_enough() {
        let up = Verdicts::all(2, Transition::Up);
        assert_eq!(up.together(2), Together::Up);
        let down = up.with(AGENT, Transition::Down);
        assert_eq!(down.together(2), Together::Down);
        assert_eq!(down.moved(&[], &[]).together(0), Together::Down, "it is no check of the list");
        assert_eq!(down.with(AGENT, Transition::Up).together(2), Together::Up);
        assert_eq!(Verdicts::default().together(0), Together::Up, "nobody checks it");
    }
}
