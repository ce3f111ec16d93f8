//! What concerns several sections: references by name, addresses against each other, ways to backends, probes.

use crate::backends::BackendDraft;
use crate::draft::{Draft, index_names};
use crate::health::{FirstVip, HealthDraft};
use crate::interfaces::{self, OwnAddresses};
use crate::model::Forward;
use crate::names::{closest, quote};
use crate::pools::PoolDraft;
use crate::ports;
use crate::reader::Located;
use crate::report::Report;
use crate::routes;
use crate::vips::{self, VipDraft};
use crate::ways::Ways;
use std::collections::HashMap;
use std::net::IpAddr;

/// Backends of all pools: ids in pins have 16 bits, and some are kept for backends that leave (CONSISTENCY, Identity).
const MOST_BACKENDS: usize = 60_000;

/// Unknown references of one kind for which the name meant is looked for.
const MOST_SUGGESTIONS: usize = 32;

/// Names resolved to indices; `None` where the name is missing or unknown, which has been reported.
pub(crate) struct Links {
    /// The port of each interface.
    pub(crate) port_of: Vec<Option<usize>>,
    /// The pool of each VIP.
    pub(crate) pool_of: Vec<Option<usize>>,
    /// The VIPs of each pool, in the order of the file.
    pub(crate) vips_of: Vec<Vec<usize>>,
}

/// What backends and probes are checked against.
struct Around<'d> {
    draft: &'d Draft,
    links: &'d Links,
    own: &'d OwnAddresses,
    vips: &'d HashMap<IpAddr, usize>,
    ways: &'d Ways,
}

/// Checks the sections against each other.
pub(crate) fn check(draft: &Draft, report: &mut Report) -> Links {
    let links = links(draft, report);
    ports::check_devices(&draft.ports, report);
    let own = interfaces::check(&draft.interfaces, &links.port_of, &draft.ports, report);
    let ways = Ways::new(&draft.interfaces, &draft.routes);
    routes::check(&draft.routes, &own, &ways, report);
    vips::check(&draft.vips, &own, report);
    let vips = vips::addresses(&draft.vips);
    let around = Around { draft, links: &links, own: &own, vips: &vips, ways: &ways };
    around.next_hops(report);
    for (index, pool) in draft.pools.iter().enumerate() {
        around.pool(index, pool, report);
    }
    if let Some(first) = draft.backends().nth(MOST_BACKENDS) {
        let at = first.address.map_or(0, |address| address.at);
        let count = draft.backends().count();
        report.error(at, format!("a configuration holds at most {MOST_BACKENDS} backends, this one has {count}"));
    }
    links
}

fn links(draft: &Draft, report: &mut Report) -> Links {
    let ports = index_names("ports", draft.ports.iter().map(|port| port.name.as_ref()), report);
    let all_ports = !draft.ports.is_empty() && draft.ports.iter().all(|port| port.name.is_some());
    let mut ports = Names { what: "port", known: ports, complete: draft.ports.complete && all_ports, suggestions: 0 };
    let port_of = draft.interfaces.iter().map(|interface| ports.find(interface.port.as_ref(), report)).collect();
    let pools = index_names("pools", draft.pools.iter().map(|pool| pool.name.as_ref()), report);
    let all_pools = draft.pools.iter().all(|pool| pool.name.is_some());
    let mut pools = Names { what: "pool", known: pools, complete: draft.pools.complete && all_pools, suggestions: 0 };
    let pool_of: Vec<_> = draft.vips.iter().map(|vip| pools.find(vip.pool.as_ref(), report)).collect();
    let mut vips_of = vec![Vec::new(); draft.pools.len()];
    for (vip, pool) in pool_of.iter().enumerate() {
        if let Some(vips) = pool.and_then(|pool| vips_of.get_mut(pool)) {
            vips.push(vip);
        }
    }
    Links { port_of, pool_of, vips_of }
}

/// The names that references of one kind may use.
struct Names<'n> {
    what: &'static str,
    known: HashMap<&'n str, usize>,
    /// Whether all names could be read; until then an unknown one is not reported.
    complete: bool,
    /// How many suggestions were looked for.
    suggestions: usize,
}

impl Names<'_> {
    fn find(&mut self, name: Option<&Located<String>>, report: &mut Report) -> Option<usize> {
        let name = name?;
        let found = self.known.get(name.value.as_str()).copied();
        if found.is_none() && self.complete {
            let finding = report.error(name.at, format!("there is no {} {}", self.what, quote(&name.value)));
            match self.closest(&name.value) {
                Some(meant) => finding.help(format!("did you mean \"{meant}\"?")),
                None => finding.help(format!("define it with [[{}]]", self.what)),
            };
        }
        found
    }

    /// The name that was probably meant. A comparison with every name is for a few mistakes, not for thousands.
    fn closest(&mut self, name: &str) -> Option<&str> {
        self.suggestions += 1;
        if self.suggestions > MOST_SUGGESTIONS { None } else { closest(name, self.known.keys().copied()) }
    }
}

impl Around<'_> {
    /// Next hops and neighbours are machines of their own, never a VIP.
    fn next_hops(&self, report: &mut Report) {
        let hops = self.draft.routes.iter().flat_map(|route| route.routes().map(|route| route.map(|route| route.via)));
        let neighbors = self.draft.interfaces.iter().flat_map(|interface| &interface.neighbors);
        for address in hops.chain(neighbors.filter_map(|neighbor| neighbor.address)) {
            if let Some(&at) = self.vips.get(&address.value) {
                report.error(address.at, format!("{} is a VIP", address.value)).related(at, "defined");
            }
        }
    }

    fn pool(&self, index: usize, pool: &PoolDraft, report: &mut Report) {
        let vips: Vec<&VipDraft> = self.links.vips_of[index].iter().map(|&vip| &self.draft.vips[vip]).collect();
        if vips.is_empty() {
            report.warning(pool.at, format!("no VIP uses {}", pool.called()));
        }
        for address in pool.backends.iter().filter_map(|backend| backend.address) {
            self.backend_address(address, report);
        }
        match pool.forward {
            Some(Forward::L2dsr) => {
                one_family(pool, &vips, report);
                self.same_segment(pool, report);
            }
            Some(Forward::Ipip) => self.reachable(pool, report),
            None => {}
        }
        if let (Some(health), Some(vip)) = (&pool.health, vips.first()) {
            self.probes(pool, health, vip, report);
        }
    }

    fn backend_address(&self, address: Located<IpAddr>, report: &mut Report) {
        let taken = self.vips.get(&address.value).map(|at| ("a VIP", at));
        let taken = taken.or_else(|| self.own.get(&address.value).map(|at| ("an own address", at)));
        if let Some((what, &at)) = taken {
            report
                .error(address.at, format!("the backend {} is {what}", address.value))
                .related(at, "given")
                .help("use the backend's own address");
        }
    }

    /// `l2dsr` rewrites the destination MAC, so the backend must be a neighbour.
    fn same_segment(&self, pool: &PoolDraft, report: &mut Report) {
        let backends = pool.backends.iter().filter_map(|backend| backend.address);
        for address in backends.filter(|address| self.ways.addresses_complete && !self.ways.is_connected(address.value))
        {
            report
                .error(address.at, format!("the l2dsr backend {} is in no interface's subnet", address.value))
                .help("l2dsr needs the backend on the same segment; forward = \"ipip\" reaches it by a route");
        }
    }

    fn reachable(&self, pool: &PoolDraft, report: &mut Report) {
        let backends = pool.backends.iter().filter_map(|backend| backend.address);
        for address in backends.filter(|address| self.ways.complete && self.ways.interface(address.value).is_none()) {
            // A route whose next hop is nowhere has been reported at the route.
            if self.ways.is_routed(address.value) {
                continue;
            }
            report
                .error(address.at, format!("there is no way to the backend {}", address.value))
                .help("add a [[route]] to it, or an interface address of its subnet");
        }
    }

    fn probes(&self, pool: &PoolDraft, health: &HealthDraft, vip: &VipDraft, report: &mut Report) {
        if let (Some(protocol), Some(port)) = (vip.protocol, vip.port) {
            health.check_port(&FirstVip { at: vip.at, protocol, port }, report);
        }
        let (HealthDraft::Tcp(tcp), Some(address)) = (health, vip.address) else { return };
        match tcp.probe_source {
            Some(Some(source)) => self.probe_source(source, address, report),
            Some(None) => self.own_source(pool, address, report),
            None => {}
        }
    }

    fn probe_source(&self, source: Located<IpAddr>, vip: Located<IpAddr>, report: &mut Report) {
        if let Some(&at) = self.vips.get(&source.value) {
            report
                .error(source.at, format!("`probe_source` {} is a VIP", source.value))
                .related(at, "defined")
                .help("answers to a VIP go to backends: use an own address");
        } else if source.value.is_ipv4() != vip.value.is_ipv4() {
            report
                .error(
                    source.at,
                    format!("`probe_source` {} is of another family than the VIP {}", source.value, vip.value),
                )
                .related(vip.at, "VIP");
        } else if !self.own.contains_key(&source.value) && self.ways.addresses_complete {
            report
                .warning(source.at, format!("`probe_source` {} is not an own address", source.value))
                .help("answers to probes must reach this machine");
        }
    }

    /// Probes to the VIP leave by the backend's interface, with an own address of the VIP's family as source.
    fn own_source(&self, pool: &PoolDraft, vip: Located<IpAddr>, report: &mut Report) {
        if !self.ways.complete {
            return;
        }
        let lacks_source = |backend: &&BackendDraft| {
            let interface = backend.address.and_then(|address| self.ways.interface(address.value));
            interface.is_some_and(|interface| {
                let own = &self.draft.interfaces[interface].addresses;
                !own.iter().any(|own| own.value.addr().is_ipv4() == vip.value.is_ipv4())
            })
        };
        if pool.forward == Some(Forward::L2dsr) {
            return; // Backends of the VIP's family lie in a subnet of that family; others are reported as such.
        }
        let Some(backend) = pool.backends.iter().find(lacks_source).and_then(|backend| backend.address) else { return };
        let family = family(vip.value);
        report
            .error(
                vip.at,
                format!("probes to this VIP have no {family} source on the way to backend {}", backend.value),
            )
            .related(backend.at, "backend")
            .help(format!(
                "give its [[interface]] an {family} address, or set `probe_source` or kind = \"none\" in health"
            ));
    }
}

/// An l2dsr packet arrives as it was sent, so backends are of the family of their VIPs.
fn one_family(pool: &PoolDraft, vips: &[&VipDraft], report: &mut Report) {
    let mut addresses = vips.iter().filter_map(|vip| vip.address);
    let Some(first) = addresses.next() else { return };
    if let Some(other) = addresses.find(|address| address.value.is_ipv4() != first.value.is_ipv4()) {
        report
            .error(other.at, format!("{} (l2dsr) serves {} VIPs already", pool.called(), family(first.value)))
            .related(first.at, "first VIP")
            .help("an l2dsr pool carries one family: make a second pool, or use forward = \"ipip\"");
    }
    let backends = pool.backends.iter().filter_map(|backend| backend.address);
    for address in backends.filter(|address| address.value.is_ipv4() != first.value.is_ipv4()) {
        report
            .error(address.at, format!("the l2dsr backend {} is of another family than its VIP", address.value))
            .related(first.at, "VIP")
            .help("use a backend address of the VIP's family, or forward = \"ipip\"");
    }
}

fn family(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "IPv4" } else { "IPv6" }
}
