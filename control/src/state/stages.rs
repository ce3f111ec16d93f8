//! What time, workers and sweeps bring: recoveries that count, backends that join, drains that end, slots that go on.

use super::build::{fact, place};
use super::{BackendHealth, BackendState, Change, PoolState, Stage, State, Warmth};
use crate::consistency::plan::Step;
use crate::consistency::sweeper::Sweeper;
use crate::templates;
use crate::topology::Hop;
use guideway_config::model::OnDown;
use guideway_dataplane::consistency::{Member, Rule, Rules};
use guideway_dataplane::ids::{BackendId, PoolId};
use guideway_dataplane::publish::Generation;
use guideway_dataplane::time::Nanos;
use std::sync::Arc;
use tracing::{error, info};

/// What a step goes by.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// The time.
    pub now: Nanos,
    /// Whether every worker uses the latest generation.
    pub acknowledged: bool,
    /// Whether so many pins are in use that no planned change may begin.
    pub crowded: bool,
}

impl State {
    /// Whether flows that are on a backend stay there.
    #[must_use]
    pub fn member(&self, pool: usize, index: usize) -> Member {
        let (of_pool, of_config) = (&self.pools[pool], &self.config.pools[pool]);
        let backend = &of_pool.backends[index];
        let stays = of_config.on_down == OnDown::Keep || of_pool.plan.panics() || backend.dies_at.is_some();
        let eligible = (backend.counts_as_up || stays) && !backend.forced;
        Member { id: backend.id, eligible, as_base: eligible && (backend.as_base || stays) }
    }

    /// Takes over what became of a pool's backends: the dead lose their slots at once, the rest is planned.
    pub(super) fn react(&mut self, pool: usize) {
        self.take_facts(pool);
        let step = self.plan_step(pool, Moment { now: Nanos(0), acknowledged: false, crowded: false });
        let pool = &mut self.pools[pool];
        pool.table_stale |= pool.plan.step(&step);
    }

    fn take_facts(&mut self, pool: usize) {
        let (of_pool, of_config) = (&mut self.pools[pool], &self.config.pools[pool]);
        let facts = of_config
            .backends
            .iter()
            .zip(&of_pool.backends)
            .map(|(of, backend)| fact(of_config, of, backend))
            .collect();
        match of_pool.plan.set_facts(facts) {
            // Whether failing backends count as up may have changed with any of them.
            Ok(changed) => of_pool.backends_stale |= changed,
            Err(error) => {
                error!(pool = %of_config.name, %error, "no table: the pool stays as it is; please report this");
            }
        }
    }

    fn plan_step(&self, pool: usize, moment: Moment) -> Step {
        let Moment { now, acknowledged, crowded } = moment;
        let (arm_time, idle) = (self.config.arm_time, self.idle_times[pool]);
        Step { now, acknowledged, crowded, arm_time, idle, rules: self.rules }
    }

    /// Takes rules away: for the simulation, which shows that flows break without them.
    pub fn set_rules(&mut self, rules: Rules) {
        self.rules = rules;
        self.ids.hasty = !rules.hold(Rule::IdsRest);
    }

    /// Whether workers use something older.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.services_stale || self.pools.iter().any(PoolState::is_stale)
    }

    /// Whether a backend is up and workers were not told all of it.
    #[must_use]
    pub fn has_returning(&self) -> bool {
        let backends = self.pools.iter().flat_map(|pool| &pool.backends);
        backends.into_iter().any(|backend| !backend.as_base && backend.health != BackendHealth::Down)
    }

    /// Makes slots what the configuration and the health of now ask for, without phases: before workers run.
    pub fn settle(&mut self) {
        for pool in &mut self.pools {
            pool.plan.settle();
            pool.table_stale = true;
        }
    }

    /// Goes on with everything that waits. Returns whether workers must learn of it.
    pub fn step(&mut self, moment: Moment) -> bool {
        for pool in 0..self.pools.len() {
            let waits = self.step_backends(pool, moment);
            if waits || !self.pools[pool].plan.is_quiet() {
                self.take_facts(pool);
                let step = self.plan_step(pool, moment);
                let of_pool = &mut self.pools[pool];
                of_pool.table_stale |= of_pool.plan.step(&step);
                self.note_unused(pool, moment.now);
            }
        }
        self.is_stale()
    }

    /// Returns whether a backend is in anything but its usual state.
    fn step_backends(&mut self, pool: usize, moment: Moment) -> bool {
        let mut waits = self.warm(pool, moment.now);
        let mut gone = false;
        let slow_start = self.config.pools[pool].slow_start;
        for index in 0..self.pools[pool].backends.len() {
            let backend = &self.pools[pool].backends[index];
            let returned = !backend.as_base && backend.health != BackendHealth::Down;
            let same = backend.dies_at.is_none() && backend.next_hops.is_empty();
            let usual = !returned && same && !backend.is_draining() && backend.stage == Stage::Serving;
            if usual {
                continue;
            }
            waits = true;
            self.reroute(pool, index);
            let backend = &self.pools[pool].backends[index];
            let ready = backend.stage == Stage::Joining && moment.acknowledged && self.is_there(pool, index);
            let late = self.is_overdue(pool, index, moment.now);
            if ready {
                self.replace_namesakes(pool, index, moment.now);
            }
            let of_pool = &mut self.pools[pool];
            let backend = &mut of_pool.backends[index];
            if returned && (moment.acknowledged || !self.rules.hold(Rule::RecoveryAfterDeath)) {
                // Not before every worker knows of the death, and in two steps: three states of a backend in two
                // generations would be one too many.
                backend.as_base = backend.counts_as_up;
                backend.counts_as_up = true;
                of_pool.backends_stale = true;
            }
            if ready {
                backend.stage = Stage::Serving;
                backend.warmth = Warmth::returned(slow_start, moment.now);
            }
            if backend.dies_at.is_some_and(|at| at <= moment.now) {
                backend.dies_at = None;
                of_pool.backends_stale = true;
            }
            if late && !backend.forced {
                backend.forced = true;
                of_pool.backends_stale = true;
            }
            // Also if its flows do not wait: their pins tell the next packet of each that it is to begin anew, where every
            // worker finds it.
            let hasty = backend.forced && !self.rules.hold(Rule::IdsRest);
            let left = backend.is_empty || hasty || !self.rules.hold(Rule::DrainBeforeRemoval);
            if backend.stage == Stage::Leaving && left {
                backend.stage = Stage::Left;
            }
            gone |= backend.stage == Stage::Left;
        }
        if gone && moment.acknowledged {
            self.drop_left(pool);
        }
        waits
    }

    /// Gives a backend the place in the table of those of its name: one step, since the table has each name once. Its
    /// slots move as planned, from them to it, and what flows they have stay with them.
    fn replace_namesakes(&mut self, pool: usize, index: usize, now: Nanos) {
        let of_config = &self.config.pools[pool].backends;
        let name = &of_config[index].name;
        for (other, backend) in self.pools[pool].backends.iter_mut().enumerate() {
            if other != index && of_config[other].name == *name && backend.stage != Stage::Joining {
                backend.replaced = true;
                backend.apply(Change::Remove { force: false }, now);
            }
        }
    }

    /// Takes the ways that a reload asked for, once one of them is known to be there: until then those of before carry on.
    fn reroute(&mut self, pool: usize, index: usize) {
        let backend = &mut self.pools[pool].backends[index];
        let known = |hop: &Hop| self.neighbors.contains_key(&(hop.link, hop.neighbor));
        if !backend.next_hops.iter().any(known) {
            return;
        }
        backend.hops = std::mem::take(&mut backend.next_hops);
        let (of_pool, of) = (&self.config.pools[pool], &self.config.pools[pool].backends[index]);
        if backend.forward == of_pool.forward
            && let Some(first) = backend.hops.first()
            && let Ok(rewrite) = templates::rewrite(of_pool, of.address, first)
        {
            backend.rewrite = rewrite;
        }
        self.pools[pool].backends_stale = true;
        self.duties_stale = true;
    }

    /// Whether a backend that joins can be reached and passed its check.
    fn is_there(&self, pool: usize, index: usize) -> bool {
        let backend = &self.pools[pool].backends[index];
        let reached = backend.hops.iter().any(|hop| self.neighbors.contains_key(&(hop.link, hop.neighbor)));
        reached && (backend.health == BackendHealth::Up || self.config.pools[pool].health.is_empty())
    }

    /// Whether a drain takes longer than it may.
    fn is_overdue(&self, pool: usize, index: usize, now: Nanos) -> bool {
        let backend = &self.pools[pool].backends[index];
        let limit = self.config.pools[pool].drain_timeout;
        limit.zip(backend.drained_since).is_some_and(|(limit, since)| now.since(since) >= limit)
    }

    /// Notes since when no slot names a backend that drains.
    fn note_unused(&mut self, pool: usize, now: Nanos) {
        let of_pool = &mut self.pools[pool];
        if !of_pool.backends.iter().any(BackendState::is_draining) {
            return;
        }
        let used = of_pool.plan.used(of_pool.backends.len());
        for (backend, used) in of_pool.backends.iter_mut().zip(used) {
            if used || !backend.is_draining() {
                backend.unused_since = None;
                backend.is_empty = false;
            } else {
                backend.unused_since.get_or_insert(now);
            }
        }
    }

    /// Takes out the records of backends that left. Slots and pins do not name them, in this generation nor the one before.
    fn drop_left(&mut self, pool: usize) {
        let of_pool = &mut self.pools[pool];
        let owns = of_pool.plan.owners(of_pool.backends.len());
        let stays = |(backend, owns): (&BackendState, &bool)| backend.stage != Stage::Left || *owns;
        let keep: Vec<bool> = of_pool.backends.iter().zip(&owns).map(stays).collect();
        if keep.iter().all(|keep| *keep) {
            return;
        }
        if let Err(error) = of_pool.plan.retain(&keep) {
            return error!(%error, "a pool cannot be built without a backend that left; please report this");
        }
        let mut kept = keep.iter();
        let config = &mut Arc::make_mut(&mut self.config).pools[pool];
        config.backends.retain(|_| *kept.next().unwrap_or(&true));
        let mut kept = keep.iter();
        let mut gone: Vec<BackendId> = Vec::new();
        of_pool.backends.retain(|backend| {
            let keep = *kept.next().unwrap_or(&true);
            if !keep {
                gone.push(backend.id);
            }
            keep
        });
        for id in gone {
            info!(pool = %config.name, id = id.0, "a backend is gone");
            self.ids.rest(id);
            place(&mut self.places, id, None);
        }
        for (index, backend) in (0..).zip(&of_pool.backends) {
            place(&mut self.places, backend.id, Some((PoolId(pool as u16), index)));
        }
        of_pool.table_stale = true;
        of_pool.backends_stale = true;
        self.duties_stale = true;
    }

    /// What changed since the last publication is in this generation.
    pub fn published(&mut self, generation: Generation) {
        self.ids.published(generation);
        self.unused_vips.published(generation);
        self.pools.iter_mut().for_each(|pool| pool.plan.published(generation));
    }

    /// Every worker uses this generation, or a later one.
    pub fn acknowledge(&mut self, generation: Generation, now: Nanos) {
        self.ids.acknowledge(generation, now);
        self.unused_vips.acknowledge(generation);
        self.pools.iter_mut().for_each(|pool| pool.plan.acknowledge(generation, now));
    }

    /// Whether pins may exist that somebody waits for.
    #[must_use]
    pub fn needs_sweeps(&self) -> bool {
        let waits = |pool: &PoolState| pool.plan.is_always() || pool.plan.phases().special() > 0;
        self.ids.resting() > 0
            || self.pools.iter().any(|pool| waits(pool) || pool.backends.iter().any(BackendState::is_draining))
    }

    /// A sweep ended: slots without pins are steady, and what drained may be empty. A session is as good as a pin.
    pub fn swept(&mut self, sweeper: &Sweeper, sessions_of: impl Fn(BackendId) -> u32) {
        let last = sweeper.last();
        for (number, pool) in self.pools.iter_mut().enumerate() {
            pool.table_stale |= pool.plan.swept(last.began, |slot| sweeper.has_seen(number, slot));
            for backend in &mut pool.backends {
                // Nobody waits for the sessions of one that is forced out: they end with its record.
                let sessions = if backend.forced { 0 } else { sessions_of(backend.id) };
                backend.pins = last.pins_of(backend.id).saturating_add(sessions);
                let unused = backend.unused_since.is_some_and(|since| since <= last.began);
                backend.is_empty = unused && backend.pins == 0;
            }
        }
        self.ids.swept(last.began, |id| last.pins_of(id) > 0 || sessions_of(id) > 0);
    }
}

impl PoolState {
    /// Whether workers use something older.
    #[must_use]
    pub const fn is_stale(&self) -> bool {
        self.table_stale || self.backends_stale
    }
}
