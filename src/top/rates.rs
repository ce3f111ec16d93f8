//! What changed between two statuses, by second.

use guideway_control::status::model::{BackendStatus, PoolStatus, Status, TrafficStatus, VipStatus, WorkerStatus};
use std::collections::{BTreeMap, HashMap, VecDeque};

/// Points that a sparkline remembers.
const REMEMBERED: usize = 240;

/// Packets and bits by second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Flow {
    pub(super) packets: f64,
    pub(super) bits: f64,
}

impl Flow {
    fn between(old: TrafficStatus, new: TrafficStatus, seconds: f64) -> Self {
        Self { packets: per(old.packets, new.packets, seconds), bits: 8.0 * per(old.bytes, new.bytes, seconds) }
    }
}

/// One worker meanwhile.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Work {
    /// Share of its time in polls that found something, 0 to 1.
    pub(super) busy: f64,
    /// Packets in a burst that had any.
    pub(super) fill: f64,
    pub(super) received: f64,
    pub(super) sent: f64,
    pub(super) dropped: f64,
}

/// Rates of everything that the latest status has, in its order. All zero after the first one.
#[derive(Clone, Debug, Default)]
pub(super) struct Rates {
    pub(super) received: f64,
    pub(super) sent: f64,
    pub(super) dropped: f64,
    /// Towards backends.
    pub(super) bits: f64,
    pub(super) vips: Vec<Flow>,
    /// By pool, and in it by backend.
    pub(super) backends: Vec<Vec<Flow>>,
    pub(super) workers: Vec<Work>,
    pub(super) drops: BTreeMap<String, f64>,
}

/// The rate of a counter. One that went back began anew: nothing is known then.
fn per(old: u64, new: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { new.saturating_sub(old) as f64 / seconds } else { 0.0 }
}

fn quotient(a: f64, b: f64) -> f64 {
    if b > 0.0 { a / b } else { 0.0 }
}

/// What names a VIP.
pub(super) fn vip_key(vip: &VipStatus) -> String {
    format!("{} {} {}", vip.address, vip.protocol, vip.port)
}

impl Rates {
    /// From `old` to `new`. Another process than before begins anew.
    pub(super) fn between(old: Option<&Status>, new: &Status) -> Self {
        let nothing = Status::default();
        let old = old.filter(|old| old.pid == new.pid && old.uptime_seconds < new.uptime_seconds);
        let seconds = old.map_or(0.0, |old| new.uptime_seconds - old.uptime_seconds);
        let old = old.unwrap_or(&nothing);
        let rate = |old, new| per(old, new, seconds);
        let vips = vips(&old.vips, &new.vips, seconds);
        Self {
            received: rate(old.packets.received, new.packets.received),
            sent: rate(old.packets.sent, new.packets.sent),
            dropped: rate(old.packets.dropped, new.packets.dropped),
            bits: vips.iter().map(|flow| flow.bits).sum(),
            backends: backends(&old.pools, &new.pools, seconds),
            workers: workers(&old.workers, &new.workers, seconds),
            drops: drops(&old.drops, &new.drops, seconds),
            vips,
        }
    }

    /// Towards the backends of a pool.
    pub(super) fn pool(&self, index: usize) -> Flow {
        let backends = self.backends.get(index).into_iter().flatten();
        backends
            .fold(Flow::default(), |sum, flow| Flow { packets: sum.packets + flow.packets, bits: sum.bits + flow.bits })
    }
}

fn vips(old: &[VipStatus], new: &[VipStatus], seconds: f64) -> Vec<Flow> {
    let old: HashMap<String, TrafficStatus> = old.iter().map(|vip| (vip_key(vip), vip.traffic)).collect();
    let flow = |vip: &VipStatus| {
        let before = old.get(&vip_key(vip)).copied();
        before.map_or_else(Flow::default, |before| Flow::between(before, vip.traffic, seconds))
    };
    new.iter().map(flow).collect()
}

fn backends(old: &[PoolStatus], new: &[PoolStatus], seconds: f64) -> Vec<Vec<Flow>> {
    // While one replaces another, two of a pool have the same name: the address tells them apart.
    let key = |pool: &'_ PoolStatus, backend: &'_ BackendStatus| {
        (pool.name.clone(), backend.name.clone(), backend.address.clone())
    };
    let all =
        old.iter().flat_map(|pool| pool.backends.iter().map(move |backend| (key(pool, backend), backend.traffic)));
    let before: HashMap<_, TrafficStatus> = all.collect();
    let flow = |pool: &PoolStatus, backend: &BackendStatus| {
        let before = before.get(&key(pool, backend)).copied();
        before.map_or_else(Flow::default, |before| Flow::between(before, backend.traffic, seconds))
    };
    new.iter().map(|pool| pool.backends.iter().map(|backend| flow(pool, backend)).collect()).collect()
}

fn workers(old: &[WorkerStatus], new: &[WorkerStatus], seconds: f64) -> Vec<Work> {
    let work = |worker: &WorkerStatus| {
        let Some(before) = old.iter().find(|before| before.core == worker.core) else { return Work::default() };
        let rate = |old, new| per(old, new, seconds);
        let received = worker.packets.received.saturating_sub(before.packets.received);
        Work {
            busy: quotient(worker.busy_seconds - before.busy_seconds, worker.seconds - before.seconds),
            fill: quotient(received as f64, worker.bursts.saturating_sub(before.bursts) as f64),
            received: rate(before.packets.received, worker.packets.received),
            sent: rate(before.packets.sent, worker.packets.sent),
            dropped: rate(before.packets.dropped, worker.packets.dropped),
        }
    };
    new.iter().map(work).collect()
}

fn drops(old: &BTreeMap<String, u64>, new: &BTreeMap<String, u64>, seconds: f64) -> BTreeMap<String, f64> {
    let rate = |(reason, count): (&String, &u64)| {
        // Reasons that never happened are left out of a status: they count from zero.
        (reason.clone(), per(old.get(reason).copied().unwrap_or(0), *count, seconds))
    };
    new.iter().map(rate).collect()
}

/// The last values of one rate, the oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct History(VecDeque<f64>);

impl History {
    pub(super) fn push(&mut self, value: f64) {
        if self.0.len() == REMEMBERED {
            self.0.pop_front();
        }
        self.0.push_back(value);
    }

    /// The last `width` values as bars; the largest of them is a whole one.
    pub(super) fn bars(&self, width: usize) -> String {
        const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
        let shown = self.0.iter().skip(self.0.len().saturating_sub(width));
        let most = shown.clone().copied().fold(0.0, f64::max);
        let bar = |value: &f64| {
            if *value <= 0.0 || most <= 0.0 {
                ' '
            } else {
                BARS[((value / most * 8.0).ceil() as usize).clamp(1, 8) - 1]
            }
        };
        let bars: String = shown.map(bar).collect();
        format!("{bars:>width$}")
    }

    /// The last `width` values, for a chart.
    pub(super) fn values(&self, width: usize) -> Vec<u64> {
        let empty = width.saturating_sub(self.0.len());
        let shown = self.0.iter().skip(self.0.len().saturating_sub(width));
        std::iter::repeat_n(0, empty).chain(shown.map(|value| value.round() as u64)).collect()
    }
}

/// A number as people read it: 12.3k, 4.56M.
pub(super) fn short(value: f64) -> String {
    const UNITS: [&str; 5] = ["", "k", "M", "G", "T"];
    let mut scaled = value;
    let mut unit = 0;
    while scaled >= 1_000.0 && unit + 1 < UNITS.len() {
        scaled /= 1_000.0;
        unit += 1;
    }
    match scaled {
        _ if unit == 0 && scaled.fract() == 0.0 => format!("{scaled:.0}"),
        100.0.. => format!("{scaled:.0}{}", UNITS[unit]),
        10.0.. => format!("{scaled:.1}{}", UNITS[unit]),
        _ => format!("{scaled:.2}{}", UNITS[unit]),
    }
}
