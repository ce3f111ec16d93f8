//! The wire format, by an implementation that is not the prober's.

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    Icmpv4DstUnreachable, Icmpv4Packet, Icmpv4Repr, Icmpv6DstUnreachable, Icmpv6Packet, Icmpv6Repr, IpAddress,
    IpProtocol, Ipv4Packet, Ipv4Repr, Ipv6Packet, Ipv6Repr, TcpControl, TcpPacket, TcpRepr, TcpSeqNumber,
};
use std::net::{IpAddr, Ipv6Addr};

/// A TCP packet, taken apart or to be made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Segment {
    pub source: IpAddr,
    pub destination: IpAddr,
    pub source_port: u16,
    pub destination_port: u16,
    pub control: TcpControl,
    pub sequence: u32,
    pub acknowledged: Option<u32>,
    pub mss: Option<u16>,
}

impl Segment {
    /// Takes a packet apart. Every checksum is verified.
    pub fn read(packet: &[u8]) -> Self {
        let all = ChecksumCapabilities::default();
        let (source, destination, body): (IpAddr, IpAddr, &[u8]) = if packet[0] >> 4 == 4 {
            let ip = Ipv4Packet::new_checked(packet).unwrap();
            let repr = Ipv4Repr::parse(&ip, &all).unwrap();
            assert_eq!(repr.next_header, IpProtocol::Tcp);
            assert_eq!(usize::from(ip.total_len()), packet.len());
            (repr.src_addr.into(), repr.dst_addr.into(), ip.payload())
        } else {
            let ip = Ipv6Packet::new_checked(packet).unwrap();
            let repr = Ipv6Repr::parse(&ip).unwrap();
            assert_eq!(repr.next_header, IpProtocol::Tcp);
            assert_eq!(ip.total_len(), packet.len());
            (repr.src_addr.into(), repr.dst_addr.into(), ip.payload())
        };
        let tcp = TcpPacket::new_checked(body).unwrap();
        let repr = TcpRepr::parse(&tcp, &source.into(), &destination.into(), &all).expect("a valid TCP segment");
        Self {
            source,
            destination,
            source_port: repr.src_port,
            destination_port: repr.dst_port,
            control: repr.control,
            sequence: repr.seq_number.0.cast_unsigned(),
            acknowledged: repr.ack_number.map(|n| n.0.cast_unsigned()),
            mss: repr.max_seg_size,
        }
    }

    pub fn write(&self) -> Vec<u8> {
        let all = ChecksumCapabilities::default();
        let repr = TcpRepr {
            src_port: self.source_port,
            dst_port: self.destination_port,
            control: self.control,
            seq_number: TcpSeqNumber(self.sequence.cast_signed()),
            ack_number: self.acknowledged.map(|n| TcpSeqNumber(n.cast_signed())),
            window_len: 1_000,
            window_scale: None,
            max_seg_size: self.mss,
            sack_permitted: false,
            sack_ranges: [None; 3],
            timestamp: None,
            payload: &[],
        };
        let (src, dst) = (IpAddress::from(self.source), IpAddress::from(self.destination));
        wrap(self.source, self.destination, IpProtocol::Tcp, repr.buffer_len(), |body| {
            repr.emit(&mut TcpPacket::new_unchecked(body), &src, &dst, &all);
        })
    }

    /// A segment in the other direction.
    pub fn answer(&self, control: TcpControl, sequence: u32, acknowledged: Option<u32>) -> Self {
        Self {
            source: self.destination,
            destination: self.source,
            source_port: self.destination_port,
            destination_port: self.source_port,
            control,
            sequence,
            acknowledged,
            mss: None,
        }
    }

    pub fn syn_ack(&self) -> Self {
        self.answer(TcpControl::Syn, 0x0bad_cafe, Some(self.sequence.wrapping_add(1)))
    }

    pub fn refusal(&self) -> Self {
        self.answer(TcpControl::Rst, 0, Some(self.sequence.wrapping_add(1)))
    }
}

/// An IP packet around `len` bytes that `fill` writes.
pub fn wrap(
    source: IpAddr,
    destination: IpAddr,
    next_header: IpProtocol,
    len: usize,
    fill: impl FnOnce(&mut [u8]),
) -> Vec<u8> {
    let mut packet;
    match (source, destination) {
        (IpAddr::V4(src_addr), IpAddr::V4(dst_addr)) => {
            packet = vec![0; 20 + len];
            let repr = Ipv4Repr { src_addr, dst_addr, next_header, payload_len: len, hop_limit: 60 };
            repr.emit(&mut Ipv4Packet::new_unchecked(&mut packet[..]), &ChecksumCapabilities::default());
        }
        (IpAddr::V6(src_addr), IpAddr::V6(dst_addr)) => {
            packet = vec![0; 40 + len];
            let repr = Ipv6Repr { src_addr, dst_addr, next_header, payload_len: len, hop_limit: 60 };
            repr.emit(&mut Ipv6Packet::new_unchecked(&mut packet[..]));
        }
        _ => panic!("one family"),
    }
    let start = packet.len() - len;
    fill(&mut packet[start..]);
    packet
}

/// "Destination unreachable" from a router that quotes the IP header and eight bytes of `packet`.
pub fn unreachable(packet: &[u8]) -> Vec<u8> {
    let all = ChecksumCapabilities::default();
    if packet[0] >> 4 == 4 {
        let ip = Ipv4Packet::new_checked(packet).unwrap();
        let header = Ipv4Repr::parse(&ip, &all).unwrap();
        let router: IpAddr = "192.0.2.1".parse().unwrap();
        let reason = Icmpv4DstUnreachable::HostUnreachable;
        let repr = Icmpv4Repr::DstUnreachable { reason, header, data: &packet[20..28] };
        wrap(router, header.src_addr.into(), IpProtocol::Icmp, repr.buffer_len(), |body| {
            repr.emit(&mut Icmpv4Packet::new_unchecked(body), &all);
        })
    } else {
        let ip = Ipv6Packet::new_checked(packet).unwrap();
        let header = Ipv6Repr::parse(&ip).unwrap();
        let router: Ipv6Addr = "2001:db8:ffff::1".parse().unwrap();
        let reason = Icmpv6DstUnreachable::AddrUnreachable;
        let repr = Icmpv6Repr::DstUnreachable { reason, header, data: &packet[40..48] };
        wrap(router.into(), header.src_addr.into(), IpProtocol::Icmpv6, repr.buffer_len(), |body| {
            repr.emit(&router, &header.src_addr, &mut Icmpv6Packet::new_unchecked(body), &all);
        })
    }
}
