//! Sizes of Maglev tables: the list of defaults, and primality.

/// The sizes that a pool gets unless `table_size` is configured: the first that gives each backend at least
/// [`SLOTS_PER_BACKEND`] slots, else the last. All are prime. The list is part of the fleet's contract: machines
/// of one fleet compute the same tables only if they choose the same size, so no release changes it.
///
/// | size | up to backends | bytes a copy |
/// | --- | --- | --- |
/// | 2039 | 20 | 4 KiB |
/// | 4093 | 40 | 8 KiB |
/// | 8191 | 81 | 16 KiB |
/// | 16381 | 163 | 32 KiB |
/// | 32749 | 327 | 64 KiB |
/// | 65537 | 655, and all above | 128 KiB |
pub const TABLE_SIZES: [u32; 6] = [2039, 4093, 8191, 16381, 32749, 65537];

/// Slots a backend that keep shares within about one percent of each other (Eisenbud et al., NSDI 2016, section 3.4).
pub const SLOTS_PER_BACKEND: usize = 100;

/// Largest table that may be configured: the largest prime below 2^24, 32 MiB a copy.
pub const LARGEST: u32 = 16_777_213;

/// The size for a pool of that many backends, whatever their weights.
pub fn default_for(backends: usize) -> u32 {
    let enough = |&size: &u32| backends.saturating_mul(SLOTS_PER_BACKEND) <= size as usize;
    TABLE_SIZES.into_iter().find(enough).unwrap_or(TABLE_SIZES[TABLE_SIZES.len() - 1])
}

/// Whether a number is prime, by trial division.
pub fn is_prime(number: u32) -> bool {
    let divisors = || (3u32..).step_by(2).take_while(|&divisor| u64::from(divisor).pow(2) <= u64::from(number));
    number == 2 || (number > 2 && number % 2 == 1 && divisors().all(|divisor| !number.is_multiple_of(divisor)))
}

/// The smallest prime that is at least `number`; `None` if it does not fit in 32 bits.
pub fn next_prime(number: u32) -> Option<u32> {
    (number..=u32::MAX).find(|&candidate| is_prime(candidate))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn primes_agree_with_a_sieve() {
        let mut composite = vec![false; 100_000];
        for number in 2..composite.len() {
            if !composite[number] {
                for multiple in (2 * number..composite.len()).step_by(number) {
                    composite[multiple] = true;
                }
            }
            assert_eq!(is_prime(number as u32), !composite[number], "{number}");
        }
        assert!(!is_prime(0) && !is_prime(1));
        assert!(is_prime(4_294_967_291));
        assert_eq!(next_prime(4_294_967_292), None);
    }

    #[test]
    fn the_list_is_the_contract() {
        assert_eq!(TABLE_SIZES, [2039, 4093, 8191, 16381, 32749, 65537]);
        assert!(TABLE_SIZES.iter().all(|&size| is_prime(size)));
        assert!(is_prime(LARGEST) && next_prime(LARGEST + 1) > Some(1 << 24));
    }

    #[test]
    fn defaults_change_exactly_at_the_documented_counts() {
        let counts = [(0, 2039), (1, 2039), (20, 2039), (21, 4093), (40, 4093), (41, 8191), (81, 8191), (82, 16381)];
        for (backends, size) in counts {
            assert_eq!(default_for(backends), size, "{backends}");
        }
        let counts =
            [(163, 16381), (164, 32749), (327, 32749), (328, 65537), (655, 65537), (656, 65537), (32767, 65537)];
        for (backends, size) in counts {
            assert_eq!(default_for(backends), size, "{backends}");
        }
    }
}
