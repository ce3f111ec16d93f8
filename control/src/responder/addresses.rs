//! Which addresses are ours, on which links, in hash tables.

use super::Reason;
use super::prefixes::Prefixes;
use super::reports::{PAUSE, Reports};
use crate::neighbor::Link;
use guideway_config::model::Announce;
use guideway_dataplane::ids::LinkId;
use guideway_dataplane::time::Nanos;
use ipnet::IpNet;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr};

/// What an address of ours is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// An interface's.
    Own,
    /// Virtual: its connections belong to backends.
    Vip,
}

/// A link and an address that ARP or NDP answers for on it.
pub(super) type Key = (LinkId, IpAddr);

/// All addresses that are ours.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    links: HashMap<LinkId, Link>,
    own_macs: HashSet<[u8; 6]>,
    local: HashMap<IpAddr, Kind>,
    /// Single addresses, with the time of the last report of a second owner.
    answered: HashMap<Key, Option<Nanos>>,
    prefixes: Prefixes,
    /// Second owners of addresses in prefixes.
    reports: Reports,
    broadcasts: HashSet<Ipv4Addr>,
}

impl Addresses {
    /// Replaces everything and returns the single addresses that are answered for now and were not before, or not with
    /// this MAC.
    pub(super) fn configure(&mut self, links: &[Link], vips: &[(IpNet, Announce)]) -> Vec<Key> {
        let (single, prefixes): (Vec<_>, Vec<_>) =
            vips.iter().partition(|(net, _)| net.prefix_len() == net.max_prefix_len());
        let single: Vec<(IpAddr, Announce)> =
            single.into_iter().map(|(net, announce)| (net.addr(), announce)).collect();
        let by_id: HashMap<_, _> = links.iter().map(|link| (link.id, link.clone())).collect();
        let mac = |links: &HashMap<LinkId, Link>, id| links.get(&id).map(|link| link.mac);
        let mut answered = HashMap::new();
        let mut new = Vec::new();
        for key in answered_keys(links, &single) {
            let Entry::Vacant(entry) = answered.entry(key) else { continue };
            let known = self.answered.get(&key).copied();
            if known.is_none() || mac(&self.links, key.0) != mac(&by_id, key.0) {
                new.push(key);
            }
            entry.insert(known.flatten());
        }
        self.local = single.iter().map(|vip| (vip.0, Kind::Vip)).collect();
        self.local.extend(nets(links).map(|net| (net.addr(), Kind::Own)));
        self.prefixes = Prefixes::new(prefixes.into_iter());
        self.broadcasts = nets(links).filter_map(broadcast).collect();
        self.own_macs = links.iter().map(|link| link.mac).collect();
        self.links = by_id;
        self.answered = answered;
        new
    }

    pub(super) fn mac(&self, link: LinkId) -> Option<[u8; 6]> {
        self.links.get(&link).map(|link| link.mac)
    }

    pub(super) fn is_own_mac(&self, mac: [u8; 6]) -> bool {
        self.own_macs.contains(&mac)
    }

    /// What `address` is to us, on any link.
    pub(super) fn kind(&self, address: IpAddr) -> Option<Kind> {
        let single = self.local.get(&address).copied();
        single.or_else(|| self.is_in_prefix(address).then_some(Kind::Vip))
    }

    /// A broadcast address of ours is everybody's, also where a VIP's prefix covers the subnet.
    fn is_in_prefix(&self, address: IpAddr) -> bool {
        self.prefixes.hold(address) && !self.is_broadcast(address)
    }

    /// Whether `address` is the broadcast address of one of our subnets.
    pub(super) fn is_broadcast(&self, address: IpAddr) -> bool {
        matches!(address, IpAddr::V4(v4) if self.broadcasts.contains(&v4))
    }

    /// Whether ARP or NDP answers for `address` on `link`.
    pub(super) fn answers(&self, link: LinkId, address: IpAddr) -> bool {
        self.answered.contains_key(&(link, address)) || self.answers_in_prefix(link, address)
    }

    fn answers_in_prefix(&self, id: LinkId, address: IpAddr) -> bool {
        let Some(link) = self.links.get(&id) else { return false };
        // An own address of another link is answered for there.
        let vip = self.kind(address) == Some(Kind::Vip);
        vip && self.prefixes.around(address).any(|wish| wish.always || (wish.auto && link.covers(address)))
    }

    /// [`Addresses::answers`] as a result.
    pub(super) fn require(&self, link: LinkId, address: IpAddr) -> Result<(), Reason> {
        if self.answers(link, address) { Ok(()) } else { Err(Reason::NotOurs) }
    }

    /// Every single address that ARP or NDP answers for.
    pub(super) fn answered(&self) -> impl Iterator<Item = Key> + '_ {
        self.answered.keys().copied()
    }

    /// Whether a second owner of an address that is answered for may be reported now; if so, remembers it.
    pub(super) fn may_report(&mut self, now: Nanos, link: LinkId, address: IpAddr) -> bool {
        let key = (link, address);
        let Some(last) = self.answered.get_mut(&key) else { return self.reports.may_report(now, key) };
        let may = last.is_none_or(|at| now < at || now.since(at) >= PAUSE);
        if may {
            *last = Some(now);
        }
        may
    }
}

fn nets(links: &[Link]) -> impl Iterator<Item = &IpNet> {
    links.iter().flat_map(|link| &link.addresses)
}

/// A subnet of two addresses or one has no broadcast address (RFC 3021).
fn broadcast(net: &IpNet) -> Option<Ipv4Addr> {
    match net {
        IpNet::V4(v4) if v4.prefix_len() < 31 => Some(v4.broadcast()),
        _ => None,
    }
}

/// Own addresses on their link; single VIPs where their [`Announce`] says. May name a key twice.
fn answered_keys(links: &[Link], vips: &[(IpAddr, Announce)]) -> impl Iterator<Item = Key> {
    links.iter().flat_map(|link| {
        let own = link.addresses.iter().map(IpNet::addr);
        let virtual_ = vips.iter().filter(|vip| match vip.1 {
            Announce::Auto => link.covers(vip.0),
            Announce::Arp => true,
            Announce::None => false,
        });
        own.chain(virtual_.map(|vip| vip.0)).map(|address| (link.id, address))
    })
}
