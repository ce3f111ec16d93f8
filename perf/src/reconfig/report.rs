//! What `bench reconfig` found.

use super::changes::Kind;
use crate::latency::Percentiles;
use crate::load::site::Site;
use crate::ndr::report::{latency_plot, millions};
use crate::present::{Better, Metric, Plot, Present, TableView};
use crate::window::Spread;
use serde::{Deserialize, Serialize};

/// The most that a push may add to the latency's 99.9th percentile, in percent.
const MOST_ADDED: f64 = 20.0;
/// The longest time from publication to use by every worker, in nanoseconds.
const SOON: f64 = 50_000.0;

/// A run of `bench reconfig`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// What joined generator and balancer.
    pub device: String,
    /// The cores of generator and worker.
    pub cores: (usize, usize),
    /// The core of the pusher; `None`: the generator's, between bursts.
    pub push_core: Option<usize>,
    /// Milliseconds from push to push.
    pub period_ms: f64,
    /// What changed.
    pub kinds: Vec<Kind>,
    /// The cases.
    pub cases: Vec<CaseReport>,
}

/// One case.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CaseReport {
    /// The case.
    pub name: String,
    /// What was balanced.
    pub site: Site,
    /// The non-drop rate that was found before, in packets a second; `None`: the rate was given.
    pub non_drop_rate: Option<f64>,
    /// The load, in packets a second.
    pub rate: f64,
    /// Snapshots that were built beforehand and pushed in turns; `None`: each was built for its push.
    pub built_ahead: Option<usize>,
    /// Snapshots published in rounds whose losses count.
    pub pushes: u64,
    /// Rounds without pushes.
    pub without: Phase,
    /// Rounds with pushes.
    pub with: Phase,
    /// From publication until every worker was seen to use the snapshot.
    pub visible: Percentiles,
    /// How long a publication took the pusher.
    pub publishing: Percentiles,
    /// How long it took to free the snapshot before.
    pub freeing: Percentiles,
}

/// Rounds of one kind, in sum.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Phase {
    /// Rounds, repeated ones not counted.
    pub rounds: u32,
    /// Of these: no thread was without its core. Latencies are theirs alone, if there are any.
    pub quiet: u32,
    /// Of these: packets were lost, and a thread was without its core; no try was better. Their losses are not counted.
    pub disturbed: u32,
    /// Rounds that were repeated for that reason.
    pub voided: u32,
    /// Packets offered in rounds whose losses count.
    pub offered: u64,
    /// Packets lost in these.
    pub lost: u64,
    /// Packets that came after later ones.
    pub reordered: u64,
    /// Latencies.
    pub latency: Percentiles,
}

impl CaseReport {
    /// Packets lost to pushes: those lost with pushes beyond the share that is lost without.
    #[must_use]
    pub fn lost_to_pushes(&self) -> f64 {
        let share = self.without.lost as f64 / self.without.offered.max(1) as f64;
        (self.with.lost as f64 - share * self.with.offered as f64).max(0.0)
    }

    /// Whether losses were counted with pushes and without.
    #[must_use]
    pub const fn counts_losses(&self) -> bool {
        self.pushes > 0 && self.without.offered > 0
    }

    /// Whether there are latencies of a quiet machine with pushes and without.
    #[must_use]
    pub const fn is_quiet(&self) -> bool {
        self.with.quiet > 0 && self.without.quiet > 0
    }

    /// The time in which the load would have lost as much, in microseconds: how long traffic was blocked, in effect.
    #[must_use]
    pub fn blocked_micros(&self) -> f64 {
        self.lost_to_pushes() / self.rate.max(1.0) * 1e6
    }

    /// By how many percent the 99.9th percentile is higher with pushes.
    #[must_use]
    pub fn added_percent(&self) -> f64 {
        (self.with.latency.p999 / self.without.latency.p999.max(1.0) - 1.0) * 100.0
    }
}

impl Present for Report {
    fn title(&self) -> String {
        "Changes under load".to_owned()
    }

    fn conditions(&self) -> Vec<String> {
        let (generator, worker) = self.cores;
        let kinds: Vec<String> = self.kinds.iter().map(Kind::to_string).collect();
        let mut sentences = vec![
            format!("Generator on core {generator}, worker on core {worker}, over {}.", self.device),
            format!("A push every {} ms: {}, in every pool.", self.period_ms, kinds.join(", ")),
        ];
        sentences.push(match self.push_core {
            Some(core) => format!("The pusher has core {core}."),
            None => {
                "The pusher runs on the generator's core between bursts; in the rounds without pushes it does the same \
                     work and publishes to nobody."
                    .to_owned()
            }
        });
        for case in &self.cases {
            sentences.push(match case.built_ahead {
                Some(count) => format!("{}: {count} snapshots were built beforehand and pushed in turns.", case.name),
                None => format!("{}: each snapshot was built for its push.", case.name),
            });
            let disturbed = case.with.disturbed + case.without.disturbed;
            if disturbed > 0 {
                let (name, rounds) = (&case.name, case.with.rounds + case.without.rounds);
                sentences.push(format!(
                    "{name}: in {disturbed} of {rounds} rounds a thread was without its core and packets were lost; these \
                     losses are not counted."
                ));
            }
            if !case.is_quiet() {
                let name = &case.name;
                sentences.push(format!("{name}: no round was quiet; latencies are of a busy machine."));
            }
        }
        sentences
    }

    fn tables(&self) -> Vec<TableView> {
        vec![self.losses(), self.latencies(), self.publications(), self.lines()]
    }

    fn plots(&self) -> Vec<Plot> {
        let plot = |case: &CaseReport| {
            let of = [("without pushes", &case.without.latency), ("with pushes", &case.with.latency)];
            latency_plot(format!("Latency of {}", case.name), of.into_iter())
        };
        self.cases.iter().map(plot).collect()
    }

    fn metrics(&self) -> Vec<Metric> {
        let metric = |case: &CaseReport, name: &str, unit, value| Metric {
            key: format!("{} {name}", case.name),
            unit,
            value: Spread::of([value]),
            better: Better::Lower,
        };
        let of = |case: &CaseReport| {
            [
                metric(case, "lost to pushes", "packets", case.lost_to_pushes()),
                metric(case, "visible p50", "µs", case.visible.p50 / 1e3),
                metric(case, "visible p99", "µs", case.visible.p99 / 1e3),
                metric(case, "p99.9 with pushes", "µs", case.with.latency.p999 / 1e3),
            ]
        };
        self.cases.iter().flat_map(of).collect()
    }
}

fn owned(columns: &[&str]) -> Vec<String> {
    columns.iter().map(|&name| name.to_owned()).collect()
}

impl Report {
    fn losses(&self) -> TableView {
        let columns = [
            "case",
            "pushes",
            "Mpps",
            "rounds",
            "void",
            "quiet",
            "lost without",
            "lost with",
            "to pushes",
            "blocked µs",
        ];
        let row = |case: &CaseReport| {
            vec![
                case.name.clone(),
                case.pushes.to_string(),
                millions(Some(case.rate)),
                (case.with.rounds + case.without.rounds).to_string(),
                (case.with.voided + case.without.voided).to_string(),
                (case.with.quiet + case.without.quiet).to_string(),
                case.without.lost.to_string(),
                case.with.lost.to_string(),
                format!("{:.0}", case.lost_to_pushes()),
                format!("{:.1}", case.blocked_micros()),
            ]
        };
        let rows = self.cases.iter().map(row).collect();
        TableView { caption: "Packets lost".to_owned(), columns: owned(&columns), rows }
    }

    fn latencies(&self) -> TableView {
        let mut rows = Vec::new();
        for case in &self.cases {
            for (name, phase) in [("no", &case.without), ("yes", &case.with)] {
                let mut row = vec![case.name.clone(), name.to_owned()];
                row.extend(phase.latency.cells());
                rows.push(row);
            }
        }
        let columns = [&["case", "pushes"][..], &Percentiles::COLUMNS].concat();
        TableView { caption: "Latency from sending to receiving".to_owned(), columns: owned(&columns), rows }
    }

    fn publications(&self) -> TableView {
        let mut rows = Vec::new();
        for case in &self.cases {
            for (name, of) in [
                ("used by every worker", &case.visible),
                ("publication", &case.publishing),
                ("freeing the one before", &case.freeing),
            ] {
                let mut row = vec![case.name.clone(), name.to_owned()];
                row.extend(of.cells());
                rows.push(row);
            }
        }
        let columns = [&["case", "time"][..], &Percentiles::COLUMNS].concat();
        TableView { caption: "Publications".to_owned(), columns: owned(&columns), rows }
    }

    /// What changes must not do.
    fn lines(&self) -> TableView {
        let mut rows = Vec::new();
        for case in &self.cases {
            let (lost, added) = (case.lost_to_pushes(), case.added_percent());
            let mut line = |what: &str, found: String, is_known: bool, is_so: bool| {
                let (found, holds) = match (is_known, is_so) {
                    (false, _) => ("the machine was busy".to_owned(), "unknown"),
                    (true, true) => (found, "yes"),
                    (true, false) => (found, "no"),
                };
                rows.push(vec![case.name.clone(), what.to_owned(), found, holds.to_owned()]);
            };
            let found = format!("{lost:.0} in {} pushes", case.pushes);
            line("no packet is lost to pushes", found, case.counts_losses(), lost == 0.0);
            let (visible, quiet) = (case.visible.p50, case.is_quiet());
            let found = format!("{:.1} µs", visible / 1e3);
            line("used by every worker within 50 µs (median)", found, quiet, visible <= SOON);
            line("p99.9 rises by 20 % at most", format!("{added:+.1} %"), quiet, added <= MOST_ADDED);
        }
        let columns = ["case", "line", "found", "holds"];
        TableView { caption: "What changes must not do".to_owned(), columns: owned(&columns), rows }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::frames::FrameSize;
    use crate::load::site::Mode;

    fn phase(lost: u64, p999: f64) -> Phase {
        let latency = Percentiles { samples: 1, p999, ..Percentiles::default() };
        Phase { rounds: 2, quiet: 2, offered: 1_000_000, lost, latency, ..Phase::default() }
    }

    fn report(without: Phase, with: Phase) -> Report {
        let site = Site { mode: Mode::Ipip, v6: false, pools: 1, backends: 3, flows: 9, size: FrameSize::Fixed(64) };
        let visible = Percentiles { samples: 9, p50: 20_000.0, ..Percentiles::default() };
        let case = CaseReport {
            name: "a case".to_owned(),
            site,
            non_drop_rate: None,
            rate: 1e6,
            built_ahead: Some(4),
            pushes: 100,
            without,
            with,
            visible,
            publishing: visible,
            freeing: visible,
        };
        let (device, kinds) = ("nothing".to_owned(), vec![Kind::Kill]);
        Report { device, cores: (0, 1), push_core: None, period_ms: 10.0, kinds, cases: vec![case] }
    }

    fn holds(report: &Report) -> Vec<String> {
        report.lines().rows.iter().map(|row| row[3].clone()).collect()
    }

    #[test]
    fn what_is_lost_without_pushes_is_not_lost_to_them() {
        let found = report(phase(10, 1_000.0), phase(10, 1_200.0));
        assert_eq!(holds(&found), ["yes", "yes", "yes"]);
        let found = report(phase(10, 1_000.0), phase(50, 1_300.0));
        assert!((found.cases[0].lost_to_pushes() - 40.0).abs() < 1e-9);
        assert!((found.cases[0].blocked_micros() - 40.0).abs() < 1e-9);
        assert_eq!(holds(&found), ["no", "yes", "no"]);
    }

    #[test]
    fn nothing_is_claimed_of_a_busy_machine() {
        let busy = Phase { quiet: 0, disturbed: 2, offered: 0, lost: 0, ..phase(0, 1e6) };
        assert_eq!(holds(&report(busy, phase(0, 1.0))), ["unknown", "unknown", "unknown"]);
    }

    #[test]
    fn tables_are_rectangular_and_json_comes_back() {
        let found = report(phase(0, 1_000.0), phase(1, 2_000.0));
        for table in found.tables() {
            assert!(table.rows.iter().all(|row| row.len() == table.columns.len()), "{table:?}");
        }
        let text = serde_json::to_string(&found).expect("JSON");
        let back: Report = serde_json::from_str(&text).expect("a report");
        assert_eq!(back.metrics(), found.metrics());
    }
}
