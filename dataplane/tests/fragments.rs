//! The table of fragments against what is known of the datagrams, for any order in which their fragments come.

use guideway_dataplane::craft::Craft;
use guideway_dataplane::drop_reason::DropReason;
use guideway_dataplane::fragment::{
    Fragments, HOLD_TIME, LIFETIME, LULL, MOST_HELD, MOST_HELD_OF_ONE, Released, Resolved,
};
use guideway_dataplane::hash::FlowHasher;
use guideway_dataplane::ids::PortId;
use guideway_dataplane::memory::MemoryPacket;
use guideway_dataplane::parse::{Outcome, Parsed, parse};
use guideway_dataplane::port::Packet;
use guideway_dataplane::snapshot::PortState;
use guideway_dataplane::time::Nanos;
use guideway_dataplane::wire::protocol;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::time::Duration;

const START: Nanos = Nanos(1_000_000_000);
const PORT: PortId = PortId(0);

/// A fragment of a UDP datagram from a client port: its place, and whether more follow.
fn fragment(datagram: u16, offset: u16, len: u16, more: bool, ipv6: bool) -> Vec<u8> {
    let client_port = 10_000 + datagram;
    let mut payload = vec![0xda; usize::from(len)];
    if offset == 0 && len >= 8 {
        payload[..8].copy_from_slice(&[(client_port >> 8) as u8, client_port as u8, 0, 53, 0x20, 0, 0x12, 0x34]);
    }
    let mac = ([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 0xfe]);
    if ipv6 {
        let header = (offset | u16::from(more)).to_be_bytes();
        let extension = [&[protocol::UDP, 0], &header[..], &u32::from(datagram).to_be_bytes()].concat();
        let (source, vip) = ("2001:db8::7".parse().unwrap(), "2001:db8:10::10".parse().unwrap());
        Craft::raw(source, vip, protocol::FRAGMENT).macs(mac.0, mac.1).payload(&[extension, payload].concat()).frame()
    } else {
        let (source, vip) = ("192.0.2.7".parse().unwrap(), "203.0.113.10".parse().unwrap());
        let field = (offset / 8) | if more { 0x2000 } else { 0 };
        let craft = Craft::raw(source, vip, protocol::UDP).macs(mac.0, mac.1).fragment(field).payload(&payload);
        let mut frame = craft.frame();
        frame[18..20].copy_from_slice(&datagram.to_be_bytes());
        let sum = guideway_dataplane::wire::checksum::of(&[&frame[14..24], &[0, 0], &frame[26..34]].concat());
        frame[24..26].copy_from_slice(&sum.to_be_bytes());
        frame
    }
}

fn parsed(frame: &[u8]) -> Parsed {
    match parse(frame, frame.len(), &PortState::new([2, 0, 0, 0, 0, 1])) {
        Outcome::Packet(parsed) => parsed,
        other => panic!("{other:?}"),
    }
}

struct Bench {
    fragments: Fragments<MemoryPacket>,
    now: Nanos,
    /// Frames by the client port of the flow that they were given.
    by_flow: BTreeMap<u16, Vec<Vec<u8>>>,
    dropped: Vec<DropReason>,
    held: usize,
}

impl Bench {
    fn new() -> Self {
        let fragments = Fragments::new(FlowHasher::new([7; 16]));
        Self { fragments, now: START, by_flow: BTreeMap::new(), dropped: Vec::new(), held: 0 }
    }

    fn offer(&mut self, frame: &[u8]) {
        let mut parsed = parsed(frame);
        match self.fragments.resolve(PORT, frame, &mut parsed, self.now) {
            Resolved::Flow => self.by_flow.entry(parsed.source_port).or_default().push(frame.to_vec()),
            Resolved::Unknown => match self.fragments.hold(PORT, MemoryPacket::new(frame), &parsed, self.now) {
                Ok(()) => self.held += 1,
                Err(reason) => self.dropped.push(reason),
            },
            Resolved::Refused(reason) => self.dropped.push(reason),
        }
        self.release();
    }

    fn release(&mut self) {
        while let Some(released) = self.fragments.next_released(self.now) {
            self.held -= 1;
            match released {
                Released::Known { packet, port, first } => {
                    assert_eq!(port, PORT);
                    let mut parsed = parsed(packet.frame());
                    first.complete(&mut parsed);
                    self.by_flow.entry(parsed.source_port).or_default().push(packet.frame().to_vec());
                }
                Released::Refused { reason, .. } => self.dropped.push(reason),
            }
        }
    }

    fn later(&mut self, by: Duration) {
        self.now = self.now + by;
        self.release();
    }
}

#[test]
fn in_order_each_fragment_goes_with_the_first() {
    for ipv6 in [false, true] {
        let mut bench = Bench::new();
        for (offset, more) in [(0, true), (1_400, true), (2_800, false)] {
            bench.offer(&fragment(1, offset, 1_400, more, ipv6));
        }
        assert_eq!(bench.by_flow[&10_001].len(), 3);
        assert_eq!(bench.dropped, []);
    }
}

#[test]
fn the_rest_waits_for_the_first_and_keeps_its_order() {
    for ipv6 in [false, true] {
        let mut bench = Bench::new();
        let [first, second, third] =
            [(0, true), (1_400, true), (2_800, false)].map(|(offset, more)| fragment(1, offset, 1_400, more, ipv6));
        bench.offer(&third);
        bench.offer(&second);
        assert_eq!((bench.held, bench.by_flow.len()), (2, 0));
        bench.offer(&first);
        assert_eq!(bench.held, 0);
        assert_eq!(bench.by_flow[&10_001], [first, third, second]);
    }
}

#[test]
fn a_wait_ends() {
    let mut bench = Bench::new();
    bench.offer(&fragment(1, 1_400, 1_400, false, false));
    bench.later(HOLD_TIME / 2);
    bench.offer(&fragment(2, 1_400, 1_400, false, false));
    bench.later(HOLD_TIME / 2);
    assert_eq!((bench.held, bench.dropped.as_slice()), (1, [DropReason::FragmentExpired].as_slice()));
    // The first fragment is in time for what comes after it.
    bench.offer(&fragment(1, 0, 1_400, true, false));
    bench.offer(&fragment(2, 0, 1_400, true, false));
    assert_eq!((bench.held, bench.by_flow[&10_001].len(), bench.by_flow[&10_002].len()), (0, 1, 2));
}

#[test]
fn copies_are_dropped_alone_and_overlaps_with_all_that_follows() {
    let mut bench = Bench::new();
    let pieces = [(0, true), (800, true), (1_600, true)].map(|(offset, more)| fragment(1, offset, 800, more, false));
    for piece in [&pieces[0], &pieces[0], &pieces[1], &pieces[1]] {
        bench.offer(piece);
    }
    assert_eq!(bench.dropped, [DropReason::FragmentOverlap; 2]);
    assert_eq!(bench.by_flow[&10_001].len(), 2);
    // Half of it is new: now nobody knows what the datagram says.
    bench.offer(&fragment(1, 1_200, 800, true, false));
    bench.offer(&pieces[2]);
    assert_eq!(bench.dropped, [DropReason::FragmentOverlap; 4]);
    // Until it is forgotten.
    bench.later(LIFETIME);
    bench.offer(&pieces[0]);
    assert_eq!(bench.by_flow[&10_001].len(), 3);
}

#[test]
fn who_goes_on_sending_keeps_no_identification_poisoned() {
    let mut bench = Bench::new();
    bench.offer(&fragment(1, 0, 800, true, false));
    bench.offer(&fragment(1, 400, 800, true, false));
    let step = LIFETIME / 10;
    for _ in 0..9 {
        bench.later(step);
        bench.offer(&fragment(1, 800, 8, true, false));
    }
    assert_eq!(bench.dropped.len(), 10);
    bench.later(step);
    bench.offer(&fragment(1, 0, 800, true, false));
    assert_eq!((bench.dropped.len(), bench.by_flow[&10_001].len()), (10, 2));
}

#[test]
fn nothing_lies_behind_the_end() {
    for contradiction in [(2_400, 800, true), (800, 800, false), (2_400, 8, false), (1_600, 800, true)] {
        let mut bench = Bench::new();
        bench.offer(&fragment(1, 0, 800, true, false));
        bench.offer(&fragment(1, 1_600, 800, false, false));
        let (offset, len, more) = contradiction;
        bench.offer(&fragment(1, offset, len, more, false));
        assert_eq!(bench.dropped, [DropReason::FragmentOverlap], "{contradiction:?}");
        bench.offer(&fragment(1, 800, 800, true, false));
        assert_eq!(bench.dropped.len(), 2, "{contradiction:?}");
    }
}

#[test]
fn what_cannot_be_a_fragment_is_refused() {
    for (offset, len, more, reason) in [
        (0, 801, true, DropReason::FragmentInvalid),
        (800, 0, false, DropReason::FragmentInvalid),
        (65_528, 8, false, DropReason::FragmentInvalid),
    ] {
        let mut bench = Bench::new();
        bench.offer(&fragment(1, offset, len, more, false));
        assert_eq!(bench.dropped, [reason], "{offset} {len}");
    }
}

#[test]
fn one_datagram_holds_so_many_and_all_together_so_many() {
    let mut bench = Bench::new();
    for number in 0..MOST_HELD_OF_ONE as u16 + 1 {
        bench.offer(&fragment(1, 8 + number * 8, 8, true, false));
    }
    assert_eq!((bench.held, bench.dropped.as_slice()), (MOST_HELD_OF_ONE, [DropReason::FragmentTooMany].as_slice()));
    for datagram in 2..MOST_HELD as u16 {
        for number in 0..2 {
            bench.offer(&fragment(datagram, 8 + number * 8, 8, true, false));
        }
    }
    assert_eq!(bench.held, MOST_HELD);
    assert_eq!(bench.dropped.last(), Some(&DropReason::FragmentFull));
    bench.later(HOLD_TIME);
    assert_eq!(bench.held, 0);
}

#[test]
fn a_datagram_has_so_many_fragments_and_so_many_gaps() {
    let mut bench = Bench::new();
    for number in 0..200 {
        bench.offer(&fragment(1, number * 8, 8, true, false));
    }
    assert_eq!((bench.by_flow[&10_001].len(), bench.dropped.len()), (128, 72));
    assert!(bench.dropped.iter().all(|reason| *reason == DropReason::FragmentTooMany));
    let mut bench = Bench::new();
    for number in 0..20 {
        bench.offer(&fragment(1, number * 16, 8, true, false));
    }
    assert_eq!((bench.by_flow[&10_001].len(), bench.dropped.len()), (16, 4));
}

#[test]
fn an_identification_is_used_again_after_the_datagram_or_after_a_lull() {
    let mut bench = Bench::new();
    for _ in 0..3 {
        bench.offer(&fragment(1, 0, 800, true, false));
        bench.offer(&fragment(1, 800, 800, false, false));
    }
    assert_eq!((bench.by_flow[&10_001].len(), bench.dropped.len()), (6, 0));
    bench.offer(&fragment(1, 0, 800, true, false));
    bench.later(LULL);
    bench.offer(&fragment(1, 0, 800, true, false));
    assert_eq!((bench.by_flow[&10_001].len(), bench.dropped.len()), (8, 0));
}

#[test]
fn made_up_fragments_push_out_no_datagram_whose_first_is_known() {
    let mut bench = Bench::new();
    for datagram in 0..64 {
        bench.offer(&fragment(datagram, 0, 800, true, true));
    }
    for datagram in 64..50_000 {
        bench.offer(&fragment(datagram, 800, 8, true, true));
    }
    for datagram in 0..64 {
        bench.offer(&fragment(datagram, 800, 800, false, true));
        assert_eq!(bench.by_flow[&(10_000 + datagram)].len(), 2);
    }
}

#[test]
fn a_clock_that_steps_back_expires_nothing() {
    let mut bench = Bench::new();
    bench.offer(&fragment(1, 800, 800, false, false));
    bench.now = Nanos(0);
    bench.release();
    assert_eq!(bench.held, 1);
    bench.offer(&fragment(1, 0, 800, true, false));
    assert_eq!(bench.by_flow[&10_001].len(), 2);
}

/// For each datagram the lengths of its fragments in units of 8 bytes, and an order to send them all in.
fn datagrams() -> impl Strategy<Value = (Vec<Vec<u16>>, Vec<usize>)> {
    prop::collection::vec(prop::collection::vec(1_u16..40, 1..12), 1..20).prop_flat_map(|datagrams| {
        let count = datagrams.iter().map(Vec::len).sum::<usize>();
        (Just(datagrams), Just((0..count).collect::<Vec<_>>()).prop_shuffle())
    })
}

proptest! {
    #[test]
    fn any_order_within_the_hold_time_gives_every_fragment_its_flow(
        (datagrams, order) in datagrams(),
        ipv6 in any::<bool>(),
        steps in prop::collection::vec(0_u64..1_000, 20 * 12),
    ) {
        let mut frames = Vec::new();
        for (datagram, lengths) in (0..).zip(&datagrams) {
            let mut offset = 0;
            for (number, len) in lengths.iter().enumerate() {
                let more = number + 1 < lengths.len();
                // A datagram in one piece is none in fragments: those that would be are left whole by having two.
                frames.push((datagram, fragment(datagram, offset, len * 8, more || lengths.len() == 1, ipv6)));
                offset += len * 8;
            }
        }
        let mut bench = Bench::new();
        let mut expected = BTreeMap::<u16, Vec<Vec<u8>>>::new();
        for (index, step) in order.into_iter().zip(steps) {
            bench.now = bench.now + Duration::from_nanos(step * 400);
            let (datagram, frame) = &frames[index];
            expected.entry(10_000 + datagram).or_default().push(frame.clone());
            bench.offer(frame);
        }
        prop_assert_eq!(&bench.dropped, &vec![]);
        prop_assert_eq!(bench.held, 0);
        for (flow, frames) in &mut expected {
            frames.sort();
            let mut given = bench.by_flow.remove(flow).unwrap_or_default();
            given.sort();
            prop_assert_eq!(&given, frames);
        }
        prop_assert!(bench.by_flow.is_empty());
    }

    #[test]
    fn whatever_comes_is_accounted_for(
        offers in prop::collection::vec((0_u16..6, 0_u16..40, 0_u16..8, any::<bool>(), any::<bool>(), 0_u64..40), 1..400),
    ) {
        let mut bench = Bench::new();
        let count = offers.len();
        for (datagram, offset, len, more, ipv6, millis) in offers {
            // Neither offset nor more is no fragment.
            let more = more || offset == 0;
            let len = if offset == 0 { len.max(1) } else { len };
            bench.offer(&fragment(datagram, offset * 8, len * 8, more, ipv6));
            bench.later(Duration::from_millis(millis));
            let given = bench.by_flow.values().map(Vec::len).sum::<usize>();
            prop_assert!(given + bench.dropped.len() + bench.held <= count);
        }
        bench.later(HOLD_TIME);
        let given = bench.by_flow.values().map(Vec::len).sum::<usize>();
        prop_assert_eq!(given + bench.dropped.len(), count);
    }
}
