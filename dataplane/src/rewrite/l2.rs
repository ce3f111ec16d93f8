//! Direct server return on one segment: only the Ethernet addresses and the tags change.

use super::link::{Link, place, write};
use super::{IpPacket, Refusal};
use crate::drop_reason::DropReason;
use crate::parse::Family;
use crate::port::Packet;
use crate::wire::ethernet::{self, EthernetHeader, MIN_FRAME};
use zerocopy::FromBytes;

#[inline]
pub(super) fn apply<P: Packet>(packet: &mut P, ip: IpPacket, link: Link<'_>) -> Result<(), Refusal> {
    if ip.len > link.hop.mtu {
        return Err(Refusal::too_big(link.hop, 0));
    }
    Ok(address(packet, ip, link)?)
}

/// Gives a frame the addresses and the tags of a link, whatever its length.
#[inline]
pub(super) fn address<P: Packet>(packet: &mut P, ip: IpPacket, link: Link<'_>) -> Result<(), DropReason> {
    if !link.hop.tags.is_empty() || usize::from(ip.offset) != ethernet::HEADER_LEN {
        return retag(packet, ip, link);
    }
    if readdress(packet, link) { Ok(()) } else { Err(DropReason::Runt) }
}

/// Writes new addresses into an untagged frame. Returns whether there is room for them.
#[inline(always)]
pub(super) fn readdress<P: Packet>(packet: &mut P, link: Link<'_>) -> bool {
    let Ok((header, _)) = EthernetHeader::mut_from_prefix(packet.frame_mut()) else { return false };
    header.destination = *link.destination;
    header.source = link.hop.source;
    true
}

/// Writes a whole new Ethernet header, with the tags of the link instead of those that the packet came in with.
#[inline(never)]
fn retag<P: Packet>(packet: &mut P, ip: IpPacket, link: Link<'_>) -> Result<(), DropReason> {
    let ethertype = match ip.family {
        Family::V4 => ethernet::TYPE_IPV4,
        Family::V6 => ethernet::TYPE_IPV6,
    };
    let tags = link.hop.tags.bytes();
    place(packet, ip.offset.into(), ethernet::HEADER_LEN + tags.len())?;
    let parts = [&link.destination[..], &link.hop.source, &tags, &ethertype.to_be_bytes()];
    write(packet.frame_mut(), &parts).ok_or(DropReason::Runt)?;
    pad(packet);
    Ok(())
}

/// Makes up for tags that a frame of minimal length lost, or for a shorter header.
pub(super) fn pad<P: Packet>(packet: &mut P) {
    let len = packet.total_len();
    // A frame in several segments is not that short.
    if len < MIN_FRAME
        && packet.resize(MIN_FRAME)
        && let Some(padding) = packet.frame_mut().get_mut(len..)
    {
        padding.fill(0);
    }
}
