//! What probes were found to cost, for people and for programs.

use super::Options;
use crate::present::{Better, Metric, Plot, Present, TableView};
use crate::window::Spread;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A run of the benchmark of probes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// From probe to probe of one backend, in milliseconds.
    pub interval_ms: f64,
    /// The worker's core.
    pub worker_core: usize,
    /// The control core.
    pub control_core: usize,
    /// The numbers of backends, in order.
    pub cases: Vec<CaseReport>,
}

/// What so many backends gave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CaseReport {
    /// How many.
    pub backends: u32,
    /// How long it was measured, in seconds.
    pub seconds: f64,
    /// Probes sent.
    pub sent: u64,
    /// Of these, answered in time.
    pub answered: u64,
    /// Probes without an answer in time.
    pub timed_out: u64,
    /// Answers that came after the timeout.
    pub late: u64,
    /// Rounds that were not sent, since the control thread was too late for them.
    pub skipped: u64,
    /// Probes not judged, since a thread was kept from running.
    pub void: u64,
    /// Packets that found no room in a ring or on the wire.
    pub lost: u64,
    /// Backends that were taken for dead; none was.
    pub removals: u64,
    /// Probes a second.
    pub rate: f64,
    /// Share of the worker's time in polls that had probes or answers, in percent.
    pub worker_percent: f64,
    /// Processor time of the control thread, in percent of a core.
    pub control_percent: f64,
}

/// What was measured of one number of backends.
#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    /// How long.
    pub elapsed: Duration,
    /// Processor time of the control thread.
    pub control: Duration,
    /// Time of the worker in polls that handled something.
    pub busy: Duration,
    /// As in [`CaseReport`].
    pub sent: u64,
    /// As in [`CaseReport`].
    pub answered: u64,
    /// As in [`CaseReport`].
    pub timed_out: u64,
    /// As in [`CaseReport`].
    pub late: u64,
    /// As in [`CaseReport`].
    pub skipped: u64,
    /// As in [`CaseReport`].
    pub void: u64,
    /// As in [`CaseReport`].
    pub lost: u64,
    /// As in [`CaseReport`].
    pub removals: u64,
}

impl CaseReport {
    /// Of these figures.
    #[must_use]
    pub fn new(backends: u32, figures: &Figures) -> Self {
        let &Figures { sent, answered, timed_out, late, skipped, void, lost, removals, .. } = figures;
        let seconds = figures.elapsed.as_secs_f64().max(1e-9);
        Self {
            backends,
            seconds,
            sent,
            answered,
            timed_out,
            late,
            skipped,
            void,
            lost,
            removals,
            rate: sent as f64 / seconds,
            worker_percent: 100.0 * figures.busy.as_secs_f64() / seconds,
            control_percent: 100.0 * figures.control.as_secs_f64() / seconds,
        }
    }
}

impl Report {
    /// A report without results yet.
    #[must_use]
    pub fn new(options: &Options) -> Self {
        Self {
            interval_ms: options.interval.as_secs_f64() * 1e3,
            worker_core: options.worker_core,
            control_core: options.control_core,
            cases: Vec::new(),
        }
    }
}

impl Present for Report {
    fn title(&self) -> String {
        "What health checks of many backends cost".to_owned()
    }

    fn conditions(&self) -> Vec<String> {
        vec![
            format!(
                "Every backend is asked by tcp each {} ms, through an IP-in-IP tunnel on a port in memory.",
                self.interval_ms
            ),
            format!(
                "The worker runs on core {}, the control thread on core {}; the network's own time is not counted.",
                self.worker_core, self.control_core
            ),
        ]
    }

    fn tables(&self) -> Vec<TableView> {
        let columns = [
            "backends",
            "probes/s",
            "worker %",
            "control %",
            "answered",
            "timed out",
            "late",
            "skipped",
            "void",
            "lost",
            "removed",
        ];
        let row = |case: &CaseReport| {
            vec![
                case.backends.to_string(),
                format!("{:.0}", case.rate),
                format!("{:.2}", case.worker_percent),
                format!("{:.2}", case.control_percent),
                case.answered.to_string(),
                case.timed_out.to_string(),
                case.late.to_string(),
                case.skipped.to_string(),
                case.void.to_string(),
                case.lost.to_string(),
                case.removals.to_string(),
            ]
        };
        let columns = columns.map(str::to_owned).into();
        vec![TableView { caption: self.title(), columns, rows: self.cases.iter().map(row).collect() }]
    }

    fn plots(&self) -> Vec<Plot> {
        Vec::new()
    }

    fn metrics(&self) -> Vec<Metric> {
        let of_case = |case: &CaseReport| {
            let metric = |what: &str, value: f64| Metric {
                key: format!("{} backends at {} ms, {what}", case.backends, self.interval_ms),
                unit: "%",
                value: Spread { median: value, min: value, max: value },
                better: Better::Lower,
            };
            [metric("worker", case.worker_percent), metric("control", case.control_percent)]
        };
        self.cases.iter().flat_map(of_case).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_of_the_time_that_was_measured() {
        let figures = Figures {
            elapsed: Duration::from_secs(10),
            control: Duration::from_secs(2),
            busy: Duration::from_secs(1),
            sent: 500_000,
            answered: 499_000,
            ..Figures::default()
        };
        let case = CaseReport::new(1_000, &figures);
        let near = |value: f64, expected: f64| (value - expected).abs() < 1e-6;
        assert!(
            near(case.rate, 50_000.0) && near(case.worker_percent, 10.0) && near(case.control_percent, 20.0),
            "{case:?}"
        );
        let options = Options {
            interval: Duration::from_millis(20),
            seconds: Duration::from_secs(10),
            worker_core: 1,
            control_core: 0,
        };
        let report = Report { cases: vec![case], ..Report::new(&options) };
        let table = &report.tables()[0];
        assert_eq!(table.columns.len(), table.rows[0].len());
        assert_eq!(table.rows[0][..4], ["1000", "50000", "10.00", "20.00"]);
        assert_eq!(report.metrics()[1].key, "1000 backends at 20 ms, control");
    }
}
