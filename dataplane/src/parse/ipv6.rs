//! The IPv6 header, and what it makes of a packet (RFC 8200, section 3).

use super::transport::{self, Transport};
use super::{Family, Flow, Kind, Parsed, Read, extension, fragments, icmp};
use crate::drop_reason::DropReason;
use crate::hash::FlowKey;
use crate::vip;
use crate::wire::ipv6::{self, Ipv6Header};
use crate::wire::{icmp as wire_icmp, protocol};
use zerocopy::FromBytes;

#[inline(always)]
pub(super) fn read(bytes: &[u8], len: usize) -> Result<Read<'_, Ipv6Header, [u8; 16]>, DropReason> {
    let (header, rest) = Ipv6Header::ref_from_prefix(bytes).map_err(|_| DropReason::Runt)?;
    if header.version_class_label.get() >> 28 != 6 {
        return Err(DropReason::BadIpHeader);
    }
    let payload_len = usize::from(header.payload_len.get());
    let ip_len = payload_len + ipv6::HEADER_LEN;
    // 65,535 + 40 bytes would not fit the field; no device here carries frames a sixth of that.
    if ip_len > usize::from(u16::MAX) {
        return Err(DropReason::BadIpLength);
    }
    if ip_len > len {
        return Err(DropReason::Truncated);
    }
    if header.hop_limit == 0 {
        return Err(DropReason::TtlExpired);
    }
    check_addresses(header)?;
    let mut offset = 0;
    let flow = if extension::is_extension(header.next_header) {
        let found = extension::walk(header.next_header, rest, payload_len)?;
        offset = found.offset;
        after_extensions(header, found, rest, payload_len)?
    } else {
        whole(header, header.next_header, rest, payload_len)?
    };
    Ok(Read { header, flow, transport: ipv6::HEADER_LEN + offset })
}

#[inline(always)]
pub(super) fn parsed(read: &Read<'_, Ipv6Header, [u8; 16]>, ip_offset: usize) -> Parsed {
    let Read { header, flow, transport } = read;
    Parsed {
        key: FlowKey::v6(flow.protocol, flow.source, header.destination, flow.source_port, flow.destination_port),
        destination: u128::from_be_bytes(header.destination),
        family: Family::V6,
        kind: flow.kind,
        protocol: flow.protocol,
        flags: flow.flags,
        traffic_class: header.traffic_class(),
        source_port: flow.source_port,
        destination_port: flow.destination_port,
        ip_offset: ip_offset as u16,
        // It fits: reading compared it.
        ip_len: header.payload_len.get() + ipv6::HEADER_LEN as u16,
        transport_offset: (ip_offset + transport) as u16,
    }
}

/// The flow of a whole packet whose transport header is of this number.
#[inline(always)]
fn whole(header: &Ipv6Header, number: u8, bytes: &[u8], len: usize) -> Result<Flow<[u8; 16]>, DropReason> {
    let transport = transport::parse(Family::V6, number, bytes, len)?;
    if number == protocol::ICMPV6 && wire_icmp::is_error_v6(transport.flags) {
        return Ok(icmp::error_v6(header, bytes, len));
    }
    Ok(Flow::new(header.source, number, transport))
}

/// The flow of a packet with extension headers.
#[cold]
#[inline(never)]
fn after_extensions(
    header: &Ipv6Header,
    found: extension::Found,
    chain: &[u8],
    chain_len: usize,
) -> Result<Flow<[u8; 16]>, DropReason> {
    let (rest, len) = (chain.get(found.offset..).unwrap_or(&[]), chain_len - found.offset);
    let transport = match found.kind {
        Kind::LaterFragment => Transport::NONE,
        Kind::FirstFragment => fragments::whole_header(Family::V6, found.protocol, rest, len)?,
        _ => return whole(header, found.protocol, rest, len),
    };
    Ok(Flow { kind: found.kind, ..Flow::new(header.source, found.protocol, transport) })
}

/// RFC 4291, sections 2.5.2, 2.5.3 and 2.7, and 2.5.5.2: no packet carries an IPv4-mapped address. The
/// unspecified source is left to neighbor discovery, which speaks by it.
#[inline]
fn check_addresses(header: &Ipv6Header) -> Result<(), DropReason> {
    if header.source == header.destination {
        return Err(DropReason::Land);
    }
    let source = u128::from_be_bytes(header.source);
    let unspecified = source == 0 && header.next_header != protocol::ICMPV6;
    if unspecified || source == 1 || header.source[0] == 0xff || vip::is_v4(source) {
        return Err(DropReason::MartianSource);
    }
    // Own addresses and VIPs of both families are looked up as 128 bits: an IPv4 one must not be found by this.
    if vip::is_v4(u128::from_be_bytes(header.destination)) {
        return Err(DropReason::NotForUs);
    }
    Ok(())
}
