//! The ICMP error that tells a client to send smaller packets: path MTU discovery (RFC 1191, RFC 8201) ends at the
//! balancer, because the outer header that makes the packet too big is the balancer's.

use super::link::write;
use crate::parse::{Family, Kind, Parsed};
use crate::port::Packet;
use crate::wire::ethernet::{self, EthernetHeader};
use crate::wire::icmp::{self, IcmpHeader};
use crate::wire::ipv4::{self, Ipv4Header};
use crate::wire::ipv6::{self, Ipv6Header};
use crate::wire::{checksum, protocol, vlan};
use zerocopy::network_endian::{U16, U32};
use zerocopy::{FromBytes, IntoBytes};

/// Hops that the error may take.
const TTL: u8 = 64;
/// Precedence 6, "internetwork control" (RFC 1812, section 4.3.2.5).
const PRECEDENCE: u8 = 0xc0;
/// The largest error over IPv4, IP header included (RFC 1812, section 4.3.2.3).
const MAX_V4: usize = 576;
/// The largest error over IPv6: its minimum MTU (RFC 4443, section 2.4 (c)).
const MAX_V6: usize = 1_280;
/// What every IPv4 link carries.
const LEAST_MTU_V4: u16 = 68;
/// What every IPv6 link carries.
const LEAST_MTU_V6: u16 = 1_280;
/// The longest frame that [`write_too_big`] writes.
pub const MAX_FRAME: usize = ethernet::HEADER_LEN + vlan::MAX_LEN + MAX_V6;

/// Turns a packet that is too big into the error about it, ready to leave by the link that it came in on. `mtu` is what its
/// link carries; clients are told no less than what their IP version guarantees (68 bytes, RFC 791; 1,280, RFC 8200).
///
/// Returns `false`, with the packet as it was, where no error may be sent, if the packet lies in several segments, or if
/// `allow` says no: it is asked last, so that a limit counts errors that are sent.
pub fn answer<P: Packet>(packet: &mut P, parsed: &Parsed, mtu: u16, allow: impl FnOnce() -> bool) -> bool {
    let least = if parsed.family == Family::V4 { LEAST_MTU_V4 } else { LEAST_MTU_V6 };
    let mut error = [0; MAX_FRAME];
    let written = write_too_big(packet.frame(), parsed, mtu.max(least), &mut error);
    let Some(error) = written.and_then(|len| error.get(..len)) else { return false };
    // One segment, and not shorter than what replaces it needs: checked before anything is changed or counted.
    if packet.frame().len() != packet.total_len() || !allow() || !packet.resize(error.len()) {
        return false;
    }
    packet.frame_mut().copy_from_slice(error);
    true
}

/// Writes the error about the packet in `frame` (its first segment, as it came in) to the front of `out`: destination
/// unreachable, code 4 (RFC 792, RFC 1191) for IPv4, packet too big (RFC 4443, section 3.2) for IPv6. It comes from the
/// address that the packet was sent to, and goes back by the link and with the tags that the packet came by.
///
/// Returns the length of the error's frame; [`MAX_FRAME`] bytes are always enough. `None` if nothing is to be sent: an
/// IPv4 packet that may be fragmented, a fragment but the first, an ICMP error or an ICMPv6 redirect, a frame to a
/// group, an IPv6 packet from the unspecified address (RFC 1122, section 3.2.2; RFC 4443, section 2.4 (e)), a first
/// segment without the headers; or if `out` is too short.
#[must_use]
pub fn write_too_big(frame: &[u8], parsed: &Parsed, mtu: u16, out: &mut [u8]) -> Option<usize> {
    let (link, packet) = frame.split_at_checked(usize::from(parsed.ip_offset))?;
    // What follows the packet in a short frame is padding.
    let packet = packet.get(..usize::from(parsed.ip_len)).unwrap_or(packet);
    let (ethernet, rest) =
        EthernetHeader::ref_from_prefix(link).ok().map(|(header, _)| (header, link.get(ethernet::ADDRESSES_LEN..)))?;
    let may_be_answered = matches!(parsed.kind, Kind::Whole | Kind::FirstFragment);
    if !may_be_answered || ethernet::is_group(&ethernet.destination) {
        return None;
    }
    let addresses = [&ethernet.source[..], &ethernet.destination, rest?];
    match parsed.family {
        Family::V4 => write_v4(packet, mtu, addresses, out),
        Family::V6 => write_v6(packet, mtu, addresses, out),
    }
}

fn write_v4(packet: &[u8], mtu: u16, link: [&[u8]; 3], out: &mut [u8]) -> Option<usize> {
    let (inner, _) = Ipv4Header::ref_from_prefix(packet).ok()?;
    let fragment = inner.fragment.get();
    if fragment & ipv4::DONT_FRAGMENT == 0 {
        return None;
    }
    let quote = shortened(packet, MAX_V4 - ipv4::HEADER_LEN - icmp::HEADER_LEN);
    let [high, low] = mtu.to_be_bytes();
    let mut error = IcmpHeader {
        message: icmp::V4_UNREACHABLE,
        code: icmp::V4_FRAGMENTATION_NEEDED,
        checksum: U16::ZERO,
        rest: [0, 0, high, low],
    };
    error.checksum = over(0, &error, quote);
    let mut header = Ipv4Header {
        version_ihl: 0x45,
        tos: PRECEDENCE,
        total_len: U16::new((ipv4::HEADER_LEN + icmp::HEADER_LEN + quote.len()) as u16),
        identification: U16::ZERO,
        fragment: U16::new(ipv4::DONT_FRAGMENT),
        ttl: TTL,
        protocol: protocol::ICMP,
        checksum: U16::ZERO,
        source: inner.destination,
        destination: inner.source,
    };
    header.fill_checksum();
    write_frame(out, link, header.as_bytes(), &error, quote)
}

fn write_v6(packet: &[u8], mtu: u16, link: [&[u8]; 3], out: &mut [u8]) -> Option<usize> {
    let (inner, _) = Ipv6Header::ref_from_prefix(packet).ok()?;
    if inner.source == [0; 16] {
        return None;
    }
    let quote = shortened(packet, MAX_V6 - ipv6::HEADER_LEN - icmp::HEADER_LEN);
    let len = icmp::HEADER_LEN + quote.len();
    let rest = u32::from(mtu).to_be_bytes();
    let mut error = IcmpHeader { message: icmp::V6_PACKET_TOO_BIG, code: 0, checksum: U16::ZERO, rest };
    let addresses = checksum::sum(&inner.source) + checksum::sum(&inner.destination);
    error.checksum = over(addresses + u32::from(protocol::ICMPV6) + len as u32, &error, quote);
    let header = Ipv6Header {
        version_class_label: U32::new(6 << 28),
        payload_len: U16::new(len as u16),
        next_header: protocol::ICMPV6,
        hop_limit: TTL,
        source: inner.destination,
        destination: inner.source,
    };
    write_frame(out, link, header.as_bytes(), &error, quote)
}

fn shortened(packet: &[u8], max: usize) -> &[u8] {
    packet.get(..max).unwrap_or(packet)
}

/// The checksum of an error: over what the pseudo-header sums up to, its header without checksum, and the quote.
fn over(pseudo_sum: u32, error: &IcmpHeader, quote: &[u8]) -> U16 {
    let folded = |sum| u32::from(checksum::fold(sum));
    let header_sum = checksum::sum(error.as_bytes());
    U16::new(!checksum::fold(folded(pseudo_sum) + folded(header_sum) + folded(checksum::sum(quote))))
}

fn write_frame(out: &mut [u8], link: [&[u8]; 3], ip: &[u8], error: &IcmpHeader, quote: &[u8]) -> Option<usize> {
    let [destination, source, tags_and_type] = link;
    let parts = [destination, source, tags_and_type, ip, error.as_bytes(), quote];
    write(out, &parts)?;
    Some(parts.iter().map(|part| part.len()).sum())
}
