//! Every rule that [`decide`](guideway_dataplane::consistency::decide) applies: the sequence of packets that it exists
//! for, where they go with it, and where without it.

use crate::rig::{A, ACK, B, FIN, FOLDED, IDLE, LOOK, RST, Rig, SYN, TRANSITION, state};
use guideway_dataplane::consistency::{Phase, Role, Rule, Rules};
use guideway_dataplane::hash::{FlowHash, FlowKey};
use guideway_dataplane::parse::{Family, Kind, Parsed};
use guideway_dataplane::vip::Steering;
use guideway_dataplane::wire::{protocol, tcp};
use std::sync::Arc;

const FLOW: FlowHash = FlowHash(7);
/// A table that has room for everything.
const ROOM: usize = 1_024;
const BUCKET: usize = 8;

macro_rules! examples {
    ($($name:ident, $rule:ident, right $right:expr, wrong $wrong:expr;)*) => {
        const SHOWN: &[Rule] = &[$(Rule::$rule,)*];

        $(#[test]
        fn $name() {
            assert_eq!(sequences::$name(Rules::ALL), $right, "with the rule");
            assert_eq!(sequences::$name(Rules::ALL.without(Rule::$rule)), $wrong, "without it");
        })*
    };
}

examples! {
    syn_follows_pin, SynFollowsPin, right [A, A, A], wrong [A, B, B];
    syn_ends_closing, SynEndsClosing, right [A, B, B], wrong [A, A, A];
    sequence_bits, SequenceBits, right [B, A], wrong [B, B];
    followers_pin_nothing, FollowersPinNothing, right [A, B, B], wrong [A, A, A];
    pin_first, PinFirst, right [A, A], wrong [B, A];
    udp_has_no_start, UdpHasNoStart, right [A, A], wrong [B, B];
    initial_starts, InitialStarts, right [B, A, A], wrong [B, B, B];
    affinity_has_no_start, AffinityHasNoStart, right [A], wrong [B];
    expiry_margin, ExpiryMargin, right [A, A], wrong [A, B];
    signed_age, SignedAge, right [B, B], wrong [B, A];
    confirmed_stays, ConfirmedStays, right [B, B, B, B], wrong [B, B, B, A];
    disjoint_bits, DisjointBits, right [B, A], wrong [B, B];
    own_pool_only, OwnPoolOnly, right [B, A, B], wrong [B, A, A];
    dead_is_miss, DeadIsMiss, right [A, B, B, B], wrong [A, A, A, A];
    folded_pins, FoldedPins, right [B, B, B], wrong [B, A, A];
    folded_pins_of_what_has_no_start, FoldedPins, right [B, B, B], wrong [B, A, A];
    look_removes, LookRemoves, right [A, B, B], wrong [A, B, A];
}

/// The others are about when a slot changes its phase, and what a reload may do: not the worker's.
#[test]
fn no_rule_is_left_out() {
    use Rule::{
        Arming, DeathKeepsBase, DeathKeepsPins, DeferOnFailure, DrainBeforeRemoval, FoldAfterIdle, IdsRest, LookWaits,
        OwnDeadline, RecoveryAfterDeath, RoomFirst, WorkersAgree,
    };
    let of_control = [
        Arming,
        DeathKeepsBase,
        DeathKeepsPins,
        DeferOnFailure,
        DrainBeforeRemoval,
        FoldAfterIdle,
        IdsRest,
        LookWaits,
        OwnDeadline,
        RecoveryAfterDeath,
        RoomFirst,
        WorkersAgree,
    ];
    for rule in Rule::ALL {
        assert!(SHOWN.contains(rule) != of_control.contains(rule), "{rule:?}");
    }
}

mod sequences {
    use super::*;

    /// An established flow, a SYN that somebody made up, the flow again.
    pub fn syn_follows_pin(rules: Rules) -> [u16; 3] {
        let rig = Rig::new(rules, ROOM);
        [ACK, SYN, ACK].map(|role| rig.packet(TRANSITION, FLOW, role, 5))
    }

    /// A flow ends, and another one of the same name begins.
    pub fn syn_ends_closing(rules: Rules) -> [u16; 3] {
        let rig = Rig::new(rules, ROOM);
        [FIN, SYN, ACK].map(|role| rig.packet(TRANSITION, FLOW, role, 5))
    }

    /// A late duplicate of the SYN of a flow from before, and that flow, a megabyte on.
    pub fn sequence_bits(rules: Rules) -> [u16; 2] {
        let rig = Rig::new(rules, ROOM);
        let on = Role::Segment { sequence: 1_000 + (1 << 20), closes: false };
        [SYN, on].map(|role| rig.packet(TRANSITION, FLOW, role, 5))
    }

    /// A stray RST, and then a flow that begins.
    pub fn followers_pin_nothing(rules: Rules) -> [u16; 3] {
        let rig = Rig::new(rules, ROOM);
        [RST, SYN, ACK].map(|role| rig.packet(TRANSITION, FLOW, role, 5))
    }

    /// A bucket full of confirmed pins of other flows.
    pub fn pin_first(rules: Rules) -> [u16; 2] {
        let rig = Rig::new(rules, BUCKET);
        fill(&rig, BUCKET);
        let places = [SYN, ACK].map(|role| rig.packet(TRANSITION, FLOW, role, 7));
        assert!(rig.counters.failed.get() == 2 && rig.failed.take(0), "the slot waits");
        places
    }

    /// Confirms the pins of so many other flows, which are on `A`.
    fn fill(rig: &Rig, flows: usize) {
        for other in 0..flows as u128 {
            for tick in [5, 6] {
                assert_eq!(rig.packet(TRANSITION, FlowHash(100 + other), Role::Datagram, tick), A);
            }
        }
    }

    /// A flow from before.
    pub fn udp_has_no_start(rules: Rules) -> [u16; 2] {
        let rig = Rig::new(rules, ROOM);
        [5, 6].map(|tick| rig.packet(TRANSITION, FLOW, Role::Datagram, tick))
    }

    /// A connection that begins; then 0-RTT and Handshake of two from before.
    pub fn initial_starts(rules: Rules) -> [u16; 3] {
        let rig = Rig::new(rules, ROOM);
        let mut flow = FLOW.0;
        [0x00, 0x10, 0x20].map(|kind| {
            let quic = [0xc0 | kind, 0, 0, 0, 1, 2, 0xaa, 0xbb, 0];
            let frame = [&[0; 28][..], &quic].concat();
            let role = Role::of(&parsed(protocol::UDP, 0, frame.len()), &frame, Steering::Quic, rules);
            flow += 1;
            rig.packet(TRANSITION, FlowHash(flow), role, 5)
        })
    }

    fn parsed(protocol: u8, flags: u8, len: usize) -> Parsed {
        Parsed {
            key: FlowKey::v4(protocol, [192, 0, 2, 1], [198, 51, 100, 1], 1, 2),
            destination: 0,
            family: Family::V4,
            kind: Kind::Whole,
            protocol,
            flags,
            traffic_class: 0,
            source_port: 1,
            destination_port: 2,
            ip_offset: 0,
            ip_len: len as u16,
            transport_offset: 20,
        }
    }

    /// The next connection of a client whose others are on `A`.
    pub fn affinity_has_no_start(rules: Rules) -> [u16; 1] {
        let frame = [0; 40];
        let role = Role::of(&parsed(protocol::TCP, tcp::SYN, frame.len()), &frame, Steering::Client, rules);
        [Rig::new(rules, ROOM).packet(TRANSITION, FLOW, role, 5)]
    }

    /// Tick 20 is the last use, seen by a worker whose clock is a tick behind; T later the flow sends again, and another
    /// worker gets that.
    pub fn expiry_margin(rules: Rules) -> [u16; 2] {
        let rig = Rig::new(rules, ROOM);
        let first = rig.packet(TRANSITION, FLOW, ACK, 20 - 1);
        [first, rig.packet(FOLDED, FLOW, ACK, 20 + IDLE)]
    }

    /// The second packet meets a worker whose clock is a tick behind.
    pub fn signed_age(rules: Rules) -> [u16; 2] {
        let rig = Rig::new(rules, ROOM);
        [(SYN, 5), (ACK, 4)].map(|(role, tick)| rig.packet(TRANSITION, FLOW, role, tick))
    }

    /// The flow's pin is the oldest one of a full bucket when a flood wants places.
    pub fn confirmed_stays(rules: Rules) -> [u16; 4] {
        let rig = Rig::new(rules, BUCKET);
        let [syn, first, second] =
            [(SYN, 1), (ACK, 1), (ACK, 2)].map(|(role, tick)| rig.packet(TRANSITION, FLOW, role, tick));
        fill(&rig, BUCKET - 1);
        rig.packet(TRANSITION, FlowHash(99), Role::Datagram, 7);
        [syn, first, second, rig.packet(TRANSITION, FLOW, ACK, 7)]
    }

    /// Two flows whose hashes have the low 32 bits in common.
    pub fn disjoint_bits(rules: Rules) -> [u16; 2] {
        let rig = Rig::new(rules, ROOM);
        let other = FlowHash(FLOW.0 | 0x8000_0000 << 32);
        [(FLOW, SYN), (other, ACK)].map(|(flow, role)| rig.packet(TRANSITION, flow, role, 5))
    }

    /// A client of two pools, with the same hash in both.
    pub fn own_pool_only(rules: Rules) -> [u16; 3] {
        let one = Rig::new(rules, BUCKET);
        let other = Rig::sharing(Arc::clone(&one.pins), rules, 1, 800);
        [(&one, Role::Initial), (&other, Role::Datagram), (&one, Role::Datagram)]
            .map(|(rig, role)| rig.packet(TRANSITION, FLOW, role, 5))
    }

    /// A pinned flow and one without a pin, while their backend is gone.
    pub fn dead_is_miss(rules: Rules) -> [u16; 4] {
        let rig = Rig::new(rules, ROOM);
        let before = rig.packet(TRANSITION, FLOW, ACK, 5);
        let after = [FLOW, FLOW, FlowHash(8)].map(|flow| rig.packet(TRANSITION.without(A), flow, ACK, 6));
        [before, after[0], after[1], after[2]]
    }

    /// The first packet meets a worker that has folded, the second one another that has not.
    pub fn folded_pins(rules: Rules) -> [u16; 3] {
        let rig = Rig::new(rules, ROOM);
        [(FOLDED, SYN), (TRANSITION, ACK), (FOLDED, ACK)].map(|(state, role)| rig.packet(state, FLOW, role, 5))
    }

    /// The same for UDP, and for a client with affinity.
    pub fn folded_pins_of_what_has_no_start(rules: Rules) -> [u16; 3] {
        let rig = Rig::new(rules, ROOM);
        [FOLDED, TRANSITION, FOLDED].map(|state| rig.packet(state, FLOW, Role::Datagram, 5))
    }

    /// A flow on its pin ends, and another one of the same name begins.
    pub fn look_removes(rules: Rules) -> [u16; 3] {
        let rig = Rig::new(rules, ROOM);
        [(TRANSITION, FIN), (LOOK, SYN), (LOOK, ACK)].map(|(state, role)| rig.packet(state, FLOW, role, 5))
    }
}

/// The handshake of a flow keeps its pin from a late packet of the one before, until its time is over. So long the slot is
/// noted, since that flow has none.
#[test]
fn a_handshake_keeps_its_pin() {
    let rig = Rig::new(Rules::ALL, ROOM);
    let on = Role::Segment { sequence: 1 << 24, closes: false };
    assert_eq!(rig.packet(TRANSITION, FLOW, SYN, 5), B);
    assert_eq!(rig.packet(TRANSITION, FLOW, on, 5), A);
    assert!(rig.failed.take(0));
    assert_eq!(rig.packet(TRANSITION, FLOW, ACK, 5), B, "the handshake goes on");
    // Another one of which nothing came for `arm_time`.
    let other = FlowHash(8);
    assert_eq!(rig.packet(TRANSITION, other, SYN, 5), B);
    assert_eq!(rig.packet(TRANSITION, other, on, 8), A);
    assert!(!rig.failed.take(0));
    assert_eq!(rig.packet(FOLDED, other, on, 8), A, "it has the pin now");
}

/// A pin has expired for one worker and not for another whose clock is a tick behind: once a packet went without it, it is
/// gone for both.
#[test]
fn an_expired_pin_does_not_come_back() {
    for (then, base) in [(FOLDED, B), (LOOK, B), (state(Phase::Armed, B, B), B)] {
        let rig = Rig::new(Rules::ALL, ROOM);
        assert_eq!(rig.packet(TRANSITION, FLOW, ACK, 5), A);
        let expired = 5 + IDLE + 2;
        let places = [expired, expired - 1].map(|tick| rig.packet(then, FLOW, ACK, tick));
        assert_eq!(places, [base; 2], "{then:?}");
    }
}

/// A flow's FIN meets an armed worker, and the SYN of the next one of its name another that is still steady. The new flow
/// must not live on a pin that is closing: any duplicate of its SYN would move it.
#[test]
fn a_flow_that_ends_while_armed_leaves_no_pin() {
    let (steady, armed) = (state(Phase::Steady, A, A), state(Phase::Armed, A, A));
    for end in [FIN, RST] {
        let rig = Rig::new(Rules::ALL, ROOM);
        let packets = [(armed, SYN), (armed, ACK), (armed, end), (steady, SYN), (TRANSITION, ACK), (TRANSITION, SYN)];
        assert_eq!(packets.map(|(state, role)| rig.packet(state, FLOW, role, 5)), [A; 6], "{end:?}");
    }
    // One that a worker in transition started is not the slot's.
    let rig = Rig::new(Rules::ALL, ROOM);
    let packets = [(TRANSITION, SYN), (armed, ACK), (armed, FIN), (armed, ACK), (TRANSITION, ACK)];
    assert_eq!(packets.map(|(state, role)| rig.packet(state, FLOW, role, 5)), [B; 5]);
}
