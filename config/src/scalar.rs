//! Strings with a meaning of their own: durations, sizes, addresses, prefixes, Ethernet addresses, keys, names.

use crate::names::quote;
use ipnet::IpNet;
use std::net::IpAddr;
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
    let help = "make one for the whole fleet: openssl rand -hex 16";
    if let Some(bad) = text.chars().find(|c| !c.is_ascii_hexdigit()) {
        return Err(Fault::with_help(format!("'{}' is not a hexadecimal digit", bad.escape_debug()), help));
    }
    if text.len() != 32 {
        return Err(Fault::with_help(format!("needs 32 hexadecimal digits (128 bits), has {}", text.len()), help));
    }
    let number = u128::from_str_radix(text, 16).map_err(|_| Fault::new("is not hexadecimal"))?;
    Ok(number.to_be_bytes())
}

/// An address that a packet can be sent to or from: unicast, on the wire.
pub(crate) fn address(text: &str) -> Result<IpAddr, Fault> {
    let parsed = text.parse::<IpAddr>().map_err(|_| {
        let message = format!("{} is not an IPv4 or IPv6 address", quote(text));
        match text.split_once('/') {
            Some((before, _)) => {
                Fault::with_help(message, format!("write it without a prefix length: {}", quote(before)))
            }
            None => Fault::new(message),
        }
    })?;
    unicast(parsed)?;
    Ok(parsed)
}

/// Refuses addresses that cannot be anybody's address on a wire.
pub(crate) fn unicast(address: IpAddr) -> Result<(), Fault> {
    let kind = match address {
        _ if address.is_unspecified() => "the unspecified address",
        _ if address.is_loopback() => "a loopback address",
        _ if address.is_multicast() => "a multicast address",
        IpAddr::V4(v4) if v4.is_broadcast() => "the broadcast address",
        IpAddr::V4(v4) if v4.octets()[0] == 0 => "an address of 0.0.0.0/8, which no machine can have",
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => {
                let message = format!("{address} is an IPv4 address in IPv6 form");
                return Err(Fault::with_help(message, format!("write \"{v4}\"")));
            }
            None => return Ok(()),
        },
        IpAddr::V4(_) => return Ok(()),
    };
    Err(Fault::with_help(format!("{address} is {kind}"), "a unicast address is needed"))
}

/// An own address with its subnet's prefix length.
pub(crate) fn own_address(text: &str) -> Result<IpNet, Fault> {
    let Ok(net) = text.parse::<IpNet>() else {
        let message = format!("{} is not an address with a prefix length", quote(text));
        return Err(match text.parse::<IpAddr>() {
            Ok(IpAddr::V4(v4)) => Fault::with_help(message, format!("add the subnet's, for example \"{v4}/24\"")),
            Ok(IpAddr::V6(v6)) => Fault::with_help(message, format!("add the subnet's, for example \"{v6}/64\"")),
            Err(_) => Fault::with_help(message, "write for example \"10.0.0.1/24\" or \"fd00::1/64\""),
        });
    };
    unicast(net.addr())?;
    if net.prefix_len() == 0 {
        return Err(Fault::new("a prefix length of 0 puts every address on this segment"));
    }
    if let IpNet::V4(v4) = net
        && v4.prefix_len() < 31
        && (v4.addr() == v4.network() || v4.addr() == v4.broadcast())
    {
        let what = if v4.addr() == v4.network() { "network" } else { "broadcast" };
        return Err(Fault::new(format!("{} is the {what} address of {}", v4.addr(), v4.trunc())));
    }
    Ok(net)
}

/// A prefix of destinations: no host bits set.
pub(crate) fn prefix(text: &str) -> Result<IpNet, Fault> {
    let Ok(net) = text.parse::<IpNet>() else {
        let message = format!("{} is not a prefix", quote(text));
        return Err(match text.parse::<IpAddr>() {
            Ok(address) => Fault::with_help(message, format!("write \"{}\"", IpNet::from(address))),
            Err(_) => Fault::with_help(message, "write \"default\", or a prefix such as \"10.1.0.0/16\""),
        });
    };
    if net != net.trunc() {
        let message = format!("{net} has bits set after its prefix");
        return Err(Fault::with_help(message, format!("write \"{}\"", net.trunc())));
    }
    Ok(net)
}

/// A unicast Ethernet address, six pairs of hexadecimal digits with colons.
pub(crate) fn mac(text: &str) -> Result<[u8; 6], Fault> {
    let fault = || {
        Fault::with_help(
            format!("{} is not an Ethernet address", quote(text)),
            "write for example \"02:00:00:00:00:fe\"",
        )
    };
    let mut octets = [0; 6];
    let mut pairs = text.split(':');
    for octet in &mut octets {
        let pair = pairs.next().filter(|pair| pair.len() == 2 && pair.bytes().all(|b| b.is_ascii_hexdigit()));
        *octet = u8::from_str_radix(pair.ok_or_else(fault)?, 16).map_err(|_| fault())?;
    }
    if pairs.next().is_some() {
        return Err(fault());
    }
    if octets == [0; 6] {
        return Err(Fault::new("an Ethernet address of zeros belongs to nobody"));
    }
    if octets[0] & 1 == 1 {
        return Err(Fault::new(format!("{text} is a multicast Ethernet address: a neighbor has a unicast one")));
    }
    Ok(octets)
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
    fn addresses_that_nobody_can_have() {
        for bad in [
            "0.0.0.0",
            "::",
            "127.0.0.1",
            "::1",
            "224.0.0.1",
            "ff02::1",
            "255.255.255.255",
            "0.1.2.3",
            "::ffff:10.0.0.1",
        ] {
            assert!(address(bad).is_err(), "{bad}");
        }
        for bad in ["10.0.0.0/24", "10.0.0.255/24", "10.0.0.1", "10.0.0.1/33", "10.0.0.1/0", "fe80::1%eth0/64"] {
            assert!(own_address(bad).is_err(), "{bad}");
        }
        assert!(own_address("10.0.0.0/31").is_ok());
        assert!(own_address("10.0.0.7/32").is_ok());
    }

    #[test]
    fn ethernet_addresses() {
        assert_eq!(mac("02:00:00:00:0A:fe"), Ok([2, 0, 0, 0, 10, 254]));
        for bad in [
            "",
            "02:00:00:00:00",
            "02:00:00:00:00:00:00",
            "2:0:0:0:0:1",
            "00:00:00:00:00:00",
            "01:00:5e:00:00:01",
            "+2:00:00:00:00:fe",
        ] {
            assert!(mac(bad).is_err(), "{bad}");
        }
    }
}
