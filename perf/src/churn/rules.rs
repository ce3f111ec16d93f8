//! Each rule taken away, in a setup in which the sequence that it exists for happens.

use super::setup::{Flood, Setup};
use guideway_dataplane::consistency::{Rule, Rules};
use std::time::Duration;

/// A setup for one rule, with all rules in force: small, and rich in what the rule is about.
#[must_use]
pub fn setup(rule: Rule) -> Setup {
    let small = Setup { flows: 100_000, changes: 200, ..Setup::small() };
    match rule {
        Rule::ExpiryMargin | Rule::SignedAge => {
            Setup { longest_gap: 1.0, clock_skew: Duration::from_millis(400), ..small }
        }
        Rule::FollowersPinNothing => Setup { flows: 300_000, pins: 1 << 20, reuse: 0.9, strays: 1.0, ..small },
        // Tables in which not everything finds room.
        Rule::PinFirst => Setup { pins: 1 << 12, flood: Flood { rate: 10.0, acks: 0.0 }, ..small },
        Rule::ConfirmedStays => Setup { pins: 1 << 12, flood: Flood { rate: 10.0, acks: 0.9 }, ..small },
        Rule::RoomFirst => Setup {
            backends: 100,
            table_size: 16_381,
            change_every: Duration::from_secs(1),
            changes: 400,
            pins: 1 << 13,
            deaths: false,
            replacements: 0.0,
            ..small
        },
        Rule::DeferOnFailure => Setup { pins: 1 << 11, deaths: false, replacements: 0.0, flows: 50_000, ..small },
        // Many pins of others to be mistaken for one's own.
        Rule::DisjointBits => Setup { flows: 300_000, pins: 1 << 22, flood: Flood { rate: 200.0, acks: 0.2 }, ..small },
        Rule::IdsRest | Rule::DrainBeforeRemoval => Setup { replacements: 0.6, ..small },
        Rule::RecoveryAfterDeath => Setup { slow_adoptions: 0.5, ..small },
        Rule::OwnPoolOnly | Rule::AffinityHasNoStart => Setup { sticky: 0.4, ..small },
        Rule::InitialStarts => Setup { quic: 0.6, ..small },
        _ => small,
    }
}

/// The same without the rule.
#[must_use]
pub fn without(rule: Rule) -> Setup {
    Setup { rules: Rules::ALL.without(rule), ..setup(rule) }
}
