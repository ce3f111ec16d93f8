//! How long a packet waits for a worker that has nothing to do, and what waiting costs: for each way to be idle.
//!
//! A sender on another core writes one packet at a time into a device, at random gaps; the worker forwards it. What is
//! measured is the time from just before the sender's call to when the worker hands the packet over to be sent.

pub mod report;
#[cfg(feature = "dpdk")]
pub mod run;

use guideway_dataplane::idle::{self, Rest};
use std::fmt;
use std::time::Duration;

/// A way to be idle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Polls without pause.
    Poll,
    /// Backs off.
    Adaptive,
    /// Sleeps until the device wakes it.
    Interrupt,
}

impl Mode {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Poll, Self::Adaptive, Self::Interrupt];

    /// The word of the configuration.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Poll => "poll",
            Self::Adaptive => "adaptive",
            Self::Interrupt => "interrupt",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

/// What is measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The device that the worker polls, as in the configuration.
    pub device: String,
    /// The device that the sender writes to: the other end of the same wire.
    pub sender: String,
    /// The worker's core.
    pub worker_core: usize,
    /// The sender's core.
    pub sender_core: usize,
    /// Packets for each way to be idle.
    pub packets: u32,
    /// The shortest time between an answer and the next packet.
    pub shortest_gap: Duration,
    /// The longest.
    pub longest_gap: Duration,
}

/// Gaps between packets: evenly spread, the same ones in every run.
#[derive(Clone, Debug)]
pub struct Gaps {
    shortest: Duration,
    span: Duration,
    state: u64,
}

impl Gaps {
    /// Between these two, both included.
    #[must_use]
    pub fn new(shortest: Duration, longest: Duration) -> Self {
        Self { shortest, span: longest.saturating_sub(shortest), state: 1 }
    }
}

impl Iterator for Gaps {
    type Item = Duration;

    /// Never ends.
    fn next(&mut self) -> Option<Duration> {
        // SplitMix64 (Steele, Lea, Flood, OOPSLA 2014).
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ self.state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        let share = (mixed ^ mixed >> 31) as f64 / u64::MAX as f64;
        Some(self.shortest + self.span.mul_f64(share))
    }
}

/// A rest of either kind.
#[derive(Debug)]
pub enum AnyRest<I> {
    /// Without help from the device.
    Own(idle::Idle),
    /// With its help.
    Interrupt(I),
}

impl<I: Rest> Rest for AnyRest<I> {
    #[inline]
    fn rest(&mut self, empty_polls: u32) -> Option<Duration> {
        match self {
            Self::Own(idle) => idle.rest(empty_polls),
            Self::Interrupt(interrupt) => interrupt.rest(empty_polls),
        }
    }

    #[inline]
    fn resume(&mut self) {
        match self {
            Self::Own(idle) => idle.resume(),
            Self::Interrupt(interrupt) => interrupt.resume(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_spread_between_their_bounds() {
        let ms = Duration::from_millis;
        let gaps: Vec<Duration> = Gaps::new(ms(1), ms(50)).take(10_000).collect();
        assert!(gaps.iter().all(|gap| (ms(1)..=ms(50)).contains(gap)));
        let mean = gaps.iter().sum::<Duration>() / 10_000;
        assert!((ms(24)..ms(27)).contains(&mean), "{mean:?}");
        assert!(gaps.iter().any(|gap| *gap < ms(2)) && gaps.iter().any(|gap| *gap > ms(49)));
        assert_eq!(Gaps::new(ms(3), ms(3)).next(), Some(ms(3)));
    }
}
