//! Makes the state follow another file, as planned changes.

use super::build::{backend_state, idle_times, place};
use super::{Advice, BackendState, Change, Stage, State};
use crate::consistency::placement::Policy;
use crate::reload::{Refusal, Remedy};
use crate::templates;
use guideway_config::model::{self, Config};
use guideway_dataplane::ids::{BackendId, PoolId};
use guideway_dataplane::table::MAX_POOL_BACKENDS;
use guideway_dataplane::time::Nanos;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;
use tracing::error;

/// What becomes of one pool.
struct Turn {
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
    pub fn may_reload(&self, target: &Config, wall: SystemTime) -> Result<(), Vec<Refusal>> {
        self.turns(target, wall).map(drop)
    }

    /// Makes pools, backends and static neighbours those of `target`, whose pools and VIPs are in the order of the present
    /// ones. It is planned: [`State::step`] goes on with it.
    ///
    /// # Errors
    ///
    /// What stands against it now; nothing changed then.
    pub fn reload(&mut self, target: &Config, now: Nanos, wall: SystemTime) -> Result<(), Vec<Refusal>> {
        let turns = self.turns(target, wall)?;
        let before = std::mem::replace(&mut self.idle_times, idle_times(target));
        let neighbors = super::build::static_neighbors(target);
        let config = Arc::make_mut(&mut self.config);
        config.vips.clone_from(&target.vips);
        for (interface, to) in config.interfaces.iter_mut().zip(&target.interfaces) {
            if interface.neighbors != to.neighbors {
                interface.neighbors.clone_from(&to.neighbors);
                self.duties_stale = true;
            }
        }
        // What is no longer static is asked for: it is in use until the real-time thread knows better.
        for ((link, address), mac) in neighbors {
            self.set_neighbor(link, address, Some(mac));
        }
        for turn in turns {
            self.turn(turn, &target.pools, now, wall);
        }
        if before != self.idle_times {
            // Pins of all pools lie in one table: each pool knows the longest idle time.
            self.pools.iter_mut().for_each(|pool| pool.backends_stale = true);
        }
        Ok(())
    }

    /// What becomes of the pools that change.
    fn turns(&self, target: &Config, wall: SystemTime) -> Result<Vec<Turn>, Vec<Refusal>> {
        let mut turns = Vec::new();
        let mut refusals = Vec::new();
        for (index, to) in target.pools.iter().enumerate() {
            match self.turn_of(index, to, wall) {
                Ok(turn) => turns.push(turn),
                Err(refused) => refusals.extend(refused),
            }
        }
        let joining: usize = turns.iter().map(|turn| turn.join.len()).sum();
        if joining > self.ids.available() {
            let reason = format!(
                "{joining} backends would join, and {} ids are free: wait until backends that leave are gone",
                self.ids.available()
            );
            refusals.push(Refusal { reason, remedy: Remedy::Other });
        }
        if refusals.is_empty() { Ok(turns) } else { Err(refusals) }
    }

    fn turn_of(&self, pool: usize, to: &model::Pool, wall: SystemTime) -> Result<Turn, Vec<Refusal>> {
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
                lives && backend.forward == to.forward && of_config.backends[*index].address == wanted.address
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
                    match backend_state(&self.config, to, wanted, BackendId(0), wall) {
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
        if refusals.is_empty() { Ok(Turn { pool, kept, leave, join }) } else { Err(refusals) }
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
