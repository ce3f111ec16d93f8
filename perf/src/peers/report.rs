//! What the contenders cost, for people and for programs.

use super::contender::Contender;
use crate::present::{Axis, Better, Metric, Plot, PlotKind, Present, Series, TableView};
use crate::window::Spread;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A comparison of programs over DPDK on one machine.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// The processor's name.
    pub processor: String,
    /// Whether this is a virtual machine.
    pub virtual_machine: bool,
    /// The core that forwarded.
    pub core: usize,
    /// Cycles of the time stamp counter a second.
    pub hz: u64,
    /// Whether buffers and tables lay in hugepages.
    pub hugepages: bool,
    /// How often each contender was started.
    pub rounds: usize,
    /// Windows of each start.
    pub windows: usize,
    /// Length of a window in seconds.
    pub window_seconds: f64,
    /// The cases, by flows, then by contender.
    pub cases: Vec<CaseReport>,
}

/// What one contender cost with one number of flows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CaseReport {
    /// The contender: [`Contender::name`].
    pub name: String,
    /// Flows.
    pub flows: u32,
    /// Cycles of the time stamp counter a packet: source, program and sink.
    pub cycles: Spread,
    /// Millions of packets a second at the median, on a core that nobody else uses.
    pub mpps: f64,
    /// Packets in all windows.
    pub packets: u64,
    /// Percent of the windows' time in which the thread did not have the core. It is not part of the cost, but what ran
    /// meanwhile took the caches.
    pub lost_percent: f64,
}

impl Report {
    fn case(&self, who: Contender, flows: u32) -> Option<&CaseReport> {
        self.cases.iter().find(|case| case.flows == flows && case.name == who.name())
    }

    /// Numbers of flows, in order.
    fn flows(&self) -> Vec<u32> {
        let mut flows: Vec<u32> = self.cases.iter().map(|case| case.flows).collect();
        flows.dedup();
        flows
    }

    /// How the worker compares with the exact match, which knows each flow as well: a line for each number of flows.
    #[must_use]
    pub fn against_exact_match(&self) -> Vec<String> {
        let line = |flows: u32, who: Contender| {
            let (ours, theirs) = (self.case(who, flows)?, self.case(Contender::L3fwdExact, flows)?);
            let percent = (ours.cycles.median / theirs.cycles.median - 1.0) * 100.0;
            let word = if percent <= 0.0 { "less" } else { "more" };
            // Spreads that overlap may be the noise of the machine.
            let apart = ours.cycles.max < theirs.cycles.min || theirs.cycles.max < ours.cycles.min;
            let doubt = if apart { "" } else { "; the windows overlap" };
            Some(format!(
                "{flows} flows: {} costs {:.0} % {word} in all than {} ({:.1} against {:.1} cycles{doubt})",
                ours.name,
                percent.abs(),
                theirs.name,
                ours.cycles.median,
                theirs.cycles.median
            ))
        };
        let ours = [Contender::GuidewayL2dsr, Contender::GuidewayIpip];
        self.flows().iter().flat_map(|flows| ours.into_iter().filter_map(|who| line(*flows, who))).collect()
    }
}

fn spread(spread: &Spread) -> String {
    format!("{:.1} ({:.1} - {:.1})", spread.median, spread.min, spread.max)
}

fn description(name: &str) -> &'static str {
    Contender::ALL.iter().find(|contender| contender.name() == name).map_or("", |contender| contender.description())
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.virtual_machine { "virtual machine" } else { "bare metal" };
        writeln!(f, "core {} of {} ({kind}), TSC {:.2} GHz", self.core, self.processor, self.hz as f64 / 1e9)?;
        for condition in self.conditions() {
            writeln!(f, "{condition}")?;
        }
        writeln!(f, "\n{:16} {:>8} {:>7} {:>24} {:>6}", "program", "flows", "Mpps", "cycles in all", "lost")?;
        for case in &self.cases {
            let cost = spread(&case.cycles);
            writeln!(
                f,
                "{:16} {:>8} {:>7.1} {cost:>24} {:>4.0} %",
                case.name, case.flows, case.mpps, case.lost_percent
            )?;
        }
        let lines = self.against_exact_match();
        if !lines.is_empty() {
            writeln!(f)?;
        }
        lines.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

impl Present for Report {
    fn title(&self) -> String {
        "Cost of a packet in programs over DPDK".to_owned()
    }

    fn conditions(&self) -> Vec<String> {
        let pages = if self.hugepages { "hugepages" } else { "no hugepages" };
        vec![
            format!("Source: net_pcap, 64-byte frames, IPv4 TCP, each flow in turn; sink: net_null; {pages}."),
            format!(
                "{} starts of each program in turns, {} windows of {} s each; median, lowest and highest window.",
                self.rounds, self.windows, self.window_seconds
            ),
            "In all: source, program and sink, in TSC cycles of the time in which the thread had the core.".to_owned(),
        ]
    }

    fn tables(&self) -> Vec<TableView> {
        let row = |case: &CaseReport| {
            vec![
                case.name.clone(),
                description(&case.name).to_owned(),
                case.flows.to_string(),
                format!("{:.1}", case.mpps),
                spread(&case.cycles),
                format!("{:.1}", case.lost_percent),
            ]
        };
        let columns = ["program", "what it does", "flows", "Mpps", "cycles in all", "lost %"].map(str::to_owned).into();
        vec![TableView { caption: self.title(), columns, rows: self.cases.iter().map(row).collect() }]
    }

    fn plots(&self) -> Vec<Plot> {
        let mut series: Vec<Series> = Vec::new();
        for case in &self.cases {
            let point = (f64::from(case.flows), case.cycles);
            match series.iter_mut().find(|series| series.name == case.name) {
                Some(series) => series.points.push(point),
                None => series.push(Series { name: case.name.clone(), points: vec![point] }),
            }
        }
        vec![Plot {
            caption: "cost by number of flows".to_owned(),
            kind: PlotKind::Lines,
            x: Axis { label: "flows".to_owned(), logarithmic: true, ..Axis::default() },
            y: Axis { label: "cycles a packet".to_owned(), ..Axis::default() },
            series,
        }]
    }

    fn metrics(&self) -> Vec<Metric> {
        let metric = |case: &CaseReport| Metric {
            key: format!("{}, {} flows", case.name, case.flows),
            unit: "cycles",
            value: case.cycles,
            better: Better::Lower,
        };
        self.cases.iter().map(metric).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(cases: &[(Contender, u32, [f64; 3])]) -> Report {
        let case = |(who, flows, values): &(Contender, u32, [f64; 3])| CaseReport {
            name: who.name().to_owned(),
            flows: *flows,
            cycles: Spread::of(*values),
            mpps: 1.0,
            packets: 1,
            lost_percent: 0.0,
        };
        Report {
            processor: "a processor".into(),
            virtual_machine: false,
            core: 1,
            hz: 2_000_000_000,
            hugepages: false,
            rounds: 3,
            windows: 1,
            window_seconds: 1.0,
            cases: cases.iter().map(case).collect(),
        }
    }

    #[test]
    fn the_verdict_names_the_difference_and_its_doubt() {
        use Contender::{GuidewayIpip, GuidewayL2dsr, L3fwdExact};
        let exact = |flows, values| (L3fwdExact, flows, values);
        let report = report(&[
            exact(1_000, [90.0, 100.0, 110.0]),
            (GuidewayL2dsr, 1_000, [119.0, 120.0, 121.0]),
            exact(10_000, [190.0, 200.0, 210.0]),
            (GuidewayL2dsr, 10_000, [140.0, 150.0, 195.0]),
            (GuidewayIpip, 10_000, [170.0, 180.0, 185.0]),
        ]);
        assert_eq!(
            report.against_exact_match(),
            [
                "1000 flows: guideway-l2dsr costs 20 % more in all than l3fwd-em (120.0 against 100.0 cycles)",
                "10000 flows: guideway-l2dsr costs 25 % less in all than l3fwd-em (150.0 against 200.0 cycles; the \
                 windows overlap)",
                "10000 flows: guideway-ipip costs 10 % less in all than l3fwd-em (180.0 against 200.0 cycles)",
            ]
        );
        let text = report.to_string();
        assert!(text.contains("10 % less") && text.contains("180.0 (170.0 - 185.0)"), "{text}");
        let series = &report.plots()[0].series;
        assert_eq!(series.iter().map(|line| line.points.len()).collect::<Vec<_>>(), [2, 2, 1]);
        assert_eq!(report.metrics().len(), 5);
    }

    #[test]
    fn without_the_exact_match_there_is_no_verdict() {
        let report = report(&[(Contender::GuidewayL2dsr, 1_000, [1.0, 2.0, 3.0])]);
        assert_eq!(report.against_exact_match(), [""; 0]);
    }
}
