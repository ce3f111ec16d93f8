//! The capture's time: idle hours, and a clock that goes back.

use crate::support::{Capture, actions, config, data, flows_of, syn};

#[test]
fn idle_hours_cost_nothing() {
    let config = config();
    let mut capture = Capture::default();
    // A thousand hours would be 72 million steps. One backend drains all the time, another one never joins, one is down.
    let hours = 1_000 * 3_600_000;
    capture.add(0, syn(1)).add(1_500, data(1)).add(hours, syn(2)).add(2 * hours, syn(3));
    let change = [("1s", "drain web/web3"), ("1s", "add web/lost 10.0.0.77"), ("1s", "down web/web4")];
    let outcome = capture.run(&config, &actions(&change));
    let web = &outcome.summary.pools["web"];
    assert_eq!((web.armed, web.transition, web.folded, web.look), (0, 0, 0, 0), "everything came to its end");
    assert_eq!(web.states.len(), 3);
    assert_eq!(outcome.summary.pins.in_use, 0);
}

#[test]
fn a_clock_that_goes_back_is_no_reason_to_move() {
    let config = config();
    let flow = flows_of(&config, "web/web3", 0, 1)[0];
    let mut capture = Capture::default();
    capture.add_flow(flow, 0, (300..6_000).step_by(300));
    let outcome = capture.run_out_of_order(&config, &actions(&[("2s", "drain web/web3")]), 40);
    assert_eq!(outcome.backends(flow), ["web/web3"]);
}

#[test]
fn a_drain_ends_by_its_timeout_also_between_frames() {
    let config = crate::support::config_with("drain_timeout = \"3s\"");
    let flow = flows_of(&config, "web/web3", 0, 1)[0];
    let mut capture = Capture::default();
    capture.add_flow(flow, 0, (300..6_000).step_by(600));
    let outcome = capture.run(&config, &actions(&[("2s", "drain web/web3")]));
    let journey = outcome.journey(flow);
    let moved = crate::support::moves(&journey);
    assert!(moved.len() == 1 && moved[0].0 == 5_100, "{moved:?}");
}
