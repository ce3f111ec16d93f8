//! The first stage: bytes → [`Parsed`], or a punt, or a named drop.
//!
//! Nothing here knows what is a VIP: only whether the frame is one that the balancer can read and decide by.

use crate::drop_reason::DropReason;
use crate::hash::FlowKey;
use crate::punt::PuntClass;
use crate::snapshot::PortState;
use crate::wire::arp::ArpPacket;
use crate::wire::ethernet::{self, EthernetHeader};
use crate::wire::icmp::{self, IcmpHeader};
use crate::wire::ipv4::{self, Ipv4Header};
use crate::wire::ipv6::{self, Ipv6Header};
use crate::wire::tcp::{self, TcpHeader};
use crate::wire::udp::{self, UdpHeader};
use crate::wire::{checksum, protocol};
use zerocopy::{FromBytes, IntoBytes};

/// The address family of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// A packet that can be decided by: where its parts lie and whom it is between.
#[derive(Clone, Copy, Debug)]
pub struct Parsed {
    /// Addresses, protocol and ports (zero for protocols without).
    pub key: FlowKey,
    /// Destination address as [`crate::vip::address_bits`].
    pub destination: u128,
    /// Address family.
    pub family: Family,
    /// IP protocol number of the transport.
    pub protocol: u8,
    /// TCP flags; the message type for ICMP; else 0.
    pub flags: u8,
    /// DSCP and ECN.
    pub traffic_class: u8,
    /// Source port, 0 for protocols without.
    pub source_port: u16,
    /// Destination port, 0 for protocols without.
    pub destination_port: u16,
    /// Offset of the IP header in the frame, in bytes.
    pub ip_offset: u16,
    /// Length of the IP packet in bytes, headers included; the frame may be longer by padding.
    pub ip_len: u16,
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

impl From<Result<Parsed, DropReason>> for Outcome {
    #[inline]
    fn from(result: Result<Parsed, DropReason>) -> Self {
        match result {
            Ok(parsed) => Self::Packet(parsed),
            Err(reason) => Self::Drop(reason),
        }
    }
}

/// Parses the first segment of a frame of `total_len` bytes that came in on `port`.
#[inline]
#[must_use]
pub fn parse(frame: &[u8], total_len: usize, port: &PortState) -> Outcome {
    let Ok((header, payload)) = EthernetHeader::ref_from_prefix(frame) else {
        return Outcome::Drop(DropReason::Runt);
    };
    let len = total_len.saturating_sub(ethernet::HEADER_LEN);
    let group = ethernet::is_group(&header.destination);
    if header.destination != port.mac && !group && !port.any_destination {
        return Outcome::Drop(DropReason::NotOurMac);
    }
    match header.ethertype.get() {
        ethernet::TYPE_IPV4 if !group => parse_ipv4(payload, len).into(),
        ethernet::TYPE_IPV6 => match parse_ipv6(payload, len) {
            Ok(parsed) if is_neighbor_discovery(&parsed) => Outcome::Punt(PuntClass::Neighbor),
            // Only neighbour discovery is spoken by multicast; a switch floods the rest, readable or not.
            _ if group => Outcome::Drop(DropReason::NotOurMac),
            result => result.into(),
        },
        ethernet::TYPE_ARP => match ArpPacket::ref_from_prefix(payload) {
            Ok((packet, _)) if packet.is_ipv4_over_ethernet() => Outcome::Punt(PuntClass::Neighbor),
            Ok(_) => Outcome::Drop(DropReason::BadArp),
            Err(_) => Outcome::Drop(DropReason::Runt),
        },
        ethernet::TYPE_IPV4 => Outcome::Drop(DropReason::NotOurMac),
        ethernet::TYPE_VLAN | ethernet::TYPE_QINQ => Outcome::Drop(DropReason::Vlan),
        _ => Outcome::Drop(DropReason::Ethertype),
    }
}

fn is_neighbor_discovery(parsed: &Parsed) -> bool {
    parsed.protocol == protocol::ICMPV6 && icmp::is_neighbor_discovery(parsed.flags)
}

/// What the transport header tells.
struct Transport {
    source_port: u16,
    destination_port: u16,
    flags: u8,
}

#[inline]
fn parse_ipv4(bytes: &[u8], len: usize) -> Result<Parsed, DropReason> {
    let (header, _) = Ipv4Header::ref_from_prefix(bytes).map_err(|_| DropReason::Runt)?;
    let header_len = header.header_len();
    if header.version_ihl >> 4 != 4 || header_len < ipv4::HEADER_LEN {
        return Err(DropReason::BadIpHeader);
    }
    let ip_len = usize::from(header.total_len.get());
    if ip_len < header_len || ip_len > len {
        return Err(DropReason::BadIpLength);
    }
    let header_bytes = bytes.get(..header_len).ok_or(DropReason::BadIpLength)?;
    // A header without options has a constant length: its sum needs no loop.
    let without_options = header_len == ipv4::HEADER_LEN;
    let sum = if without_options { checksum::of(header.as_bytes()) } else { checksum::of(header_bytes) };
    if sum != 0 {
        return Err(DropReason::BadIpChecksum);
    }
    if header.ttl == 0 {
        return Err(DropReason::TtlExpired);
    }
    check_addresses_v4(header)?;
    if header.is_fragment() {
        return Err(DropReason::Fragment);
    }
    let rest = bytes.get(header_len..).unwrap_or(&[]);
    let transport = parse_transport(header.protocol, rest, ip_len - header_len)?;
    let Transport { source_port, destination_port, flags } = transport;
    Ok(Parsed {
        key: FlowKey::v4(header.protocol, header.source, header.destination, source_port, destination_port),
        destination: 0xffff_0000_0000 | u128::from(u32::from_be_bytes(header.destination)),
        family: Family::V4,
        protocol: header.protocol,
        flags,
        traffic_class: header.tos,
        source_port,
        destination_port,
        ip_offset: ethernet::HEADER_LEN as u16,
        ip_len: header.total_len.get(),
    })
}

#[inline]
fn parse_ipv6(bytes: &[u8], len: usize) -> Result<Parsed, DropReason> {
    let (header, rest) = Ipv6Header::ref_from_prefix(bytes).map_err(|_| DropReason::Runt)?;
    if header.version_class_label.get() >> 28 != 6 {
        return Err(DropReason::BadIpHeader);
    }
    let payload_len = usize::from(header.payload_len.get());
    let ip_len = payload_len + ipv6::HEADER_LEN;
    // 65,535 + 40 bytes would not fit the field; no device here carries frames a sixth of that.
    let Ok(ip_len_field) = u16::try_from(ip_len) else {
        return Err(DropReason::BadIpLength);
    };
    if ip_len > len {
        return Err(DropReason::BadIpLength);
    }
    if header.hop_limit == 0 {
        return Err(DropReason::TtlExpired);
    }
    check_addresses_v6(header)?;
    let transport = parse_transport(header.next_header, rest, payload_len)?;
    let Transport { source_port, destination_port, flags } = transport;
    Ok(Parsed {
        key: FlowKey::v6(header.next_header, header.source, header.destination, source_port, destination_port),
        destination: u128::from_be_bytes(header.destination),
        family: Family::V6,
        protocol: header.next_header,
        flags,
        traffic_class: header.traffic_class(),
        source_port,
        destination_port,
        ip_offset: ethernet::HEADER_LEN as u16,
        ip_len: ip_len_field,
    })
}

/// RFC 1122, section 3.2.1.3: addresses that must not be a source.
#[inline]
fn check_addresses_v4(header: &Ipv4Header) -> Result<(), DropReason> {
    if header.source == header.destination {
        return Err(DropReason::Land);
    }
    // 0/8, 127/8, and 224/4 with everything above it (multicast, reserved, broadcast).
    match header.source[0] {
        0 | 127 | 224..=255 => Err(DropReason::MartianSource),
        _ => Ok(()),
    }
}

/// Whether an IPv6 address is an IPv4-mapped one, which no packet carries (RFC 4291, section 2.5.5.2).
#[inline]
const fn is_mapped(address: u128) -> bool {
    address >> 32 == 0xffff
}

/// RFC 4291, sections 2.5.2, 2.5.3 and 2.7. The unspecified source is left to neighbour discovery, which speaks by it.
#[inline]
fn check_addresses_v6(header: &Ipv6Header) -> Result<(), DropReason> {
    if header.source == header.destination {
        return Err(DropReason::Land);
    }
    let source = u128::from_be_bytes(header.source);
    let unspecified = source == 0 && header.next_header != protocol::ICMPV6;
    if unspecified || source == 1 || header.source[0] == 0xff || is_mapped(source) {
        return Err(DropReason::MartianSource);
    }
    // Own addresses and VIPs of both families are looked up as 128 bits: an IPv4 one must not be found by this.
    if is_mapped(u128::from_be_bytes(header.destination)) {
        return Err(DropReason::NotForUs);
    }
    Ok(())
}

/// Reads what decides from a transport header. `len` is what the IP header leaves for it and its payload; `bytes` may
/// be shorter (the rest is in later segments) or longer (padding).
#[inline]
fn parse_transport(number: u8, bytes: &[u8], len: usize) -> Result<Transport, DropReason> {
    match number {
        protocol::TCP => parse_tcp(bytes, len),
        protocol::UDP => parse_udp(bytes, len),
        protocol::ICMP | protocol::ICMPV6 => {
            let (header, _) = read::<IcmpHeader>(bytes, len, icmp::HEADER_LEN)?;
            Ok(Transport { source_port: 0, destination_port: 0, flags: header.message })
        }
        protocol::HOP_BY_HOP | protocol::ROUTING | protocol::DESTINATION_OPTIONS | protocol::AUTHENTICATION => {
            Err(DropReason::ExtensionHeader)
        }
        protocol::FRAGMENT => Err(DropReason::Fragment),
        _ => Ok(Transport { source_port: 0, destination_port: 0, flags: 0 }),
    }
}

#[inline]
fn read<T>(bytes: &[u8], len: usize, header_len: usize) -> Result<(&T, &[u8]), DropReason>
where
    T: FromBytes + zerocopy::KnownLayout + zerocopy::Immutable + zerocopy::Unaligned,
{
    if len < header_len {
        return Err(DropReason::TransportTruncated);
    }
    T::ref_from_prefix(bytes).map_err(|_| DropReason::TransportTruncated)
}

#[inline]
fn parse_tcp(bytes: &[u8], len: usize) -> Result<Transport, DropReason> {
    let (header, _) = read::<TcpHeader>(bytes, len, tcp::HEADER_LEN)?;
    let header_len = header.header_len();
    if header_len < tcp::HEADER_LEN || header_len > len {
        return Err(DropReason::BadTcpHeader);
    }
    ports(header.source_port.get(), header.destination_port.get(), header.flags)
}

#[inline]
fn parse_udp(bytes: &[u8], len: usize) -> Result<Transport, DropReason> {
    let (header, _) = read::<UdpHeader>(bytes, len, udp::HEADER_LEN)?;
    let claimed = usize::from(header.len.get());
    if claimed < udp::HEADER_LEN || claimed > len {
        return Err(DropReason::BadUdpLength);
    }
    ports(header.source_port.get(), header.destination_port.get(), 0)
}

#[inline]
fn ports(source_port: u16, destination_port: u16, flags: u8) -> Result<Transport, DropReason> {
    if source_port == 0 || destination_port == 0 {
        return Err(DropReason::ZeroPort);
    }
    Ok(Transport { source_port, destination_port, flags })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::craft::Craft;

    const PORT: PortState = PortState { mac: [2, 0, 0, 0, 0, 1], up: true, any_destination: false };

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
        assert!(matches!(outcome, Outcome::Drop(DropReason::BadIpLength)), "{outcome:?}");
    }
}
