//! What a run found, for people and for programs.

use crate::clock::Unit;
use crate::present::{Axis, Better, Metric, Plot, PlotKind, Present, Series, TableView};
use crate::window::Spread;
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
    /// The case.
    pub name: String,
    /// Flows.
    pub flows: u32,
    /// Backends.
    pub backends: u16,
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
            "\n{:14} {:>8} {:>8} {:>6} {:>7} {:>9} {:>24} {:>24} {:>6}",
            "case", "flows", "backends", "bytes", "Mpps", "baseline", all, net, "lost"
        )?;
        self.cases.iter().try_for_each(|case| writeln!(f, "{case}"))
    }
}

impl fmt::Display for CaseReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let spread = |spread: &Spread| format!("{:.1} ({:.1} - {:.1})", spread.median, spread.min, spread.max);
        write!(
            f,
            "{:14} {:>8} {:>8} {:>6} {:>7.1} {:>9.1} {:>24} {:>24} {:>4.0} %",
            self.name,
            self.flows,
            self.backends,
            self.frame_bytes,
            self.mpps,
            self.baseline.median,
            spread(&self.in_all),
            spread(&self.net),
            self.lost_percent,
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
            vec![
                case.key(),
                format!("{:.1}", case.mpps),
                format!("{:.1}", case.baseline.median),
                spread(&case.in_all),
                spread(&case.net),
                format!("{:.1}", case.lost_percent),
            ]
        };
        let columns = ["case", "Mpps", "baseline", "in all", "net", "lost %"].map(str::to_owned).into();
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

impl CaseReport {
    /// Names the case in full.
    fn key(&self) -> String {
        format!("{}, {} flows, {} backends, {} bytes", self.name, self.flows, self.backends, self.frame_bytes)
    }
}
