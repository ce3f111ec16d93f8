//! Lists of targets: what is kept, what starts afresh, how probes spread.

use crate::sim::{DEFAULTS, Mode, World, ms, target, target_v6, target_with, us};
use crate::wire::Segment;
use guideway_config::model::CheckTimes;
use guideway_control::health::{Ignored, Prober, Received, State, Target, TargetError};
use guideway_dataplane::ids::{BackendId, MAX_BACKENDS};
use guideway_dataplane::time::Nanos;
use smoltcp::wire::TcpControl;
use std::collections::BTreeMap;

#[test]
fn unchanged_targets_keep_their_state() {
    let mut world = World::new(&[target(1), target(2), target(3)]);
    world.settle();
    world.host(2).mode = Mode::Dead;
    world.run(ms(200));
    world.events.clear();
    let before = [world.status(1), world.status(2)];
    let mut targets = vec![target(2), target(40), target(1)];
    world.prober.set_targets(&targets, world.now).unwrap();
    assert_eq!([world.status(1), world.status(2)], before);
    assert_eq!(world.prober.status(BackendId(3)), None, "removed");
    assert_eq!(world.status(40).state, State::Unknown);
    world.add_host(40);
    world.run(ms(200));
    assert_eq!(world.status(1).failed, before[0].failed);
    assert_eq!(world.events.len(), 1, "only the new one's rise");
    assert_eq!(world.status(40).state, State::Up);
    // The same list every few milliseconds delays no probe.
    world.sent.clear();
    for _ in 0..100 {
        targets.rotate_left(1);
        world.run(ms(3));
        world.prober.set_targets(&targets, world.now).unwrap();
    }
    assert!((14..=16).contains(&world.syns(1).len()), "{}", world.syns(1).len());
}

#[test]
fn a_removed_target_is_silent_and_deaf() {
    let mut world = World::new(&[target(1)]);
    world.settle();
    let syn = world.next_syn(1);
    world.prober.set_targets(&[], world.now).unwrap();
    world.sent.clear();
    let received = world.receive(world.now + us(50), &syn.syn_ack().write());
    assert_eq!(received, Received::Ignored(Ignored::NotOurs));
    world.run(ms(500));
    assert!(world.sent.is_empty() && world.events.is_empty());
}

#[test]
fn a_target_that_comes_back_starts_afresh_with_new_numbers() {
    let mut world = World::new(&[target(1)]);
    world.settle();
    let old = world.next_syn(1);
    world.prober.set_targets(&[], world.now).unwrap();
    world.run(ms(1));
    world.add_host(1);
    world.prober.set_targets(&[target(1)], world.now).unwrap();
    assert_eq!((world.status(1).state, world.status(1).sent), (State::Unknown, 0));
    let new = world.next_syn(1);
    assert_ne!(old.sequence, new.sequence);
    let received = world.receive(world.now, &old.syn_ack().write());
    assert!(matches!(received, Received::Ignored(_)), "an answer to its former self: {received:?}");
    world.run(ms(100));
    assert_eq!(world.status(1).failed, 0, "nor does a probe of its former self expire");
    assert_eq!(world.status(1).state, State::Up);
}

#[test]
fn the_schedule_of_a_former_self_is_forgotten() {
    let check = CheckTimes { interval: ms(5_000), rise: 1, ..DEFAULTS };
    let mut world = World::new(&[target_with(1, check)]);
    world.run(ms(2_500));
    world.prober.set_targets(&[], world.now).unwrap();
    world.prober.set_targets(&[target_with(1, check)], world.now).unwrap();
    world.run(ms(100));
    assert_eq!(world.syns(1).len(), 2);
    world.run(ms(4_000));
    assert_eq!(world.syns(1).len(), 2, "the next is due 5 s after the second");
    world.run(ms(1_500));
    assert_eq!(world.syns(1).len(), 3);
}

#[test]
fn new_addresses_start_afresh() {
    let other = "203.0.113.99".parse().unwrap();
    for changed in [
        Target { destination: other, ..target(1) },
        Target { source: other, ..target(1) },
        Target { port: 81, ..target(1) },
        target_v6(1),
    ] {
        let mut world = World::new(&[target(1)]);
        world.settle();
        world.prober.set_targets(&[changed], world.now).unwrap();
        assert_eq!(world.status(1).state, State::Unknown);
        let syn = world.next_syn(1);
        assert_eq!((syn.destination, syn.destination_port), (changed.destination, changed.port));
        world.run(ms(100));
        assert_eq!(world.status(1).state, State::Up);
    }
}

#[test]
fn another_check_keeps_the_state_and_counts_at_once() {
    let slow = CheckTimes { interval: ms(5_000), ..DEFAULTS };
    let mut world = World::new(&[target_with(1, slow)]);
    world.run(ms(12_000));
    assert_eq!(world.status(1).state, State::Up);
    world.events.clear();
    world.sent.clear();
    let since = world.status(1).since;
    world.prober.set_targets(&[target(1)], world.now).unwrap();
    world.run(ms(200));
    assert_eq!((world.status(1).state, world.status(1).since), (State::Up, since));
    assert!((9..=12).contains(&world.syns(1).len()), "{}", world.syns(1).len());
}

#[test]
fn lists_that_cannot_be_probed_change_nothing() {
    let mut prober = Prober::new([1; 16]);
    let now = Nanos(5);
    prober.set_targets(&[target(4)], now).unwrap();
    let beyond = MAX_BACKENDS as u16;
    assert_eq!(prober.set_targets(&[target(beyond)], now), Err(TargetError::OutOfRange(BackendId(beyond))));
    assert_eq!(prober.set_targets(&[target(7), target(7)], now), Err(TargetError::Duplicate(BackendId(7))));
    let mixed = Target { source: target_v6(1).source, ..target(9) };
    let error = prober.set_targets(&[target(8), mixed], now).unwrap_err();
    assert!(matches!(error, TargetError::MixedFamilies { backend: BackendId(9), .. }));
    assert!(error.to_string().contains("203.0.113.10") && error.to_string().contains("fd00::1"), "{error}");
    assert!(prober.status(BackendId(4)).is_some());
    assert!([7, 8, 9].iter().all(|&id| prober.status(BackendId(id)).is_none()));
}

#[test]
fn a_single_new_target_is_probed_at_once() {
    let mut world = World::new(&[target(1)]);
    world.turn(None);
    assert_eq!(world.sent.len(), 1);
}

#[test]
fn a_thousand_targets_make_no_burst() {
    let targets: Vec<_> = (0..1_000).map(target).collect();
    let mut world = World::new(&targets);
    world.step = us(500);
    world.run(ms(3_000));
    let mut by_ms: BTreeMap<u64, u32> = BTreeMap::new();
    let mut by_backend = vec![Vec::new(); 1_000];
    for sent in &world.sent {
        if Segment::read(&sent.packet).control == TcpControl::Syn {
            *by_ms.entry(sent.at.0 / 1_000_000).or_default() += 1;
            by_backend[usize::from(sent.backend)].push(sent.at);
        }
    }
    // 50 on average. While they rise, two streams overlap.
    let bound =
        |from: u64| by_ms.iter().filter(|(at, _)| **at >= world.now.0 / 1_000_000 - from).map(|(_, n)| *n).max();
    assert!(bound(3_000).unwrap() <= 160, "{:?}", bound(3_000));
    assert!(bound(2_500).unwrap() <= 100, "{:?}", bound(2_500));
    for sent in by_backend {
        assert!((149..=154).contains(&sent.len()), "{} in three seconds", sent.len());
        let steady = sent.windows(2).skip(5).map(|pair| pair[1].since(pair[0]));
        assert!(steady.into_iter().all(|gap| gap >= us(18_000) && gap <= us(22_000)));
    }
}

#[test]
fn jitter_varies_from_round_to_round() {
    let mut world = World::new(&[target(1)]);
    world.step = us(50);
    world.settle();
    world.run(ms(1_000));
    let syns = world.syns(1);
    let gaps: Vec<_> = syns.windows(2).map(|pair| pair[1].0.since(pair[0].0)).collect();
    assert!(gaps.iter().max() > gaps.iter().min().map(|least| *least + us(500)).as_ref(), "{gaps:?}");
}
