//! Port unreachable for a datagram that nobody takes (RFC 1122 section 4.1.3.1, RFC 4443 section 3.1).

use super::ip::{HOPS, Ip};
use super::{MAX_ANSWER, Reason};
use crate::neighbor::wire;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    ETHERNET_HEADER_LEN, EthernetProtocol, Icmpv4DstUnreachable, Icmpv4Message, Icmpv4Packet, Icmpv6DstUnreachable,
    Icmpv6Message, Icmpv6Packet, IpAddress, IpProtocol, IpRepr, UdpPacket,
};
use std::net::IpAddr;

/// Length of an ICMP error's own header, in bytes.
const ICMP_HEADER: usize = 8;
/// The most that an ICMPv4 error may measure (RFC 1812 section 4.3.2.3).
const MAX_V4: usize = 576;
/// The most that an ICMPv6 error may measure (RFC 4443 section 2.4 c).
const MAX_V6: usize = 1_280;

/// Whether the datagram is sound. IPv6 does without checksum nowhere (RFC 8200 section 8.1).
pub(super) fn check(frame: &[u8], ip: &Ip) -> Result<(), Reason> {
    let datagram = UdpPacket::new_checked(&frame[ip.payload.clone()]).map_err(|_| Reason::Malformed)?;
    let sum = datagram.verify_checksum(&IpAddress::from(ip.source), &IpAddress::from(ip.destination));
    if !sum || (ip.source.is_ipv6() && datagram.checksum() == 0) {
        return Err(Reason::Malformed);
    }
    Ok(())
}

/// Writes the frame, which quotes as much of the packet as the rules allow, and returns its length.
pub(super) fn write(buffer: &mut [u8; MAX_ANSWER], frame: &[u8], ip: &Ip) -> usize {
    let quoted = &frame[ip.packet.clone()];
    let (ethertype, protocol, header, most) = match ip.source {
        IpAddr::V4(_) => (EthernetProtocol::Ipv4, IpProtocol::Icmp, 20, MAX_V4),
        IpAddr::V6(_) => (EthernetProtocol::Ipv6, IpProtocol::Icmpv6, 40, MAX_V6),
    };
    let quoted = &quoted[..quoted.len().min(most - header - ICMP_HEADER)];
    let (source, destination) = (IpAddress::from(ip.destination), IpAddress::from(ip.source));
    let repr = IpRepr::new(source, destination, protocol, ICMP_HEADER + quoted.len(), HOPS);
    let mut out = wire::ethernet(&mut buffer[..], ip.macs.1, ip.macs.0, ethertype);
    let payload = &mut out.payload_mut()[..repr.buffer_len()];
    repr.emit(&mut *payload, &ChecksumCapabilities::default());
    let message = &mut payload[header..];
    message[..ICMP_HEADER].fill(0);
    message[ICMP_HEADER..].copy_from_slice(quoted);
    match (ip.destination, ip.source) {
        (IpAddr::V6(own), IpAddr::V6(client)) => {
            let mut icmp = Icmpv6Packet::new_unchecked(message);
            icmp.set_msg_type(Icmpv6Message::DstUnreachable);
            icmp.set_msg_code(Icmpv6DstUnreachable::PortUnreachable.into());
            icmp.fill_checksum(&own, &client);
        }
        _ => {
            let mut icmp = Icmpv4Packet::new_unchecked(message);
            icmp.set_msg_type(Icmpv4Message::DstUnreachable);
            icmp.set_msg_code(Icmpv4DstUnreachable::PortUnreachable.into());
            icmp.fill_checksum();
        }
    }
    ETHERNET_HEADER_LEN + repr.buffer_len()
}
