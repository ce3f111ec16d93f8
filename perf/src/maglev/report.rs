//! What the benchmark of tables found, for people and for programs.

use crate::present::{Axis, Better, Metric, Plot, PlotKind, Present, Series, TableView};
use crate::window::Spread;
use serde::{Deserialize, Serialize};

/// A run of the benchmark of tables.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// Choices of the backends that change, for each number of them.
    pub samples: u32,
    /// The tables, in order.
    pub cases: Vec<CaseReport>,
}

/// What one table's measurements found.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CaseReport {
    /// Slots of the table.
    pub slots: u32,
    /// Backends of equal weight.
    pub backends: u16,
    /// Milliseconds to build the table over all of them.
    pub build_ms: Spread,
    /// Milliseconds from that to the table without one that failed.
    pub one_down_ms: Spread,
    /// Shares in the table of all.
    pub balance: BalanceReport,
    /// What changes move.
    pub events: Vec<EventReport>,
}

/// Shares of the backends that serve, over their mean.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BalanceReport {
    /// The largest.
    pub largest: f64,
    /// The smallest.
    pub smallest: f64,
}

/// What happens to backends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Event {
    /// They fail.
    Failed,
    /// They were away and are back.
    Returned,
    /// They are new.
    Added,
}

impl Event {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Failed, Self::Returned, Self::Added];

    /// In tables.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Returned => "returned",
            Self::Added => "added",
        }
    }
}

/// What a change of backends moves, in percent of all slots.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EventReport {
    /// What happens.
    pub event: Event,
    /// To how many backends.
    pub changed: u16,
    /// Slots that have to move: those of backends that went, or that backends which came get.
    pub needed_percent: Spread,
    /// Slots that move beyond these.
    pub excess_percent: Spread,
    /// The same if the table is built anew over the backends that are left, as plain Maglev does.
    pub rebuilt_excess_percent: Spread,
}

impl CaseReport {
    fn key(&self) -> String {
        format!("{} slots, {} backends", self.slots, self.backends)
    }

    fn spreads(&self) -> [String; 2] {
        [&self.build_ms, &self.one_down_ms].map(|it| format!("{:.3} ({:.3} - {:.3})", it.median, it.min, it.max))
    }
}

impl EventReport {
    fn cells(&self) -> [String; 3] {
        let percent = |spread: &Spread| {
            let [median, min, max] = [spread.median, spread.min, spread.max].map(|value| format!("{value:.2}"));
            if min == max { median } else { format!("{median} ({min} - {max})") }
        };
        [&self.needed_percent, &self.excess_percent, &self.rebuilt_excess_percent].map(percent)
    }
}

impl Present for Report {
    fn title(&self) -> String {
        "Tables: time to build, balance, disruption".to_owned()
    }

    fn conditions(&self) -> Vec<String> {
        vec![
            "Backends of equal weight. Times are those in which the thread had the core.".to_owned(),
            format!(
                "Disruption over {} choices of the backends that change. Rebuilt: a new table over the backends that \
                 are left, as plain Maglev does. A backend that is added changes what is configured, so the table is \
                 a new one in both.",
                self.samples
            ),
        ]
    }

    fn tables(&self) -> Vec<TableView> {
        let row = |case: &CaseReport| {
            let ([build, down], BalanceReport { largest, smallest }) = (case.spreads(), case.balance);
            let [largest, smallest] = [largest, smallest].map(|share| format!("{share:.4}"));
            vec![case.slots.to_string(), case.backends.to_string(), build, down, largest, smallest]
        };
        let columns = ["slots", "backends", "build ms", "one down ms", "largest share / mean", "smallest share / mean"];
        let tables = TableView {
            caption: "Time to build, and balance".to_owned(),
            columns: columns.map(str::to_owned).into(),
            rows: self.cases.iter().map(row).collect(),
        };
        let columns = ["slots", "backends", "change", "has to move %", "moves beyond %", "moves beyond if rebuilt %"];
        let events = self.cases.iter().flat_map(|case| case.events.iter().map(move |event| (case, event)));
        let row = |(case, event): (&CaseReport, &EventReport)| {
            let what = format!("{} {}", event.changed, event.event.label());
            [case.slots.to_string(), case.backends.to_string(), what].into_iter().chain(event.cells()).collect()
        };
        let disruption = TableView {
            caption: "Disruption, in percent of the slots".to_owned(),
            columns: columns.map(str::to_owned).into(),
            rows: events.map(row).collect(),
        };
        vec![tables, disruption]
    }

    fn plots(&self) -> Vec<Plot> {
        let categories = self.cases.iter().map(CaseReport::key).collect();
        let bars = |name: &str, value: fn(&CaseReport) -> Spread| Series {
            name: name.to_owned(),
            points: (0..).zip(&self.cases).map(|(place, case)| (f64::from(place), value(case))).collect(),
        };
        let times = Plot {
            caption: "Time to build, and to take a failed backend out".to_owned(),
            kind: PlotKind::Bars,
            x: Axis { label: "table".to_owned(), categories, ..Axis::default() },
            y: Axis { label: "ms".to_owned(), logarithmic: true, ..Axis::default() },
            series: vec![bars("build", |case| case.build_ms), bars("one down", |case| case.one_down_ms)],
        };
        let line = |case: &CaseReport, name: &str, value: fn(&EventReport) -> Spread| {
            let failures = case.events.iter().filter(|event| event.event == Event::Failed);
            let share = |event: &EventReport| f64::from(event.changed) * 100.0 / f64::from(case.backends);
            Series {
                name: format!("{}: {name}", case.key()),
                points: failures.map(|event| (share(event), value(event))).collect(),
            }
        };
        let lines = |case: &CaseReport| {
            [
                line(case, "ours", |event| event.excess_percent),
                line(case, "rebuilt", |event| event.rebuilt_excess_percent),
            ]
        };
        let disruption = Plot {
            caption: "Slots that move beyond those of failed backends".to_owned(),
            kind: PlotKind::Lines,
            x: Axis { label: "failed, percent of the backends".to_owned(), logarithmic: true, ..Axis::default() },
            y: Axis { label: "percent of the slots".to_owned(), ..Axis::default() },
            series: self.cases.iter().flat_map(lines).collect(),
        };
        vec![times, disruption]
    }

    fn metrics(&self) -> Vec<Metric> {
        let metric = |case: &CaseReport, what: &str, unit, value| Metric {
            key: format!("{}: {what}", case.key()),
            unit,
            value,
            better: Better::Lower,
        };
        let exact = |value| Spread { median: value, min: value, max: value };
        let of = |case: &CaseReport| {
            let fixed = [
                metric(case, "build", "ms", case.build_ms),
                metric(case, "one down", "ms", case.one_down_ms),
                metric(case, "largest share", "means", exact(case.balance.largest)),
            ];
            let event = |event: &EventReport| {
                let what = format!("{} {}, moves beyond", event.changed, event.event.label());
                metric(case, &what, "% of the slots", event.excess_percent)
            };
            fixed.into_iter().chain(case.events.iter().map(event)).collect::<Vec<_>>()
        };
        self.cases.iter().flat_map(of).collect()
    }
}
