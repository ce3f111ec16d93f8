//! Any bytes: no panic, no change.

use crate::sim::{World, ms, target, target_v6, us};
use crate::wire::unreachable;
use guideway_control::health::{Received, Status};
use guideway_dataplane::ids::BackendId;
use proptest::prelude::*;
use std::cell::RefCell;

/// Two backends, one for each family, with a probe on its way to each.
fn world() -> World {
    let mut world = World::new(&[target(1), target_v6(2)]);
    world.settle();
    world.hosts.clear();
    let _ = (world.next_syn(1), world.next_syn(2));
    world
}

fn statuses(world: &World) -> [Status; 2] {
    [1, 2].map(|backend| world.prober.status(BackendId(backend)).unwrap())
}

/// Packets that would count.
fn answers(world: &World) -> Vec<Vec<u8>> {
    let mut packets = Vec::new();
    for backend in [1, 2] {
        let syn = world.syns(backend).last().unwrap().1;
        packets.extend([syn.syn_ack().write(), syn.refusal().write(), unreachable(&syn.write())]);
    }
    packets
}

/// The offset of the 32 bits that carry the cookie in each of [`answers`], all but one bit of which prove it.
const COOKIES: [usize; 6] = [28, 28, 20 + 8 + 20 + 4, 48, 48, 40 + 8 + 40 + 4];

thread_local! {
    static WORLD: RefCell<World> = RefCell::new(world());
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config(10_000))]

    #[test]
    fn random_bytes_change_nothing(bytes in prop::collection::vec(any::<u8>(), 0..120), version in 0u8..3) {
        WORLD.with_borrow_mut(|world| {
            let mut bytes = bytes;
            // Two in three look like IP, so that more than the first check is reached.
            if let Some(first) = bytes.first_mut() && version > 0 {
                *first = if version == 1 { 0x45 } else { 0x60 };
            }
            let before = statuses(world);
            let received = world.receive(world.now + us(10), &bytes);
            prop_assert!(matches!(received, Received::Ignored(_)));
            prop_assert_eq!(statuses(world), before);
            Ok(())
        })?;
    }

    #[test]
    fn a_wrong_cookie_in_a_perfect_packet_changes_nothing(which in 0usize..6, flip in 1u32..) {
        WORLD.with_borrow_mut(|world| {
            let mut packet = answers(world).swap_remove(which);
            let cookie = &mut packet[COOKIES[which]..][..4];
            let value = u32::from_be_bytes(cookie.try_into().unwrap()) ^ flip;
            cookie.copy_from_slice(&value.to_be_bytes());
            let (before, sent) = (statuses(world), world.sent.len());
            let received = world.receive(world.now + us(10), &packet);
            // At most the reset of a connection that is none of ours.
            prop_assert!(world.sent.len() <= sent + 1);
            world.sent.truncate(sent);
            prop_assert!(matches!(received, Received::Ignored(_)));
            prop_assert_eq!(statuses(world), before);
            Ok(())
        })?;
    }
}

proptest! {
    #![proptest_config(config(400))]

    /// Damage elsewhere may leave a packet that counts; it never panics, nor touches the other backend.
    #[test]
    fn damaged_answers_never_panic(
        which in 0usize..6,
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut: Option<prop::sample::Index>,
        late in 0u64..100,
    ) {
        let mut world = world();
        let mut packet = answers(&world).swap_remove(which);
        for (at, value) in damage {
            let at = at.index(packet.len());
            packet[at] = value;
        }
        if let Some(cut) = cut {
            packet.truncate(cut.index(packet.len()));
        }
        let other = if which < 3 { 1 } else { 0 };
        let before = statuses(&world);
        let received = world.receive(world.now + ms(late), &packet);
        prop_assert_eq!(statuses(&world)[other], before[other]);
        if matches!(received, Received::Ignored(_)) {
            prop_assert_eq!(statuses(&world), before);
        }
    }
}
