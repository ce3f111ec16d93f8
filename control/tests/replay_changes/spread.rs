//! Several workers, some of them late.

use crate::support::{Capture, Outcome, actions, config, datagram, datagram_fragments, syn};
use guideway_control::replay::Options;

fn some_flows() -> Capture {
    let mut capture = Capture::default();
    for flow in 0..200 {
        capture.add_flow(flow, u64::from(flow), (300..4_000).step_by(500));
        let [first, later] = datagram_fragments(flow, flow as u16);
        capture.add(700, later).add(701, first).add(900, datagram(flow));
    }
    capture
}

#[test]
fn workers_share_the_packets_and_decide_alike() {
    let (config, capture) = (config(), some_flows());
    let one = capture.run(&config, &Options::default());
    assert!(one.records.iter().all(|(_, record)| record.worker.is_none()));
    for workers in [2, 7, 64] {
        let several = capture.run(&config, &Options { workers, ..Options::default() });
        assert_eq!(several.received.len(), usize::from(workers));
        assert!(several.received.iter().all(|count| *count > 0), "{:?}", several.received);
        assert_eq!(several.received.iter().sum::<u64>(), several.summary.packets);
        for ((_, alone), (_, together)) in one.records.iter().zip(&several.records) {
            assert_eq!(
                (&alone.verdict, &alone.flow, &alone.slot, &alone.backend),
                (&together.verdict, &together.flow, &together.slot, &together.backend)
            );
            assert!(together.worker.is_some_and(|worker| worker < workers));
        }
        assert_eq!(one.summary, several.summary);
    }
}

#[test]
fn a_datagram_and_its_fragments_come_to_different_workers() {
    let outcome = some_flows().run(&config(), &Options { workers: 2, ..Options::default() });
    let worker = |at| outcome.at(at).into_iter().map(|record| record.worker).collect::<Vec<_>>();
    let (fragments, whole) = (worker(701), worker(900));
    let differ = fragments.iter().zip(&whole).filter(|(a, b)| a != b).count();
    assert!((60..140).contains(&differ), "{differ} of 200");
}

#[test]
fn late_workers_use_what_they_have() {
    let (config, capture) = (config(), some_flows());
    let change = actions(&[("1s", "drain web/web3"), ("1.1s", "down web/web1")]);
    let prompt = capture.run(&config, &Options { workers: 4, ..change.clone() });
    let skewed = |seed| capture.run(&config, &Options { workers: 4, skew: Some(seed), ..change.clone() });
    let in_turn = |outcome: &Outcome| outcome.records.iter().map(|(_, record)| record.generation).is_sorted();
    assert!(in_turn(&prompt));
    assert!((0..8).any(|seed| !in_turn(&skewed(seed))), "some worker is late at some frame");
    for seed in 0..8 {
        let outcome = skewed(seed);
        let last = outcome.records.iter().filter(|(at, _)| *at >= 3_700).map(|(_, record)| record.generation).min();
        assert!(last.is_some_and(|generation| generation > 1), "nobody is late for ever");
    }
}

#[test]
fn the_same_seed_gives_the_same() {
    let (config, capture) = (config(), some_flows());
    let change = actions(&[("1s", "drain web/web3"), ("1.1s", "down web/web1"), ("2s", "add web/web5 10.0.0.15")]);
    let run = |seed| capture.run(&config, &Options { workers: 4, skew: Some(seed), ..change.clone() });
    let (first, second, other) = (run(7), run(7), run(8));
    assert!(first.records == second.records && first.sent == second.sent && first.summary == second.summary);
    assert!(first.records != other.records, "another seed, other delays");
}

#[test]
fn a_worker_count_out_of_range_is_mended() {
    let mut capture = Capture::default();
    capture.add(0, syn(1));
    for (asked, got) in [(0, 1), (1_000, 64)] {
        assert_eq!(capture.run(&config(), &Options { workers: asked, ..Options::default() }).received.len(), got);
    }
}
