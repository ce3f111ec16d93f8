//! Durations: of other balancers, and as a file of Guideway writes them.

use std::time::Duration;

/// Longest time that sources are believed: more than any key takes.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 3_600);

/// Seconds with an optional fraction, as keepalived and ipvsadm write them.
pub(super) fn seconds(text: &str) -> Option<Duration> {
    let time = Duration::try_from_secs_f64(text.parse().ok()?).ok()?;
    (time <= LONGEST).then_some(time)
}

/// A whole number and a unit, as HAProxy writes them; without a unit it is milliseconds
/// (configuration manual of HAProxy, section 2.5, "Time format").
pub(super) fn with_unit(text: &str) -> Option<Duration> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let micros: u64 = match unit {
        "us" => 1,
        "" | "ms" => 1_000,
        "s" => 1_000_000,
        "m" => 60_000_000,
        "h" => 3_600_000_000,
        "d" => 86_400_000_000,
        _ => return None,
    };
    let time = Duration::from_micros(number.parse::<u64>().ok()?.checked_mul(micros)?);
    (time <= LONGEST).then_some(time)
}

/// As a file of Guideway writes it, in the largest unit that keeps it whole.
pub(super) fn written(time: Duration) -> String {
    match time.as_micros() {
        micros if micros.is_multiple_of(1_000_000) => format!("{}s", micros / 1_000_000),
        micros if micros.is_multiple_of(1_000) => format!("{}ms", micros / 1_000),
        micros => format!("{micros}us"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_others() {
        assert_eq!(seconds("6"), Some(Duration::from_secs(6)));
        assert_eq!(seconds("2.5"), Some(Duration::from_millis(2_500)));
        for bad in ["", "-1", "nan", "inf", "1e30", "2s"] {
            assert_eq!(seconds(bad), None, "{bad}");
        }
        let good =
            [("500", "500ms"), ("250us", "250us"), ("2s", "2s"), ("10m", "600s"), ("1h", "3600s"), ("1d", "86400s")];
        for (text, same) in good {
            assert_eq!(with_unit(text).map(written).as_deref(), Some(same));
        }
        for bad in ["", "s", "1.5s", "2w", "18446744073709551615d", "-1"] {
            assert_eq!(with_unit(bad), None, "{bad}");
        }
    }
}
