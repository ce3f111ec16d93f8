//! Packets of the stack: the device of its TCP, and the datagrams beside it. Parsers take any bytes.

use smoltcp::phy::{Checksum, ChecksumCapabilities, Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant;
use smoltcp::wire::{
    Icmpv4Packet, Icmpv4Repr, Icmpv6Packet, Icmpv6Repr, IpProtocol, Ipv4Packet, Ipv4Repr, Ipv6Packet, Ipv6Repr,
    TcpPacket, UdpPacket, UdpRepr,
};
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The longest packet in bytes: what every path of IPv6 carries (RFC 8200, section 5), so that one fits into a tunnel.
pub(super) const MTU: usize = 1_280;
const HOPS: u8 = 64;

/// The device of the stack's TCP: queues of layer-3 packets.
#[derive(Default)]
pub(super) struct Wire {
    pub(super) incoming: VecDeque<Vec<u8>>,
    pub(super) outgoing: Vec<Vec<u8>>,
}

impl Device for Wire {
    type RxToken<'a> = Received;
    type TxToken<'a> = Sender<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Received, Sender<'_>)> {
        let packet = self.incoming.pop_front()?;
        Some((Received(packet), Sender(&mut self.outgoing)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Sender<'_>> {
        Some(Sender(&mut self.outgoing))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = MTU;
        capabilities.checksum = checksums();
        capabilities
    }
}

/// Written, and not verified: virtual devices hand packets over with the checksum left to the hardware that they do not
/// have.
fn checksums() -> ChecksumCapabilities {
    let mut checksums = ChecksumCapabilities::default();
    for checksum in
        [&mut checksums.ipv4, &mut checksums.tcp, &mut checksums.udp, &mut checksums.icmpv4, &mut checksums.icmpv6]
    {
        *checksum = Checksum::Tx;
    }
    checksums
}

pub(super) struct Received(Vec<u8>);

impl RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, take: F) -> R {
        take(&self.0)
    }
}

pub(super) struct Sender<'w>(&'w mut Vec<Vec<u8>>);

impl TxToken for Sender<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, fill: F) -> R {
        let mut packet = vec![0; len];
        let result = fill(&mut packet);
        self.0.push(packet);
        result
    }
}

/// A datagram, or an echo reply, whose identifier stands for the port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Datagram<'p> {
    pub(super) from: IpAddr,
    pub(super) to: IpAddr,
    /// 0 for echoes.
    pub(super) from_port: u16,
    pub(super) to_port: u16,
    pub(super) payload: &'p [u8],
}

/// What follows an IP header, with addresses and protocol. No fragments.
fn layer_4(packet: &[u8]) -> Option<(IpAddr, IpAddr, IpProtocol, &[u8])> {
    match packet.first()? >> 4 {
        4 => {
            let ip = Ipv4Packet::new_checked(packet).ok()?;
            let whole = !ip.more_frags() && ip.frag_offset() == 0;
            whole.then(|| (ip.src_addr().into(), ip.dst_addr().into(), ip.next_header(), ip.payload()))
        }
        6 => {
            let ip = Ipv6Packet::new_checked(packet).ok()?;
            Some((ip.src_addr().into(), ip.dst_addr().into(), ip.next_header(), ip.payload()))
        }
        _ => None,
    }
}

/// Reads a datagram or an echo reply.
pub(super) fn datagram(packet: &[u8]) -> Option<Datagram<'_>> {
    let (from, to, protocol, body) = layer_4(packet)?;
    let (from_port, to_port, payload) = match protocol {
        IpProtocol::Udp => {
            let udp = UdpPacket::new_checked(body).ok()?;
            (udp.src_port(), udp.dst_port(), body.get(8..usize::from(udp.len()))?)
        }
        IpProtocol::Icmp if body.first() == Some(&0) => (0, identifier(body)?, body.get(8..)?),
        IpProtocol::Icmpv6 if body.first() == Some(&129) => (0, identifier(body)?, body.get(8..)?),
        _ => return None,
    };
    Some(Datagram { from, to, from_port, to_port, payload })
}

fn identifier(message: &[u8]) -> Option<u16> {
    message.get(4..6).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
}

/// The source port of TCP that the stack sends.
pub(super) fn source_port(packet: &[u8]) -> Option<u16> {
    let (.., protocol, body) = layer_4(packet)?;
    (protocol == IpProtocol::Tcp).then(|| TcpPacket::new_checked(body).ok().map(|tcp| tcp.src_port()))?
}

/// A whole packet of UDP; `None` for two families.
pub(super) fn udp(from: (IpAddr, u16), to: (IpAddr, u16), payload: &[u8]) -> Option<Vec<u8>> {
    let repr = UdpRepr { src_port: from.1, dst_port: to.1 };
    let len = repr.header_len() + payload.len();
    packet(from.0, to.0, IpProtocol::Udp, IpProtocol::Udp, len, |body| {
        let (source, destination) = (from.0.into(), to.0.into());
        let fill = |bytes: &mut [u8]| bytes.copy_from_slice(payload);
        let mut datagram = UdpPacket::new_unchecked(body);
        repr.emit(&mut datagram, &source, &destination, payload.len(), fill, &ChecksumCapabilities::default());
    })
}

/// A whole echo request; `None` for two families.
pub(super) fn echo_request(from: IpAddr, to: IpAddr, ident: u16, data: &[u8]) -> Option<Vec<u8>> {
    let all = ChecksumCapabilities::default();
    let v4 = Icmpv4Repr::EchoRequest { ident, seq_no: 1, data };
    let v6 = Icmpv6Repr::EchoRequest { ident, seq_no: 1, data };
    packet(from, to, IpProtocol::Icmp, IpProtocol::Icmpv6, v4.buffer_len(), |body| match (from, to) {
        (IpAddr::V6(from), IpAddr::V6(to)) => v6.emit(&from, &to, &mut Icmpv6Packet::new_unchecked(body), &all),
        _ => v4.emit(&mut Icmpv4Packet::new_unchecked(body), &all),
    })
}

/// A packet with its IP header; the protocol of either version.
fn packet(
    from: IpAddr,
    to: IpAddr,
    in_v4: IpProtocol,
    in_v6: IpProtocol,
    payload_len: usize,
    fill: impl FnOnce(&mut [u8]),
) -> Option<Vec<u8>> {
    let mut bytes;
    let header = match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let header = ipv4(from, to, in_v4, payload_len);
            bytes = vec![0; header.buffer_len() + payload_len];
            header.emit(&mut Ipv4Packet::new_unchecked(&mut bytes[..]), &ChecksumCapabilities::default());
            header.buffer_len()
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let header = ipv6(from, to, in_v6, payload_len);
            bytes = vec![0; header.buffer_len() + payload_len];
            header.emit(&mut Ipv6Packet::new_unchecked(&mut bytes[..]));
            header.buffer_len()
        }
        _ => return None,
    };
    fill(&mut bytes[header..]);
    Some(bytes)
}

const fn ipv4(src_addr: Ipv4Addr, dst_addr: Ipv4Addr, next_header: IpProtocol, payload_len: usize) -> Ipv4Repr {
    Ipv4Repr { src_addr, dst_addr, next_header, payload_len, hop_limit: HOPS }
}

const fn ipv6(src_addr: Ipv6Addr, dst_addr: Ipv6Addr, next_header: IpProtocol, payload_len: usize) -> Ipv6Repr {
    Ipv6Repr { src_addr, dst_addr, next_header, payload_len, hop_limit: HOPS }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::answer;
    use proptest::prelude::*;

    const PAIRS: [(&str, &str); 2] = [("10.0.0.1", "203.0.113.10"), ("fd00::1", "2001:db8::10")];

    fn pair(family: usize) -> (IpAddr, IpAddr) {
        (PAIRS[family].0.parse().unwrap(), PAIRS[family].1.parse().unwrap())
    }

    #[test]
    fn datagrams_come_back_as_they_were_written() {
        for family in 0..2 {
            let (own, vip) = pair(family);
            let packet = udp((vip, 53), (own, 61_500), b"answer").unwrap();
            let read = datagram(&packet).unwrap();
            assert_eq!((read.from, read.to, read.from_port, read.to_port), (vip, own, 53, 61_500));
            assert_eq!(read.payload, b"answer");
            assert!(answer::is_of_conversation(&packet));
            let low = udp((vip, 53), (own, 5_300), b"answer").unwrap();
            assert!(!answer::is_of_conversation(&low), "the port of another");
            let mut echo = echo_request(vip, own, 61_501, b"0123").unwrap();
            assert_eq!(datagram(&echo), None, "a request is none of ours");
            let header = echo.len() - 12;
            echo[header] = if family == 0 { 0 } else { 129 };
            let read = datagram(&echo).unwrap();
            assert_eq!((read.from_port, read.to_port, read.payload), (0, 61_501, &b"0123"[..]));
            assert!(answer::is_of_conversation(&echo));
        }
        assert_eq!(udp((pair(0).0, 1), (pair(1).1, 2), b""), None);
    }

    #[test]
    fn errors_name_the_flow_that_they_speak_of() {
        for family in 0..2 {
            let (own, vip) = pair(family);
            let sent = udp((own, 61_500), (vip, 53), b"question").unwrap();
            let (kind, protocol, other) = if family == 0 {
                ([3, 3], IpProtocol::Icmp, IpProtocol::Icmpv6)
            } else {
                ([1, 4], IpProtocol::Icmp, IpProtocol::Icmpv6)
            };
            let error = packet(vip, own, protocol, other, 8 + sent.len(), |body| {
                body[..2].copy_from_slice(&kind);
                body[8..].copy_from_slice(&sent);
            });
            let error = error.unwrap();
            let flow = answer::unreachable(&error).unwrap();
            assert_eq!((flow.local, flow.remote, flow.local_port), (own, vip, 61_500));
            assert!(answer::is_of_conversation(&error));
        }
    }

    proptest! {
        #[test]
        fn damaged_packets_never_panic(
            family in 0_usize..2,
            flips in prop::collection::vec((0_usize..80, any::<u8>()), 0..6),
            cut in 0_usize..80,
        ) {
            let (own, vip) = pair(family);
            let mut packet = udp((vip, 53), (own, 61_500), b"0123456789").unwrap();
            for (at, byte) in flips {
                let len = packet.len();
                packet[at % len] = byte;
            }
            packet.truncate(cut.max(1));
            let _ = (datagram(&packet), source_port(&packet), answer::unreachable(&packet));
            let _ = answer::is_of_conversation(&packet);
        }

        #[test]
        fn any_bytes_never_panic(packet in prop::collection::vec(any::<u8>(), 0..120)) {
            let _ = (datagram(&packet), source_port(&packet), answer::unreachable(&packet));
            let _ = answer::is_of_conversation(&packet);
        }
    }
}
