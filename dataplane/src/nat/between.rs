//! Packets that change their IP version (RFC 7915): a new IP header in front of what is kept.

use super::ends::{self, Ends};
use super::header::{self, Header};
use super::{GROWTH, Settings, Translated, fit, next_hops, transport};
use crate::drop_reason::DropReason;
use crate::parse::{Family, Kind, Parsed, fragment_place};
use crate::port::Packet;
use crate::rewrite::link::{place, trim_padding, write};
use crate::rewrite::{Refusal, Split};
use crate::session::Tuple;
use crate::wire::ipv4::{self, Ipv4Header};
use crate::wire::ipv6::{self, Ipv6Header};
use crate::wire::protocol;
use crate::wire::udp::UdpHeader;
use zerocopy::FromBytes;
use zerocopy::network_endian::U16;

/// IPv4 options that route by the sender's will (RFC 791, section 3.1): loose, and strict.
const SOURCE_ROUTES: [u8; 2] = [131, 137];

pub(super) fn translate<P: Packet>(
    packet: &mut P,
    parsed: &Parsed,
    to: &Tuple,
    settings: &Settings,
) -> Result<Translated, Refusal> {
    let frame = packet.frame();
    let offset = usize::from(parsed.transport_offset);
    let bytes = frame.get(offset..).ok_or(DropReason::Runt)?;
    let has_ports = parsed.kind != Kind::LaterFragment;
    if has_ports && !transport::is_whole(parsed.protocol, bytes) {
        return Err(DropReason::TransportTruncated.into());
    }
    let header = Header {
        ends: Ends::of(to).ok_or(DropReason::NatUntranslatable)?,
        traffic_class: parsed.traffic_class,
        hops: next_hops(hops(frame, parsed)?)?,
        protocol: parsed.protocol,
        len: parsed.ip_len.saturating_sub(parsed.transport_offset.saturating_sub(parsed.ip_offset)),
        fragment: fragment_place(frame, parsed),
        identification: settings.identification,
    };
    // Offsets count from the fragment header on: what stands between it and the transport cannot be left out (RFC 7915,
    // section 5.1.1).
    if header.fragment.is_some_and(|place| place.len != header.len) {
        return Err(DropReason::NatUntranslatable.into());
    }
    let after = header.total_len();
    let split = fit(after, settings.mtu, told_mtu(&header, settings.mtu), may_split(frame, parsed))?;
    let checksum = if has_ports { missing_checksum(bytes, parsed, to, header.len)? } else { None };
    let transport_offset = replace_header(packet, parsed, &header)?;
    if has_ports && let Some(bytes) = packet.frame_mut().get_mut(transport_offset..) {
        // One that is missing is no less so with other ports: it is written behind them.
        let from = Tuple::of(parsed);
        let [removed, added] = [&from, to].map(|tuple| ends::sum(tuple.source.address, tuple.destination.address));
        transport::translate(bytes, parsed.protocol, to, (removed, added));
        if let Some(checksum) = checksum
            && let Ok((header, _)) = UdpHeader::mut_from_prefix(bytes)
        {
            header.checksum = checksum;
        }
    }
    Ok(Translated {
        family: header.ends.family,
        ip_offset: parsed.ip_offset,
        ip_len: after as u16,
        transport_offset: transport_offset as u16,
        traffic_class: parsed.traffic_class,
        split: split.map(|mtu| Split { ip_offset: parsed.ip_offset, mtu }),
    })
}

/// Hops left to a packet. What asks for a route of its own has no form in IPv6 (RFC 7915, section 4.1).
pub(super) fn hops(frame: &[u8], parsed: &Parsed) -> Result<u8, DropReason> {
    let packet = frame.get(usize::from(parsed.ip_offset)..).ok_or(DropReason::Runt)?;
    match parsed.family {
        Family::V4 => {
            let (header, rest) = Ipv4Header::ref_from_prefix(packet).map_err(|_| DropReason::Runt)?;
            let options = header.header_len().checked_sub(ipv4::HEADER_LEN).and_then(|len| rest.get(..len));
            if is_source_routed(options.ok_or(DropReason::Runt)?) {
                return Err(DropReason::NatUntranslatable);
            }
            Ok(header.ttl)
        }
        Family::V6 => {
            let (header, _) = Ipv6Header::ref_from_prefix(packet).map_err(|_| DropReason::Runt)?;
            Ok(header.hop_limit)
        }
    }
}

/// Whether a source route has not come to its end yet: its pointer, which counts from 1, is not behind the option.
fn is_source_routed(mut options: &[u8]) -> bool {
    while let Some((kind, rest)) = options.split_first() {
        options = match (*kind, rest) {
            // The end, and padding of one byte.
            (0, _) => return false,
            (1, _) => rest,
            (kind, [len, pointer, ..]) if SOURCE_ROUTES.contains(&kind) && pointer <= len => return true,
            (_, [len, ..]) => options.get(usize::from(*len).max(2)..).unwrap_or(&[]),
            (_, []) => return false,
        };
    }
    false
}

/// The MTU in terms of the other IP version: of packets without options, of which the next one may be.
pub(super) fn told_mtu(header: &Header, mtu: u16) -> u16 {
    match (header.ends.family, header.fragment) {
        (Family::V4, _) => mtu.saturating_add(GROWTH),
        (Family::V6, None) => mtu.saturating_sub(GROWTH),
        (Family::V6, Some(_)) => mtu.saturating_sub(GROWTH + ipv6::FRAGMENT_LEN as u16),
    }
}

/// Whether its sender allows fragments of an IPv4 packet that is none yet.
fn may_split(frame: &[u8], parsed: &Parsed) -> bool {
    let packet = frame.get(usize::from(parsed.ip_offset)..).unwrap_or(&[]);
    let header = Ipv4Header::ref_from_prefix(packet).map(|(header, _)| header);
    let fragment = header.map(|header| header.fragment.get());
    parsed.family == Family::V4 && parsed.kind == Kind::Whole && fragment.is_ok_and(|it| it & ipv4::DONT_FRAGMENT == 0)
}

/// The checksum of a UDP datagram that has none, which IPv6 does not allow. `bytes` begin with its header, `len` of them
/// belong to the packet.
fn missing_checksum(bytes: &[u8], parsed: &Parsed, to: &Tuple, len: u16) -> Result<Option<U16>, DropReason> {
    let udp = UdpHeader::ref_from_prefix(bytes).map(|(header, _)| header);
    if parsed.protocol != protocol::UDP || udp.is_ok_and(|header| header.checksum.get() != 0) {
        return Ok(None);
    }
    let datagram = bytes.get(..usize::from(len)).filter(|_| parsed.kind == Kind::Whole);
    transport::compute_udp(datagram.ok_or(DropReason::NatUdpChecksum)?, to).map(Some)
}

/// Puts another IP header in the place of a packet's, with its extensions, and cuts padding. Returns where it ends. Nothing is
/// changed if that fails.
fn replace_header<P: Packet>(packet: &mut P, parsed: &Parsed, header: &Header) -> Result<usize, DropReason> {
    let mut front = header::link(packet.frame(), parsed.ip_offset, header.ends.family).ok_or(DropReason::Runt)?;
    header.write(&mut front).map_err(|_| DropReason::NoHeadroom)?;
    place(packet, parsed.transport_offset.into(), front.len())?;
    write(packet.frame_mut(), &[&front]).ok_or(DropReason::Runt)?;
    trim_padding(packet, front.len() + usize::from(header.len));
    Ok(front.len())
}
