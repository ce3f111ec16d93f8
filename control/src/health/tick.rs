//! Time in 32 bits: what the prober keeps for each backend.

use guideway_dataplane::time::Nanos;
use std::time::Duration;

/// Nanoseconds in a tick, as a shift: 1,024 ns.
const SHIFT: u32 = 10;

/// The longest distance that ticks are used for, 10 minutes: far below the 36 minutes at which a difference of two
/// ticks would change its sign.
pub(super) const LONGEST: Duration = Duration::from_secs(600);

/// A moment in ticks of 1,024 ns, modulo 2^32 (73 minutes). Only differences of close moments mean anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tick(pub u32);

impl Tick {
    /// The tick that holds `time`.
    #[inline]
    pub const fn at(time: Nanos) -> Self {
        Self((time.0 >> SHIFT) as u32)
    }

    /// Ticks from `earlier` to `self`; negative if `self` comes first.
    #[inline]
    pub const fn since(self, earlier: Self) -> i32 {
        self.0.wrapping_sub(earlier.0).cast_signed()
    }

    /// The moment `ticks` later.
    #[inline]
    pub const fn plus(self, ticks: u32) -> Self {
        Self(self.0.wrapping_add(ticks))
    }
}

/// A duration in whole ticks, rounded up, at most [`LONGEST`].
pub(super) fn ticks(duration: Duration) -> u32 {
    let nanos = duration.min(LONGEST).as_nanos();
    u32::try_from(nanos.div_ceil(1 << SHIFT)).unwrap_or(u32::MAX)
}

/// The duration of so many ticks.
pub(super) const fn duration(ticks: u32) -> Duration {
    Duration::from_nanos((ticks as u64) << SHIFT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_survives_the_wrap() {
        let before = Tick(u32::MAX - 2);
        let after = before.plus(10);
        assert_eq!(after.since(before), 10);
        assert_eq!(before.since(after), -10);
    }

    #[test]
    fn durations_round_up_and_are_bounded() {
        assert_eq!(ticks(Duration::from_nanos(1)), 1);
        assert_eq!(ticks(Duration::from_nanos(1025)), 2);
        assert_eq!(ticks(Duration::MAX), ticks(LONGEST));
        assert_eq!(duration(ticks(Duration::from_nanos(2048))), Duration::from_nanos(2048));
    }
}
