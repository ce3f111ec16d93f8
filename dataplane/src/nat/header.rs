//! An IP header in a form that both versions have, and how each writes it (RFC 7915, sections 4.1 and 5.1).

use super::ends::Ends;
use crate::parse::{Family, FragmentPlace, extension, fragment_extension};
use crate::wire::ipv4::{self, Ipv4Header};
use crate::wire::ipv6::{self, FragmentHeader, Ipv6Header};
use crate::wire::{ethernet, icmp, protocol, vlan};
use arrayvec::{ArrayVec, CapacityError};
use zerocopy::network_endian::{U16, U32};
use zerocopy::{FromBytes, IntoBytes};

/// An IPv6 header and the fragment header.
const MAX_HEADER: usize = ipv6::HEADER_LEN + ipv6::FRAGMENT_LEN;
/// The most bytes that stand before what is kept of a packet: the link's, and in an ICMP error two IP headers.
pub(super) const MAX_FRONT: usize = ethernet::HEADER_LEN + vlan::MAX_LEN + 2 * MAX_HEADER + icmp::HEADER_LEN;
/// A longer IPv4 packet is not to be fragmented: as an IPv6 packet it was longer than the minimum MTU of that, so its sender
/// does path MTU discovery (RFC 7915, section 5.1).
const MAY_FRAGMENT: u16 = 1_260;

/// What is written before what is kept of a packet.
pub(super) type Front = ArrayVec<u8, MAX_FRONT>;

/// An IP header, and its fragment header if there is one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub(super) ends: Ends,
    pub(super) traffic_class: u8,
    /// Hops left.
    pub(super) hops: u8,
    /// IP protocol number of what follows.
    pub(super) protocol: u8,
    /// Length of what follows, in bytes.
    pub(super) len: u16,
    /// What it says if it is that of a fragment.
    pub(super) fragment: Option<FragmentPlace>,
    /// Names it if it may be fragmented.
    pub(super) identification: u16,
}

impl Header {
    /// That of a quoted IPv4 packet, and its length, with other addresses.
    pub(super) fn of_v4(packet: &[u8], ends: Ends) -> Option<(Self, usize)> {
        let (header, _) = Ipv4Header::ref_from_prefix(packet).ok()?;
        let (identification, more) = (header.identification.get(), header.fragment.get() & ipv4::MORE_FRAGMENTS != 0);
        let len = header.total_len.get().saturating_sub(header.header_len() as u16);
        let fragment = FragmentPlace { identification: identification.into(), offset: 0, len, more };
        let read = Self {
            ends,
            traffic_class: header.tos,
            hops: header.ttl,
            protocol: header.protocol,
            len,
            fragment: more.then_some(fragment),
            identification,
        };
        Some((read, header.header_len()))
    }

    /// That of a quoted IPv6 packet, and its length with its extension headers, with other addresses.
    pub(super) fn of_v6(packet: &[u8], ends: Ends) -> Option<(Self, usize)> {
        let (header, chain) = Ipv6Header::ref_from_prefix(packet).ok()?;
        let transport = transport_v6(packet)?;
        let len = header.payload_len.get().saturating_sub((transport.0 - ipv6::HEADER_LEN) as u16);
        let fragment = fragment_extension(header.next_header, chain).map(|(extension, _)| FragmentPlace {
            identification: extension.identification.get(),
            offset: extension.byte_offset(),
            len,
            more: extension.more(),
        });
        let read = Self {
            ends,
            traffic_class: header.traffic_class(),
            hops: header.hop_limit,
            protocol: transport.1,
            len,
            fragment,
            identification: 0,
        };
        Some((read, transport.0))
    }

    /// Its length in bytes.
    pub(super) const fn header_len(&self) -> usize {
        match (self.ends.family, self.fragment) {
            (Family::V4, _) => ipv4::HEADER_LEN,
            (Family::V6, None) => ipv6::HEADER_LEN,
            (Family::V6, Some(_)) => MAX_HEADER,
        }
    }

    /// Length of the whole packet, in bytes.
    pub(super) const fn total_len(&self) -> usize {
        self.header_len() + self.len as usize
    }

    /// Writes it in the version of its addresses.
    pub(super) fn write(&self, front: &mut Front) -> Result<(), CapacityError> {
        match self.ends.family {
            Family::V4 => front.try_extend_from_slice(self.v4().as_bytes()),
            Family::V6 => self.write_v6(front),
        }
    }

    fn v4(&self) -> Ipv4Header {
        let total_len = self.len.saturating_add(ipv4::HEADER_LEN as u16);
        let (identification, fragment) = match self.fragment {
            Some(place) => {
                let more = if place.more { ipv4::MORE_FRAGMENTS } else { 0 };
                (place.identification as u16, place.offset >> 3 | more)
            }
            None if total_len <= MAY_FRAGMENT => (self.identification, 0),
            None => (0, ipv4::DONT_FRAGMENT),
        };
        let (source, destination) = self.ends.v4();
        let mut header = Ipv4Header {
            version_ihl: 0x45,
            tos: self.traffic_class,
            total_len: U16::new(total_len),
            identification: U16::new(identification),
            fragment: U16::new(fragment),
            ttl: self.hops,
            protocol: self.protocol,
            checksum: U16::ZERO,
            source,
            destination,
        };
        header.fill_checksum();
        header
    }

    fn write_v6(&self, front: &mut Front) -> Result<(), CapacityError> {
        let (source, destination) = self.ends.v6();
        let added = self.header_len() - ipv6::HEADER_LEN;
        let header = Ipv6Header {
            version_class_label: U32::new(6 << 28 | u32::from(self.traffic_class) << 20),
            payload_len: U16::new(self.len.saturating_add(added as u16)),
            next_header: if added > 0 { protocol::FRAGMENT } else { self.protocol },
            hop_limit: self.hops,
            source,
            destination,
        };
        front.try_extend_from_slice(header.as_bytes())?;
        let Some(place) = self.fragment else { return Ok(()) };
        let extension = FragmentHeader {
            next_header: self.protocol,
            reserved: 0,
            offset: U16::new(place.offset | if place.more { ipv6::MORE_FRAGMENTS } else { 0 }),
            identification: U32::new(place.identification),
        };
        front.try_extend_from_slice(extension.as_bytes())
    }
}

/// Where the transport header of a quoted IPv6 packet begins in it, and its protocol number.
pub(super) fn transport_v6(packet: &[u8]) -> Option<(usize, u8)> {
    let (header, chain) = Ipv6Header::ref_from_prefix(packet).ok()?;
    if !extension::is_extension(header.next_header) {
        return Some((ipv6::HEADER_LEN, header.next_header));
    }
    let found = extension::walk(header.next_header, chain, chain.len()).ok()?;
    Some((ipv6::HEADER_LEN + found.offset, found.protocol))
}

/// What stands before the IP header of a frame, with the type of another version.
pub(super) fn link(frame: &[u8], ip_offset: u16, family: Family) -> Option<Front> {
    let (link, _) = frame.get(..usize::from(ip_offset))?.split_last_chunk::<2>()?;
    let ethertype = match family {
        Family::V4 => ethernet::TYPE_IPV4,
        Family::V6 => ethernet::TYPE_IPV6,
    };
    let mut front = Front::new();
    front.try_extend_from_slice(link).ok()?;
    front.try_extend_from_slice(&ethertype.to_be_bytes()).ok()?;
    Some(front)
}
