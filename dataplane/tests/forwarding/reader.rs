//! What an independent reader makes of a frame: lengths and checksums, through a tunnel if there is one.

use etherparse::{IpNumber, NetSlice, SlicedPacket, TransportSlice};

/// UDP ports of GUE in the contexts.
pub const GUE_PORTS: [u16; 2] = [6_080, 9_999];

/// What was found wrong with a frame; empty if nothing.
pub fn complaints(frame: &[u8]) -> Vec<String> {
    match SlicedPacket::from_ethernet(frame) {
        Ok(packet) => check(&packet),
        Err(error) => vec![format!("unreadable: {error}")],
    }
}

fn check(packet: &SlicedPacket<'_>) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(NetSlice::Ipv4(ip)) = &packet.net {
        let header = ip.header().to_header();
        if header.calc_header_checksum() != header.header_checksum {
            found.push(format!("IPv4 checksum {:#06x}", header.header_checksum));
        }
    }
    if let Some(inner) = inner_packet(packet) {
        match SlicedPacket::from_ip(inner) {
            Ok(inner) => found.extend(check(&inner).into_iter().map(|complaint| format!("inner: {complaint}"))),
            Err(error) => found.push(format!("inner: unreadable: {error}")),
        }
    }
    if let Some((sent, right)) = transport_checksum(packet)
        && sent != right
    {
        found.push(format!("transport checksum {sent:#06x} instead of {right:#06x}"));
    }
    found
}

/// The packet in a tunnel: behind an IP header, GRE, or GUE in either variant.
fn inner_packet<'p>(packet: &SlicedPacket<'p>) -> Option<&'p [u8]> {
    if let Some(TransportSlice::Udp(udp)) = &packet.transport {
        let load = udp.payload();
        return match load.first()? >> 4 {
            _ if !GUE_PORTS.contains(&udp.destination_port()) => None,
            0 => load.get(4..),
            _ => Some(load),
        };
    }
    let payload = packet.net.as_ref()?.ip_payload_ref()?;
    match payload.ip_number {
        _ if payload.fragmented => None,
        IpNumber::IPV4 | IpNumber::IPV6 => Some(payload.payload),
        IpNumber::GRE => payload.payload.get(4..),
        _ => None,
    }
}

/// The checksum that stands in the transport header, and the right one. None is right over IPv4 (RFC 768), and in a tunnel
/// (RFC 6935).
fn transport_checksum(packet: &SlicedPacket<'_>) -> Option<(u16, u16)> {
    let net = packet.net.as_ref()?;
    let right = match (packet.transport.as_ref()?, net) {
        (TransportSlice::Tcp(tcp), NetSlice::Ipv4(ip)) => {
            let header = ip.header();
            (tcp.checksum(), tcp.calc_checksum_ipv4(header.source(), header.destination()).ok()?)
        }
        (TransportSlice::Tcp(tcp), NetSlice::Ipv6(ip)) => {
            let header = ip.header();
            (tcp.checksum(), tcp.calc_checksum_ipv6(header.source(), header.destination()).ok()?)
        }
        (TransportSlice::Udp(udp), NetSlice::Ipv4(_)) if udp.checksum() == 0 => return None,
        (TransportSlice::Udp(udp), _) if udp.checksum() == 0 && GUE_PORTS.contains(&udp.destination_port()) => {
            return None;
        }
        (TransportSlice::Udp(udp), NetSlice::Ipv4(ip)) => {
            let header = udp.to_header();
            (udp.checksum(), header.calc_checksum_ipv4(&ip.header().to_header(), udp.payload()).ok()?)
        }
        (TransportSlice::Udp(udp), NetSlice::Ipv6(ip)) => {
            let header = udp.to_header();
            (udp.checksum(), header.calc_checksum_ipv6(&ip.header().to_header(), udp.payload()).ok()?)
        }
        (TransportSlice::Icmpv4(icmp), _) => {
            let header = icmp.header();
            (header.checksum, header.icmp_type.calc_checksum(icmp.payload()))
        }
        (TransportSlice::Icmpv6(icmp), NetSlice::Ipv6(ip)) => {
            let header = icmp.header();
            let (source, destination) = (ip.header().source(), ip.header().destination());
            (header.checksum, header.icmp_type.calc_checksum(source, destination, icmp.payload()).ok()?)
        }
        _ => return None,
    };
    Some(right)
}
