//! The last results of the prober, eight bytes each: every probe writes one.

use super::report::Reason;
use super::tick;
use crate::checks::{HistoryResult, KEPT};
use guideway_dataplane::time::Nanos;

/// Nanoseconds in the unit of times, as a shift: a millisecond. 32 bits of it are 52 days.
const TIME_SHIFT: u32 = 20;
/// Bits of the duration, in ticks: 9 minutes.
const TOOK_BITS: u32 = 29;
const TOOK_MASK: u64 = (1 << TOOK_BITS) - 1;
const REASONS: [Option<Reason>; 5] =
    [None, Some(Reason::Answered), Some(Reason::Timeout), Some(Reason::Refused), Some(Reason::Unreachable)];

/// A ring of results.
#[derive(Clone, Copy)]
pub(super) struct Results {
    /// Time in the high half, then what came of it, then how long it took. 0: none yet.
    words: [u64; KEPT],
    /// Where the next one goes.
    next: u8,
}

impl Results {
    pub const NONE: Self = Self { words: [0; KEPT], next: 0 };

    /// Notes a result; `None`: it was void.
    #[inline]
    pub fn push(&mut self, at: Nanos, reason: Option<Reason>, took: u32) {
        let code = match reason {
            None => 0,
            Some(Reason::Answered) => 1,
            Some(Reason::Refused) => 3,
            Some(Reason::Unreachable) => 4,
            Some(_) => 2,
        };
        let time = (at.0 >> TIME_SHIFT) as u32;
        // The lowest bit of the duration is always set: no word is 0.
        let took = (u64::from(took) | 1) & TOOK_MASK;
        self.words[usize::from(self.next)] = u64::from(time) << 32 | code << TOOK_BITS | took;
        self.next = if usize::from(self.next) + 1 == KEPT { 0 } else { self.next + 1 };
    }

    /// All, the latest one first.
    pub fn list(&self, now: Nanos) -> Vec<HistoryResult> {
        let (newer, older) = self.words.split_at(usize::from(self.next));
        let words = newer.iter().rev().chain(older.iter().rev()).filter(|word| **word != 0);
        words.map(|word| result(*word, now)).collect()
    }
}

fn result(word: u64, now: Nanos) -> HistoryResult {
    let age = ((now.0 >> TIME_SHIFT) as u32).wrapping_sub((word >> 32) as u32);
    HistoryResult {
        age: std::time::Duration::from_nanos(u64::from(age) << TIME_SHIFT),
        took: tick::duration((word & TOOK_MASK) as u32),
        reason: REASONS.get((word as u32 >> TOOK_BITS) as usize).copied().flatten(),
        detail: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    proptest! {
        /// Against a list: the last ones, in their order, as exact as their units are.
        #[test]
        fn the_last_results_are_kept(
            results in prop::collection::vec((0_u64..100_000_000, 0_usize..5, 0_u32..1 << 20), 0..120),
            start in 0_u64..1 << 62,
        ) {
            let mut kept = Results::NONE;
            let mut now = Nanos(start);
            let mut all = Vec::new();
            for (pause, reason, took) in results {
                now = now + Duration::from_nanos(pause);
                kept.push(now, REASONS[reason], took);
                all.push((now, REASONS[reason], took));
            }
            let list = kept.list(now);
            prop_assert_eq!(list.len(), all.len().min(KEPT));
            for (listed, (at, reason, took)) in list.iter().zip(all.iter().rev()) {
                prop_assert_eq!(listed.reason, *reason);
                prop_assert!(listed.age.abs_diff(now.since(*at)) <= Duration::from_nanos(1 << TIME_SHIFT));
                prop_assert!(listed.took.abs_diff(tick::duration(*took)) <= tick::duration(1));
            }
        }
    }
}
