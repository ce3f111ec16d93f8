//! The simulation: nothing breaks with all rules, and each rule taken away breaks something.

use guideway_dataplane::consistency::{Rule, Rules};
use guideway_perf::churn::{Flood, Outcome, Setup, Violation, rules, run};

fn simulate(setup: &Setup) -> Outcome {
    run(setup, |_| ())
}

#[test]
fn nothing_breaks_while_pins_fit() {
    for seed in 1..=4 {
        let outcome = simulate(&Setup { seed, pins: 1 << 20, flows: 40_000, changes: 120, ..Setup::small() });
        assert_eq!(outcome.violated(), 0, "seed {seed}: {outcome:#?}");
        assert!(outcome.plain > 300 && outcome.lost > 0, "much happens: {outcome:#?}");
        assert_eq!((outcome.failed, outcome.evicted_confirmed), (0, 0));
        assert_eq!(outcome.fleet_steady.1, 0, "machines of a fleet agree about steady slots: {outcome:#?}");
        assert!(outcome.fleet_steady.0 > 0 && outcome.fleet_special.1 > 0, "flows visited: {outcome:#?}");
    }
}

#[test]
fn a_flood_takes_no_confirmed_pin_and_breaks_nothing_that_fits() {
    for acks in [0.0, 0.5] {
        let flood = Flood { rate: 10.0, acks };
        let outcome = simulate(&Setup { flood, pins: 1 << 20, flows: 20_000, ..Setup::small() });
        assert_eq!((outcome.violated(), outcome.evicted_confirmed), (0, 0), "{outcome:#?}");
        assert!(outcome.flood > 150_000);
    }
}

#[test]
fn panic_and_whole_racks_move_no_flow_of_a_living_backend() {
    let setup =
        Setup { panic_threshold: 0.6, outage: 0.5, pins: 1 << 20, flows: 40_000, changes: 120, ..Setup::small() };
    let outcome = simulate(&setup);
    let moved = [Violation::TcpMoved, Violation::UdpMoved, Violation::QuicMoved, Violation::ClientMoved];
    let moved: u64 = moved.iter().filter_map(|kind| outcome.violations.get(kind)).sum();
    assert_eq!(moved, 0, "{outcome:#?}");
}

#[test]
fn always_keeps_flows_too_while_its_table_holds_them_all() {
    let outcome = simulate(&Setup { always: true, pins: 1 << 20, flows: 20_000, ..Setup::small() });
    let transition = simulate(&Setup { pins: 1 << 20, flows: 20_000, ..Setup::small() });
    assert!(outcome.peak_pins > 2 * transition.peak_pins, "{} and {}", outcome.peak_pins, transition.peak_pins);
    let scarce =
        simulate(&Setup { always: true, pins: transition.peak_pins as usize, flows: 20_000, ..Setup::small() });
    assert!(scarce.violated() > 10 * outcome.violated().max(1), "{} and {}", scarce.violated(), outcome.violated());
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let setup = Setup { flows: 3_000, changes: 20, ..Setup::small() };
    let runs = [simulate(&setup), simulate(&setup)].map(|outcome| format!("{outcome:?}"));
    assert_eq!(runs[0], runs[1]);
    assert_ne!(runs[0], format!("{:?}", simulate(&Setup { seed: 2, ..setup })));
}

/// Without the rule, at least one flow breaks; with it, none, or fewer where the table is too small for all.
fn takes_away(rules: &[Rule]) {
    for &rule in rules {
        let with = simulate(&rules::setup(rule));
        let without = simulate(&rules::without(rule));
        let crowded = rules::setup(rule).pins < 1 << 16;
        let least = if crowded { with.violated() } else { 3 * with.violated() };
        assert!(without.violated() > least, "{rule:?}: {} with it, {} without", with.violated(), without.violated());
        println!("{rule:?}: {} with it, {} without", with.violated(), without.violated());
    }
}

#[test]
fn each_rule_of_slots_is_needed() {
    takes_away(&[
        Rule::Arming,
        Rule::OwnDeadline,
        Rule::DeathKeepsBase,
        Rule::DeathKeepsPins,
        Rule::DeadIsMiss,
        Rule::RecoveryAfterDeath,
        Rule::WorkersAgree,
        Rule::FoldAfterIdle,
        Rule::FoldedPins,
        Rule::LookWaits,
        Rule::LookRemoves,
    ]);
}

#[test]
fn each_rule_of_starts_is_needed() {
    takes_away(&[
        Rule::SynFollowsPin,
        Rule::SynEndsClosing,
        Rule::SequenceBits,
        Rule::FollowersPinNothing,
        Rule::PinFirst,
        Rule::UdpHasNoStart,
        Rule::InitialStarts,
        Rule::AffinityHasNoStart,
    ]);
}

#[test]
fn each_rule_of_pins_is_needed() {
    takes_away(&[Rule::ExpiryMargin, Rule::SignedAge, Rule::ConfirmedStays, Rule::OwnPoolOnly]);
}

#[test]
fn each_rule_of_changes_is_needed() {
    takes_away(&[Rule::DrainBeforeRemoval, Rule::IdsRest, Rule::RoomFirst, Rule::DeferOnFailure]);
}

#[test]
fn no_rule_is_left_out() {
    // Those of the tests above, and `DisjointBits`: to see flows break without that takes 60 million packets, which is for
    // `guideway bench churn --rules`; `dataplane/tests/consistency/rules.rs` shows it with two.
    assert_eq!(Rule::ALL.len(), 11 + 8 + 4 + 4 + 1);
    assert!(Rule::ALL.iter().all(|rule| !Rules::ALL.without(*rule).hold(*rule)));
}
