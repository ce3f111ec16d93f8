//! Packets of simulated clients: real frames, read by the real parser.

use guideway_dataplane::craft::Craft;
use guideway_dataplane::parse::{Outcome, Parsed, parse};
use guideway_dataplane::snapshot::PortState;
use guideway_dataplane::wire::{checksum, tcp};
use std::net::{Ipv4Addr, SocketAddr};

/// The port's hardware address.
pub(super) const PORT_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
/// The VIPs: all on this address, but for that with affinity.
const VIP: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
/// The VIPs with affinity, on two pools.
const STICKY: [Ipv4Addr; 2] = [Ipv4Addr::new(203, 0, 113, 11), Ipv4Addr::new(203, 0, 113, 12)];

/// Where a client's packets come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Source {
    pub(super) address: u32,
    pub(super) port: u16,
}

/// What a client sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Syn(u32),
    Ack(u32),
    Fin(u32),
    Rst(u32),
    Datagram,
    /// The first packets of a QUIC connection.
    Initial,
    /// A packet of a QUIC handshake that comes after an Initial.
    Handshake,
    /// A QUIC packet after the handshake.
    Short,
    /// A SYN to a VIP with affinity: of the first pool, or the second.
    StickySyn(u8),
    /// Another segment to it.
    StickyAck(u8),
}

/// Frames of each kind, into which addresses and numbers are written.
pub(super) struct Packets {
    tcp: Vec<u8>,
    udp: Vec<u8>,
    quic: [Vec<u8>; 3],
    sticky: [Vec<u8>; 2],
    port: PortState,
}

impl Packets {
    pub(super) fn new() -> Self {
        let source = SocketAddr::from(([16, 0, 0, 1], 1_024));
        let to = |address: Ipv4Addr, port| SocketAddr::from((address, port));
        let made = |craft: Craft| craft.macs(PORT_MAC, [2, 0, 0, 0, 0, 0xfe]).frame();
        // Version 1, a connection ID of 8 bytes; Initial and Handshake differ in two bits (RFC 9000, section 17.2).
        let long = |first: u8| [&[first, 0, 0, 0, 1, 8][..], &[0x5a; 30]].concat();
        let datagram = |port, payload: &[u8]| made(Craft::udp(source, to(VIP, port)).payload(payload));
        Self {
            tcp: made(Craft::tcp(source, to(VIP, 80), tcp::ACK)),
            udp: datagram(53, &[0; 20]),
            quic: [datagram(443, &long(0xc0)), datagram(443, &long(0xe0)), datagram(443, &[0x40; 30])],
            sticky: STICKY.map(|vip| made(Craft::tcp(source, to(vip, 80), tcp::ACK))),
            port: PortState::new(PORT_MAC),
        }
    }

    /// A frame, and what the parser makes of it.
    pub(super) fn make(&mut self, source: Source, shape: Shape) -> (&[u8], Parsed) {
        let (frame, segment) = match shape {
            Shape::Syn(number) => (&mut self.tcp, Some((number, tcp::SYN))),
            Shape::Ack(number) => (&mut self.tcp, Some((number, tcp::ACK))),
            Shape::Fin(number) => (&mut self.tcp, Some((number, tcp::FIN | tcp::ACK))),
            Shape::Rst(number) => (&mut self.tcp, Some((number, tcp::RST | tcp::ACK))),
            Shape::Datagram => (&mut self.udp, None),
            Shape::Initial => (&mut self.quic[0], None),
            Shape::Handshake => (&mut self.quic[1], None),
            Shape::Short => (&mut self.quic[2], None),
            Shape::StickySyn(pool) => (&mut self.sticky[usize::from(pool) % 2], Some((1, tcp::SYN))),
            Shape::StickyAck(pool) => (&mut self.sticky[usize::from(pool) % 2], Some((2, tcp::ACK))),
        };
        frame[26..30].copy_from_slice(&source.address.to_be_bytes());
        frame[34..36].copy_from_slice(&source.port.to_be_bytes());
        if let Some((number, flags)) = segment {
            frame[38..42].copy_from_slice(&number.to_be_bytes());
            frame[47] = flags;
        }
        frame[24..26].fill(0);
        let sum = checksum::of(&frame[14..34]);
        frame[24..26].copy_from_slice(&sum.to_be_bytes());
        match parse(frame, frame.len(), &self.port) {
            Outcome::Packet(parsed) => (frame, parsed),
            refused => unreachable!("a packet of the simulation is refused: {refused:?}"),
        }
    }
}
