//! Jitter: numbers that differ between machines and requests. Nothing secret depends on them.

use std::time::Duration;

/// SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, OOPSLA 2014).
#[derive(Clone, Copy, Debug)]
pub(super) struct Random(u64);

impl Random {
    /// A generator that starts from `seed`.
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Makes the sequence depend on `value` as well.
    pub(super) fn mix(&mut self, value: u64) {
        self.0 ^= value.rotate_left(17);
        self.next();
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A duration in 3/4 .. 5/4 of `middle`.
    pub(super) fn around(&mut self, middle: Duration) -> Duration {
        middle * 3 / 4 + middle * ((self.next() >> 48) as u32) / (2 << 16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_stays_within_a_quarter_and_spreads() {
        let mut random = Random::new(1);
        let middle = Duration::from_secs(30);
        let values: Vec<_> = (0..1_000).map(|_| random.around(middle)).collect();
        assert!(values.iter().all(|v| (middle * 3 / 4..middle * 5 / 4).contains(v)));
        let low = values.iter().filter(|v| **v < middle).count();
        assert!((400..600).contains(&low), "{low}");
    }
}
