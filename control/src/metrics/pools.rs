//! Families of VIPs, pools and backends.

use super::families::Families;
use super::sample::{BackendSample, PoolSample, Sample};
use crate::consistency::plan::Waiting;
use crate::control::sessions_of;
use crate::status::model::{CheckStatus, TrafficStatus};
use crate::status::pools::{WORDS, moved, slots};
use guideway_config::model::Backend;
use std::collections::HashSet;
use std::fmt;

/// A counter of some traffic.
type Part = fn(TrafficStatus) -> u64;

pub(super) fn vips(families: &mut Families<'_>, sample: &Sample) -> fmt::Result {
    let config = &sample.config;
    let texts: Vec<[String; 3]> = config
        .vips
        .iter()
        .map(|vip| [vip.address.to_string(), vip.protocol.to_string(), vip.port.to_string()])
        .collect();
    let each = || {
        sample.vip_ids.iter().zip(config.vips.iter().zip(&texts)).map(|(id, (vip, [address, protocol, port]))| {
            let pool = config.pools[vip.pool].name.as_str();
            let labels = [("address", address.as_str()), ("protocol", protocol), ("port", port), ("pool", pool)];
            (labels, id, vip.pool)
        })
    };
    let traffic =
        |part: Part| each().map(move |(labels, id, _)| (labels, part(sample.beginnings.of_vip(&sample.counters, *id))));
    families.counters("vip_packets", "Packets sent to backends for a VIP.", traffic(|traffic| traffic.packets))?;
    families.counters("vip_bytes", "Bytes sent to backends for a VIP.", traffic(|traffic| traffic.bytes))?;
    let serving = |pool: &PoolSample| pool.table.slots().iter().any(|slot| !slot.is_empty());
    families.gauges(
        "vip_serving",
        "Whether any backend may serve the VIP.",
        each().map(|(labels, _, pool)| (labels, u64::from(sample.pools.get(pool).is_some_and(serving)))),
    )
}

/// A number of one pool: name, help, what it is.
type PoolGauge = (&'static str, &'static str, fn(&PoolSample) -> u64);

const POOL_GAUGES: [PoolGauge; 6] = [
    ("pool_table_slots", "Slots of the pool's table.", |pool| u64::from(pool.table.size())),
    ("pool_moved_slots", "Slots that serve away from their owner, since that one does not serve.", |pool| {
        u64::from(moved(&pool.table, &pool.undisturbed))
    }),
    ("pool_differing_slots", "Slots whose flows from before have another backend than new ones.", |pool| {
        u64::from(pool.phases.differing)
    }),
    ("pool_settled", "Whether new flows go where they shall, on every worker.", |pool| u64::from(pool.settled)),
    ("pool_waiting_for_pins", "Whether a planned change waits, since too many pins are in use.", |pool| {
        u64::from(pool.waiting == Some(Waiting::Pins))
    }),
    ("pool_slow_backends", "Backends whose last round trip took more than half of the check's timeout.", |pool| {
        pool.backends.iter().filter(|backend| backend.check.is_some_and(|check| check.slow)).count() as u64
    }),
];

pub(super) fn pools(families: &mut Families<'_>, sample: &Sample) -> fmt::Result {
    let each = || sample.config.pools.iter().map(|of_config| of_config.name.as_str()).zip(&sample.pools);
    let states = |(name, pool): (_, &PoolSample)| {
        WORDS.map(|word| {
            let count = pool.backends.iter().filter(|backend| backend.state == word).count();
            ([("pool", name), ("state", word)], count as u64)
        })
    };
    families.gauges("pool_backends", "Backends of a pool, by state.", each().flat_map(states))?;
    let phases = |(name, pool): (_, &PoolSample)| {
        let counts = &pool.phases;
        [("armed", counts.armed), ("transition", counts.transition), ("folded", counts.folded), ("look", counts.look)]
            .map(|(phase, count)| ([("pool", name), ("phase", phase)], count))
    };
    families.gauges("pool_changing_slots", "Slots that change, by phase; none at rest.", each().flat_map(phases))?;
    for (name, help, value) in POOL_GAUGES {
        families.gauges(name, help, each().map(|(pool, of)| ([("pool", pool)], value(of))))?;
    }
    Ok(())
}

pub(super) fn backends(families: &mut Families<'_>, sample: &Sample) -> fmt::Result {
    let each = || {
        sample.config.pools.iter().zip(&sample.pools).flat_map(|(of_config, pool)| {
            let backends = of_config.backends.iter().zip(&pool.backends);
            backends.map(|(named, backend)| {
                ([("pool", of_config.name.as_str()), ("backend", named.name.as_str())], named, backend)
            })
        })
    };
    let traffic = |part: Part| {
        each()
            .map(move |(labels, _, backend)| (labels, part(sample.beginnings.of_backend(&sample.counters, backend.id))))
    };
    families.counters("backend_packets", "Packets sent to a backend.", traffic(|traffic| traffic.packets))?;
    families.counters("backend_bytes", "Bytes sent to a backend.", traffic(|traffic| traffic.bytes))?;
    for (name, help, value) in BACKEND_GAUGES {
        families.gauges(name, help, each().map(|(labels, named, backend)| (labels, value(named, backend))))?;
    }
    let slots = sample.pools.iter().flat_map(|pool| slots(&pool.table, pool.backends.len()));
    families.gauges(
        "backend_slots",
        "Slots of the table that name the backend.",
        each().zip(slots).map(|((labels, ..), slots)| (labels, slots)),
    )?;
    families.counters(
        "backend_transitions",
        "How often the backend's health changed.",
        each().map(|(labels, _, backend)| (labels, backend.transitions)),
    )?;
    let results = |check: CheckStatus| [("answered", check.answered), ("failed", check.failed), ("void", check.void)];
    families.counters(
        "backend_probes",
        "Probes of the backend by result; none if it has no checks. Starts anew after 4,294,967,295.",
        each().flat_map(|([pool, name], _, backend)| {
            let rows = backend.check.map(results).into_iter().flatten();
            rows.map(move |(result, count)| ([pool, name, ("result", result)], count))
        }),
    )?;
    let rtt = each().filter_map(|(labels, _, backend)| {
        Some((labels, backend.check.and_then(|check| check.rtt_microseconds)? / 1e6))
    });
    families.gauges("backend_check_rtt_seconds", "The round trip of the last answer.", rtt)?;
    let is_nat: HashSet<&str> =
        sample.config.pools.iter().filter(|pool| pool.forward.is_nat()).map(|pool| pool.name.as_str()).collect();
    if is_nat.is_empty() {
        return Ok(());
    }
    let sessions = each().filter(|([(_, pool), _], ..)| is_nat.contains(pool));
    families.gauges(
        "backend_sessions",
        "Sessions with the backend now.",
        sessions.map(|(labels, _, backend)| (labels, sessions_of(&sample.counters, backend.id))),
    )?;
    let ports = each().filter_map(|(labels, _, backend)| Some((labels, backend.source_ports?)));
    let ports: Vec<_> = ports.collect();
    if ports.is_empty() {
        return Ok(());
    }
    let states = ports.iter().flat_map(|([pool, name], of_backend)| {
        [("in_use", of_backend.in_use), ("resting", of_backend.resting)]
            .map(|(state, count)| ([*pool, *name, ("state", state)], count))
    });
    families.gauges(
        "backend_source_ports",
        "Source ports that no new session with the backend can have, by whether a session has them or they rest.",
        states,
    )?;
    families.gauges(
        "backend_source_ports_capacity",
        "Source ports that there are for the backend: of all source addresses, at all workers.",
        ports.iter().map(|(labels, of_backend)| (*labels, of_backend.total)),
    )
}

/// A number of one backend: name, help, what it is.
type BackendGauge = (&'static str, &'static str, fn(&Backend, &BackendSample) -> u64);

const BACKEND_GAUGES: [BackendGauge; 4] = [
    ("backend_up", "Whether the backend's check lets it serve; one without checks is up.", |_, backend| {
        u64::from(backend.is_up)
    }),
    ("backend_enabled", "Whether the backend gets new flows, as far as operators are concerned.", |_, backend| {
        u64::from(backend.takes_new)
    }),
    ("backend_weight", "The backend's share, relative to the others.", |named, _| u64::from(named.weight)),
    ("backend_pins", "Flows that are known to be on the backend.", |_, backend| u64::from(backend.pins)),
];
