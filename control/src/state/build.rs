//! A configuration → the state at start.

use super::vip_ids::VipIds;
use super::{Admin, Advice, BackendHealth, BackendState, PoolState, Stage, State, StateError, Verdicts, Warmth, share};
use crate::consistency::ids::BackendIds;
use crate::consistency::placement::{Fact, Policy};
use crate::consistency::plan::PoolPlan;
use crate::templates;
use crate::topology::{Hop, hops_to, link_of};
use guideway_config::model::{self, Affinity, Config, PortMatch, Protocol, Tracking};
use guideway_dataplane::consistency::Rules;
use guideway_dataplane::hash::FlowHasher;
use guideway_dataplane::ids::{BackendId, LinkId, PoolId, VipId};
use guideway_dataplane::pin::{PinClock, PinTable};
use guideway_dataplane::rewrite::Rewrite;
use guideway_dataplane::snapshot::{Pool, PortState};
use guideway_dataplane::vip::{ServicePort, Steering, VipEntry, VipService, VipTable};
use guideway_dataplane::wire::ethernet::Mac;
use guideway_dataplane::wire::protocol;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

impl State {
    /// The state at start: nothing judged, only static neighbours known.
    ///
    /// # Errors
    ///
    /// [`StateError`] for a configuration that did not pass validation.
    pub fn new(config: Arc<Config>, ports: Vec<PortState>, now: SystemTime) -> Result<Self, StateError> {
        let hasher = FlowHasher::new(config.hash_key);
        let mut ids = BackendIds::default();
        let mut unused_vips = VipIds::default();
        let taken = config.vips.iter().map(|_| unused_vips.take());
        let vip_ids = taken.collect::<Option<Vec<_>>>().ok_or(StateError::TooManyVips)?;
        let (pools, places) = pools(&config, &hasher, 0, |pool, backend| {
            let id = ids.take().ok_or(StateError::TooManyBackends)?;
            backend_state(&config, pool, backend, id, now)
        })?;
        let attached = ports.into_iter().enumerate();
        Ok(Self {
            vips: VipTable::new(&services(&config, &vip_ids)),
            vip_ids,
            unused_vips,
            next_salt: config.pools.len() as u32,
            services_stale: false,
            withdrawn: false,
            hasher,
            ports: attached.map(|(index, port)| templates::port(&config, index, &port)).collect(),
            pools,
            links: templates::links(&config),
            neighbors: static_neighbors(&config),
            path_mtus: HashMap::new(),
            pins: Arc::new(pin_table(&config)),
            rules: Rules::ALL,
            idle_times: idle_times(&config),
            ids,
            places,
            duties_stale: false,
            config,
        })
    }
}

/// Where each backend is, by id.
type Places = Vec<Option<(PoolId, u16)>>;

/// The pools of a configuration, all slots steady, and where their backends are.
pub(super) fn pools(
    config: &Config,
    hasher: &FlowHasher,
    first_salt: u32,
    mut state_of: impl FnMut(&model::Pool, &model::Backend) -> Result<BackendState, StateError>,
) -> Result<(Vec<PoolState>, Places), StateError> {
    let mut places = Vec::new();
    let mut pools = Vec::with_capacity(config.pools.len());
    for (number, pool) in (0..).zip(&config.pools) {
        let mut backends = Vec::with_capacity(pool.backends.len());
        for (index, backend) in (0..).zip(&pool.backends) {
            let state = state_of(pool, backend)?;
            place(&mut places, state.id, Some((PoolId(number), index)));
            backends.push(state);
        }
        pools.push(pool_state(pool, hasher, first_salt + u32::from(number), backends)?);
    }
    Ok((pools, places))
}

/// The pin table of a configuration. Its ticks follow from the longest idle time: a reload may ask for what they allow.
pub(super) fn pin_table(config: &Config) -> PinTable {
    PinTable::new(config.pins, pin_clock(config))
}

/// The clock of the pins of a configuration.
pub(super) fn pin_clock(config: &Config) -> PinClock {
    let longest = idle_times(config).into_iter().max().unwrap_or(Duration::ZERO);
    PinClock::new(longest, config.arm_time)
}

/// T of each pool.
pub(super) fn idle_times(config: &Config) -> Vec<Duration> {
    (0..config.pools.len()).map(|pool| config.idle_time(pool)).collect()
}

/// Notes where a backend is.
pub(super) fn place(places: &mut Vec<Option<(PoolId, u16)>>, id: BackendId, at: Option<(PoolId, u16)>) {
    if places.len() <= id.index() {
        places.resize(id.index() + 1, None);
    }
    places[id.index()] = at;
}

/// A pool whose slots are all steady.
pub(super) fn pool_state(
    pool: &model::Pool,
    hasher: &FlowHasher,
    salt: u32,
    backends: Vec<BackendState>,
) -> Result<PoolState, StateError> {
    let facts = pool.backends.iter().zip(&backends).map(|(of, backend)| fact(pool, of, backend)).collect();
    let always = pool.tracking == Tracking::Always;
    let plan = PoolPlan::new(hasher, pool.table_size, Policy::from(pool), always, facts)
        .map_err(|source| StateError::Table { pool: pool.name.clone(), source })?;
    let built = Arc::new(Pool::new(Arc::from([]), Arc::from([])));
    Ok(PoolState { plan, backends, salt, built, table_stale: true, backends_stale: true })
}

/// What the table is made of, for one backend.
pub(super) fn fact(pool: &model::Pool, of_config: &model::Backend, backend: &BackendState) -> Fact {
    Fact {
        name: of_config.name.clone(),
        placed: matches!(backend.stage, Stage::Serving | Stage::Leaving) && !backend.replaced,
        weight: share::weight(pool, of_config, backend),
        priority: of_config.priority,
        takes_new: !backend.is_draining() && !backend.forced,
        up: backend.as_base && !backend.forced,
    }
}

pub(super) fn backend_state(
    config: &Config,
    pool: &model::Pool,
    backend: &model::Backend,
    id: BackendId,
    now: SystemTime,
) -> Result<BackendState, StateError> {
    let (hops, rewrite) = way_to(config, pool, backend)?;
    let health = if pool.health.is_empty() { BackendHealth::Up } else { BackendHealth::Unknown };
    Ok(BackendState {
        id,
        forward: pool.forward,
        hops,
        next_hops: Vec::new(),
        rewrite,
        health,
        verdicts: Verdicts::default(),
        dies_at: None,
        advice: Advice::default(),
        warmth: Warmth::default(),
        reason: None,
        since: now,
        transitions: 0,
        admin: Admin::Enabled,
        stage: Stage::Serving,
        replaced: false,
        forced: false,
        counts_as_up: true,
        as_base: true,
        drained_since: None,
        unused_since: None,
        pins: 0,
        is_empty: false,
    })
}

/// The next hops to a backend, and how packets are changed for it on that way.
pub(super) fn way_to(
    config: &Config,
    pool: &model::Pool,
    backend: &model::Backend,
) -> Result<(Vec<Hop>, Rewrite), StateError> {
    let names = || (pool.name.clone(), backend.name.clone());
    let hops = hops_to(config, backend.address);
    let first = hops.first().ok_or_else(|| {
        let (pool, backend) = names();
        StateError::NoRoute { pool, backend }
    })?;
    let rewrite = templates::rewrite(pool, backend.address, first).map_err(|source_address| {
        let (pool, backend) = names();
        StateError::Family { pool, backend, source_address }
    })?;
    Ok((hops, rewrite))
}

pub(super) fn static_neighbors(config: &Config) -> HashMap<(LinkId, IpAddr), Mac> {
    let of_interface = |(index, interface): (usize, &model::Interface)| {
        let link = link_of(config, index);
        interface.neighbors.iter().map(move |n| ((link, n.address), n.mac)).collect::<Vec<_>>()
    };
    config.interfaces.iter().enumerate().flat_map(of_interface).collect()
}

pub(super) fn services(config: &Config, ids: &[VipId]) -> Vec<VipService> {
    let service = |(id, vip): (&VipId, &model::Vip)| VipService {
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
        entry: VipEntry { vip: *id, pool: PoolId(vip.pool as u16), steering: steering(&config.pools[vip.pool], vip) },
    };
    ids.iter().zip(&config.vips).map(service).collect()
}

/// What of a packet decides, in a VIP's name. A connection ID says more than an address.
fn steering(pool: &model::Pool, vip: &model::Vip) -> Steering {
    if pool.forward.is_nat() {
        return Steering::Session { by_client: vip.affinity == Affinity::Client };
    }
    match (vip.protocol, vip.affinity) {
        (Protocol::Quic, _) => Steering::Quic,
        (_, Affinity::Client) => Steering::Client,
        (_, Affinity::None) => Steering::Flow,
    }
}
