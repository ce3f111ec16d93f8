//! VIPs: by address, protocol on the wire and port.

use super::Found;
use super::matching::Matching;
use guideway_config::model::{Config, PortMatch, Protocol, Vip};
use ipnet::IpNet;
use std::collections::{HashMap, HashSet};

/// What names a VIP.
pub(crate) type Key = (IpNet, Protocol, PortMatch);

pub(crate) fn key(vip: &Vip) -> Key {
    (vip.address, vip.protocol.on_wire(), vip.port)
}

/// Compares the VIPs. Returns them as the new configuration has them, those that stay in the old order and then the new ones,
/// with the places of the target as numbers of their pools.
pub(super) fn compare(old: &Config, new: &Config, matching: &Matching, found: &mut Found) -> Vec<Vip> {
    let places = matching.places();
    let placed = |vip: &Vip| Vip { pool: places[vip.pool], ..*vip };
    let by_key: HashMap<Key, &Vip> = new.vips.iter().map(|vip| (key(vip), vip)).collect();
    let mut target = Vec::with_capacity(new.vips.len());
    for before in &old.vips {
        let Some(after) = by_key.get(&key(before)) else {
            found.line(format!("vip {before} is gone: its connections end"));
            continue;
        };
        vip((old, before), (new, after), matching, found);
        target.push(placed(after));
    }
    let known: HashSet<Key> = old.vips.iter().map(key).collect();
    let wide: Vec<&Vip> = old.vips.iter().filter(|vip| is_wide(vip)).collect();
    for added in new.vips.iter().filter(|vip| !known.contains(&key(vip))) {
        // Of several the most specific one had its packets; each is as good a reason.
        match wide.iter().filter(|vip| meets(vip, added)).max_by_key(|vip| vip.address.prefix_len()) {
            Some(wider) => {
                found.breaks(format!(
                    "vip {added} is new and takes packets of vip {wider}: these connections would break"
                ));
            }
            None => found.line(format!("vip {added} is new, served by pool {}", new.pools[added.pool].name)),
        }
        target.push(placed(added));
    }
    target
}

fn vip((old, before): (&Config, &Vip), (new, after): (&Config, &Vip), matching: &Matching, found: &mut Found) {
    let mut breaks = |same: bool, what: String| {
        if !same {
            found.breaks(format!("vip {before}: its {what}: every connection to it would break"));
        }
    };
    let (from, to) = (&old.pools[before.pool].name, &new.pools[after.pool].name);
    let goes_on = matching.goes_on[before.pool] == Some(after.pool);
    breaks(goes_on, format!("pool changes from {from} to {to}, and other VIPs stay in one of them"));
    let (from, to) = (before.protocol, after.protocol);
    breaks(from == to, format!("protocol changes from {from} to {to}"));
    let (from, to) = (before.affinity, after.affinity);
    breaks(from == to, format!("affinity changes from {from} to {to}"));
    if before.announce != after.announce {
        let (from, to) = (before.announce, after.announce);
        found.line(format!("vip {before}: announce {from:?} -> {to:?}").to_lowercase());
    }
    if before.affinity == after.affinity
        && let (Some(from), Some(to)) = (before.affinity_window, after.affinity_window)
        && from != to
    {
        found.line(format!("vip {before}: affinity_window {from:?} -> {to:?}"));
    }
}

/// Whether there can be a VIP inside.
fn is_wide(vip: &Vip) -> bool {
    vip.address.prefix_len() < vip.address.max_prefix_len() || !matches!(vip.port, PortMatch::Exact(_))
}

/// Whether a new VIP is inside an old one, and would take packets of it.
fn meets(old: &Vip, new: &Vip) -> bool {
    let (first, last) = ports(old.port);
    let (from, to) = ports(new.port);
    old.protocol.on_wire() == new.protocol.on_wire()
        && old.address.contains(&new.address)
        && from <= last
        && first <= to
        // At one address, of two with a port in common the narrower one has it.
        && (old.address != new.address || to - from <= last - first)
}

fn ports(port: PortMatch) -> (u16, u16) {
    match port {
        PortMatch::Exact(port) => (port, port),
        PortMatch::Range(first, last) => (first, last),
        PortMatch::Any => (1, u16::MAX),
    }
}
