//! The plan of one pool: from the slots as they are to those that the facts ask for.
//!
//! A backend that is down loses its slots at once. Everything else is *planned*: a drain, a weight, a backend that joins,
//! leaves or returns, another group. A planned change arms the slots that it moves, waits for `arm_time`, then changes
//! them. One plan at a time; what is asked for meanwhile comes with the next one.

use super::phases::Phases;
use super::placement::{Fact, Policy, Serving, Tables};
pub use super::step::{Step, Waiting};
use guideway_dataplane::consistency::{Rule, SlotSet};
use guideway_dataplane::hash::FlowHasher;
use guideway_dataplane::publish::Generation;
use guideway_dataplane::table::{BuildError, Slot, Table};
use guideway_dataplane::time::Nanos;
use std::sync::Arc;

#[derive(Debug)]
struct Pending {
    facts: Vec<Fact>,
    target: Table,
}

/// What follows from facts alone. Kept: a publication asks for it once for each backend.
#[derive(Debug)]
struct Aim {
    target: Table,
    undisturbed: Table,
    serving: Serving,
}

impl Aim {
    fn of(facts: &[Fact], tables: &mut Tables) -> Result<Self, BuildError> {
        let target = tables.table(facts)?;
        let undisturbed = tables.undisturbed(facts)?;
        Ok(Self { target, undisturbed, serving: tables.policy().serving(facts) })
    }
}

/// The plan of one pool.
#[derive(Debug)]
pub struct PoolPlan {
    tables: Tables,
    facts: Vec<Fact>,
    aim: Aim,
    pending: Option<Pending>,
    phases: Phases,
    failed: Arc<SlotSet>,
    /// Whether every flow has a pin, so that slots need no phases.
    always: bool,
    /// Whether facts changed since the last step.
    stale: bool,
    waiting: Option<Waiting>,
}

impl PoolPlan {
    /// A pool whose slots are as the facts ask for, all steady.
    ///
    /// # Errors
    ///
    /// [`BuildError`] if there is no such table.
    pub fn new(
        hasher: &FlowHasher,
        size: u32,
        policy: Policy,
        always: bool,
        facts: Vec<Fact>,
    ) -> Result<Self, BuildError> {
        let mut tables = Tables::new(hasher.clone(), size, policy);
        let aim = Aim::of(&facts, &mut tables)?;
        let phases = Phases::new(&aim.target);
        let failed = Arc::new(SlotSet::new(size));
        Ok(Self { tables, facts, aim, pending: None, phases, failed, always, stale: false, waiting: None })
    }

    /// The slots.
    #[must_use]
    pub const fn phases(&self) -> &Phases {
        &self.phases
    }

    /// The table that the facts ask for.
    #[must_use]
    pub const fn target(&self) -> &Table {
        &self.aim.target
    }

    /// Where workers note slots in which an insertion failed.
    #[must_use]
    pub const fn failed(&self) -> &Arc<SlotSet> {
        &self.failed
    }

    /// Whether every flow has a pin.
    #[must_use]
    pub const fn is_always(&self) -> bool {
        self.always
    }

    /// What a planned change waits for.
    #[must_use]
    pub const fn waiting(&self) -> Option<Waiting> {
        self.waiting
    }

    /// Whether the slots are as the facts ask for.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.pending.is_none() && self.phases.is(&self.aim.target)
    }

    /// Whether failing backends count as up.
    #[must_use]
    pub fn panics(&self) -> bool {
        self.aim.serving.panic
    }

    /// The table that the facts would give if every backend were eligible.
    #[must_use]
    pub const fn undisturbed(&self) -> &Table {
        &self.aim.undisturbed
    }

    /// Whether there is nothing to go on with.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        !self.stale && self.phases.special() == 0 && self.is_settled()
    }

    /// Gives slots their owners at once, without phases: before workers run.
    pub fn settle(&mut self) {
        self.pending = None;
        self.stale = false;
        self.phases.overwrite(&self.aim.target);
    }

    /// Takes over facts: as many as before, or more. Returns whether they are new.
    ///
    /// # Errors
    ///
    /// [`BuildError`] if there is no such table; nothing changed then.
    pub fn set_facts(&mut self, facts: Vec<Fact>) -> Result<bool, BuildError> {
        if facts == self.facts {
            return Ok(false);
        }
        let aim = Aim::of(&facts, &mut self.tables)?;
        if let Some(pending) = &mut self.pending {
            let joined = facts.iter().skip(pending.facts.len()).map(|fact| Fact { placed: false, ..fact.clone() });
            pending.facts.extend(joined);
            for (then, now) in pending.facts.iter_mut().zip(&facts) {
                then.up &= now.up;
            }
            pending.target = self.tables.table(&pending.facts)?;
        }
        self.facts = facts;
        self.aim = aim;
        self.stale = true;
        Ok(true)
    }

    /// Weighs facts in another way from now on.
    ///
    /// # Errors
    ///
    /// As for [`PoolPlan::set_facts`].
    pub fn set_policy(&mut self, policy: Policy) -> Result<(), BuildError> {
        self.tables.set_policy(policy);
        self.aim = Aim::of(&self.facts, &mut self.tables)?;
        self.stale = true;
        Ok(())
    }

    /// Goes on. Returns whether workers must learn of it.
    pub fn step(&mut self, step: &Step) -> bool {
        let stale = std::mem::take(&mut self.stale);
        if self.always {
            let changed = !self.phases.is(&self.aim.target);
            if changed {
                self.phases.overwrite(&self.aim.target);
            }
            return changed;
        }
        let mut changed = stale && self.leave_the_dead(step);
        if !step.acknowledged {
            self.waiting = (!self.is_settled()).then_some(Waiting::Workers);
            return changed;
        }
        if !step.rules.hold(Rule::OwnDeadline) {
            self.phases.share_deadline();
        }
        changed |= self.phases.advance(step.now, &self.failed, step.rules.hold(Rule::DeferOnFailure));
        if !step.rules.hold(Rule::LookWaits) {
            changed |= self.phases.skip_look();
        }
        let went_on = self.go_on(step);
        changed | went_on
    }

    /// Gives the slots of backends that are down, and slots without a backend, their owners of the target, at once.
    fn leave_the_dead(&mut self, step: &Step) -> bool {
        let eligible = &self.aim.serving.eligible;
        let lost = |owner: &Slot| {
            let index = owner.index();
            let up = self.facts.get(index).is_some_and(|fact| fact.up);
            !up && !eligible.get(index).copied().unwrap_or(false)
        };
        let owners = self.phases.current().iter().zip(self.aim.target.slots());
        let next: Box<[Slot]> = owners.map(|(now, then)| if lost(now) { *then } else { *now }).collect();
        let next = Table::from(next);
        let changed = !self.phases.is(&next);
        if changed {
            self.phases.change(&next, step.transition_time());
        }
        if !step.rules.hold(Rule::DeathKeepsBase) {
            let facts = &self.facts;
            self.phases.forget_bases(|index| facts.get(usize::from(index)).is_some_and(|fact| fact.up));
        }
        changed
    }

    /// Begins a planned change, or ends its arming.
    fn go_on(&mut self, step: &Step) -> bool {
        let Some(pending) = self.pending.take() else { return self.begin(step) };
        if !self.phases.is_arming_over(step.now) {
            self.waiting = Some(Waiting::Arming);
            self.pending = Some(pending);
            return false;
        }
        if self.phases.is_folding(&pending.target) {
            self.waiting = Some(Waiting::Workers);
            self.pending = Some(pending);
            return false;
        }
        // A death meanwhile may have changed which slots move.
        if !self.phases.is_armed_for(&pending.target) && self.phases.arm(&pending.target, step.arm_time) {
            self.pending = Some(pending);
            return true;
        }
        self.change(&pending.target, step);
        true
    }

    fn begin(&mut self, step: &Step) -> bool {
        self.waiting = None;
        if self.phases.is(&self.aim.target) {
            return false;
        }
        if step.crowded && step.rules.hold(Rule::RoomFirst) {
            self.waiting = Some(Waiting::Pins);
            return false;
        }
        if self.phases.is_folding(&self.aim.target) {
            self.waiting = Some(Waiting::Workers);
            return false;
        }
        let arms = !step.arm_time.is_zero() && step.rules.hold(Rule::Arming);
        if arms && self.phases.arm(&self.aim.target, step.arm_time) {
            self.pending = Some(Pending { facts: self.facts.clone(), target: self.aim.target.clone() });
            self.waiting = Some(Waiting::Arming);
        } else {
            let target = self.aim.target.clone();
            self.change(&target, step);
        }
        true
    }

    fn change(&mut self, target: &Table, step: &Step) {
        self.phases.change(target, step.transition_time());
        self.phases.disarm();
        self.waiting = None;
    }

    /// What changed since the last publication is in this generation.
    pub fn published(&mut self, generation: Generation) {
        self.phases.published(generation);
    }

    /// Every worker uses this generation, or a later one.
    pub fn acknowledge(&mut self, generation: Generation, now: Nanos) {
        self.phases.acknowledge(generation, now);
    }

    /// A sweep ended: see [`Phases::swept`].
    pub fn swept(&mut self, began: Nanos, seen: impl Fn(u32) -> bool) -> bool {
        self.phases.swept(began, seen)
    }

    /// Which of `count` backends flows can be on without a pin.
    #[must_use]
    pub fn used(&self, count: usize) -> Vec<bool> {
        let pending = self.pending.iter().flat_map(|pending| pending.target.slots()).map(|slot| slot.index());
        marks(count, self.phases.named().chain(pending))
    }

    /// Which of `count` backends new flows go to.
    #[must_use]
    pub fn owners(&self, count: usize) -> Vec<bool> {
        marks(count, self.phases.current().iter().map(|slot| slot.index()))
    }

    /// Takes backends out that no slot names: `keep` by pool-local index.
    ///
    /// # Errors
    ///
    /// None: fewer backends make no new mistake.
    pub fn retain(&mut self, keep: &[bool]) -> Result<(), BuildError> {
        let mut places = Vec::with_capacity(keep.len());
        let mut next = 0;
        for keep in keep {
            places.push(keep.then_some(next));
            next += u16::from(*keep);
        }
        self.phases.renumber(|index| places.get(usize::from(index)).copied().flatten());
        let kept = |facts: &[Fact]| -> Vec<Fact> {
            facts.iter().zip(keep).filter(|(_, keep)| **keep).map(|(fact, _)| fact.clone()).collect()
        };
        self.facts = kept(&self.facts);
        self.aim = Aim::of(&self.facts, &mut self.tables)?;
        if let Some(pending) = &mut self.pending {
            pending.facts = kept(&pending.facts);
            pending.target = self.tables.table(&pending.facts)?;
        }
        Ok(())
    }
}

fn marks(count: usize, indices: impl Iterator<Item = usize>) -> Vec<bool> {
    let mut marks = vec![false; count];
    for index in indices {
        if let Some(mark) = marks.get_mut(index) {
            *mark = true;
        }
    }
    marks
}
