//! Histories of a slot: generations, each published when every worker uses the one before.

use crate::rig::{A, ARM, IDLE, NONE, State, state};
use guideway_dataplane::consistency::Phase;
use proptest::prelude::*;

/// What happens to a slot.
#[derive(Clone, Copy, Debug)]
pub enum Change {
    /// Its phase ends; where the next one needs a new owner, it is this one.
    Step(u16),
    /// Its owner changes in the transition.
    Move(u16),
    Death(u16),
    Recovery(u16),
}

/// What the control side does.
pub struct History {
    generations: Vec<State>,
    /// What each worker uses: an index of a generation.
    used: [usize; 2],
    /// When both used the generation that began the phase.
    since: u16,
    /// Whether phases last as long as they must, and not as short as nobody's law forbids.
    timely: bool,
}

pub fn a_change() -> impl Strategy<Value = Change> {
    prop_oneof![
        6 => (0..3_u16).prop_map(Change::Step),
        1 => (0..3_u16).prop_map(Change::Move),
        1 => (0..3_u16).prop_map(Change::Death),
        2 => (0..3_u16).prop_map(Change::Recovery),
    ]
}

impl History {
    pub fn new(now: u16, timely: bool) -> Self {
        Self { generations: vec![state(Phase::Steady, A, A)], used: [0; 2], since: now, timely }
    }

    pub fn latest(&self) -> State {
        self.generations[self.generations.len() - 1]
    }

    /// What a worker knows.
    pub fn state(&self, worker: usize) -> State {
        self.generations[self.used[worker]]
    }

    fn all_know(&self) -> bool {
        self.used.iter().all(|used| used + 1 == self.generations.len())
    }

    /// A worker turns to the latest generation.
    pub fn adopt(&mut self, worker: usize, now: u16) {
        let knew = self.all_know();
        self.used[worker] = self.generations.len() - 1;
        let begins = match &self.generations[..] {
            [.., before, last] => before.phase != last.phase,
            _ => false,
        };
        if !knew && self.all_know() && begins {
            self.since = now;
        }
    }

    /// Publishes what follows from a change, if it is time. `settled`: neither did an insertion fail lately, nor is there
    /// a pin that a slot that is looked at needs.
    pub fn change(&mut self, change: Change, now: u16, settled: impl Fn(State) -> bool) {
        if !self.all_know() {
            return;
        }
        let before = self.latest();
        let lasted = now - self.since;
        let may = |least: u16| !self.timely || lasted > least;
        let next = match change {
            Change::Death(gone) => after_death(before, gone),
            Change::Recovery(back) => after_recovery(before, back),
            Change::Step(new) => step(before, new, may, settled),
            Change::Move(new) if before.phase == Phase::Transition && before.eligible[usize::from(new)] => {
                State { current: new, ..before }
            }
            Change::Move(_) => before,
        };
        if next != before {
            self.generations.push(next);
        }
    }
}

fn step(before: State, new: u16, may: impl Fn(u16) -> bool, settled: impl Fn(State) -> bool) -> State {
    let is_other = new != before.base && before.eligible[usize::from(new)];
    match before.phase {
        Phase::Steady => State { phase: Phase::Armed, base: before.current, ..before },
        Phase::Armed if is_other && may(ARM) => State { phase: Phase::Transition, current: new, ..before },
        Phase::Transition if before.current != NONE && may(IDLE) && settled(before) => {
            State { phase: Phase::Folded, base: before.current, ..before }
        }
        Phase::Folded => State { phase: Phase::Look, ..before },
        Phase::Look if settled(before) => State { phase: Phase::Steady, ..before },
        _ => before,
    }
}

/// The slot's owner is gone: another one takes its place at once.
fn after_death(before: State, gone: u16) -> State {
    let next = before.without(gone);
    if before.current != gone {
        return next;
    }
    let current = (0..3).find(|index| next.eligible[usize::from(*index)]).unwrap_or(NONE);
    match before.phase {
        Phase::Transition => State { current, ..next },
        _ => State { phase: Phase::Transition, base: gone, current, ..next },
    }
}

/// Nothing goes back at once, but where nobody was.
fn after_recovery(before: State, back: u16) -> State {
    let mut next = before;
    next.eligible[usize::from(back)] = true;
    if before.current == NONE { State { current: back, ..next } } else { next }
}
