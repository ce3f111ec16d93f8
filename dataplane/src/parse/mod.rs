//! The first stage: bytes → [`Parsed`], or a punt, or a named drop.
//!
//! Nothing here knows what is a VIP: only whether the frame is one that the balancer can read and decide by. The usual
//! packet (untagged, no options, no fragment, TCP or UDP) is read in `ipv4`, `ipv6` and `transport`; what is rare is out of
//! line: tags in `tagged`, IPv6 extension headers in `extension`, fragments in `fragments`, ICMP in `icmp`.

pub(crate) mod extension;
mod fragments;
mod icmp;
mod ipv4;
mod ipv6;
mod tagged;
mod transport;

use crate::drop_reason::DropReason;
use crate::hash::FlowKey;
use crate::punt::PuntClass;
use crate::snapshot::PortState;
use crate::wire::arp::ArpPacket;
use crate::wire::ethernet::{self, EthernetHeader};
use crate::wire::{icmp as wire_icmp, protocol};
pub(crate) use fragments::fragment_extension;
pub use fragments::{FragmentPlace, fragment_place};
pub(crate) use tagged::link_of;
pub use tagged::strip_tags;
use transport::Transport;
pub(crate) use transport::are_tcp_flags_valid;
use zerocopy::FromBytes;

/// The address family of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// How a packet tells which flow it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// By its own headers.
    Whole,
    /// By its own headers; what follows of its datagram goes by them too.
    FirstFragment,
    /// By the first fragment of its datagram.
    LaterFragment,
    /// An ICMP error, by the packet that it quotes: [`Parsed::key`] is that of the flow as its packets come in, towards
    /// the address that the error is sent to.
    IcmpError,
    /// Not at all. If it is for a VIP, this is why it goes no further.
    Undecidable(DropReason),
}

/// A packet that can be decided by: where its parts lie and whom it is between.
#[derive(Clone, Copy, Debug)]
pub struct Parsed {
    /// Addresses, protocol and ports (zero for protocols without) of the flow.
    pub key: FlowKey,
    /// Destination address as [`crate::vip::address_bits`].
    pub destination: u128,
    /// Address family.
    pub family: Family,
    /// How the flow is known.
    pub kind: Kind,
    /// IP protocol number of the flow's transport.
    pub protocol: u8,
    /// TCP flags; the message type for ICMP; else 0.
    pub flags: u8,
    /// DSCP and ECN.
    pub traffic_class: u8,
    /// Source port of the flow, 0 for protocols without.
    pub source_port: u16,
    /// Destination port of the flow, 0 for protocols without.
    pub destination_port: u16,
    /// Offset of the IP header in the frame, in bytes.
    pub ip_offset: u16,
    /// Length of the IP packet in bytes, headers included; the frame may be longer by padding.
    pub ip_len: u16,
    /// Offset in the frame of what follows the IP header and its extensions, in bytes.
    pub transport_offset: u16,
}

impl Parsed {
    /// What stands where no packet was parsed yet.
    pub(crate) const NOTHING: Self = Self {
        key: FlowKey::v4(0, [0; 4], [0; 4], 0, 0),
        destination: 0,
        family: Family::V4,
        kind: Kind::Whole,
        protocol: 0,
        flags: 0,
        traffic_class: 0,
        source_port: 0,
        destination_port: 0,
        ip_offset: 0,
        ip_len: 0,
        transport_offset: 0,
    };
}

/// The part of a flow's key that a packet may tell by something else than its own headers. `A` is an address.
struct Flow<A> {
    kind: Kind,
    source: A,
    protocol: u8,
    source_port: u16,
    destination_port: u16,
    flags: u8,
}

impl<A> Flow<A> {
    #[inline(always)]
    const fn new(source: A, protocol: u8, Transport { source_port, destination_port, flags }: Transport) -> Self
    where
        A: Copy,
    {
        Self { kind: Kind::Whole, source, protocol, source_port, destination_port, flags }
    }
}

/// What parsing made of a frame.
#[derive(Clone, Copy, Debug)]
pub enum Outcome {
    /// To be matched against VIPs and own addresses.
    Packet(Parsed),
    /// For the control side whatever its destination.
    Punt(PuntClass),
    /// Of no use.
    Drop(DropReason),
}

/// Why there is nothing to decide about a frame.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Refused {
    Punt(PuntClass),
    Drop(DropReason),
}

impl From<DropReason> for Refused {
    #[inline(always)]
    fn from(reason: DropReason) -> Self {
        Self::Drop(reason)
    }
}

/// Parses the first segment of a frame of `total_len` bytes that came in on `port`.
///
/// Out of line: for what is rare. The stages parse in place, by the same code.
#[cold]
#[inline(never)]
#[must_use]
pub fn parse(frame: &[u8], total_len: usize, port: &PortState) -> Outcome {
    let mut parsed = Parsed::NOTHING;
    match parse_into(frame, total_len, port, &mut parsed) {
        Ok(()) => Outcome::Packet(parsed),
        Err(Refused::Punt(class)) => Outcome::Punt(class),
        Err(Refused::Drop(reason)) => Outcome::Drop(reason),
    }
}

/// [`parse`], written where the caller wants it: at 80 bytes a packet, moving it costs more than most checks.
#[inline(always)]
pub(crate) fn parse_into(frame: &[u8], total_len: usize, port: &PortState, out: &mut Parsed) -> Result<(), Refused> {
    let (header, payload) = EthernetHeader::ref_from_prefix(frame).map_err(|_| DropReason::Runt)?;
    let group = ethernet::is_group(&header.destination);
    if header.destination != port.mac && !group && !port.any_destination {
        return Err(DropReason::NotOurMac.into());
    }
    match header.ethertype.get() {
        ethernet::TYPE_VLAN | ethernet::TYPE_QINQ => tagged::parse_tagged(header, payload, total_len, port, out),
        _ if !port.untagged => Err(DropReason::Vlan.into()),
        ethertype => parse_network(ethertype, group, payload, total_len, ethernet::HEADER_LEN, out),
    }
}

/// Parses what follows an Ethernet header and its tags, `ip_offset` bytes into the frame.
#[inline(always)]
fn parse_network(
    ethertype: u16,
    group: bool,
    bytes: &[u8],
    total_len: usize,
    ip_offset: usize,
    out: &mut Parsed,
) -> Result<(), Refused> {
    let len = total_len.saturating_sub(ip_offset);
    match ethertype {
        ethernet::TYPE_IPV4 if !group => *out = ipv4::parsed(&ipv4::read(bytes, len)?, ip_offset),
        ethernet::TYPE_IPV6 => match ipv6::read(bytes, len) {
            Ok(read) if is_neighbor_discovery(&read.flow) => return Err(Refused::Punt(PuntClass::Neighbor)),
            // Only neighbor discovery is spoken by multicast; a switch floods the rest, readable or not.
            _ if group => return Err(DropReason::NotOurMac.into()),
            Ok(read) => *out = ipv6::parsed(&read, ip_offset),
            Err(reason) => return Err(reason.into()),
        },
        ethernet::TYPE_ARP => {
            let (packet, _) = ArpPacket::ref_from_prefix(bytes).map_err(|_| DropReason::Runt)?;
            let understood = packet.is_ipv4_over_ethernet();
            return Err(if understood { Refused::Punt(PuntClass::Neighbor) } else { DropReason::BadArp.into() });
        }
        ethernet::TYPE_IPV4 => return Err(DropReason::NotOurMac.into()),
        _ => return Err(DropReason::Ethertype.into()),
    }
    Ok(())
}

#[inline(always)]
fn is_neighbor_discovery<A>(flow: &Flow<A>) -> bool {
    flow.protocol == protocol::ICMPV6 && flow.kind == Kind::Whole && wire_icmp::is_neighbor_discovery(flow.flags)
}

/// A packet that was read: its fixed header, its flow, and where its transport header begins in it.
struct Read<'b, H, A> {
    header: &'b H,
    flow: Flow<A>,
    transport: usize,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::craft::Craft;
    use crate::wire::tcp;

    const PORT: PortState = PortState::new([2, 0, 0, 0, 0, 1]);

    fn ack() -> Vec<u8> {
        let packet = Craft::tcp("192.0.2.7:40000".parse().unwrap(), "203.0.113.10:80".parse().unwrap(), tcp::ACK);
        packet.macs(PORT.mac, [2, 0, 0, 0, 0, 2]).options(&[1; 8]).payload(&[0x61; 1_000]).frame()
    }

    #[test]
    fn the_first_segment_needs_to_hold_the_headers_only() {
        let frame = ack();
        let headers = ethernet::HEADER_LEN + 28 + tcp::HEADER_LEN;
        for len in headers..=frame.len() {
            assert!(matches!(parse(&frame[..len], frame.len(), &PORT), Outcome::Packet(_)), "{len}");
        }
        for len in 0..headers {
            assert!(matches!(parse(&frame[..len], frame.len(), &PORT), Outcome::Drop(_)), "{len}");
        }
    }

    #[test]
    fn a_length_that_the_segments_do_not_have_is_refused() {
        let frame = ack();
        let outcome = parse(&frame, frame.len() - 1, &PORT);
        assert!(matches!(outcome, Outcome::Drop(DropReason::Truncated)), "{outcome:?}");
    }
}
