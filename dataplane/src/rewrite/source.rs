//! The outer source address of a tunnel: one address, or one of a prefix that the flow chooses.
//!
//! A backend's NIC that spreads received packets by outer addresses only would put a whole tunnel on one queue; a
//! source that varies with the flow spreads it.

use std::net::{Ipv4Addr, Ipv6Addr};

/// The addresses that outer headers come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source<A> {
    /// The first of them. The others follow it and differ in the low 16 bits only.
    pub(super) first: A,
    /// How many there are; 0 stands for one that is not to be varied.
    pub(super) count: u16,
}

impl<A> From<A> for Source<A> {
    fn from(first: A) -> Self {
        Self { first, count: 0 }
    }
}

impl Source<Ipv4Addr> {
    /// The hosts of a prefix of `prefix_len` bits (at most 32); the host bits of `address` do not count.
    ///
    /// All-zeros and all-ones hosts are left out up to /30 (RFC 1122, section 3.2.1.3; RFC 3021 for /31). Of the host
    /// part the low 16 bits vary, the others are zero.
    #[must_use]
    pub const fn prefix_v4(address: Ipv4Addr, prefix_len: u8) -> Self {
        let host_bits = 32_u32.saturating_sub(prefix_len as u32);
        let network = address.to_bits() as u64 >> host_bits << host_bits;
        let (skipped, count) = match host_bits {
            0 => (0, 0),
            1 => (0, 2),
            2..=16 => (1, ((1_u32 << host_bits) - 2) as u16),
            _ => (1, u16::MAX),
        };
        Self { first: Ipv4Addr::from_bits(network as u32 | skipped), count }
    }
}

impl Source<Ipv6Addr> {
    /// The hosts of a prefix of `prefix_len` bits (at most 128); the host bits of `address` do not count.
    ///
    /// The all-zeros host is left out up to /126: it is the anycast address of the subnet's routers (RFC 4291, section
    /// 2.6.1; RFC 6164 for /127). Of the host part the low 16 bits vary, the others are zero.
    #[must_use]
    pub const fn prefix_v6(address: Ipv6Addr, prefix_len: u8) -> Self {
        let host_bits = 128_u32.saturating_sub(prefix_len as u32);
        let network = match address.to_bits().checked_shr(host_bits) {
            Some(high) => high << host_bits,
            None => 0,
        };
        let (skipped, count) = match host_bits {
            0 => (0, 0),
            1 => (0, 2),
            2..=15 => (1, ((1_u32 << host_bits) - 1) as u16),
            _ => (1, u16::MAX),
        };
        Self { first: Ipv6Addr::from_bits(network | skipped), count }
    }
}

/// Which of `count` addresses the flow with this entropy takes: below `count`, or 0 for no count.
#[inline]
pub(super) const fn offset(count: u16, entropy: u16) -> u16 {
    ((count as u32 * entropy as u32) >> 16) as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_ends_of_small_prefixes() {
        let v4 = |len| {
            let source = Source::prefix_v4("10.1.2.255".parse().unwrap(), len);
            (source.first.to_string(), source.count)
        };
        assert_eq!(v4(32), ("10.1.2.255".into(), 0));
        assert_eq!(v4(31), ("10.1.2.254".into(), 2));
        assert_eq!(v4(30), ("10.1.2.253".into(), 2));
        assert_eq!(v4(24), ("10.1.2.1".into(), 254));
        assert_eq!(v4(16), ("10.1.0.1".into(), 65_534));
        assert_eq!(v4(15), ("10.0.0.1".into(), 65_535));
        assert_eq!(v4(0), ("0.0.0.1".into(), 65_535));
        let v6 = |len| {
            let source = Source::prefix_v6("fd00::1:ffff:ffff".parse().unwrap(), len);
            (source.first.to_string(), source.count)
        };
        assert_eq!(v6(128), ("fd00::1:ffff:ffff".into(), 0));
        assert_eq!(v6(127), ("fd00::1:ffff:fffe".into(), 2));
        assert_eq!(v6(126), ("fd00::1:ffff:fffd".into(), 3));
        assert_eq!(v6(112), ("fd00::1:ffff:1".into(), 65_535));
        assert_eq!(v6(64), ("fd00::1".into(), 65_535));
        assert_eq!(v6(0), ("::1".into(), 65_535));
    }

    proptest! {
        #[test]
        fn every_choice_is_a_host_of_the_prefix(bits in any::<u32>(), len in 0_u8..=32, entropy in any::<u16>()) {
            let source = Source::prefix_v4(Ipv4Addr::from_bits(bits), len);
            let chosen = u64::from(source.first.to_bits() + u32::from(offset(source.count, entropy)));
            let hosts = 1_u64 << (32 - len);
            prop_assert_eq!(chosen / hosts, u64::from(bits) / hosts);
            if len < 31 {
                prop_assert!((1..hosts - 1).contains(&(chosen % hosts)));
            }
            // The offset never carries out of the low 16 bits.
            prop_assert_eq!(chosen >> 16, u64::from(source.first.to_bits() >> 16));
        }

        #[test]
        fn every_choice_is_a_host_of_the_ipv6_prefix(
            bits in any::<u128>(),
            len in 1_u8..=128,
            entropy in any::<u16>(),
        ) {
            let source = Source::prefix_v6(Ipv6Addr::from_bits(bits), len);
            let chosen = source.first.to_bits() + u128::from(offset(source.count, entropy));
            let hosts = 1_u128 << (128 - u32::from(len));
            prop_assert_eq!(chosen / hosts, bits / hosts);
            prop_assert!(len >= 127 || chosen % hosts != 0);
            prop_assert_eq!(chosen >> 16, source.first.to_bits() >> 16);
        }
    }
}
