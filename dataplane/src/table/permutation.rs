//! A backend's permutation of the slots: walked along, or its next free slot computed.

/// The slots as a circle. Places on it are fractions of a turn of 2^64, so that the reduction modulo the number of slots
/// is the wrapping of the arithmetic.
#[derive(Clone, Copy, Debug)]
pub(super) struct Circle {
    /// The number of slots, below 2^31.
    size: u32,
    /// A turn over the number of slots, rounded down, and what the rounding took.
    per_slot: u64,
    remainder: u64,
}

impl Circle {
    pub(super) fn new(size: u32) -> Self {
        let per_slot = ((1_u128 << 64) / u128::from(size)) as u64;
        Self { size, per_slot, remainder: per_slot.wrapping_mul(u64::from(size)).wrapping_neg() }
    }

    /// A slot's place, rounded up.
    fn place(&self, slot: u64) -> u64 {
        slot * self.per_slot + (slot * self.remainder).div_ceil(u64::from(self.size))
    }

    /// The slot at a place. Of a sum of fewer than 2^32 places it is the slot of their exact sum: rounding added less than
    /// 1 for each, and slots are more than 2^33 apart.
    #[inline]
    pub(super) fn slot(&self, place: u64) -> u32 {
        ((u128::from(place) * u128::from(self.size)) >> 64) as u32
    }
}

/// Where a backend stands in its permutation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Walker {
    /// The place of the next slot. Every slot before it is taken.
    pub(super) position: u64,
    /// What leads from one place to the next.
    pub(super) skip: u64,
}

impl Walker {
    /// At the start of the permutation that belongs to the digest of a backend's name.
    pub(super) fn new(digest: u128, circle: &Circle) -> Self {
        let (lo, hi) = (digest as u64, (digest >> 64) as u64);
        let (offset, skip) = (lo % u64::from(circle.size), hi % u64::from(circle.size - 1) + 1);
        Self { position: circle.place(offset), skip: circle.place(skip) }
    }

    /// Goes on by so many slots.
    #[inline]
    pub(super) fn advance(&mut self, slots: u32) {
        self.position = self.position.wrapping_add(self.skip.wrapping_mul(u64::from(slots)));
    }

    /// Goes on to the first of the next `N` slots that is free, or past all of them. Returns whether one is. Without a
    /// branch: whether a slot is free cannot be predicted.
    #[inline]
    pub(super) fn probe<const N: usize>(&mut self, circle: &Circle, is_free: impl Fn(u32) -> bool) -> bool {
        let mut place = self.position;
        let mut free = 1 << N;
        for i in 0..N {
            free |= u32::from(is_free(circle.slot(place))) << i;
            place = place.wrapping_add(self.skip);
        }
        let first = free.trailing_zeros();
        self.advance(first);
        first < N as u32
    }
}

/// Compares slots by the number of steps that lead a walker to them.
///
/// A slot is `(slot - position) / skip mod size` steps ahead. A step is taken as a fraction of a turn of 2^64. What is
/// added by rounding is below 2^31, for a slot number and a size below 2^31; numbers of steps differ by more than 2^32.
/// So the order is exact.
pub(super) struct Steps {
    /// The steps to slot 1 from slot 0, as a fraction of a turn.
    unit: u64,
    /// The steps to the walker's position from slot 0.
    position: u64,
}

impl Steps {
    pub(super) fn new(walker: &Walker, circle: &Circle) -> Self {
        let unit = circle.place(inverse(circle.slot(walker.skip), circle.size));
        Self { unit, position: unit.wrapping_mul(u64::from(circle.slot(walker.position))) }
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

    /// A walker somewhere on its way, its slot, and the slots from one to the next.
    fn underway(digest: u128, size: u32) -> (Walker, u64, u64) {
        let circle = Circle::new(size);
        let (position, size) = ((digest >> 32) as u64 % u64::from(size), u64::from(size));
        let walker = Walker { position: circle.place(position), ..Walker::new(digest, &circle) };
        (walker, position, (digest >> 64) as u64 % (size - 1) + 1)
    }

    /// Numbers of steps from none to a whole turn, ascending.
    fn ahead(size: u64) -> Vec<u64> {
        let ahead = (0..20).chain((20..40).map(|i| i * size / 40)).chain(size.saturating_sub(20)..size);
        let mut ahead: Vec<u64> = ahead.filter(|&j| j < size).collect();
        ahead.sort_unstable();
        ahead.dedup();
        ahead
    }

    #[test]
    fn a_walker_is_at_each_slot_of_its_permutation() {
        for size in PRIMES {
            let circle = Circle::new(size);
            for digest in digests() {
                let size = u64::from(size);
                let (start, skip) = (digest as u64 % size, (digest >> 64) as u64 % (size - 1) + 1);
                // As far as the end of the turn, where most was rounded up, and beyond it by the longest probe.
                for j in ahead(size).into_iter().chain(size..size + 8) {
                    let mut walker = Walker::new(digest, &circle);
                    walker.advance(j as u32);
                    assert_eq!(u64::from(circle.slot(walker.position)), (start + j * skip) % size, "{size}: {j}");
                }
            }
        }
    }

    #[test]
    fn probes_end_at_the_first_free_slot() {
        let circle = Circle::new(257);
        for digest in digests() {
            let (walker, position, skip) = underway(digest, 257);
            for first in 0..6 {
                let free = ((position + first * skip) % 257) as u32;
                let mut walker = walker;
                let found = walker.probe::<4>(&circle, |slot| slot == free);
                let (steps, at) = (first.min(4), circle.slot(walker.position));
                assert_eq!((found, u64::from(at)), (first < 4, (position + steps * skip) % 257));
            }
        }
    }

    #[test]
    fn steps_order_slots_as_the_permutation_does() {
        for size in PRIMES {
            for digest in digests() {
                let (walker, position, skip) = underway(digest, size);
                let steps = Steps::new(&walker, &Circle::new(size));
                let at = |j: u64| ((position + j * skip) % u64::from(size)) as u32;
                // The slots at these numbers of steps, nearest first.
                let measured: Vec<_> = ahead(size.into()).into_iter().map(|j| steps.to(at(j))).collect();
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
