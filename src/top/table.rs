//! Tables: their columns, and their rows as they are filtered and sorted.

use super::app::{App, Tab};
use super::rates::{Flow, Work, short, vip_key};
use crate::status::duration;
use guideway_control::status::model::{BackendStatus, PoolStatus, Status, VipStatus, WorkerStatus};
use guideway_dataplane::drop_reason::DropReason;
use std::cmp::Ordering;

/// One column: its title and width; right-aligned if it holds numbers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    pub(super) title: &'static str,
    pub(super) width: u16,
    pub(super) number: bool,
}

const fn text(title: &'static str, width: u16) -> Column {
    Column { title, width, number: false }
}

const fn number(title: &'static str, width: u16) -> Column {
    Column { title, width, number: true }
}

const VIPS: &[Column] = &[
    text("vip", 30),
    text("pool", 16),
    text("state", 12),
    number("packets/s", 10),
    number("bit/s", 8),
    number("packets", 10),
    text("lately", 30),
];
const POOLS: &[Column] = &[
    text("pool", 20),
    text("forward", 8),
    number("up", 6),
    number("backends", 8),
    number("packets/s", 10),
    number("bit/s", 8),
    number("slots", 7),
    number("moved", 7),
    number("changing", 8),
    text("waits for", 9),
];
const BACKENDS: &[Column] = &[
    text("backend", 26),
    text("address", 18),
    text("state", 10),
    number("weight", 6),
    number("packets/s", 10),
    number("bit/s", 8),
    number("slots", 7),
    number("pins", 7),
    number("rtt ms", 7),
    text("since, why", 36),
];
const WORKERS: &[Column] = &[
    number("core", 5),
    text("idle", 10),
    number("busy %", 7),
    number("burst", 6),
    number("in/s", 8),
    number("out/s", 8),
    number("drops/s", 8),
    number("stalls", 7),
    text("busy lately", 40),
];
const DROPS: &[Column] = &[text("reason", 24), number("/s", 8), number("dropped", 10), text("meaning", 80)];

/// The columns of a tab.
pub(super) const fn columns(tab: Tab) -> &'static [Column] {
    match tab {
        Tab::Overview => &[],
        Tab::Vips => VIPS,
        Tab::Pools => POOLS,
        Tab::Backends => BACKENDS,
        Tab::Workers => WORKERS,
        Tab::Drops => DROPS,
    }
}

/// How a row is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    Good,
    Quiet,
    Change,
    Bad,
}

/// One cell: what it says, and what it is sorted by.
#[derive(Clone, Debug)]
pub(super) enum Cell {
    Text(String),
    Number(f64, String),
}

impl Cell {
    pub(super) fn text(&self) -> &str {
        match self {
            Self::Text(text) | Self::Number(_, text) => text,
        }
    }

    /// Large numbers first: they are what somebody looks for.
    fn compare(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Number(a, _), Self::Number(b, _)) => b.total_cmp(a),
            (a, b) => a.text().cmp(b.text()),
        }
    }
}

/// One row. Its cells are made when it is shown: there may be ten thousand.
#[derive(Clone, Debug)]
pub(super) struct Listed {
    /// What names it.
    pub(super) key: String,
    /// Pool and backend, if it is one.
    pub(super) backend: Option<(String, String)>,
    of: Of,
}

/// Where a row's thing is in the status.
#[derive(Clone, Copy, Debug)]
enum Of {
    Vip(usize),
    Pool(usize),
    Backend(usize, usize),
    Worker(usize),
    Drop(&'static DropReason),
}

/// The rows of the tab: filtered, then sorted.
pub(super) fn listed(app: &App) -> Vec<Listed> {
    let Some(status) = &app.status else { return Vec::new() };
    let mut rows = all(app.tab, status);
    let filter = app.filter.to_lowercase();
    if !filter.is_empty() {
        rows.retain(|row| row.key.to_lowercase().contains(&filter) || state(status, row).contains(&filter));
    }
    let look = app.look();
    if let Some(column) = look.sort {
        let mut keyed: Vec<(Cell, Listed)> =
            rows.into_iter().map(|row| (cell(app, status, &row, column), row)).collect();
        keyed.sort_by(|(a, _), (b, _)| a.compare(b));
        rows = keyed.into_iter().map(|(_, row)| row).collect();
    }
    if look.reversed {
        rows.reverse();
    }
    rows
}

fn all(tab: Tab, status: &Status) -> Vec<Listed> {
    let row = |key, of| Listed { key, backend: None, of };
    match tab {
        Tab::Overview => Vec::new(),
        Tab::Vips => status.vips.iter().enumerate().map(|(at, vip)| row(vip_key(vip), Of::Vip(at))).collect(),
        Tab::Pools => status.pools.iter().enumerate().map(|(at, pool)| row(pool.name.clone(), Of::Pool(at))).collect(),
        Tab::Backends => {
            let of_pool = |(at, pool): (usize, &PoolStatus)| {
                let backend = |(index, backend): (usize, &BackendStatus)| Listed {
                    key: format!("{}/{} {}", pool.name, backend.name, backend.address),
                    backend: Some((pool.name.clone(), backend.name.clone())),
                    of: Of::Backend(at, index),
                };
                pool.backends.iter().enumerate().map(backend).collect::<Vec<_>>()
            };
            status.pools.iter().enumerate().flat_map(of_pool).collect()
        }
        Tab::Workers => {
            let workers = status.workers.iter().enumerate();
            workers.map(|(at, worker)| row(format!("core {}", worker.core), Of::Worker(at))).collect()
        }
        Tab::Drops => {
            let dropped = DropReason::ALL.iter().filter(|reason| status.drops.contains_key(reason.label()));
            dropped.map(|reason| row(reason.label().to_owned(), Of::Drop(reason))).collect()
        }
    }
}

/// The state that a row's filter sees too.
fn state<'s>(status: &'s Status, row: &Listed) -> &'s str {
    match row.of {
        Of::Vip(at) => serving(&status.vips[at]),
        Of::Backend(pool, at) => &status.pools[pool].backends[at].state,
        Of::Pool(_) | Of::Worker(_) | Of::Drop(_) => "",
    }
}

fn serving(vip: &VipStatus) -> &'static str {
    if vip.serving { "serving" } else { "not serving" }
}

/// All cells of a row.
pub(super) fn cells(app: &App, status: &Status, row: &Listed) -> Vec<Cell> {
    (0..columns(app.tab).len()).map(|column| cell(app, status, row, column)).collect()
}

/// How a row is meant.
pub(super) fn tone(status: &Status, row: &Listed) -> Tone {
    match row.of {
        Of::Vip(at) => {
            if status.vips[at].serving {
                Tone::Good
            } else {
                Tone::Bad
            }
        }
        Of::Pool(at) => pool_tone(&status.pools[at]),
        Of::Backend(pool, at) => backend_tone(&status.pools[pool].backends[at].state),
        Of::Worker(at) => {
            if status.workers[at].stalls > 0 {
                Tone::Change
            } else {
                Tone::Good
            }
        }
        Of::Drop(_) => Tone::Good,
    }
}

fn pool_tone(pool: &PoolStatus) -> Tone {
    if pool.backends.iter().any(|backend| backend_tone(&backend.state) == Tone::Bad) {
        Tone::Bad
    } else if changing(pool) > 0 || !pool.transition.settled {
        Tone::Change
    } else {
        Tone::Good
    }
}

pub(super) fn backend_tone(state: &str) -> Tone {
    match state {
        "up" => Tone::Good,
        "down" | "held down" => Tone::Bad,
        "disabled" | "drained" | "unknown" => Tone::Quiet,
        _ => Tone::Change,
    }
}

fn changing(pool: &PoolStatus) -> u32 {
    let slots = &pool.transition;
    slots.armed + slots.transition + slots.folded + slots.look
}

fn cell(app: &App, status: &Status, row: &Listed, column: usize) -> Cell {
    match row.of {
        Of::Vip(at) => vip_cell(app, &status.vips[at], app.rates.vips.get(at), column),
        Of::Pool(at) => pool_cell(&status.pools[at], app.rates.pool(at), column),
        Of::Backend(pool, at) => {
            let flow = app.rates.backends.get(pool).and_then(|flows| flows.get(at));
            backend_cell(app.now, &status.pools[pool], &status.pools[pool].backends[at], flow, column)
        }
        Of::Worker(at) => worker_cell(app, &status.workers[at], app.rates.workers.get(at), column),
        Of::Drop(reason) => {
            let count = status.drops.get(reason.label()).copied().unwrap_or(0) as f64;
            match column {
                0 => Cell::Text(reason.label().to_owned()),
                1 => rate(app.rates.drops.get(reason.label()).copied().unwrap_or(0.0)),
                2 => rate(count),
                _ => Cell::Text(reason.help().to_owned()),
            }
        }
    }
}

fn rate(value: f64) -> Cell {
    Cell::Number(value, short(value))
}

fn vip_cell(app: &App, vip: &VipStatus, flow: Option<&Flow>, column: usize) -> Cell {
    let flow = flow.copied().unwrap_or_default();
    match column {
        0 => Cell::Text(vip_key(vip)),
        1 => Cell::Text(vip.pool.clone()),
        2 => Cell::Text(serving(vip).to_owned()),
        3 => rate(flow.packets),
        4 => rate(flow.bits),
        5 => rate(vip.traffic.packets as f64),
        _ => Cell::Text(app.of_vips.get(&vip_key(vip)).map(|history| history.bars(30)).unwrap_or_default()),
    }
}

fn pool_cell(pool: &PoolStatus, flow: Flow, column: usize) -> Cell {
    let up = pool.backends.iter().filter(|backend| backend.state == "up" || backend.state == "unknown").count();
    match column {
        0 => Cell::Text(pool.name.clone()),
        1 => Cell::Text(pool.forward.clone()),
        2 => whole(up as u32),
        3 => whole(pool.backends.len() as u32),
        4 => rate(flow.packets),
        5 => rate(flow.bits),
        6 => whole(pool.table_size),
        7 => whole(pool.slots_moved),
        8 => whole(changing(pool)),
        _ => Cell::Text(pool.transition.waiting.clone().unwrap_or_default()),
    }
}

fn whole(count: u32) -> Cell {
    Cell::Number(f64::from(count), count.to_string())
}

fn backend_cell(now: f64, pool: &PoolStatus, backend: &BackendStatus, flow: Option<&Flow>, column: usize) -> Cell {
    let flow = flow.copied().unwrap_or_default();
    let rtt = backend.check.and_then(|check| check.rtt_microseconds);
    match column {
        0 => Cell::Text(format!("{}/{}", pool.name, backend.name)),
        1 => Cell::Text(backend.address.clone()),
        2 => Cell::Text(backend.state.clone()),
        3 => whole(backend.weight),
        4 => rate(flow.packets),
        5 => rate(flow.bits),
        6 => whole(backend.slots),
        7 => whole(backend.pins),
        8 => rtt.map_or_else(|| Cell::Number(-1.0, String::new()), |us| Cell::Number(us, format!("{:.2}", us / 1e3))),
        _ => {
            let reason = backend.reason.as_deref().map(|reason| format!(", {reason}")).unwrap_or_default();
            Cell::Text(format!("{}{reason}", duration((now - backend.since_unix).max(0.0))))
        }
    }
}

fn worker_cell(app: &App, worker: &WorkerStatus, work: Option<&Work>, column: usize) -> Cell {
    let work = work.copied().unwrap_or_default();
    match column {
        0 => Cell::Number(worker.core as f64, worker.core.to_string()),
        1 => Cell::Text(worker.idle.clone()),
        2 => Cell::Number(work.busy, format!("{:.1}", work.busy * 100.0)),
        3 => Cell::Number(work.fill, format!("{:.1}", work.fill)),
        4 => rate(work.received),
        5 => rate(work.sent),
        6 => rate(work.dropped),
        7 => rate(worker.stalls as f64),
        _ => Cell::Text(app.of_workers.get(&worker.core).map(|history| history.bars(40)).unwrap_or_default()),
    }
}
