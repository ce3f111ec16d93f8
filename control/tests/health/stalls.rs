//! This process being late is no fault of a backend.

use crate::sim::{DEFAULTS, Mode, World, ms, target, target_with, us};
use guideway_config::model::CheckTimes;
use guideway_control::health::{Received, State, Transition};
use std::collections::BTreeMap;
use std::time::Duration;

fn many(count: u16) -> World {
    let targets: Vec<_> = (0..count).map(target).collect();
    let mut world = World::new(&targets);
    world.settle();
    world
}

/// The most SYNs in one millisecond.
fn peak(world: &World) -> usize {
    let mut by_ms: BTreeMap<u64, usize> = BTreeMap::new();
    for sent in world.sent.iter().filter(|sent| sent.packet[33] & 0x02 != 0) {
        *by_ms.entry(sent.at.0 / 1_000_000).or_default() += 1;
    }
    by_ms.into_values().max().unwrap_or(0)
}

#[test]
fn a_control_thread_stopped_for_a_second_changes_no_state() {
    for stop in [ms(11), ms(30), ms(1_000), Duration::from_secs(30), Duration::from_secs(3 * 3_600)] {
        let mut world = many(50);
        world.stop(stop);
        world.turn(None);
        world.run(ms(300));
        assert!(world.events.is_empty(), "{stop:?}: {:?}", world.events);
        for backend in 0..50 {
            let status = world.status(backend);
            assert_eq!((status.state, status.failed), (State::Up, 0), "{stop:?}");
            assert_eq!(status.sent, status.answered + status.void + status.outstanding);
        }
    }
}

#[test]
fn probing_goes_on_after_a_stop_of_any_length() {
    // Times are kept modulo 73 minutes; more than half of that looks like the future.
    for minutes in [9, 11, 36, 37, 45, 73, 74, 110, 146] {
        let mut world = many(5);
        world.stop(Duration::from_secs(60 * minutes));
        world.turn(None);
        let before: Vec<_> = (0..5).map(|backend| world.status(backend).answered).collect();
        world.run(ms(105));
        for (backend, before) in (0..5).zip(before) {
            let answered = world.status(backend).answered - before;
            assert!((4..=6).contains(&answered), "{answered} answers after {minutes} minutes");
        }
    }
}

#[test]
fn an_answer_that_a_worker_still_holds_at_the_timeout_counts() {
    let mut world = many(1);
    let syn = world.next_syn(0);
    world.hosts.clear();
    let before = world.status(0);
    let sent = world.now;
    // Received at 19.9 ms; the poll comes before the worker has handed it over.
    world.run(ms(19));
    world.stop(us(1_100));
    world.turn(None);
    let received = world.receive(sent + us(19_900), &syn.syn_ack().write());
    assert!(matches!(received, Received::Answered { .. }), "{received:?}");
    assert_eq!(world.status(0).failed, before.failed);
}

#[test]
fn what_was_lost_meanwhile_is_void_and_counted() {
    let mut world = many(50);
    world.hosts.values_mut().for_each(|host| host.mode = Mode::Dead);
    world.run(ms(5));
    let outstanding: u32 = (0..50).map(|backend| world.status(backend).outstanding).sum();
    assert!(outstanding > 0);
    world.stop(ms(1_000));
    world.turn(None);
    let void: u32 = (0..50).map(|backend| world.status(backend).void).sum();
    assert_eq!(void, outstanding);
    assert_eq!(world.prober.counters().void, u64::from(void));
    assert!((0..50).all(|backend| world.status(backend).failed == 0));
    // The deaths are real, and found by probes of after the stop.
    let resumed = world.now;
    world.run(ms(200));
    assert_eq!(world.events.iter().filter(|event| event.transition == Transition::Down).count(), 50);
    assert!(world.events.iter().all(|event| event.at.since(resumed) >= ms(30) && event.at.since(resumed) <= ms(80)));
}

#[test]
fn an_answer_received_in_time_counts_although_it_is_read_late() {
    let mut world = many(1);
    world.next_syn(0);
    let answered = world.status(0).answered;
    world.stop(ms(1_000));
    world.turn(None);
    let status = world.status(0);
    assert_eq!((status.answered, status.void), (answered + 1, 0));
    assert!(status.rtt.unwrap().abs_diff(us(200)) < us(3), "by the worker's clock");
}

#[test]
fn a_little_late_is_no_stall() {
    let mut world = many(20);
    world.step = ms(9);
    world.run(ms(500));
    assert!(world.events.is_empty());
    assert_eq!(world.prober.counters().void, 0);
    world.host(3).mode = Mode::Dead;
    world.run(ms(200));
    assert_eq!(world.status(3).state, State::Down, "a loop of 9 ms still judges");
}

#[test]
fn each_timeout_has_its_own_idea_of_late() {
    let long = CheckTimes { timeout: ms(200), ..DEFAULTS };
    let mut world = World::new(&[target(1), target_with(2, long)]);
    world.settle();
    world.hosts.values_mut().for_each(|host| host.mode = Mode::Dead);
    world.run(ms(19));
    world.stop(ms(50));
    world.turn(None);
    assert!(world.status(1).void > 0);
    assert_eq!(world.status(2).void, 0);
}

#[test]
fn a_stalled_worker_voids_what_was_sent_before() {
    let mut world = many(50);
    // The worker neither sends nor receives for 300 ms; the control thread is told so.
    world.hosts.values_mut().for_each(|host| host.mode = Mode::Dead);
    for _ in 0..300 {
        world.stop(ms(1));
        world.turn(Some(world.now));
    }
    assert!(world.events.is_empty());
    assert!((0..50).all(|backend| world.status(backend).failed == 0 && world.status(backend).void >= 10));
    world.hosts.values_mut().for_each(|host| host.mode = Mode::Listening);
    world.run(ms(200));
    assert!(world.events.is_empty());
    // Told once is enough, and it is over with the probes of that time.
    world.host(7).mode = Mode::Dead;
    world.run(ms(100));
    assert_eq!(world.events.len(), 1);
}

#[test]
fn a_stall_told_late_voids_only_what_was_sent_before_its_end() {
    let mut world = many(1);
    world.host(0).mode = Mode::Dead;
    world.next_syn(0);
    let end = world.now;
    world.run(ms(10));
    world.stop(ms(1));
    world.turn(Some(end));
    assert_eq!((world.status(0).void, world.status(0).failed), (1, 0));
    world.run(ms(70));
    assert_eq!(world.status(0).void, 1);
    assert_eq!(world.status(0).state, State::Down);
}

#[test]
fn a_stall_told_for_the_future_does_not_outlast_it() {
    let mut world = many(1);
    world.host(0).mode = Mode::Dead;
    let end = world.now + ms(100);
    world.stop(ms(1));
    world.turn(Some(end));
    world.run(ms(95));
    assert!(world.events.is_empty());
    world.run(ms(80));
    assert_eq!(world.events.len(), 1);
    assert!(world.events[0].at.since(end) >= ms(20));
}

#[test]
fn no_burst_follows_a_stop() {
    let mut world = many(1_000);
    world.run(ms(100));
    let steady = peak(&world);
    for stop in [ms(15), ms(1_000), Duration::from_secs(3_600)] {
        world.sent.clear();
        world.stop(stop);
        world.turn(None);
        world.run(ms(100));
        assert!(world.prober.counters().skipped > 0);
        // What came due within the tolerated 10 ms goes out at once; beyond that rounds are skipped.
        assert!(peak(&world) <= steady * 11, "{} after {stop:?}, {steady} before", peak(&world));
        world.sent.clear();
        world.run(ms(100));
        assert!(peak(&world) <= steady * 2, "{} later, {steady} before", peak(&world));
    }
}
