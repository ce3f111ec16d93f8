//! Whole packets of TCP and UDP.

use crate::rig::{Flow, GATEWAY, NEIGHBOR, PORT, check, flows, hop, named_anew, parsed, settings, tagged, translated};
use guideway_dataplane::craft::Craft;
use guideway_dataplane::ids::PortId;
use guideway_dataplane::memory::MemoryPacket;
use guideway_dataplane::nat::forward;
use guideway_dataplane::port::Packet;
use guideway_dataplane::rewrite::Applied;
use guideway_dataplane::wire::ipv4;
use guideway_dataplane::wire::vlan::Tags;
use proptest::collection::vec;
use proptest::prelude::*;

#[derive(Clone, Debug)]
struct Case {
    from: Flow,
    to: Flow,
    payload: Vec<u8>,
    traffic_class: u8,
    ttl: u8,
    identification: u16,
    dont_fragment: bool,
    flow_label: u32,
    options: Vec<u8>,
    padding: usize,
    tags_in: Vec<u8>,
}

fn case() -> impl Strategy<Value = Case> {
    let header = (any::<u8>(), 2_u8.., any::<u16>(), any::<bool>(), any::<u32>());
    // The usual packet, without options and tags, as often as all others together.
    let options = prop_oneof![Just(0), 0_usize..=10].prop_map(|words| vec![1; words * 4]);
    let tags_in = prop::sample::select(vec![0, 0, 4, 8]).prop_map(|len| vec![0xee; len]);
    (flows(), vec(any::<u8>(), 0..1_380), header, options, 0_usize..50, tags_in).prop_map(
        |((from, to), payload, header, options, padding, tags_in)| {
            let (traffic_class, ttl, identification, dont_fragment, flow_label) = header;
            Case {
                from,
                to,
                payload,
                traffic_class,
                ttl,
                identification,
                dont_fragment,
                flow_label,
                options,
                padding,
                tags_in,
            }
        },
    )
}

impl Case {
    fn craft(&self, flow: &Flow) -> Craft {
        flow.craft().payload(&self.payload).traffic_class(self.traffic_class).ttl(self.ttl)
    }

    fn original(&self) -> Craft {
        let fragment = if self.dont_fragment { ipv4::DONT_FRAGMENT } else { 0 };
        let craft = self.craft(&self.from).identification(self.identification).fragment(fragment);
        craft.flow_label(self.flow_label).options(&self.options)
    }

    /// The frame that was made for the other tuple.
    fn expected(&self) -> Vec<u8> {
        let hops = self.ttl - 1;
        let craft = match (self.from.is_v4(), self.to.is_v4()) {
            (true, true) => {
                let fragment = if self.dont_fragment { ipv4::DONT_FRAGMENT } else { 0 };
                let craft = self.craft(&self.to).identification(self.identification).fragment(fragment);
                craft.options(&self.options)
            }
            (false, false) => self.craft(&self.to).flow_label(self.flow_label),
            (true, false) => self.craft(&self.to),
            (false, true) => named_anew(self.craft(&self.to), self.craft(&self.to).ip_packet().len()),
        };
        craft.ttl(hops).frame()
    }

    fn changes_version(&self) -> bool {
        self.from.is_v4() != self.to.is_v4()
    }
}

proptest! {
    #[test]
    fn a_frame_is_as_if_made_for_the_other_tuple(case in case()) {
        let frame = case.original().frame();
        let (mut frame, parsed) = tagged(&frame, &case.tags_in);
        frame.resize(frame.len() + case.padding, 0x77);
        let (result, place) = translated(&frame, &parsed, &case.to, &settings()).unwrap();
        let padding = if case.changes_version() { 0 } else { case.padding };
        let mut expected = case.expected();
        check(&expected, 0);
        expected.splice(12..12, case.tags_in.iter().copied());
        expected.resize(expected.len() + padding, 0x77);
        prop_assert_eq!(&result, &expected);
        prop_assert_eq!(usize::from(place.ip_offset) + usize::from(place.ip_len), result.len() - padding);
        prop_assert_eq!(place.traffic_class, case.traffic_class);
        prop_assert_eq!(place.split, None);
        // It is what parsing says of it.
        let again = crate::rig::parsed(&case.expected());
        let tags = case.tags_in.len() as u16;
        let at = (again.family, again.ip_offset + tags, again.ip_len, again.transport_offset + tags);
        prop_assert_eq!((place.family, place.ip_offset, place.ip_len, place.transport_offset), at);
    }

    #[test]
    fn there_and_back_is_the_same_but_for_hops(case in case()) {
        let case = Case { ttl: case.ttl.max(3), ..case };
        let frame = case.original().frame();
        let (there, _) = translated(&frame, &parsed(&frame), &case.to, &settings()).unwrap();
        let (back, _) = translated(&there, &parsed(&there), &case.from, &settings()).unwrap();
        let plain = case.craft(&case.from).ttl(case.ttl - 2);
        let expected = match (case.from.is_v4(), case.changes_version()) {
            (_, false) => case.original().ttl(case.ttl - 2).frame(),
            (true, true) => named_anew(plain.clone(), plain.ip_packet().len()).frame(),
            (false, true) => plain.frame(),
        };
        prop_assert_eq!(back, expected);
    }

    #[test]
    fn forwarded_frames_have_the_links_header_and_no_padding_of_others(
        case in case(), tags in prop::option::of((0_u16..4_095, 1_u16..4_095)),
    ) {
        let tags = tags.map_or(Tags::NONE, |(svid, vid)| Tags::service(svid, vid));
        let (mut frame, parsed) = tagged(&case.original().frame(), &case.tags_in);
        frame.resize(frame.len().max(60), 0x77);
        let mut packet = MemoryPacket::new(&frame);
        let applied = forward(&mut packet, &parsed, &case.to.tuple(), &settings(), &hop(1_500, tags));
        prop_assert_eq!(applied, Ok(Applied { egress: PortId(3), split: None }));
        let expected = case.expected();
        let front = [&NEIGHBOR[..], &PORT, &tags.bytes(), &expected[12..]].concat();
        prop_assert_eq!(&packet.frame()[..front.len()], &front);
        prop_assert!(packet.frame().len() >= 60);
        let padding = &packet.frame()[front.len()..];
        prop_assert!(!case.changes_version() || padding.iter().all(|byte| *byte == 0));
    }
}

#[test]
fn ipv4_to_ipv6_to_the_byte() {
    let from = Flow::new("192.0.2.7:40000", "203.0.113.10:80", false);
    let to = Flow::new("[2001:db8::7]:5000", "[2001:db8:1::13]:8080", false);
    let frame = from.craft().payload(b"hi").traffic_class(0x2e).frame();
    let (result, _) = translated(&frame, &parsed(&frame), &to, &settings()).unwrap();
    let mut expected = [PORT, GATEWAY].concat();
    // Traffic class 0x2e, no label, 10 bytes of UDP, 63 hops.
    expected.extend([0x86, 0xdd, 0x62, 0xe0, 0, 0, 0, 10, 17, 63]);
    expected.extend([0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7]);
    expected.extend([0x20, 0x01, 0x0d, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x13]);
    expected.extend([0x13, 0x88, 0x1f, 0x90, 0, 10]);
    assert_eq!(result[..60], expected);
    assert_eq!(&result[62..], b"hi");
    check(&result, 0);
}
