//! The IP header of a packet that may be answered.

use super::Reason;
use crate::neighbor::is_unicast;
use smoltcp::wire::{ETHERNET_HEADER_LEN, EthernetFrame, EthernetProtocol, Ipv4Packet, Ipv6Packet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;

pub(crate) const ICMP: u8 = 1;
pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;
pub(crate) const ICMPV6: u8 = 58;

/// TTL and hop limit of answers.
pub(super) const HOPS: u8 = 64;

/// What an answer needs to know of the packet. All ranges lie within the frame.
#[derive(Clone, Debug)]
pub(crate) struct Ip {
    /// The frame's source and destination, both unicast.
    pub(crate) macs: ([u8; 6], [u8; 6]),
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) protocol: u8,
    /// The whole packet, without the Ethernet header and padding.
    pub(crate) packet: Range<usize>,
    /// What follows the IP header.
    pub(crate) payload: Range<usize>,
}

/// Reads an untagged frame. Checks lengths and the IPv4 header's checksum; refuses fragments, frames to or from a
/// group, and sources that are no host (RFC 1122 section 3.2.2, RFC 4443 section 2.4 e). Extension headers of IPv6 are
/// not walked: a packet that has one is of a protocol that nobody answers.
pub(crate) fn parse(bytes: &[u8]) -> Result<Ip, Reason> {
    let frame = EthernetFrame::new_checked(bytes).map_err(|_| Reason::Malformed)?;
    let macs = (frame.src_addr().0, frame.dst_addr().0);
    let ip = match frame.ethertype() {
        EthernetProtocol::Ipv4 => parse_v4(macs, frame.payload())?,
        EthernetProtocol::Ipv6 => parse_v6(macs, frame.payload())?,
        _ => return Err(Reason::Other),
    };
    if !is_unicast(macs.0) || !is_unicast(macs.1) || !may_be_answered(ip.source) {
        return Err(Reason::Refused);
    }
    Ok(ip)
}

fn parse_v4(macs: ([u8; 6], [u8; 6]), bytes: &[u8]) -> Result<Ip, Reason> {
    let packet = Ipv4Packet::new_checked(bytes).map_err(|_| Reason::Malformed)?;
    if packet.version() != 4 || !packet.verify_checksum() {
        return Err(Reason::Malformed);
    }
    if packet.more_frags() || packet.frag_offset() != 0 {
        return Err(Reason::Refused);
    }
    let end = ETHERNET_HEADER_LEN + usize::from(packet.total_len());
    Ok(Ip {
        macs,
        source: IpAddr::V4(packet.src_addr()),
        destination: IpAddr::V4(packet.dst_addr()),
        protocol: packet.next_header().into(),
        packet: ETHERNET_HEADER_LEN..end,
        payload: ETHERNET_HEADER_LEN + usize::from(packet.header_len())..end,
    })
}

fn parse_v6(macs: ([u8; 6], [u8; 6]), bytes: &[u8]) -> Result<Ip, Reason> {
    let packet = Ipv6Packet::new_checked(bytes).map_err(|_| Reason::Malformed)?;
    if packet.version() != 6 {
        return Err(Reason::Malformed);
    }
    let end = ETHERNET_HEADER_LEN + packet.total_len();
    Ok(Ip {
        macs,
        source: IpAddr::V6(packet.src_addr()),
        destination: IpAddr::V6(packet.dst_addr()),
        protocol: packet.next_header().into(),
        packet: ETHERNET_HEADER_LEN..end,
        payload: ETHERNET_HEADER_LEN + packet.header_len()..end,
    })
}

/// Whether an answer to `source` reaches one host. 0/8, 127/8 and 240/4 (which holds the broadcast) are none.
fn may_be_answered(source: IpAddr) -> bool {
    match source {
        IpAddr::V4(v4) => host_v4(v4),
        IpAddr::V6(v6) => host_v6(v6),
    }
}

fn host_v4(address: Ipv4Addr) -> bool {
    let [first, ..] = address.octets();
    (1..224).contains(&first) && first != 127
}

fn host_v6(address: Ipv6Addr) -> bool {
    !address.is_multicast() && !address.is_unspecified() && !address.is_loopback()
}
