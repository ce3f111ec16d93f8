//! Backends that live, die, refuse, hang, slow down and flap.

use crate::sim::{DEFAULTS, Mode, World, ms, target, target_v6, target_with, us};
use crate::wire::Segment;
use guideway_config::model::CheckTimes;
use guideway_control::health::{GRACE, HealthEvent, Reason, State, Transition};
use guideway_dataplane::time::Nanos;
use proptest::prelude::*;
use smoltcp::wire::TcpControl;
use std::time::Duration;

/// Largest sum of jitter over a few rounds: each moves by less than a sixteenth of the interval.
const JITTER: Duration = us(1_250);

/// The only event of a run.
fn only(world: &World) -> HealthEvent {
    assert_eq!(world.events.len(), 1, "{:?}", world.events);
    world.events[0]
}

/// Until the first SYN that goes out at or after `from`.
fn wait_for_syn(world: &World, backend: u16, from: Nanos) -> Duration {
    world.syns(backend).iter().find(|(at, _)| *at > from).expect("a SYN").0.since(from)
}

#[test]
fn a_backend_that_answers_is_up_after_rise_answers() {
    for target in [target(1), target_v6(1)] {
        let mut world = World::new(&[target]);
        world.turn(None);
        assert_eq!(world.status(1).state, State::Unknown);
        assert!(world.status(1).state.is_up(), "unknown counts as up");
        world.run(ms(500));
        let event = only(&world);
        assert_eq!((event.transition, event.reason), (Transition::Up, Reason::Answered));
        let status = world.status(1);
        assert_eq!((status.state, status.since, status.reason), (State::Up, event.at, Some(Reason::Answered)));
        let rtt = status.rtt.unwrap();
        assert!(rtt.abs_diff(us(200)) < us(3), "{rtt:?}");
        assert!(!status.slow);
        assert_eq!((status.failed, status.void), (0, 0));
        assert_eq!(status.sent, status.answered + status.outstanding);
        assert!((24..=28).contains(&status.sent), "{} in half a second at 20 ms", status.sent);
        assert_eq!(u64::from(status.sent), world.prober.counters().sent);
    }
}

#[test]
fn a_backend_dead_from_the_start_is_down_after_fall_timeouts() {
    let mut world = World::new(&[target(1)]);
    world.host(1).mode = Mode::Dead;
    world.run_while(ms(500), |world| world.events.is_empty());
    let event = only(&world);
    assert_eq!((event.transition, event.reason), (Transition::Down, Reason::Timeout));
    assert_eq!(world.status(1).failed, 3);
    assert_eq!(world.status(1).state, State::Down);
}

#[test]
fn a_process_that_hangs_with_its_port_open_stays_up() {
    // Its kernel answers, which is all that a TCP check sees.
    let mut world = World::new(&[target(1)]);
    world.settle();
    world.host(1).mode = Mode::Listening;
    world.run(ms(2_000));
    assert_eq!(world.status(1).state, State::Up);
    assert!(world.events.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// Last probe answered, then death at any moment, whatever the phase of the loop.
    #[test]
    fn a_death_is_known_within_80_ms(alive in 0u64..60_000, step in 200u64..1_000) {
        let mut world = World::new(&[target(1)]);
        world.settle();
        world.step = us(step);
        world.run(us(alive));
        let death = world.now;
        world.host(1).mode = Mode::Dead;
        world.run_while(ms(200), |world| world.events.is_empty());
        let event = only(&world);
        prop_assert_eq!((event.transition, event.reason), (Transition::Down, Reason::Timeout));
        let took = event.at.since(death);
        prop_assert!(took <= ms(80), "{took:?}");
        // The rule behind it: the first failing probe goes out within an interval and is known after a timeout; the
        // others follow at the fast interval, and the last one needs its timeout too. Each of the steps is rounded
        // up to a turn of the loop.
        let rule = DEFAULTS.interval + DEFAULTS.timeout * 2 + DEFAULTS.fast_interval * (DEFAULTS.fall - 2);
        prop_assert!(took <= rule + JITTER * 2 + GRACE * 2 + world.step * 4, "{took:?}");
    }

    #[test]
    fn a_refusal_is_known_without_any_timeout(alive in 0u64..60_000, unreachable: bool) {
        let mut world = World::new(&[target(1)]);
        world.settle();
        world.run(us(alive));
        let death = world.now;
        world.host(1).mode = if unreachable { Mode::Unreachable } else { Mode::Refusing };
        world.run_while(ms(200), |world| world.events.is_empty());
        let event = only(&world);
        prop_assert_eq!(event.transition, Transition::Down);
        prop_assert_eq!(event.reason, if unreachable { Reason::Unreachable } else { Reason::Refused });
        // One interval to the first probe, the second at once, the third a fast interval later.
        let rule = DEFAULTS.interval + DEFAULTS.fast_interval;
        prop_assert!(event.at.since(death) <= rule + JITTER * 2 + world.step * 5, "{:?}", event.at.since(death));
    }
}

#[test]
fn refusals_and_unreachables_over_ipv6() {
    for (mode, reason) in [(Mode::Refusing, Reason::Refused), (Mode::Unreachable, Reason::Unreachable)] {
        let mut world = World::new(&[target_v6(1)]);
        world.settle();
        world.host(1).mode = mode;
        world.run(ms(100));
        assert_eq!((only(&world).transition, only(&world).reason), (Transition::Down, reason));
    }
}

#[test]
fn a_single_refusal_asks_for_a_confirming_probe_at_once() {
    let mut world = World::new(&[target(1)]);
    world.settle();
    world.host(1).mode = Mode::Refusing;
    world.run_while(ms(100), |world| world.status(1).failed == 0);
    let refused = world.now;
    world.host(1).mode = Mode::Listening;
    world.run(ms(300));
    assert!(world.syns(1).iter().any(|(at, _)| *at == refused), "in the turn that saw the refusal");
    assert!(world.events.is_empty(), "one refusal is no death");
    assert_eq!(world.status(1).failed, 1);
}

#[test]
fn a_lost_probe_brings_the_next_at_the_fast_interval_and_nothing_else() {
    let mut world = World::new(&[target_with(1, CheckTimes { interval: ms(200), ..DEFAULTS })]);
    world.run(ms(1_000));
    world.events.clear();
    world.host(1).lose_from = 1;
    world.run_while(ms(400), |world| world.status(1).failed == 0);
    let known = world.now;
    world.run(ms(200));
    assert!(wait_for_syn(&world, 1, Nanos(known.0 - 1)) <= ms(1), "the fast interval was over already");
    world.run(ms(1_000));
    assert!(world.events.is_empty());
    let syns = world.syns(1);
    let last = syns[syns.len() - 1].0.since(syns[syns.len() - 2].0);
    assert!(last >= ms(180), "settled again after one success: {last:?}");
}

#[test]
fn slow_is_a_warning_and_slower_than_the_timeout_is_down() {
    let mut world = World::new(&[target(1)]);
    world.settle();
    world.host(1).delay = us(7_500);
    world.run(ms(300));
    assert!(world.events.is_empty());
    assert!(world.status(1).slow);
    assert!(world.status(1).rtt.unwrap().abs_diff(ms(15)) < us(3));

    world.host(1).delay = us(12_500);
    world.run(ms(300));
    assert_eq!((only(&world).transition, only(&world).reason), (Transition::Down, Reason::Timeout));
    let counters = world.prober.counters();
    assert!(counters.late + counters.stale > 0, "its answers came after the timeout");

    world.host(1).delay = us(100);
    world.run(ms(300));
    assert_eq!(world.status(1).state, State::Up);
    assert!(!world.status(1).slow);
}

#[test]
fn overlapping_probes_are_judged_each_by_itself() {
    for delay in [15, 35, 47] {
        let mut world = World::new(&[target_with(1, CheckTimes { timeout: ms(100), ..DEFAULTS })]);
        world.host(1).delay = ms(delay);
        world.run(ms(2_000));
        let status = world.status(1);
        assert_eq!(only(&world).transition, Transition::Up, "delay {delay}");
        assert_eq!(status.failed, 0, "delay {delay}");
        assert!(u64::from(status.outstanding) >= delay * 2 / 20, "several on their way");
        assert!(status.rtt.unwrap().abs_diff(ms(2 * delay)) < us(3), "each by its own send time: {:?}", status.rtt);
    }
}

#[test]
fn overlapping_timeouts_count_each() {
    let mut world = World::new(&[target_with(1, CheckTimes { timeout: ms(100), ..DEFAULTS })]);
    world.settle();
    world.host(1).mode = Mode::Dead;
    let death = world.now;
    world.run_while(ms(500), |world| world.events.is_empty());
    // Probes at 20, 40 and 60 ms after the last answered one; the third of them decides.
    assert!(only(&world).at.since(death) <= ms(20 * 3 + 100) + JITTER + GRACE + ms(4));
    assert_eq!(world.status(1).failed, 3);
    world.run(ms(1_000));
    let status = world.status(1);
    assert!((4..=7).contains(&status.outstanding), "{}", status.outstanding);
    assert_eq!(status.sent, status.answered + status.failed + status.outstanding);
}

#[test]
fn flaps_hold_the_recovery_down_from_the_second_death_on() {
    let mut world = World::new(&[target(1)]);
    world.settle();
    let mut holds = Vec::new();
    for _ in 0..4 {
        world.host(1).mode = Mode::Refusing;
        world.run(ms(500));
        assert_eq!(world.status(1).state, State::Down);
        world.host(1).mode = Mode::Listening;
        let back = world.now;
        world.run(ms(100));
        assert_eq!(world.status(1).state, if holds.is_empty() { State::Up } else { State::HeldDown });
        world.run_while(ms(10_000), |world| world.status(1).state != State::Up);
        assert_eq!(world.status(1).state, State::Up);
        holds.push(world.status(1).since.since(back));
    }
    assert!(holds[0] <= ms(45), "rise probes, the second at the fast interval: {:?}", holds[0]);
    for (flap, hold) in holds[1..].iter().enumerate() {
        let expected = Duration::from_secs(1 << flap);
        assert!(*hold >= expected && *hold <= expected + ms(100), "{holds:?}");
    }
    let transitions: Vec<_> = world.events.iter().map(|event| event.transition).collect();
    assert_eq!(transitions, [Transition::Down, Transition::Up].repeat(4));
}

#[test]
fn a_failure_starts_the_hold_over() {
    let mut world = World::new(&[target(1)]);
    world.settle();
    for _ in 0..2 {
        world.host(1).mode = Mode::Refusing;
        world.run(ms(300));
        world.host(1).mode = Mode::Listening;
        world.run(ms(300));
    }
    assert_eq!(world.status(1).state, State::HeldDown);
    world.run(ms(500));
    world.host(1).lose_from = 1;
    let before = world.status(1).failed;
    world.run_while(ms(200), |world| world.status(1).failed == before);
    let failed = world.now;
    assert_eq!(world.status(1).state, State::Down);
    world.run_while(ms(5_000), |world| world.status(1).state != State::Up);
    assert!(world.status(1).since.since(failed) >= ms(1_000), "the whole hold again");
}

#[test]
fn a_lost_reset_does_not_take_the_backend_down() {
    let mut world = World::new(&[target(1)]);
    world.settle();
    // The RST after the next answer: the SYN itself must arrive.
    world.run_while(ms(100), |world| world.status(1).outstanding == 0);
    world.stop(us(150));
    world.host(1).lose_to = 1;
    world.run(ms(500));
    assert_eq!(world.host(1).lose_to, 0);
    assert!(world.prober.counters().stale > 0, "the host answered with the earlier round's numbers");
    assert!(world.events.is_empty());
    assert_eq!(world.status(1).failed, 1, "the one probe that met the half-open connection");
}

#[test]
fn each_answer_is_reset_with_the_next_sequence_number() {
    let mut world = World::new(&[target(1)]);
    world.settle();
    world.run(ms(200));
    let segments: Vec<_> = world.sent.iter().map(|sent| Segment::read(&sent.packet)).collect();
    let pairs = segments.iter().zip(&segments[1..]).filter(|(a, _)| a.control == TcpControl::Syn);
    let mut count = 0;
    for (syn, rst) in pairs {
        assert_eq!(rst.control, TcpControl::Rst);
        assert_eq!((rst.sequence, rst.acknowledged), (syn.sequence.wrapping_add(1), None));
        count += 1;
    }
    assert!(count >= 8);
}
