//! Strings that are addresses, prefixes and Ethernet addresses.

use crate::names::quote;
use crate::scalar::Fault;
use ipnet::IpNet;
use std::net::IpAddr;
use std::ops::RangeInclusive;

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

/// The prefix lengths that an address block may have, by family.
pub(crate) struct Lengths {
    pub(crate) v4: RangeInclusive<u8>,
    pub(crate) v6: RangeInclusive<u8>,
}

/// A unicast address, or a prefix of them without host bits; an address alone has the full length.
pub(crate) fn block(text: &str, lengths: &Lengths) -> Result<IpNet, Fault> {
    if !text.contains('/') {
        return address(text).map(IpNet::from);
    }
    let fault = || {
        let message = format!("{} is not an address or a prefix", quote(text));
        Fault::with_help(message, "write for example \"203.0.113.10\" or \"203.0.113.0/24\"")
    };
    let net: IpNet = text.parse().map_err(|_| fault())?;
    let (family, allowed) = match net {
        IpNet::V4(_) => ("IPv4", &lengths.v4),
        IpNet::V6(_) => ("IPv6", &lengths.v6),
    };
    if !allowed.contains(&net.prefix_len()) {
        let (low, high) = (allowed.start(), allowed.end());
        return Err(Fault::new(format!("the length of an {family} prefix must be from {low} to {high} here")));
    }
    if net != net.trunc() {
        let message = format!("{net} has bits set after its prefix");
        return Err(Fault::with_help(message, format!("write \"{}\"", net.trunc())));
    }
    for end in [net.network(), net.broadcast()] {
        unicast(end).map_err(|fault| Fault::with_help(fault.message, "a prefix of unicast addresses is needed"))?;
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

    #[test]
    fn blocks() {
        let lengths = Lengths { v4: 8..=32, v6: 16..=128 };
        let good = [
            ("203.0.113.10", "203.0.113.10/32"),
            ("203.0.113.10/32", "203.0.113.10/32"),
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("fd00::/16", "fd00::/16"),
            ("2001:db8::1", "2001:db8::1/128"),
        ];
        for (text, net) in good {
            assert_eq!(block(text, &lengths).map(|net| net.to_string()), Ok(net.to_owned()));
        }
        let bad = [
            ("10.0.0.0/7", "the length of an IPv4 prefix must be from 8 to 32 here"),
            ("fd00::/15", "the length of an IPv6 prefix must be from 16 to 128 here"),
            ("203.0.113.10/24", "203.0.113.10/24 has bits set after its prefix"),
            ("127.0.0.0/8", "127.0.0.0 is a loopback address"),
            ("224.0.0.0/8", "224.0.0.0 is a multicast address"),
            ("0.0.0.0/8", "0.0.0.0 is the unspecified address"),
            ("255.255.255.0/24", "255.255.255.255 is the broadcast address"),
            ("ff00::/16", "ff00:: is a multicast address"),
            ("::ffff:0:0/96", "::ffff:0.0.0.0 is an IPv4 address in IPv6 form"),
            ("10.0.0.0/33", "\"10.0.0.0/33\" is not an address or a prefix"),
            ("10.0.0.0/", "\"10.0.0.0/\" is not an address or a prefix"),
        ];
        for (text, message) in bad {
            assert_eq!(block(text, &lengths).map_err(|fault| fault.message), Err(message.to_owned()), "{text}");
        }
    }
}
