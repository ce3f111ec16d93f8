//! Which addresses are ours, on which ports, in hash tables.

use super::Reason;
use crate::neighbor::Link;
use guideway_config::model::Announce;
use guideway_dataplane::ids::PortId;
use guideway_dataplane::time::Nanos;
use ipnet::IpNet;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

/// A second report about the same address waits for this long.
const REPORT_PAUSE: Duration = Duration::from_secs(10);

/// What an address of ours is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// An interface's.
    Own,
    /// Virtual: its connections belong to backends.
    Vip,
}

/// A port and an address that ARP or NDP answers for on it.
pub(super) type Key = (PortId, IpAddr);

/// All addresses that are ours.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    macs: HashMap<PortId, [u8; 6]>,
    own_macs: HashSet<[u8; 6]>,
    local: HashMap<IpAddr, Kind>,
    /// With the time of the last report of a second owner.
    answered: HashMap<Key, Option<Nanos>>,
    broadcasts: HashSet<Ipv4Addr>,
}

impl Addresses {
    /// Replaces everything and returns what is answered for now and was not before, or not with this MAC.
    pub(super) fn configure(&mut self, links: &[Link], vips: &[(IpAddr, Announce)]) -> Vec<Key> {
        let macs: HashMap<_, _> = links.iter().map(|link| (link.port, link.mac)).collect();
        let mut answered = HashMap::new();
        let mut new = Vec::new();
        for key in answered_keys(links, vips) {
            let Entry::Vacant(entry) = answered.entry(key) else { continue };
            let known = self.answered.get(&key).copied();
            if known.is_none() || self.macs.get(&key.0) != macs.get(&key.0) {
                new.push(key);
            }
            entry.insert(known.flatten());
        }
        self.local = vips.iter().map(|vip| (vip.0, Kind::Vip)).collect();
        self.local.extend(nets(links).map(|net| (net.addr(), Kind::Own)));
        self.broadcasts = nets(links).filter_map(broadcast).collect();
        self.own_macs = macs.values().copied().collect();
        self.macs = macs;
        self.answered = answered;
        new
    }

    pub(super) fn mac(&self, port: PortId) -> Option<[u8; 6]> {
        self.macs.get(&port).copied()
    }

    pub(super) fn is_own_mac(&self, mac: [u8; 6]) -> bool {
        self.own_macs.contains(&mac)
    }

    /// What `address` is to us, on any port.
    pub(super) fn kind(&self, address: IpAddr) -> Option<Kind> {
        self.local.get(&address).copied()
    }

    /// Whether `address` is the broadcast address of one of our subnets.
    pub(super) fn is_broadcast(&self, address: IpAddr) -> bool {
        matches!(address, IpAddr::V4(v4) if self.broadcasts.contains(&v4))
    }

    /// Whether ARP or NDP answers for `address` on `port`.
    pub(super) fn answers(&self, port: PortId, address: IpAddr) -> bool {
        self.answered.contains_key(&(port, address))
    }

    /// [`Addresses::answers`] as a result.
    pub(super) fn require(&self, port: PortId, address: IpAddr) -> Result<(), Reason> {
        if self.answers(port, address) { Ok(()) } else { Err(Reason::NotOurs) }
    }

    /// Everything that ARP or NDP answers for.
    pub(super) fn answered(&self) -> impl Iterator<Item = Key> + '_ {
        self.answered.keys().copied()
    }

    /// Whether a second owner of the address may be reported now; if so, remembers it.
    pub(super) fn may_report(&mut self, now: Nanos, port: PortId, address: IpAddr) -> bool {
        let Some(last) = self.answered.get_mut(&(port, address)) else { return false };
        let may = last.is_none_or(|at| now < at || now.since(at) >= REPORT_PAUSE);
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

/// Own addresses on their port; VIPs where their [`Announce`] says. May name a key twice.
fn answered_keys(links: &[Link], vips: &[(IpAddr, Announce)]) -> impl Iterator<Item = Key> {
    links.iter().flat_map(|link| {
        let own = link.addresses.iter().map(IpNet::addr);
        let virtual_ = vips.iter().filter(|vip| match vip.1 {
            Announce::Auto => link.covers(vip.0),
            Announce::Arp => true,
            Announce::None => false,
        });
        own.chain(virtual_.map(|vip| vip.0)).map(|address| (link.port, address))
    })
}
