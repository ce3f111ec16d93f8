//! Latencies: every packet's, in a histogram with three significant digits.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// The longest latency that a stamp can tell, in ticks.
const LONGEST: u64 = u32::MAX as u64;
const DIGITS: u8 = 3;

/// Latencies in ticks of a clock.
#[derive(Clone, Debug)]
pub struct Latencies {
    histogram: Histogram<u64>,
    hz: u64,
}

impl Latencies {
    /// None yet, in ticks of which there are `hz` a second.
    #[must_use]
    pub fn new(hz: u64) -> Self {
        let histogram = Histogram::new_with_max(LONGEST, DIGITS);
        Self { histogram: histogram.unwrap_or_else(|_| unreachable!("bounds that are constant and fit")), hz }
    }

    /// Adds one.
    #[inline]
    pub fn record(&mut self, ticks: u32) {
        // Nothing that a u32 holds is out of bounds.
        self.histogram.saturating_record(u64::from(ticks));
    }

    /// Adds all of another one.
    pub fn add(&mut self, other: &Self) {
        // Same bounds: it cannot fail.
        let _ = self.histogram.add(&other.histogram);
    }

    /// The usual percentiles.
    #[must_use]
    pub fn percentiles(&self) -> Percentiles {
        let nanos = |ticks: u64| ticks as f64 * 1e9 / self.hz.max(1) as f64;
        let at = |quantile| nanos(self.histogram.value_at_quantile(quantile));
        // A bucket is named by its upper edge, which may lie above everything that is in it.
        let max = nanos(self.histogram.max());
        Percentiles {
            samples: self.histogram.len(),
            p50: at(0.5).min(max),
            p90: at(0.9).min(max),
            p99: at(0.99).min(max),
            p999: at(0.999).min(max),
            max,
        }
    }
}

/// A distribution in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Percentiles {
    /// How many values.
    pub samples: u64,
    /// Half of them are at most this.
    pub p50: f64,
    /// 90 %.
    pub p90: f64,
    /// 99 %.
    pub p99: f64,
    /// 99.9 %.
    pub p999: f64,
    /// The highest.
    pub max: f64,
}

impl Percentiles {
    /// The names of the columns of [`Percentiles::cells`].
    pub const COLUMNS: [&str; 5] = ["p50 µs", "p90 µs", "p99 µs", "p99.9 µs", "max µs"];

    /// In microseconds, for a table.
    #[must_use]
    pub fn cells(&self) -> [String; 5] {
        self.points().map(|(_, nanos)| format!("{:.1}", nanos / 1e3))
    }

    /// Percentages and nanoseconds; the highest value stands at 100 %.
    #[must_use]
    pub const fn points(&self) -> [(f64, f64); 5] {
        [(50.0, self.p50), (90.0, self.p90), (99.0, self.p99), (99.9, self.p999), (100.0, self.max)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_in_nanoseconds() {
        let mut latencies = Latencies::new(2_000_000_000);
        (1..=1_000).for_each(|n| latencies.record(n * 2));
        let mut more = Latencies::new(2_000_000_000);
        more.record(20_000_000);
        latencies.add(&more);
        let found = latencies.percentiles();
        assert_eq!(found.samples, 1_001);
        for (value, expected) in [(found.p50, 501.0), (found.p90, 901.0), (found.p99, 991.0), (found.p999, 1_000.0)] {
            assert!((value / expected - 1.0).abs() < 2e-3, "{value} {expected}");
        }
        assert!((found.max / 1e7 - 1.0).abs() < 1e-3);
        assert_eq!(Latencies::new(1).percentiles(), Percentiles::default());
    }
}
