//! The packets that the prober sends: a SYN, and the RST that ends it.
//!
//! Both are built once for each pair of addresses; a probe patches its source port and sequence number into a copy
//! and completes the checksum (RFC 1071: the sum of the rest is known).

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    IpAddress, IpProtocol, Ipv4Packet, Ipv4Repr, Ipv6Packet, Ipv6Repr, TcpControl, TcpPacket, TcpRepr, TcpSeqNumber,
};
use std::net::IpAddr;

/// The longest probe: IPv6 and TCP headers, and the MSS option.
const LONGEST: usize = 64;
const HOP_LIMIT: u8 = 64;
/// Offered window; the connection never gets to use it.
const WINDOW: u16 = 65_535;
/// IPv4's own least reassembly size (RFC 9293, section 3.7.1) is 536; this is Ethernet's.
const MSS_V4: u16 = 1_460;
const MSS_V6: u16 = 1_440;

/// Which of the two packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Syn,
    Rst,
}

/// A packet with source port and sequence number zero.
#[derive(Clone, Debug)]
struct Prebuilt {
    bytes: [u8; LONGEST],
    len: usize,
    /// Where the TCP header starts.
    tcp: usize,
    /// One's complement sum over the pseudo header and the TCP header, its checksum field aside.
    sum: u32,
}

/// The packets from one address to another one's port.
#[derive(Clone, Debug)]
pub(super) struct Template {
    syn: Prebuilt,
    rst: Prebuilt,
}

/// A finished packet.
pub(super) struct Built {
    bytes: [u8; LONGEST],
    len: usize,
}

impl Built {
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl Template {
    /// Both addresses are of one family; `None` if not.
    pub fn new(source: IpAddr, destination: IpAddr, port: u16) -> Option<Self> {
        Some(Self {
            syn: Prebuilt::new(Kind::Syn, source, destination, port)?,
            rst: Prebuilt::new(Kind::Rst, source, destination, port)?,
        })
    }

    /// The packet with this source port and sequence number, checksums valid.
    #[inline]
    pub fn build(&self, kind: Kind, source_port: u16, sequence: u32) -> Built {
        let prebuilt = match kind {
            Kind::Syn => &self.syn,
            Kind::Rst => &self.rst,
        };
        let mut bytes = prebuilt.bytes;
        let header = &mut bytes[prebuilt.tcp..];
        header[0..2].copy_from_slice(&source_port.to_be_bytes());
        header[4..8].copy_from_slice(&sequence.to_be_bytes());
        let sum = prebuilt.sum + u32::from(source_port) + (sequence >> 16) + (sequence & 0xffff);
        let sum = (sum & 0xffff) + (sum >> 16);
        let sum = (sum & 0xffff) + (sum >> 16);
        header[16..18].copy_from_slice(&(!(sum as u16)).to_be_bytes());
        Built { bytes, len: prebuilt.len }
    }
}

impl Prebuilt {
    fn new(kind: Kind, source: IpAddr, destination: IpAddr, port: u16) -> Option<Self> {
        let checksums = ChecksumCapabilities::default();
        let tcp_repr = tcp(kind, port, source.is_ipv4());
        let tcp_len = tcp_repr.header_len();
        let mut bytes = [0; LONGEST];
        let tcp = match (source, destination) {
            (IpAddr::V4(src_addr), IpAddr::V4(dst_addr)) => {
                let next_header = IpProtocol::Tcp;
                let ip = Ipv4Repr { src_addr, dst_addr, next_header, payload_len: tcp_len, hop_limit: HOP_LIMIT };
                ip.emit(&mut Ipv4Packet::new_unchecked(&mut bytes[..]), &checksums);
                ip.buffer_len()
            }
            (IpAddr::V6(src_addr), IpAddr::V6(dst_addr)) => {
                let next_header = IpProtocol::Tcp;
                let ip = Ipv6Repr { src_addr, dst_addr, next_header, payload_len: tcp_len, hop_limit: HOP_LIMIT };
                ip.emit(&mut Ipv6Packet::new_unchecked(&mut bytes[..]));
                ip.buffer_len()
            }
            _ => return None,
        };
        let mut packet = TcpPacket::new_unchecked(&mut bytes[tcp..tcp + tcp_len]);
        tcp_repr.emit(&mut packet, &IpAddress::from(source), &IpAddress::from(destination), &checksums);
        let sum = u32::from(!packet.checksum());
        Some(Self { bytes, len: tcp + tcp_len, tcp, sum })
    }
}

/// The TCP header with source port and sequence number zero.
fn tcp(kind: Kind, port: u16, v4: bool) -> TcpRepr<'static> {
    let (control, window_len, max_seg_size) = match kind {
        Kind::Syn => (TcpControl::Syn, WINDOW, Some(if v4 { MSS_V4 } else { MSS_V6 })),
        Kind::Rst => (TcpControl::Rst, 0, None),
    };
    TcpRepr {
        src_port: 0,
        dst_port: port,
        control,
        seq_number: TcpSeqNumber(0),
        ack_number: None,
        window_len,
        window_scale: None,
        max_seg_size,
        sack_permitted: false,
        sack_ranges: [None; 3],
        timestamp: None,
        payload: &[],
    }
}
