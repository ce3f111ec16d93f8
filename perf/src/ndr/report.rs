//! What `bench ndr` found.

use super::run::{Found, LatencyReport};
use crate::latency::Percentiles;
use crate::load::site::Site;
use crate::present::{Axis, Better, Metric, Plot, PlotKind, Present, Series, TableView};
use crate::window::Spread;
use serde::{Deserialize, Serialize};

/// Bytes that a frame takes on the wire beside itself: preamble, delimiter, gap.
const AROUND_A_FRAME: f64 = 20.0;

/// A run of `bench ndr`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// What joined generator and balancer.
    pub device: String,
    /// The cores of generator and worker; the worker's is `None` for a balancer elsewhere.
    pub cores: (usize, Option<usize>),
    /// Whether RFC 2544 was followed to the letter.
    pub strict: bool,
    /// The cases, in order.
    pub cases: Vec<CaseReport>,
}

/// What one case found.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CaseReport {
    /// The case.
    pub name: String,
    /// What was balanced.
    pub site: Site,
    /// The rates.
    pub found: Found,
    /// Latencies below them.
    pub latencies: Vec<LatencyReport>,
}

impl CaseReport {
    fn gbits(&self, rate: f64) -> f64 {
        rate * (self.site.size.mean(self.site.v6) + AROUND_A_FRAME) * 8.0 / 1e9
    }
}

/// Millions, for a table; a dash for what there is not.
pub(crate) fn millions(rate: Option<f64>) -> String {
    rate.map_or_else(|| "-".to_owned(), |rate| format!("{:.3}", rate / 1e6))
}

/// With three decimals at most.
fn decimal(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

impl Present for Report {
    fn title(&self) -> String {
        "Non-drop and partial-drop rates".to_owned()
    }

    fn conditions(&self) -> Vec<String> {
        let (generator, worker) = self.cores;
        let mut sentences = vec![match worker {
            Some(worker) => format!("Generator on core {generator}, worker on core {worker}, over {}.", self.device),
            None => format!("Generator on core {generator}, balancer elsewhere, over {}.", self.device),
        }];
        if self.strict {
            sentences.push("RFC 2544: binary search, trials of 60 seconds, no loss.".to_owned());
        } else if let Some((_, result)) = self.cases.first().and_then(|case| case.found.goals.first()) {
            let goal = result.goal;
            sentences.push(format!(
                "Multiple loss ratio search (RFC 9971): trials of {} s, {} s in all at each load, of which {} % may be bad; \
                 bounds within {} %.",
                decimal(goal.final_trial),
                decimal(goal.duration_sum),
                decimal(goal.exceed_ratio * 100.0),
                decimal(goal.width * 100.0)
            ));
        }
        for case in &self.cases {
            if let Some(limit) = case.found.generator_limit {
                let limit = limit / 1e6;
                sentences.push(format!("{}: limited by the generator, which reached {limit:.3} Mpps.", case.name));
            }
            if case.found.disturbed > 0 {
                let (name, disturbed, trials) = (&case.name, case.found.disturbed, case.found.trials);
                sentences.push(format!(
                    "{name}: in {disturbed} of {trials} trials a thread was without its core and packets were lost: the rates \
                     are those of a busy machine."
                ));
            }
            if case.found.reordered + case.found.duplicated > 0 {
                let (reordered, duplicated) = (case.found.reordered, case.found.duplicated);
                sentences.push(format!("{}: {reordered} packets out of order, {duplicated} copies.", case.name));
            }
        }
        sentences
    }

    fn tables(&self) -> Vec<TableView> {
        vec![self.rates(), self.latencies()]
    }

    fn plots(&self) -> Vec<Plot> {
        let mut plots = vec![self.bars()];
        plots.extend(self.cases.iter().filter(|case| !case.latencies.is_empty()).map(lines));
        plots
    }

    fn metrics(&self) -> Vec<Metric> {
        let mut metrics = Vec::new();
        for case in &self.cases {
            for (goal, result) in &case.found.goals {
                let Some(lower) = result.lower else { continue };
                let upper = result.upper.unwrap_or(lower);
                let value = Spread { median: lower / 1e6, min: lower / 1e6, max: upper / 1e6 };
                let key = format!("{} {goal}", case.name);
                metrics.push(Metric { key, unit: "Mpps", value, better: Better::Higher });
            }
            for report in case.latencies.iter().filter(|report| report.latency.samples > 0) {
                for (name, nanos) in [("p50", report.latency.p50), ("p99", report.latency.p99)] {
                    let key = format!("{} latency at {} {name}", case.name, report.load);
                    let value = Spread::of([nanos / 1e3]);
                    metrics.push(Metric { key, unit: "µs", value, better: Better::Lower });
                }
            }
        }
        metrics
    }
}

impl Report {
    fn rates(&self) -> TableView {
        let columns =
            ["case", "goal", "lower Mpps", "upper Mpps", "conditional Mpps", "Gbit/s", "trials", "void", "disturbed"];
        let mut rows = Vec::new();
        for case in &self.cases {
            for (goal, result) in &case.found.goals {
                let limited = case.found.generator_limit.is_some() && result.upper.is_none();
                rows.push(vec![
                    case.name.clone(),
                    goal.clone(),
                    millions(result.lower),
                    if limited { "generator".to_owned() } else { millions(result.upper) },
                    millions(result.conditional_throughput),
                    result.lower.map_or_else(|| "-".to_owned(), |rate| format!("{:.2}", case.gbits(rate))),
                    case.found.trials.to_string(),
                    case.found.voided.to_string(),
                    case.found.disturbed.to_string(),
                ]);
            }
        }
        TableView { caption: "Rates".to_owned(), columns: columns.map(str::to_owned).to_vec(), rows }
    }

    fn latencies(&self) -> TableView {
        let first = ["case", "load", "Mpps", "lost", "quiet"];
        let columns = first.iter().chain(&Percentiles::COLUMNS).map(|&name| name.to_owned()).collect();
        let mut rows = Vec::new();
        for case in &self.cases {
            for report in &case.latencies {
                let quiet = if report.disturbed { "no" } else { "yes" };
                let mut row = vec![case.name.clone(), report.load.clone(), millions(Some(report.rate))];
                row.extend([report.lost.to_string(), quiet.to_owned()]);
                row.extend(report.latency.cells());
                rows.push(row);
            }
        }
        TableView { caption: "Latency from sending to receiving".to_owned(), columns, rows }
    }

    fn bars(&self) -> Plot {
        let mut series: Vec<Series> = Vec::new();
        for (at, case) in self.cases.iter().enumerate() {
            for (goal, result) in &case.found.goals {
                let Some(lower) = result.lower else { continue };
                let value = Spread { median: lower / 1e6, min: lower / 1e6, max: result.upper.unwrap_or(lower) / 1e6 };
                let point = (at as f64, value);
                match series.iter_mut().find(|series| series.name == *goal) {
                    Some(series) => series.points.push(point),
                    None => series.push(Series { name: goal.clone(), points: vec![point] }),
                }
            }
        }
        let categories = self.cases.iter().map(|case| case.name.clone()).collect();
        Plot {
            caption: "Rates by case".to_owned(),
            kind: PlotKind::Bars,
            x: Axis { label: "case".to_owned(), categories, ..Axis::default() },
            y: Axis { label: "Mpps".to_owned(), ..Axis::default() },
            series,
        }
    }
}

fn lines(case: &CaseReport) -> Plot {
    let series = case.latencies.iter().map(|report| (report.load.as_str(), &report.latency));
    latency_plot(format!("Latency of {}", case.name), series)
}

/// Percentiles as lines, one for each name.
pub(crate) fn latency_plot<'r>(caption: String, of: impl Iterator<Item = (&'r str, &'r Percentiles)>) -> Plot {
    let points = |latency: &Percentiles| {
        latency.points().into_iter().map(|(percent, nanos)| (percent, Spread::of([nanos / 1e3]))).collect()
    };
    Plot {
        caption,
        kind: PlotKind::Lines,
        x: Axis { label: "percent of packets".to_owned(), ..Axis::default() },
        y: Axis { label: "µs".to_owned(), logarithmic: true, ..Axis::default() },
        series: of.map(|(name, latency)| Series { name: name.to_owned(), points: points(latency) }).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::frames::FrameSize;
    use crate::load::site::Mode;
    use crate::ndr::goal::Goal;
    use crate::ndr::search::GoalResult;

    fn report() -> Report {
        let result = |lower, upper| GoalResult { goal: Goal::rfc2544(), lower, upper, conditional_throughput: lower };
        let found = Found {
            goals: vec![
                ("NDR".to_owned(), result(Some(5e6), Some(5.02e6))),
                ("PDR".to_owned(), result(Some(6e6), None)),
            ],
            generator_limit: Some(6e6),
            trials: 20,
            trial_seconds: 20.0,
            voided: 1,
            disturbed: 0,
            reordered: 0,
            duplicated: 0,
        };
        let latency =
            Percentiles { samples: 10, p50: 5_000.0, p90: 6_000.0, p99: 7_000.0, p999: 8_000.0, max: 9_000.0 };
        let latencies = vec![LatencyReport {
            load: "10 % of NDR".to_owned(),
            rate: 5e5,
            offered: 10,
            lost: 0,
            disturbed: false,
            latency,
        }];
        let site = Site { mode: Mode::Gue, v6: true, pools: 1, backends: 3, flows: 9, size: FrameSize::Imix };
        let case = CaseReport { name: site.name(), site, found, latencies };
        Report { device: "nothing".to_owned(), cores: (0, Some(1)), strict: false, cases: vec![case] }
    }

    #[test]
    fn a_rate_that_the_generator_limits_says_so() {
        let report = report();
        let rates = &report.tables()[0];
        assert_eq!((&*rates.rows[0][3], &*rates.rows[1][3]), ("5.020", "generator"));
        assert!(report.conditions().iter().any(|sentence| sentence.contains("limited by the generator")));
        assert!(report.tables().iter().all(|table| table.rows.iter().all(|row| row.len() == table.columns.len())));
        assert_eq!(report.plots().len(), 2, "bars of rates and lines of latencies");
    }

    #[test]
    fn json_comes_back_with_the_same_figures() {
        let report = report();
        let back: Report = serde_json::from_str(&serde_json::to_string(&report).expect("JSON")).expect("a report");
        assert_eq!(back.metrics(), report.metrics());
        assert_eq!(report.metrics().len(), 4);
    }
}
