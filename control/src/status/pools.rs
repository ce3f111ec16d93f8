//! VIPs, pools and backends in `status`.

use super::checks::{Checks, Known, asked, checks, details, is_held, share, together};
use super::model::{BackendStatus, PoolStatus, SourcePortsStatus, TransitionStatus, VipStatus};
use crate::checks::Asked;
use crate::control::{Control, sessions_of};
use crate::rt::Report;
use crate::source_ports::PortUse;
use crate::state::{Admin, BackendHealth, BackendState, PoolState, Stage};
use guideway_config::model as config;
use guideway_dataplane::ids::{BackendId, VipId};
use guideway_dataplane::table::{Slot, Table};
use guideway_dataplane::time::Nanos;
use guideway_dataplane::wire::ethernet::format_mac;
use std::time::UNIX_EPOCH;

/// One pool, by its index.
#[must_use]
pub fn pool(control: &Control, report: &Report, index: usize, now: Nanos) -> PoolStatus {
    pool_status(control, index, &checks(report), now)
}

/// One backend; `None` if it is gone.
#[must_use]
pub fn backend(control: &Control, report: &Report, id: BackendId) -> Option<BackendStatus> {
    let state = control.state();
    let (pool, index) = state.find(id)?;
    let (of_pool, of_config) = (&state.pools[pool.index()], &state.config.pools[pool.index()]);
    let slots = current(of_pool).slots().iter().filter(|slot| slot.index() == index).count() as u32;
    let asked = asked(state, pool.index());
    let checks = checks(report);
    let known = (asked.as_slice(), checks.get(&id).map_or(&[][..], Vec::as_slice));
    Some(backend_status(control, &of_pool.backends[index], (of_config, &of_config.backends[index]), slots, known))
}

pub(super) fn vip_status(control: &Control, id: VipId, vip: &config::Vip) -> VipStatus {
    let pool = &control.state().pools[vip.pool];
    VipStatus {
        address: vip.address.to_string(),
        protocol: vip.protocol.to_string(),
        port: vip.port.to_string(),
        pool: control.state().config.pools[vip.pool].name.clone(),
        serving: current(pool).slots().iter().any(|slot| !slot.is_empty()),
        traffic: control.vip_traffic(id),
    }
}

/// The table that workers use now; the base table before the first snapshot was built.
pub(crate) fn current(pool: &PoolState) -> &Table {
    pool.built.tables().first().unwrap_or_else(|| pool.plan.undisturbed())
}

pub(super) fn pool_status(control: &Control, index: usize, checks: &Checks<'_>, now: Nanos) -> PoolStatus {
    let (pool, of) = (&control.state().pools[index], &control.state().config.pools[index]);
    let table = current(pool);
    let slots = slots(table, pool.backends.len());
    let backends = pool.backends.iter().zip(&of.backends).zip(slots);
    let asked = asked(control.state(), index);
    let known = |id| (asked.as_slice(), checks.get(&id).map_or(&[][..], Vec::as_slice));
    PoolStatus {
        name: of.name.clone(),
        forward: of.forward.to_string(),
        table_size: table.size(),
        slots_moved: moved(table, pool.plan.undisturbed()),
        table_digest: format!("{:016x}", digest(table, &of.backends)),
        transition: transition_status(control, pool, now),
        backends: backends
            .map(|((backend, named), slots)| backend_status(control, backend, (of, named), slots, known(backend.id)))
            .collect(),
    }
}

/// Slots of each of a pool's backends.
pub(crate) fn slots(table: &Table, backends: usize) -> Vec<u32> {
    let mut slots = vec![0; backends];
    for slot in table.slots() {
        if let Some(count) = slots.get_mut(slot.index()) {
            *count += 1;
        }
    }
    slots
}

/// Slots whose owner differs from that of the undisturbed table.
pub(crate) fn moved(table: &Table, undisturbed: &Table) -> u32 {
    let both = table.slots().iter().zip(undisturbed.slots());
    both.filter(|(now, base)| now.index() != base.index()).count() as u32
}

fn transition_status(control: &Control, pool: &PoolState, now: Nanos) -> TransitionStatus {
    let counts = pool.plan.phases().counts();
    TransitionStatus {
        armed: counts.armed,
        transition: counts.transition,
        folded: counts.folded,
        look: counts.look,
        differing: counts.differing,
        until_seconds: counts.until.map(|until| until.since(now).as_secs_f64()),
        waiting: pool.plan.waiting().map(|waiting| waiting.label().to_owned()),
        settled: is_settled(control, pool),
        tracking: if pool.plan.is_always() { "always" } else { "transition" }.to_owned(),
    }
}

/// Whether new flows go where they shall. Applied means: in use on every worker.
pub(crate) fn is_settled(control: &Control, pool: &PoolState) -> bool {
    pool.plan.is_settled() && !pool.is_stale() && control.generation() == control.acknowledged()
}

const FNV_START: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

/// FNV-1a, 64 bits: tells apart what is different by accident, not on purpose.
pub(crate) fn fnv(words: impl Iterator<Item = u64>) -> u64 {
    words.fold(FNV_START, |hash, word| (hash ^ word).wrapping_mul(FNV_PRIME))
}

/// FNV-1a, 64 bits, over the names of the slots' owners: for comparing tables, not against anyone. Names, since the place
/// of a backend in its pool depends on what was added and removed before.
fn digest(table: &Table, backends: &[config::Backend]) -> u64 {
    let names: Vec<u64> = backends.iter().map(|backend| fnv(backend.name.bytes().map(u64::from))).collect();
    fnv(table.slots().iter().map(|slot: &Slot| names.get(slot.index()).copied().unwrap_or(0)))
}

fn backend_status(
    control: &Control,
    backend: &BackendState,
    (pool, of): (&config::Pool, &config::Backend),
    slots: u32,
    (asked, known): (&[Asked], &[Known<'_>]),
) -> BackendStatus {
    let state = control.state();
    let mac = backend.hops.iter().find_map(|hop| state.neighbors.get(&(hop.link, hop.neighbor)));
    BackendStatus {
        name: of.name.clone(),
        address: of.address.to_string(),
        weight: of.weight,
        state: word(backend, is_held(known)).to_owned(),
        admin: match backend.admin {
            Admin::Enabled => "enabled",
            Admin::Drained => "draining",
            Admin::Disabled => "disabled",
        }
        .to_owned(),
        stage: match backend.stage {
            Stage::Joining => "joining",
            Stage::Serving => "serving",
            Stage::Leaving => "leaving",
            Stage::Left => "left",
        }
        .to_owned(),
        drained: is_drained(backend),
        forced: backend.forced,
        reason: backend.reason.map(|reason| reason.to_string()),
        since_unix: backend.since.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64(),
        next_hop_mac: mac.map(|mac| format_mac(*mac)),
        slots,
        pins: backend.pins,
        sessions: sessions_of(control.counters(), backend.id),
        source_ports: control
            .source_ports_of(pool, of.address, backend.id)
            .map(|PortUse { in_use, resting, total }| SourcePortsStatus { in_use, resting, total }),
        traffic: control.backend_traffic(backend.id),
        share: share(backend),
        check: together(known),
        checks: details(asked, known),
    }
}

/// Whether no flow can be on a backend any more. A forced one's flows are no longer its own: only slots count.
fn is_drained(backend: &BackendState) -> bool {
    backend.is_draining() && (backend.is_empty || (backend.forced && backend.unused_since.is_some()))
}

/// Every [`word`].
pub(crate) const WORDS: [&str; 9] =
    ["up", "unknown", "down", "held down", "joining", "leaving", "disabled", "draining", "drained"];

/// What a backend is to an operator: a failure first, then what was asked for, then its health.
pub(crate) fn word(backend: &BackendState, held: bool) -> &'static str {
    match (backend.health, backend.stage, backend.admin) {
        (BackendHealth::Down, ..) if held => "held down",
        (BackendHealth::Down, ..) => "down",
        (_, Stage::Joining, _) => "joining",
        (_, Stage::Leaving | Stage::Left, _) => "leaving",
        (_, Stage::Serving, Admin::Disabled) => "disabled",
        (_, Stage::Serving, Admin::Drained) if is_drained(backend) => "drained",
        (_, Stage::Serving, Admin::Drained) => "draining",
        (BackendHealth::Up, Stage::Serving, Admin::Enabled) => "up",
        (BackendHealth::Unknown, Stage::Serving, Admin::Enabled) => "unknown",
    }
}
