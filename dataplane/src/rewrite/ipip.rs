//! IP in IP: RFC 2003 (IPv4 in IPv4), RFC 4213 (IPv6 in IPv4), RFC 2473 (either in IPv6).
//!
//! The inner packet stays untouched. The outer header takes over DSCP and ECN (RFC 6040, normal mode).

use super::{Addresses, check_mtu};
use crate::drop_reason::DropReason;
use crate::hash::FlowHash;
use crate::parse::{Family, Parsed};
use crate::port::Packet;
use crate::wire::ethernet::{self, EthernetHeader};
use crate::wire::ipv4::{self, Ipv4Header};
use crate::wire::ipv6::{self, Ipv6Header};
use crate::wire::{checksum, protocol};
use std::net::{Ipv4Addr, Ipv6Addr};
use zerocopy::network_endian::{U16, U32};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Hops that an outer header may take.
const TTL: u8 = 64;

/// The outer IPv4 header of one backend, and the sum of its words that never change.
#[derive(Clone, Debug)]
pub struct Ipip4 {
    header: Ipv4Header,
    constant_sum: u32,
}

/// The outer IPv6 header of one backend.
#[derive(Clone, Debug)]
pub struct Ipip6 {
    header: Ipv6Header,
}

/// The first bytes of a frame that leaves.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Outer<H> {
    ethernet: EthernetHeader,
    ip: H,
}

const fn inner_protocol(family: Family) -> u8 {
    match family {
        Family::V4 => protocol::IPV4,
        Family::V6 => protocol::IPV6,
    }
}

impl Ipip4 {
    /// A template for packets from `source` to the backend at `destination`.
    #[must_use]
    pub fn new(source: Ipv4Addr, destination: Ipv4Addr) -> Self {
        let mut header = Ipv4Header::new_zeroed();
        header.version_ihl = 0x45;
        // An atomic datagram (RFC 6864): never fragmented on the way, so its identification means nothing.
        header.fragment = U16::new(ipv4::DONT_FRAGMENT);
        header.ttl = TTL;
        header.source = source.octets();
        header.destination = destination.octets();
        Self { constant_sum: checksum::sum(header.as_bytes()), header }
    }

    #[inline]
    pub(super) fn apply<P: Packet>(
        &self,
        packet: &mut P,
        parsed: &Parsed,
        mtu: u16,
        addresses: Addresses,
    ) -> Result<(), DropReason> {
        let total_len = usize::from(parsed.ip_len) + ipv4::HEADER_LEN;
        check_mtu(total_len, mtu)?;
        let mut header = self.header;
        let protocol = inner_protocol(parsed.family);
        header.tos = parsed.traffic_class;
        // It fits: `check_mtu` compared it with a u16.
        header.total_len = U16::new(total_len as u16);
        header.protocol = protocol;
        let sum = self.constant_sum + u32::from(header.tos) + total_len as u32 + u32::from(protocol);
        header.checksum = U16::new(!checksum::fold(sum));
        encapsulate(packet, parsed, addresses, ethernet::TYPE_IPV4, header)
    }
}

impl Ipip6 {
    /// A template for packets from `source` to the backend at `destination`.
    #[must_use]
    pub fn new(source: Ipv6Addr, destination: Ipv6Addr) -> Self {
        let mut header = Ipv6Header::new_zeroed();
        header.hop_limit = TTL;
        header.source = source.octets();
        header.destination = destination.octets();
        Self { header }
    }

    #[inline]
    pub(super) fn apply<P: Packet>(
        &self,
        packet: &mut P,
        parsed: &Parsed,
        mtu: u16,
        addresses: Addresses,
        hash: FlowHash,
    ) -> Result<(), DropReason> {
        check_mtu(usize::from(parsed.ip_len) + ipv6::HEADER_LEN, mtu)?;
        let mut header = self.header;
        // The flow label carries the flow's entropy to routers and to the backend's RSS (RFC 6438).
        let version_class_label = 6 << 28 | u32::from(parsed.traffic_class) << 20 | u32::from(hash.entropy());
        header.version_class_label = U32::new(version_class_label);
        header.payload_len = U16::new(parsed.ip_len);
        header.next_header = inner_protocol(parsed.family);
        encapsulate(packet, parsed, addresses, ethernet::TYPE_IPV6, header)
    }
}

/// Puts Ethernet and outer header in front of the IP packet; the old Ethernet header is overwritten.
#[inline]
fn encapsulate<P, H>(
    packet: &mut P,
    parsed: &Parsed,
    addresses: Addresses,
    ethertype: u16,
    ip: H,
) -> Result<(), DropReason>
where
    P: Packet,
    H: IntoBytes + Immutable + Unaligned,
    Outer<H>: IntoBytes + Immutable,
{
    let outer_len = size_of::<Outer<H>>();
    let inner_offset = usize::from(parsed.ip_offset);
    // The template ends where the inner packet starts, whatever stood before it (VLAN tags are cut off here).
    let prepared = if outer_len >= inner_offset {
        packet.prepend(outer_len - inner_offset)
    } else {
        packet.trim_front(inner_offset - outer_len)
    };
    if !prepared {
        return Err(DropReason::NoHeadroom);
    }
    trim_padding(packet, outer_len + usize::from(parsed.ip_len));
    let ethernet =
        EthernetHeader { destination: addresses.destination, source: addresses.source, ethertype: U16::new(ethertype) };
    let outer = Outer { ethernet, ip };
    match packet.frame_mut().get_mut(..outer_len) {
        Some(front) => front.copy_from_slice(outer.as_bytes()),
        None => return Err(DropReason::Runt),
    }
    Ok(())
}

/// Cuts the padding of a short frame: behind an outer header it would be bytes that belong to nobody.
#[inline]
fn trim_padding<P: Packet>(packet: &mut P, end: usize) {
    if packet.total_len() > end {
        // A chain of segments refuses and keeps its padding, which the outer length leaves out.
        let _ = packet.resize(end);
    }
}
