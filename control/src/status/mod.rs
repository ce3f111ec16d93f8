//! `status`: how things are, put together from the state, the workers' counters and the real-time thread's report.

pub(crate) mod checks;
pub mod model;
pub(crate) mod pools;

use crate::consistency::plan::Waiting;
use crate::control::{CROWDED_PERCENT, Control};
use crate::exception::TapReport;
use crate::neighbor;
use crate::rt::Report;
use crate::topology::link_name;
use checks::checks;
pub use checks::{asked, history};
use guideway_config::model as config;
use guideway_dataplane::counters::{Counter, PinCounters, SessionCounters, WorkerCounters};
use guideway_dataplane::drop_reason::DropReason;
use guideway_dataplane::ids::PortId;
use guideway_dataplane::punt::PuntClass;
use guideway_dataplane::time::Nanos;
use guideway_dataplane::wire::ethernet::format_mac;
use model::{
    ControlStatus, NeighborStatus, PinsStatus, PoolStatus, PortStatus, SessionsStatus, Status, TapStatus, Totals,
    WorkerStatus,
};
pub(crate) use pools::fnv;
pub use pools::{backend, pool};
use pools::{pool_status, vip_status};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Warnings of one status: when a rack is gone, its first machines tell the story.
const WARNINGS_SHOWN: usize = 32;

/// How things are. `report` is the real-time thread's part, `now` the workers' clock.
#[must_use]
pub fn status(control: &Control, report: &Report, now: Nanos) -> Status {
    let state = control.state();
    let config = &state.config;
    let counters = control.counters();
    let checks = checks(report);
    let pools: Vec<PoolStatus> =
        (0..state.pools.len()).map(|index| pool_status(control, index, &checks, now)).collect();
    let pins = pins_status(control);
    let workers: Vec<WorkerStatus> =
        counters.iter().zip(&config.cores.workers).map(|(of, core)| worker_status(of, &config.cores, *core)).collect();
    Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        uptime_seconds: control.uptime().as_secs_f64(),
        generation: control.generation(),
        acknowledged_generation: control.acknowledged(),
        vips: state.vip_ids.iter().zip(&config.vips).map(|(id, vip)| vip_status(control, *id, vip)).collect(),
        ports: (0..).zip(&config.ports).map(|(id, port)| port_status(control, PortId(id), port)).collect(),
        neighbors: report.neighbors.iter().map(|neighbor| neighbor_status(config, neighbor)).collect(),
        exception: report.taps.iter().map(|tap| tap_status(config, tap)).collect(),
        packets: workers.iter().fold(Totals::default(), |sum, worker| add(sum, worker.packets)),
        drops: drops(counters),
        punted: punted(counters),
        control: control_status(control, report),
        drain: control.drain_status(now),
        differences: control.saved().lines(),
        state_file: config.state_file.as_ref().map(|path| path.display().to_string()),
        warnings: warnings(control, report, &pools, &workers, pins),
        pools,
        pins,
        sessions: sessions_status(control),
        workers,
    }
}

/// Drops by reason over these workers; reasons that never happened are left out.
#[must_use]
pub fn drops(counters: &[Arc<WorkerCounters>]) -> BTreeMap<String, u64> {
    let count = |reason: &DropReason| counters.iter().map(|c| c.drops[*reason as usize].get()).sum::<u64>();
    let all = DropReason::ALL.iter().map(|reason| (reason.label().to_owned(), count(reason)));
    all.filter(|(_, count)| *count > 0).collect()
}

fn punted(counters: &[Arc<WorkerCounters>]) -> BTreeMap<String, u64> {
    let count = |class: PuntClass| counters.iter().map(|c| c.punted[class as usize].get()).sum::<u64>();
    PuntClass::ALL.iter().map(|class| (class.label().to_owned(), count(*class))).collect()
}

/// What one worker saw.
#[must_use]
pub fn totals(counters: &WorkerCounters) -> Totals {
    Totals {
        received: counters.received.packets.get(),
        injected: counters.injected.get(),
        sent: counters.sent.packets.get(),
        handed_off: counters.handed_off.get(),
        held: counters.held.get(),
        released: counters.released.get(),
        added: counters.added.get(),
        told_too_big: counters.told_too_big.get(),
        dropped: counters.dropped(),
        punted: counters.punted.iter().map(Counter::get).sum(),
    }
}

fn add(a: Totals, b: Totals) -> Totals {
    Totals {
        received: a.received + b.received,
        injected: a.injected + b.injected,
        sent: a.sent + b.sent,
        handed_off: a.handed_off + b.handed_off,
        held: a.held + b.held,
        released: a.released + b.released,
        added: a.added + b.added,
        told_too_big: a.told_too_big + b.told_too_big,
        dropped: a.dropped + b.dropped,
        punted: a.punted + b.punted,
    }
}

fn port_status(control: &Control, id: PortId, port: &config::Port) -> PortStatus {
    let state = &control.state().ports[id.index()];
    PortStatus {
        name: port.name.clone(),
        device: port.device.clone(),
        driver: control.devices().driver(id),
        mac: format_mac(state.mac),
        link_up: state.up,
        counters: control.devices().counters(id),
    }
}

fn worker_status(counters: &WorkerCounters, cores: &config::Cores, core: usize) -> WorkerStatus {
    let ratio = |a: u64, b: u64| if b == 0 { 0.0 } else { a as f64 / b as f64 };
    let seconds = |nanos: &Counter| Duration::from_nanos(nanos.get()).as_secs_f64();
    WorkerStatus {
        core,
        idle: cores.idle.label().to_owned(),
        power: cores.power.label().to_owned(),
        sleeps: counters.sleeps.get(),
        busy_share: ratio(counters.busy_nanos.get(), counters.total_nanos.get()),
        busy_seconds: seconds(&counters.busy_nanos),
        seconds: seconds(&counters.total_nanos),
        bursts: counters.bursts.get(),
        burst_fill: ratio(counters.received.packets.get(), counters.bursts.get()),
        polls: counters.polls.get(),
        stalls: counters.stalls.get(),
        packets: totals(counters),
    }
}

/// Read in place: workers go on.
fn pins_status(control: &Control) -> PinsStatus {
    let sum = |of: fn(&PinCounters) -> &Counter| control.counters().iter().map(|c| of(&c.pins).get()).sum();
    let pins = &control.state().pins;
    let capacity = pins.capacity() as u64;
    let in_use = control.pins_in_use().min(capacity);
    PinsStatus {
        capacity,
        in_use,
        occupancy: in_use as f64 / capacity.max(1) as f64,
        inserted: sum(|pins| &pins.inserted),
        removed: sum(|pins| &pins.removed),
        failed: sum(|pins| &pins.failed),
        evicted_embryonic: sum(|pins| &pins.evicted_embryonic),
        evicted_single: sum(|pins| &pins.evicted_single),
        evicted_confirmed: sum(|pins| &pins.evicted_confirmed),
        contended: sum(|pins| &pins.contended),
        tick_seconds: pins.clock().length().as_secs_f64(),
    }
}

fn sessions_status(control: &Control) -> Option<SessionsStatus> {
    let config = &control.state().config;
    if !config.pools.iter().any(|pool| pool.forward.is_nat()) {
        return None;
    }
    let counters = control.counters();
    let sum = |of: fn(&SessionCounters) -> &Counter| counters.iter().map(|c| of(&c.sessions).get()).sum();
    Some(SessionsStatus {
        capacity: u64::from(config.sessions) * counters.len() as u64,
        live: sum(|sessions| &sessions.live),
        created: sum(|sessions| &sessions.created),
        expired: sum(|sessions| &sessions.expired),
        evicted: sum(|sessions| &sessions.evicted),
        proxy_headers: sum(|sessions| &sessions.headers),
        retried: sum(|sessions| &sessions.retried),
        unanswered: sum(|sessions| &sessions.unanswered),
        reset: sum(|sessions| &sessions.reset),
        syn_cookies: sum(|sessions| &sessions.cookies),
        syn_proven: sum(|sessions| &sessions.proven),
    })
}

fn neighbor_status(config: &config::Config, neighbor: &neighbor::Status) -> NeighborStatus {
    NeighborStatus {
        port: link_name(config, neighbor.link),
        address: neighbor.address.to_string(),
        mac: neighbor.mac.map(format_mac),
        state: match neighbor.state {
            neighbor::State::Static => "static",
            neighbor::State::Unresolved => "unresolved",
            neighbor::State::Reachable => "reachable",
            neighbor::State::Stale => "stale",
            neighbor::State::Probing => "probing",
        }
        .to_owned(),
        age_seconds: neighbor.age.as_secs_f64(),
    }
}

fn tap_status(config: &config::Config, tap: &TapReport) -> TapStatus {
    let TapReport { port, device, to_kernel, to_kernel_drops, from_kernel, from_kernel_drops } = tap.clone();
    let port = config.ports[port.index()].name.clone();
    TapStatus { port, device, to_kernel, to_kernel_drops, from_kernel, from_kernel_drops }
}

fn control_status(control: &Control, report: &Report) -> ControlStatus {
    let (buffers_in_use, buffers) = control.devices().buffers();
    let prober = &report.prober;
    let ignored =
        prober.malformed + prober.not_an_answer + prober.not_ours + prober.wrong_cookie + prober.stale + prober.late;
    ControlStatus {
        probes_sent: prober.sent,
        probes_answered: prober.answered,
        probes_void: prober.void,
        probe_answers_ignored: ignored,
        probe_answers_lost: report.lost,
        probes_out_of_turn: report.out_of_turn,
        unreachable_errors: report.suspicions,
        neighbor_answers: report.responder.arp + report.responder.ndp,
        echo_answers: report.responder.echo,
        inject_full: report.inject_full,
        no_buffer: report.no_buffer,
        buffers_in_use,
        buffers,
    }
}

fn warnings(
    control: &Control,
    report: &Report,
    pools: &[PoolStatus],
    workers: &[WorkerStatus],
    pins: PinsStatus,
) -> Vec<String> {
    let mut warnings = control.conflicts();
    warnings.extend(control.unsaved().map(str::to_owned));
    warnings.extend(control.crowded_source_ports());
    let (void, sent) = (report.prober.void + report.prober.skipped, report.prober.sent);
    if void * 10 > sent {
        warnings.push(format!(
            "{void} of {sent} probes were not judged, since this process was kept from running: deaths are found late; \
             give control and workers cores of their own"
        ));
    }
    if control.generation() != control.acknowledged() {
        warnings.push("a worker does not use the latest snapshot yet".to_owned());
    }
    for worker in workers.iter().filter(|worker| worker.stalls > 0) {
        let WorkerStatus { core, stalls, .. } = worker;
        warnings.push(format!("the worker on core {core} was kept from polling {stalls} times; isolate its core"));
    }
    let crowded = pools.iter().filter(|pool| pool.transition.waiting.as_deref() == Some(Waiting::Pins.label()));
    for PoolStatus { name, .. } in crowded {
        let PinsStatus { in_use, capacity, .. } = pins;
        warnings.push(format!(
            "{name}: a planned change waits: {in_use} of {capacity} pins are in use, and none begins above \
             {CROWDED_PERCENT} %; raise `[state] pins`, or find out who opens so many connections"
        ));
    }
    for pool in pools {
        for backend in &pool.backends {
            let name = format!("{}/{}", pool.name, backend.name);
            if backend.check.is_some_and(|check| check.slow) {
                warnings.push(format!("{name}: its round trip exceeds half of the check's timeout; raise `timeout`"));
            }
            if backend.next_hop_mac.is_none() {
                warnings.push(format!("{name}: its next hop does not answer ARP or NDP; packets to it are dropped"));
            }
        }
    }
    let more = warnings.len().saturating_sub(WARNINGS_SHOWN);
    if more > 0 {
        warnings.truncate(WARNINGS_SHOWN);
        warnings.push(format!("and {more} more warnings"));
    }
    warnings
}
