//! What pools and VIPs say together, whatever the source: modes, ports, names, times that Guideway does not take.

use super::Options;
use super::model::{Forward, Found, Note, Pool, Ports, unique};
use std::collections::HashSet;
use std::time::Duration;

/// What a pool keeps flows for (`scalar::idle_time`).
const KEPT: std::ops::RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(24 * 3_600);
/// What probes take (`health`).
const PROBED: std::ops::RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(3_600);

pub(super) fn settle(found: &mut Found, options: &Options) {
    drop_empty_pools(found);
    let mut pools = std::mem::take(&mut found.pools);
    for pool in &mut pools {
        if pool.forward.rewrites() {
            modes(pool, options.forward, found);
        }
        ports(pool, found);
        name_backends(pool);
        probes(pool, found);
        if let Some(idle) = pool.idle {
            pool.idle = Some(clamped(idle, &KEPT, "how long connections may be silent", pool.line, &mut found.notes));
        }
    }
    for vip in &mut found.vips {
        if let Some(window) = vip.affinity {
            let line = pools.iter().find(|pool| pool.name == vip.pool).map_or(0, |pool| pool.line);
            vip.affinity = Some(clamped(window, &KEPT, "persistence", line, &mut found.notes));
        }
    }
    found.pools = pools;
    found.notes.sort_by_key(|note| note.line);
}

/// A pool needs a backend, and a VIP needs its pool.
fn drop_empty_pools(found: &mut Found) {
    let (full, empty): (Vec<_>, Vec<_>) =
        std::mem::take(&mut found.pools).into_iter().partition(|pool| !pool.backends.is_empty());
    found.pools = full;
    for pool in empty {
        let instead = "add the pool and its VIPs once it has backends";
        found.note(
            pool.line,
            format!("service {}", pool.name),
            "it has no backend that could be carried over",
            instead,
        );
        found.vips.retain(|vip| vip.pool != pool.name);
    }
}

fn modes(pool: &mut Pool, wanted: Option<Forward>, found: &mut Found) {
    let line = pool.line;
    pool.forward = wanted.unwrap_or(pool.forward);
    if pool.forward.rewrites() {
        return;
    }
    let instead = "give the VIP's address to each backend, on its loopback, and let it answer clients directly";
    let why = format!("backends get packets to the VIP itself with forward = \"{}\"", pool.forward.word());
    found.note(line, format!("pool {}", pool.name), why, instead);
    if pool.proxy_protocol.take().is_some() {
        let why = "Guideway opens no connection of its own in this mode, and backends see the client's address anyway";
        found.note(line, format!("pool {}: PROXY protocol", pool.name), why, "switch it off on the backends");
    }
}

/// Where nobody rewrites ports, backends listen on the VIP's.
fn ports(pool: &mut Pool, found: &mut Found) {
    let of_vips: Vec<Ports> = found.vips.iter().filter(|vip| vip.pool == pool.name).map(|vip| vip.ports).collect();
    let same = |port: u16| of_vips.iter().all(|vip| matches!(vip, Ports::One(of_vip) if *of_vip == port));
    let mut moved = None;
    for backend in &mut pool.backends {
        backend.port = backend.port.filter(|port| !same(*port));
        if !pool.forward.rewrites()
            && let Some(port) = backend.port.take()
            && !of_vips.is_empty()
        {
            moved = moved.or(Some((backend.line, port)));
        }
    }
    if let Some((line, port)) = moved {
        if let Some(health) = &mut pool.health {
            // The check follows the traffic to the VIP's port.
            health.port = health.port.filter(|of_check| *of_check != port);
        }
        let why = format!("forward = \"{}\" leaves the port of a packet as it is", pool.forward.word());
        found.note(
            line,
            format!("port {port} of backends of pool {}", pool.name),
            why,
            "let the backends listen on the VIP's port too",
        );
    }
}

/// Names are unique in a pool; without one, the address is the name.
fn name_backends(pool: &mut Pool) {
    let mut taken = HashSet::new();
    for backend in &mut pool.backends {
        let wanted = backend.name.clone().unwrap_or_else(|| backend.address.to_string());
        let name = unique(&wanted, |name| taken.contains(name));
        backend.name = (name != backend.address.to_string()).then(|| name.clone());
        taken.insert(name);
    }
}

/// Probes whose times Guideway takes, and whose fast interval is not the slower one.
fn probes(pool: &mut Pool, found: &mut Found) {
    let Some(health) = &mut pool.health else { return };
    let (line, notes) = (pool.line, &mut found.notes);
    for (time, what) in [
        (&mut health.interval, "time from check to check"),
        (&mut health.fast_interval, "time to the next check after a failure"),
        (&mut health.timeout, "time limit of a check"),
    ] {
        *time = time.map(|time| clamped(time, &PROBED, what, line, notes));
    }
    let interval = health.interval.unwrap_or(crate::health::OF_PROBER.0);
    health.fast_interval = health.fast_interval.filter(|fast| *fast <= interval);
}

/// `time`, or the nearest that `range` has, which is told.
fn clamped(
    time: Duration,
    range: &std::ops::RangeInclusive<Duration>,
    what: &str,
    line: usize,
    notes: &mut Vec<Note>,
) -> Duration {
    let near = time.clamp(*range.start(), *range.end());
    if near != time {
        notes.push(Note {
            line: Some(line),
            what: format!("{what}: {time:?}"),
            why: format!("Guideway takes {:?} to {:?}", range.start(), range.end()),
            instead: format!("it is {near:?} now"),
        });
    }
    near
}
