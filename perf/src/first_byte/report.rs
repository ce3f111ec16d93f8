//! What was found of first bytes, for people and for programs.

use super::interval::{CONFIDENCE, Interval};
use super::{Round, Step};
use crate::latency::Percentiles;
use crate::present::{Axis, Better, Metric, Plot, PlotKind, Present, Series, TableView};
use crate::window::Spread;
use serde::{Deserialize, Serialize};

/// The percentiles of the tables.
const PERCENTILES: [Percentile; 3] = [("p50", |of| of.p50), ("p90", |of| of.p90), ("p99", |of| of.p99)];

/// A percentile: its name, and where it is, in nanoseconds.
type Percentile = (&'static str, fn(&Percentiles) -> f64);

/// A run of the benchmark of first bytes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// The release that was measured.
    pub version: String,
    /// The core of every balancer.
    pub balancer_core: usize,
    /// The core of client, backend, and Guideway's control side.
    pub other_core: usize,
    /// Real-time priority of client, balancers and backend; `None` if the kernel treated them like others.
    pub real_time: Option<u8>,
    /// How often each way was taken.
    pub rounds: usize,
    /// Connections of a way in a round, before those that failed.
    pub connections: usize,
    /// Bytes of the answer's body.
    pub bytes: usize,
    /// What programs call themselves, the balancers' and the backend's.
    pub programs: Vec<String>,
    /// Groups of ways, by how many connections there were at once.
    pub loads: Vec<Load>,
}

/// The ways under one load.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Load {
    /// Connections at once.
    pub side_by_side: usize,
    /// The ways, the floor first.
    pub ways: Vec<WayReport>,
}

/// What one way gave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WayReport {
    /// One word for it.
    pub name: String,
    /// What it is.
    pub description: String,
    /// Who ends the client's TLS: "backend" or "balancer", by the certificate that the client was shown.
    pub tls_end: String,
    /// How the backend learned the client's address, as the backend said.
    pub client_by: String,
    /// The rounds, in their order: those of the same place in other ways were made within the same seconds.
    pub rounds: Vec<Round>,
}

fn micros(nanos: f64) -> f64 {
    nanos / 1e3
}

impl WayReport {
    /// A percentile of a step, over the rounds, in microseconds.
    fn over_rounds(&self, step: Step, (_, percentile): Percentile) -> impl Iterator<Item = f64> {
        self.rounds.iter().map(move |round| micros(percentile(round.step(step))))
    }

    /// The same as a median with its interval.
    #[must_use]
    fn interval(&self, step: Step, percentile: Percentile) -> Interval {
        Interval::of(self.over_rounds(step, percentile))
    }

    /// How much later than on `floor` a step's median is, of each round with the floor's of the same round, in microseconds.
    #[must_use]
    pub fn added(&self, floor: &Self, step: Step) -> Interval {
        let [median, ..] = PERCENTILES;
        let pairs = self.over_rounds(step, median).zip(floor.over_rounds(step, median));
        Interval::of(pairs.map(|(here, there)| here - there))
    }

    fn answered(&self) -> u64 {
        self.rounds.iter().map(|round| round.first_byte.samples).sum()
    }

    fn failed(&self) -> u64 {
        self.rounds.iter().map(|round| round.failed).sum()
    }
}

impl Load {
    fn name(&self) -> String {
        match self.side_by_side {
            1 => "one connection at a time".to_owned(),
            many => format!("{many} connections at a time"),
        }
    }
}

/// With the ends of its interval in parentheses.
fn cell(interval: Interval) -> String {
    format!("{:.0} ({:.0} - {:.0})", interval.median, interval.low, interval.high)
}

fn table(caption: String, columns: impl IntoIterator<Item = String>, rows: Vec<Vec<String>>) -> TableView {
    TableView { caption, columns: columns.into_iter().collect(), rows }
}

impl Report {
    /// Who is measured, what was seen of it, and how many connections there were.
    fn ways(&self) -> TableView {
        let columns = ["way", "what", "TLS ends at", "client's address by", "at once", "answered", "failed"];
        let row = |load: &Load, way: &WayReport| {
            let counts = [load.side_by_side as u64, way.answered(), way.failed()].map(|count| count.to_string());
            [&way.name, &way.description, &way.tls_end, &way.client_by].into_iter().cloned().chain(counts).collect()
        };
        let rows = self.loads.iter().flat_map(|load| load.ways.iter().map(|way| row(load, way)));
        table("Ways".to_owned(), columns.map(str::to_owned), rows.collect())
    }

    /// The distribution of the first byte.
    fn first_bytes(load: &Load) -> TableView {
        let columns = PERCENTILES.map(|(name, _)| format!("{name} µs"));
        let columns = ["way".to_owned()].into_iter().chain(columns).chain(["p50 beyond the first way's µs".to_owned()]);
        let row = |(place, way): (usize, &WayReport)| {
            let cells = PERCENTILES.map(|percentile| cell(way.interval(Step::FirstByte, percentile)));
            let added = match load.ways.first() {
                Some(floor) if place > 0 => cell(way.added(floor, Step::FirstByte)),
                _ => "-".to_owned(),
            };
            [way.name.clone()].into_iter().chain(cells).chain([added]).collect()
        };
        let rows = load.ways.iter().enumerate().map(row).collect();
        table(format!("Time to first byte, {}", load.name()), columns, rows)
    }

    /// The median of each step.
    fn steps(load: &Load) -> TableView {
        let [median, ..] = PERCENTILES;
        let columns = Step::ALL.map(|step| format!("{} µs", step.label()));
        let row = |way: &WayReport| {
            let cells = Step::ALL.map(|step| cell(way.interval(step, median)));
            [way.name.clone()].into_iter().chain(cells).collect()
        };
        let columns = ["way".to_owned()].into_iter().chain(columns);
        table(format!("Steps, p50, {}", load.name()), columns, load.ways.iter().map(row).collect())
    }

    fn plot(load: &Load, percentile: Percentile) -> Plot {
        let points = |step: Step| {
            let spread = |way: &WayReport| {
                let Interval { median, low, high, .. } = way.interval(step, percentile);
                Spread { median, min: low, max: high }
            };
            (0..).zip(&load.ways).map(|(place, way)| (f64::from(place), spread(way))).collect()
        };
        Plot {
            caption: format!("{} since the client began to connect, {}", percentile.0, load.name()),
            kind: PlotKind::Bars,
            x: Axis {
                label: "way".to_owned(),
                categories: load.ways.iter().map(|way| way.description.clone()).collect(),
                ..Axis::default()
            },
            y: Axis { label: "µs".to_owned(), ..Axis::default() },
            series: Step::ALL.map(|step| Series { name: step.label().to_owned(), points: points(step) }).into(),
        }
    }

    /// What is known of other work on the cores.
    fn disturbance(&self) -> String {
        let rounds = || self.loads.iter().flat_map(|load| &load.ways).flat_map(|way| &way.rounds);
        match (rounds().filter(|round| round.disturbed).count(), rounds().count()) {
            (0, _) => "The cores had no other work just before and after each turn.".to_owned(),
            (disturbed, all) => {
                format!("In {disturbed} of {all} rounds the cores had other work just before or after: measure again.")
            }
        }
    }

    /// What the intervals of the tables are sure with.
    fn confidence(&self) -> f64 {
        Interval::of((0..self.rounds).map(|_| 0.0)).confidence
    }
}

impl Present for Report {
    fn title(&self) -> String {
        "Time to first byte over TLS".to_owned()
    }

    fn conditions(&self) -> Vec<String> {
        let sure = match self.confidence() {
            confidence if confidence < CONFIDENCE => ", which for 95 % are too few rounds",
            _ => "",
        };
        vec![
            format!(
                "Each connection is a new one: TCP, TLS 1.3 without resumption, a request by HTTP/1.1, an answer of {} bytes; times \
                 are since just before the client connects.",
                self.bytes
            ),
            format!(
                "Rounds of {} connections on each way in turns, {} of them; a percentile is the median of the rounds' ones, in \
                 parentheses its confidence interval of {:.0} %{sure}.",
                self.connections,
                self.rounds,
                self.confidence() * 100.0
            ),
            format!(
                "Client, router, balancer and backend are network namespaces of one machine, wired by veth without offloads. \
                 Balancers run on core {}, one thread each; client, backend and Guideway's control side on core {}. Guideway's \
                 worker uses AF_PACKET; poll and adaptive are its \"idle\". {}",
                self.balancer_core,
                self.other_core,
                match self.real_time {
                    Some(priority) => format!(
                        "All of them have real-time priority {priority} (SCHED_RR), above other work on the machine."
                    ),
                    None => "None has real-time priority.".to_owned(),
                }
            ),
            "Who ends TLS keeps connections to the backend, which it asks without TLS.".to_owned(),
            format!("Programs: {}.", self.programs.join(", ")),
            self.disturbance(),
        ]
    }

    fn tables(&self) -> Vec<TableView> {
        let of_load = |load| [Self::first_bytes(load), Self::steps(load)];
        self.loads.iter().flat_map(of_load).chain([self.ways()]).collect()
    }

    fn plots(&self) -> Vec<Plot> {
        let [p50, _, p99] = PERCENTILES;
        self.loads.iter().flat_map(|load| [p50, p99].map(|percentile| Self::plot(load, percentile))).collect()
    }

    fn metrics(&self) -> Vec<Metric> {
        let metric = |load: &Load, way: &WayReport, percentile: Percentile| Metric {
            key: format!("{}, {}, first byte {}", way.name, load.name(), percentile.0),
            unit: "µs",
            value: Spread::of(way.over_rounds(Step::FirstByte, percentile)),
            better: Better::Lower,
        };
        let of_way = |load, way| PERCENTILES.map(|percentile| metric(load, way, percentile));
        self.loads.iter().flat_map(|load| load.ways.iter().flat_map(move |way| of_way(load, way))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// Seven rounds of four connections: `base` microseconds to connect, twice that for TLS, three times for the first byte,
    /// each round `drift` later than the one before.
    fn way(name: &str, base: u64, drift: u64) -> WayReport {
        let round = |number: u64| {
            let times = [1, 2, 3].map(|step| Duration::from_micros(base * step + drift * number));
            Round::new([times; 4], u64::from(number == 0))
        };
        WayReport {
            name: name.to_owned(),
            description: format!("{name} in words"),
            tls_end: "backend".to_owned(),
            client_by: "packets".to_owned(),
            rounds: (0..7).map(round).collect(),
        }
    }

    fn report() -> Report {
        let load = |side_by_side| Load { side_by_side, ways: vec![way("direct", 100, 10), way("balanced", 150, 10)] };
        Report {
            version: "0".to_owned(),
            balancer_core: 1,
            other_core: 0,
            real_time: None,
            rounds: 7,
            connections: 5,
            bytes: 1_024,
            programs: vec!["a 1".to_owned(), "b 2".to_owned()],
            loads: vec![load(1), load(16)],
        }
    }

    /// What drifts from round to round widens a way's own interval, and not that of the difference.
    #[test]
    fn what_is_added_is_compared_within_a_round() {
        let load = &report().loads[0];
        let [p50, ..] = PERCENTILES;
        let alone = load.ways[1].interval(Step::FirstByte, p50);
        assert!((alone.median - 480.0).abs() < 1.0 && alone.high - alone.low > 50.0, "{alone:?}");
        let added = load.ways[1].added(&load.ways[0], Step::FirstByte);
        assert!((added.median - 150.0).abs() < 1.0 && added.high - added.low < 1.0, "{added:?}");
    }

    #[test]
    fn a_reader_sees_every_way_under_every_load() {
        let report = report();
        let tables = report.tables();
        assert_eq!(tables.len(), 5);
        assert!(tables.iter().all(|table| table.rows.iter().all(|row| row.len() == table.columns.len())));
        assert_eq!(tables[0].rows[0].last().map(String::as_str), Some("-"), "the floor has nothing added");
        assert!(tables[0].rows[1].last().is_some_and(|cell| cell.starts_with("150 (")), "{tables:?}");
        let of_ways = &tables[4];
        assert_eq!(of_ways.rows.len(), 4);
        assert!(of_ways.rows.iter().all(|row| row[5..] == ["28", "1"]), "{of_ways:?}");
        let plots = report.plots();
        assert_eq!(plots.len(), 4);
        assert!(plots.iter().all(|plot| plot.series.iter().all(|series| series.points.len() == 2)));
        let mut keys: Vec<String> = report.metrics().into_iter().map(|metric| metric.key).collect();
        assert_eq!(keys.len(), 12);
        keys.dedup();
        assert_eq!(keys.len(), 12, "names that tell figures apart");
        let json = serde_json::to_string(&report).expect("JSON");
        assert_eq!(serde_json::from_str::<Report>(&json).expect("the same").loads, report.loads);
    }

    #[test]
    fn other_work_is_told() {
        let mut report = report();
        assert!(report.conditions().join(" ").contains("no other work"));
        report.loads[1].ways[0].rounds[3].disturbed = true;
        assert!(report.conditions().join(" ").contains("In 1 of 28 rounds the cores had other work"));
    }

    #[test]
    fn too_few_rounds_are_told() {
        let said = |rounds| Report { rounds, ..report() }.conditions().join(" ");
        assert!(said(3).contains("75 %, which for 95 % are too few"), "{}", said(3));
        assert!(said(20).contains("96 %.") && !said(20).contains("too few"), "{}", said(20));
    }
}
