//! The front of a frame that leaves: Ethernet addresses, the link's tags, what follows them.

use super::{IpPacket, NextHop};
use crate::drop_reason::DropReason;
use crate::port::Packet;
use crate::wire::ethernet::{self, EthernetHeader, Mac};
use crate::wire::vlan::Tags;
use zerocopy::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// A next hop whose hardware address is known.
#[derive(Clone, Copy)]
pub(crate) struct Link<'h> {
    pub hop: &'h NextHop,
    pub destination: &'h Mac,
}

/// A header that lies in a frame.
pub(super) trait Header: FromBytes + IntoBytes + Immutable + KnownLayout + Unaligned {}

impl<T: FromBytes + IntoBytes + Immutable + KnownLayout + Unaligned> Header for T {}

/// The first bytes of an untagged frame that leaves: what a tunnel puts in front of a packet.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Front<I, S> {
    ethernet: EthernetHeader,
    ip: I,
    shim: S,
}

/// What a tunnel puts in front of a packet: `write_ip` writes every byte of the outer header.
pub(super) struct Outside<W, S> {
    pub ethertype: u16,
    pub write_ip: W,
    pub shim: S,
}

/// Puts an Ethernet header with the link's tags, an outer IP header and what stands behind that in front of the IP
/// packet; the old Ethernet header is overwritten.
pub(super) fn encapsulate<P: Packet, I: Header, S: Header>(
    packet: &mut P,
    ip: IpPacket,
    link: Link<'_>,
    outside: Outside<impl FnOnce(&mut I), S>,
) -> Result<(), DropReason> {
    if link.hop.tags.is_empty() {
        put(packet, ip, link, 0, outside)
    } else {
        encapsulate_tagged(packet, ip, link, outside)
    }
}

#[inline(never)]
fn encapsulate_tagged<P: Packet, I: Header, S: Header>(
    packet: &mut P,
    ip: IpPacket,
    link: Link<'_>,
    outside: Outside<impl FnOnce(&mut I), S>,
) -> Result<(), DropReason> {
    let tags = link.hop.tags;
    put(packet, ip, link, tags.len(), outside)?;
    insert_tags(packet.frame_mut(), tags);
    Ok(())
}

/// Puts everything but tags in front of the packet, and before that `room` bytes.
#[inline(always)]
pub(super) fn put<P: Packet, I: Header, S: Header>(
    packet: &mut P,
    ip: IpPacket,
    link: Link<'_>,
    room: usize,
    outside: Outside<impl FnOnce(&mut I), S>,
) -> Result<(), DropReason> {
    let front_len = size_of::<Front<I, S>>() + room;
    place(packet, ip.offset.into(), front_len)?;
    trim_padding(packet, front_len + usize::from(ip.len));
    // Written in place: making it on the stack and copying it costs as much again.
    let bytes = packet.frame_mut().get_mut(room..).ok_or(DropReason::Runt)?;
    let (front, _) = Front::<I, S>::mut_from_prefix(bytes).map_err(|_| DropReason::Runt)?;
    front.ethernet.destination = *link.destination;
    front.ethernet.source = link.hop.source;
    front.ethernet.ethertype = U16::new(outside.ethertype);
    (outside.write_ip)(&mut front.ip);
    front.shim = outside.shim;
    Ok(())
}

/// Moves the addresses, which stand behind room for the tags, to the front, and fills the gap.
fn insert_tags(frame: &mut [u8], tags: Tags) {
    let tags = tags.bytes();
    if let Some((front, _)) = frame.split_at_mut_checked(ethernet::ADDRESSES_LEN + tags.len()) {
        front.copy_within(tags.len().., 0);
        if let Some(gap) = front.get_mut(ethernet::ADDRESSES_LEN..) {
            gap.copy_from_slice(&tags);
        }
    }
}

/// Makes the frame begin `front_len` bytes before what now lies at `offset`, whatever stood there (ingress tags are cut off
/// here). Changes nothing if it fails.
#[inline]
pub(crate) fn place<P: Packet>(packet: &mut P, offset: usize, front_len: usize) -> Result<(), DropReason> {
    let placed =
        if front_len >= offset { packet.prepend(front_len - offset) } else { packet.trim_front(offset - front_len) };
    if placed { Ok(()) } else { Err(DropReason::NoHeadroom) }
}

/// Writes `parts` one after the other to the front of `bytes`; `None` if these are too short.
pub(crate) fn write(bytes: &mut [u8], parts: &[&[u8]]) -> Option<()> {
    let mut rest = bytes;
    for part in parts {
        let (place, behind) = rest.split_at_mut_checked(part.len())?;
        place.copy_from_slice(part);
        rest = behind;
    }
    Some(())
}

/// Cuts the padding of a short frame: behind an outer header it would be bytes that belong to nobody.
#[inline]
pub(crate) fn trim_padding<P: Packet>(packet: &mut P, end: usize) {
    if packet.total_len() > end {
        // A chain of segments refuses and keeps its padding, which the outer length leaves out.
        let _ = packet.resize(end);
    }
}
