//! What concerns several sections: addresses against each other, ways to backends, what a pool's VIPs ask of it.

use crate::draft::Draft;
use crate::interfaces::{self, OwnAddresses};
use crate::links::{self, Links};
use crate::model::{Forward, Protocol};
use crate::pools::PoolDraft;
use crate::reader::Located;
use crate::report::Report;
use crate::services::{self, VipAddresses};
use crate::vips::VipDraft;
use crate::ways::Ways;
use crate::{exception, fit, ports, quic, routes};
use std::net::IpAddr;

/// Backends of all pools: ids in pins have 16 bits, and some are kept for backends that leave (CONSISTENCY, Identity).
const MOST_BACKENDS: usize = 60_000;

/// What backends and probes are checked against.
pub(crate) struct Around<'d> {
    pub(crate) draft: &'d Draft,
    pub(crate) links: &'d Links,
    pub(crate) own: &'d OwnAddresses,
    pub(crate) vips: &'d VipAddresses,
    pub(crate) ways: &'d Ways,
}

/// Checks the sections against each other.
pub(crate) fn check(draft: &Draft, report: &mut Report) -> Links {
    let links = links::resolve(draft, report);
    ports::check_devices(&draft.ports, report);
    if let Some(exception) = &draft.exception {
        exception::check(exception, &links.exception_ports, &draft.ports, report);
    }
    let own = interfaces::check(&draft.interfaces, &links.port_of, &draft.ports, report);
    let ways = Ways::new(&draft.interfaces, &draft.routes);
    routes::check(&draft.routes, &own, &ways, report);
    services::check(&draft.vips, &own, report);
    let vips = VipAddresses::new(&draft.vips);
    let around = Around { draft, links: &links, own: &own, vips: &vips, ways: &ways };
    around.next_hops(report);
    for (index, pool) in draft.pools.iter().enumerate() {
        around.pool(index, pool, report);
    }
    fit::check(&around, report);
    if let Some(first) = draft.backends().nth(MOST_BACKENDS) {
        let at = first.address.map_or(0, |address| address.at);
        let count = draft.backends().count();
        report.error(at, format!("a configuration holds at most {MOST_BACKENDS} backends, this one has {count}"));
    }
    links
}

impl Around<'_> {
    /// Next hops and neighbours are machines of their own, never a VIP.
    fn next_hops(&self, report: &mut Report) {
        let hops = self.draft.routes.iter().flat_map(|route| route.routes()).flat_map(|route| route.hops);
        let neighbors = self.draft.interfaces.iter().flat_map(|interface| &interface.neighbors);
        for address in hops.chain(neighbors.filter_map(|neighbor| neighbor.address)) {
            if let Some((what, at)) = self.vips.holds(address.value) {
                report.error(address.at, format!("{} is {what}", address.value)).related(at, "defined");
            }
        }
    }

    /// The VIPs of a pool, in the order of the file.
    pub(crate) fn vips_of(&self, pool: usize) -> Vec<&VipDraft> {
        let vips = self.links.vips_of.get(pool).into_iter().flatten();
        vips.filter_map(|&vip| self.draft.vips.get(vip)).collect()
    }

    fn pool(&self, index: usize, pool: &PoolDraft, report: &mut Report) {
        let vips = self.vips_of(index);
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
            Some(Forward::Ipip | Forward::Gre | Forward::Gue) => self.reachable(pool, report),
            Some(Forward::Nat | Forward::Fullnat) => self.nat(pool, &vips, report),
            None => {}
        }
        one_affinity(pool, &vips, report);
        let quic =
            vips.is_empty() || vips.iter().any(|vip| vip.protocol.is_none_or(|protocol| protocol == Protocol::Quic));
        if !quic {
            quic::warn_unused(&pool.quic_lb, report);
        }
        if let (Some(health), Some(vip)) = (&pool.health, vips.first()) {
            self.probes(pool, health, vip, report);
        }
    }

    fn backend_address(&self, address: Located<IpAddr>, report: &mut Report) {
        let own = || self.own.get(&address.value).map(|&at| ("an own address".to_owned(), at));
        if let Some((what, at)) = self.vips.holds(address.value).or_else(own) {
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

    pub(crate) fn reachable(&self, pool: &PoolDraft, report: &mut Report) {
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
}

/// An l2dsr packet arrives as it was sent, so backends are of the family of their VIPs.
fn one_family(pool: &PoolDraft, vips: &[&VipDraft], report: &mut Report) {
    let mut addresses = vips.iter().filter_map(|vip| vip.address).map(|address| address.map(|block| block.addr()));
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

/// A pool's slots are followed by one kind of key: pins of clients and pins of flows differ in what starts them and in how
/// long they last.
fn one_affinity(pool: &PoolDraft, vips: &[&VipDraft], report: &mut Report) {
    let mut vips = vips.iter().filter_map(|vip| Some((vip, vip.affinity?)));
    let Some((first, of_first)) = vips.next() else { return };
    if let Some((other, affinity)) = vips.find(|(_, affinity)| affinity.value != of_first.value) {
        let (this, that) = (other.called(), first.called());
        let pool = pool.called();
        report
            .error(
                affinity.at,
                format!(
                    "{this} has affinity \"{}\" and shares {pool} with {that}, which has \"{}\"",
                    affinity.value, of_first.value
                ),
            )
            .related(first.at, "defined")
            .help("give the other VIP a pool of its own");
    }
}

pub(crate) fn family(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "IPv4" } else { "IPv6" }
}
