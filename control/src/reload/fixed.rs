//! What a process keeps: ports, cores, links, memory; and what leads to neighbours.

use super::{Found, Remedy};
use guideway_config::model::{Config, Interface};
use ipnet::IpNet;
use std::collections::BTreeMap;
use std::fmt::Display;

/// Compares everything but pools and VIPs.
pub(super) fn compare(old: &Config, new: &Config, found: &mut Found) {
    let mut restart = |same: bool, what: &str| {
        if !same {
            found.refuse(Remedy::Restart, what);
        }
    };
    restart(old.cores == new.cores, "[cores] changes: threads are pinned at the start");
    restart(old.extra_args == new.extra_args, "[dpdk] extra_args changes: the EAL gets it at the start");
    restart(old.socket == new.socket, "[api] socket changes: it is bound at the start");
    restart(old.listen == new.listen, "[api] listen or its token changes: the address is bound at the start");
    restart(old.state_file == new.state_file, "[state] file changes: it is read at the start");
    restart(old.ports == new.ports, "[[port]] changes: ports are attached at the start");
    restart(same_links(old, new), "[[interface]] changes in its port or its VLANs: links are made at the start");
    restart(old.exception == new.exception, "[exception] changes: its devices are made at the start");
    restart(old.audit == new.audit, "[audit] changes: its logs are opened at the start");
    restart(old.sessions == new.sessions, "[state] sessions changes: their table is made at the start");
    let limits = |config: &Config| (config.embryonic_sessions, config.sessions_full, config.connection_rate);
    restart(
        limits(old) == limits(new),
        "[state] embryonic_sessions, sessions_full or connection_rate changes: workers get them at the start",
    );
    let rewrites = |config: &Config| config.pools.iter().any(|pool| pool.forward.is_nat());
    restart(
        rewrites(old) || !rewrites(new),
        "a first pool rewrites addresses: the table of sessions is made at the start, if a pool needs it",
    );
    let mut anew = |same: bool, what: &str| {
        if !same {
            found.refuse(Remedy::Disruptive, what);
        }
    };
    anew(
        old.hash_key == new.hash_key,
        "[fleet] hash_key changes, and with it the slot of every flow: every connection would break",
    );
    anew(old.table_memory == new.table_memory, "[state] table_memory changes: all tables would be built anew");
    let pins = "the table of pins would be made anew, and connections that only their pin keeps would break";
    anew(old.pins == new.pins, &format!("[state] pins changes from {} to {}: {pins}", old.pins, new.pins));
    anew(
        old.arm_time == new.arm_time,
        &format!("[state] arm_time changes from {:?} to {:?}: {pins}", old.arm_time, new.arm_time),
    );
    if same_links(old, new) {
        old.interfaces.iter().zip(&new.interfaces).for_each(|(before, after)| interface(old, before, after, found));
    }
    routes(old, new, found);
}

/// The same interfaces on the same ports and VLANs, in the same order: their places say which link is which.
fn same_links(old: &Config, new: &Config) -> bool {
    let links = |config: &Config| config.interfaces.iter().map(|i| (i.port, i.vlan)).collect::<Vec<_>>();
    links(old) == links(new)
}

fn interface(config: &Config, before: &Interface, after: &Interface, found: &mut Found) {
    let port = config.ports.get(before.port).map_or("?", |port| port.name.as_str());
    let vlan = before.vlan.map_or_else(String::new, |vlan| format!(" vlan {}", vlan.id));
    if before.neighbors != after.neighbors {
        found.line(format!("interface {port}{vlan}: its static neighbors change"));
    }
    if before.addresses != after.addresses {
        let (from, to) = (list(&before.addresses), list(&after.addresses));
        found.line(format!("interface {port}{vlan}: addresses {from} -> {to}"));
    }
}

fn routes(old: &Config, new: &Config, found: &mut Found) {
    let of = |config: &Config| -> BTreeMap<IpNet, String> {
        config.routes.iter().map(|route| (route.to, list(&route.via))).collect()
    };
    let (before, after) = (of(old), of(new));
    for (to, via) in &after {
        match before.get(to) {
            None => found.line(format!("route {to} via {via} is new")),
            Some(from) if from != via => found.line(format!("route {to}: via {from} -> {via}, once that answers")),
            Some(_) => {}
        }
    }
    for to in before.keys().filter(|to| !after.contains_key(to)) {
        found.line(format!("route {to} is gone"));
    }
}

fn list<T: Display>(items: &[T]) -> String {
    let words: Vec<String> = items.iter().map(T::to_string).collect();
    if words.is_empty() { "none".to_owned() } else { words.join(", ") }
}
