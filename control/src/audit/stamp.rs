//! Times as logs have them.

use std::time::SystemTime;
use time::OffsetDateTime;
use time::format_description::well_known::Iso8601;
use time::format_description::well_known::iso8601::{Config, EncodedConfig, TimePrecision};

/// Microseconds: RFC 5424, section 6.2.3 has no more.
const FORMAT: EncodedConfig =
    Config::DEFAULT.set_time_precision(TimePrecision::Second { decimal_digits: std::num::NonZero::new(6) }).encode();

/// `2026-01-31T12:00:00.000000Z` (RFC 3339), with six digits after the point.
pub(super) fn stamp(at: SystemTime) -> String {
    let written = OffsetDateTime::from(at).format(&Iso8601::<FORMAT>);
    written.unwrap_or_else(|_| "-".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

    #[test]
    fn times_have_microseconds() {
        let at = UNIX_EPOCH + Duration::new(1_769_860_800, 1_999);
        assert_eq!(stamp(at), "2026-01-31T12:00:00.000001Z");
    }
}
