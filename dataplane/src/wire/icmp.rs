//! ICMP (RFC 792) and ICMPv6 (RFC 4443, RFC 4861).

use zerocopy::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Length of the common header, in bytes.
pub const HEADER_LEN: usize = 8;
/// ICMP source quench, which nobody acts on any more (RFC 6633).
pub const V4_SOURCE_QUENCH: u8 = 4;
/// ICMP redirect.
pub const V4_REDIRECT: u8 = 5;
/// ICMP destination unreachable.
pub const V4_UNREACHABLE: u8 = 3;
/// Code of [`V4_UNREACHABLE`]: fragmentation needed and "don't fragment" set; the next hop's MTU is the low half of the
/// header's rest (RFC 1191, section 4).
pub const V4_FRAGMENTATION_NEEDED: u8 = 4;
/// ICMP echo request.
pub const V4_ECHO_REQUEST: u8 = 8;
/// ICMPv6 destination unreachable.
pub const V6_UNREACHABLE: u8 = 1;
/// ICMPv6 packet too big; the MTU is the header's rest.
pub const V6_PACKET_TOO_BIG: u8 = 2;
/// ICMPv6 echo request.
pub const V6_ECHO_REQUEST: u8 = 128;
/// ICMPv6 router solicitation, the first of the neighbour discovery types.
pub const V6_ROUTER_SOLICITATION: u8 = 133;
/// ICMPv6 redirect, the last of the neighbour discovery types.
pub const V6_REDIRECT: u8 = 137;

/// What every message starts with.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct IcmpHeader {
    /// Message type.
    pub message: u8,
    /// Refinement of the type.
    pub code: u8,
    /// Checksum; with pseudo-header in ICMPv6.
    pub checksum: U16,
    /// Meaning by type.
    pub rest: [u8; 4],
}

/// Whether an ICMP message of this type reports an error about a packet that it quotes.
#[inline]
#[must_use]
pub const fn is_error_v4(message: u8) -> bool {
    matches!(message, 3 | 4 | 5 | 11 | 12)
}

/// Whether an ICMPv6 message of this type reports an error (RFC 4443, section 2.1: the high bit is clear).
#[inline]
#[must_use]
pub const fn is_error_v6(message: u8) -> bool {
    message < 128
}

/// Whether an ICMPv6 message of this type belongs to neighbour discovery (RFC 4861).
#[inline]
#[must_use]
pub const fn is_neighbor_discovery(message: u8) -> bool {
    message >= V6_ROUTER_SOLICITATION && message <= V6_REDIRECT
}
