//! State → what the real-time thread serves.

use crate::health::Target;
use crate::neighbor::{Link, Static};
use crate::rt::Duties;
use crate::state::State;
use crate::topology::{own_address, port_id};
use guideway_config::model::{Health, Vip};
use guideway_dataplane::ids::{PoolId, PortId};
use std::collections::HashSet;
use std::net::IpAddr;

/// What this state asks of the real-time thread.
#[must_use]
pub fn duties(state: &State) -> Duties {
    let config = &state.config;
    let links = (0..).zip(&state.ports).map(|(index, port)| {
        let here = config.interfaces.iter().filter(|interface| port_id(interface) == PortId(index));
        Link { port: PortId(index), mac: port.mac, addresses: here.flat_map(|i| i.addresses.clone()).collect() }
    });
    let statics: Vec<Static> = config
        .interfaces
        .iter()
        .flat_map(|interface| {
            let port = port_id(interface);
            interface.neighbors.iter().map(move |n| Static { port, address: n.address, mac: n.mac })
        })
        .collect();
    let backends = || state.pools.iter().flat_map(|pool| &pool.backends);
    let hops: HashSet<(PortId, IpAddr)> = backends().map(|backend| (backend.hop.port, backend.hop.neighbor)).collect();
    let known: HashSet<(PortId, IpAddr)> = statics.iter().map(|neighbor| (neighbor.port, neighbor.address)).collect();
    let mut wanted: Vec<_> = hops.difference(&known).copied().collect();
    wanted.sort_unstable();
    let places = (0..)
        .zip(&state.pools)
        .flat_map(|(pool, state)| (0..).zip(&state.backends).map(move |(index, _)| (PoolId(pool), index)));
    Duties {
        links: links.collect(),
        wanted,
        statics,
        vips: config.vips.iter().map(|vip| (vip.address, vip.announce)).collect(),
        targets: targets(state),
        places: places.collect(),
    }
}

/// The probes: for each backend of a checked pool, addressed to the first VIP that uses the pool.
fn targets(state: &State) -> Vec<Target> {
    let config = &state.config;
    let mut targets = Vec::new();
    for (index, (pool, of_pool)) in config.pools.iter().zip(&state.pools).enumerate() {
        let Health::Tcp(check) = pool.health else { continue };
        let Some(vip) = config.vips.iter().find(|vip: &&Vip| vip.pool == index) else { continue };
        for backend in &of_pool.backends {
            let source = check.probe_source.or_else(|| own_address(config, backend.hop.port, vip.address));
            let Some(source) = source else { continue };
            targets.push(Target { backend: backend.id, destination: vip.address, port: check.port, source, check });
        }
    }
    targets
}
