//! Packets of a flow, and what is to become of them.

use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use guideway_dataplane::craft::Craft;
use guideway_dataplane::ids::PortId;
use guideway_dataplane::memory::MemoryPacket;
use guideway_dataplane::nat::{Settings, Translated, translate};
use guideway_dataplane::parse::{Outcome, Parsed, parse};
use guideway_dataplane::port::Packet;
use guideway_dataplane::rewrite::{NextHop, Refusal};
use guideway_dataplane::session::{Endpoint, Tuple};
use guideway_dataplane::snapshot::PortState;
use guideway_dataplane::vip::address_bits;
use guideway_dataplane::wire::ethernet::Mac;
use guideway_dataplane::wire::vlan::Tags;
use guideway_dataplane::wire::{ipv4, protocol, tcp};
use proptest::prelude::*;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

pub const PORT: Mac = [2, 0, 0, 0, 0, 1];
pub const GATEWAY: Mac = [2, 0, 0, 0, 0, 0xfe];
pub const NEIGHBOR: Mac = [2, 0, 0, 0, 1, 0x0b];
pub const IDENTIFICATION: u16 = 0xbeef;

/// A flow's two ends.
#[derive(Clone, Copy, Debug)]
pub struct Flow {
    pub source: SocketAddr,
    pub destination: SocketAddr,
    pub tcp: bool,
}

impl Flow {
    pub fn new(source: &str, destination: &str, tcp: bool) -> Self {
        Self { source: source.parse().unwrap(), destination: destination.parse().unwrap(), tcp }
    }

    pub fn tuple(&self) -> Tuple {
        let endpoint = |end: SocketAddr| Endpoint { address: address_bits(end.ip()), port: end.port() };
        let protocol = if self.tcp { protocol::TCP } else { protocol::UDP };
        Tuple { source: endpoint(self.source), destination: endpoint(self.destination), protocol }
    }

    pub fn reversed(self) -> Self {
        Self { source: self.destination, destination: self.source, ..self }
    }

    pub fn is_v4(&self) -> bool {
        self.source.is_ipv4()
    }

    pub fn craft(&self) -> Craft {
        let craft = if self.tcp {
            Craft::tcp(self.source, self.destination, tcp::ACK).numbers(0x0102_0304, 0xfffe_fdfc)
        } else {
            Craft::udp(self.source, self.destination)
        };
        craft.macs(PORT, GATEWAY)
    }
}

/// An address that a packet may come from.
fn address(v4: bool) -> BoxedStrategy<IpAddr> {
    if v4 {
        (1_u8..127, any::<[u8; 3]>()).prop_map(|(a, [b, c, d])| Ipv4Addr::new(a, b, c, d).into()).boxed()
    } else {
        any::<[u8; 15]>()
            .prop_map(|rest| Ipv6Addr::from(std::array::from_fn(|i| if i == 0 { 0x20 } else { rest[i - 1] })).into())
            .boxed()
    }
}

pub fn flow_of(v4: bool, tcp: bool) -> impl Strategy<Value = Flow> {
    (address(v4), 1_u16.., address(v4), 1_u16..)
        .prop_map(move |(source, source_port, destination, destination_port)| Flow {
            source: SocketAddr::new(source, source_port),
            destination: SocketAddr::new(destination, destination_port),
            tcp,
        })
        .prop_filter("from one to another", |flow| flow.source.ip() != flow.destination.ip())
}

/// A flow, and what it is translated to.
pub fn flows() -> impl Strategy<Value = (Flow, Flow)> {
    any::<(bool, bool, bool)>().prop_flat_map(|(from_v4, to_v4, tcp)| (flow_of(from_v4, tcp), flow_of(to_v4, tcp)))
}

/// Parses a frame that must be one to decide about.
pub fn parsed(frame: &[u8]) -> Parsed {
    match parse(frame, frame.len(), &PortState::new(PORT)) {
        Outcome::Packet(parsed) => parsed,
        other => panic!("{other:?}"),
    }
}

/// The frame with `tags` between its addresses and its type, and how it is parsed without them: which VLANs a port knows is
/// not the translator's to ask.
pub fn tagged(frame: &[u8], tags: &[u8]) -> (Vec<u8>, Parsed) {
    let parsed = parsed(frame);
    let added = tags.len() as u16;
    let (ip_offset, transport_offset) = (parsed.ip_offset + added, parsed.transport_offset + added);
    ([&frame[..12], tags, &frame[12..]].concat(), Parsed { ip_offset, transport_offset, ..parsed })
}

pub fn settings() -> Settings {
    Settings { mtu: 1_500, identification: IDENTIFICATION, quoted_sequence: None }
}

/// Translates a frame. One that is refused is unchanged.
pub fn translated(
    frame: &[u8],
    parsed: &Parsed,
    to: &Flow,
    settings: &Settings,
) -> Result<(Vec<u8>, Translated), Refusal> {
    let mut packet = MemoryPacket::new(frame);
    let result = translate(&mut packet, parsed, &to.tuple(), settings);
    if result.is_err() {
        assert_eq!(packet.frame(), frame);
    }
    result.map(|translated| (packet.frame().to_vec(), translated))
}

pub fn hop(mtu: u16, tags: Tags) -> NextHop {
    NextHop { egress: PortId(3), source: PORT, destination: Some(NEIGHBOR), mtu, tags }
}

/// The fields that IPv4 alone has, of a packet of `len` bytes that was one of IPv6.
pub fn named_anew(craft: Craft, len: usize) -> Craft {
    if len <= 1_260 { craft.identification(IDENTIFICATION) } else { craft.fragment(ipv4::DONT_FRAGMENT) }
}

/// Reads a frame by another parser, which computes the checksums in full, and checks that nothing stands behind its packet but
/// `padding`.
pub fn check(frame: &[u8], padding: usize) {
    let sliced = SlicedPacket::from_ethernet(frame).unwrap();
    let net = sliced.net.unwrap();
    let transport = sliced.transport.unwrap();
    let (len, source, destination) = match &net {
        NetSlice::Ipv4(ip) => {
            let header = ip.header().to_header();
            assert_eq!(header.header_checksum, header.calc_header_checksum());
            (usize::from(header.total_len), IpAddr::from(header.source), IpAddr::from(header.destination))
        }
        NetSlice::Ipv6(ip) => {
            let header = ip.header().to_header();
            (usize::from(header.payload_length) + 40, IpAddr::from(header.source), IpAddr::from(header.destination))
        }
        NetSlice::Arp(_) => panic!("ARP"),
    };
    let link = sliced.link_exts.len() * 4 + 14;
    assert_eq!(frame.len(), link + len + padding);
    let (written, computed) = match (transport, source, destination) {
        (TransportSlice::Tcp(tcp), IpAddr::V4(source), IpAddr::V4(destination)) => {
            (tcp.checksum(), tcp.calc_checksum_ipv4(source.octets(), destination.octets()).unwrap())
        }
        (TransportSlice::Tcp(tcp), IpAddr::V6(source), IpAddr::V6(destination)) => {
            (tcp.checksum(), tcp.calc_checksum_ipv6(source.octets(), destination.octets()).unwrap())
        }
        (TransportSlice::Udp(udp), source, destination) => {
            let header = udp.to_header();
            let computed = match (source, destination) {
                (IpAddr::V4(source), IpAddr::V4(destination)) => {
                    header.calc_checksum_ipv4_raw(source.octets(), destination.octets(), udp.payload())
                }
                (IpAddr::V6(source), IpAddr::V6(destination)) => {
                    header.calc_checksum_ipv6_raw(source.octets(), destination.octets(), udp.payload())
                }
                _ => unreachable!("a packet of two families"),
            };
            (udp.checksum(), computed.unwrap())
        }
        (TransportSlice::Icmpv4(message), ..) => {
            let computed = message.icmp_type().calc_checksum(message.payload());
            (message.checksum(), computed)
        }
        (TransportSlice::Icmpv6(message), IpAddr::V6(source), IpAddr::V6(destination)) => {
            let computed = message.icmp_type().calc_checksum(source.octets(), destination.octets(), message.payload());
            (message.checksum(), computed.unwrap())
        }
        _ => unreachable!("a packet of two families"),
    };
    assert_eq!(written, computed);
}
