//! State → what the real-time thread serves.

use crate::checks::{Asked, Subject};
use crate::health::{CheckNumber, Target};
use crate::neighbor::{Link, Static};
use crate::rt::Duties;
use crate::state::{Admin, State};
use crate::topology::{addresses_of, link_of, links, own_address};
use guideway_config::model::{Announce, Backend, Check, CheckKind, Config, Forward, Via, Vip};
use guideway_dataplane::ids::{BackendId, LinkId};
use ipnet::IpNet;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What this state asks of the real-time thread.
#[must_use]
pub fn duties(state: &State) -> Duties {
    let config = &state.config;
    let statics = statics(config);
    let backends = || state.pools.iter().flat_map(|pool| &pool.backends);
    let hops_of = |least: usize| -> HashSet<(LinkId, IpAddr)> {
        let ways = backends().flat_map(|backend| [&backend.hops, &backend.next_hops]);
        let hops = ways.filter(|hops| hops.len() >= least).flatten();
        hops.map(|hop| (hop.link, hop.neighbor)).collect()
    };
    let hops = hops_of(1);
    let known: HashSet<(LinkId, IpAddr)> = statics.iter().map(|neighbor| (neighbor.link, neighbor.address)).collect();
    let mut wanted: Vec<_> = hops.difference(&known).copied().collect();
    wanted.sort_unstable();
    Duties {
        links: own_links(state),
        ports: links(config).into_iter().map(|(port, _)| port).collect(),
        tags: state.links.iter().map(|link| link.tags).collect(),
        wanted,
        shared: hops_of(2),
        statics,
        vips: config.vips.iter().map(|vip| (vip.address, announce(state, vip))).collect(),
        withdrawn: state.withdrawn,
        targets: targets(state),
        places: state.places.clone(),
        tunnels: tunnels(state),
    }
}

/// Who is told the way to a VIP. A machine that drains tells nobody.
fn announce(state: &State, vip: &Vip) -> Announce {
    if state.withdrawn { Announce::None } else { vip.announce }
}

/// Links with an interface: on the others nobody is there to answer.
fn own_links(state: &State) -> Vec<Link> {
    let config = &state.config;
    let here: HashSet<LinkId> = (0..config.interfaces.len()).map(|index| link_of(config, index)).collect();
    let all = (0..).map(LinkId).zip(links(config)).filter(|(id, _)| here.contains(id));
    all.map(|(id, (port, _))| Link {
        id,
        mac: state.ports[port.index()].mac,
        addresses: addresses_of(config, id).chain(sources_on(config, id)).collect(),
    })
    .collect()
}

/// The addresses that stand for clients and lie in a subnet of this link.
fn sources_on(config: &Config, link: LinkId) -> impl Iterator<Item = IpNet> + '_ {
    let sources: BTreeSet<IpAddr> = config.pools.iter().flat_map(|pool| &pool.sources).copied().collect();
    let own = move |source: &IpAddr| addresses_of(config, link).any(|net| net.addr() == *source);
    let here = move |source: &IpAddr| addresses_of(config, link).any(|net| net.contains(source)) && !own(source);
    sources.into_iter().filter(here).map(IpNet::from)
}

fn statics(config: &Config) -> Vec<Static> {
    let of_interface = |(index, interface): (usize, &guideway_config::model::Interface)| {
        let link = link_of(config, index);
        let fixed = interface.neighbors.iter().map(move |n| Static { link, address: n.address, mac: n.mac });
        fixed.collect::<Vec<_>>()
    };
    config.interfaces.iter().enumerate().flat_map(of_interface).collect()
}

/// The backends that packets reach inside others: the path to them may be narrower than the link.
fn tunnels(state: &State) -> HashMap<IpAddr, Vec<BackendId>> {
    let pools = state.pools.iter().zip(&state.config.pools);
    let backends = pools.flat_map(|(pool, of_config)| pool.backends.iter().zip(&of_config.backends));
    let tunneled = backends.filter(|(backend, _)| match backend.forward {
        Forward::L2dsr | Forward::Nat | Forward::Fullnat => false,
        Forward::Ipip | Forward::Gre | Forward::Gue => true,
    });
    let mut by_address: HashMap<IpAddr, Vec<BackendId>> = HashMap::new();
    for (backend, of_config) in tunneled {
        by_address.entry(of_config.address).or_default().push(backend.id);
    }
    by_address
}

/// The probes: for each backend of a checked pool, addressed to the first VIP that uses the pool, or to the backend itself
/// where traffic is.
fn targets(state: &State) -> Vec<Target> {
    let config = &state.config;
    let mut targets = Vec::new();
    for (index, (pool, of_pool)) in config.pools.iter().zip(&state.pools).enumerate() {
        let Some((number, check)) = prober_check(&pool.health) else { continue };
        let Some(vip) = first_vip(config, index) else { continue };
        let backends = of_pool.backends.iter().zip(&pool.backends);
        for (backend, of) in backends.filter(|(backend, _)| backend.admin != Admin::Disabled) {
            let destination = if backend.forward.is_nat() { of.address } else { vip };
            let link = backend.hops.first().map(|hop| hop.link);
            let own = || link.and_then(|link| own_address(config, link, destination));
            let Some(source) = check.probe_source.or_else(own) else { continue };
            let port = port_of(check, of);
            targets.push(Target { backend: backend.id, destination, port, source, check: check.times, number });
        }
    }
    targets
}

/// Where a backend is asked; 0 for kinds without ports.
fn port_of(check: &Check, backend: &Backend) -> u16 {
    let own = backend.port.filter(|_| check.port_of_vip);
    own.or(check.port).unwrap_or_default()
}

/// The check that the prober does: the first one of TCP on the path of traffic. It knows a backend by one port.
fn prober_check(checks: &[Check]) -> Option<(CheckNumber, &Check)> {
    let of_prober = |(_, check): &(CheckNumber, &Check)| check.kind == CheckKind::Tcp && check.via == Via::Dataplane;
    (0..).zip(checks).find(of_prober)
}

/// Where probes of a pool go.
fn first_vip(config: &Config, pool: usize) -> Option<IpAddr> {
    config.vips.iter().find(|vip: &&Vip| vip.pool == pool).map(|vip| host_of(vip.address))
}

/// The conversations: for each backend every check that the prober does not do, and the question to its agent.
#[must_use]
pub fn subjects(state: &State) -> Vec<Subject> {
    let config = &state.config;
    let mut subjects = Vec::new();
    for (index, (pool, of_pool)) in config.pools.iter().zip(&state.pools).enumerate() {
        let of_prober = prober_check(&pool.health).map(|(number, _)| number);
        let checks = (0..).zip(&pool.health).filter(|(number, _)| Some(*number) != of_prober);
        let mut asked: Vec<Asked> = checks.map(|(number, check)| Asked::check(number, check)).collect();
        asked.extend(pool.agent.as_ref().map(Asked::agent));
        let vip = first_vip(config, index);
        for (backend, of) in of_pool.backends.iter().zip(&pool.backends).filter(|(b, _)| b.admin != Admin::Disabled) {
            subjects.extend(asked.iter().filter_map(|asked| {
                let (destination, source) = match asked.via {
                    Via::Kernel => (of.address, asked.source),
                    Via::Dataplane => {
                        let destination = if backend.forward.is_nat() { of.address } else { vip? };
                        let link = backend.hops.first().map(|hop| hop.link);
                        let own = || link.and_then(|link| own_address(config, link, destination));
                        (destination, Some(asked.source.or_else(own)?))
                    }
                };
                let port = if asked.is_at_vip { of.port.unwrap_or(asked.port) } else { asked.port };
                Some(Subject { backend: backend.id, destination, source, asked: Asked { port, ..asked.clone() } })
            }));
        }
    }
    subjects
}

/// The address that stands for a VIP: its own, or the first one of a prefix that is a host's. What comes before is, to a
/// backend that has the prefix as a subnet, a broadcast address (RFC 1122 section 3.3.6) or its routers' anycast address
/// (RFC 4291 section 2.6.1).
fn host_of(vip: IpNet) -> IpAddr {
    let host = u8::from(vip.prefix_len() < vip.max_prefix_len());
    match vip.network() {
        IpAddr::V4(v4) => IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() | u32::from(host))),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() | u128::from(host))),
    }
}
