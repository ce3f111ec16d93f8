//! Workers that are late: each uses a new snapshot only after a while, as one does whose burst takes long or whose core
//! somebody else has for a moment.

use guideway_dataplane::time::Nanos;
use std::time::Duration;

/// How late a worker is at most, usually.
const USUAL: Duration = Duration::from_millis(100);
/// How late it is at most.
const LONGEST: Duration = Duration::from_secs(2);
/// One delay of this many may be that long.
const LONG_ONES: u64 = 8;

/// Delays from a seed: the same seed, the same delays.
pub(super) struct Skew(u64);

impl Skew {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// When a worker uses what was published now.
    pub(super) fn adoption(&mut self, now: Nanos) -> Nanos {
        let most = if self.next().is_multiple_of(LONG_ONES) { LONGEST } else { USUAL };
        now + Duration::from_nanos(self.next() % (most.as_nanos() as u64 + 1))
    }

    /// SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, OOPSLA 2014).
    const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_are_short_but_for_some() {
        let delays = |seed| -> Vec<Duration> {
            let mut skew = Skew::new(seed);
            (0..1_000).map(|_| skew.adoption(Nanos(7)).since(Nanos(7))).collect()
        };
        let of_zero = delays(0);
        let long = of_zero.iter().filter(|delay| **delay > USUAL).count();
        assert!(of_zero.iter().all(|delay| *delay <= LONGEST));
        assert!((60..200).contains(&long), "{long}");
        assert!(of_zero == delays(0) && of_zero != delays(1));
    }
}
