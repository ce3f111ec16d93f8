//! What a run found, for people and for programs.

mod show;

use crate::clock::Unit;
use crate::mix::Spreading;
use crate::scenario::{Case, Load, Slots, Treatment};
use crate::window::{Feed, Spread, Window};
use guideway_dataplane::parse::Family;
use serde::{Deserialize, Serialize};

/// A run of the benchmark of cycles per packet.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// The release that was measured.
    pub version: String,
    /// What was measured on.
    pub device: String,
    /// The processor's name.
    pub processor: String,
    /// Whether this is a virtual machine.
    pub virtual_machine: bool,
    /// The core that the loop ran on.
    pub core: usize,
    /// What costs are counted in.
    pub unit: Unit,
    /// Units of cost a second.
    pub hz: u64,
    /// Packets that waited between source and worker, of a source on the same core.
    pub lead: usize,
    /// Where packets came from.
    pub feed: Feed,
    /// Percent of the run that the hypervisor kept the core from the kernel; `None` where the kernel does not tell.
    pub steal_percent: Option<f64>,
    /// The cases, in order.
    pub cases: Vec<CaseReport>,
}

/// What one case found. Costs are in units of [`Report::unit`] a packet.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CaseReport {
    /// The case in words, without its numbers.
    pub name: String,
    /// What was done.
    pub treatment: Treatment,
    /// 4 or 6.
    pub ip_version: u8,
    /// What came in.
    pub load: Load,
    /// What the slots were in.
    pub slots: Slots,
    /// Whether a client's address alone decided.
    pub affinity: bool,
    /// Flows.
    pub flows: u32,
    /// VIPs.
    pub vips: u16,
    /// Pools.
    pub pools: u16,
    /// Whether flows were spread over VIPs by Zipf's law; else evenly.
    pub zipf: bool,
    /// Backends of each pool.
    pub backends: u16,
    /// Slots of each pool's table.
    pub table_size: u32,
    /// Bytes of a frame that came in, without frame check sequence.
    pub frame_bytes: usize,
    /// Windows of the case, each with one of the baseline before it.
    pub windows: usize,
    /// Packets in the case's windows.
    pub packets: u64,
    /// Source and sink alone.
    pub baseline: Spread,
    /// Source, treatment and sink.
    pub in_all: Spread,
    /// The treatment: of each pair of windows, the case's cost without the baseline's.
    pub net: Spread,
    /// Millions of packets a second at the median cost in all, on a core that nobody else uses.
    pub mpps: f64,
    /// The same of source and sink alone.
    pub baseline_mpps: f64,
    /// Millions of packets a second as the clock on the wall counts them, over all polls of the case that count.
    pub wall_mpps: f64,
    /// Packets in a poll that counts, on average.
    pub packets_per_poll: f64,
    /// Percent of the case's polls that do not count: they found too little ([`Feed`]).
    pub starved_percent: f64,
    /// Percent of packets that were forwarded, or dropped if that is what the case is about: less than all only of what
    /// arrives at a port.
    pub expected_percent: f64,
    /// Percent of all windows' time in which the thread did not have the core. It is not part of the costs, but what
    /// ran meanwhile took the caches.
    pub lost_percent: f64,
}

/// Percent of lost time above which a case counts as disturbed.
const DISTURBED_LOST: f64 = 5.0;
/// Spread of the baseline, from half of its windows to the other half, above which it does.
const DISTURBED_BASELINE: f64 = 1.25;

impl CaseReport {
    /// What these windows found, each case's with one of its baseline before it, by a clock of `hz` ticks a second; and how
    /// many percent of packets were treated as the case says. Pairs in which one window has no packets do not count; `None`
    /// if that leaves none.
    #[must_use]
    pub fn new(case: &Case, hz: u64, pairs: &[(Window, Window)], expected_percent: f64) -> Option<Self> {
        let pairs: Vec<&(Window, Window)> = pairs.iter().filter(|(a, b)| a.packets > 0 && b.packets > 0).collect();
        if pairs.is_empty() {
            return None;
        }
        let baseline = Spread::of(pairs.iter().map(|(baseline, _)| baseline.cost()));
        let in_all = Spread::of(pairs.iter().map(|(_, case)| case.cost()));
        let mpps = |cost: f64| if cost > 0.0 { hz as f64 / cost / 1e6 } else { 0.0 };
        let all: Vec<&Window> = pairs.iter().flat_map(|(baseline, case)| [baseline, case]).collect();
        let ticks: f64 = all.iter().map(|window| window.ticks as f64).sum();
        let had: f64 = all.iter().map(|window| window.ticks as f64 * window.share).sum();
        let sum = |of: fn(&Window) -> u64| pairs.iter().map(|(_, case)| of(case)).sum::<u64>();
        let packets = sum(|case| case.packets);
        let (polls, counted) = (sum(|case| case.polls), sum(|case| case.counted));
        let Case { treatment, load, slots, affinity, vips, pools, backends, table_size, .. } = *case;
        Some(Self {
            name: case.to_string(),
            treatment,
            ip_version: if case.family == Family::V4 { 4 } else { 6 },
            load,
            slots,
            affinity,
            flows: case.frames().flows,
            vips,
            pools,
            zipf: case.spreading == Spreading::Zipf,
            backends,
            table_size,
            frame_bytes: case.traffic().frame_len(),
            windows: pairs.len(),
            packets,
            baseline,
            in_all,
            net: Spread::of(pairs.iter().map(|(baseline, case)| case.cost() - baseline.cost())),
            mpps: mpps(in_all.median),
            baseline_mpps: mpps(baseline.median),
            wall_mpps: mpps(sum(|case| case.ticks) as f64 / (packets as f64).max(1.0)),
            packets_per_poll: packets as f64 / (counted as f64).max(1.0),
            starved_percent: (polls - counted) as f64 * 100.0 / (polls as f64).max(1.0),
            expected_percent,
            lost_percent: (1.0 - had / ticks.max(1.0)) * 100.0,
        })
    }

    /// Whether other work disturbed the case so much that its figures say little.
    #[must_use]
    pub fn is_disturbed(&self) -> bool {
        self.lost_percent > DISTURBED_LOST || self.baseline.max > self.baseline.median * DISTURBED_BASELINE
    }

    /// Names the case in full: no other case has the same key.
    fn key(&self) -> String {
        let Self { name, flows, vips, pools, backends, table_size, frame_bytes, .. } = self;
        format!(
            "{name}, {flows} flows, {vips} VIPs, {pools} pools of {backends}, {table_size} slots, {frame_bytes} bytes"
        )
    }
}
