//! The desired state: what the configuration asks for, and what is known of the world around it.
//!
//! `build` makes it from a configuration, `change` takes over what an operator asks for, `reload` what another file asks
//! for, `edges` lets pools and VIPs come and go and finds other ways, `renew` makes slots and pins anew where that keeps nothing, `stages` follows backends from joining to leaving.

mod build;
mod change;
mod edges;
mod reload;
mod renew;
mod share;
mod stages;
mod vip_ids;

use crate::consistency::ids::BackendIds;
use crate::consistency::plan::PoolPlan;
use crate::health::{HealthEvent, Reason, Together, Transition, Verdicts};
use crate::topology::Hop;
pub use change::{Change, ChangeError};
use guideway_config::model::{Check, Config, Forward, Vip};
use guideway_dataplane::consistency::Rules;
use guideway_dataplane::hash::FlowHasher;
use guideway_dataplane::ids::{BackendId, LinkId, PoolId, VipId};
use guideway_dataplane::pin::PinTable;
use guideway_dataplane::rewrite::Rewrite;
use guideway_dataplane::snapshot::{LinkState, Pool, PortState};
use guideway_dataplane::time::Nanos;
use guideway_dataplane::vip::VipTable;
use guideway_dataplane::wire::ethernet::Mac;
pub use share::{Advice, WHOLE, Warmth};
pub use stages::Moment;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use vip_ids::VipIds;

/// What is known of a backend's health.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackendHealth {
    /// Not judged yet; counts as up.
    Unknown,
    /// It answers, or nobody checks it.
    Up,
    /// It failed its check.
    Down,
}

/// What an operator wants of a backend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Admin {
    /// It serves.
    #[default]
    Enabled,
    /// No new flows, old ones stay.
    Drained,
    /// The same, and nobody checks it.
    Disabled,
}

/// How far a backend is part of its pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    /// It was added: workers know it, and it gets no flows before its next hop and its check say that it is there.
    Joining,
    /// It is in the table.
    #[default]
    Serving,
    /// It is to be removed: a drain, until no flow is left.
    Leaving,
    /// No flow is left: the table is without it, and its record goes with the next snapshot.
    Left,
}

/// One backend.
#[derive(Clone, Debug)]
pub struct BackendState {
    /// Identity in the process.
    pub id: BackendId,
    /// The mode of its packets; part of its identity, while its pool may have another one by now.
    pub forward: Forward,
    /// The ways to it, at least one.
    pub hops: Vec<Hop>,
    /// The ways that a reload asks for, until one of them is known to be there; empty: these.
    pub next_hops: Vec<Hop>,
    /// How packets are changed for it.
    pub rewrite: Rewrite,
    /// Its health.
    pub health: BackendHealth,
    /// What each of its checks says.
    pub verdicts: Verdicts,
    /// When it is dead, if it only stopped to answer and keeps its flows until then.
    pub dies_at: Option<Nanos>,
    /// What its agent says.
    pub advice: Advice,
    /// How far it is after its return.
    pub warmth: Warmth,
    /// Why it has that health; `None` before the first judgement.
    pub reason: Option<Reason>,
    /// Since when.
    pub since: SystemTime,
    /// How often its health changed.
    pub transitions: u64,
    /// What an operator wants of it.
    pub admin: Admin,
    /// How far it is part of its pool.
    pub stage: Stage,
    /// Whether a newer backend of its name took its place in the table.
    pub replaced: bool,
    /// Whether its flows do not wait for their end: it counts as down, whatever its check says.
    pub forced: bool,
    /// Whether workers were told that it is up. A death counts at once, a recovery once every worker knows of the death.
    pub counts_as_up: bool,
    /// Whether workers were told that what it was the base of goes there again: one generation later.
    pub as_base: bool,
    /// Since when it drains.
    pub drained_since: Option<Nanos>,
    /// Since when no slot names it, while it drains: what flows it has, have pins.
    pub unused_since: Option<Nanos>,
    /// Pins of it that the last sweep found.
    pub pins: u32,
    /// Whether a sweep after `unused_since` found none.
    pub is_empty: bool,
}

impl BackendState {
    /// Whether it gets no new flows because somebody asked for that.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.admin != Admin::Enabled || self.stage == Stage::Leaving || self.advice.drain
    }

    /// Notes since when it drains.
    fn note_drain(&mut self, now: Nanos) {
        if self.is_draining() {
            self.drained_since.get_or_insert(now);
        } else {
            // What the drain before found says nothing about the next one.
            self.unused_since = None;
            self.is_empty = false;
        }
    }
}

/// One pool.
#[derive(Debug)]
pub struct PoolState {
    /// The slots, and where they go.
    pub plan: PoolPlan,
    /// Backends by pool-local index: those of the configuration, in its order.
    pub backends: Vec<BackendState>,
    /// What tells its pins from those of other pools: the same as long as the pool lives, whatever its place is.
    pub salt: u32,
    /// What workers use now.
    pub built: Arc<Pool>,
    /// Whether a slot changed its owner or its phase since `built`.
    pub table_stale: bool,
    /// Whether a record, or whether it is eligible, changed since `built`.
    pub backends_stale: bool,
}

impl From<Together> for BackendHealth {
    fn from(together: Together) -> Self {
        match together {
            Together::Unknown => Self::Unknown,
            Together::Up => Self::Up,
            Together::Down => Self::Down,
        }
    }
}

/// When a backend is dead whose check fails; `None`: at once.
fn dies_at(checks: &[Check], event: &HealthEvent) -> Option<Nanos> {
    let after = match event.check {
        Some(check) => checks.get(usize::from(check)).map(|check| check.dead_after),
        None => checks.iter().map(|check| check.dead_after).max(),
    };
    let silent = event.transition == Transition::Down && event.reason == Reason::Timeout;
    after.filter(|after| silent && !after.is_zero()).map(|after| event.at + after)
}

/// Everything that snapshots are made of.
#[derive(Debug)]
pub struct State {
    /// The configuration.
    pub config: Arc<Config>,
    /// The fleet's hash.
    pub hasher: FlowHasher,
    /// The VIPs.
    pub vips: VipTable,
    /// Their ids, in the order of the configuration.
    pub vip_ids: Vec<VipId>,
    /// Ports by id.
    pub ports: Vec<PortState>,
    /// Pools by id.
    pub pools: Vec<PoolState>,
    /// Links by id.
    pub links: Box<[LinkState]>,
    /// Resolved neighbours.
    pub neighbors: HashMap<(LinkId, IpAddr), Mac>,
    /// What is known of paths that are narrower than the link that they begin with, by the address of the backend.
    pub path_mtus: HashMap<IpAddr, u16>,
    /// The pins of all flows.
    pub pins: Arc<PinTable>,
    /// Which rules of consistency hold: all of them, but for the simulation.
    pub rules: Rules,
    /// T of each pool: every pin that a sweep meets asks for one, and it follows from all VIPs.
    pub(crate) idle_times: Vec<Duration>,
    /// Ids of backends.
    pub(crate) ids: BackendIds,
    /// Ids of VIPs.
    pub(crate) unused_vips: VipIds,
    /// The next pool's [`PoolState::salt`].
    pub(crate) next_salt: u32,
    /// Whether VIPs or own addresses changed since the last snapshot.
    pub(crate) services_stale: bool,
    /// Whether nobody is to be told the way to VIPs: the machine drains.
    pub(crate) withdrawn: bool,
    /// Where each backend is, by id.
    pub(crate) places: Vec<Option<(PoolId, u16)>>,
    /// Whether backends came or went, so that the real-time thread must be told its duties anew.
    pub(crate) duties_stale: bool,
}

/// Why a validated configuration still cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// A backend that no interface and no route leads to.
    #[error("pool {pool:?}: no interface's subnet and no route leads to backend {backend:?}; add a [[route]]")]
    NoRoute {
        /// The pool's name.
        pool: String,
        /// The backend's name.
        backend: String,
    },
    /// A tunnel whose outer source is of another family than its backend.
    #[error("pool {pool:?}: encap_source {source_address} is of another address family than backend {backend:?}")]
    Family {
        /// The pool's name.
        pool: String,
        /// The backend's name.
        backend: String,
        /// The outer source.
        source_address: IpAddr,
    },
    /// A table that cannot be built.
    #[error("pool {pool:?}: {source}")]
    Table {
        /// The pool's name.
        pool: String,
        /// What is wrong.
        source: guideway_dataplane::table::BuildError,
    },
    /// More VIPs than there are ids.
    #[error("there are more than {} VIPs", guideway_dataplane::counters::MAX_VIPS)]
    TooManyVips,
    /// More backends than there are ids.
    #[error("there are more than {} backends", guideway_dataplane::ids::MAX_BACKENDS)]
    TooManyBackends,
}

impl State {
    /// Where a backend is: its pool and its place in it.
    #[must_use]
    pub fn find(&self, id: BackendId) -> Option<(PoolId, usize)> {
        let (pool, index) = self.places.get(id.index()).copied().flatten()?;
        Some((pool, usize::from(index)))
    }

    /// The VIP with this id, which outlives reloads that a place in the configuration does not.
    #[must_use]
    pub fn vip(&self, id: VipId) -> Option<&Vip> {
        let place = self.vip_ids.iter().position(|of_vip| *of_vip == id)?;
        self.config.vips.get(place)
    }

    /// Takes over a health as if all checks had said so at the beginning of time: up, unless it is down. Returns as
    /// [`State::judge`] does.
    pub fn set_health(&mut self, id: BackendId, health: BackendHealth, reason: Reason, wall: SystemTime) -> bool {
        let transition = if health == BackendHealth::Down { Transition::Down } else { Transition::Up };
        self.judge(&HealthEvent { backend: id, check: None, at: Nanos(0), transition, reason }, wall)
    }

    /// Takes over a judgement. Returns whether workers must learn of it at once: a death.
    pub fn judge(&mut self, event: &HealthEvent, wall: SystemTime) -> bool {
        let Some((pool, index)) = self.find(event.backend) else { return false };
        let of_config = &self.config.pools[pool.index()];
        let checks = of_config.health.len();
        let backend = &mut self.pools[pool.index()].backends[index];
        // Nobody checks what is disabled: an answer that was under way judges nothing.
        if backend.admin == Admin::Disabled {
            return false;
        }
        backend.verdicts = match event.check {
            Some(check) => backend.verdicts.with(check, event.transition),
            None => Verdicts::all(checks, event.transition),
        };
        let health = BackendHealth::from(backend.verdicts.together(checks));
        let dies_at = dies_at(&of_config.health, event).filter(|_| health == BackendHealth::Down);
        let changed = backend.health != health;
        if changed {
            let returned = backend.health == BackendHealth::Down;
            *backend = BackendState {
                health,
                reason: Some(event.reason),
                since: wall,
                transitions: backend.transitions + 1,
                dies_at,
                ..backend.clone()
            };
            if health == BackendHealth::Down {
                backend.counts_as_up = false;
                backend.as_base = false;
            } else if returned {
                backend.warmth = Warmth::returned(of_config.slow_start, event.at);
            }
        } else if health == BackendHealth::Down && event.transition == Transition::Down {
            // Another check knows it to be dead, or at least does not know better.
            let dead = dies_at.is_none() && backend.dies_at.take().is_some();
            if !dead {
                return false;
            }
        } else {
            return false;
        }
        if health == BackendHealth::Down {
            self.pools[pool.index()].backends_stale = true;
            self.react(pool.index());
        }
        true
    }

    /// Takes over what the path to the backends at an address carries; `None`: as much as the link. Returns whether
    /// that is new.
    pub fn set_path_mtu(&mut self, address: IpAddr, mtu: Option<u16>) -> bool {
        let before = match mtu {
            Some(mtu) => self.path_mtus.insert(address, mtu),
            None => self.path_mtus.remove(&address),
        };
        let changed = before != mtu;
        if changed {
            for (pool, of_config) in self.pools.iter_mut().zip(&self.config.pools) {
                pool.backends_stale |= of_config.backends.iter().any(|backend| backend.address == address);
            }
        }
        changed
    }

    /// Takes over what a next hop's MAC is now. Returns whether that is new.
    pub fn set_neighbor(&mut self, link: LinkId, address: IpAddr, mac: Option<Mac>) -> bool {
        let before = match mac {
            Some(mac) => self.neighbors.insert((link, address), mac),
            None => self.neighbors.remove(&(link, address)),
        };
        let changed = before != mac;
        if changed {
            for pool in &mut self.pools {
                let uses = |b: &BackendState| b.hops.iter().any(|hop| (hop.link, hop.neighbor) == (link, address));
                pool.backends_stale |= pool.backends.iter().any(uses);
            }
        }
        changed
    }
}
