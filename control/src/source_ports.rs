//! How many source ports `fullnat` backends have left, and who is told before there are none.
//!
//! A worker counts the ports that it lets rest. What rests now is what it counted in the last minute or a little more: so the count is
//! looked at every few seconds, and what it was is kept for as long.

use guideway_config::model;
use guideway_dataplane::counters::{Counter, WorkerCounters};
use guideway_dataplane::ids::BackendId;
use guideway_dataplane::session::{PORTS_OF_ADDRESS, REST};
use guideway_dataplane::time::Nanos;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tracing::{info, warn};

use crate::control::sessions_of;
use crate::state::State;

/// Time between two looks.
const LOOK: Duration = Duration::from_secs(5);
/// Percent of a backend's ports from which on operators are told, and below which that is over.
const CROWDED: u64 = 80;
const RELAXED: u64 = 70;

/// Source ports of one backend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortUse {
    /// Of sessions that are there.
    pub in_use: u64,
    /// Of those that ended lately: about as many.
    pub resting: u64,
    /// How many there are: of all source addresses, at all workers.
    pub total: u64,
}

impl PortUse {
    /// Percent of the ports that no new session can have.
    #[must_use]
    pub const fn percent(&self) -> u64 {
        match ((self.in_use + self.resting) * 100).checked_div(self.total) {
            Some(percent) => percent,
            None => 0,
        }
    }
}

/// Source ports that a backend of a `fullnat` pool has, at all workers together; `None`: of another pool.
#[must_use]
pub fn total(pool: &model::Pool, backend: IpAddr) -> Option<u64> {
    if pool.forward != model::Forward::Fullnat {
        return None;
    }
    let of_family = pool.sources.iter().filter(|source| source.is_ipv4() == backend.is_ipv4()).count() as u64;
    // Without any the balancer's own address stands for clients.
    let addresses = if pool.sources.is_empty() { 1 } else { of_family };
    Some(addresses * u64::from(PORTS_OF_ADDRESS))
}

/// What was seen of source ports.
#[derive(Debug, Default)]
pub(crate) struct SourcePorts {
    /// When, and how many ports had been let rest then, by backend; the first is as old as a rest, if there is one.
    looks: VecDeque<(Nanos, HashMap<BackendId, u64>)>,
    /// Who has few left: pool and backend, by name.
    crowded: BTreeMap<(String, String), PortUse>,
}

fn freed(counters: &[Arc<WorkerCounters>], id: BackendId) -> u64 {
    counters.iter().map(|counters| counters.ports_freed_of(id).map_or(0, Counter::get)).sum()
}

impl SourcePorts {
    /// Looks, if it is time to.
    pub(crate) fn step(&mut self, state: &State, counters: &[Arc<WorkerCounters>], now: Nanos) {
        if self.looks.back().is_some_and(|(last, _)| now.since(*last) < LOOK) {
            return;
        }
        let config = &state.config;
        if !config.pools.iter().any(|pool| pool.forward == model::Forward::Fullnat) {
            self.looks.clear();
            self.crowded.clear();
            return;
        }
        let pools = config.pools.iter().zip(&state.pools);
        let each = pools.flat_map(|(of_config, pool)| {
            let backends = of_config.backends.iter().zip(&pool.backends);
            backends.map(move |(named, backend)| (of_config, named, backend.id))
        });
        let mut seen = HashMap::new();
        let mut crowded = BTreeMap::new();
        for (pool, backend, id) in each {
            let Some(of_backend) = self.of(pool, backend.address, id, counters) else { continue };
            seen.insert(id, freed(counters, id));
            let names = (pool.name.clone(), backend.name.clone());
            let was = self.crowded.contains_key(&names);
            let PortUse { in_use, resting, total } = of_backend;
            if of_backend.percent() >= if was { RELAXED } else { CROWDED } {
                if !was {
                    warn!(
                        backend = %format_args!("{}/{}", names.0, names.1), in_use, resting, total,
                        "source ports run out: add `source_addresses`, or backends"
                    );
                }
                crowded.insert(names, of_backend);
            } else if was {
                info!(backend = %format_args!("{}/{}", names.0, names.1), in_use, resting, total, "source ports suffice again");
            }
        }
        self.crowded = crowded;
        self.looks.push_back((now, seen));
        while self.looks.get(1).is_some_and(|(next, _)| now.since(*next) >= REST) {
            self.looks.pop_front();
        }
    }

    /// The source ports of a backend; `None`: its pool is not `fullnat`.
    pub(crate) fn of(
        &self,
        pool: &model::Pool,
        address: IpAddr,
        id: BackendId,
        counters: &[Arc<WorkerCounters>],
    ) -> Option<PortUse> {
        let total = total(pool, address)?;
        // Who was not there at the time of the first look begins with the first one that knows it.
        let before = self.looks.iter().find_map(|(_, freed)| freed.get(&id).copied());
        let resting = before.map_or(0, |before| freed(counters, id).saturating_sub(before));
        Some(PortUse { in_use: sessions_of(counters, id), resting, total })
    }

    /// What operators are to know.
    pub(crate) fn warnings(&self) -> impl Iterator<Item = String> + '_ {
        self.crowded.iter().map(|((pool, backend), of_backend)| {
            let PortUse { in_use, resting, total } = of_backend;
            format!(
                "{pool}/{backend}: {in_use} source ports are in use and {resting} rest, of {total}: connections are refused when \
                 none is left; add `source_addresses`, or backends"
            )
        })
    }
}
