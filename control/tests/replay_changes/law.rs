//! The law: no live flow whose backend stays eligible changes backend. Flows whose packets come to two workers, whole ones
//! to one and fragments to another, while workers learn of changes at different times.

use crate::support::{
    Capture, IDLE, Journey, Outcome, actions, config, config_with, data, data_fragments, datagram, datagram_fragments,
    fin, moves, syn,
};
use guideway_control::replay::Options;
use std::collections::BTreeMap;

/// Numbers from a seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// When captures of this file end.
const END: u64 = 14_000;

/// Flows that begin at any time, never silent for as long as T: TCP and UDP, every second packet in fragments. Of TCP, a
/// whole packet comes within every T, as fragments of it create no pins.
fn traffic(seed: u64) -> Capture {
    let mut random = Random(seed);
    let mut capture = Capture::default();
    // So that times of changes are those of packets.
    capture.add(0, syn(9_999));
    let mut identification = 0_u16;
    for flow in 0..120 {
        let is_tcp = flow % 2 == 0;
        let mut at = random.below(END - 3_000);
        if is_tcp {
            capture.add(at, syn(flow));
            // Sent again within G.
            if random.below(3) == 0 {
                capture.add(at + 1 + random.below(150), syn(flow));
            }
        }
        let end = at + random.below(END - at);
        let mut turn = random.below(2);
        while at < end {
            at += 1 + random.below(IDLE / 2 - 25);
            identification += 1;
            turn += 1;
            match (is_tcp, turn % 2) {
                (true, 0) => drop(capture.add(at, data(flow))),
                (false, 0) => drop(capture.add(at, datagram(flow))),
                (true, _) => add_all(&mut capture, at, data_fragments(flow, identification)),
                (false, _) => add_all(&mut capture, at, datagram_fragments(flow, identification)),
            }
        }
        if is_tcp && turn.is_multiple_of(3) {
            capture.add(at + 1, fin(flow)).add(at + 20, fin(flow));
        }
    }
    capture
}

fn add_all(capture: &mut Capture, at: u64, frames: [Vec<u8>; 2]) {
    for frame in frames {
        capture.add(at, frame);
    }
}

fn run(seed: u64, workers: u16, skew: Option<u64>, change: &[(&str, &str)]) -> Outcome {
    traffic(seed).run(&config(), &Options { workers, skew, ..actions(change) })
}

fn run_always(seed: u64, skew: u64, change: &[(&str, &str)]) -> Outcome {
    let config = config_with("tracking = \"always\"");
    traffic(seed).run(&config, &Options { workers: 3, skew: Some(skew), ..actions(change) })
}

/// Flows that changed backend, with all that happened to them.
fn moved(outcome: &Outcome) -> BTreeMap<String, Journey> {
    outcome.journeys().into_iter().filter(|(_, journey)| !moves(journey).is_empty()).collect()
}

/// Changes that take eligibility from nobody.
const PLANNED: [&[(&str, &str)]; 4] = [
    &[("2s", "drain web/web1"), ("6s", "enable web/web1")],
    &[
        ("2s", "weight web/web2 4"),
        ("2.1s", "drain web/web3"),
        ("5s", "weight web/web2 0"),
        ("5.3s", "enable web/web3"),
    ],
    &[
        ("2s", "add web/web5 10.0.0.15"),
        ("2.5s", "remove web/web3"),
        ("7s", "remove web/web5"),
        ("7s", "drain web/web1"),
    ],
    &[
        ("1s", "drain web/web1"),
        ("1.5s", "drain web/web2"),
        ("2s", "enable web/web1"),
        ("2.4s", "drain web/web4"),
        ("3s", "enable web/web2"),
        ("3.2s", "enable web/web4"),
        ("8s", "disable web/web3"),
        ("9s", "enable web/web3"),
    ],
];

#[test]
fn planned_changes_move_no_live_flow() {
    for (number, change) in PLANNED.iter().enumerate() {
        for (workers, skew) in [(1, None), (2, None), (1, Some(3))] {
            let moved = moved(&run(number as u64, workers, skew, change));
            assert!(moved.is_empty(), "change {number}, {workers} workers, skew {skew:?}: {moved:?}");
        }
    }
}

#[test]
fn nor_while_workers_learn_of_them_at_different_times() {
    for (number, change) in PLANNED.iter().enumerate() {
        for seed in 0..10 {
            let moved = moved(&run(100 + seed, 2, Some(seed), change));
            assert!(moved.is_empty(), "change {number}, --workers 2 --skew {seed}: {moved:?}");
        }
        let moved = moved(&run(7, 5, Some(77), change));
        assert!(moved.is_empty(), "change {number}, --workers 5 --skew 77: {moved:?}");
    }
}

#[test]
fn nor_where_every_flow_has_a_pin() {
    for (number, change) in PLANNED.iter().enumerate() {
        for seed in 0..3 {
            let outcome = run_always(400 + seed, seed, change);
            let moved = moved(&outcome);
            assert!(moved.is_empty(), "change {number}, --workers 3 --skew {seed}: {moved:?}");
            assert!(outcome.records.iter().all(|(_, record)| record.phase == Some("always")));
        }
    }
}

#[test]
fn a_death_moves_the_flows_of_the_dead_and_nobody_else() {
    for seed in 0..10 {
        let outcome = run(200 + seed, 2, Some(seed), &[("3s", "down web/web2"), ("3.4s", "up web/web2")]);
        for (flow, journey) in moved(&outcome) {
            // The death reaches the last worker after 2 s at most, the recovery that is told then after 2 s more.
            let early = moves(&journey)
                .into_iter()
                .all(|(at, from, to)| (3_000..=7_200).contains(&at) && (from == "web/web2" || to == "web/web2"));
            assert!(early, "--skew {seed}, {flow}: {journey:?}");
        }
    }
}

#[test]
fn with_one_worker_a_death_moves_each_flow_once() {
    for seed in 0..5 {
        let change =
            [("3s", "drain web/web2"), ("5s", "down web/web2"), ("5.5s", "up web/web2"), ("9s", "enable web/web2")];
        for (flow, journey) in moved(&run(300 + seed, 1, None, &change)) {
            let moved = moves(&journey);
            let once = moved.len() == 1 && moved[0].1 == "web/web2" && (5_000..=5_600).contains(&moved[0].0);
            assert!(once, "{flow}: {journey:?}");
        }
    }
}
