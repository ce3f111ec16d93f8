//! What `bench scrape` found.

use super::Kind;
use crate::clock::Unit;
use crate::latency::Percentiles;
use crate::present::{Axis, Better, Metric, Plot, PlotKind, Present, Series, TableView};
use crate::window::Spread;
use serde::{Deserialize, Serialize};

/// The share of the control core that scrapes may take, in percent.
const MOST_ADDED: f64 = 10.0;
/// A worker that was without its core for a larger share of the time, in percent, is not judged: what ran meanwhile took its
/// caches.
const MOST_LOST: f64 = 5.0;
/// Rounds of a kind that tell how far rounds differ among themselves.
const FEWEST_ROUNDS: usize = 3;

/// A run of `bench scrape`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// VIPs, each with a pool of its own.
    pub vips: u16,
    /// Backends of all pools.
    pub backends: u32,
    /// Milliseconds from scrape to scrape.
    pub period_ms: f64,
    /// Seconds of a round.
    pub round_seconds: f64,
    /// Cores of the control side, of the worker and of the client.
    pub cores: (usize, usize, usize),
    /// What the worker's cost is in.
    pub unit: Unit,
    /// Ticks of that a second.
    pub hz: u64,
    /// What was found, by kind of round, in the order of [`Kind::ALL`].
    pub phases: Vec<Phase>,
}

/// The rounds of one kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Phase {
    /// What was scraped.
    pub kind: Kind,
    /// Its rounds, each of which follows that of the kind before.
    pub rounds: Vec<Round>,
    /// Times of scrapes, from connecting to the last byte.
    pub times: Percentiles,
    /// Bytes of the last answer, without its head.
    pub bytes: u64,
    /// Series in it.
    pub series: u64,
}

/// One round.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Round {
    /// How long it was, in seconds: longer than asked for if its last scrape was still under way.
    pub seconds: f64,
    /// Scrapes.
    pub scrapes: u32,
    /// Processor time of the control side's threads, in percent of the round.
    pub control_percent: f64,
    /// Ticks that a packet cost the worker, source and sink included, of the time in which it had its core.
    pub cost: f64,
    /// The share of the time in which it did not have it, in percent.
    pub lost_percent: f64,
}

impl Phase {
    fn spread(&self, value: impl Fn(&Round) -> f64) -> Spread {
        Spread::of(self.rounds.iter().map(value))
    }
}

impl Report {
    fn quiet(&self) -> &[Round] {
        self.phases.iter().find(|phase| phase.kind == Kind::Quiet).map_or(&[], |phase| &phase.rounds)
    }

    /// What a phase's rounds have beyond the quiet ones that they follow.
    fn beyond(&self, phase: &Phase, added: impl Fn(&Round, &Round) -> f64) -> Spread {
        Spread::of(phase.rounds.iter().zip(self.quiet()).map(|(with, without)| added(with, without)))
    }

    /// Percent of the control core that scrapes take.
    #[must_use]
    pub fn control_added(&self, phase: &Phase) -> Spread {
        self.beyond(phase, |with, without| with.control_percent - without.control_percent)
    }

    /// Milliseconds of the control core's time that one scrape takes.
    #[must_use]
    pub fn scrape_ms(&self, phase: &Phase) -> Spread {
        self.beyond(phase, |with, without| {
            let added = with.control_percent - without.control_percent;
            added / 100.0 * with.seconds * 1e3 / f64::from(with.scrapes.max(1))
        })
    }

    /// Percent that a packet costs the worker more.
    #[must_use]
    pub fn cost_added(&self, phase: &Phase) -> Spread {
        self.beyond(phase, |with, without| (with.cost / without.cost - 1.0) * 100.0)
    }

    /// How far quiet rounds differ among themselves in what a packet costs: the highest from the lowest, in percent. `None`
    /// if there are too few to tell.
    #[must_use]
    pub fn noise(&self) -> Option<f64> {
        let costs = Spread::of(self.quiet().iter().map(|round| round.cost));
        (self.quiet().len() >= FEWEST_ROUNDS).then(|| (costs.max / costs.min - 1.0) * 100.0)
    }

    /// Whether the worker had its core in nearly all of the time, in rounds of every kind.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.phases.iter().all(|phase| phase.spread(|round| round.lost_percent).median <= MOST_LOST)
    }

    fn scraped(&self) -> impl Iterator<Item = &Phase> {
        self.phases.iter().filter(|phase| phase.kind != Kind::Quiet)
    }

    fn name(&self, kind: Kind) -> String {
        format!("{kind} of {} VIPs and {} backends", self.vips, self.backends)
    }
}

impl Present for Report {
    fn title(&self) -> String {
        "Scraping the metrics".to_owned()
    }

    fn conditions(&self) -> Vec<String> {
        let (control, worker, client) = self.cores;
        vec![
            format!("{} VIPs with a pool each, {} backends in all.", self.vips, self.backends),
            format!("A scrape each {} ms, in the form of OpenMetrics, over the control socket.", self.period_ms),
            format!("Rounds of {} s in turns, the first one to warm up.", self.round_seconds),
            format!("Cores: control side {control}, worker {worker}, client {client}, whose own time does not count."),
            "The worker forwards 64-byte frames on buffers in memory, and never is idle.".to_owned(),
            "Backends have a check each, once an hour, so no probe has a round trip: the series of these are missing."
                .to_owned(),
        ]
    }

    fn tables(&self) -> Vec<TableView> {
        vec![self.costs(), self.scrapes(), self.lines()]
    }

    fn plots(&self) -> Vec<Plot> {
        let phases = || (0..).zip(&self.phases);
        let points = phases().map(|(place, phase)| (f64::from(place), phase.spread(|round| round.control_percent)));
        vec![Plot {
            caption: "Processor time of the control side".to_owned(),
            kind: PlotKind::Bars,
            x: Axis {
                label: "scraped".to_owned(),
                categories: phases().map(|(_, phase)| phase.kind.to_string()).collect(),
                ..Axis::default()
            },
            y: Axis { label: "% of the core".to_owned(), ..Axis::default() },
            series: vec![Series { name: "control side".to_owned(), points: points.collect() }],
        }]
    }

    fn metrics(&self) -> Vec<Metric> {
        let of = |phase: &Phase| {
            let name = self.name(phase.kind);
            let metric =
                |what: &str, unit, value| Metric { key: format!("{name}: {what}"), unit, value, better: Better::Lower };
            [
                metric("control core", "%", self.control_added(phase)),
                metric("packet", self.unit.label(), phase.spread(|round| round.cost)),
                metric("scrape p50", "ms", Spread::of([phase.times.p50 / 1e6])),
                metric("size", "bytes", Spread::of([phase.bytes as f64])),
            ]
        };
        self.scraped().flat_map(of).collect()
    }
}

fn owned(columns: &[&str]) -> Vec<String> {
    columns.iter().map(|&name| name.to_owned()).collect()
}

/// With the lowest and the highest in parentheses.
fn range(spread: Spread) -> String {
    format!("{:.2} ({:.2} - {:.2})", spread.median, spread.min, spread.max)
}

impl Report {
    fn costs(&self) -> TableView {
        let row = |phase: &Phase| {
            let cost = phase.spread(|round| round.cost);
            let mut row = vec![phase.kind.to_string(), range(phase.spread(|round| round.control_percent))];
            row.extend(if phase.kind == Kind::Quiet {
                ["-", "-"].map(str::to_owned)
            } else {
                let added = self.control_added(phase);
                [range(added), format!("{:.1}", self.scrape_ms(phase).median)]
            });
            row.push(range(cost));
            row.push(if phase.kind == Kind::Quiet { "-".to_owned() } else { range(self.cost_added(phase)) });
            row.push(format!("{:.2}", self.hz as f64 / cost.median.max(f64::MIN_POSITIVE) / 1e6));
            row.push(format!("{:.1}", phase.spread(|round| round.lost_percent).median));
            row
        };
        let per_packet = format!("{} a packet", self.unit.label());
        let columns = ["scraped", "control core %", "added %", "ms a scrape", &per_packet, "more %", "Mpps", "lost %"];
        let rows = self.phases.iter().map(row).collect();
        TableView { caption: "What scraping costs".to_owned(), columns: owned(&columns), rows }
    }

    fn scrapes(&self) -> TableView {
        let row = |phase: &Phase| {
            let Percentiles { samples, p50, p99, max, .. } = phase.times;
            let mut row = vec![phase.kind.to_string(), samples.to_string(), phase.bytes.to_string()];
            row.push(phase.series.to_string());
            row.extend([p50, p99, max].map(|nanos| format!("{:.1}", nanos / 1e6)));
            row
        };
        let columns = ["scraped", "scrapes", "bytes", "series", "p50 ms", "p99 ms", "max ms"];
        TableView { caption: "Scrapes".to_owned(), columns: owned(&columns), rows: self.scraped().map(row).collect() }
    }

    /// What scrapes must not do.
    fn lines(&self) -> TableView {
        let mut rows = Vec::new();
        for phase in self.scraped() {
            let (control, cost) = (self.control_added(phase).median, self.cost_added(phase).median);
            let mut line = |what: &str, found: String, holds: Option<bool>| {
                let holds = holds.map_or("unknown", |holds| if holds { "yes" } else { "no" });
                rows.push(vec![phase.kind.to_string(), what.to_owned(), found, holds.to_owned()]);
            };
            let found = format!("{control:.2} %");
            line("less than 10 % of the control core", found, Some(control < MOST_ADDED));
            let (found, holds) = match self.noise() {
                _ if !self.is_quiet() => ("the machine was busy".to_owned(), None),
                None => ("too few rounds to tell".to_owned(), None),
                Some(noise) => (format!("{cost:+.2} %, quiet rounds differ by {noise:.2} %"), Some(cost <= noise)),
            };
            line("nothing measurable of the worker", found, holds);
        }
        let columns = ["scraped", "line", "found", "holds"];
        TableView { caption: "What scraping must not do".to_owned(), columns: owned(&columns), rows }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phase(kind: Kind, rounds: &[(f64, f64)]) -> Phase {
        let round =
            |&(control_percent, cost)| Round { seconds: 2.0, scrapes: 4, control_percent, cost, lost_percent: 0.0 };
        let times = Percentiles { samples: 2, p50: 3e6, ..Percentiles::default() };
        Phase { kind, rounds: rounds.iter().map(round).collect(), times, bytes: 10, series: 1 }
    }

    fn report(quiet: &[(f64, f64)], with: &[(f64, f64)]) -> Report {
        Report {
            vips: 1,
            backends: 2,
            period_ms: 1_000.0,
            round_seconds: 1.0,
            cores: (0, 1, 0),
            unit: Unit::Cycles,
            hz: 2_000_000_000,
            phases: vec![phase(Kind::Quiet, quiet), phase(Kind::Backends, with)],
        }
    }

    fn holds(report: &Report) -> Vec<String> {
        report.lines().rows.iter().map(|row| row[3].clone()).collect()
    }

    #[test]
    fn what_is_added_is_the_difference_to_the_round_before() {
        let found = report(&[(2.0, 50.0), (30.0, 100.0), (3.0, 50.0)], &[(7.0, 51.0), (36.0, 102.0), (10.0, 51.0)]);
        let phase = &found.phases[1];
        assert_eq!(found.control_added(phase), Spread { median: 6.0, min: 5.0, max: 7.0 });
        let cost = found.cost_added(phase);
        assert!((cost.min - 2.0).abs() < 1e-9 && (cost.max - 2.0).abs() < 1e-9, "{cost:?}");
        assert!(found.noise().is_some_and(|noise| (noise - 100.0).abs() < 1e-9));
        assert_eq!(found.costs().rows[1][3], "30.0", "6 % of two seconds in four scrapes");
        assert_eq!(found.costs().rows[0][6], "40.00", "2 GHz at 50 cycles a packet");
    }

    #[test]
    fn lines_hold_or_do_not_and_a_single_round_tells_nothing_of_noise() {
        let quiet = [(1.0, 50.0), (1.0, 50.5), (1.0, 50.0)];
        assert_eq!(holds(&report(&quiet, &[(4.0, 50.2), (4.0, 50.2), (4.0, 50.2)])), ["yes", "yes"]);
        assert_eq!(holds(&report(&quiet, &[(11.5, 55.0), (11.5, 55.0), (11.5, 55.0)])), ["no", "no"]);
        assert_eq!(holds(&report(&quiet[..1], &[(4.0, 50.0)])), ["yes", "unknown"]);
    }

    #[test]
    fn nothing_is_claimed_of_the_worker_on_a_busy_machine() {
        let mut found = report(&[(1.0, 50.0); 3], &[(4.0, 50.0); 3]);
        found.phases[0].rounds.iter_mut().for_each(|round| round.lost_percent = 6.0);
        assert_eq!(holds(&found), ["yes", "unknown"]);
    }

    #[test]
    fn tables_are_rectangular_and_json_comes_back() {
        let found = report(&[(1.0, 50.0)], &[(2.0, 51.0)]);
        for table in found.tables() {
            assert!(table.rows.iter().all(|row| row.len() == table.columns.len()), "{table:?}");
        }
        let text = serde_json::to_string(&found).expect("JSON");
        let back: Report = serde_json::from_str(&text).expect("a report");
        assert_eq!(back.metrics(), found.metrics());
    }
}
