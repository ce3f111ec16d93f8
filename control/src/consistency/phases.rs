//! The phase of each slot of a pool.
//!
//! Slots that enter a phase together are a *cohort*: they share the generation that brought them there, the moment when
//! every worker acknowledged it, and their deadline. A slot that leaves alone (its backend died) leaves its cohort.

use guideway_dataplane::consistency::{Phase, Side, SlotSet};
use guideway_dataplane::publish::Generation;
use guideway_dataplane::table::{Slot, Table};
use guideway_dataplane::time::Nanos;
use std::time::Duration;

/// Slots that are in one phase since the same generation.
#[derive(Clone, Debug)]
pub(super) struct Cohort {
    pub(super) phase: Phase,
    slots: Vec<u32>,
    /// `None`: not published yet.
    generation: Option<Generation>,
    /// When every worker used that generation.
    pub(super) acknowledged: Option<Nanos>,
    /// How long it lasts from then on: kept, so that a lower T does not shorten what runs.
    lasts: Duration,
    /// Whether it was put off once because insertions had failed.
    deferred: bool,
}

impl Cohort {
    fn deadline(&self) -> Option<Nanos> {
        self.acknowledged.map(|at| at + self.lasts)
    }
}

/// The slots of one pool: whose they are, and in which phase.
#[derive(Clone, Debug)]
pub struct Phases {
    /// Whose each slot is: the steady table, without marks.
    pub(super) current: Box<[Slot]>,
    /// By slot; empty while all slots are steady.
    pub(super) sides: Vec<Side>,
    /// Number of the cohort of each slot that is not steady.
    cohort_of: Vec<u32>,
    pub(super) cohorts: Vec<(u32, Cohort)>,
    next_cohort: u32,
    special: u32,
}

/// How many slots are in each phase, and until when.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Slots that are armed.
    pub armed: u32,
    /// Slots in transition.
    pub transition: u32,
    /// Slots that are folded.
    pub folded: u32,
    /// Slots that are looked at.
    pub look: u32,
    /// Slots whose flows from before have another backend than new ones.
    pub differing: u32,
    /// When the last deadline that is known passes; `None`: no deadline is known.
    pub until: Option<Nanos>,
}

impl Phases {
    /// All slots steady.
    #[must_use]
    pub fn new(table: &Table) -> Self {
        Self {
            current: table.slots().into(),
            sides: Vec::new(),
            cohort_of: Vec::new(),
            cohorts: Vec::new(),
            next_cohort: 0,
            special: 0,
        }
    }

    /// Whose each slot is.
    #[must_use]
    pub fn current(&self) -> &[Slot] {
        &self.current
    }

    /// How many slots are not steady.
    #[must_use]
    pub const fn special(&self) -> u32 {
        self.special
    }

    /// Base and phase of each slot; `None` while all are steady.
    #[must_use]
    pub fn sides(&self) -> Option<Box<[Side]>> {
        (self.special > 0).then(|| self.sides.as_slice().into())
    }

    /// Base and phase of one slot.
    #[must_use]
    pub fn side(&self, slot: u32) -> Side {
        let steady = || {
            let base = self.current.get(slot as usize).map_or(u16::MAX, |slot| slot.index() as u16);
            Side { base, phase: Phase::Steady }
        };
        self.sides.get(slot as usize).copied().filter(|side| side.phase != Phase::Steady).unwrap_or_else(steady)
    }

    /// The table that workers read: special slots are marked.
    #[must_use]
    pub fn table(&self) -> Table {
        if self.special == 0 {
            return Table::from(self.current.clone());
        }
        let marked = |(slot, side): (&Slot, &Side)| slot.with_special(side.phase != Phase::Steady);
        Table::from(self.current.iter().zip(&self.sides).map(marked).collect::<Box<[Slot]>>())
    }

    /// Puts slots into a phase, as a cohort of their own.
    fn enter(&mut self, phase: Phase, slots: Vec<u32>, lasts: Duration) {
        if slots.is_empty() {
            return;
        }
        if self.sides.is_empty() {
            self.sides =
                self.current.iter().map(|slot| Side { base: slot.index() as u16, phase: Phase::Steady }).collect();
            self.cohort_of = vec![0; self.current.len()];
        }
        let number = self.next_cohort;
        self.next_cohort = self.next_cohort.wrapping_add(1);
        for &slot in &slots {
            let side = &mut self.sides[slot as usize];
            if side.phase == Phase::Steady {
                self.special += 1;
                side.base = self.current[slot as usize].index() as u16;
            }
            side.phase = phase;
            self.cohort_of[slot as usize] = number;
        }
        let cohort = Cohort { phase, slots, generation: None, acknowledged: None, lasts, deferred: false };
        self.cohorts.push((number, cohort));
    }

    /// Slots that have another owner in `target`.
    fn differing<'a>(&'a self, target: &'a Table) -> impl Iterator<Item = u32> + 'a {
        let both = self.current.iter().zip(target.slots());
        (0..).zip(both).filter(|(_, (now, then))| now != then).map(|(slot, _)| slot)
    }

    /// Whether no slot would change its owner.
    #[must_use]
    pub fn is(&self, target: &Table) -> bool {
        *self.current == *target.slots()
    }

    /// Arms the slots that change their owner with `target`, but for those in transition: there, starts have pins already.
    /// Returns whether there are any.
    pub fn arm(&mut self, target: &Table, arm_time: Duration) -> bool {
        let free = |slot: &u32| matches!(self.side(*slot).phase, Phase::Steady | Phase::Look);
        let slots: Vec<u32> = self.differing(target).filter(free).collect();
        let any = !slots.is_empty();
        self.enter(Phase::Armed, slots, arm_time);
        any
    }

    /// Whether a slot that changes its owner with `target` waits for workers to learn that it folded.
    #[must_use]
    pub fn is_folding(&self, target: &Table) -> bool {
        self.differing(target).any(|slot| self.side(slot).phase == Phase::Folded)
    }

    /// Whether every slot that changes its owner with `target` is armed, or in transition: a death may have changed which
    /// slots a plan moves.
    #[must_use]
    pub fn is_armed_for(&self, target: &Table) -> bool {
        self.differing(target).all(|slot| matches!(self.side(slot).phase, Phase::Armed | Phase::Transition))
    }

    /// Whether nothing is armed, or all of it for long enough.
    #[must_use]
    pub fn is_arming_over(&self, now: Nanos) -> bool {
        let armed = self.cohorts.iter().filter(|(_, cohort)| cohort.phase == Phase::Armed);
        armed.map(|(_, cohort)| cohort.deadline()).all(|deadline| deadline.is_some_and(|deadline| now >= deadline))
    }

    /// Gives slots their owners of `target`, at once. Slots that change go into transition for `idle`; the base of those
    /// that are there stays, and so does their deadline: flows without a pin can only be on the base. Slots that were
    /// armed for nothing are looked at: they may have pins.
    pub fn change(&mut self, target: &Table, idle: Duration) {
        let changed: Vec<u32> = self.differing(target).collect();
        let entering = changed.iter().copied().filter(|slot| self.side(*slot).phase != Phase::Transition).collect();
        // First the phase: what was steady takes the owner of before for its base.
        self.enter(Phase::Transition, entering, idle);
        for slot in changed {
            self.current[slot as usize] = target.slots()[slot as usize];
        }
    }

    /// Ends the arming of slots that did not change after all.
    pub fn disarm(&mut self) {
        let armed = self.members(|cohort| cohort.phase == Phase::Armed);
        self.enter(Phase::Look, armed, Duration::ZERO);
    }

    /// Gives slots their owners of `target` without any phase: for pools whose flows all have pins.
    pub fn overwrite(&mut self, target: &Table) {
        *self = Self::new(target);
    }

    /// The slots of some cohorts that are still in them.
    fn members(&self, of: impl Fn(&Cohort) -> bool) -> Vec<u32> {
        let cohorts = self.cohorts.iter().filter(|(_, cohort)| of(cohort));
        cohorts.flat_map(|(number, cohort)| self.still_in(*number, cohort)).collect()
    }

    fn still_in<'a>(&'a self, number: u32, cohort: &'a Cohort) -> impl Iterator<Item = u32> + 'a {
        let here = move |slot: &u32| {
            self.cohort_of[*slot as usize] == number && self.sides[*slot as usize].phase == cohort.phase
        };
        cohort.slots.iter().copied().filter(here)
    }

    /// What changed since the last publication is in this generation.
    pub fn published(&mut self, generation: Generation) {
        for (_, cohort) in &mut self.cohorts {
            cohort.generation.get_or_insert(generation);
        }
    }

    /// Every worker uses this generation, or a later one.
    pub fn acknowledge(&mut self, generation: Generation, now: Nanos) {
        for (_, cohort) in &mut self.cohorts {
            if cohort.generation.is_some_and(|entered| entered <= generation) {
                cohort.acknowledged.get_or_insert(now);
            }
        }
    }

    /// Folds the slots whose transition is over, and looks at those that are known to be folded. Only while every worker
    /// uses the latest generation: a slot never is two phases ahead of the slowest. Returns whether anything changed.
    ///
    /// A slot in which an insertion failed is put off once by its T: until then, flows get pins at each packet. Once only,
    /// and whatever fails changes no base: an attacker can make insertions fail.
    pub fn advance(&mut self, now: Nanos, failed: &SlotSet, defer: bool) -> bool {
        let folded = self.members(|cohort| cohort.phase == Phase::Folded && cohort.acknowledged.is_some());
        let due = |cohort: &Cohort| cohort.phase == Phase::Transition && cohort.deadline().is_some_and(|at| now >= at);
        let mut folding = Vec::new();
        let mut put_off = Vec::new();
        for (number, cohort) in self.cohorts.iter().filter(|(_, cohort)| due(cohort)) {
            for slot in self.still_in(*number, cohort) {
                let again = failed.take(slot) && defer && !cohort.deferred;
                if again { put_off.push((slot, cohort.lasts)) } else { folding.push(slot) }
            }
        }
        let changed = !(folded.is_empty() && folding.is_empty());
        self.enter(Phase::Look, folded, Duration::ZERO);
        for &slot in &folding {
            self.sides[slot as usize].base = self.current[slot as usize].index() as u16;
        }
        self.enter(Phase::Folded, folding, Duration::ZERO);
        self.put_off(put_off, now);
        self.forget_empty();
        changed
    }

    /// Gives slots another T. Nothing changes for workers: the generation they know is the one that counts.
    fn put_off(&mut self, mut slots: Vec<(u32, Duration)>, now: Nanos) {
        slots.sort_by_key(|(_, lasts)| *lasts);
        for same in slots.chunk_by(|a, b| a.1 == b.1) {
            self.enter(Phase::Transition, same.iter().map(|(slot, _)| *slot).collect(), same[0].1);
            if let Some((_, cohort)) = self.cohorts.last_mut() {
                cohort.generation = Some(0);
                cohort.acknowledged = Some(now);
                cohort.deferred = true;
            }
        }
    }

    /// A sweep that began at `began` found pins that are not those of the base in the slots of `seen`. What was looked at
    /// before it began and has none is steady. Returns whether there is any.
    pub fn swept(&mut self, began: Nanos, seen: impl Fn(u32) -> bool) -> bool {
        let before = |cohort: &Cohort| cohort.phase == Phase::Look && cohort.acknowledged.is_some_and(|at| at <= began);
        let steady: Vec<u32> = self.members(before).into_iter().filter(|slot| !seen(*slot)).collect();
        for &slot in &steady {
            self.sides[slot as usize].phase = Phase::Steady;
        }
        self.special -= steady.len() as u32;
        self.forget_empty();
        !steady.is_empty()
    }

    fn forget_empty(&mut self) {
        let mut cohorts = std::mem::take(&mut self.cohorts);
        cohorts.retain(|(number, cohort)| self.still_in(*number, cohort).next().is_some());
        self.cohorts = cohorts;
        if self.special == 0 {
            self.sides = Vec::new();
            self.cohort_of = Vec::new();
        }
    }

    /// The backends that flows can be on without a pin: the owner of each slot, and the base of each special one.
    pub fn named(&self) -> impl Iterator<Item = usize> {
        let bases = self.sides.iter().filter(|side| side.phase != Phase::Steady).map(|side| usize::from(side.base));
        self.current.iter().map(|slot| slot.index()).chain(bases)
    }

    /// Follows backends to their new places in the pool. `None`: gone, and no slot names it.
    pub fn renumber(&mut self, place: impl Fn(u16) -> Option<u16>) {
        for slot in &mut self.current {
            *slot = place(slot.index() as u16).map_or(Slot::EMPTY, Slot::new);
        }
        for side in &mut self.sides {
            side.base = place(side.base).unwrap_or(u16::MAX);
        }
    }

    /// How many slots are in each phase.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for (slot, side) in self.current.iter().zip(&self.sides) {
            match side.phase {
                Phase::Armed => counts.armed += 1,
                Phase::Transition => counts.transition += 1,
                Phase::Folded => counts.folded += 1,
                Phase::Look => counts.look += 1,
                Phase::Steady | Phase::Always => continue,
            }
            counts.differing += u32::from(usize::from(side.base) != slot.index());
        }
        let timed = self.cohorts.iter().filter(|(_, cohort)| matches!(cohort.phase, Phase::Armed | Phase::Transition));
        counts.until = timed.filter_map(|(_, cohort)| cohort.deadline()).max();
        counts
    }
}
