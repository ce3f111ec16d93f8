//! The timing of a check as the prober uses it: in ticks and within bounds.

use super::dampen::Thresholds;
use super::schedule::SHORTEST_SPACING;
use super::tick;
use guideway_config::model::CheckTimes;

/// Probes of one backend that may be on their way at once.
pub(super) const MAX_OUTSTANDING: u32 = 8;

/// A check in ticks. Bounds that validation of the configuration does not draw are drawn here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Check {
    /// From send to send while settled; at least `spacing`.
    pub interval: u32,
    /// From send to send while not settled; between `spacing` and `interval`.
    pub fast_interval: u32,
    /// An answer counts that is received at most so long after the send; at least 1.
    pub timeout: u32,
    /// `rise` and `fall`.
    pub thresholds: Thresholds,
}

impl Check {
    /// No interval is shorter than a bucket of the schedule. Intervals below a seventh of the timeout are raised to it, so that the confirming probe of a refusal, which
    /// comes out of turn, still finds one of the [`MAX_OUTSTANDING`] places free.
    pub fn new(check: &CheckTimes) -> Self {
        let timeout = tick::ticks(check.timeout).max(1);
        let spacing = timeout.div_ceil(MAX_OUTSTANDING - 1).max(SHORTEST_SPACING);
        let interval = tick::ticks(check.interval).max(spacing);
        let fast_interval = tick::ticks(check.fast_interval).clamp(spacing, interval);
        Self { interval, fast_interval, timeout, thresholds: Thresholds::new(check.rise, check.fall) }
    }

    /// How late a probe may be sent before its round is skipped: more would bunch the probes of many backends up.
    pub fn tolerance(&self) -> u32 {
        self.interval.min(self.timeout) / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn model(interval: u64, fast: u64, timeout: u64) -> CheckTimes {
        CheckTimes {
            interval: Duration::from_millis(interval),
            fast_interval: Duration::from_millis(fast),
            timeout: Duration::from_millis(timeout),
            rise: 2,
            fall: 3,
        }
    }

    #[test]
    fn intervals_leave_room_for_the_outstanding_probes() {
        let check = Check::new(&model(10, 5, 700));
        assert!(check.fast_interval * (MAX_OUTSTANDING - 1) >= check.timeout);
        assert_eq!(check.interval, check.fast_interval);
    }

    #[test]
    fn fast_is_never_slower_than_the_interval() {
        let check = Check::new(&model(20, 50, 20));
        assert_eq!(check.fast_interval, check.interval);
    }

    #[test]
    fn zero_durations_become_the_shortest_ones() {
        let check = Check::new(&model(0, 0, 0));
        assert_eq!((check.interval, check.fast_interval, check.timeout), (SHORTEST_SPACING, SHORTEST_SPACING, 1));
    }
}
