//! Time as the dataplane knows it: handed in by the caller, once a burst.

use std::ops::Add;
use std::time::Duration;

/// A moment: nanoseconds since an arbitrary start that all threads of the process share.
///
/// Workers read it from the time stamp counter, tests make it up, `replay` takes it from the capture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nanos(pub u64);

impl Nanos {
    /// Time since `earlier`; zero if that lies in the future (clocks of two cores may differ by a little).
    #[inline]
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Nanos {
    type Output = Self;

    #[inline]
    fn add(self, duration: Duration) -> Self {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(nanos))
    }
}
