//! The decision about a packet of a special slot.

use super::role::Role;
use super::rule::Rule;
use super::special::{Phase, Side, Special};
use crate::counters::PinCounters;
use crate::hash::FlowHash;
use crate::pin::{Found, Inserted, Pin, PinKey, PinState, PinTable, Tenure, Tick};
use crate::table::Slot;
use crate::time::Nanos;

/// How often a decision looks again because another worker changed the pin. Who loses that often goes without writing.
const ATTEMPTS: usize = 8;

/// A packet of a special slot.
#[derive(Clone, Copy, Debug)]
pub struct Flow {
    /// The flow's hash.
    pub hash: FlowHash,
    /// The number of its slot.
    pub slot: u32,
    /// What stands in the slot.
    pub current: Slot,
    /// What the packet is.
    pub role: Role,
}

/// Another worker was there at the same time.
struct Again;

/// Why a pin that was found is not followed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Miss {
    /// There is none, or it is expired.
    None,
    /// A SYN that is of a new flow.
    NewFlow,
    /// It names a backend that is not eligible.
    NotEligible,
    /// A segment that is not of the flow that the pin's SYN started.
    OtherFlow,
}

/// The pool-local index of the backend that gets the packet, and the pin that follows from it; `None` if there is nobody.
///
/// `special` and `current` are of one snapshot. Never blocks.
#[must_use]
pub fn decide(special: &Special, flow: &Flow, pins: &PinTable, now: Nanos, counters: &PinCounters) -> Option<u16> {
    let decision = Decision {
        special,
        flow,
        pins,
        side: special.side(flow.slot),
        key: pins.key(flow.hash, special.salt(), special.rules),
        tenure: Tenure { idle: special.idle, longest_idle: special.longest_idle, rules: special.rules },
        now: pins.clock().tick(now),
        counters,
    };
    let found = (0..ATTEMPTS).find_map(|_| decision.attempt().ok());
    found.unwrap_or_else(|| {
        counters.contended.add(1);
        decision.without_writing()
    })
}

struct Decision<'a> {
    special: &'a Special,
    flow: &'a Flow,
    pins: &'a PinTable,
    side: Side,
    key: PinKey,
    tenure: Tenure,
    now: Tick,
    counters: &'a PinCounters,
}

impl Decision<'_> {
    fn holds(&self, rule: Rule) -> bool {
        self.special.rules.hold(rule)
    }

    /// Whether a backend may be followed.
    fn is_eligible(&self, index: u16) -> bool {
        self.special.is_eligible(index) || !self.holds(Rule::DeadIsMiss)
    }

    fn is_ours(&self, id: crate::ids::BackendId) -> bool {
        self.special.index(id).is_some() || !self.holds(Rule::OwnPoolOnly)
    }

    /// The slot's backend; `None` if it is empty.
    fn current(&self) -> Option<u16> {
        let index = self.flow.current.index() as u16;
        self.special.id(index).map(|_| index)
    }

    /// Where a packet goes that no pin and no start takes elsewhere. A base that is not eligible is skipped, not written:
    /// if its backend returns before the slot folds, its idle flows find it again.
    fn rest(&self) -> Option<u16> {
        if self.side.phase == Phase::Always {
            return self.current();
        }
        let counts = |base: &u16| self.special.is_base(*base) || !self.holds(Rule::DeadIsMiss);
        Some(self.side.base).filter(counts).or_else(|| self.current())
    }

    /// Where the packet goes if no word can be changed: where its pin says, else where it would with no room for one.
    fn without_writing(&self) -> Option<u16> {
        let found = self.pins.find(self.key, |id| self.is_ours(id));
        found.and_then(|found| self.judge(&found).ok()).or_else(|| self.rest())
    }

    fn attempt(&self) -> Result<Option<u16>, Again> {
        let found = self.pins.find(self.key, |id| self.is_ours(id));
        match found.map(|found| (found, self.judge(&found))) {
            None => self.unpinned(None, Miss::None),
            Some((found, Err(miss))) => self.unpinned(Some(found), miss),
            Some((found, Ok(index))) => self.follow(found, index),
        }
    }

    /// The backend of a pin, or why the packet does not follow it.
    fn judge(&self, found: &Found<'_>) -> Result<u16, Miss> {
        let pin = found.pin;
        if found.is_expired(self.now, self.pins.clock(), &self.tenure) {
            return Err(Miss::None);
        }
        match self.flow.role {
            // A SYN follows its pin unless the client has ended that flow: a late duplicate or made-up SYN must not move
            // an established flow.
            Role::Syn { .. } if !self.holds(Rule::SynFollowsPin) => return Err(Miss::NewFlow),
            Role::Syn { .. } if pin.state().is_closing() && self.holds(Rule::SynEndsClosing) => {
                return Err(Miss::NewFlow);
            }
            Role::Syn { sequence } if pin.state().is_embryonic() && !pin.is_same_syn(sequence) => {
                return Err(Miss::NewFlow);
            }
            Role::Segment { sequence, .. } | Role::Follower { sequence: Some(sequence), .. }
                if pin.state().is_embryonic() && !pin.is_near(sequence) && self.holds(Rule::SequenceBits) =>
            {
                return Err(Miss::OtherFlow);
            }
            _ => {}
        }
        // Not of this pool: only with a rule switched off.
        let index = self.special.index(pin.backend()).ok_or(Miss::None)?;
        if self.is_eligible(index) { Ok(index) } else { Err(Miss::NotEligible) }
    }

    /// Follows a pin.
    fn follow(&self, found: Found<'_>, index: u16) -> Result<Option<u16>, Again> {
        let pin = found.pin;
        if self.side.phase == Phase::Look && index == self.side.base && self.holds(Rule::LookRemoves) {
            // It says what the slot says: the slot may become steady without it.
            return self.removed(found).map(|()| Some(index));
        }
        if self.side.phase == Phase::Armed && index == self.side.base && self.flow.role.ends() {
            // What follows goes there without it. A worker that is still steady does not see the pin when the next flow of
            // this name starts: that must not live on one that is closing.
            return self.removed(found).map(|()| Some(index));
        }
        let new = match self.flow.role {
            Role::Syn { sequence } => pin.after_syn(sequence, self.now),
            Role::Initial | Role::Datagram => pin.after_packet(false, self.now),
            Role::Segment { closes, .. } => pin.after_packet(closes, self.now),
            Role::Follower { closes: true, .. } => pin.closed(),
            Role::Follower { closes: false, .. } => pin,
        };
        if found.replace(new) { Ok(Some(index)) } else { Err(Again) }
    }

    /// A packet without a pin that it follows; `place` is where a pin of its flow stands all the same.
    fn unpinned(&self, place: Option<Found<'_>>, miss: Miss) -> Result<Option<u16>, Again> {
        let role = self.flow.role;
        let rest = self.rest();
        let start = role.is_start() || self.taken_for_a_start();
        match self.side.phase {
            // Starts still go to the old owner, but are pinned: the retransmission of a SYN that was answered must not go
            // to another backend once current changed.
            Phase::Armed if start || miss == Miss::NotEligible => self.pinned_to(rest, place, miss).map(|_| rest),
            // Pin first: a SYN whose pin found no room goes where everything that follows will go.
            Phase::Transition if start => {
                let current = self.current();
                let written = self.pinned_to(current, place, miss)?;
                Ok(if written || !self.holds(Rule::PinFirst) { current } else { rest })
            }
            // Its backend is gone, so it starts anew as far as backends are concerned.
            Phase::Transition if miss == Miss::NotEligible => {
                let current = self.current().or(rest);
                self.pinned_to(current, place, miss).map(|_| current)
            }
            Phase::Transition => self.pinned_to(rest, place, miss).map(|_| rest),
            // A worker that is still in transition sends what has no pin to the old base. A datagram may be the first one
            // of its flow.
            Phase::Folded
                if self.holds(Rule::FoldedPins) && (start || miss == Miss::NotEligible || role == Role::Datagram) =>
            {
                self.pinned_to(rest, place, miss).map(|_| rest)
            }
            // What was pinned elsewhere by the flow that had this name before must not take what follows.
            Phase::Look if self.holds(Rule::LookRemoves) && (start || miss == Miss::NotEligible) => {
                place.map_or(Ok(()), |place| self.removed(place)).map(|()| rest)
            }
            Phase::Always => self.pinned_to(rest, place, miss).map(|_| rest),
            Phase::Steady | Phase::Armed | Phase::Folded | Phase::Look => match place {
                // An expired pin: a worker whose clock is a tick behind would follow it with the next packet.
                Some(place) if miss == Miss::None => self.removed(place).map(|()| rest),
                _ => Ok(rest),
            },
        }
    }

    /// With a rule switched off, what is no start counts as one.
    fn taken_for_a_start(&self) -> bool {
        self.flow.role == Role::Datagram && !self.holds(Rule::UdpHasNoStart)
    }

    /// Pins the flow to a backend. Whether it has a pin then.
    fn pinned_to(&self, backend: Option<u16>, place: Option<Found<'_>>, miss: Miss) -> Result<bool, Again> {
        let Some(id) = backend.and_then(|index| self.special.id(index)) else { return Ok(false) };
        let tag = self.key.tag;
        let pin = match self.flow.role {
            Role::Syn { sequence } => Pin::embryonic(tag, id, sequence, self.now),
            Role::Initial | Role::Datagram => Pin::single(tag, id, false, self.now),
            Role::Segment { closes, .. } => Pin::single(tag, id, closes, self.now),
            Role::Follower { .. } if self.holds(Rule::FollowersPinNothing) => return Ok(false),
            Role::Follower { .. } => Pin::single(tag, id, false, self.now),
        };
        let Some(place) = place else { return self.inserted(pin) };
        // While a handshake may be under way, the pin is that flow's, and the other flow's packets do without; unless both go
        // to the same backend, or its own is gone.
        let alive = self.special.index(place.pin.backend()).is_some_and(|index| self.is_eligible(index));
        let under_way = alive && !place.pin.is_late(self.now, self.pins.clock()) && place.pin.backend() != id;
        if miss == Miss::OtherFlow && under_way {
            // Its slot must not fold before it has one of its own.
            self.special.failed.insert(self.flow.slot);
            return Ok(false);
        }
        if place.replace(pin) { Ok(true) } else { Err(Again) }
    }

    fn inserted(&self, pin: Pin) -> Result<bool, Again> {
        match self.pins.insert(self.key, pin, self.now, &self.tenure, |id| self.is_ours(id)) {
            Inserted::Done(None) => self.counters.inserted.add(1),
            Inserted::Done(Some(old)) => self.took_the_place_of(old),
            Inserted::Again(old) => {
                if let Some(old) = old {
                    self.took_the_place_of(old);
                }
                return Err(Again);
            }
            Inserted::Full => {
                self.counters.failed.add(1);
                self.special.failed.insert(self.flow.slot);
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Counts an eviction. The flow of a pin that only one packet came for may be alive: its slot waits as one does in
    /// which an insertion failed.
    fn took_the_place_of(&self, old: Pin) {
        match old.state() {
            PinState::Embryonic | PinState::Aged => self.counters.evicted_embryonic.add(1),
            PinState::Single | PinState::SingleClosing => {
                self.counters.evicted_single.add(1);
                if self.special.index(old.backend()).is_some() {
                    self.special.failed.insert(self.special.slot_of(old.tag()));
                }
            }
            PinState::Confirmed | PinState::Closing => self.counters.evicted_confirmed.add(1),
        }
    }

    fn removed(&self, found: Found<'_>) -> Result<(), Again> {
        if !found.remove() {
            return Err(Again);
        }
        self.counters.removed.add(1);
        Ok(())
    }
}
