//! Packets that keep their IP version: rewritten where they lie.

use super::ends::{Ends, halves};
use super::{Settings, Translated, fit, next_hops, transport};
use crate::drop_reason::DropReason;
use crate::parse::{Family, Kind, Parsed};
use crate::port::Packet;
use crate::rewrite::{Refusal, Split};
use crate::session::Tuple;
use crate::wire::checksum;
use crate::wire::ipv4::{self, Ipv4Header};
use crate::wire::ipv6::Ipv6Header;
use zerocopy::FromBytes;
use zerocopy::network_endian::U16;

pub(super) fn translate<P: Packet>(
    packet: &mut P,
    parsed: &Parsed,
    to: &Tuple,
    settings: &Settings,
) -> Result<Translated, Refusal> {
    let offset = usize::from(parsed.transport_offset);
    let bytes = packet.frame().get(offset..).ok_or(DropReason::Runt)?;
    let has_ports = parsed.kind != Kind::LaterFragment;
    if has_ports && !transport::is_whole(parsed.protocol, bytes) {
        return Err(DropReason::TransportTruncated.into());
    }
    let ends = Ends::of(to).ok_or(DropReason::NatUntranslatable)?;
    let (translated, difference) = translate_header(packet, parsed, ends, settings)?;
    if has_ports && let Some(bytes) = packet.frame_mut().get_mut(offset..) {
        transport::translate(bytes, parsed.protocol, to, difference);
    }
    Ok(translated)
}

/// The IP header alone. Nothing is changed if that fails. Beside what it is now: what its addresses add to a checksum, before and
/// after.
#[inline]
pub(super) fn translate_header<P: Packet>(
    packet: &mut P,
    parsed: &Parsed,
    to: Ends,
    settings: &Settings,
) -> Result<(Translated, (u32, u32)), Refusal> {
    let Parsed { family, ip_offset, ip_len, transport_offset, traffic_class, .. } = *parsed;
    let bytes = packet.frame_mut().get_mut(usize::from(ip_offset)..).ok_or(DropReason::Runt)?;
    let (split, difference) = match family {
        Family::V4 => {
            let (header, _) = Ipv4Header::mut_from_prefix(bytes).map_err(|_| DropReason::Runt)?;
            // Those of a packet with options would each need these: it is told to be smaller, as if it were not allowed.
            let may_split = parsed.kind == Kind::Whole
                && header.fragment.get() & ipv4::DONT_FRAGMENT == 0
                && header.header_len() == ipv4::HEADER_LEN;
            let split = fit(ip_len.into(), settings.mtu, settings.mtu, may_split)?;
            let hops = next_hops(header.ttl)?;
            (split, rewrite_v4(header, to, hops))
        }
        Family::V6 => {
            let (header, _) = Ipv6Header::mut_from_prefix(bytes).map_err(|_| DropReason::Runt)?;
            let split = fit(ip_len.into(), settings.mtu, settings.mtu, false)?;
            let hops = next_hops(header.hop_limit)?;
            (split, rewrite_v6(header, to, hops))
        }
    };
    let split = split.map(|mtu| Split { ip_offset, mtu });
    Ok((Translated { family, ip_offset, ip_len, transport_offset, traffic_class, split }, difference))
}

/// Writes addresses and hops. Returns what the addresses add to a checksum, before and after.
#[inline]
pub(super) fn rewrite_v4(header: &mut Ipv4Header, to: Ends, hops: u8) -> (u32, u32) {
    let (removed, added) = (ends_of_v4(header), to.sum());
    // The hops left are the high half of their word.
    let [old_hops, new_hops] = [header.ttl, hops].map(|hops| u32::from(hops) << 8);
    header.checksum = U16::new(checksum::updated(header.checksum.get(), removed + old_hops, added + new_hops));
    header.ttl = hops;
    (header.source, header.destination) = to.v4();
    (removed, added)
}

/// The same in IPv6.
#[inline]
pub(super) fn rewrite_v6(header: &mut Ipv6Header, to: Ends, hops: u8) -> (u32, u32) {
    let removed = checksum::sum_of([&header.source, &header.destination]);
    header.hop_limit = hops;
    readdress_v6(header, to);
    (removed, to.sum())
}

/// Writes addresses, and the header's checksum by how they differ.
#[inline]
pub(super) fn readdress_v4(header: &mut Ipv4Header, to: Ends) {
    let (old, new) = (ends_of_v4(header), to.sum());
    header.checksum = U16::new(checksum::updated(header.checksum.get(), old, new));
    (header.source, header.destination) = to.v4();
}

#[inline]
pub(super) fn readdress_v6(header: &mut Ipv6Header, to: Ends) {
    (header.source, header.destination) = to.v6();
}

#[inline]
fn ends_of_v4(header: &Ipv4Header) -> u32 {
    halves(u32::from_be_bytes(header.source)) + halves(u32::from_be_bytes(header.destination))
}
