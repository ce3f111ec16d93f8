//! `status`: how things are, put together from the state, the workers' counters and the real-time thread's report.

pub mod model;

use crate::control::Control;
use crate::exception::TapReport;
use crate::neighbor;
use crate::rt::Report;
use crate::state::{BackendHealth, BackendState, PoolState};
use crate::topology::link_name;
use guideway_config::model as config;
use guideway_dataplane::counters::{Traffic, WorkerCounters};
use guideway_dataplane::drop_reason::DropReason;
use guideway_dataplane::ids::{BackendId, PortId, VipId};
use guideway_dataplane::punt::PuntClass;
use guideway_dataplane::table::Table;
use guideway_dataplane::wire::ethernet::format_mac;
use model::{
    BackendStatus, CheckStatus, ControlStatus, NeighborStatus, PoolStatus, PortStatus, Status, TapStatus, Totals,
    TrafficStatus, VipStatus, WorkerStatus,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

/// Warnings of one status: when a rack is gone, its first machines tell the story.
const WARNINGS_SHOWN: usize = 32;

/// How things are. `report` is the real-time thread's part.
#[must_use]
pub fn status(control: &Control, report: &Report) -> Status {
    let state = control.state();
    let config = &state.config;
    let counters = control.counters();
    let checks: BTreeMap<BackendId, crate::health::Status> = report.health.iter().copied().collect();
    let pools: Vec<PoolStatus> =
        state.pools.iter().zip(&config.pools).map(|(pool, of)| pool_status(control, pool, of, &checks)).collect();
    let workers: Vec<WorkerStatus> =
        counters.iter().zip(&config.cores.workers).map(|(counters, core)| worker_status(counters, *core)).collect();
    Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        uptime_seconds: control.uptime().as_secs_f64(),
        generation: control.generation(),
        acknowledged_generation: control.acknowledged(),
        vips: (0..).zip(&config.vips).map(|(id, vip)| vip_status(control, VipId(id), vip)).collect(),
        ports: (0..).zip(&config.ports).map(|(id, port)| port_status(control, PortId(id), port)).collect(),
        neighbors: report.neighbors.iter().map(|neighbor| neighbor_status(config, neighbor)).collect(),
        exception: report.taps.iter().map(|tap| tap_status(config, tap)).collect(),
        packets: workers.iter().fold(Totals::default(), |sum, worker| add(sum, worker.packets)),
        drops: drops(counters),
        punted: punted(counters),
        control: control_status(control, report),
        warnings: warnings(control, report, &pools, &workers),
        pools,
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

fn traffic<'c>(of: impl Iterator<Item = &'c Traffic>) -> TrafficStatus {
    of.fold(TrafficStatus::default(), |sum, traffic| TrafficStatus {
        packets: sum.packets + traffic.packets.get(),
        bytes: sum.bytes + traffic.bytes.get(),
    })
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
        punted: counters.punted.iter().map(guideway_dataplane::counters::Counter::get).sum(),
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

fn vip_status(control: &Control, id: VipId, vip: &config::Vip) -> VipStatus {
    let pool = &control.state().pools[vip.pool];
    VipStatus {
        address: vip.address.to_string(),
        protocol: vip.protocol.to_string(),
        port: vip.port.to_string(),
        pool: control.state().config.pools[vip.pool].name.clone(),
        serving: current(pool).slots().iter().any(|slot| !slot.is_empty()),
        traffic: traffic(control.counters().iter().filter_map(|counters| counters.vip(id))),
    }
}

/// The table that workers use now; the base table before the first snapshot was built.
fn current(pool: &PoolState) -> &Table {
    pool.built.tables().first().unwrap_or_else(|| pool.plan.undisturbed())
}

fn pool_status(
    control: &Control,
    pool: &PoolState,
    of: &config::Pool,
    checks: &BTreeMap<BackendId, crate::health::Status>,
) -> PoolStatus {
    let table = current(pool);
    let mut slots = vec![0_u32; pool.backends.len()];
    for slot in table.slots() {
        if let Some(count) = slots.get_mut(slot.index()) {
            *count += 1;
        }
    }
    let undisturbed = pool.plan.undisturbed().slots();
    let moved = table.slots().iter().zip(undisturbed).filter(|(now, base)| now.index() != base.index()).count();
    let backends = pool.backends.iter().zip(&of.backends).zip(slots);
    PoolStatus {
        name: of.name.clone(),
        forward: of.forward.to_string(),
        table_size: table.size(),
        slots_moved: moved as u32,
        table_digest: format!("{:016x}", digest(table)),
        backends: backends.map(|((b, of), slots)| backend_status(control, b, of, slots, checks.get(&b.id))).collect(),
    }
}

/// FNV-1a, 64 bits, over the slots' pool-local indices: for comparing tables, not against anyone.
fn digest(table: &Table) -> u64 {
    table
        .slots()
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, slot| (hash ^ slot.index() as u64).wrapping_mul(0x0000_0100_0000_01b3))
}

fn backend_status(
    control: &Control,
    backend: &BackendState,
    of: &config::Backend,
    slots: u32,
    check: Option<&crate::health::Status>,
) -> BackendStatus {
    let state = control.state();
    let own_judgement = match backend.health {
        BackendHealth::Unknown => "unknown",
        BackendHealth::Up => "up",
        BackendHealth::Down => "down",
    };
    let held = check.is_some_and(|check| check.state == crate::health::State::HeldDown);
    let mac = backend.hops.iter().find_map(|hop| state.neighbors.get(&(hop.link, hop.neighbor)));
    BackendStatus {
        name: of.name.clone(),
        address: of.address.to_string(),
        weight: of.weight,
        state: if held && backend.health == BackendHealth::Down { "held down" } else { own_judgement }.to_owned(),
        reason: backend.reason.map(|reason| reason.to_string()),
        since_unix: backend.since.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64(),
        next_hop_mac: mac.map(|mac| format_mac(*mac)),
        slots,
        traffic: traffic(control.counters().iter().filter_map(|counters| counters.backend(backend.id))),
        check: check.map(|check| CheckStatus {
            sent: check.sent,
            answered: check.answered,
            failed: check.failed,
            void: check.void,
            rtt_microseconds: check.rtt.map(|rtt| rtt.as_secs_f64() * 1e6),
            slow: check.slow,
        }),
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

fn worker_status(counters: &WorkerCounters, core: usize) -> WorkerStatus {
    let ratio = |a: u64, b: u64| if b == 0 { 0.0 } else { a as f64 / b as f64 };
    WorkerStatus {
        core,
        busy_share: ratio(counters.busy_nanos.get(), counters.total_nanos.get()),
        burst_fill: ratio(counters.received.packets.get(), counters.bursts.get()),
        polls: counters.polls.get(),
        stalls: counters.stalls.get(),
        packets: totals(counters),
    }
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
        neighbor_answers: report.responder.arp + report.responder.ndp,
        echo_answers: report.responder.echo,
        inject_full: report.inject_full,
        no_buffer: report.no_buffer,
        buffers_in_use,
        buffers,
    }
}

fn warnings(control: &Control, report: &Report, pools: &[PoolStatus], workers: &[WorkerStatus]) -> Vec<String> {
    let mut warnings = control.conflicts();
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
