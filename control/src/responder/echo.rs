//! Echo (RFC 792, RFC 4443 section 4): the request becomes its reply in place.

use super::Reason;
use super::ip::{HOPS, ICMP, ICMPV6, Ip};
use smoltcp::wire::{EthernetAddress, EthernetFrame, Icmpv4Packet, Icmpv6Packet, Ipv4Packet, Ipv6Packet};
use smoltcp::wire::{Icmpv4Message, Icmpv6Message};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An IPv4 option of one byte that says nothing (RFC 791 section 3.1).
const NO_OPERATION: u8 = 1;
/// Length of an IPv4 header without options, in bytes.
const IPV4_HEADER: usize = 20;

/// Turns an echo request into its reply. The length stays, the payload stays; IPv4 options become no-operations, since
/// a source route in a reply would have to be reversed and nobody needs the others. On an error nothing has changed.
pub(super) fn answer(frame: &mut [u8], ip: &Ip) -> Result<(), Reason> {
    match (ip.source, ip.destination, ip.protocol) {
        (IpAddr::V4(source), IpAddr::V4(destination), ICMP) => answer_v4(frame, ip, source, destination)?,
        (IpAddr::V6(source), IpAddr::V6(destination), ICMPV6) => answer_v6(frame, ip, source, destination)?,
        _ => return Err(Reason::Other),
    }
    let mut ethernet = EthernetFrame::new_unchecked(frame);
    ethernet.set_src_addr(EthernetAddress(ip.macs.1));
    ethernet.set_dst_addr(EthernetAddress(ip.macs.0));
    Ok(())
}

fn answer_v4(frame: &mut [u8], ip: &Ip, source: Ipv4Addr, destination: Ipv4Addr) -> Result<(), Reason> {
    let mut icmp = Icmpv4Packet::new_checked(&mut frame[ip.payload.clone()]).map_err(|_| Reason::Malformed)?;
    if icmp.msg_type() != Icmpv4Message::EchoRequest || icmp.msg_code() != 0 {
        return Err(Reason::Other);
    }
    if !icmp.verify_checksum() {
        return Err(Reason::Malformed);
    }
    icmp.set_msg_type(Icmpv4Message::EchoReply);
    let request = u8::from(Icmpv4Message::EchoRequest);
    let reply = u8::from(Icmpv4Message::EchoReply);
    icmp.set_checksum(update(icmp.checksum(), [request, 0], [reply, 0]));

    let mut packet = Ipv4Packet::new_unchecked(&mut frame[ip.packet.clone()]);
    let (old, protocol) = (packet.hop_limit(), u8::from(packet.next_header()));
    packet.set_hop_limit(HOPS);
    packet.set_src_addr(destination);
    packet.set_dst_addr(source);
    packet.set_checksum(update(packet.checksum(), [old, protocol], [HOPS, protocol]));
    let header = usize::from(packet.header_len());
    if header > IPV4_HEADER {
        packet.into_inner()[IPV4_HEADER..header].fill(NO_OPERATION);
        Ipv4Packet::new_unchecked(&mut frame[ip.packet.clone()]).fill_checksum();
    }
    Ok(())
}

fn answer_v6(frame: &mut [u8], ip: &Ip, source: Ipv6Addr, destination: Ipv6Addr) -> Result<(), Reason> {
    let mut icmp = Icmpv6Packet::new_checked(&mut frame[ip.payload.clone()]).map_err(|_| Reason::Malformed)?;
    if icmp.msg_type() != Icmpv6Message::EchoRequest || icmp.msg_code() != 0 {
        return Err(Reason::Other);
    }
    if !icmp.verify_checksum(&source, &destination) {
        return Err(Reason::Malformed);
    }
    icmp.set_msg_type(Icmpv6Message::EchoReply);
    let request = u8::from(Icmpv6Message::EchoRequest);
    let reply = u8::from(Icmpv6Message::EchoReply);
    icmp.set_checksum(update(icmp.checksum(), [request, 0], [reply, 0]));

    // The pseudo header has both addresses in one sum: swapping them changes nothing.
    let mut packet = Ipv6Packet::new_unchecked(&mut frame[ip.packet.clone()]);
    packet.set_hop_limit(HOPS);
    packet.set_src_addr(destination);
    packet.set_dst_addr(source);
    Ok(())
}

/// The checksum after one 16-bit word changed (RFC 1624 section 3, equation 3).
fn update(checksum: u16, old: [u8; 2], new: [u8; 2]) -> u16 {
    let sum = u32::from(!checksum) + u32::from(!u16::from_be_bytes(old)) + u32::from(u16::from_be_bytes(new));
    let folded = (sum & 0xffff) + (sum >> 16);
    !((folded + (folded >> 16)) as u16)
}
