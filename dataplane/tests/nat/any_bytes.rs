//! Frames that are broken anywhere: whatever is translated can be parsed again.

use crate::rig::{Flow, PORT, flows, settings};
use guideway_dataplane::craft::Craft;
use guideway_dataplane::memory::MemoryPacket;
use guideway_dataplane::nat::{Settings, quoted_sequence, translate};
use guideway_dataplane::parse::{Kind, Outcome, Parsed, parse};
use guideway_dataplane::port::Packet;
use guideway_dataplane::snapshot::PortState;
use proptest::collection::vec;
use proptest::prelude::*;

fn message(v4: bool) -> impl Strategy<Value = u8> {
    prop::sample::select(if v4 { vec![3, 11, 12] } else { vec![1, 2, 3, 4] })
}

/// A packet of the flow, or an error that quotes one of the other direction, with checksums that are right.
fn frame(flow: Flow, error: bool) -> BoxedStrategy<Vec<u8>> {
    let packet = vec(any::<u8>(), 0..300);
    if !error {
        return packet.prop_map(move |payload| flow.craft().payload(&payload).frame()).boxed();
    }
    let breaks = vec((0_usize..100, any::<u8>()), 0..6);
    (packet, message(flow.is_v4()), 0_u8..16, any::<[u8; 4]>(), breaks, 0_usize..200)
        .prop_map(move |(payload, message, code, rest, breaks, len)| {
            let mut quote = flow.reversed().craft().payload(&payload).ip_packet();
            quote.truncate(len + 28);
            for (at, byte) in breaks {
                let end = quote.len();
                quote[at % end] = byte;
            }
            let craft = Craft::icmp(flow.source.ip(), flow.destination.ip(), message, code, rest);
            craft.macs(PORT, [2; 6]).payload(&quote).frame()
        })
        .boxed()
}

fn case() -> impl Strategy<Value = (Vec<u8>, Flow, Vec<(usize, u8)>)> {
    (flows(), any::<bool>())
        .prop_flat_map(|((from, to), error)| (frame(from, error), Just(to), vec((0_usize..120, any::<u8>()), 0..4)))
}

fn attempt(frame: &[u8], to: &Flow) -> Option<(Parsed, Vec<u8>)> {
    let Outcome::Packet(parsed) = parse(frame, frame.len(), &PortState::new(PORT)) else { return None };
    let mut packet = MemoryPacket::new(frame);
    let sequence = quoted_sequence(frame, &parsed).map(|old| old.wrapping_add(77));
    let settings = Settings { quoted_sequence: sequence, ..settings() };
    let result = translate(&mut packet, &parsed, &to.tuple(), &settings);
    if result.is_err() {
        assert_eq!(packet.frame(), frame);
    }
    let place = result.ok()?;
    let again = match parse(packet.frame(), packet.total_len(), &PortState::new(PORT)) {
        Outcome::Packet(again) => again,
        other => panic!("{other:?} of {parsed:?}"),
    };
    assert_eq!((again.ip_offset, again.ip_len, again.family), (place.ip_offset, place.ip_len, place.family));
    Some((again, packet.frame().to_vec()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn what_is_translated_can_be_parsed_again((mut frame, to, breaks) in case()) {
        for (at, byte) in breaks {
            let end = frame.len();
            frame[at % end] = byte;
        }
        if let Some((again, result)) = attempt(&frame, &to)
            && again.kind == Kind::IcmpError
            && let Some(new) = quoted_sequence(&result, &again)
        {
            let Outcome::Packet(parsed) = parse(&frame, frame.len(), &PortState::new(PORT)) else { unreachable!() };
            prop_assert_eq!(Some(new.wrapping_sub(77)), quoted_sequence(&frame, &parsed));
        }
    }
}
