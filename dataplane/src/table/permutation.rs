//! A backend's permutation of the slots: walked along, or its next free slot computed.

use super::Slot;

/// Probes of a permutation that are looked at together. One branch for all of them is rarely mispredicted, and their
/// loads do not wait for each other.
pub(super) const PROBES: usize = 4;

/// Where a backend stands in its permutation.
pub(super) struct Walker {
    pub(super) slot: Slot,
    /// The next slot of the permutation. Every one before it is taken.
    pub(super) position: u32,
    /// What leads from a position to the next one, the one after that, and so on.
    pub(super) skips: [u32; PROBES],
}

impl Walker {
    /// At the start of the permutation that belongs to the digest of a backend's name.
    pub(super) fn new(slot: Slot, digest: u128, size: u32) -> Self {
        let (lo, hi) = (digest as u64, (digest >> 64) as u64);
        let position = (lo % u64::from(size)) as u32;
        let skip = (hi % u64::from(size - 1)) as u32 + 1;
        let mut skips = [skip; PROBES];
        for i in 1..PROBES {
            skips[i] = advance(skips[i - 1], skip, size);
        }
        Self { slot, position, skips }
    }
}

/// `position + skip` modulo `size`, both below it.
#[inline]
pub(super) fn advance(position: u32, skip: u32, size: u32) -> u32 {
    let next = position + skip;
    if next >= size { next - size } else { next }
}

/// Compares slots by the number of steps that lead a walker to them.
///
/// A slot is `(slot - position) / skip mod size` steps ahead. A step is taken as a fraction of a turn of 2^64, so that
/// the reduction modulo the size is the wrapping of the arithmetic. What is lost by rounding is below 2^31, for a slot
/// number and a size below 2^31; numbers of steps differ by more than 2^32. So the order is exact.
pub(super) struct Steps {
    /// The steps to slot 1 from slot 0, as a fraction of a turn.
    unit: u64,
    /// The steps to the walker's position from slot 0.
    position: u64,
}

impl Steps {
    pub(super) fn new(walker: &Walker, size: u32) -> Self {
        let unit = ((u128::from(inverse(walker.skips[0], size)) << 64) / u128::from(size)) as u64;
        Self { unit, position: unit.wrapping_mul(u64::from(walker.position)) }
    }

    /// A number that rises with the steps to `slot`.
    #[inline]
    pub(super) fn to(&self, slot: u32) -> u64 {
        self.unit.wrapping_mul(u64::from(slot)).wrapping_sub(self.position)
    }
}

/// The inverse of `a`, from 1 to `prime` - 1, modulo `prime`, by the extended Euclidean algorithm.
fn inverse(a: u32, prime: u32) -> u64 {
    let (mut r, mut next_r) = (i64::from(prime), i64::from(a));
    let (mut t, mut next_t) = (0, 1);
    while next_r > 0 {
        let quotient = r / next_r;
        (r, next_r) = (next_r, r - quotient * next_r);
        (t, next_t) = (next_t, t - quotient * next_t);
    }
    t.rem_euclid(i64::from(prime)) as u64
}

pub(super) fn is_prime(n: u32) -> bool {
    n == 2
        || n > 2 && n % 2 == 1 && (3..).step_by(2).take_while(|d| d * d <= u64::from(n)).all(|d| u64::from(n) % d != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRIMES: [u32; 7] = [2, 3, 257, 65_537, 16_777_213, 1_073_741_789, 2_147_483_647];

    /// Digests of every kind of offset and skip.
    fn digests() -> impl Iterator<Item = u128> {
        (0..200_u128).map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)).chain([u128::MAX])
    }

    #[test]
    fn inverses_invert() {
        for prime in PRIMES {
            for a in digests().map(|digest| (digest % u128::from(prime - 1)) as u32 + 1) {
                assert_eq!(u128::from(inverse(a, prime)) * u128::from(a) % u128::from(prime), 1 % u128::from(prime));
            }
        }
    }

    #[test]
    fn steps_order_slots_as_the_permutation_does() {
        for size in PRIMES {
            for digest in digests() {
                let mut walker = Walker::new(Slot::EMPTY, digest, size);
                walker.position = ((digest >> 32) % u128::from(size)) as u32;
                let steps = Steps::new(&walker, size);
                // The slots at these numbers of steps, nearest first.
                let size = u64::from(size);
                let ahead = (0..20).chain((20..40).map(|i| i * size / 40)).chain(size.saturating_sub(20)..size);
                let mut ahead: Vec<u64> = ahead.filter(|&j| j < size).collect();
                ahead.sort_unstable();
                ahead.dedup();
                let at = |j: u64| ((u64::from(walker.position) + j * u64::from(walker.skips[0])) % size) as u32;
                let measured: Vec<_> = ahead.into_iter().map(|j| steps.to(at(j))).collect();
                assert!(measured.is_sorted_by(|a, b| a < b), "size {size}, digest {digest:#x}");
            }
        }
    }

    #[test]
    fn primes_are_told_from_other_numbers() {
        let naive = |n: u32| n > 1 && (2..n).all(|d| !n.is_multiple_of(d));
        assert!((0..2_000).all(|n| is_prime(n) == naive(n)));
        assert!(PRIMES.into_iter().all(is_prime));
        // A square of a prime, a product of two large ones, and the largest even numbers.
        for composite in [65_521 * 65_521, 65_519 * 65_521, u32::MAX - 1, u32::MAX, 65_536] {
            assert!(!is_prime(composite), "{composite}");
        }
    }
}
