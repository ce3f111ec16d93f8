//! State → snapshot: rebuilds what changed, shares the rest with the snapshot before.

use crate::consistency::plan::PoolPlan;
use crate::state::{BackendState, PoolState, Stage, State};
use crate::templates;
use crate::topology::Hop;
use guideway_config::memory::Memory;
use guideway_config::model;
use guideway_dataplane::consistency::{Parts, Special};
use guideway_dataplane::nat::Nat;
use guideway_dataplane::quic::{LbConfig, ServerIds};
use guideway_dataplane::rewrite::{Backend, Hops, NextHop};
use guideway_dataplane::select::PROBE_PORT_BASE;
use guideway_dataplane::snapshot::{Pool, Snapshot};
use guideway_dataplane::table::{Slot, Table};
use guideway_dataplane::vip::{Prefix, address_bits};
use ipnet::IpNet;
use std::collections::BTreeSet;
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
        let tables =
            if pool.table_stale { copies_of(&table(&pool.plan), copies) } else { Arc::clone(pool.built.tables()) };
        let of_config = &config.pools[index];
        let backends = pool.backends.iter().zip(&of_config.backends);
        let workers = config.cores.workers.len() as u32;
        let backends = backends.map(|(backend, of_config)| backend_of(state, backend, of_config)).collect();
        let built = Pool::new(tables, backends)
            .with_server_ids(server_ids(state, index))
            .with_nats(nats(pool, of_config, workers));
        let built = Arc::new(built.with_special(special(state, index)));
        let pool = &mut state.pools[index];
        pool.built = built;
        pool.table_stale = false;
        pool.backends_stale = false;
    }
    state.services_stale = false;
    Snapshot {
        hasher: state.hasher.clone(),
        vips: state.vips.clone(),
        own_addresses: own_addresses(&config),
        tunnel_sources: tunnel_sources(&config),
        ports: state.ports.clone().into_boxed_slice(),
        links: state.links.clone(),
        pins: Arc::clone(&state.pins),
        pools: state.pools.iter().map(|pool| Arc::clone(&pool.built)).collect(),
        nat_backends: nat_backends(&config),
        probe_ports_end: probe_ports_end(state),
        observe: None,
    }
}

/// As many copies of a table as workers have, each in memory of its own.
fn copies_of(table: &Table, copies: usize) -> Arc<[Table]> {
    (0..copies).map(|copy| if copy == 0 { table.clone() } else { table.copied() }).collect()
}

/// The table that workers read. Where every flow has a pin, every slot is special.
fn table(plan: &PoolPlan) -> Table {
    if !plan.is_always() {
        return plan.phases().table();
    }
    let slots = plan.phases().current().iter().map(|slot| slot.with_special(true));
    Table::from(slots.collect::<Box<[Slot]>>())
}

/// What decides about special slots, if there are any.
fn special(state: &State, index: usize) -> Option<Special> {
    let pool = &state.pools[index];
    let sides = if pool.plan.is_always() { [].into() } else { pool.plan.phases().sides()? };
    let clock = state.pins.clock();
    let parts = Parts {
        size: pool.plan.target().size(),
        sides,
        members: (0..pool.backends.len()).map(|backend| state.member(index, backend)).collect(),
        idle: clock.ticks(state.idle_times[index]),
        longest_idle: clock.ticks(state.idle_times.iter().copied().max().unwrap_or_default()),
        // Any bijection that spreads small numbers.
        salt: pool.salt.wrapping_mul(0x9e37_79b1),
        failed: Arc::clone(pool.plan.failed()),
        rules: state.rules,
    };
    Some(parts.into())
}

fn backend_of(state: &State, backend: &BackendState, of_config: &model::Backend) -> Backend {
    let path_mtu = state.path_mtus.get(&of_config.address).copied().unwrap_or(u16::MAX);
    let next_hop = |hop: &Hop| NextHop {
        egress: hop.port,
        source: state.ports[hop.port.index()].mac,
        destination: state.neighbors.get(&(hop.link, hop.neighbor)).copied(),
        mtu: state.config.ports[hop.port.index()].mtu.min(path_mtu),
        tags: state.links[hop.link.index()].tags,
    };
    let hops: Vec<(u64, NextHop)> = backend.hops.iter().map(|hop| (identity(hop), next_hop(hop))).collect();
    Backend { id: backend.id, hops: Hops::new(&hops), rewrite: backend.rewrite.clone() }
}

/// How addresses are rewritten for each backend of a pool; nothing where they are not.
fn nats(pool: &PoolState, of_config: &model::Pool, workers: u32) -> Arc<[Nat]> {
    if !of_config.forward.is_nat() {
        return Arc::default();
    }
    let backends = pool.backends.iter().zip(&of_config.backends);
    backends.filter_map(|(backend, of)| Some(templates::nat(of_config, of, backend.hops.first()?, workers))).collect()
}

/// What names a next hop to the sharing of flows: its address. The same on every machine and in any order.
fn identity(hop: &Hop) -> u64 {
    let bits = address_bits(hop.neighbor);
    (bits >> 64) as u64 ^ bits as u64
}

/// Whom QUIC connection IDs name: those whose flows stay, also while they drain.
fn server_ids(state: &State, index: usize) -> Option<Arc<ServerIds>> {
    let (pool, config) = (&state.pools[index], &state.config.pools[index]);
    if config.quic_lb.is_empty() {
        return None;
    }
    let named = (0..).zip(&config.backends).zip(&pool.backends).filter(|((number, _), backend)| {
        backend.stage != Stage::Joining && state.member(index, usize::from(*number)).eligible
    });
    let servers: Vec<(&[u8], u16)> =
        named.filter_map(|((index, backend), _)| Some((backend.server_id.as_deref()?, index))).collect();
    let configs: Vec<LbConfig> = config
        .quic_lb
        .iter()
        .map(|lb| LbConfig {
            config_id: lb.config_id,
            server_id_len: lb.server_id_len,
            nonce_len: lb.nonce_len,
            key: lb.key,
        })
        .collect();
    Some(Arc::new(ServerIds::new(&configs, &servers)))
}

/// Where tunnels begin that do not begin at an own address.
fn tunnel_sources(config: &model::Config) -> Box<[Prefix]> {
    let sources: BTreeSet<IpNet> = config.pools.iter().filter_map(|pool| pool.encap_source).collect();
    sources.into_iter().map(|net| Prefix::new(net.addr(), net.prefix_len())).collect()
}

/// Whose answers come back here.
fn nat_backends(config: &model::Config) -> Box<[u128]> {
    let pools = config.pools.iter().filter(|pool| pool.forward.is_nat());
    let addresses: BTreeSet<u128> =
        pools.flat_map(|pool| &pool.backends).map(|backend| address_bits(backend.address)).collect();
    addresses.into_iter().collect()
}

/// Probes of a backend come from a port that its id says.
fn probe_ports_end(state: &State) -> u16 {
    let ids = state.pools.iter().flat_map(|pool| &pool.backends).map(|backend| backend.id.0);
    ids.max().map_or(PROBE_PORT_BASE, |id| PROBE_PORT_BASE + id + 1)
}

/// Those of interfaces, and those that stand for clients.
fn own_addresses(config: &model::Config) -> Box<[u128]> {
    let nets = config.interfaces.iter().flat_map(|interface| &interface.addresses);
    let sources = config.pools.iter().flat_map(|pool| &pool.sources).copied();
    let mut addresses: Vec<u128> = nets.map(|net| net.addr()).chain(sources).map(address_bits).collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses.into_boxed_slice()
}
