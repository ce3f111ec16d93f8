//! GUE's UDP checksum over every kind of packet: by the headers of what carries a checksum, by all bytes of what does not.

use crate::naive::checksum;
use crate::packet::{Case, GATEWAY, PORT};
use guideway_dataplane::craft::Craft;
use guideway_dataplane::hash::FlowHash;
use guideway_dataplane::memory::MemoryPacket;
use guideway_dataplane::parse::{Family, Parsed};
use guideway_dataplane::port::Packet;
use guideway_dataplane::rewrite::{Encapsulation, Gue, GueVariant};
use guideway_dataplane::wire::{protocol, tcp};
use proptest::collection::vec;
use proptest::prelude::*;
use std::net::SocketAddr;

/// The packet in the tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Tcp,
    Udp,
    /// Without a checksum, as IPv4 allows.
    UdpBare,
    /// With bytes behind the datagram.
    UdpShort,
    /// A first fragment: its checksum is over all of them.
    Fragment,
    Icmp,
    /// IPv4 with options.
    Options,
}

const KINDS: [Kind; 7] =
    [Kind::Tcp, Kind::Udp, Kind::UdpBare, Kind::UdpShort, Kind::Fragment, Kind::Icmp, Kind::Options];

fn addresses(v6: bool) -> [SocketAddr; 2] {
    let texts =
        if v6 { ["[2001:db8::7]:40000", "[2001:db8:10::10]:80"] } else { ["192.0.2.7:40000", "203.0.113.10:80"] };
    texts.map(|text| text.parse().unwrap())
}

/// An IP packet of this kind, what lies behind its IP header in it as it would be sent.
fn inner(kind: Kind, v6: bool, payload: &[u8]) -> Vec<u8> {
    let [source, destination] = addresses(v6);
    let udp = Craft::udp(source, destination);
    let craft = match kind {
        Kind::Tcp => Craft::tcp(source, destination, tcp::ACK),
        Kind::Fragment if !v6 => Craft::tcp(source, destination, tcp::ACK).fragment(0x2000),
        Kind::Options if !v6 => Craft::tcp(source, destination, tcp::ACK).options(&[1, 1, 1, 0]),
        Kind::Icmp => {
            let message = if v6 { 128 } else { 8 };
            Craft::icmp(source.ip(), destination.ip(), message, 0, [0, 7, 0, 1])
        }
        _ => udp,
    };
    let mut packet = craft.payload(payload).ip_packet();
    let transport = if v6 { 40 } else { 20 };
    match kind {
        Kind::UdpBare => packet[transport + 6..transport + 8].fill(0),
        // The datagram ends before the packet does: the checksum is that of a datagram without payload, whatever it be.
        Kind::UdpShort => packet[transport + 4..transport + 6].copy_from_slice(&8_u16.to_be_bytes()),
        _ => {}
    }
    packet
}

/// The frame of an inner packet through a tunnel.
fn encapsulate(case: &Case, inner: &[u8], entropy: u16) -> Vec<u8> {
    let ethertype = if case.inner_v6 { [0x86, 0xdd] } else { [0x08, 0x00] };
    let mut packet = MemoryPacket::new(&[&PORT[..], &GATEWAY, &ethertype, inner].concat());
    let family = if case.inner_v6 { Family::V6 } else { Family::V4 };
    let parsed = Parsed { family, ip_offset: 14, ip_len: inner.len() as u16, ..case.frame().1 };
    case.backend(1_500, case.tunnel()).apply(&mut packet, &parsed, FlowHash(u128::from(entropy) << 64)).unwrap();
    packet.frame().to_vec()
}

fn gue(variant: GueVariant, outer_v6: bool, inner_v6: bool) -> Case {
    Case::plain(Encapsulation::Gue(Gue { variant, ..Gue::default() }), outer_v6, inner_v6, &[])
}

/// What the words of the outer datagram and its pseudo-header add up to: zero if its checksum is right.
fn sum(frame: &[u8], outer_v6: bool) -> u16 {
    let (addresses, datagram) = if outer_v6 { (&frame[22..54], &frame[54..]) } else { (&frame[26..34], &frame[34..]) };
    let len = (datagram.len() as u16).to_be_bytes();
    checksum(&[&[addresses, &[0, protocol::UDP], &len].concat(), datagram])
}

proptest! {
    #[test]
    fn is_right_over_every_kind_of_packet(
        kind in prop::sample::select(&KINDS[..]),
        families in any::<[bool; 2]>(),
        direct in any::<bool>(),
        payload in vec(any::<u8>(), 0..200),
        entropy in any::<u16>(),
    ) {
        let [outer_v6, inner_v6] = families;
        let case = gue(if direct { GueVariant::Direct } else { GueVariant::Header }, outer_v6, inner_v6);
        let frame = encapsulate(&case, &inner(kind, inner_v6, &payload), entropy);
        prop_assert_eq!(sum(&frame, outer_v6), 0);
    }

    #[test]
    fn damage_inside_shows_outside(v6 in any::<bool>(), at in any::<prop::sample::Index>(), bits in 1_u8..) {
        let case = gue(GueVariant::Header, false, v6);
        let mut inner = inner(Kind::Tcp, v6, &[7; 64]);
        let transport = if v6 { 40 } else { 20 };
        let place = transport + at.index(inner.len() - transport);
        inner[place] ^= bits;
        prop_assert_ne!(sum(&encapsulate(&case, &inner, 5), false), 0);
    }
}

#[test]
fn a_zero_is_sent_as_its_complement() {
    let inner = inner(Kind::Tcp, false, &[]);
    for (variant, outer_v6) in [(GueVariant::Header, false), (GueVariant::Direct, true)] {
        let at = if outer_v6 { 14 + 40 + 6 } else { 14 + 20 + 6 };
        let checksum = |port: u16, entropy: u16| {
            let gue = Gue { variant, port, ..Gue::default() };
            let frame = encapsulate(&Case::plain(Encapsulation::Gue(gue), outer_v6, false, &[]), &inner, entropy);
            u16::from_be_bytes([frame[at], frame[at + 1]])
        };
        // The entropy is part of the source port: as much of it as the checksum is with none brings the sum to its end.
        let ports = (0..u16::MAX).step_by(4_096).filter(|port| checksum(*port, 0) < 1 << 14);
        let zeros: Vec<u16> = ports.map(|port| checksum(port, checksum(port, 0))).collect();
        assert!(!zeros.is_empty() && zeros.iter().all(|checksum| *checksum == u16::MAX), "{zeros:?}");
    }
}
