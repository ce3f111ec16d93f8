//! The parser against another one.

use crate::peer::difference;
use crate::properties::frame;
use crate::reader;
use crate::rig::{GATEWAY, PORT_0, context};
use etherparse::{NetSlice, SlicedPacket};
use guideway_dataplane::craft::Craft;
use guideway_dataplane::drop_reason::DropReason;
use guideway_dataplane::parse::{Kind, Outcome, Parsed, parse};
use guideway_dataplane::snapshot::PortState;
use guideway_dataplane::wire::tcp;
use proptest::collection::vec;
use proptest::prelude::*;
use std::net::{IpAddr, SocketAddr};
use std::sync::LazyLock;

/// An untagged port that knows every VLAN of the contexts.
static PORT: LazyLock<PortState> = LazyLock::new(|| {
    let ports = context().snapshot().unwrap().ports;
    PortState { vlans: ports[3].vlans.clone(), ..PortState::new(PORT_0) }
});

fn address() -> impl Strategy<Value = (IpAddr, IpAddr)> {
    prop_oneof![
        (1_u8..127, any::<[u8; 3]>(), any::<[u8; 4]>()).prop_map(|(first, [a, b, c], destination)| {
            (IpAddr::from([first, a, b, c]), IpAddr::from(destination))
        }),
        (any::<[u8; 15]>(), any::<[u8; 15]>()).prop_map(|(source, destination)| {
            let global = |low: [u8; 15]| {
                let mut octets = [0x20; 16];
                octets[1..].copy_from_slice(&low);
                IpAddr::from(octets)
            };
            (global(source), global(destination))
        }),
    ]
    .prop_filter("source and destination differ", |(source, destination)| source != destination)
}

/// Flags that a TCP sends.
fn flags() -> impl Strategy<Value = u8> {
    any::<u8>().prop_filter("no TCP sends them", |flags| {
        let (syn, fin_or_rst) = (flags & tcp::SYN != 0, flags & (tcp::FIN | tcp::RST) != 0);
        flags & (tcp::SYN | tcp::RST | tcp::ACK) != 0 && !(syn && fin_or_rst)
    })
}

/// A TCP or UDP packet, and its ports.
fn packet() -> impl Strategy<Value = (Craft, SocketAddr, SocketAddr)> {
    // Behind these ports the reader looks for a tunnel.
    let to = (1_u16..).prop_filter("GUE", |port| !reader::GUE_PORTS.contains(port));
    let ports = (1_u16.., to);
    let headers = (any::<bool>(), flags(), any::<u8>(), 1_u8.., vec(Just(1_u8), 0..41));
    let body = (vec(any::<u8>(), 0..600), 0_usize..80);
    (address(), ports, headers, body).prop_map(|((source, destination), ports, headers, (payload, padding))| {
        let (source, destination) = (SocketAddr::new(source, ports.0), SocketAddr::new(destination, ports.1));
        let (udp, flags, class, ttl, options) = headers;
        let craft = if udp { Craft::udp(source, destination) } else { Craft::tcp(source, destination, flags) };
        let craft = craft.macs(PORT_0, GATEWAY).payload(&payload).traffic_class(class).ttl(ttl).options(&options);
        (craft.padded_to(padding), source, destination)
    })
}

/// One of the tags that [`PORT`] knows, or none.
fn tags() -> impl Strategy<Value = &'static [u8]> {
    prop::sample::select(vec![
        &[][..],
        &[0x81, 0, 0, 120],
        &[0x81, 0, 0xe0, 130],
        &[0x81, 0, 0x20, 0],
        &[0x88, 0xa8, 0, 100, 0x81, 0, 0, 120],
    ])
}

/// An extension header but for the number of what follows: its own number, then its bytes.
fn extension() -> impl Strategy<Value = (u8, Vec<u8>)> {
    let destination = (0_u8..4).prop_map(|len| (60, options(len)));
    let routing = (0_u8..4).prop_map(|len| (43, [vec![len], vec![0; usize::from(len) * 8 + 6]].concat()));
    let authentication = (1_u8..6).prop_map(|len| (51, [vec![len], vec![0; usize::from(len) * 4 + 6]].concat()));
    let atomic = any::<u32>().prop_map(|id| (44, [&[0, 0, 0][..], &id.to_be_bytes()].concat()));
    prop_oneof![destination, routing, authentication, atomic]
}

/// So many units of 8 bytes beyond the first, all of it padding.
fn options(len: u8) -> Vec<u8> {
    let padding = len * 8 + 4;
    [vec![len, 1, padding], vec![0; padding.into()]].concat()
}

fn with_tags(frame: &[u8], tags: &[u8]) -> Vec<u8> {
    [&frame[..12], tags, &frame[12..]].concat()
}

fn expect_same(parsed: &Parsed, frame: &[u8]) -> Result<(), TestCaseError> {
    prop_assert_eq!(difference(parsed, frame), None);
    Ok(())
}

fn read(frame: &[u8]) -> Result<Parsed, TestCaseError> {
    match parse(frame, frame.len(), &PORT) {
        Outcome::Packet(parsed) => Ok(parsed),
        other => Err(TestCaseError::fail(format!("{other:?}"))),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_valid_packet_is_read_as_by_another_parser((craft, source, destination) in packet(), tags in tags()) {
        let frame = with_tags(&craft.frame(), tags);
        prop_assert_eq!(reader::complaints(&frame), Vec::<String>::new(), "what craft makes is right");
        let parsed = read(&frame)?;
        prop_assert_eq!((parsed.key.source(), parsed.kind), (source.ip(), Kind::Whole));
        prop_assert_eq!((parsed.source_port, parsed.destination_port), (source.port(), destination.port()));
        expect_same(&parsed, &frame)?;
    }

    #[test]
    fn a_chain_of_extension_headers_is_read_as_by_another_parser(
        (craft, source, destination) in packet().prop_filter("IPv6", |(_, source, _)| source.is_ipv6()),
        hop_by_hop in prop::option::of(0_u8..4),
        chain in vec(extension(), 0..8),
        tags in tags(),
    ) {
        let inner = craft.ip_packet();
        let first = hop_by_hop.map(|len| (0, options(len)));
        let chain: Vec<(u8, Vec<u8>)> = first.into_iter().chain(chain).collect();
        let numbers: Vec<u8> = chain.iter().map(|(number, _)| *number).chain([inner[6]]).collect();
        let headers = chain.iter().zip(&numbers[1..]).flat_map(|((_, bytes), next)| [&[*next], &bytes[..]].concat());
        let payload: Vec<u8> = headers.chain(inner[40..].iter().copied()).collect();
        let craft = Craft::raw(source.ip(), destination.ip(), numbers[0]).macs(PORT_0, GATEWAY).payload(&payload);
        let frame = with_tags(&craft.frame(), tags);
        prop_assert_eq!(reader::complaints(&frame), Vec::<String>::new(), "the chain is right");
        let parsed = read(&frame)?;
        prop_assert_eq!((parsed.key.source(), parsed.kind), (source.ip(), Kind::Whole));
        prop_assert_eq!((parsed.source_port, parsed.destination_port), (source.port(), destination.port()));
        expect_same(&parsed, &frame)?;
    }

    #[test]
    fn a_quote_is_read_as_by_another_parser(
        (quoted, own, client) in packet(),
        v4_type in prop::sample::select(vec![3_u8, 11, 12]),
        v6_type in 1_u8..5,
        code in any::<u8>(),
        len in 0_usize..700,
    ) {
        // The quoted packet went from here to the client, and somebody on its way complains.
        let packet = quoted.ip_packet();
        let header_len = if own.is_ipv4() { usize::from(packet[0] & 0xf) * 4 } else { 40 };
        let quote = &packet[..len.clamp(header_len + 8, packet.len())];
        let router = if own.is_ipv4() { "198.51.100.1" } else { "2001:db8:ffff::1" }.parse().unwrap();
        prop_assume!(own.ip() != router);
        let message = if own.is_ipv4() { v4_type } else { v6_type };
        let error = Craft::icmp(router, own.ip(), message, code, [0; 4]).macs(PORT_0, GATEWAY).payload(quote);
        let frame = error.frame();
        let parsed = read(&frame)?;
        prop_assert_eq!((parsed.key.source(), parsed.kind), (client.ip(), Kind::IcmpError));
        prop_assert_eq!((parsed.source_port, parsed.destination_port), (client.port(), own.port()));
        expect_same(&parsed, &frame)?;
    }

    #[test]
    fn whatever_is_read_is_read_as_by_another_parser(frame in frame(), any_destination in any::<bool>()) {
        let port = PortState { any_destination, ..PORT.clone() };
        if let Outcome::Packet(parsed) = parse(&frame, frame.len(), &port) {
            expect_same(&parsed, &frame)?;
        }
    }

    #[test]
    fn what_another_parser_reads_strictly_is_not_malformed(frame in frame()) {
        let port = PortState { any_destination: true, ..PORT.clone() };
        let Outcome::Drop(reason) = parse(&frame, frame.len(), &port) else { return Ok(()) };
        let structural = [DropReason::Runt, DropReason::BadIpHeader, DropReason::BadIpLength, DropReason::Truncated, DropReason::BadTcpHeader];
        if structural.contains(&reason) {
            let other = SlicedPacket::from_ethernet(&frame);
            // The other one reads ARP of addresses of any length.
            let ip = |packet: &SlicedPacket<'_>| matches!(packet.net, Some(NetSlice::Ipv4(_) | NetSlice::Ipv6(_)));
            prop_assert!(
                !other.as_ref().is_ok_and(ip),
                "{} but {other:?}", reason.label()
            );
        }
    }

    #[test]
    fn a_frame_in_several_segments_is_read_as_in_one(frame in frame(), first in 0_usize..2_000) {
        // Whoever reads headers from the first segment alone may find it too short, but never reads anything else.
        let head = &frame[..first.min(frame.len())];
        match (parse(head, frame.len(), &PORT), parse(&frame, frame.len(), &PORT)) {
            (Outcome::Packet(part), Outcome::Packet(whole)) => {
                prop_assert_eq!((part.ip_offset, part.ip_len), (whole.ip_offset, whole.ip_len));
                match (part.kind, whole.kind) {
                    // A quote that the first segment cuts short decides nothing.
                    (Kind::Undecidable(_), Kind::IcmpError | Kind::Undecidable(_)) => {}
                    // The checksum takes the whole message.
                    (Kind::IcmpError, Kind::Undecidable(DropReason::IcmpChecksum)) => {}
                    (part_kind, whole_kind) => prop_assert_eq!((part.key, part_kind), (whole.key, whole_kind)),
                }
            }
            (Outcome::Punt(part), Outcome::Punt(whole)) => prop_assert_eq!(part, whole),
            (Outcome::Drop(_), _) => {}
            (part, whole) => prop_assert!(false, "{part:?}, {whole:?}"),
        }
    }
}
