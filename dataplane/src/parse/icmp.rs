//! ICMP errors: the flow that they speak of is that of the packet that they quote (RFC 792; RFC 4443, section 2.4).
//!
//! A quoted packet went from here to the client. The flow's key is that of the client's packets: the quote's addresses and
//! ports, turned round.

use super::{Flow, Kind, extension};
use crate::drop_reason::DropReason;
use crate::wire::icmp;
use crate::wire::ipv4::{self, Ipv4Header};
use crate::wire::ipv6::Ipv6Header;
use crate::wire::{checksum, protocol};
use zerocopy::FromBytes;

/// What a quoted packet says of its flow, as the client sends.
struct Quoted<A> {
    client: A,
    protocol: u8,
    client_port: u16,
    own_port: u16,
}

/// The flow of an ICMP error; `message` is what follows the IP header, `len` bytes of it.
#[cold]
#[inline(never)]
pub(super) fn error_v4(header: &Ipv4Header, message: &[u8], len: usize) -> Flow<[u8; 4]> {
    let message = message.get(..len).unwrap_or(message);
    let kind = message.first().copied().unwrap_or(0);
    let quoted = if message.len() == len && checksum::of(message) != 0 {
        Err(DropReason::IcmpChecksum)
    } else if matches!(kind, icmp::V4_SOURCE_QUENCH | icmp::V4_REDIRECT) {
        Err(DropReason::IcmpUnwanted)
    } else {
        quoted_v4(header, message)
    };
    flow(quoted, header.source, protocol::ICMP, kind)
}

/// The same for ICMPv6.
#[cold]
#[inline(never)]
pub(super) fn error_v6(header: &Ipv6Header, message: &[u8], len: usize) -> Flow<[u8; 16]> {
    let message = message.get(..len).unwrap_or(message);
    let quoted = if message.len() == len && checksum_v6(header, message) != 0 {
        Err(DropReason::IcmpChecksum)
    } else {
        quoted_v6(header, message)
    };
    flow(quoted, header.source, protocol::ICMPV6, message.first().copied().unwrap_or(0))
}

/// Zero if the checksum is right. That of a message in several segments is the receiver's to judge.
fn checksum_v6(header: &Ipv6Header, message: &[u8]) -> u16 {
    let addresses = checksum::sum(&header.source) + checksum::sum(&header.destination);
    let pseudo = checksum::fold(addresses + message.len() as u32 + u32::from(protocol::ICMPV6));
    !checksum::fold(u32::from(pseudo) + checksum::sum(message))
}

fn flow<A>(quoted: Result<Quoted<A>, DropReason>, source: A, protocol: u8, flags: u8) -> Flow<A> {
    match quoted {
        Ok(Quoted { client, protocol, client_port, own_port }) => Flow {
            kind: Kind::IcmpError,
            source: client,
            protocol,
            source_port: client_port,
            destination_port: own_port,
            flags,
        },
        Err(reason) => {
            let kind = Kind::Undecidable(reason);
            Flow { kind, source, protocol, source_port: 0, destination_port: 0, flags }
        }
    }
}

fn quoted_v4(outer: &Ipv4Header, message: &[u8]) -> Result<Quoted<[u8; 4]>, DropReason> {
    let quote = message.get(icmp::HEADER_LEN..).ok_or(DropReason::IcmpQuote)?;
    let (header, _) = Ipv4Header::ref_from_prefix(quote).map_err(|_| DropReason::IcmpQuote)?;
    let header_len = header.header_len();
    let ours = header.version_ihl >> 4 == 4 && header_len >= ipv4::HEADER_LEN && header.source == outer.destination;
    if !ours {
        return Err(DropReason::IcmpQuote);
    }
    if header.fragment.get() & ipv4::OFFSET_MASK != 0 {
        return Err(DropReason::IcmpQuoteFragment);
    }
    let (client_port, own_port) = quoted_ports(header.protocol, quote.get(header_len..))?;
    Ok(Quoted { client: header.destination, protocol: header.protocol, client_port, own_port })
}

fn quoted_v6(outer: &Ipv6Header, message: &[u8]) -> Result<Quoted<[u8; 16]>, DropReason> {
    let quote = message.get(icmp::HEADER_LEN..).ok_or(DropReason::IcmpQuote)?;
    let (header, rest) = Ipv6Header::ref_from_prefix(quote).map_err(|_| DropReason::IcmpQuote)?;
    if header.version_class_label.get() >> 28 != 6 || header.source != outer.destination {
        return Err(DropReason::IcmpQuote);
    }
    let mut found = extension::Found { protocol: header.next_header, offset: 0, kind: Kind::Whole };
    if extension::is_extension(header.next_header) {
        found = extension::walk(header.next_header, rest, rest.len()).map_err(|_| DropReason::IcmpQuote)?;
    }
    if found.kind == Kind::LaterFragment {
        return Err(DropReason::IcmpQuoteFragment);
    }
    let (client_port, own_port) = quoted_ports(found.protocol, rest.get(found.offset..))?;
    Ok(Quoted { client: header.destination, protocol: found.protocol, client_port, own_port })
}

/// The client's port and ours in a quoted transport header, of which 8 bytes are always there (RFC 792).
fn quoted_ports(number: u8, bytes: Option<&[u8]>) -> Result<(u16, u16), DropReason> {
    let header = bytes.and_then(|bytes| bytes.first_chunk::<8>()).ok_or(DropReason::IcmpQuote)?;
    let ([own_high, own_low, high, low, ..], true) = (*header, matches!(number, protocol::TCP | protocol::UDP)) else {
        return Err(DropReason::IcmpQuote);
    };
    match (u16::from_be_bytes([high, low]), u16::from_be_bytes([own_high, own_low])) {
        (0, _) | (_, 0) => Err(DropReason::IcmpQuote),
        ports => Ok(ports),
    }
}
