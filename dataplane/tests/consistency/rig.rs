//! One slot of one pool, and packets for it.

use guideway_dataplane::consistency::{Flow, Member, Parts, Phase, Role, Rules, Side, SlotSet, Special, decide};
use guideway_dataplane::counters::PinCounters;
use guideway_dataplane::hash::FlowHash;
use guideway_dataplane::ids::BackendId;
use guideway_dataplane::pin::{Pin, PinClock, PinOwner, PinTable, Sweep, Tick};
use guideway_dataplane::table::{MAX_POOL_BACKENDS, Slot};
use guideway_dataplane::time::Nanos;
use std::sync::Arc;
use std::time::Duration;

/// Indices of backends in the pool.
pub const A: u16 = 0;
/// The one that comes after `A` in most tests.
pub const B: u16 = 1;
/// Another one.
pub const C: u16 = 2;
/// Nobody.
pub const NONE: u16 = MAX_POOL_BACKENDS as u16;
/// T in ticks. So few that an aged pin, which keeps five bits of a tick, keeps it exactly.
pub const IDLE: u16 = 8;
/// `arm_time` in ticks.
pub const ARM: u16 = 2;
/// Backend ids are not indices.
pub const FIRST_ID: u16 = 700;

pub const SYN: Role = Role::Syn { sequence: 1_000 };
pub const ACK: Role = Role::Segment { sequence: 1_001, closes: false };
pub const FIN: Role = Role::Segment { sequence: 1_001, closes: true };
pub const RST: Role = Role::Follower { closes: true, sequence: None };

/// What a generation says of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    pub phase: Phase,
    pub base: u16,
    pub current: u16,
    pub eligible: [bool; 3],
}

pub const fn state(phase: Phase, base: u16, current: u16) -> State {
    State { phase, base, current, eligible: [true; 3] }
}

/// Flows from before are on `A`, new ones go to `B`.
pub const TRANSITION: State = state(Phase::Transition, A, B);
pub const FOLDED: State = state(Phase::Folded, B, B);
pub const LOOK: State = state(Phase::Look, B, B);

impl State {
    pub const fn without(mut self, backend: u16) -> Self {
        self.eligible[backend as usize] = false;
        self
    }
}

/// A pool with one slot, and its pins.
pub struct Rig {
    pub pins: Arc<PinTable>,
    pub failed: Arc<SlotSet>,
    pub counters: PinCounters,
    rules: Rules,
    salt: u32,
    first_id: u16,
}

/// A clock of the shortest ticks.
pub fn clock() -> PinClock {
    let length = Duration::from_nanos(1 << 23);
    let clock = PinClock::new(length * u32::from(IDLE), length * u32::from(ARM));
    assert_eq!((clock.length(), clock.arm_ticks()), (length, ARM));
    clock
}

impl Rig {
    /// With a table of this many pins.
    pub fn new(rules: Rules, pins: usize) -> Self {
        Self::sharing(Arc::new(PinTable::new(pins, clock())), rules, 0, FIRST_ID)
    }

    /// Another pool with the same pins.
    pub fn sharing(pins: Arc<PinTable>, rules: Rules, salt: u32, first_id: u16) -> Self {
        Self { pins, failed: Arc::new(SlotSet::new(1)), counters: PinCounters::default(), rules, salt, first_id }
    }

    /// Where a worker sends a packet of the flow by the state that it knows; [`NONE`]: nowhere.
    pub fn packet(&self, state: State, hash: FlowHash, role: Role, tick: u16) -> u16 {
        let current = Slot::new(state.current).with_special(state.phase != Phase::Steady);
        if !current.is_special() {
            return state.current;
        }
        let member = |index: u16| {
            let eligible = state.eligible[index as usize];
            Member { id: BackendId(self.first_id + index), eligible, as_base: eligible }
        };
        let special = Special::from(Parts {
            size: 1,
            sides: [Side { base: state.base, phase: state.phase }].into(),
            members: [A, B, C].map(member).into(),
            idle: IDLE,
            longest_idle: IDLE,
            salt: self.salt,
            failed: Arc::clone(&self.failed),
            rules: self.rules,
        });
        let flow = Flow { hash, slot: 0, current, role };
        // The middle of the tick.
        let now = Nanos((u64::from(tick) << 23) + (1 << 22));
        decide(&special, &flow, &self.pins, now, &self.counters).unwrap_or(NONE)
    }

    /// A whole sweep of the table. The pins that stay, as they were before the sweep touched them.
    pub fn sweep(&self, tick: u16) -> Vec<Pin> {
        let mut owner = Owner { redundant: None, pins: Vec::new() };
        assert!(Sweep::default().step(&self.pins, usize::MAX, Tick(tick & 0x1fff), &mut owner));
        owner.pins
    }

    /// The same while the slot is looked at: pins of this backend go.
    pub fn sweep_of(&self, base: u16, tick: u16) -> Vec<Pin> {
        let mut owner = Owner { redundant: Some(BackendId(self.first_id + base)), pins: Vec::new() };
        assert!(Sweep::default().step(&self.pins, usize::MAX, Tick(tick & 0x1fff), &mut owner));
        owner.pins
    }
}

struct Owner {
    redundant: Option<BackendId>,
    pins: Vec<Pin>,
}

impl PinOwner for Owner {
    fn idle(&self, _: BackendId) -> Option<u16> {
        Some(IDLE)
    }

    fn is_redundant(&self, pin: Pin) -> bool {
        Some(pin.backend()) == self.redundant
    }

    fn live(&mut self, pin: Pin) {
        self.pins.push(pin);
    }
}
