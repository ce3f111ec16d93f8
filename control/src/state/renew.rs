//! Makes the state anew from a configuration whose slots are others: connections break, and what is known of the world stays.

use super::build::{backend_state, idle_times, pin_clock, pin_table, pools, services, static_neighbors};
use super::{BackendHealth, BackendState, Stage, State, StateError};
use guideway_config::model::{Check, Config, Forward};
use guideway_dataplane::hash::FlowHasher;
use guideway_dataplane::ids::BackendId;
use guideway_dataplane::vip::VipTable;
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

/// What an id stands for.
type Identity<'a> = (&'a str, &'a str, IpAddr, Forward);

impl State {
    /// Takes over a configuration of the same ports and links: all slots steady at once, no pins. Neighbours,
    /// path MTUs, ports, and of each identity that stays the id, the health and what an operator wants of it, are kept.
    ///
    /// The caller clears the pins again once every worker uses it: until then workers may write some.
    ///
    /// # Errors
    ///
    /// [`StateError`]; nothing changed then.
    pub fn renew(&mut self, config: Arc<Config>, now: SystemTime) -> Result<(), StateError> {
        let hasher = FlowHasher::new(config.hash_key);
        let known = self.identities();
        let mut ids = self.ids.clone();
        let mut kept: HashSet<BackendId> = HashSet::new();
        let (vip_ids, unused_vips) = self.vip_ids_for(&config).ok_or(StateError::TooManyVips)?;
        let (pools, places) = pools(&config, &hasher, self.next_salt, |pool, backend| {
            let identity = (pool.name.as_str(), backend.name.as_str(), backend.address, pool.forward);
            let Some((before, checks)) = known.get(&identity) else {
                let id = ids.take().ok_or(StateError::TooManyBackends)?;
                return backend_state(&config, pool, backend, id, now);
            };
            kept.insert(before.id);
            let fresh = backend_state(&config, pool, backend, before.id, now)?;
            Ok(fresh.remembering(before, checks, &pool.health))
        })?;
        let gone = self.pools.iter().flat_map(|pool| &pool.backends).map(|backend| backend.id);
        gone.filter(|id| !kept.contains(id)).for_each(|id| ids.rest(id));
        let same_pins = self.config.pins == config.pins && *self.pins.clock() == pin_clock(&config);
        if same_pins {
            self.pins.clear();
        } else {
            self.pins = Arc::new(pin_table(&config));
        }
        self.vips = VipTable::new(&services(&config, &vip_ids));
        (self.vip_ids, self.unused_vips) = (vip_ids, unused_vips);
        self.next_salt += pools.len() as u32;
        self.services_stale = true;
        self.neighbors.extend(static_neighbors(&config));
        (self.hasher, self.ids, self.pools, self.places) = (hasher, ids, pools, places);
        self.duties_stale = true;
        self.idle_times = idle_times(&config);
        self.config = config;
        Ok(())
    }

    /// Backends that flows may begin on, by identity, and how they are checked.
    fn identities(&self) -> HashMap<Identity<'_>, (&BackendState, &[Check])> {
        let pools = self.pools.iter().zip(&self.config.pools);
        let all = pools.flat_map(|(pool, of_pool)| {
            let backends = pool.backends.iter().zip(&of_pool.backends);
            backends.map(move |(backend, of)| {
                let identity = (of_pool.name.as_str(), of.name.as_str(), of.address, backend.forward);
                (identity, (backend, of_pool.health.as_slice()))
            })
        });
        all.filter(|(_, (backend, _))| backend.stage != Stage::Left && !backend.replaced).collect()
    }
}

impl BackendState {
    /// The same with what is known of it from before.
    fn remembering(self, before: &Self, asked: &[Check], asks: &[Check]) -> Self {
        let mut now = Self {
            admin: before.admin,
            forced: before.forced && before.stage != Stage::Leaving,
            transitions: before.transitions,
            drained_since: before.drained_since,
            ..self
        };
        if !now.is_draining() {
            now.drained_since = None;
        }
        now.verdicts = before.verdicts.moved(asked, asks);
        now.health = now.verdicts.together(asks.len()).into();
        if now.health == before.health {
            (now.reason, now.since) = (before.reason, before.since);
        }
        let is_up = now.health != BackendHealth::Down;
        (now.counts_as_up, now.as_base) = (is_up, is_up);
        now
    }
}
