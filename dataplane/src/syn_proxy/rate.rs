//! How many SYNs come, pool by pool: whether there is a flood.

use crate::ids::PoolId;
use crate::time::Nanos;
use std::time::Duration;

/// How long SYNs are counted before they are judged.
const WINDOW: Duration = Duration::from_millis(100);
const WINDOWS_A_SECOND: u32 = 10;
/// For how long after a flood its pool counts as flooded.
const CALM: Duration = Duration::from_secs(5);

/// Numbers that pools may have.
const POOLS: usize = 1 << 16;

/// The SYNs of all pools at one worker: begin of the window in nanoseconds, SYNs in it, end of the flood in nanoseconds.
pub(crate) struct SynRates(Box<[[u64; 3]]>);

impl SynRates {
    pub(crate) fn new() -> Self {
        // Zeros: what nobody counts takes no memory.
        Self(vec![[0; 3]; POOLS].into())
    }

    /// Whether there is a flood, as far as was counted.
    pub(crate) fn is_flooded(&self, pool: PoolId, now: Nanos) -> bool {
        self.0.get(pool.index()).is_some_and(|[_, _, until]| now.0 < *until)
    }

    /// Counts a SYN. Returns whether more than `rate` a second come, or came a moment ago.
    pub(crate) fn count(&mut self, pool: PoolId, rate: u32, now: Nanos) -> bool {
        let Some([begin, count, until]) = self.0.get_mut(pool.index()) else { return false };
        if now.0.saturating_sub(*begin) >= WINDOW.as_nanos() as u64 {
            (*begin, *count) = (now.0, 0);
        }
        *count += 1;
        if *count > u64::from(rate / WINDOWS_A_SECOND) {
            *until = (now + CALM).0;
        }
        now.0 < *until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `count` SYNs in a second, from `from` on; how many of them found a flood.
    fn second(rates: &mut SynRates, from: u64, count: u64) -> u64 {
        let at = |number: u64| Nanos(from * 1_000_000_000 + number * 1_000_000_000 / count);
        (0..count).map(|number| u64::from(rates.count(PoolId(3), 1_000, at(number)))).sum()
    }

    #[test]
    fn a_flood_begins_at_its_rate_and_is_over_when_it_is_calm() {
        let mut rates = SynRates::new();
        assert_eq!(second(&mut rates, 10, 900), 0);
        assert_eq!(second(&mut rates, 11, 10_000), 9_900);
        assert_eq!(second(&mut rates, 12, 900), 900);
        assert_eq!(second(&mut rates, 18, 900), 0);
        assert!(!rates.count(PoolId(4), 1_000, Nanos(11_500_000_000)), "another pool");
    }
}
