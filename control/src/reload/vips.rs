//! VIPs: by address, protocol on the wire and port.

use super::{Found, Remedy};
use guideway_config::model::{Config, PortMatch, Protocol, Vip};
use ipnet::IpNet;
use std::collections::HashMap;

/// What names a VIP.
type Key = (IpNet, Protocol, PortMatch);

fn key(vip: &Vip) -> Key {
    (vip.address, vip.protocol.on_wire(), vip.port)
}

/// Compares the VIPs. Returns those that stay as the new configuration has them, in the old order and with the old numbers
/// of pools.
pub(super) fn compare(old: &Config, new: &Config, found: &mut Found) -> Vec<Vip> {
    let by_key: HashMap<Key, &Vip> = new.vips.iter().map(|vip| (key(vip), vip)).collect();
    let mut stay = Vec::with_capacity(old.vips.len());
    for before in &old.vips {
        let Some(after) = by_key.get(&key(before)) else {
            let reason = format!("vip {before} is no longer in the file: every connection to it would break");
            found.refuse(Remedy::Disruptive, reason);
            continue;
        };
        vip((old, before), (new, after), found);
        stay.push(Vip { pool: before.pool, ..**after });
    }
    let known: HashMap<Key, &Vip> = old.vips.iter().map(|vip| (key(vip), vip)).collect();
    for added in new.vips.iter().filter(|vip| !known.contains_key(&key(vip))) {
        // Of several the most specific one had its packets; each is as good a reason.
        let reason = match old.vips.iter().filter(|vip| meets(vip, added)).max_by_key(|vip| vip.address.prefix_len()) {
            Some(wider) => {
                format!("vip {added} is new and takes packets of vip {wider}: these connections would break")
            }
            None => format!("vip {added} is new: VIPs are not added at run time yet"),
        };
        found.refuse(Remedy::Disruptive, reason);
    }
    stay
}

fn vip((old, before): (&Config, &Vip), (new, after): (&Config, &Vip), found: &mut Found) {
    let mut breaks = |same: bool, what: String| {
        if !same {
            let reason = format!("vip {before}: its {what}: every connection to it would break");
            found.refuse(Remedy::Disruptive, reason);
        }
    };
    let (from, to) = (&old.pools[before.pool].name, &new.pools[after.pool].name);
    breaks(from == to, format!("pool changes from {from} to {to}"));
    let (from, to) = (before.protocol, after.protocol);
    breaks(from == to, format!("protocol changes from {from} to {to}"));
    let (from, to) = (before.affinity, after.affinity);
    breaks(from == to, format!("affinity changes from {from} to {to}"));
    if before.announce != after.announce {
        found.refuse(Remedy::Disruptive, format!("vip {before}: announce changes, which is not done at run time yet"));
    }
    if before.affinity == after.affinity
        && let (Some(from), Some(to)) = (before.affinity_window, after.affinity_window)
        && from != to
    {
        found.line(format!("vip {before}: affinity_window {from:?} -> {to:?}"));
    }
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
