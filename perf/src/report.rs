//! What a run found, for people and for programs.

use crate::clock::Unit;
use crate::mix::Spreading;
use crate::present::{Axis, Better, Metric, Plot, PlotKind, Present, Series, TableView};
use crate::scenario::{Case, Load, Slots, Treatment};
use crate::window::{Spread, Window};
use guideway_dataplane::parse::Family;
use serde::{Deserialize, Serialize};
use std::fmt;

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
    /// Packets that waited between source and worker.
    pub lead: usize,
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
    /// Millions of packets a second as the clock on the wall counts them, over all windows of the case.
    pub wall_mpps: f64,
    /// Percent of all windows' time in which the thread did not have the core. It is not part of the costs, but what
    /// ran meanwhile took the caches.
    pub lost_percent: f64,
}

/// Percent of lost time above which a case counts as disturbed.
const DISTURBED_LOST: f64 = 5.0;
/// Spread of the baseline, from half of its windows to the other half, above which it does.
const DISTURBED_BASELINE: f64 = 1.25;

impl CaseReport {
    /// What these windows found, each case's with one of its baseline before it, by a clock of `hz` ticks a second.
    #[must_use]
    pub fn new(case: &Case, hz: u64, pairs: &[(Window, Window)]) -> Self {
        let baseline = Spread::of(pairs.iter().map(|(baseline, _)| baseline.cost()));
        let in_all = Spread::of(pairs.iter().map(|(_, case)| case.cost()));
        let mpps = |cost: f64| if cost > 0.0 { hz as f64 / cost / 1e6 } else { 0.0 };
        let all: Vec<&Window> = pairs.iter().flat_map(|(baseline, case)| [baseline, case]).collect();
        let ticks: f64 = all.iter().map(|window| window.ticks as f64).sum();
        let had: f64 = all.iter().map(|window| window.ticks as f64 * window.share).sum();
        let packets = pairs.iter().map(|(_, case)| case.packets).sum();
        let case_ticks: u64 = pairs.iter().map(|(_, case)| case.ticks).sum();
        let Case { treatment, load, slots, affinity, vips, pools, backends, table_size, .. } = *case;
        Self {
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
            wall_mpps: mpps(case_ticks as f64 / (packets as f64).max(1.0)),
            lost_percent: (1.0 - had / ticks.max(1.0)) * 100.0,
        }
    }

    /// Whether other work disturbed the case so much that its figures say little.
    #[must_use]
    pub fn is_disturbed(&self) -> bool {
        self.lost_percent > DISTURBED_LOST || self.baseline.max > self.baseline.median * DISTURBED_BASELINE
    }

    /// Names the case in full.
    fn key(&self) -> String {
        let Self { name, flows, vips, pools, backends, table_size, frame_bytes, .. } = self;
        format!(
            "{name}, {flows} flows, {vips} VIPs, {pools} pools of {backends}, {table_size} slots, {frame_bytes} bytes"
        )
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.virtual_machine { "virtual machine" } else { "bare metal" };
        let unit = self.unit.label();
        writeln!(f, "guideway {}, {}, core {} of {} ({kind})", self.version, self.device, self.core, self.processor)?;
        match self.unit {
            Unit::Cycles => writeln!(f, "cost in TSC cycles a packet, {:.2} GHz", self.hz as f64 / 1e9)?,
            Unit::Ns => writeln!(f, "cost in ns a packet")?,
        }
        if let Some(percent) = self.steal_percent {
            writeln!(f, "taken by the hypervisor: {percent:.1} % of the time, as far as it tells")?;
        }
        let (all, net) = (format!("{unit} in all"), format!("{unit} net"));
        writeln!(
            f,
            "\n{:24} {:>9} {:>5} {:>5} {:>8} {:>6} {:>6} {:>7} {:>9} {:>24} {:>24} {:>6}",
            "case", "flows", "VIPs", "pools", "backends", "slots", "bytes", "Mpps", "baseline", all, net, "lost"
        )?;
        self.cases.iter().try_for_each(|case| writeln!(f, "{case}"))
    }
}

impl fmt::Display for CaseReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let spread = |spread: &Spread| format!("{:.1} ({:.1} - {:.1})", spread.median, spread.min, spread.max);
        write!(
            f,
            "{:24} {:>9} {:>5} {:>5} {:>8} {:>6} {:>6} {:>7.1} {:>9.1} {:>24} {:>24} {:>4.0} %{}",
            self.name,
            self.flows,
            self.vips,
            self.pools,
            self.backends,
            self.table_size,
            self.frame_bytes,
            self.mpps,
            self.baseline.median,
            spread(&self.in_all),
            spread(&self.net),
            self.lost_percent,
            if self.is_disturbed() { "  disturbed" } else { "" },
        )
    }
}

impl Present for Report {
    fn title(&self) -> String {
        format!("Cost of a packet in {}", self.unit.label())
    }

    fn conditions(&self) -> Vec<String> {
        vec![
            format!("Device: {}. Core {}. {} packets between source and worker.", self.device, self.core, self.lead),
            "Source and sink alone and each case run in turns; net is the difference of each pair of windows."
                .to_owned(),
        ]
    }

    fn tables(&self) -> Vec<TableView> {
        let spread = |spread: &Spread| format!("{:.1} ({:.1} - {:.1})", spread.median, spread.min, spread.max);
        let row = |case: &CaseReport| {
            let mark = if case.is_disturbed() { "disturbed" } else { "" };
            vec![
                case.name.clone(),
                case.flows.to_string(),
                case.vips.to_string(),
                case.pools.to_string(),
                case.backends.to_string(),
                case.table_size.to_string(),
                case.frame_bytes.to_string(),
                format!("{:.1}", case.mpps),
                format!("{:.1}", case.baseline.median),
                spread(&case.in_all),
                spread(&case.net),
                format!("{:.0}", case.lost_percent),
                mark.to_owned(),
            ]
        };
        let columns = [
            "case", "flows", "VIPs", "pools", "backends", "slots", "bytes", "Mpps", "baseline", "in all", "net",
            "lost %", "",
        ];
        let columns = columns.map(str::to_owned).into();
        vec![TableView { caption: self.title(), columns, rows: self.cases.iter().map(row).collect() }]
    }

    fn plots(&self) -> Vec<Plot> {
        let categories = self.cases.iter().map(CaseReport::key).collect();
        let points = (0..).zip(&self.cases).map(|(place, case)| (f64::from(place), case.net)).collect();
        vec![Plot {
            caption: "net cost".to_owned(),
            kind: PlotKind::Bars,
            x: Axis { label: "case".to_owned(), categories, ..Axis::default() },
            y: Axis { label: format!("{} a packet", self.unit.label()), ..Axis::default() },
            series: vec![Series { name: "net".to_owned(), points }],
        }]
    }

    fn metrics(&self) -> Vec<Metric> {
        let metric = |case: &CaseReport| Metric {
            key: case.key(),
            unit: self.unit.label(),
            value: case.net,
            better: Better::Lower,
        };
        self.cases.iter().map(metric).collect()
    }
}
