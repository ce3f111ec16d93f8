//! The rules by name. Each was found by taking it away and watching flows break; the simulation, and nobody else, takes
//! them away again to show it.

macro_rules! rules {
    ($($variant:ident, $label:literal, $sequence:literal;)*) => {
        /// A rule of connection consistency.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Rule {
            $(#[doc = $sequence] $variant,)*
        }

        impl Rule {
            /// Every rule.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// Its name on the command line and in tables.
            #[must_use]
            pub const fn label(self) -> &'static str {
                match self { $(Self::$variant => $label,)* }
            }

            /// The sequence that breaks a flow without it.
            #[must_use]
            pub const fn sequence(self) -> &'static str {
                match self { $(Self::$variant => $sequence,)* }
            }
        }
    };
}

rules! {
    Arming, "arming", "A SYN goes to A, its answer is under way, current becomes B, the retransmitted SYN goes to B: the client's ACK of A's answer resets.";
    OwnDeadline, "own-deadline", "With one deadline for a pool, a slot that entered late folds before its flows from before have pins.";
    DeathKeepsBase, "death-keeps-base", "A backend is gone for less than a flow's idle gap; if its death made the successor the base, the flow's next packet goes there.";
    DeathKeepsPins, "death-keeps-pins", "A pinned flow is idle while its backend is gone for a moment; without its pin, the next packet goes to the base.";
    DeadIsMiss, "dead-is-miss", "A backend dies, and packets go on to it since a pin or the base names it.";
    RecoveryAfterDeath, "recovery-after-death", "A backend dies and returns before a slow worker knows of its death: one worker sends a flow back to it, the other one away, in generations that are not adjacent.";
    WorkersAgree, "workers-agree", "A slow worker is still steady while a fast one has folded: what the one sends to the old backend has no pin at the other.";
    FoldAfterIdle, "fold-after-idle", "A flow from before is idle for almost T and has no pin yet when its slot folds.";
    FoldedPins, "folded-pins", "A fast worker has folded and starts a flow without a pin; a slow worker, still in transition, sends its next packet to the old base.";
    LookWaits, "look-waits", "A slot becomes steady while a flow on another backend than its own lives on a pin.";
    LookRemoves, "look-removes", "A client uses a tuple again: its SYN goes to the base, and what follows to the backend of the pin that the old flow left.";
    SynFollowsPin, "syn-follows-pin", "A late duplicate or made-up SYN of an established flow is taken for a start and moves it.";
    SynEndsClosing, "syn-ends-closing", "A closed flow's tuple starts again and again and follows the old pin: a drain never ends.";
    SequenceBits, "sequence-bits", "A late duplicate of a flow's SYN pins the slot's new backend, and the flow from before follows that pin.";
    FollowersPinNothing, "followers-pin-nothing", "A stray RST of an old flow takes the pin of a handshake that is under way to the base: what follows is not where the SYN went.";
    PinFirst, "pin-first", "A SYN goes to the new backend though its pin found no room; what follows goes to the base.";
    UdpHasNoStart, "udp-has-no-start", "A datagram of a UDP flow from before is taken for a start and moves it.";
    InitialStarts, "initial-starts", "A Handshake or 0-RTT packet of a QUIC connection from before is taken for a start and moves it.";
    AffinityHasNoStart, "affinity-has-no-start", "A client's next connection is taken for a start and leaves the backend of the others.";
    ExpiryMargin, "expiry-margin", "A flow is idle for almost T, and the worker that sees its next packet has a clock that is a tick ahead: its pin is gone.";
    SignedAge, "signed-age", "A worker whose clock is a tick behind finds a pin from the future and takes it for one that is very old.";
    ConfirmedStays, "confirmed-stays", "Under a flood, the pins of established flows are evicted.";
    DisjointBits, "disjoint-bits", "Tag and bucket from the same bits: a flow finds the pin of another one.";
    OwnPoolOnly, "own-pool-only", "A client with affinity uses two pools: the pin of one names a backend that the other does not have.";
    DrainBeforeRemoval, "drain-before-removal", "A backend is taken out of the configuration while flows are on it.";
    IdsRest, "ids-rest", "The id of a backend that is gone is given to a new one while pins still name it.";
    RoomFirst, "room-first", "A planned change starts while the pin table is nearly full: its flows find no room.";
    DeferOnFailure, "defer-on-failure", "A slot folds though a flow of it found no room for its pin.";
}

/// Which rules hold: all of them, but for the simulation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Rules(u64);

const _: () = assert!(Rule::ALL.len() <= 64);

impl Rules {
    /// All of them.
    pub const ALL: Self = Self(u64::MAX);

    /// All but one.
    #[must_use]
    pub const fn without(self, rule: Rule) -> Self {
        Self(self.0 & !(1 << rule as u8))
    }

    /// Whether a rule holds.
    #[inline]
    #[must_use]
    pub const fn hold(self, rule: Rule) -> bool {
        self.0 >> rule as u8 & 1 != 0
    }
}

impl Default for Rules {
    fn default() -> Self {
        Self::ALL
    }
}

/// Names those that are switched off.
impl std::fmt::Debug for Rules {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let off = Rule::ALL.iter().filter(|rule| !self.hold(**rule));
        f.write_str("Rules without ")?;
        f.debug_list().entries(off).finish()
    }
}
