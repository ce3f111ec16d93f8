//! A draft without errors into the model.

use crate::draft::Draft;
use crate::health::FirstVip;
use crate::links::Links;
use crate::model::{Backend, Config, Cores, Exception, Interface, Neighbor, Pool, Port, Route, Vip};
use crate::pools::PoolDraft;
use crate::quic::QuicLbDraft;
use crate::routes::{FamilyRoute, RouteDraft};

/// The configuration of a draft; `None` if anything in it was refused.
pub(crate) fn config(draft: Draft, links: &Links) -> Option<Config> {
    let first_vips: Vec<Option<FirstVip>> = links
        .vips_of
        .iter()
        .map(|vips| {
            let vip = draft.vips.get(*vips.first()?)?;
            Some(FirstVip { at: vip.at, protocol: vip.protocol?, port: vip.port?.value })
        })
        .collect();
    let interfaces = draft.interfaces.iter().zip(&links.port_of).map(|(interface, port)| {
        let neighbors = interface.neighbors.iter();
        Some(Interface {
            port: (*port)?,
            vlan: interface.vlan?,
            addresses: interface.addresses.iter().map(|address| address.value).collect(),
            neighbors: neighbors
                .map(|neighbor| Some(Neighbor { address: neighbor.address?.value, mac: neighbor.mac? }))
                .collect::<Option<_>>()?,
        })
    });
    let vips = draft.vips.iter().zip(&links.pool_of).map(|(vip, pool)| {
        Some(Vip {
            address: vip.address?.value,
            protocol: vip.protocol?,
            port: vip.port?.value,
            pool: (*pool)?,
            affinity: vip.affinity?.value,
            affinity_window: vip.affinity_window?,
            announce: vip.announce?,
        })
    });
    let exception = match &draft.exception {
        Some(exception) => {
            Some(Exception { taps: exception.taps(&links.exception_ports, &draft.ports)?, rate: exception.rate? })
        }
        None => None,
    };
    let cores = draft.cores?;
    let state = draft.process.state?;
    let ports = draft.ports.items.into_iter().map(|port| {
        Some(Port {
            name: port.name?.value,
            device: port.device?.value.text,
            mtu: port.mtu?.value,
            workers: port.workers?,
        })
    });
    Some(Config {
        hash_key: draft.process.hash_key?,
        cores: Cores {
            control: cores.control?.value,
            workers: cores.workers?.iter().map(|worker| worker.value).collect(),
            idle: cores.idle?,
            power: cores.power?,
        },
        extra_args: draft.process.extra_args?,
        socket: draft.process.api.socket?,
        listen: draft.process.api.listen?,
        interfaces: interfaces.collect::<Option<_>>()?,
        ports: ports.collect::<Option<_>>()?,
        routes: draft.routes.iter().flat_map(RouteDraft::routes).map(route).collect(),
        vips: vips.collect::<Option<_>>()?,
        exception,
        audit: draft.audit?,
        pools: draft
            .pools
            .items
            .into_iter()
            .zip(&first_vips)
            .map(|(p, vip)| pool(p, vip.as_ref()))
            .collect::<Option<_>>()?,
        table_memory: state.table_memory?,
        pins: state.pins?,
        state_file: state.file?,
        arm_time: state.arm_time?,
        sessions: state.sessions?,
        embryonic_sessions: state.embryonic_sessions?,
        sessions_full: state.sessions_full?,
        connection_rate: state.connection_rate?,
    })
}

fn route(route: FamilyRoute) -> Route {
    Route { to: route.to, via: route.hops.into_iter().map(|hop| hop.value).collect() }
}

fn pool(pool: PoolDraft, first_vip: Option<&FirstVip>) -> Option<Pool> {
    let backends = pool.backends.into_iter().map(|backend| {
        Some(Backend {
            name: backend.name?.value,
            address: backend.address?.value,
            port: backend.port?.map(|port| port.value),
            weight: backend.weight?,
            priority: backend.priority?,
            server_id: backend.server_id?.map(|id| id.value),
        })
    });
    Some(Pool {
        name: pool.name?.value,
        forward: pool.forward?,
        health: pool.health?.resolve(first_vip)?,
        agent: pool.agent?,
        slow_start: pool.slow_start?,
        table_size: pool.table_size?,
        encap_source: pool.tunnel.encap_source?.map(|source| source.value),
        gue: pool.tunnel.gue?,
        fragment_outer: pool.tunnel.fragment_outer?,
        proxy: pool.nat.proxy?.map(|proxy| proxy.value),
        sources: pool.nat.sources?.into_iter().map(|source| source.value).collect(),
        connect: pool.connect?,
        quic_lb: pool.quic_lb.iter().map(QuicLbDraft::model).collect::<Option<_>>()?,
        panic_threshold: pool.groups.panic_threshold?,
        group_min: pool.groups.group_min()?,
        tracking: pool.flows.tracking?,
        idle_timeout: pool.flows.idle_timeout?,
        drain_timeout: pool.flows.drain_timeout?,
        on_down: pool.flows.on_down?,
        backends: backends.collect::<Option<_>>()?,
    })
}
