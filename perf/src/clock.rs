//! What time is measured by.

use guideway_dataplane::time::Nanos;
use serde::{Deserialize, Serialize};
use std::time::Instant;

/// What a tick of a clock is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// Cycles of the time stamp counter. It runs at a fixed frequency, whatever the core's own frequency is.
    Cycles,
    /// Nanoseconds.
    Ns,
}

impl Unit {
    /// The name in tables.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Cycles => "cycles",
            Self::Ns => "ns",
        }
    }
}

/// A counter that runs evenly, and the time that a worker is given with each poll.
pub trait Clock {
    /// What a tick is.
    const UNIT: Unit;

    /// The counter now.
    fn ticks(&self) -> u64;

    /// Ticks a second.
    fn hz(&self) -> u64;

    /// The moment now, for the worker.
    fn now(&self) -> Nanos;
}

/// The monotonic clock of the operating system.
#[derive(Clone, Copy, Debug)]
pub struct Monotonic(Instant);

impl Default for Monotonic {
    fn default() -> Self {
        Self(Instant::now())
    }
}

impl Clock for Monotonic {
    const UNIT: Unit = Unit::Ns;

    #[inline]
    fn ticks(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn hz(&self) -> u64 {
        1_000_000_000
    }

    #[inline]
    fn now(&self) -> Nanos {
        Nanos(self.ticks())
    }
}
