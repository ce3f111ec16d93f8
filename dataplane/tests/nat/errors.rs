//! ICMP errors, and the packets that they quote.

use crate::rig::{Flow, GATEWAY, PORT, check, flows, parsed, settings, translated};
use guideway_dataplane::craft::Craft;
use guideway_dataplane::drop_reason::DropReason;
use guideway_dataplane::nat::{Settings, quoted_sequence};
use guideway_dataplane::parse::Kind;
use guideway_dataplane::session::Tuple;
use guideway_dataplane::wire::ipv4;
use proptest::collection::vec;
use proptest::prelude::*;
use std::net::IpAddr;

/// An error by `router`, about a packet that went against the flow.
fn error(flow: &Flow, router: IpAddr, (message, code, rest): (u8, u8, [u8; 4]), quote: &[u8]) -> Craft {
    Craft::icmp(router, flow.destination.ip(), message, code, rest).macs(PORT, GATEWAY).payload(quote)
}

fn router(v4: bool) -> IpAddr {
    if v4 { "198.51.100.1".parse().unwrap() } else { "2001:db8:ffff::1".parse().unwrap() }
}

/// The same error in both versions: type, code, rest.
type Message = (u8, u8, [u8; 4]);

fn messages() -> impl Strategy<Value = (Message, Message)> {
    prop::sample::select(vec![
        ((3, 1, [0; 4]), (1, 0, [0; 4])),
        ((3, 3, [0; 4]), (1, 4, [0; 4])),
        ((3, 10, [0; 4]), (1, 1, [0; 4])),
        ((3, 2, [0; 4]), (4, 1, [0, 0, 0, 6])),
        ((3, 4, [0, 0, 0x05, 0x64]), (2, 0, [0, 0, 0x05, 0x78])),
        ((11, 0, [0; 4]), (3, 0, [0; 4])),
        ((11, 1, [0; 4]), (3, 1, [0; 4])),
        ((12, 0, [8, 0, 0, 0]), (4, 0, [0, 0, 0, 7])),
        ((12, 0, [12, 0, 0, 0]), (4, 0, [0, 0, 0, 8])),
        ((12, 0, [16, 0, 0, 0]), (4, 0, [0, 0, 0, 24])),
    ])
}

proptest! {
    #[test]
    fn an_error_is_as_if_it_were_about_the_other_packet(
        (from, to) in flows(),
        (in_v4, in_v6) in messages(),
        payload in vec(any::<u8>(), 0..200),
        class in any::<u8>(),
        // Of half a checksum of TCP nobody can tell what it is of another packet.
        kept in (8_usize..250).prop_filter("no half of a checksum", |kept| *kept != 17),
        by_router in any::<bool>(),
        padding in 0_usize..20,
    ) {
        let message = |v4: bool| if v4 { in_v4 } else { in_v6 };
        let quote = |flow: &Flow| {
            let craft = flow.reversed().craft().payload(&payload).traffic_class(class).ttl(3);
            // Short packets that come of IPv6 have no name inside of errors.
            let mut packet = craft.ip_packet();
            packet.truncate(if flow.is_v4() { 20 } else { 40 } + kept);
            packet
        };
        let source = |flow: &Flow| if by_router { router(flow.is_v4()) } else { flow.source.ip() };
        let mut frame = error(&from, source(&from), message(from.is_v4()), &quote(&from)).traffic_class(class).frame();
        frame.resize(frame.len() + padding, 0);
        let parsed_error = parsed(&frame);
        prop_assert_eq!(parsed_error.kind, Kind::IcmpError);
        prop_assert_eq!(Tuple::of(&parsed_error), from.tuple());
        let (result, place) = translated(&frame, &parsed_error, &to, &settings()).unwrap();

        let same = from.is_v4() == to.is_v4();
        let by = if same { source(&to) } else { to.source.ip() };
        let craft = error(&to, by, message(to.is_v4()), &quote(&to)).traffic_class(class).ttl(63);
        let craft = if same { craft } else { craft.identification(crate::rig::IDENTIFICATION) };
        let mut expected = craft.frame();
        check(&expected, 0);
        if same {
            expected.resize(expected.len() + padding, 0);
        }
        prop_assert_eq!(&result, &expected);
        let again = parsed(&result);
        prop_assert_eq!(Tuple::of(&again), to.tuple());
        prop_assert_eq!((again.ip_offset, again.ip_len, again.transport_offset), (place.ip_offset, place.ip_len, place.transport_offset));
    }

    #[test]
    fn the_quoted_number_is_read_and_written((from, to) in flows(), new in any::<u32>(), kept in 8_usize..30) {
        let packet = from.reversed().craft().payload(b"0123456789abcdef").ip_packet();
        let header = if from.is_v4() { 20 } else { 40 };
        let quote = &packet[..(header + kept).min(packet.len())];
        let message = if from.is_v4() { (3, 1, [0; 4]) } else { (1, 0, [0; 4]) };
        let frame = error(&from, from.source.ip(), message, quote).frame();
        let parsed_error = parsed(&frame);
        prop_assert_eq!(quoted_sequence(&frame, &parsed_error), from.tcp.then_some(0x0102_0304));
        let settings = Settings { quoted_sequence: Some(new), ..settings() };
        let (result, _) = translated(&frame, &parsed_error, &to, &settings).unwrap();
        check(&result, 0);
        let again = parsed(&result);
        prop_assert_eq!(quoted_sequence(&result, &again), from.tcp.then_some(new));
        // And the quoted checksum is that of the segment with this number.
        if from.tcp && kept >= 18 {
            let expected = to.reversed().craft().numbers(new, 0xfffe_fdfc).payload(b"0123456789abcdef").ip_packet();
            let start = usize::from(again.transport_offset) + 8;
            let at = if to.is_v4() { 20 } else { 40 };
            prop_assert_eq!(&result[start + at..][..18], &expected[at..][..18]);
        }
    }
}

const V4: [&str; 2] = ["192.0.2.7:40000", "203.0.113.10:80"];
const V6: [&str; 2] = ["[2001:db8::7]:40000", "[2001:db8:10::10]:80"];

fn both() -> [Flow; 2] {
    [Flow::new(V4[0], V4[1], true), Flow::new(V6[0], V6[1], true)]
}

#[test]
fn a_longer_error_is_cut() {
    let [v4, v6] = both();
    let quote = v4.reversed().craft().payload(&[0x61; 1_400]).ip_packet();
    let frame = error(&v4, v4.source.ip(), (3, 1, [0; 4]), &quote).frame();
    let (result, place) = translated(&frame, &parsed(&frame), &v6, &settings()).unwrap();
    assert_eq!((place.ip_len, result.len()), (1_280, 1_294));
    check(&result, 0);
    // What it says of the packet's length is what that had.
    assert_eq!(result[14 + 40 + 8 + 4..][..2], 1_420_u16.to_be_bytes());
    let (back, place) = translated(&result, &parsed(&result), &v4, &settings()).unwrap();
    assert_eq!((place.ip_len, back.len()), (576, 590));
    check(&back, 0);
}

#[test]
fn extensions_behind_the_quote_are_left_out() {
    let [v4, v6] = both();
    // 128 bytes of quote (RFC 4884), of which 20 more are there, then 12 bytes of extensions.
    let mut quote = v4.reversed().craft().payload(&[0x61; 88]).ip_packet();
    assert_eq!(quote.len(), 128);
    quote.extend([0x20, 0, 0, 0, 0, 8, 1, 1, 0, 1, 0x11, 0x40]);
    let frame = error(&v4, v4.source.ip(), (11, 0, [0, 32, 0, 0]), &quote).frame();
    let (result, _) = translated(&frame, &parsed(&frame), &v6, &settings()).unwrap();
    let expected = v6.reversed().craft().payload(&[0x61; 88]).ip_packet();
    assert_eq!(result[54..62], [3, 0, result[56], result[57], 0, 0, 0, 0]);
    assert_eq!(result[62..], expected);
    check(&result, 0);
}

#[test]
fn a_router_that_tells_no_mtu_is_helped_out() {
    let [v4, v6] = both();
    // Of a packet of 1,440 bytes: the next lower MTU there is 1,006, below what IPv6 carries. Of one of 4,000: 2,002.
    for (payload, told) in [(1_400, 1_280_u32), (3_960, 2_022)] {
        let quote = &v4.reversed().craft().payload(&vec![0; payload]).ip_packet()[..100];
        let frame = error(&v4, v4.source.ip(), (3, 4, [0; 4]), quote).frame();
        let settings = Settings { mtu: 9_000, ..settings() };
        let (result, _) = translated(&frame, &parsed(&frame), &v6, &settings).unwrap();
        assert_eq!(result[58..62], told.to_be_bytes());
    }
}

#[test]
fn the_mtu_told_is_one_that_the_own_link_carries() {
    let [v4, v6] = both();
    let quote = v6.reversed().craft().ip_packet();
    let frame = error(&v6, v6.source.ip(), (2, 0, 9_000_u32.to_be_bytes()), &quote).frame();
    let (result, _) = translated(&frame, &parsed(&frame), &v4, &settings()).unwrap();
    assert_eq!(result[34..42], [3, 4, result[36], result[37], 0, 0, 0x05, 0xdc]);
}

#[test]
fn what_the_other_version_cannot_say_is_dropped() {
    let [v4, v6] = both();
    let cases: [(Flow, Flow, Message); 5] = [
        (v4, v6, (3, 14, [0; 4])),
        (v4, v6, (12, 1, [0; 4])),
        (v4, v6, (12, 0, [6, 0, 0, 0])),
        (v6, v4, (4, 2, [0; 4])),
        (v6, v4, (4, 0, [0, 0, 0, 41])),
    ];
    for (from, to, message) in cases {
        let frame = error(&from, from.source.ip(), message, &from.reversed().craft().ip_packet()).frame();
        let refused = translated(&frame, &parsed(&frame), &to, &settings());
        assert_eq!(refused.unwrap_err(), DropReason::NatUntranslatable.into());
        // In its own version it is what it was.
        let same = translated(&frame, &parsed(&frame), &from, &settings()).unwrap().0;
        let start = if from.is_v4() { 34 } else { 54 };
        assert_eq!(same[start..], frame[start..]);
    }
}

#[test]
fn a_quoted_fragment_keeps_its_name() {
    let [v4, v6] = both();
    let quote = v4.reversed().craft().identification(7).fragment(ipv4::MORE_FRAGMENTS).payload(&[1; 24]).ip_packet();
    let frame = error(&v4, v4.source.ip(), (3, 1, [0; 4]), &quote).frame();
    let (result, _) = translated(&frame, &parsed(&frame), &v6, &settings()).unwrap();
    check(&result, 0);
    // Length with the fragment header, which is next; that says TCP, the start, more, and the name.
    assert_eq!(result[66..69], [0, 8 + 44, 44]);
    assert_eq!(result[102..110], [6, 0, 0, 1, 0, 0, 0, 7]);
    let (back, _) = translated(&result, &parsed(&result), &v4, &settings()).unwrap();
    check(&back, 0);
    assert_eq!(back[42..62], frame[42..62]);
}
