//! Decisions against the reference, packet by packet and pin by pin, under any history.

use crate::histories::{Change, History, a_change};
use crate::reference::Reference;
use crate::rig::{FIRST_ID, Rig};
use guideway_dataplane::consistency::{Role, Rules};
use guideway_dataplane::hash::FlowHash;
use guideway_dataplane::pin::PinState;
use proptest::prelude::*;

/// Before the ticks of pins wrap around.
const START: u16 = 8_180;
const FLOWS: u32 = 4;

#[derive(Clone, Copy, Debug)]
enum Event {
    Packet {
        worker: usize,
        flow: u32,
        role: Role,
    },
    Adopt(usize),
    Change(Change),
    /// Time passes, and a sweep goes through the table.
    Pass(u16),
}

fn a_role() -> impl Strategy<Value = Role> {
    // Near the block of the SYN, at its end, and far from it.
    let sequence = prop::sample::select(vec![1_000, 1 << 17, 2 << 17, 1 << 24, u32::MAX]);
    prop_oneof![
        3 => sequence.clone().prop_map(|sequence| Role::Syn { sequence }),
        1 => Just(Role::Initial),
        5 => (sequence.clone(), prop::bool::weighted(0.2)).prop_map(|(sequence, closes)| Role::Segment { sequence, closes }),
        3 => Just(Role::Datagram),
        1 => (any::<bool>(), prop::option::of(sequence)).prop_map(|(closes, sequence)| Role::Follower { closes, sequence }),
    ]
}

fn an_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => (0..2_usize, 0..FLOWS, a_role()).prop_map(|(worker, flow, role)| Event::Packet { worker, flow, role }),
        4 => (0..2_usize).prop_map(Event::Adopt),
        2 => a_change().prop_map(Event::Change),
        // Embryonic and aged pins have five bits for the tick: sweeps are frequent.
        3 => (1..=2_u16).prop_map(Event::Pass),
    ]
}

/// Pins by flow, with their backends' indices.
fn pins(rig: &Rig, now: u16) -> Vec<(u32, u16, PinState)> {
    let live = rig.sweep(now).into_iter();
    let mut pins: Vec<_> = live.map(|pin| (pin.tag(), pin.backend().0 - FIRST_ID, pin.state())).collect();
    pins.sort_unstable();
    pins
}

proptest! {
    #![proptest_config(ProptestConfig::default())]

    #[test]
    fn decisions_are_those_of_the_table(events in prop::collection::vec(an_event(), 1..120)) {
        let (rig, mut reference) = (Rig::new(Rules::ALL, 64), Reference::default());
        let (mut history, mut now) = (History::new(START, false), START);
        for event in events {
            match event {
                Event::Packet { worker, flow, role } => {
                    // The second worker's clock is a tick behind.
                    let tick = now - worker as u16;
                    let state = history.state(worker);
                    // Flows differ in the bits of the tag and of the bucket.
                    let hash = FlowHash(u128::from(flow) | u128::from(flow) << 62);
                    let expected = reference.packet(state, flow, role, tick.into());
                    prop_assert_eq!(rig.packet(state, hash, role, tick), expected, "{:?} {:?}", state, event);
                }
                Event::Adopt(worker) => history.adopt(worker, now),
                Event::Change(change) => history.change(change, now, |_| true),
                Event::Pass(ticks) => {
                    now += ticks;
                    prop_assert_eq!(pins(&rig, now), reference.sweep(now.into()));
                }
            }
        }
        prop_assert_eq!(pins(&rig, now), reference.sweep(now.into()));
    }
}
