//! What an independent reader makes of a frame: lengths and checksums, through a tunnel if there is one.

use etherparse::{IpNumber, NetSlice, SlicedPacket, TransportSlice};

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
    let Some(net) = &packet.net else { return found };
    if let Some(payload) = net.ip_payload_ref()
        && [IpNumber::IPV4, IpNumber::IPV6].contains(&payload.ip_number)
    {
        match SlicedPacket::from_ip(payload.payload) {
            Ok(inner) => found.extend(check(&inner).into_iter().map(|complaint| format!("inner: {complaint}"))),
            Err(error) => found.push(format!("inner packet unreadable: {error}")),
        }
    }
    if let Some((sent, right)) = transport_checksum(packet)
        && sent != right
    {
        found.push(format!("transport checksum {sent:#06x} instead of {right:#06x}"));
    }
    found
}

/// The checksum that stands in the transport header, and the right one.
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
