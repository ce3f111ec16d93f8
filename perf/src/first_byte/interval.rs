//! How sure a median is, whatever the distribution: the order statistics that it lies between.

/// What an interval shall hold the median with.
pub const CONFIDENCE: f64 = 0.95;

/// The median of some values, and where the median of all values that could have been found lies.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Interval {
    /// The middle value; of an even number the mean of the two in the middle.
    pub median: f64,
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
    /// The probability that it is in between, for values that do not depend on each other: at least [`CONFIDENCE`] with six
    /// values and more, and with fewer what lowest and highest give.
    pub confidence: f64,
}

impl Interval {
    /// Of `values`: the narrowest pair of order statistics, as far from either end, that is sure enough (David and Nagaraja,
    /// Order Statistics, section 7.1). Zero without any.
    #[must_use]
    pub fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let count = values.len();
        let (Some(lowest), Some(highest)) = (values.first(), values.last()) else {
            return Self::default();
        };
        let median = f64::midpoint(values[count / 2], values[count - 1 - count / 2]);
        let mut interval = Self { median, low: *lowest, high: *highest, confidence: 0.0 };
        // The median is below value k (from 0) if at most k values are below the median: tosses of a coin.
        let (mut exactly, mut at_most) = (0.5_f64.powi(i32::try_from(count).unwrap_or(i32::MAX)), 0.0);
        for k in 0..count.div_ceil(2) {
            at_most += exactly;
            let confidence = 1.0 - 2.0 * at_most;
            if k > 0 && confidence < CONFIDENCE {
                break;
            }
            interval =
                Self { low: values[k], high: values[count - 1 - k], confidence: confidence.max(0.0), ..interval };
            exactly *= (count - k) as f64 / (k + 1) as f64;
        }
        interval
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(count: u32) -> Interval {
        Interval::of((1..=count).rev().map(f64::from))
    }

    /// As tables of the binomial distribution at 1/2 have it.
    #[test]
    fn intervals_are_those_of_the_sign_test() {
        for (count, low, confidence) in [(6, 1.0, 0.96875), (10, 2.0, 0.97852), (20, 6.0, 0.95861), (25, 8.0, 0.95671)]
        {
            let interval = of(count);
            assert_eq!((interval.low, interval.high), (low, f64::from(count) + 1.0 - low), "{count}");
            assert!((interval.confidence - confidence).abs() < 1e-5, "{count}: {interval:?}");
            assert_eq!(interval.median, (f64::from(count) + 1.0) / 2.0);
        }
    }

    #[test]
    fn few_values_are_less_sure_and_none_are_no_error() {
        assert_eq!(of(3), Interval { median: 2.0, low: 1.0, high: 3.0, confidence: 0.75 });
        assert_eq!(of(1), Interval { median: 1.0, low: 1.0, high: 1.0, confidence: 0.0 });
        assert_eq!(Interval::of([]), Interval::default());
        let many = of(1_000);
        assert!(many.confidence >= CONFIDENCE && many.low > 460.0 && many.high < 540.0, "{many:?}");
    }
}
