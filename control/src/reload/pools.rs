//! Pools: by name, their backends by name in the pool.

use super::matching::Matching;
use super::{Found, Remedy};
use guideway_config::model::{Backend, Config, Pool};
use guideway_config::table_size;
use guideway_dataplane::pin::PinClock;
use std::collections::{HashMap, HashSet};
use std::fmt::Debug;
use std::net::SocketAddr;
use std::time::Duration;

/// Compares the pools: each with the one that it goes on as.
pub(super) fn compare(old: &Config, new: &Config, matching: &Matching, clock: &PinClock, found: &mut Found) {
    for (index, (before, to)) in old.pools.iter().zip(&matching.goes_on).enumerate() {
        let Some(place) = *to else {
            found.line(format!("pool {} ends", before.name));
            continue;
        };
        let after = &new.pools[place];
        if before.name != after.name {
            found.line(format!(
                "pool {} goes on as {}: its VIPs keep their connections, which stay on its backends to their end",
                before.name, after.name
            ));
        }
        pool(before, after, found);
        idle((&after.name, Some(old.idle_time(index))), new, place, clock, found);
    }
    for place in matching.fresh() {
        let after = &new.pools[*place];
        found.line(format!("pool {} is new, with {} backends", after.name, after.backends.len()));
        idle((&after.name, None), new, *place, clock, found);
    }
}

fn pool(old: &Pool, new: &Pool, found: &mut Found) {
    let name = &new.name;
    if old.table_size != new.table_size {
        found.refuse(Remedy::Disruptive, table_size(old, new));
    }
    if old.tracking != new.tracking {
        let reason = format!("pool {name}: tracking changes: connections that only their pin keeps would break");
        found.refuse(Remedy::Disruptive, reason);
    }
    if old.sources != new.sources {
        let reason = format!("pool {name}: source_addresses change: workers get their ports at the start");
        found.refuse(Remedy::Restart, reason);
    }
    let mut changed = |what: &str, same: bool| {
        if !same {
            found.line(format!("pool {name}: {what}"));
        }
    };
    let from_to = |key: &str, old: &dyn Debug, new: &dyn Debug| format!("{key} {old:?} -> {new:?}");
    let maybe = |value: Option<String>| value.unwrap_or_else(|| "none".to_owned());
    let percent = |share: f64| format!("{}%", share * 100.0);
    let panic = |pool: &Pool| maybe(pool.panic_threshold.map(percent));
    changed(&format!("panic_threshold {} -> {}", panic(old), panic(new)), old.panic_threshold == new.panic_threshold);
    changed(
        &format!("group_min {} -> {}", percent(old.group_min), percent(new.group_min)),
        old.group_min == new.group_min,
    );
    changed(&from_to("on_down", &old.on_down, &new.on_down).to_lowercase(), old.on_down == new.on_down);
    let limit = |pool: &Pool| maybe(pool.drain_timeout.map(|limit| format!("{limit:?}")));
    changed(&format!("drain_timeout {} -> {}", limit(old), limit(new)), old.drain_timeout == new.drain_timeout);
    let (before, after) = (old.idle_timeout, new.idle_timeout);
    changed(&from_to("idle_timeout.tcp", &before.tcp, &after.tcp), before.tcp == after.tcp);
    changed(&from_to("idle_timeout.udp", &before.udp, &after.udp), before.udp == after.udp);
    changed(&from_to("idle_timeout.quic", &before.quic, &after.quic), before.quic == after.quic);
    let check = match (old.health.as_slice(), new.health.as_slice()) {
        ([], _) => "health checks begin",
        (_, []) => "health checks end, all its backends count as up",
        ([_], [_]) => "the parameters of its health check change",
        _ => "its health checks change",
    };
    changed(check, old.health == new.health);
    let agent = match (old.agent, new.agent) {
        (None, _) => "its backends' agents are asked from now on",
        (_, None) => "its backends' agents are no longer asked, and what they said is forgotten",
        _ => "how its backends' agents are asked changes",
    };
    changed(agent, old.agent == new.agent);
    let slow = |pool: &Pool| maybe(pool.slow_start.map(|time| format!("{time:?}")));
    changed(&format!("slow_start {} -> {}", slow(old), slow(new)), old.slow_start == new.slow_start);
    let source = |pool: &Pool| maybe(pool.encap_source.map(|source| source.to_string()));
    changed(&format!("encap_source {} -> {}", source(old), source(new)), old.encap_source == new.encap_source);
    changed("how its GUE packets look changes", old.gue == new.gue);
    let cut = (old.fragment_outer, new.fragment_outer);
    changed(&from_to("fragment_outer", &cut.0, &cut.1), cut.0 == cut.1);
    let (before, after) = (old.connect, new.connect);
    changed(&from_to("connect_timeout", &before.timeout, &after.timeout), before.timeout == after.timeout);
    changed(&from_to("connect_retries", &before.retries, &after.retries), before.retries == after.retries);
    let proxy = from_to("syn_proxy", &before.syn_proxy, &after.syn_proxy).to_lowercase();
    changed(&format!("{proxy}, for new connections"), before.syn_proxy == after.syn_proxy);
    changed("what backends are told of the client changes, for new connections", old.proxy == new.proxy);
    changed("[[pool.quic_lb]] changes", old.quic_lb == new.quic_lb);
    backends(old, new, found);
}

fn table_size(old: &Pool, new: &Pool) -> String {
    let (name, before) = (&new.name, old.table_size);
    let (after, count) = (new.table_size, new.backends.len());
    let why = if after == table_size::default_for(count) {
        format!(" (the default for {count} backends)")
    } else {
        String::new()
    };
    format!(
        "pool {name}: its table_size changes from {before} to {after}{why}, and with it the slot of every flow: every \
         connection of its VIPs would break; to keep them, write table_size = {before} in this pool"
    )
}

fn backends(old: &Pool, new: &Pool, found: &mut Found) {
    let name = &new.name;
    let before: HashMap<&str, &Backend> = old.backends.iter().map(|backend| (backend.name.as_str(), backend)).collect();
    let mode = old.forward != new.forward;
    if mode && (old.forward.is_nat() || new.forward.is_nat()) {
        let (before, after) = (old.forward, new.forward);
        found.refuse(
            Remedy::Restart,
            format!(
                "pool {name}: forward {before} -> {after}: connections with rewritten addresses and others do not share a \
                 pool; make a second pool, and let the VIP go to it"
            ),
        );
    } else if mode {
        let (before, after) = (old.forward, new.forward);
        found.line(format!(
            "pool {name}: forward {before} -> {after}; each backend gets new connections by the new mode once that was \
             seen to work, and keeps those that it has by the old one"
        ));
    }
    for after in &new.backends {
        let backend = &after.name;
        let Some(before) = before.get(backend.as_str()) else {
            found.line(format!("pool {name}: backend {backend} ({}) joins", after.address));
            continue;
        };
        if (before.address, before.port) != (after.address, after.port) {
            let (from, to) = (place(before), place(after));
            found.line(format!(
                "pool {name}: backend {backend} moves from {from} to {to}, which gets its new connections once it is ready"
            ));
        }
        if before.weight != after.weight {
            found.line(format!("pool {name}: backend {backend}: weight {} -> {}", before.weight, after.weight));
        }
        if before.priority != after.priority {
            found.line(format!("pool {name}: backend {backend}: priority {} -> {}", before.priority, after.priority));
        }
        if before.server_id != after.server_id {
            found.line(format!("pool {name}: backend {backend}: server_id changes"));
        }
    }
    let after: HashSet<&str> = new.backends.iter().map(|backend| backend.name.as_str()).collect();
    for gone in old.backends.iter().filter(|backend| !after.contains(backend.name.as_str())) {
        found.line(format!("pool {name}: backend {} leaves", gone.name));
    }
}

/// Where a backend is.
fn place(backend: &Backend) -> String {
    backend.port.map_or_else(|| backend.address.to_string(), |port| SocketAddr::new(backend.address, port).to_string())
}

/// Whether pins can tell the pool's idle time. `before` is what it was; `None`: the pool is new.
fn idle((name, before): (&str, Option<Duration>), new: &Config, place: usize, clock: &PinClock, found: &mut Found) {
    let after = new.idle_time(place);
    // A pool without VIPs has no flows.
    let is_used = new.vips.iter().any(|vip| vip.pool == place);
    if before != Some(after) && is_used && !clock.fits(after) {
        let longest = clock.longest_idle();
        let what = before.map_or_else(|| "is".to_owned(), |before| format!("changes from {before:?} to"));
        found.refuse(
            Remedy::Disruptive,
            format!(
                "pool {name}: its idle time {what} {after:?}; the clock of the pins was made at the start and tells \
                 {longest:.1?} at most"
            ),
        );
    }
}
