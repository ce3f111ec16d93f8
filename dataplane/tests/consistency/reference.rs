//! The table of phases as it is written down, slow and obvious: a map from flows to plain structs.

use crate::rig::{ARM, IDLE, State};
use guideway_dataplane::consistency::{Phase, Role};
use guideway_dataplane::pin::PinState;
use std::collections::BTreeMap;

/// How far a flow has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// A SYN with this sequence number came.
    Syn(u32),
    /// The same, and a sweep found it late.
    LateSyn(u32),
    OnePacket,
    MorePackets,
}

#[derive(Clone, Copy, Debug)]
struct Pinned {
    backend: u16,
    progress: Progress,
    closing: bool,
    /// Tick of the last use.
    last: i64,
}

/// The pins of all flows, by number.
#[derive(Default)]
pub struct Reference {
    pins: BTreeMap<u32, Pinned>,
}

/// What the table says of a packet that follows no pin.
struct Row {
    to: u16,
    /// Whether it is pinned there.
    pins: bool,
}

impl Pinned {
    fn sequence(&self) -> Option<u32> {
        match self.progress {
            Progress::Syn(sequence) | Progress::LateSyn(sequence) => Some(sequence),
            Progress::OnePacket | Progress::MorePackets => None,
        }
    }

    fn is_late(&self, now: i64) -> bool {
        match self.progress {
            Progress::Syn(_) => now - self.last > i64::from(ARM),
            Progress::LateSyn(_) => true,
            Progress::OnePacket | Progress::MorePackets => false,
        }
    }

    fn is_expired(&self, now: i64, margin: i64) -> bool {
        !matches!(self.progress, Progress::Syn(_)) && now - self.last > i64::from(IDLE) + margin
    }

    /// A packet that follows the pin.
    fn touch(&mut self, role: Role, now: i64) {
        match role {
            Role::Syn { sequence } if self.sequence().is_some() => {
                (self.progress, self.last) = (Progress::Syn(sequence), now);
            }
            Role::Syn { .. } => self.last = self.last.max(now),
            Role::Follower { closes, .. } => self.closing |= closes && self.sequence().is_none(),
            Role::Initial | Role::Datagram | Role::Segment { .. } => {
                self.closing |= matches!(role, Role::Segment { closes: true, .. });
                if self.sequence().is_some() {
                    (self.progress, self.last) = (Progress::OnePacket, now);
                } else if now > self.last {
                    (self.progress, self.last) = (Progress::MorePackets, now);
                }
            }
        }
    }
}

impl Reference {
    /// Where a worker sends the packet by the state that it knows.
    pub fn packet(&mut self, state: State, flow: u32, role: Role, now: i64) -> u16 {
        if state.phase == Phase::Steady {
            return state.current;
        }
        let is_eligible = |backend: u16| state.eligible[usize::from(backend)];
        let fresh = self.pins.get(&flow).copied().filter(|pin| !pin.is_expired(now, 1));
        let other_flow = |pin: &Pinned| match (role, pin.sequence()) {
            // The SYN of a new flow: not the one that made the pin, or the client ended the one before.
            (Role::Syn { sequence }, Some(of_pin)) => block(sequence) != block(of_pin),
            (Role::Syn { .. }, None) => pin.closing,
            // Not of the flow that the pin's SYN began.
            (Role::Segment { sequence, .. } | Role::Follower { sequence: Some(sequence), .. }, Some(of_pin)) => {
                (block(sequence) - block(of_pin)).rem_euclid(256) > 1
            }
            _ => false,
        };
        if let Some(pin) = fresh.filter(|pin| !other_flow(pin) && is_eligible(pin.backend)) {
            let ends = matches!(role, Role::Segment { closes: true, .. } | Role::Follower { closes: true, .. });
            let says_nothing = state.phase == Phase::Look || state.phase == Phase::Armed && ends;
            if says_nothing && pin.backend == state.base {
                self.pins.remove(&flow);
            } else {
                self.pins.entry(flow).and_modify(|pin| pin.touch(role, now));
            }
            return pin.backend;
        }
        let is_syn = matches!(role, Role::Syn { .. });
        let of_other_flow = fresh.filter(|pin| !is_syn && other_flow(pin));
        // A flow whose backend is gone begins again.
        let is_start = is_syn
            || role == Role::Initial
            || of_other_flow.is_none() && fresh.is_some_and(|pin| !is_eligible(pin.backend));
        let row = Self::row(state, is_start, role == Role::Datagram);
        let may_pin = !matches!(role, Role::Follower { .. });
        // While its handshake may be under way at a backend that is there, a pin is not another flow's that goes elsewhere.
        let is_taken =
            of_other_flow.is_some_and(|pin| !pin.is_late(now) && pin.backend != row.to && is_eligible(pin.backend));
        if row.pins && may_pin && !is_taken && row.to < 3 {
            self.pins.insert(flow, Self::pinned(row.to, role, now));
        } else if !row.pins && (fresh.is_none() || state.phase == Phase::Look && is_start) {
            self.pins.remove(&flow);
        }
        row.to
    }

    fn row(state: State, is_start: bool, is_datagram: bool) -> Row {
        let base = if state.eligible[usize::from(state.base)] { state.base } else { state.current };
        match (state.phase, is_start) {
            (Phase::Armed, true) => Row { to: base, pins: true },
            (Phase::Armed, false) => Row { to: base, pins: false },
            (Phase::Transition, true) => Row { to: state.current, pins: true },
            (Phase::Transition, false) => Row { to: base, pins: true },
            (Phase::Folded, true) => Row { to: state.current, pins: true },
            (Phase::Folded, false) => Row { to: base, pins: is_datagram },
            (Phase::Look, _) => Row { to: base, pins: false },
            (Phase::Steady | Phase::Always, _) => Row { to: state.current, pins: state.phase == Phase::Always },
        }
    }

    fn pinned(backend: u16, role: Role, last: i64) -> Pinned {
        let progress = match role {
            Role::Syn { sequence } => Progress::Syn(sequence),
            _ => Progress::OnePacket,
        };
        Pinned { backend, progress, closing: matches!(role, Role::Segment { closes: true, .. }), last }
    }

    /// Takes expired pins away. Those that stay: flow, backend, state, as they were.
    pub fn sweep(&mut self, now: i64) -> Vec<(u32, u16, PinState)> {
        self.pins.retain(|_, pin| !pin.is_expired(now, 4));
        let live = self.pins.iter().map(|(flow, pin)| (*flow, pin.backend, state_of(pin))).collect();
        for pin in self.pins.values_mut() {
            if let Progress::Syn(sequence) = pin.progress
                && pin.is_late(now)
            {
                // Its time counts from here, and it keeps that in a way that may be a tick too few.
                (pin.progress, pin.last) = (Progress::LateSyn(sequence), now + 1);
            }
        }
        live
    }
}

/// Sequence numbers in units of 128 kB, of which a pin tells 256 apart.
fn block(sequence: u32) -> i64 {
    i64::from(sequence / (128 * 1024) % 256)
}

fn state_of(pin: &Pinned) -> PinState {
    match (pin.progress, pin.closing) {
        (Progress::Syn(_), _) => PinState::Embryonic,
        (Progress::LateSyn(_), _) => PinState::Aged,
        (Progress::OnePacket, false) => PinState::Single,
        (Progress::OnePacket, true) => PinState::SingleClosing,
        (Progress::MorePackets, false) => PinState::Confirmed,
        (Progress::MorePackets, true) => PinState::Closing,
    }
}
