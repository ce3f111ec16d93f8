//! ICMP errors: outside they go the way of their flow, and what they quote goes the other way.

use super::ends::Ends;
use super::header::{self, Front, Header, transport_v6};
use super::same::{readdress_v4, readdress_v6, translate_header};
use super::{Settings, Translated, between, fit, message, next_hops, transport};
use crate::drop_reason::DropReason;
use crate::parse::{Family, Kind, Parsed};
use crate::port::Packet;
use crate::rewrite::Refusal;
use crate::rewrite::link::{place, trim_padding, write};
use crate::session::Tuple;
use crate::vip::address_bits;
use crate::wire::icmp::{self, IcmpHeader};
use crate::wire::ipv4::Ipv4Header;
use crate::wire::ipv6::Ipv6Header;
use crate::wire::{checksum, protocol};
use std::net::IpAddr;
use zerocopy::network_endian::U16;
use zerocopy::{FromBytes, IntoBytes};

/// As far into a quoted transport header anything is rewritten, in bytes: up to the end of the checksum of TCP.
const REWRITTEN: usize = 18;
/// What of a transport header is always quoted, in bytes (RFC 792).
const LEAST_QUOTED: usize = 8;
/// The largest error over IPv4, IP header included (RFC 1812, section 4.3.2.3).
const MAX_V4: usize = 576;
/// The largest error over IPv6: its minimum MTU (RFC 4443, section 2.4 (c)).
const MAX_V6: usize = 1_280;

/// The sequence number of the TCP segment that an ICMP error quotes. `None` if the packet, as parsed from this frame, is none.
#[must_use]
pub fn quoted_sequence(frame: &[u8], parsed: &Parsed) -> Option<u32> {
    if parsed.kind != Kind::IcmpError || parsed.protocol != protocol::TCP {
        return None;
    }
    let quote = frame.get(usize::from(parsed.transport_offset) + icmp::HEADER_LEN..)?;
    transport::quoted_sequence(quote.get(quoted_transport(parsed.family, quote)?..)?)
}

/// An error that keeps its IP version is rewritten where it lies; all of it that changes is in the first segment.
#[cold]
#[inline(never)]
pub(super) fn translate_same<P: Packet>(
    packet: &mut P,
    parsed: &Parsed,
    to: &Tuple,
    settings: &Settings,
) -> Result<Translated, Refusal> {
    let quoted_ends = Ends::of(&to.reversed()).ok_or(DropReason::NatUntranslatable)?;
    let old = outer_ends(packet.frame(), parsed).ok_or(DropReason::IcmpQuote)?;
    // A router's error is from the router, whoever the flow is between.
    let from_end = old.source == address_bits(parsed.key.source());
    let source = if from_end { to.source.address } else { old.source };
    let new = Ends::new(source, to.destination.address).ok_or(DropReason::NatUntranslatable)?;
    let start = usize::from(parsed.transport_offset);
    let quote = packet.frame().get(start + icmp::HEADER_LEN..).ok_or(DropReason::IcmpQuote)?;
    let inner = quoted_transport(parsed.family, quote).ok_or(DropReason::IcmpQuote)?;
    let end = (start + icmp::HEADER_LEN + inner + REWRITTEN).min(end_of_packet(packet.frame(), parsed));
    if end < start + icmp::HEADER_LEN + inner {
        return Err(DropReason::IcmpQuote.into());
    }

    let (translated, _) = translate_header(packet, parsed, new, settings)?;
    let Some(bytes) = packet.frame_mut().get_mut(start..end) else { return Ok(translated) };
    let mut difference = (checksum::sum(bytes), 0);
    if parsed.family == Family::V6 {
        difference = (difference.0 + old.sum(), new.sum());
    }
    if let Some(quote) = bytes.get_mut(icmp::HEADER_LEN..) {
        readdress_quote(quote, quoted_ends);
        if let Some(bytes) = quote.get_mut(inner..) {
            let from = Tuple::of(parsed).reversed();
            transport::translate_quoted(bytes, &from, &to.reversed(), settings.quoted_sequence);
        }
    }
    difference.1 += checksum::sum(bytes);
    if let Ok((header, _)) = IcmpHeader::mut_from_prefix(bytes) {
        header.checksum = U16::new(checksum::updated(header.checksum.get(), difference.0, difference.1));
    }
    Ok(translated)
}

/// An error that changes its IP version: both IP headers and its own are new, and so is the checksum over all of it. So it must
/// lie in one segment, which errors do: they are short.
#[cold]
#[inline(never)]
pub(super) fn translate_between<P: Packet>(
    packet: &mut P,
    parsed: &Parsed,
    to: &Tuple,
    settings: &Settings,
) -> Result<Translated, Refusal> {
    let in_one_segment = packet.frame().len() == packet.total_len();
    let error = Error::read(packet.frame(), parsed, to, settings).filter(|_| in_one_segment);
    let Error { outer, header, quoted, kept } = error.ok_or(DropReason::NatUntranslatable)?;
    let outer = Header { hops: next_hops(between::hops(packet.frame(), parsed)?)?, ..outer };
    fit(outer.total_len(), settings.mtu, between::told_mtu(&outer, settings.mtu), false)?;

    let mut front = header::link(packet.frame(), parsed.ip_offset, outer.ends.family).ok_or(DropReason::Runt)?;
    let start = front.len() + outer.header_len();
    write_headers(&mut front, &outer, &header, &quoted).ok_or(DropReason::NoHeadroom)?;
    place(packet, kept, front.len())?;
    write(packet.frame_mut(), &[&front]).ok_or(DropReason::Runt)?;
    trim_padding(packet, start + usize::from(outer.len));
    let frame = packet.frame_mut();
    if let Some(bytes) = frame.get_mut(front.len()..) {
        let from = Tuple::of(parsed).reversed();
        transport::translate_quoted(bytes, &from, &to.reversed(), settings.quoted_sequence);
    }
    if let Some(message) = frame.get_mut(start..) {
        fill_checksum(message, &outer);
    }
    Ok(Translated {
        family: outer.ends.family,
        ip_offset: parsed.ip_offset,
        ip_len: outer.total_len() as u16,
        transport_offset: start as u16,
        traffic_class: parsed.traffic_class,
        split: None,
    })
}

/// What is written of an error, and from which byte of the frame on it is kept.
struct Error {
    outer: Header,
    header: IcmpHeader,
    quoted: Header,
    kept: usize,
}

impl Error {
    /// The error in the other IP version; hops as they are. `None` if it cannot be said there.
    fn read(frame: &[u8], parsed: &Parsed, to: &Tuple, settings: &Settings) -> Option<Self> {
        let start = usize::from(parsed.transport_offset);
        let message = frame.get(start..end_of_packet(frame, parsed))?;
        let (old, quote) = IcmpHeader::ref_from_prefix(message).ok()?;
        let (ends, quoted_ends) = (Ends::of(to)?, Ends::of(&to.reversed())?);
        let (header, (quoted, inner), quote_len, number) = match parsed.family {
            Family::V4 => {
                let (quoted, inner) = Header::of_v4(quote, quoted_ends)?;
                let quoted_len = quoted.len.saturating_add(inner as u16);
                let header = message::to_v6(old, quoted_len, settings.mtu)?;
                (header, (quoted, inner), message::quote_len_v4(old), protocol::ICMPV6)
            }
            Family::V6 => {
                let quoted = Header::of_v6(quote, quoted_ends)?;
                (message::to_v4(old, settings.mtu)?, quoted, message::quote_len_v6(old), protocol::ICMP)
            }
        };
        let mut outer = Header {
            ends,
            traffic_class: parsed.traffic_class,
            hops: 0,
            protocol: number,
            len: (icmp::HEADER_LEN + quoted.header_len()) as u16,
            fragment: None,
            identification: settings.identification,
        };
        // The quote ends where extensions begin, though never before the ports, and where an error must end.
        let quote_len = quote_len.map_or(quote.len(), |len| len.max(inner + LEAST_QUOTED).min(quote.len()));
        let payload = quote_len.checked_sub(inner)?;
        let most = match ends.family {
            Family::V4 => MAX_V4.min(settings.mtu.into()),
            Family::V6 => MAX_V6.min(settings.mtu.into()),
        };
        outer.len += payload.min(most.saturating_sub(outer.total_len())) as u16;
        Some(Self { outer, header, quoted, kept: start + icmp::HEADER_LEN + inner })
    }
}

fn write_headers(front: &mut Front, outer: &Header, header: &IcmpHeader, quoted: &Header) -> Option<()> {
    outer.write(front).ok()?;
    front.try_extend_from_slice(header.as_bytes()).ok()?;
    quoted.write(front).ok()
}

/// Writes the checksum of a message whose field is zero; over IPv6 it covers the addresses, too.
fn fill_checksum(message: &mut [u8], outer: &Header) {
    let pseudo = match outer.ends.family {
        Family::V4 => 0,
        Family::V6 => outer.ends.sum() + u32::from(protocol::ICMPV6) + message.len() as u32,
    };
    let sum = pseudo + checksum::sum(message);
    if let Ok((header, _)) = IcmpHeader::mut_from_prefix(message) {
        header.checksum = U16::new(!checksum::fold(sum));
    }
}

/// Where the first segment's part of a packet ends in its frame: padding is not part of it.
fn end_of_packet(frame: &[u8], parsed: &Parsed) -> usize {
    frame.len().min(usize::from(parsed.ip_offset) + usize::from(parsed.ip_len))
}

/// The addresses of the error itself.
fn outer_ends(frame: &[u8], parsed: &Parsed) -> Option<Ends> {
    let packet = frame.get(usize::from(parsed.ip_offset)..)?;
    match parsed.family {
        Family::V4 => {
            let (header, _) = Ipv4Header::ref_from_prefix(packet).ok()?;
            Ends::new(address_bits(IpAddr::from(header.source)), parsed.destination)
        }
        Family::V6 => {
            let (header, _) = Ipv6Header::ref_from_prefix(packet).ok()?;
            Ends::new(u128::from_be_bytes(header.source), parsed.destination)
        }
    }
}

/// Where the transport header of a quoted packet begins in it.
fn quoted_transport(family: Family, quote: &[u8]) -> Option<usize> {
    match family {
        Family::V4 => Ipv4Header::ref_from_prefix(quote).ok().map(|(header, _)| header.header_len()),
        Family::V6 => transport_v6(quote).map(|(offset, _)| offset),
    }
}

fn readdress_quote(quote: &mut [u8], to: Ends) {
    match to.family {
        Family::V4 => {
            if let Ok((header, _)) = Ipv4Header::mut_from_prefix(quote) {
                readdress_v4(header, to);
            }
        }
        Family::V6 => {
            if let Ok((header, _)) = Ipv6Header::mut_from_prefix(quote) {
                readdress_v6(header, to);
            }
        }
    }
}
