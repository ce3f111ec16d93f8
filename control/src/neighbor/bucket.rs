//! A rate limit of one number: the virtual scheduling form of the leaky bucket (ITU-T I.371, GCRA).

use guideway_dataplane::time::Nanos;

/// Lets `burst` events through at once and `per_second` on average.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    /// Nanoseconds that one event costs.
    interval: u64,
    /// The most that may be owed, in nanoseconds.
    tolerance: u64,
    /// When all that was taken is paid for.
    paid: u64,
}

impl Bucket {
    /// A full bucket. `per_second` and `burst` are at least 1.
    pub(crate) const fn new(per_second: u64, burst: u64) -> Self {
        let interval = 1_000_000_000 / per_second;
        Self { interval, tolerance: interval * (burst - 1), paid: 0 }
    }

    /// Takes one event out of the bucket, or refuses.
    pub(crate) fn take(&mut self, now: Nanos) -> bool {
        // More debt than can ever be owed: the clock went back, as the clock of a capture may.
        if self.paid > now.0.saturating_add(self.tolerance + self.interval) {
            self.paid = now.0;
        }
        let start = self.paid.max(now.0);
        let passes = start - now.0 <= self.tolerance;
        if passes {
            self.paid = start.saturating_add(self.interval);
        }
        passes
    }

    /// The first moment at which [`Bucket::take`] lets an event through.
    pub(crate) fn next(&self, now: Nanos) -> Nanos {
        Nanos(self.paid.saturating_sub(self.tolerance).max(now.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let mut bucket = Bucket::new(1_000, 10);
        let mut now = Nanos(5_000_000_000);
        assert_eq!((0..100).filter(|_| bucket.take(now)).count(), 10);
        let mut passed = 0;
        for _ in 0..10_000 {
            now = now + Duration::from_micros(100);
            passed += usize::from(bucket.take(now));
        }
        assert_eq!(passed, 1_000);
    }

    #[test]
    fn next_names_the_first_moment_that_passes() {
        let mut bucket = Bucket::new(1_000, 2);
        let now = Nanos(7);
        assert_eq!(bucket.next(now), now);
        assert!(bucket.take(now) && bucket.take(now) && !bucket.take(now));
        let next = bucket.next(now);
        assert!(!bucket.clone().take(Nanos(next.0 - 1)));
        assert!(bucket.take(next));
    }

    #[test]
    fn a_clock_that_goes_back_does_not_block() {
        let mut bucket = Bucket::new(1, 1);
        assert!(bucket.take(Nanos(3_600_000_000_000)));
        assert!(bucket.take(Nanos(1_000)));
    }
}
