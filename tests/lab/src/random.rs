//! Random numbers that are the same in each run.

/// SplitMix64 (Steele, Lea and Flood, 2014): one stream of numbers for each seed.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The stream of a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// The next number as a fraction, from 0 up to but without 1.
    pub fn fraction(&mut self) -> f64 {
        (self.number() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// The bytes of all numbers from here on.
    pub fn bytes(mut self) -> impl Iterator<Item = u8> {
        std::iter::repeat_with(move || self.number().to_le_bytes()).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::Random;

    #[test]
    fn the_numbers_are_those_of_splitmix64() {
        // The first numbers of seed 1234567, as published with the algorithm.
        let mut random = Random::new(1_234_567);
        assert_eq!(random.number(), 6_457_827_717_110_365_317);
        assert_eq!(random.number(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn fractions_are_spread_evenly() {
        let mut random = Random::new(1);
        let below = (0..10_000).filter(|_| random.fraction() < 0.05).count();
        assert!((400..600).contains(&below), "{below} of 10,000 are below 0.05");
    }
}
