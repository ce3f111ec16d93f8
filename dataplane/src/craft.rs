//! Packets made from their parts: for tests, benchmarks, `replay` tests and fuzz seeds, never for traffic.
//!
//! A [`Craft`] starts from a constructor, is changed by its methods, and becomes a frame by [`Craft::frame`]. Lengths
//! and checksums are right (IPv4 header; TCP, UDP and ICMPv6 with pseudo-header; ICMP), so that a test that wants a
//! wrong one breaks it itself. Whole packets nest: [`Craft::ip_packet`] is the payload of a tunnel or an ICMP error.
//!
//! ```
//! use guideway_dataplane::craft::Craft;
//! use guideway_dataplane::wire::tcp;
//!
//! let client = "192.0.2.7:40000".parse().unwrap();
//! let vip = "203.0.113.10:80".parse().unwrap();
//! let frame = Craft::tcp(client, vip, tcp::SYN).macs([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 0xfe]).frame();
//! assert_eq!(frame.len(), 14 + 20 + 20);
//! ```

use crate::wire::arp::ArpPacket;
use crate::wire::checksum;
pub use crate::wire::ethernet::MIN_FRAME;
use crate::wire::ethernet::{self, EthernetHeader, Mac};
use crate::wire::icmp::{self, IcmpHeader};
use crate::wire::ipv4::{self, Ipv4Header};
use crate::wire::ipv6::Ipv6Header;
use crate::wire::protocol;
use crate::wire::tcp::{self, TcpHeader};
use crate::wire::udp::{self, UdpHeader};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use zerocopy::network_endian::{U16, U32};
use zerocopy::{FromZeros, IntoBytes};

/// The header between IP header and payload.
#[derive(Clone, Copy, Debug)]
enum Transport {
    Tcp(TcpHeader),
    Udp(UdpHeader),
    Icmp(u8, IcmpHeader),
    /// The payload follows the IP header at once.
    Raw(u8),
}

/// An IP packet under construction, and the Ethernet header before it.
#[derive(Clone, Debug)]
pub struct Craft {
    destination_mac: Mac,
    source_mac: Mac,
    source: IpAddr,
    destination: IpAddr,
    traffic_class: u8,
    ttl: u8,
    identification: u16,
    fragment: u16,
    flow_label: u32,
    options: Vec<u8>,
    transport: Transport,
    payload: Vec<u8>,
    min_len: usize,
}

impl Craft {
    /// A TCP segment with these flags ([`tcp`]'s constants) and no payload yet.
    #[must_use]
    pub fn tcp(source: SocketAddr, destination: SocketAddr, flags: u8) -> Self {
        let mut header = TcpHeader::new_zeroed();
        header.source_port = U16::new(source.port());
        header.destination_port = U16::new(destination.port());
        header.data_offset = ((tcp::HEADER_LEN / 4) << 4) as u8;
        header.flags = flags;
        header.window = U16::new(0xffff);
        Self::new(source.ip(), destination.ip(), Transport::Tcp(header))
    }

    /// A UDP datagram without payload yet.
    #[must_use]
    pub fn udp(source: SocketAddr, destination: SocketAddr) -> Self {
        let mut header = UdpHeader::new_zeroed();
        header.source_port = U16::new(source.port());
        header.destination_port = U16::new(destination.port());
        Self::new(source.ip(), destination.ip(), Transport::Udp(header))
    }

    /// An ICMP message, or an ICMPv6 message between IPv6 addresses; `rest` is the second half of its 8-byte header.
    #[must_use]
    pub fn icmp(source: IpAddr, destination: IpAddr, message: u8, code: u8, rest: [u8; 4]) -> Self {
        let number = if both_v4(source, destination).is_some() { protocol::ICMP } else { protocol::ICMPV6 };
        let header = IcmpHeader { message, code, checksum: U16::ZERO, rest };
        Self::new(source, destination, Transport::Icmp(number, header))
    }

    /// A packet of any protocol, its transport header part of the payload.
    #[must_use]
    pub fn raw(source: IpAddr, destination: IpAddr, protocol: u8) -> Self {
        Self::new(source, destination, Transport::Raw(protocol))
    }

    /// Of two addresses of different families the IPv4 one becomes an IPv4-mapped one (RFC 4291, section 2.5.5.2).
    fn new(source: IpAddr, destination: IpAddr, transport: Transport) -> Self {
        Self {
            destination_mac: [0; 6],
            source_mac: [0; 6],
            source,
            destination,
            traffic_class: 0,
            ttl: 64,
            identification: 0,
            fragment: 0,
            flow_label: 0,
            options: Vec::new(),
            transport,
            payload: Vec::new(),
            min_len: 0,
        }
    }

    /// Ethernet addresses; zeros unless set.
    #[must_use]
    pub fn macs(self, destination: Mac, source: Mac) -> Self {
        Self { destination_mac: destination, source_mac: source, ..self }
    }

    /// The bytes after the transport header.
    #[must_use]
    pub fn payload(self, payload: &[u8]) -> Self {
        Self { payload: payload.to_vec(), ..self }
    }

    /// DSCP and ECN; 0 unless set.
    #[must_use]
    pub fn traffic_class(self, traffic_class: u8) -> Self {
        Self { traffic_class, ..self }
    }

    /// TTL or hop limit; 64 unless set.
    #[must_use]
    pub fn ttl(self, ttl: u8) -> Self {
        Self { ttl, ..self }
    }

    /// IPv4 identification; 0 unless set. Without effect on IPv6.
    #[must_use]
    pub fn identification(self, identification: u16) -> Self {
        Self { identification, ..self }
    }

    /// IPv4 flags and fragment offset as in [`Ipv4Header::fragment`]; 0 unless set. Without effect on IPv6.
    #[must_use]
    pub fn fragment(self, fragment: u16) -> Self {
        Self { fragment, ..self }
    }

    /// IPv6 flow label, its low 20 bits; 0 unless set. Without effect on IPv4.
    #[must_use]
    pub fn flow_label(self, flow_label: u32) -> Self {
        Self { flow_label: flow_label & 0xf_ffff, ..self }
    }

    /// IPv4 options, padded with zeros to whole words; at most 40 bytes count. Without effect on IPv6.
    #[must_use]
    pub fn options(self, options: &[u8]) -> Self {
        let mut options = options.get(..40).unwrap_or(options).to_vec();
        options.resize(options.len().next_multiple_of(4), 0);
        Self { options, ..self }
    }

    /// TCP sequence and acknowledgement numbers; 0 unless set. Without effect on other protocols.
    #[must_use]
    pub fn numbers(mut self, sequence: u32, acknowledgement: u32) -> Self {
        if let Transport::Tcp(header) = &mut self.transport {
            header.sequence = U32::new(sequence);
            header.acknowledgement = U32::new(acknowledgement);
        }
        self
    }

    /// Zeros after the IP packet up to a frame of `len` bytes: [`MIN_FRAME`] for what a real wire pads to.
    #[must_use]
    pub fn padded_to(self, len: usize) -> Self {
        Self { min_len: len, ..self }
    }

    /// The frame, from the Ethernet header to the end of the padding.
    #[must_use]
    pub fn frame(&self) -> Vec<u8> {
        let ethertype =
            if both_v4(self.source, self.destination).is_some() { ethernet::TYPE_IPV4 } else { ethernet::TYPE_IPV6 };
        let mut frame = ethernet_header(self.destination_mac, self.source_mac, ethertype);
        frame.extend(self.ip_packet());
        frame.resize(frame.len().max(self.min_len), 0);
        frame
    }

    /// The IP packet alone. A length that its field cannot say is cut to 16 bits.
    #[must_use]
    pub fn ip_packet(&self) -> Vec<u8> {
        match both_v4(self.source, self.destination) {
            Some((source, destination)) => self.ipv4(source, destination),
            None => self.ipv6(mapped(self.source), mapped(self.destination)),
        }
    }

    fn ipv4(&self, source: Ipv4Addr, destination: Ipv4Addr) -> Vec<u8> {
        let (number, transport) = self.transport(pseudo_sum(&source.octets(), &destination.octets()));
        let header_len = ipv4::HEADER_LEN + self.options.len();
        let header = Ipv4Header {
            version_ihl: 0x40 | (header_len / 4) as u8,
            tos: self.traffic_class,
            total_len: U16::new((header_len + transport.len()) as u16),
            identification: U16::new(self.identification),
            fragment: U16::new(self.fragment),
            ttl: self.ttl,
            protocol: number,
            checksum: U16::ZERO,
            source: source.octets(),
            destination: destination.octets(),
        };
        let mut packet = [header.as_bytes(), &self.options].concat();
        let checksum = checksum::of(&packet);
        packet[10..12].copy_from_slice(&checksum.to_be_bytes());
        packet.extend(transport);
        packet
    }

    fn ipv6(&self, source: Ipv6Addr, destination: Ipv6Addr) -> Vec<u8> {
        let (number, transport) = self.transport(pseudo_sum(&source.octets(), &destination.octets()));
        let header = Ipv6Header {
            version_class_label: U32::new(6 << 28 | u32::from(self.traffic_class) << 20 | self.flow_label),
            payload_len: U16::new(transport.len() as u16),
            next_header: number,
            hop_limit: self.ttl,
            source: source.octets(),
            destination: destination.octets(),
        };
        [header.as_bytes(), &transport].concat()
    }

    /// Protocol number, and the transport header with the payload. `addresses` is the pseudo-header's share of the
    /// checksum as far as the IP header makes it (RFC 9293, section 3.1; RFC 8200, section 8.1).
    fn transport(&self, addresses: u32) -> (u8, Vec<u8>) {
        let payload = &self.payload[..];
        let pseudo = |number: u8, len: usize| addresses + u32::from(number) + len as u32;
        match self.transport {
            Transport::Raw(number) => (number, payload.to_vec()),
            Transport::Tcp(mut header) => {
                let len = tcp::HEADER_LEN + payload.len();
                header.checksum = over(pseudo(protocol::TCP, len), header.as_bytes(), payload);
                (protocol::TCP, [header.as_bytes(), payload].concat())
            }
            Transport::Udp(mut header) => {
                let len = udp::HEADER_LEN + payload.len();
                header.len = U16::new(len as u16);
                // Zero means "no checksum": its complement says the same sum (RFC 768).
                let checksum = over(pseudo(protocol::UDP, len), header.as_bytes(), payload);
                header.checksum = if checksum.get() == 0 { U16::new(0xffff) } else { checksum };
                (protocol::UDP, [header.as_bytes(), payload].concat())
            }
            Transport::Icmp(number, mut header) => {
                let len = icmp::HEADER_LEN + payload.len();
                let pseudo = if number == protocol::ICMPV6 { pseudo(number, len) } else { 0 };
                header.checksum = over(pseudo, header.as_bytes(), payload);
                (number, [header.as_bytes(), payload].concat())
            }
        }
    }
}

/// A frame that carries an ARP packet, without padding.
#[must_use]
pub fn arp(destination: Mac, source: Mac, packet: &ArpPacket) -> Vec<u8> {
    let mut frame = ethernet_header(destination, source, ethernet::TYPE_ARP);
    frame.extend_from_slice(packet.as_bytes());
    frame
}

fn ethernet_header(destination: Mac, source: Mac, ethertype: u16) -> Vec<u8> {
    EthernetHeader { destination, source, ethertype: U16::new(ethertype) }.as_bytes().to_vec()
}

fn both_v4(source: IpAddr, destination: IpAddr) -> Option<(Ipv4Addr, Ipv4Addr)> {
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => Some((source, destination)),
        _ => None,
    }
}

fn mapped(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    }
}

fn pseudo_sum(source: &[u8], destination: &[u8]) -> u32 {
    checksum::sum(source) + checksum::sum(destination)
}

/// The checksum over a pseudo-header's sum, a header of even length whose checksum is zero, and its payload.
fn over(pseudo: u32, header: &[u8], payload: &[u8]) -> U16 {
    let folded = |sum| u32::from(checksum::fold(sum));
    U16::new(!checksum::fold(folded(pseudo) + folded(checksum::sum(header)) + folded(checksum::sum(payload))))
}
