//! Time as pins know it: 13 bits, whose unit follows from the longest idle time.

use crate::time::Nanos;
use std::time::Duration;

/// Bits of a tick.
const BITS: u32 = 13;
/// The longest idle time in ticks: a quarter of the range, so that an age is never mistaken for one of another sign.
pub const LONGEST_IDLE_TICKS: u16 = 1 << (BITS - 2);
/// The longest `arm_time` in ticks: a quarter of the five bits that an embryonic pin has for its tick.
pub const LONGEST_ARM_TICKS: u16 = 8;
/// The shortest tick is 2^23 ns, 8.4 ms: the sweep, which the background thread does between other things, has to come
/// round within a few of them.
const SHORTEST_SHIFT: u32 = 23;
/// The longest idle time in the units of an aged pin's tick: a quarter of its five bits.
const LONGEST_COARSE: u16 = 8;

/// A moment in ticks, modulo 2^13.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tick(pub u16);

impl Tick {
    /// Ticks from `earlier` to this one. Signed: clocks of two workers differ by a tick, and a capture's may go back; what
    /// lies in the future is fresh.
    #[inline]
    #[must_use]
    pub const fn since(self, earlier: Self) -> i32 {
        sign_extend(self.0.wrapping_sub(earlier.0), BITS)
    }

    /// The low five bits: what an embryonic pin keeps of it.
    #[inline]
    pub(super) const fn fine(self) -> u16 {
        self.0 & 0x1f
    }

    /// Ticks since `fine` was [`Tick::fine`], between -16 and 15.
    #[inline]
    pub(super) const fn since_fine(self, fine: u16) -> i32 {
        sign_extend(self.fine().wrapping_sub(fine), 5)
    }
}

const fn sign_extend(value: u16, bits: u32) -> i32 {
    ((value as i32) << (32 - bits)) >> (32 - bits)
}

/// How long a tick is, the same for all pools.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PinClock {
    shift: u32,
    arm_ticks: u16,
    /// Bits of the tick that an aged pin does not keep: as few as let its five bits hold the longest idle time.
    coarse_shift: u32,
}

impl PinClock {
    /// A clock for idle times of at most `longest_idle` and this `arm_time`. A tick is the shortest power of two of
    /// nanoseconds that gives them no more than [`LONGEST_IDLE_TICKS`] and [`LONGEST_ARM_TICKS`].
    #[must_use]
    pub fn new(longest_idle: Duration, arm_time: Duration) -> Self {
        let fits = |shift: u32| {
            let ticks = |time: Duration| time.as_nanos().div_ceil(1 << shift);
            ticks(longest_idle) <= u128::from(LONGEST_IDLE_TICKS) && ticks(arm_time) <= u128::from(LONGEST_ARM_TICKS)
        };
        let shift = (SHORTEST_SHIFT..63).find(|shift| fits(*shift)).unwrap_or(63);
        let clock = Self { shift, arm_ticks: 0, coarse_shift: 0 };
        let units = |shift: u32| clock.ticks(longest_idle).div_ceil(1 << shift);
        let coarse_shift = (0..BITS).find(|shift| units(*shift) <= LONGEST_COARSE).unwrap_or(BITS - 5);
        Self { arm_ticks: clock.ticks(arm_time), coarse_shift, ..clock }
    }

    /// The tick of a moment.
    #[inline]
    #[must_use]
    pub const fn tick(&self, now: Nanos) -> Tick {
        Tick((now.0 >> self.shift) as u16 & ((1 << BITS) - 1))
    }

    /// A duration in ticks, rounded up.
    #[must_use]
    pub fn ticks(&self, duration: Duration) -> u16 {
        u16::try_from(duration.as_nanos().div_ceil(1 << self.shift)).unwrap_or(u16::MAX)
    }

    /// Whether a pool may have this idle time: what a reload may ask for.
    #[must_use]
    pub fn fits(&self, idle: Duration) -> bool {
        let ticks = self.ticks(idle);
        ticks <= LONGEST_IDLE_TICKS && ticks.div_ceil(1 << self.coarse_shift) <= LONGEST_COARSE
    }

    /// The longest idle time that fits.
    #[must_use]
    pub const fn longest_idle(&self) -> Duration {
        let coarse = (LONGEST_COARSE as u64) << self.coarse_shift;
        let ticks = if coarse < LONGEST_IDLE_TICKS as u64 { coarse } else { LONGEST_IDLE_TICKS as u64 };
        Duration::from_nanos(ticks << self.shift)
    }

    /// Five bits of a tick, without the lowest ones: what an aged pin keeps of it.
    #[inline]
    pub(super) const fn coarse(&self, tick: Tick) -> u16 {
        tick.0 >> self.coarse_shift & 0x1f
    }

    /// Ticks since `coarse` was [`PinClock::coarse`], up to twice its unit too few: the moment lay anywhere in its unit, and
    /// a pin must not expire early.
    #[inline]
    pub(super) const fn since_coarse(&self, now: Tick, coarse: u16) -> i32 {
        (sign_extend(self.coarse(now).wrapping_sub(coarse), 5) - 1) << self.coarse_shift
    }

    /// How long a tick is.
    #[must_use]
    pub const fn length(&self) -> Duration {
        Duration::from_nanos(1 << self.shift)
    }

    /// `arm_time` in ticks: an embryonic pin older than this may be evicted.
    #[inline]
    #[must_use]
    pub const fn arm_ticks(&self) -> u16 {
        self.arm_ticks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tick_is_as_short_as_the_bits_allow() {
        let of = |idle: u64, arm: u64| PinClock::new(Duration::from_millis(idle), Duration::from_millis(arm));
        let usual = of(900_000, 3_000);
        assert_eq!(usual.length(), Duration::from_nanos(1 << 29));
        assert_eq!((usual.arm_ticks(), usual.ticks(Duration::from_secs(900))), (6, 1_677));
        assert_eq!(of(2_000, 0).length(), Duration::from_nanos(1 << 23));
        assert_eq!(of(2_000, 0).arm_ticks(), 0);
        // An aged pin's five bits do not hold what ticks would.
        assert!(of(1_000, 0).fits(Duration::from_millis(1_073)) && !of(1_000, 0).fits(Duration::from_millis(1_080)));
        assert!(usual.fits(Duration::from_secs(1_099)) && !usual.fits(Duration::from_secs(1_100)));
        for (idle, arm) in [(100, 0), (1_000, 60_000), (86_400_000, 3_000), (900_000, 3_000), (2_000, 200)] {
            let clock = of(idle, arm);
            assert!(clock.fits(Duration::from_millis(idle)) && clock.arm_ticks() <= LONGEST_ARM_TICKS, "{clock:?}");
            let longest = clock.longest_idle();
            assert!(clock.fits(longest) && !clock.fits(longest + Duration::from_nanos(1)), "{clock:?}");
        }
    }

    #[test]
    fn ages_are_signed() {
        assert_eq!(Tick(5).since(Tick(3)), 2);
        assert_eq!(Tick(3).since(Tick(5)), -2);
        assert_eq!(Tick(1).since(Tick(8_191)), 2);
        assert_eq!(Tick(0x45).since_fine(Tick(0x3f).fine()), 6);
        assert_eq!(Tick(0x3f).since_fine(Tick(0x45).fine()), -6);
    }

    #[test]
    fn a_coarse_age_is_never_too_high() {
        for idle in [900, 450, 225, 10, 4, 1] {
            let clock = PinClock::new(Duration::from_secs(idle), Duration::from_secs(if idle > 99 { 3 } else { 0 }));
            let longest = clock.ticks(Duration::from_secs(idle));
            for start in (0..8_192_u16).step_by(37) {
                for age in 0..=longest {
                    let coarse = clock.since_coarse(Tick(start.wrapping_add(age) & 0x1fff), clock.coarse(Tick(start)));
                    let least = i32::from(age) - (2 << clock.coarse_shift);
                    assert!((least..=i32::from(age)).contains(&coarse), "{idle}: {start} {age} {coarse}");
                }
            }
        }
    }
}
