//! Pools and VIPs that come and go with a reload, and other ways to backends.

use super::build::{backend_state, place, pool_state, way_to};
use super::vip_ids::VipIds;
use super::{PoolState, State, StateError};
use crate::reload::vips::key;
use crate::reload::{Refusal, Remedy};
use crate::topology::Hop;
use guideway_config::model::{self, Config};
use guideway_dataplane::ids::{BackendId, PoolId, VipId};
use guideway_dataplane::rewrite::Rewrite;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;
use tracing::error;

/// Another way to a backend.
pub(super) struct Way {
    id: BackendId,
    hops: Vec<Hop>,
    /// How packets are changed on it. While another one is in use that decides, from what the configuration says then.
    rewrite: Rewrite,
}

impl State {
    /// The ids of a configuration's VIPs, those of VIPs that stay as before, and what is left of all ids; `None` if there are
    /// too few.
    pub(super) fn vip_ids_for(&self, target: &Config) -> Option<(Vec<VipId>, VipIds)> {
        let mut known: HashMap<_, VipId> = self.config.vips.iter().map(key).zip(self.vip_ids.iter().copied()).collect();
        let mut unused = self.unused_vips.clone();
        let mut id_of = |vip| known.remove(&key(vip)).or_else(|| unused.take());
        let ids = target.vips.iter().map(&mut id_of).collect::<Option<Vec<_>>>()?;
        known.into_values().for_each(|id| unused.rest(id));
        Some((ids, unused))
    }

    /// A pool as at the start. Its backends have no ids yet.
    pub(super) fn fresh_pool(
        &self,
        target: &Config,
        pool: &model::Pool,
        wall: SystemTime,
    ) -> Result<PoolState, StateError> {
        let state_of = |backend| backend_state(target, pool, backend, BackendId(0), wall);
        let backends = pool.backends.iter().map(state_of).collect::<Result<Vec<_>, _>>()?;
        pool_state(pool, &self.hasher, 0, backends)
    }

    /// Takes in a pool that [`State::fresh_pool`] made.
    pub(super) fn begin_pool(&mut self, pool: &model::Pool, mut state: PoolState) {
        let number = PoolId(self.pools.len() as u16);
        state.salt = self.next_salt;
        self.next_salt += 1;
        for (index, backend) in (0..).zip(&mut state.backends) {
            let Some(id) = self.ids.take() else {
                error!(pool = %pool.name, "no id is left for a backend; please report this");
                continue;
            };
            backend.id = id;
            place(&mut self.places, id, Some((number, index)));
        }
        self.pools.push(state);
        Arc::make_mut(&mut self.config).pools.push(pool.clone());
        self.duties_stale = true;
    }

    /// Takes out the pools that do not go on, whose VIPs go with them. Ids of their backends rest; what pins there are expires.
    pub(super) fn end_pools(&mut self, keeps: &[bool]) {
        if keeps.iter().all(|keeps| *keeps) {
            return;
        }
        let mut kept = keeps.iter();
        Arc::make_mut(&mut self.config).pools.retain(|_| *kept.next().unwrap_or(&true));
        let (stay, end): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.pools).into_iter().zip(keeps).partition(|(_, keeps)| **keeps);
        for (pool, _) in end {
            for backend in pool.backends {
                self.ids.rest(backend.id);
                place(&mut self.places, backend.id, None);
            }
        }
        self.pools = stay.into_iter().map(|(pool, _)| pool).collect();
        for (number, pool) in (0..).zip(&self.pools) {
            for (index, backend) in (0..).zip(&pool.backends) {
                place(&mut self.places, backend.id, Some((PoolId(number), index)));
            }
        }
        self.duties_stale = true;
    }

    /// The backends that other next hops lead to in `target`, of the pools at `kept`. What is on its way out and has no way any
    /// more keeps the one that it has.
    pub(super) fn other_ways(&self, target: &Config, kept: &[usize]) -> Result<Vec<Way>, Vec<Refusal>> {
        if self.config.routes == target.routes && self.config.interfaces == target.interfaces {
            return Ok(Vec::new());
        }
        let mut ways = Vec::new();
        let mut refusals = Vec::new();
        for (to, index) in target.pools.iter().zip(kept) {
            let (of_pool, of_config) = (&self.pools[*index], &self.config.pools[*index]);
            for (backend, of) in of_pool.backends.iter().zip(&of_config.backends) {
                match way_to(target, to, of) {
                    Ok((hops, rewrite)) => {
                        let rewrite = if backend.forward == to.forward { rewrite } else { backend.rewrite.clone() };
                        ways.push(Way { id: backend.id, hops, rewrite });
                    }
                    Err(_) if !to.backends.iter().any(|wanted| wanted.address == of.address) => {}
                    Err(error) => refusals.push(Refusal { reason: error.to_string(), remedy: Remedy::Other }),
                }
            }
        }
        if refusals.is_empty() { Ok(ways) } else { Err(refusals) }
    }

    /// These next hops lead to a backend from now on: at once if they are the same machines, else once one of them is known.
    pub(super) fn lead(&mut self, way: Way) {
        let Way { id, hops, rewrite } = way;
        let Some((pool, index)) = self.find(id) else { return };
        let of_pool = &mut self.pools[pool.index()];
        let backend = &mut of_pool.backends[index];
        let machines = |hops: &[Hop]| hops.iter().map(|hop| (hop.link, hop.neighbor)).collect::<Vec<_>>();
        if machines(&backend.hops) == machines(&hops) {
            backend.next_hops.clear();
            of_pool.backends_stale |= backend.hops != hops;
            (backend.hops, backend.rewrite) = (hops, rewrite);
        } else {
            backend.next_hops = hops;
            self.duties_stale = true;
        }
    }
}
