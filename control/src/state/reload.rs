//! Makes the state follow another file, as planned changes: pools and their backends. `edges` has what comes, goes or leads to
//! them.

use super::build::{backend_state, idle_times, place, services};
use super::edges::Way;
use super::vip_ids::VipIds;
use super::{Advice, BackendState, Change, PoolState, Stage, State};
use crate::consistency::placement::Policy;
use crate::reload::{Plan, Refusal, Remedy};
use crate::templates;
use guideway_config::model::{self, Config};
use guideway_dataplane::ids::{BackendId, PoolId, VipId};
use guideway_dataplane::table::MAX_POOL_BACKENDS;
use guideway_dataplane::time::Nanos;
use guideway_dataplane::vip::VipTable;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;
use tracing::error;

/// What becomes of everything.
struct Turns {
    /// Of the pools that go on.
    turns: Vec<Turn>,
    /// Pools that are new, whose backends have no ids yet.
    fresh: Vec<PoolState>,
    /// Backends that other next hops lead to from now on.
    ways: Vec<Way>,
    /// The ids of all VIPs, and what is left.
    vips: (Vec<VipId>, VipIds),
}

/// What becomes of one pool that goes on.
struct Turn {
    /// Its place in the target.
    pool: usize,
    /// By index: what the file says of it, if it is to stay.
    kept: Vec<Option<model::Backend>>,
    /// Indices of those that nobody wants any more. What waits for its successor is neither here nor kept.
    leave: Vec<usize>,
    join: Vec<(model::Backend, BackendState)>,
}

impl State {
    /// What is wanted of this state: its configuration without backends on their way out, and of two of one name with the
    /// newer one alone.
    #[must_use]
    pub fn desired(&self) -> Config {
        let mut config = Config::clone(&self.config);
        for (of_config, pool) in config.pools.iter_mut().zip(&self.pools) {
            let wanted = of_config.backends.iter().zip(&pool.backends).filter(|(_, backend)| !backend.is_leaving());
            let newest: HashMap<&str, BackendId> = wanted.map(|(of, backend)| (of.name.as_str(), backend.id)).collect();
            let stays = |(of, backend): &(&model::Backend, &BackendState)| {
                newest.get(of.name.as_str()).is_some_and(|id| *id == backend.id)
            };
            let both = of_config.backends.iter().zip(&pool.backends);
            of_config.backends = both.filter(stays).map(|(of, _)| of.clone()).collect();
        }
        config
    }

    /// Whether [`State::reload`] would be refused.
    ///
    /// # Errors
    ///
    /// As that.
    pub fn may_reload(&self, plan: &Plan, wall: SystemTime) -> Result<(), Vec<Refusal>> {
        self.turns(plan, wall).map(drop)
    }

    /// Makes VIPs, pools, backends, routes and neighbours those of the plan, which was made for what is wanted of this state.
    /// What moves flows is planned: [`State::step`] goes on with it.
    ///
    /// # Errors
    ///
    /// What stands against it now; nothing changed then.
    pub fn reload(&mut self, plan: &Plan, now: Nanos, wall: SystemTime) -> Result<(), Vec<Refusal>> {
        let Turns { turns, fresh, ways, vips: (vip_ids, unused_vips) } = self.turns(plan, wall)?;
        let target = &plan.target;
        // A pool that lost its VIPs has the longest of its times, which the clock need not know: nobody uses it.
        let longest = self.pins.clock().longest_idle();
        let idle_times = idle_times(target).into_iter().map(|idle| idle.min(longest)).collect();
        let before = std::mem::replace(&mut self.idle_times, idle_times);
        ways.into_iter().for_each(|way| self.lead(way));
        self.end_pools(&plan.keeps);
        let moved = !fresh.is_empty() || plan.keeps.contains(&false);
        self.surroundings(target);
        for turn in turns {
            self.turn(turn, &target.pools, now, wall);
        }
        for (pool, state) in target.pools[self.pools.len()..].iter().zip(fresh) {
            self.begin_pool(pool, state);
        }
        if moved || self.config.vips != target.vips {
            self.vips = VipTable::new(&services(target, &vip_ids));
            Arc::make_mut(&mut self.config).vips.clone_from(&target.vips);
            (self.vip_ids, self.unused_vips) = (vip_ids, unused_vips);
            self.services_stale = true;
            self.duties_stale = true;
        }
        if before != self.idle_times {
            // Pins of all pools lie in one table: each pool knows the longest idle time.
            self.pools.iter_mut().for_each(|pool| pool.backends_stale = true);
        }
        Ok(())
    }

    /// Routes, own addresses and static neighbours.
    fn surroundings(&mut self, target: &Config) {
        let neighbors = super::build::static_neighbors(target);
        let config = Arc::make_mut(&mut self.config);
        config.routes.clone_from(&target.routes);
        if config.interfaces != target.interfaces {
            config.interfaces.clone_from(&target.interfaces);
            self.services_stale = true;
            self.duties_stale = true;
        }
        // What is no longer static is asked for: it is in use until the real-time thread knows better.
        for ((link, address), mac) in neighbors {
            self.set_neighbor(link, address, Some(mac));
        }
    }

    /// What becomes of everything, if nothing stands against it.
    fn turns(&self, plan: &Plan, wall: SystemTime) -> Result<Turns, Vec<Refusal>> {
        let target = &plan.target;
        let mut refusals = Vec::new();
        let mut turns = Vec::new();
        let kept: Vec<usize> = (0..self.pools.len()).filter(|index| plan.keeps[*index]).collect();
        for (place, index) in kept.iter().enumerate() {
            match self.turn_of(*index, target, place, wall) {
                Ok(turn) => turns.push(turn),
                Err(refused) => refusals.extend(refused),
            }
        }
        let mut fresh = Vec::new();
        for pool in &target.pools[kept.len()..] {
            match self.fresh_pool(target, pool, wall) {
                Ok(pool) => fresh.push(pool),
                Err(error) => refusals.push(Refusal { reason: error.to_string(), remedy: Remedy::Other }),
            }
        }
        let join = turns.iter().map(|turn| turn.join.len()).sum::<usize>();
        let joining = join + fresh.iter().map(|pool| pool.backends.len()).sum::<usize>();
        if joining > self.ids.available() {
            let reason = format!(
                "{joining} backends would join, and {} ids are free: wait until backends that leave are gone",
                self.ids.available()
            );
            refusals.push(Refusal { reason, remedy: Remedy::Other });
        }
        let ways = self.other_ways(target, &kept).unwrap_or_else(|refused| {
            refusals.extend(refused);
            Vec::new()
        });
        match self.vip_ids_for(target) {
            Some(vips) if refusals.is_empty() => Ok(Turns { turns, fresh, ways, vips }),
            Some(_) => Err(refusals),
            None => {
                let reason = "more VIPs would be new than there are free ids: wait until every worker dropped those \
                              that are gone, and reload again";
                refusals.push(Refusal { reason: reason.to_owned(), remedy: Remedy::Other });
                Err(refusals)
            }
        }
    }

    /// What becomes of the pool at `pool`, which goes on at `place` of the target.
    fn turn_of(&self, pool: usize, target: &Config, place: usize, wall: SystemTime) -> Result<Turn, Vec<Refusal>> {
        let to = &target.pools[place];
        let (of_pool, of_config) = (&self.pools[pool], &self.config.pools[pool]);
        let mut named: HashMap<&str, Vec<usize>> = HashMap::new();
        for (index, backend) in of_config.backends.iter().enumerate() {
            named.entry(&backend.name).or_default().push(index);
        }
        let mut kept = vec![None; of_pool.backends.len()];
        let mut leave = Vec::new();
        let mut join = Vec::new();
        let mut refusals = Vec::new();
        for wanted in &to.backends {
            let namesakes = named.remove(wanted.name.as_str()).unwrap_or_default();
            let is_same = |index: &usize| {
                let backend = &of_pool.backends[*index];
                let lives = backend.stage != Stage::Left && !backend.replaced;
                let of = &of_config.backends[*index];
                lives && backend.forward == to.forward && (of.address, of.port) == (wanted.address, wanted.port)
            };
            let same = namesakes.iter().copied().rfind(is_same);
            // A drain is of the name: who comes after has it, too.
            let lives = |index: &&usize| !of_pool.backends[**index].is_leaving();
            let admin = namesakes.iter().rfind(lives).map(|index| of_pool.backends[*index].admin).unwrap_or_default();
            let joins = |index: &usize| of_pool.backends[*index].stage == Stage::Joining;
            // One that joins and is not meant any more: its name is another's.
            leave.extend(namesakes.into_iter().filter(|index| Some(*index) != same && joins(index)));
            match same {
                Some(index) => kept[index] = Some(wanted.clone()),
                None => {
                    match backend_state(target, to, wanted, BackendId(0), wall) {
                        Ok(state) => {
                            join.push((wanted.clone(), BackendState { stage: Stage::Joining, admin, ..state }));
                        }
                        Err(error) => {
                            refusals.push(Refusal { reason: error.to_string(), remedy: Remedy::Other });
                        }
                    }
                    refusals.extend(taken_server_id(of_config, wanted));
                }
            }
        }
        leave.extend(named.into_values().flatten().filter(|index| !of_pool.backends[*index].is_leaving()));
        if of_pool.backends.len() + join.len() > MAX_POOL_BACKENDS {
            let reason = format!(
                "pool {}: with those that leave it would have more than {MAX_POOL_BACKENDS} backends: wait until they \
                 are gone",
                to.name
            );
            refusals.push(Refusal { reason, remedy: Remedy::Other });
        }
        if refusals.is_empty() { Ok(Turn { pool: place, kept, leave, join }) } else { Err(refusals) }
    }

    fn turn(&mut self, turn: Turn, target: &[model::Pool], now: Nanos, wall: SystemTime) {
        let Turn { pool, kept, leave, join } = turn;
        let to = &target[pool];
        let of_config = &mut Arc::make_mut(&mut self.config).pools[pool];
        let before = of_config.clone();
        let backends = std::mem::take(&mut of_config.backends);
        *of_config = model::Pool { backends, ..to.clone() };
        let of_pool = &mut self.pools[pool];
        let came_or_went = !leave.is_empty() || !join.is_empty();
        let mut returned = false;
        for (index, wanted) in kept.into_iter().enumerate() {
            let Some(wanted) = wanted else { continue };
            of_config.backends[index] = wanted;
            returned |= of_pool.backends[index].stay();
        }
        for index in leave {
            of_pool.backends[index].apply(Change::Remove { force: false }, now);
        }
        for (backend, mut state) in join {
            let Some(id) = self.ids.take() else {
                error!(backend = %backend.name, "no id is left for it; please report this");
                continue;
            };
            state.id = id;
            state.drained_since = state.is_draining().then_some(now);
            place(&mut self.places, id, Some((PoolId(pool as u16), of_pool.backends.len() as u16)));
            of_config.backends.push(backend);
            of_pool.backends.push(state);
        }
        if *of_config == before && !came_or_went && !returned {
            return;
        }
        self.duties_stale |= came_or_went || before.health != to.health || before.agent != to.agent;
        self.settings(pool, &before, wall);
        self.pools[pool].backends_stale = true;
        self.react(pool);
    }

    /// Takes over what a pool's own keys say now.
    fn settings(&mut self, pool: usize, before: &model::Pool, wall: SystemTime) {
        let (of_pool, of_config) = (&mut self.pools[pool], &self.config.pools[pool]);
        if Policy::from(before) != Policy::from(of_config)
            && let Err(error) = of_pool.plan.set_policy(of_config.into())
        {
            error!(pool = %of_config.name, %error, "no table: the pool stays as it is; please report this");
        }
        for (backend, of) in of_pool.backends.iter_mut().zip(&of_config.backends) {
            if of_config.agent.is_none() {
                backend.advice = Advice::default();
            }
            let health = if before.health == of_config.health {
                backend.health
            } else {
                // Those that are asked for the first time have not judged: nobody is down because of them.
                backend.verdicts = backend.verdicts.moved(&before.health, &of_config.health);
                backend.verdicts.together(of_config.health.len()).into()
            };
            if health != backend.health {
                *backend = BackendState { health, reason: None, since: wall, ..backend.clone() };
            }
            // A backend of another mode is on its way out, as it is.
            if backend.forward == of_config.forward
                && let Some(hop) = backend.hops.first()
                && let Ok(rewrite) = templates::rewrite(of_config, of.address, hop)
            {
                backend.rewrite = rewrite;
            }
        }
    }
}

/// Whether another machine has the server ID of a backend that is to join: connection IDs would name both.
fn taken_server_id(pool: &model::Pool, wanted: &model::Backend) -> Option<Refusal> {
    let id = wanted.server_id.as_ref()?;
    let same = |other: &&model::Backend| other.server_id.as_ref() == Some(id) && other.address != wanted.address;
    let other = pool.backends.iter().find(same)?;
    let reason = format!(
        "pool {}: backend {} ({}) would have the server_id of {} ({}), whose connections go on: give it another one, or \
         remove that one first and wait until it is gone",
        pool.name, wanted.name, wanted.address, other.name, other.address
    );
    Some(Refusal { reason, remedy: Remedy::Other })
}

impl BackendState {
    /// It is wanted again. Returns whether it was on its way out.
    fn stay(&mut self) -> bool {
        if self.stage != Stage::Leaving {
            return false;
        }
        self.stage = Stage::Serving;
        self.forced = false;
        if !self.is_draining() {
            self.drained_since = None;
            self.unused_since = None;
            self.is_empty = false;
        }
        true
    }
}
