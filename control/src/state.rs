//! The desired state: what the configuration asks for, and what is known of the world around it.

use crate::health::Reason;
use crate::templates;
use crate::topology::{Hop, hops_to, link_of};
use guideway_config::model::{self, Affinity, Config, Health, PortMatch, Protocol};
use guideway_dataplane::hash::FlowHasher;
use guideway_dataplane::ids::{BackendId, LinkId, PoolId, VipId};
use guideway_dataplane::rewrite::Rewrite;
use guideway_dataplane::snapshot::{LinkState, Pool, PortState};
use guideway_dataplane::table::{BaseTable, TableBackend};
use guideway_dataplane::vip::{ServicePort, Steering, VipEntry, VipService, VipTable};
use guideway_dataplane::wire::ethernet::Mac;
use guideway_dataplane::wire::protocol;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

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

/// One backend.
#[derive(Clone, Debug)]
pub struct BackendState {
    /// Identity in the process.
    pub id: BackendId,
    /// The ways to it, at least one.
    pub hops: Vec<Hop>,
    /// How packets are changed for it.
    pub rewrite: Rewrite,
    /// Its health.
    pub health: BackendHealth,
    /// Why it has that health; `None` before the first judgement.
    pub reason: Option<Reason>,
    /// Since when.
    pub since: SystemTime,
}

/// One pool.
#[derive(Debug)]
pub struct PoolState {
    /// The table over all configured backends.
    pub base: BaseTable,
    /// Backends by pool-local index.
    pub backends: Vec<BackendState>,
    /// What workers use now.
    pub built: Arc<Pool>,
    /// Whether somebody's eligibility changed since `built`.
    pub table_stale: bool,
    /// Whether a next hop changed since `built`.
    pub backends_stale: bool,
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
}

impl State {
    /// The state at start: nothing judged, only static neighbours known.
    ///
    /// # Errors
    ///
    /// [`StateError`] for a configuration that did not pass validation.
    pub fn new(config: Arc<Config>, ports: Vec<PortState>, now: SystemTime) -> Result<Self, StateError> {
        let hasher = FlowHasher::new(config.hash_key);
        let mut next_id = 0;
        let mut pools = Vec::with_capacity(config.pools.len());
        for pool in &config.pools {
            let mut backends = Vec::with_capacity(pool.backends.len());
            for backend in &pool.backends {
                backends.push(backend_state(&config, pool, backend, BackendId(next_id), now)?);
                next_id += 1;
            }
            let members: Vec<_> =
                pool.backends.iter().map(|b| TableBackend { name: &b.name, weight: b.weight }).collect();
            let base = BaseTable::build(&members, &hasher, pool.table_size)
                .map_err(|source| StateError::Table { pool: pool.name.clone(), source })?;
            let built = Arc::new(Pool::new(Arc::from([]), Box::from([])));
            pools.push(PoolState { base, backends, built, table_stale: true, backends_stale: true });
        }
        let attached = ports.into_iter().enumerate();
        Ok(Self {
            vips: VipTable::new(&services(&config)),
            hasher,
            ports: attached.map(|(index, port)| templates::port(&config, index, &port)).collect(),
            pools,
            links: templates::links(&config),
            neighbors: static_neighbors(&config),
            path_mtus: HashMap::new(),
            config,
        })
    }

    /// Where a backend is: its pool and its place in it.
    #[must_use]
    pub fn find(&self, id: BackendId) -> Option<(PoolId, usize)> {
        // Ids are given out pool by pool, so the pools' first ids are sorted.
        let first = |pool: &PoolState| pool.backends.first().map_or(u16::MAX, |backend| backend.id.0);
        let pool = self.pools.partition_point(|pool| first(pool) <= id.0).checked_sub(1)?;
        let index = usize::from(id.0 - first(&self.pools[pool]));
        (index < self.pools[pool].backends.len()).then_some((PoolId(pool as u16), index))
    }

    /// Takes over a judgement. Returns whether the backend's health changed.
    pub fn set_health(&mut self, id: BackendId, health: BackendHealth, reason: Reason, now: SystemTime) -> bool {
        let Some((pool, index)) = self.find(id) else { return false };
        let pool = &mut self.pools[pool.index()];
        let backend = &mut pool.backends[index];
        let changed = backend.health != health;
        if changed {
            // Unknown counts as up: becoming up moves nothing.
            pool.table_stale |= (backend.health == BackendHealth::Down) != (health == BackendHealth::Down);
            *backend = BackendState { health, reason: Some(reason), since: now, ..backend.clone() };
        }
        changed
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

fn backend_state(
    config: &Config,
    pool: &model::Pool,
    backend: &model::Backend,
    id: BackendId,
    now: SystemTime,
) -> Result<BackendState, StateError> {
    let no_route = || StateError::NoRoute { pool: pool.name.clone(), backend: backend.name.clone() };
    let hops = hops_to(config, backend.address);
    let first = hops.first().ok_or_else(no_route)?;
    let rewrite = templates::rewrite(pool, backend.address, first).map_err(|source_address| {
        let (pool, backend) = (pool.name.clone(), backend.name.clone());
        StateError::Family { pool, backend, source_address }
    })?;
    let health = if pool.health == Health::None { BackendHealth::Up } else { BackendHealth::Unknown };
    Ok(BackendState { id, hops, rewrite, health, reason: None, since: now })
}

fn static_neighbors(config: &Config) -> HashMap<(LinkId, IpAddr), Mac> {
    let of_interface = |(index, interface): (usize, &model::Interface)| {
        let link = link_of(config, index);
        interface.neighbors.iter().map(move |n| ((link, n.address), n.mac)).collect::<Vec<_>>()
    };
    config.interfaces.iter().enumerate().flat_map(of_interface).collect()
}

fn services(config: &Config) -> Vec<VipService> {
    let service = |(index, vip): (u16, &model::Vip)| VipService {
        address: vip.address.network(),
        prefix_len: vip.address.prefix_len(),
        protocol: match vip.protocol {
            Protocol::Tcp => protocol::TCP,
            Protocol::Udp | Protocol::Quic => protocol::UDP,
        },
        port: match vip.port {
            PortMatch::Exact(port) => ServicePort::Exact(port),
            PortMatch::Range(first, last) => ServicePort::Range(first..=last),
            PortMatch::Any => ServicePort::Any,
        },
        entry: VipEntry { vip: VipId(index), pool: PoolId(vip.pool as u16), steering: steering(vip) },
    };
    (0..).zip(&config.vips).map(service).collect()
}

/// What of a packet decides, in a VIP's name. A connection ID says more than an address.
fn steering(vip: &model::Vip) -> Steering {
    match (vip.protocol, vip.affinity) {
        (Protocol::Quic, _) => Steering::Quic,
        (_, Affinity::Client) => Steering::Client,
        (_, Affinity::None) => Steering::Flow,
    }
}
