//! The parser against another one.

use crate::properties::frame;
use crate::reader;
use crate::rig::{GATEWAY, PORT_0};
use etherparse::{LaxNetSlice, LaxSlicedPacket, SlicedPacket, TransportSlice};
use guideway_dataplane::craft::Craft;
use guideway_dataplane::drop_reason::DropReason;
use guideway_dataplane::parse::{Family, Outcome, Parsed, parse};
use guideway_dataplane::snapshot::PortState;
use proptest::collection::vec;
use proptest::prelude::*;
use std::net::{IpAddr, SocketAddr};

const PORT: PortState = PortState { mac: PORT_0, up: true, any_destination: false };

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

fn expect_same(parsed: &Parsed, frame: &[u8]) -> Result<(), TestCaseError> {
    let other = LaxSlicedPacket::from_ethernet(frame).unwrap();
    let (family, source, destination, protocol, class, len) = match other.net.as_ref().unwrap() {
        LaxNetSlice::Ipv4(ip) => {
            let header = ip.header();
            let class = header.dcp().value() << 2 | header.ecn().value();
            let (source, destination) = (header.source_addr().into(), header.destination_addr().into());
            (Family::V4, source, destination, header.protocol().0, class, usize::from(header.total_len()))
        }
        LaxNetSlice::Ipv6(ip) => {
            let header = ip.header();
            let (source, destination) = (header.source_addr().into(), header.destination_addr().into());
            let len = usize::from(header.payload_length()) + 40;
            (Family::V6, source, destination, header.next_header().0, header.traffic_class(), len)
        }
        LaxNetSlice::Arp(_) => return Err(TestCaseError::fail("parsed an ARP packet as IP")),
    };
    prop_assert_eq!((parsed.family, parsed.protocol, parsed.traffic_class), (family, protocol, class));
    prop_assert_eq!((parsed.key.source(), parsed.key.destination()), (source, destination));
    prop_assert_eq!(parsed.key.protocol(), protocol);
    prop_assert_eq!((usize::from(parsed.ip_len), parsed.ip_offset), (len, 14));
    prop_assert_eq!(parsed.destination, guideway_dataplane::vip::address_bits(destination));
    prop_assert_eq!(parsed.key.source_port(), parsed.source_port);
    prop_assert_eq!(parsed.key.destination_port(), parsed.destination_port);
    let ports = match &other.transport {
        Some(TransportSlice::Tcp(tcp)) => {
            prop_assert_eq!(parsed.flags, tcp.slice()[13]);
            (tcp.source_port(), tcp.destination_port())
        }
        Some(TransportSlice::Udp(udp)) => (udp.source_port(), udp.destination_port()),
        _ => (0, 0),
    };
    prop_assert_eq!((parsed.source_port, parsed.destination_port), ports);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_valid_packet_is_read_as_by_another_parser(
        (source, destination) in address(),
        (source_port, destination_port) in (1_u16.., 1_u16..),
        udp in any::<bool>(),
        flags in any::<u8>(),
        traffic_class in any::<u8>(),
        ttl in 1_u8..,
        options in vec(Just(1_u8), 0..41),
        payload in vec(any::<u8>(), 0..600),
        padding in 0_usize..80,
    ) {
        let source = SocketAddr::new(source, source_port);
        let destination = SocketAddr::new(destination, destination_port);
        let craft = if udp { Craft::udp(source, destination) } else { Craft::tcp(source, destination, flags) };
        let craft = craft.macs(PORT_0, GATEWAY).payload(&payload).traffic_class(traffic_class).ttl(ttl);
        let frame = craft.options(&options).padded_to(padding).frame();
        prop_assert_eq!(reader::complaints(&frame), Vec::<String>::new(), "what craft makes is right");
        let Outcome::Packet(parsed) = parse(&frame, frame.len(), &PORT) else {
            return Err(TestCaseError::fail("not parsed"));
        };
        prop_assert_eq!(parsed.key.source(), source.ip());
        prop_assert_eq!((parsed.source_port, parsed.destination_port), (source_port, destination_port));
        expect_same(&parsed, &frame)?;
    }

    #[test]
    fn whatever_is_read_is_read_as_by_another_parser(frame in frame(), any_destination in any::<bool>()) {
        let port = PortState { any_destination, ..PORT };
        if let Outcome::Packet(parsed) = parse(&frame, frame.len(), &port) {
            expect_same(&parsed, &frame)?;
        }
    }

    #[test]
    fn what_another_parser_reads_strictly_is_not_malformed(frame in frame()) {
        let port = PortState { any_destination: true, ..PORT };
        let Outcome::Drop(reason) = parse(&frame, frame.len(), &port) else { return Ok(()) };
        let structural = [DropReason::Runt, DropReason::BadIpHeader, DropReason::BadIpLength, DropReason::BadTcpHeader];
        if structural.contains(&reason) {
            let other = SlicedPacket::from_ethernet(&frame);
            prop_assert!(
                other.as_ref().is_ok_and(|packet| packet.net.is_none()) || other.is_err(),
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
                prop_assert_eq!(part.key, whole.key);
                prop_assert_eq!(part.ip_len, whole.ip_len);
            }
            (Outcome::Punt(part), Outcome::Punt(whole)) => prop_assert_eq!(part, whole),
            (Outcome::Drop(_), _) => {}
            (part, whole) => prop_assert!(false, "{part:?}, {whole:?}"),
        }
    }
}
