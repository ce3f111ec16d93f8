//! What a process keeps: ports, cores, interfaces, memory.

use super::{Found, Remedy};
use guideway_config::model::{Config, Interface};

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
    restart(old.ports == new.ports, "[[port]] changes: ports are attached at the start");
    restart(same_interfaces(old, new), "[[interface]] changes in more than its neighbors: links are made at the start");
    restart(old.routes == new.routes, "[[route]] changes: backends' next hops are found at the start");
    restart(old.exception == new.exception, "[exception] changes: its devices are made at the start");
    restart(old.audit == new.audit, "[audit] changes: its logs are opened at the start");
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
    for (before, after) in old.interfaces.iter().zip(&new.interfaces) {
        if before.neighbors != after.neighbors && same_interfaces(old, new) {
            let port = old.ports.get(before.port).map_or("?", |port| port.name.as_str());
            let vlan = before.vlan.map_or_else(String::new, |vlan| format!(" vlan {}", vlan.id));
            found.line(format!("interface {port}{vlan}: its static neighbors change"));
        }
    }
}

fn same_interfaces(old: &Config, new: &Config) -> bool {
    let same = |(old, new): (&Interface, &Interface)| {
        (old.port, old.vlan, &old.addresses) == (new.port, new.vlan, &new.addresses)
    };
    old.interfaces.len() == new.interfaces.len() && old.interfaces.iter().zip(&new.interfaces).all(same)
}
