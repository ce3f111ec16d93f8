//! The sum of a packet inside a tunnel, which a checksum around it counts.
//!
//! A whole TCP or UDP packet carries a checksum of its own, and its sum follows from that without a look at the payload. The
//! IPv4 header sums to zero. What follows it sums to zero together with the pseudo-header, so alone to the pseudo-header's
//! complement (RFC 9293, section 3.1; RFC 768; RFC 8200, section 8.1). So an outer checksum costs the same whatever the length.
//!
//! If the packet was damaged before it came here, its checksum is wrong, and so is the outer one then: the damage shows at the
//! decapsulator, and not a header later. A checksum over the damaged bytes would vouch for them.

use super::shim::Inner;
use crate::parse::Family;
use crate::port::Packet;
use crate::wire::{checksum, ipv4, ipv6, protocol, udp};

/// One's-complement sum of the inner packet, below 2^35: not folded yet.
#[inline(always)]
pub(super) fn inner_sum<P: Packet>(packet: &P, inner: &Inner) -> u64 {
    let bytes = packet.frame().get(usize::from(inner.offset)..).unwrap_or(&[]);
    let by_headers = match inner.family {
        Family::V4 => by_headers_v4(bytes, inner.len),
        Family::V6 => by_headers_v6(bytes, inner.len),
    };
    by_headers.unwrap_or_else(|| sum_of_segments(packet, inner).into())
}

/// A number in a header. `at` is a constant: no check remains.
macro_rules! load {
    ($number:ty, $header:expr, $at:expr) => {
        <$number>::from_be_bytes(*$header.get($at..)?.first_chunk()?)
    };
}

/// The sum of a whole IPv4 packet without options, by its headers. `None` if not all of it is under checksums.
#[inline(always)]
fn by_headers_v4(bytes: &[u8], len: u16) -> Option<u64> {
    /// What in the word of flags, offset, hops and protocol makes a fragment.
    const FRAGMENT: u32 = 0x3fff << 16;
    /// A multiple of 0xffff, which is zero, above everything that is taken away from it.
    const ZERO: u64 = 0xffff << 18;
    let header: &[u8; ipv4::HEADER_LEN + udp::HEADER_LEN] = bytes.first_chunk()?;
    let fragment_protocol = load!(u32, header, 6);
    let (number, transport_len) = (fragment_protocol as u8, len.wrapping_sub(ipv4::HEADER_LEN as u16));
    if header[0] != 0x45 || fragment_protocol & FRAGMENT != 0 {
        return None;
    }
    if !is_covered(number, transport_len, load!(u32, header, ipv4::HEADER_LEN + 4)) {
        return None;
    }
    let addresses = load!(u64, header, 12);
    let halves = (addresses >> 32) + (addresses & 0xffff_ffff);
    Some(ZERO - halves - u64::from(number) - u64::from(transport_len))
}

/// The same of an IPv6 packet without extension headers. Its header has no checksum: the addresses are in the sum once by
/// themselves and once, with the other sign, by the pseudo-header, and so are length and protocol.
#[inline(always)]
fn by_headers_v6(bytes: &[u8], len: u16) -> Option<u64> {
    let header: &[u8; ipv6::HEADER_LEN + udp::HEADER_LEN] = bytes.first_chunk()?;
    // Version, class, label; length, next header, hop limit.
    let first = load!(u64, header, 0);
    let (number, transport_len) = ((first >> 8) as u8, len.wrapping_sub(ipv6::HEADER_LEN as u16));
    if !is_covered(number, transport_len, load!(u32, header, ipv6::HEADER_LEN + 4)) {
        return None;
    }
    Some((first >> 32) + (first & 0xffff) + u64::from(!u16::from(number)))
}

/// Whether a transport header's own checksum covers the `len` bytes from it to the end. `udp` is the length and the checksum
/// of a UDP header: it may leave bytes out (RFC 768 says nothing of them), and over IPv4 be without checksum.
#[inline(always)]
const fn is_covered(number: u8, len: u16, udp: u32) -> bool {
    number == protocol::TCP || number == protocol::UDP && (udp >> 16) as u16 == len && udp as u16 != 0
}

/// The sum over all bytes of all segments.
#[inline(never)]
fn sum_of_segments<P: Packet>(packet: &P, inner: &Inner) -> u16 {
    let (mut skip, mut left) = (usize::from(inner.offset), usize::from(inner.len));
    let (mut total, mut odd) = (0_u16, false);
    packet.for_each_segment(&mut |segment| {
        let bytes = segment.get(skip..).unwrap_or(&[]);
        let bytes = bytes.get(..left).unwrap_or(bytes);
        skip = skip.saturating_sub(segment.len());
        left -= bytes.len();
        let sum = checksum::fold(checksum::sum(bytes));
        // A segment that begins in the middle of a word: the sum of swapped words is the swapped sum (RFC 1071).
        let sum = if odd { sum.swap_bytes() } else { sum };
        odd ^= bytes.len() % 2 == 1;
        total = checksum::fold(u32::from(total) + u32::from(sum));
    });
    total
}
