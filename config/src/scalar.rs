//! Strings with a meaning of their own: durations, sizes, keys and other bytes, names.

use crate::names::quote;
use std::time::Duration;

/// Why a string is refused.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// What is wrong; follows the key.
    pub(crate) message: String,
    /// What to do.
    pub(crate) help: Option<String>,
}

impl Fault {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), help: None }
    }

    pub(crate) fn with_help(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { message: message.into(), help: Some(help.into()) }
    }
}

/// Longest name of a port, pool or backend, in bytes.
const NAME_LENGTH: usize = 64;

/// A name of a port, pool or backend: what a command line and a metric label carry without quoting.
/// No `/`, since `POOL/NAME` names a backend on the command line.
pub(crate) fn name(text: &str) -> Result<String, Fault> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
    if text.is_empty() {
        Err(Fault::new("the name is empty"))
    } else if text.len() > NAME_LENGTH {
        Err(Fault::new(format!("the name {} is longer than {NAME_LENGTH} characters", quote(text))))
    } else if let Some(bad) = text.chars().find(|&c| !allowed(c)) {
        let message = format!("the name {} contains '{}'", quote(text), bad.escape_debug());
        Err(Fault::with_help(message, "use letters, digits, '-', '_', '.' and ':'"))
    } else {
        Ok(text.to_owned())
    }
}

/// A duration: a decimal number and one of the units `us`, `ms`, `s`, `m`, `h`, without a space.
pub(crate) fn duration(text: &str) -> Result<Duration, Fault> {
    let fault = || {
        Fault::with_help(
            format!("{} is not a duration", quote(text)),
            "write a number and a unit (us, ms, s, m, h), for example \"20ms\" or \"1.5s\"",
        )
    };
    let unit_at = text.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(fault)?;
    let (number, unit) = text.split_at(unit_at);
    let unit_nanos: u64 = match unit {
        "us" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return Err(fault()),
    };
    let (whole, fraction) = number.split_once('.').map_or((number, None), |(whole, rest)| (whole, Some(rest)));
    if fraction.is_some_and(|digits| digits.is_empty() || digits.len() > 9) {
        return Err(fault());
    }
    let fraction = fraction.unwrap_or("0");
    let scale = 10u64.pow(fraction.len() as u32);
    let parts = u128::from(fraction.parse::<u64>().map_err(|_| fault())?) * u128::from(unit_nanos);
    let whole: u64 = whole.parse().map_err(|_| fault())?;
    let nanos = whole.checked_mul(unit_nanos).and_then(|nanos| {
        let fraction = u64::try_from(parts / u128::from(scale)).ok()?;
        nanos.checked_add(fraction)
    });
    nanos.map(Duration::from_nanos).ok_or_else(|| Fault::new(format!("{} is too long", quote(text))))
}

/// A duration from `low` to `high`, which are written as in a file.
pub(crate) fn duration_between(text: &str, low: &str, high: &str) -> Result<Duration, Fault> {
    let time = duration(text)?;
    if (duration(low)?..=duration(high)?).contains(&time) {
        Ok(time)
    } else {
        Err(Fault::new(format!("{} is not between {low} and {high}", quote(text))))
    }
}

/// A time for which flows are remembered.
pub(crate) fn idle_time(text: &str) -> Result<Duration, Fault> {
    duration_between(text, "100ms", "24h")
}

/// A size in bytes: a whole number with an optional unit `KiB`, `MiB`, `GiB`.
pub(crate) fn size(text: &str) -> Result<u64, Fault> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let factor: Option<u64> = match unit.trim_start() {
        "" => Some(1),
        "KiB" => Some(1 << 10),
        "MiB" => Some(1 << 20),
        "GiB" => Some(1 << 30),
        _ => None,
    };
    number.parse::<u64>().ok().zip(factor).and_then(|(number, factor)| number.checked_mul(factor)).ok_or_else(|| {
        Fault::with_help(
            format!("{} is not a size", quote(text)),
            "write bytes, or a whole number and KiB, MiB or GiB, for example \"512MiB\"",
        )
    })
}

/// The fleet's key: 32 hexadecimal digits.
pub(crate) fn hash_key(text: &str) -> Result<[u8; 16], Fault> {
    key(text).map_err(|fault| Fault::with_help(fault.message, "make one for the whole fleet: openssl rand -hex 16"))
}

/// A key of 128 bits: 32 hexadecimal digits.
pub(crate) fn key(text: &str) -> Result<[u8; 16], Fault> {
    let digits = hex_digits(text)?;
    let wrong = || Fault::new(format!("needs 32 hexadecimal digits (128 bits), has {}", digits.len()));
    if digits.len() != 32 {
        return Err(wrong());
    }
    pairs(&digits).try_into().map_err(|_| wrong())
}

/// Longest server ID in bytes (draft-ietf-quic-load-balancers, section 3.1).
pub(crate) const SERVER_ID_LENGTH: usize = 15;

/// A server ID of QUIC connection IDs: 1 to 15 bytes, two hexadecimal digits each.
pub(crate) fn server_id(text: &str) -> Result<Box<[u8]>, Fault> {
    let digits = hex_digits(text)?;
    let most = 2 * SERVER_ID_LENGTH;
    if !digits.len().is_multiple_of(2) || !(2..=most).contains(&digits.len()) {
        let message = format!("needs an even number of hexadecimal digits from 2 to {most}, has {}", digits.len());
        return Err(Fault::with_help(message, "write for example \"0a0b\""));
    }
    Ok(pairs(&digits).into())
}

/// Bytes of a datagram: pairs of hexadecimal digits.
pub(crate) fn bytes(text: &str) -> Result<Vec<u8>, Fault> {
    let digits = hex_digits(text)?;
    if !digits.len().is_multiple_of(2) {
        let message = format!("needs an even number of hexadecimal digits, has {}", digits.len());
        return Err(Fault::with_help(message, "write for example \"0d0a\""));
    }
    Ok(pairs(&digits))
}

/// The value of each hexadecimal digit.
fn hex_digits(text: &str) -> Result<Vec<u8>, Fault> {
    let digit = |c: char| {
        let digit = c.to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        digit.ok_or_else(|| Fault::new(format!("'{}' is not a hexadecimal digit", c.escape_debug())))
    };
    text.chars().map(digit).collect()
}

/// Bytes of two digits each, the higher one first.
fn pairs(digits: &[u8]) -> Vec<u8> {
    digits.chunks(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let good = [
            ("20ms", 20_000_000),
            ("3s", 3_000_000_000),
            ("1.5s", 1_500_000_000),
            ("900s", 900_000_000_000),
            ("2m", 120_000_000_000),
            ("0.5us", 500),
            ("1h", 3_600_000_000_000),
            ("0.000000001s", 1),
            ("0s", 0),
        ];
        for (text, nanos) in good {
            assert_eq!(duration(text), Ok(Duration::from_nanos(nanos)), "{text}");
        }
        for bad in
            ["", "20", "ms", "20 ms", ".5s", "1.s", "1.2.3s", "-1s", "1d", "99999999999999999999s", "5124096h", "1e3s"]
        {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn durations_of_a_range() {
        assert_eq!(idle_time("100ms"), Ok(Duration::from_millis(100)));
        assert_eq!(idle_time("1440m"), Ok(Duration::from_secs(86_400)));
        for bad in ["99.999999ms", "0s", "24.000000001h"] {
            let message = format!("\"{bad}\" is not between 100ms and 24h");
            assert_eq!(idle_time(bad), Err(Fault::new(message)));
        }
        assert_eq!(idle_time("1d"), duration("1d"), "the reason is the form, not the range");
    }

    #[test]
    fn sizes() {
        assert_eq!(size("512"), Ok(512));
        assert_eq!(size("2GiB"), Ok(2 << 30));
        assert_eq!(size("16 MiB"), Ok(16 << 20));
        for bad in ["", "GiB", "1GB", "-1", "1.5GiB", "18446744073709551615KiB"] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn keys_keep_the_order_in_which_they_are_written() {
        assert_eq!(
            hash_key("000102030405060708090A0b0c0d0e0f"),
            Ok([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15])
        );
        for bad in ["", "00", "+0010203040506070809000b0c0d0e0f", "ää010203040506070809000b0c0d0e0f"] {
            assert!(hash_key(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn server_ids() {
        assert_eq!(server_id("0a0B").as_deref(), Ok(&[10, 11][..]));
        assert_eq!(server_id("00112233445566778899aabbccddee").map(|id| id.len()), Ok(15));
        for bad in ["", "a", "0a0", "0g", "ää", "0x0a", "00112233445566778899aabbccddeeff"] {
            assert!(server_id(bad).is_err(), "{bad}");
        }
    }
}
