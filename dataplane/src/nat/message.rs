//! ICMP errors of one IP version in the other's words (RFC 7915, sections 4.2 and 5.2).

use super::GROWTH;
use crate::wire::icmp::{self, IcmpHeader};
use zerocopy::network_endian::U16;

/// ICMP time exceeded; codes are those of ICMPv6.
const V4_TIME_EXCEEDED: u8 = 11;
/// ICMP parameter problem; the pointer is the first byte of the header's rest.
const V4_PARAMETER: u8 = 12;
/// ICMPv6 destination unreachable.
const V6_UNREACHABLE: u8 = 1;
/// ICMPv6 time exceeded.
const V6_TIME_EXCEEDED: u8 = 3;
/// ICMPv6 parameter problem; the pointer is the header's rest.
const V6_PARAMETER: u8 = 4;

/// What every IPv6 link carries.
const LEAST_MTU_V6: u32 = 1_280;
/// What every IPv4 link carries.
const LEAST_MTU_V4: u32 = 68;
/// MTUs that there are (RFC 1191, section 7.1), for routers that do not tell theirs.
const PLATEAUS: [u16; 10] = [32_000, 17_914, 8_166, 4_352, 2_002, 1_492, 1_006, 508, 296, 68];

/// An ICMP error as one of ICMPv6, without checksum. `quoted_len` is the length of the packet that it quotes, and `mtu` what
/// the link carries that it leaves by, in bytes. `None` if there is no such error.
pub(super) fn to_v6(header: &IcmpHeader, quoted_len: u16, mtu: u16) -> Option<IcmpHeader> {
    let [pointer, _, high, low] = header.rest;
    let (message, code, rest) = match (header.message, header.code) {
        (icmp::V4_UNREACHABLE, 0 | 1 | 5..=8 | 11 | 12) => (V6_UNREACHABLE, 0, 0),
        // The next header, 6 bytes into an IPv6 header, is not known there.
        (icmp::V4_UNREACHABLE, 2) => (V6_PARAMETER, 1, 6),
        (icmp::V4_UNREACHABLE, 3) => (V6_UNREACHABLE, 4, 0),
        (icmp::V4_UNREACHABLE, icmp::V4_FRAGMENTATION_NEEDED) => {
            let told = match u16::from_be_bytes([high, low]) {
                0 => plateau(quoted_len),
                told => told,
            };
            (icmp::V6_PACKET_TOO_BIG, 0, (u32::from(told) + u32::from(GROWTH)).min(mtu.into()).max(LEAST_MTU_V6))
        }
        (icmp::V4_UNREACHABLE, 9 | 10 | 13 | 15) => (V6_UNREACHABLE, 1, 0),
        (V4_TIME_EXCEEDED, code) => (V6_TIME_EXCEEDED, code, 0),
        (V4_PARAMETER, 0 | 2) => (V6_PARAMETER, 0, pointer_to_v6(pointer)?),
        _ => return None,
    };
    Some(IcmpHeader { message, code, checksum: U16::ZERO, rest: rest.to_be_bytes() })
}

/// An ICMPv6 error as one of ICMP; the rest as [`to_v6`].
pub(super) fn to_v4(header: &IcmpHeader, mtu: u16) -> Option<IcmpHeader> {
    let rest = u32::from_be_bytes(header.rest);
    let (message, code, rest) = match (header.message, header.code) {
        (V6_UNREACHABLE, 0 | 2 | 3) => (icmp::V4_UNREACHABLE, 1, 0),
        (V6_UNREACHABLE, 1) => (icmp::V4_UNREACHABLE, 10, 0),
        (V6_UNREACHABLE, 4) => (icmp::V4_UNREACHABLE, 3, 0),
        (icmp::V6_PACKET_TOO_BIG, _) => {
            let told = rest.saturating_sub(GROWTH.into()).min(mtu.into()).max(LEAST_MTU_V4);
            (icmp::V4_UNREACHABLE, icmp::V4_FRAGMENTATION_NEEDED, told)
        }
        (V6_TIME_EXCEEDED, code) => (V4_TIME_EXCEEDED, code, 0),
        (V6_PARAMETER, 0) => (V4_PARAMETER, 0, u32::from(pointer_to_v4(rest)?) << 24),
        (V6_PARAMETER, 1) => (icmp::V4_UNREACHABLE, 2, 0),
        _ => return None,
    };
    Some(IcmpHeader { message, code, checksum: U16::ZERO, rest: rest.to_be_bytes() })
}

/// How many bytes of an ICMP error are its quote, if it says so: extensions stand behind (RFC 4884, section 4).
pub(super) fn quote_len_v4(header: &IcmpHeader) -> Option<usize> {
    let has_length = matches!(header.message, icmp::V4_UNREACHABLE | V4_TIME_EXCEEDED | V4_PARAMETER);
    (has_length && header.rest[1] > 0).then_some(usize::from(header.rest[1]) * 4)
}

/// The same of an ICMPv6 error.
pub(super) fn quote_len_v6(header: &IcmpHeader) -> Option<usize> {
    let has_length = matches!(header.message, V6_UNREACHABLE | V6_TIME_EXCEEDED);
    (has_length && header.rest[0] > 0).then_some(usize::from(header.rest[0]) * 8)
}

/// The largest MTU that is smaller than a packet that was too big.
fn plateau(len: u16) -> u16 {
    PLATEAUS.into_iter().find(|mtu| *mtu < len).unwrap_or(LEAST_MTU_V4 as u16)
}

/// Where the field at this byte of an IPv4 header is in an IPv6 header (RFC 7915, figure 3).
const fn pointer_to_v6(pointer: u8) -> Option<u32> {
    Some(match pointer {
        0 | 1 => pointer as u32,
        2 | 3 => 4,
        8 => 7,
        9 => 6,
        12..=15 => 8,
        16..=19 => 24,
        _ => return None,
    })
}

/// The other way round (RFC 7915, figure 6).
const fn pointer_to_v4(pointer: u32) -> Option<u8> {
    Some(match pointer {
        0 | 1 => pointer as u8,
        4 | 5 => 2,
        6 => 9,
        7 => 8,
        8..=23 => 12,
        24..=39 => 16,
        _ => return None,
    })
}
