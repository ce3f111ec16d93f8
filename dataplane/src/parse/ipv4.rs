//! The IPv4 header, and what it makes of a packet (RFC 791; RFC 1122, section 3.2.1).

use super::transport;
use super::{Family, Flow, Parsed, Read, fragments, icmp};
use crate::drop_reason::DropReason;
use crate::hash::FlowKey;
use crate::wire::ipv4::{self, Ipv4Header};
use crate::wire::{checksum, icmp as wire_icmp, protocol};
use zerocopy::FromBytes;

#[inline(always)]
pub(super) fn read(bytes: &[u8], len: usize) -> Result<Read<'_, Ipv4Header, [u8; 4]>, DropReason> {
    let (header, _) = Ipv4Header::ref_from_prefix(bytes).map_err(|_| DropReason::Runt)?;
    let header_len = header.header_len();
    if header.version_ihl >> 4 != 4 || header_len < ipv4::HEADER_LEN {
        return Err(DropReason::BadIpHeader);
    }
    let ip_len = usize::from(header.total_len.get());
    if ip_len < header_len {
        return Err(DropReason::BadIpLength);
    }
    if ip_len > len {
        return Err(DropReason::Truncated);
    }
    // A header without options has a constant length: its sum needs no loop.
    let right = if header_len == ipv4::HEADER_LEN {
        header.is_checksum_right()
    } else {
        is_checksum_right(bytes.get(..header_len).ok_or(DropReason::TransportTruncated)?)
    };
    if !right {
        return Err(DropReason::BadIpChecksum);
    }
    if header.ttl == 0 {
        return Err(DropReason::TtlExpired);
    }
    check_addresses(header)?;
    let rest = bytes.get(header_len..).unwrap_or(&[]);
    let flow = if header.fragment.get() & !ipv4::DONT_FRAGMENT != 0 {
        fragments::first_or_later_v4(header, rest, ip_len - header_len)?
    } else {
        let transport = transport::parse(Family::V4, header.protocol, rest, ip_len - header_len)?;
        if header.protocol == protocol::ICMP && wire_icmp::is_error_v4(transport.flags) {
            icmp::error_v4(header, rest, ip_len - header_len)
        } else {
            Flow::new(header.source, header.protocol, transport)
        }
    };
    Ok(Read { header, flow, transport: header_len })
}

#[inline(always)]
pub(super) fn parsed(read: &Read<'_, Ipv4Header, [u8; 4]>, ip_offset: usize) -> Parsed {
    let Read { header, flow, transport } = read;
    Parsed {
        key: FlowKey::v4(flow.protocol, flow.source, header.destination, flow.source_port, flow.destination_port),
        destination: mapped(header.destination),
        family: Family::V4,
        kind: flow.kind,
        protocol: flow.protocol,
        flags: flow.flags,
        traffic_class: header.tos,
        source_port: flow.source_port,
        destination_port: flow.destination_port,
        ip_offset: ip_offset as u16,
        ip_len: header.total_len.get(),
        transport_offset: (ip_offset + transport) as u16,
    }
}

/// Of an IPv4 header with options.
#[cold]
#[inline(never)]
fn is_checksum_right(header: &[u8]) -> bool {
    checksum::of(header) == 0
}

/// An IPv4 address as [`crate::vip::address_bits`].
#[inline]
fn mapped(address: [u8; 4]) -> u128 {
    0xffff_0000_0000 | u128::from(u32::from_be_bytes(address))
}

/// RFC 1122, section 3.2.1.3: addresses that must not be a source.
#[inline]
fn check_addresses(header: &Ipv4Header) -> Result<(), DropReason> {
    if header.source == header.destination {
        return Err(DropReason::Land);
    }
    // 0/8, 127/8, and 224/4 with everything above it (multicast, reserved, broadcast).
    match header.source[0] {
        0 | 127 | 224..=255 => Err(DropReason::MartianSource),
        _ => Ok(()),
    }
}
