//! Fragments: the checksum of the first one covers all of them.

use crate::rig::{Flow, check, flows, parsed, settings, translated};
use guideway_dataplane::craft::Craft;
use guideway_dataplane::drop_reason::DropReason;
use guideway_dataplane::parse::{FragmentPlace, Kind, Parsed, fragment_place};
use guideway_dataplane::wire::{ipv4, protocol};
use proptest::collection::vec;
use proptest::prelude::*;

const NAME: u16 = 0x4321;

/// The first `at` bytes of the datagram in one fragment, the rest in another.
fn fragments(flow: &Flow, payload: &[u8], at: usize) -> [Vec<u8>; 2] {
    let datagram = flow.craft().payload(payload).ip_packet();
    let (first, later) = datagram[if flow.is_v4() { 20 } else { 40 }..].split_at(at);
    [(0, first, true), (at as u16, later, false)].map(|(offset, part, more)| {
        let (source, destination) = (flow.source.ip(), flow.destination.ip());
        let number = flow.tuple().protocol;
        let craft = if flow.is_v4() {
            let field = (offset / 8) | if more { ipv4::MORE_FRAGMENTS } else { 0 };
            Craft::raw(source, destination, number).identification(NAME).fragment(field).payload(part)
        } else {
            let [high, low] = (offset | u16::from(more)).to_be_bytes();
            let [name_high, name_low] = NAME.to_be_bytes();
            let header = [number, 0, high, low, 0, 0, name_high, name_low];
            Craft::raw(source, destination, protocol::FRAGMENT).payload(&[&header, part].concat())
        };
        craft.macs(crate::rig::PORT, crate::rig::GATEWAY).frame()
    })
}

/// What parsing makes of both once the first told the flow.
fn resolve(frames: &[Vec<u8>; 2]) -> [Parsed; 2] {
    let [first, mut later] = [parsed(&frames[0]), parsed(&frames[1])];
    assert_eq!((first.kind, later.kind), (Kind::FirstFragment, Kind::LaterFragment));
    let Parsed { key, protocol, source_port, destination_port, flags, .. } = first;
    later = Parsed { key, protocol, source_port, destination_port, flags, ..later };
    [first, later]
}

proptest! {
    #[test]
    fn a_datagram_is_whole_again(
        (from, to) in flows(), payload in vec(any::<u8>(), 100..1_200), at in 3_usize..10,
    ) {
        let frames = fragments(&from, &payload, at * 8);
        let parsed = resolve(&frames);
        let mut datagram = Vec::<u8>::new();
        for (frame, parsed) in frames.iter().zip(&parsed) {
            let (result, place) = translated(frame, parsed, &to, &settings()).unwrap();
            let again = crate::rig::parsed(&result);
            prop_assert_eq!(again.transport_offset, place.transport_offset);
            prop_assert_eq!(again.kind, parsed.kind);
            let start = usize::from(place.transport_offset);
            let expected = FragmentPlace {
                identification: NAME.into(),
                offset: datagram.len() as u16,
                len: (result.len() - start) as u16,
                more: datagram.is_empty(),
            };
            prop_assert_eq!(fragment_place(&result, &again), Some(expected));
            datagram.extend(&result[start..]);
        }
        let expected = to.craft().payload(&payload).ip_packet();
        prop_assert_eq!(&datagram, &expected[if to.is_v4() { 20 } else { 40 }..]);
        check(&to.craft().payload(&payload).frame(), 0);
    }
}

/// A packet of the flow behind hop-by-hop and destination options of 8 bytes each.
fn with_extensions(flow: &Flow, payload: &[u8]) -> Vec<u8> {
    let load = &flow.craft().payload(payload).ip_packet()[40..];
    let options = |next: u8| [next, 0, 1, 4, 0, 0, 0, 0];
    let chain = [options(protocol::DESTINATION_OPTIONS), options(flow.tuple().protocol)].concat();
    let craft = Craft::raw(flow.source.ip(), flow.destination.ip(), protocol::HOP_BY_HOP);
    craft.macs(crate::rig::PORT, crate::rig::GATEWAY).payload(&[&chain, load].concat()).ip_packet()
}

#[test]
fn extension_headers_stay_in_ipv6_and_are_left_out_in_ipv4() {
    let from = Flow::new("[2001:db8::7]:40000", "[2001:db8:10::10]:80", true);
    let other = Flow::new("[fd00::1]:7", "[fd00::2]:9", true);
    let v4 = Flow::new("10.0.0.1:7", "10.0.0.2:9", true);
    let ethernet = |packet: Vec<u8>| [&from.craft().frame()[..14], &packet].concat();
    let frame = ethernet(with_extensions(&from, b"data"));
    let (result, _) = translated(&frame, &parsed(&frame), &other, &settings()).unwrap();
    let mut expected = ethernet(with_extensions(&other, b"data"));
    expected[21] -= 1;
    assert_eq!(result, expected);
    let (result, _) = translated(&frame, &parsed(&frame), &v4, &settings()).unwrap();
    let expected = crate::rig::named_anew(v4.craft().payload(b"data").ttl(63), 44).frame();
    assert_eq!(result, expected);

    // The same in a quote.
    let quote = with_extensions(&from.reversed(), b"data");
    let craft = Craft::icmp(from.source.ip(), from.destination.ip(), 1, 4, [0; 4]);
    let frame = craft.macs(crate::rig::PORT, crate::rig::GATEWAY).payload(&quote).frame();
    let (result, _) = translated(&frame, &parsed(&frame), &other, &settings()).unwrap();
    check(&result, 0);
    assert_eq!(result[62..], with_extensions(&other.reversed(), b"data"));
    let (result, _) = translated(&frame, &parsed(&frame), &v4, &settings()).unwrap();
    check(&result, 0);
    assert_eq!(result[42..], v4.reversed().craft().payload(b"data").ip_packet());
}

#[test]
fn what_stands_behind_the_fragment_header_cannot_be_left_out() {
    let from = Flow::new("[2001:db8::7]:40000", "[2001:db8:10::10]:80", true);
    let v4 = Flow::new("10.0.0.1:7", "10.0.0.2:9", true);
    let segment = &from.craft().payload(&[7; 20]).ip_packet()[40..];
    let chain = [[60, 0, 0, 1, 0, 0, 0, 9], [6, 0, 1, 4, 0, 0, 0, 0]].concat();
    let craft = Craft::raw(from.source.ip(), from.destination.ip(), protocol::FRAGMENT);
    let frame = craft.macs(crate::rig::PORT, crate::rig::GATEWAY).payload(&[&chain, segment].concat()).frame();
    let fragment = parsed(&frame);
    assert_eq!(fragment.kind, Kind::FirstFragment);
    let refused = translated(&frame, &fragment, &v4, &settings()).unwrap_err();
    assert_eq!(refused, DropReason::NatUntranslatable.into());
    assert!(translated(&frame, &fragment, &Flow::new("[fd00::1]:7", "[fd00::2]:9", true), &settings()).is_ok());
}
