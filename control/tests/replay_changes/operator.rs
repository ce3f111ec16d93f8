//! What an operator changes, and what becomes of flows that are there.

use crate::support::{ARM, Capture, IDLE, actions, config, config_with, flows_of, moves, syn};
use guideway_control::replay::Options;

/// Times of data, closer than T.
fn every(step: u64, from: u64, to: u64) -> impl Iterator<Item = u64> {
    (from..to).step_by(step as usize)
}

#[test]
fn a_drain_keeps_what_is_there_and_sends_what_is_new_elsewhere() {
    let config = config();
    let (old, new) = (flows_of(&config, "web/web3", 0, 5), flows_of(&config, "web/web3", 1_000, 5));
    let mut capture = Capture::default();
    for flow in &old {
        capture.add_flow(*flow, 0, every(700, 300, 10_000));
    }
    // Long after the change: 2.5 s, and G.
    for flow in &new {
        capture.add_flow(*flow, 4_000, every(700, 4_100, 8_000));
    }
    let outcome = capture.run(&config, &actions(&[("2.5s", "drain web/web3")]));
    for flow in old {
        assert_eq!(outcome.backends(flow), ["web/web3"], "flow {flow} lives on");
    }
    for flow in new {
        let backends = outcome.backends(flow);
        assert!(backends.len() == 1 && backends[0] != "web/web3", "{backends:?}");
    }
    let web = &outcome.summary.pools["web"];
    assert_eq!(web.states.get("web3"), Some(&"draining"));
    assert_eq!((web.armed, web.transition, web.folded), (0, 0, 0), "the change is over");
    assert!(web.look > 0 && outcome.summary.pins.in_use >= 5, "the flows live on pins");
    assert_eq!(outcome.summary.actions.len(), 1);
}

#[test]
fn records_say_phase_and_what_decided() {
    let config = config();
    let flow = flows_of(&config, "web/web3", 0, 1)[0];
    let mut capture = Capture::default();
    capture.add_flow(flow, 0, [500, 1_040, 1_400, 2_000, 2_900, 3_800]);
    let outcome = capture.run(&config, &actions(&[("1s", "drain web/web3")]));
    let said = |at: u64| {
        let record = outcome.at(at)[0];
        (record.phase, record.by, record.worker)
    };
    assert_eq!(said(500), (None, Some("slot"), None));
    assert_eq!(said(1_040), (Some("armed"), Some("current"), None));
    assert_eq!(said(1_400), (Some("transition"), Some("base"), None));
    assert_eq!(said(3_800), (Some("look"), Some("pin"), None));
    let generations: Vec<u64> = outcome.records.iter().map(|(_, record)| record.generation).collect();
    assert!(generations.is_sorted() && generations[0] == 1 && outcome.summary.generation > 3, "{generations:?}");
}

#[test]
fn a_syn_that_is_sent_again_across_a_change_follows() {
    let config = config();
    let flow = flows_of(&config, "web/web3", 0, 1)[0];
    let mut capture = Capture::default();
    // Steady; armed: pinned; in transition: the pin; and the rest of the flow.
    capture.add(950, syn(flow)).add(1_000 + ARM / 2, syn(flow)).add(1_000 + 2 * ARM, syn(flow));
    capture.add_flow(flow, 1_800, every(400, 1_900, 5_000)).add(0, syn(flow + 1));
    let outcome = capture.run(&config, &actions(&[("1s", "drain web/web3")]));
    assert_eq!(outcome.backends(flow), ["web/web3"]);
    let phases: Vec<_> = outcome.records[1..4].iter().map(|(_, record)| record.phase).collect();
    assert_eq!(phases, [None, Some("armed"), Some("transition")]);
    // The same tuple without that history starts where new flows go.
    let mut late = Capture::default();
    late.add(0, syn(flow + 1)).add(1_000 + 2 * ARM, syn(flow));
    let outcome = late.run(&config, &actions(&[("1s", "drain web/web3")]));
    assert_ne!(outcome.backends(flow), ["web/web3"]);
}

#[test]
fn a_blip_shorter_than_the_gap_of_a_flow_moves_nobody() {
    let config = config();
    let idle = flows_of(&config, "web/web2", 0, 5);
    let mut capture = Capture::default();
    for flow in &idle {
        // Silent from 1.9 s to 2.5 s.
        capture.add_flow(*flow, 0, every(300, 100, 1_950).chain(every(300, 2_500, 6_000)));
    }
    let outcome = capture.run(&config, &actions(&[("2s", "down web/web2"), ("2.2s", "up web/web2")]));
    for flow in idle {
        assert_eq!(outcome.backends(flow), ["web/web2"]);
    }
    assert!(outcome.summary.pools["web"].states.is_empty(), "all serve");
}

#[test]
fn what_is_new_during_a_blip_stays_where_it_began() {
    let config = config();
    let flows = flows_of(&config, "web/web2", 0, 5);
    let mut capture = Capture::default();
    capture.add(0, syn(9_999));
    for flow in &flows {
        capture.add_flow(*flow, 2_100, every(300, 2_150, 7_000));
    }
    let outcome = capture.run(&config, &actions(&[("2s", "down web2"), ("2.2s", "up web2")]));
    for flow in flows {
        let backends = outcome.backends(flow);
        assert!(backends.len() == 1 && backends[0] != "web/web2", "{backends:?}");
    }
}

#[test]
fn a_removal_waits_for_its_last_flow() {
    let config = config();
    let flow = flows_of(&config, "web/web3", 0, 1)[0];
    let mut capture = Capture::default();
    capture.add_flow(flow, 0, every(600, 300, 6_000));
    let left = |end: &'static str| {
        // What happens at that time is of no account: time goes on until then.
        let outcome = capture.run(&config, &actions(&[("2s", "remove web/web3"), (end, "weight web/web1 1")]));
        assert_eq!(outcome.backends(flow), ["web/web3"], "it stays to its end");
        let web = &outcome.summary.pools["web"];
        (web.backends, web.states.get("web3").copied())
    };
    assert_eq!(left("6s"), (4, Some("leaving")), "the flow is alive");
    assert_eq!(left("6.5s"), (4, Some("leaving")), "it may be");
    assert_eq!(left("12s"), (3, None), "it is idle for longer than T: the backend is gone");
}

#[test]
fn a_removal_by_force_does_not_wait() {
    let config = config();
    let flow = flows_of(&config, "web/web3", 0, 1)[0];
    let mut capture = Capture::default();
    capture.add_flow(flow, 0, every(300, 300, 6_000));
    let outcome = capture.run(&config, &actions(&[("2s", "remove web/web3 force")]));
    let journey = outcome.journey(flow);
    let moved = moves(&journey);
    assert!(moved.len() == 1 && moved[0].0 == 2_100 && moved[0].1 == "web/web3", "{moved:?}");
    assert_eq!(outcome.summary.pools["web"].backends, 3);
}

#[test]
fn a_weight_moves_shares_and_no_flow() {
    let config = config();
    let mut capture = Capture::default();
    for flow in 0..100 {
        capture.add_flow(flow, u64::from(flow), every(800, 500, 6_000));
    }
    for flow in 1_000..1_400 {
        capture.add(5_000, syn(flow));
    }
    let outcome = capture.run(&config, &actions(&[("1s", "weight web/web1 5"), ("1s", "weight web/web2 0")]));
    for flow in 0..100 {
        assert_eq!(outcome.backends(flow).len(), 1, "flow {flow}");
    }
    let share = |name: &str| (1_000..1_400).filter(|flow| outcome.backends(*flow) == [name]).count();
    let shares = ["web/web1", "web/web2", "web/web3", "web/web4"].map(share);
    assert_eq!(shares[1], 0, "weight 0: nothing new");
    assert!((240..=330).contains(&shares[0]), "5 of 7: {shares:?}");
}

#[test]
fn the_death_of_its_backend_moves_a_pinned_flow_once() {
    let config = config();
    let flow = flows_of(&config, "web/web3", 0, 1)[0];
    let mut capture = Capture::default();
    capture.add_flow(flow, 0, every(300, 300, 9_000));
    let change = [("1s", "drain web/web3"), ("4s", "down web/web3"), ("5s", "up web/web3"), ("6s", "enable web/web3")];
    let outcome = capture.run(&config, &actions(&change));
    let journey = outcome.journey(flow);
    let moved = moves(&journey);
    assert!(moved.len() == 1 && moved[0].0 == 4_200 && moved[0].1 == "web/web3", "{moved:?}");
}

#[test]
fn with_keep_a_death_moves_nobody() {
    let config = config_with("on_down = \"keep\"");
    let flow = flows_of(&config, "web/web3", 0, 1)[0];
    let mut capture = Capture::default();
    capture.add_flow(flow, 0, every(300, 300, 6_000)).add_flow(flow + 1, 0, [5_000]);
    let outcome = capture.run(&config, &actions(&[("2s", "down web/web3")]));
    assert_eq!(outcome.backends(flow), ["web/web3"]);
}

#[test]
fn a_new_backend_joins_if_its_next_hop_is_known() {
    let config = config();
    let mut capture = Capture::default();
    for flow in 0..100 {
        capture.add_flow(flow, u64::from(flow), every(800, 500, 6_000));
    }
    for flow in 1_000..1_200 {
        capture.add(5_000, syn(flow));
    }
    let add = [("1s", "add web/web5 10.0.0.15 weight 2"), ("1s", "add web/lost 10.0.0.77")];
    let outcome = capture.run(&config, &actions(&add));
    for flow in 0..100 {
        assert_eq!(outcome.backends(flow).len(), 1, "flow {flow}");
    }
    assert!((1_000..1_200).filter(|flow| outcome.backends(*flow) == ["web/web5"]).count() > 40, "2 of 6");
    let web = &outcome.summary.pools["web"];
    assert_eq!((web.backends, web.states.get("lost"), web.states.get("web5")), (6, Some(&"joining"), None));
    assert!(!outcome.summary.backends.contains_key("web/lost"));
}

#[test]
fn what_comes_after_the_last_frame_changes_the_end_only() {
    let config = config();
    let mut capture = Capture::default();
    for flow in 0..50 {
        capture.add(u64::from(flow), syn(flow));
    }
    let plain = capture.run(&config, &Options::default());
    let changed = capture.run(&config, &actions(&[("10s", "drain web/web3"), ("5s", "disable web/web1")]));
    assert!(plain.records == changed.records && plain.sent == changed.sent);
    let states = &changed.summary.pools["web"].states;
    assert_eq!((states.get("web1"), states.get("web3")), (Some(&"disabled"), Some(&"draining")));
    let order: Vec<&str> = changed.summary.actions.iter().map(|applied| applied.at.as_str()).collect();
    assert_eq!(order, ["5s", "10s"], "by time, not as they were written");
    assert!(changed.summary.pools["web"].armed > 0, "the last one has just begun");
    assert!(plain.summary.actions.is_empty() && plain.summary.pools["web"].armed == 0);
}

#[test]
fn a_change_at_the_first_frame_counts_for_it() {
    let config = config();
    let flow = flows_of(&config, "web/web3", 0, 1)[0];
    let mut capture = Capture::default();
    capture.add(0, syn(flow));
    let outcome = capture.run(&config, &actions(&[("0s", "down web/web3")]));
    assert_ne!(outcome.backends(flow), ["web/web3"]);
    assert_eq!(outcome.backends(flow), {
        let down = Options { down: vec!["web/web3".to_owned()], ..Options::default() };
        capture.run(&config, &down).backends(flow)
    });
    assert_eq!(IDLE, 1_000, "the times above are made for it");
}
