//! State → snapshot: rebuilds what changed, shares the rest with the snapshot before.

use crate::state::{BackendHealth, BackendState, PoolState, State};
use guideway_config::memory::Memory;
use guideway_config::model;
use guideway_dataplane::rewrite::{Backend, NextHop};
use guideway_dataplane::snapshot::{Pool, Snapshot};
use guideway_dataplane::table::Table;
use guideway_dataplane::vip::address_bits;
use std::sync::Arc;

/// Builds the snapshot of this state, and remembers what was built.
pub fn reconcile(state: &mut State) -> Snapshot {
    let config = Arc::clone(&state.config);
    let copies = Memory::of(&config).copies as usize;
    for index in 0..state.pools.len() {
        let pool = &state.pools[index];
        if !pool.table_stale && !pool.backends_stale {
            continue;
        }
        let tables = if pool.table_stale {
            let table = table_of(pool, &config.pools[index]);
            vec![table; copies].into()
        } else {
            Arc::clone(pool.built.tables())
        };
        let backends = pool.backends.iter().map(|backend| backend_of(state, backend)).collect();
        let pool = &mut state.pools[index];
        pool.built = Arc::new(Pool::new(tables, backends));
        pool.table_stale = false;
        pool.backends_stale = false;
    }
    Snapshot {
        hasher: state.hasher.clone(),
        vips: state.vips.clone(),
        own_addresses: own_addresses(&config),
        ports: state.ports.clone().into_boxed_slice(),
        pools: state.pools.iter().map(|pool| Arc::clone(&pool.built)).collect(),
    }
}

fn table_of(pool: &PoolState, config: &model::Pool) -> Table {
    let eligible = eligible(pool, config);
    if eligible.iter().all(|eligible| *eligible) {
        pool.base.table().clone()
    } else {
        pool.base.with_eligible(&eligible)
    }
}

/// Who may get packets now. Below the panic threshold more backends seem to fail than may be believed: then all may.
#[must_use]
pub fn eligible(pool: &PoolState, config: &model::Pool) -> Vec<bool> {
    let eligible: Vec<bool> = pool.backends.iter().map(|backend| backend.health != BackendHealth::Down).collect();
    let serving = config.backends.iter().filter(|backend| backend.weight > 0).count();
    let healthy = config.backends.iter().zip(&eligible).filter(|(backend, up)| backend.weight > 0 && **up).count();
    let panic = config.panic_threshold.is_some_and(|threshold| (healthy as f64) < threshold * serving as f64);
    if panic { vec![true; eligible.len()] } else { eligible }
}

fn backend_of(state: &State, backend: &BackendState) -> Backend {
    let port = backend.hop.port;
    let next_hop = NextHop {
        egress: port,
        source: state.ports[port.index()].mac,
        destination: state.neighbors.get(&(port, backend.hop.neighbor)).copied(),
        mtu: state.config.ports[port.index()].mtu,
    };
    Backend { id: backend.id, next_hop, rewrite: backend.rewrite.clone() }
}

fn own_addresses(config: &model::Config) -> Box<[u128]> {
    let nets = config.interfaces.iter().flat_map(|interface| &interface.addresses);
    let mut addresses: Vec<u128> = nets.map(|net| address_bits(net.addr())).collect();
    addresses.sort_unstable();
    addresses.into_boxed_slice()
}
