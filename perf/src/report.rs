//! What a run found, for people and for programs.

use crate::clock::Unit;
use crate::window::Spread;
use serde::Serialize;
use std::fmt;

/// A run of the benchmark of cycles per packet.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The release that was measured.
    pub version: &'static str,
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
#[derive(Clone, Debug, Serialize)]
pub struct CaseReport {
    /// The case.
    pub name: &'static str,
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
