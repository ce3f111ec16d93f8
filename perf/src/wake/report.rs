//! What was found of idle workers, for people and for programs.

use super::{Mode, Options};
use crate::present::{Axis, Better, Metric, Plot, PlotKind, Present, Series, TableView};
use crate::window::Spread;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// Latencies above this are counted as this, in nanoseconds: ten seconds.
const LONGEST: u64 = 10_000_000_000;
/// Parts of a run that its spread is taken over.
const PARTS: usize = 5;

/// A run of the benchmark of idle workers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// The release that was measured.
    pub version: String,
    /// The device that the worker polled.
    pub device: String,
    /// The device that packets were sent by.
    pub sender: String,
    /// The worker's core.
    pub worker_core: usize,
    /// The sender's core.
    pub sender_core: usize,
    /// The shortest gap between packets, in milliseconds.
    pub shortest_gap_ms: f64,
    /// The longest gap between packets, in milliseconds.
    pub longest_gap_ms: f64,
    /// The ways to be idle, in order.
    pub modes: Vec<ModeReport>,
}

/// What one way to be idle gave. Times are in microseconds, from just before the sender's call to the worker's hand-over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModeReport {
    /// As the configuration calls it.
    pub mode: String,
    /// Packets that were measured.
    pub packets: u64,
    /// Packets that did not come through within a second.
    pub lost: u64,
    /// Half of the packets were not slower.
    pub p50_us: f64,
    /// 90 of 100 were not slower.
    pub p90_us: f64,
    /// 99 of 100 were not slower.
    pub p99_us: f64,
    /// The slowest one.
    pub max_us: f64,
    /// The 50th percentiles of five parts of the run.
    pub p50_parts_us: Spread,
    /// The 99th percentiles of five parts of the run.
    pub p99_parts_us: Spread,
    /// Processor time of the worker's thread, in percent of the time that it ran.
    pub processor_percent: f64,
    /// What `status` would show as busy, in percent.
    pub busy_percent: f64,
    /// How often the worker slept until something woke it.
    pub sleeps: u64,
}

/// What was measured of one way to be idle.
#[derive(Clone, Debug, Default)]
pub struct Samples {
    /// Latencies in nanoseconds, in their order.
    pub latencies: Vec<u64>,
    /// Packets that did not come through.
    pub lost: u64,
    /// How long the worker ran.
    pub ran: Duration,
    /// Processor time that it took.
    pub processor: Duration,
    /// Share of its time that it was busy, 0 to 1.
    pub busy_share: f64,
    /// How often it slept.
    pub sleeps: u64,
}

/// A histogram of these, to three digits.
fn histogram(latencies: &[u64]) -> Histogram<u64> {
    // The bounds are good ones, known here.
    let mut histogram = Histogram::new_with_bounds(1, LONGEST, 3).unwrap_or_else(|_| unreachable!("good bounds"));
    latencies.iter().for_each(|latency| histogram.saturating_record(*latency));
    histogram
}

fn micros(nanos: u64) -> f64 {
    nanos as f64 / 1e3
}

impl ModeReport {
    /// Of these samples.
    #[must_use]
    pub fn new(mode: Mode, samples: &Samples) -> Self {
        let whole = histogram(&samples.latencies);
        let at = |quantile| micros(whole.value_at_quantile(quantile));
        let size = samples.latencies.len().div_ceil(PARTS).max(1);
        let parts: Vec<_> = samples.latencies.chunks(size).map(histogram).collect();
        let spread = |quantile| Spread::of(parts.iter().map(|part| micros(part.value_at_quantile(quantile))));
        Self {
            mode: mode.label().to_owned(),
            packets: whole.len(),
            lost: samples.lost,
            p50_us: at(0.5),
            p90_us: at(0.9),
            p99_us: at(0.99),
            max_us: micros(whole.max()),
            p50_parts_us: spread(0.5),
            p99_parts_us: spread(0.99),
            processor_percent: 100.0 * samples.processor.as_secs_f64() / samples.ran.as_secs_f64().max(1e-9),
            busy_percent: 100.0 * samples.busy_share,
            sleeps: samples.sleeps,
        }
    }
}

impl Report {
    /// A report without results yet.
    #[must_use]
    pub fn new(options: &Options) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            device: options.device.clone(),
            sender: options.sender.clone(),
            worker_core: options.worker_core,
            sender_core: options.sender_core,
            shortest_gap_ms: options.shortest_gap.as_secs_f64() * 1e3,
            longest_gap_ms: options.longest_gap.as_secs_f64() * 1e3,
            modes: Vec::new(),
        }
    }
}

impl fmt::Display for ModeReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:10} {:>8} {:>6} {:>9.1} {:>9.1} {:>9.1} {:>9.1} {:>8.1} % {:>5.2} % {:>8}",
            self.mode,
            self.packets,
            self.lost,
            self.p50_us,
            self.p90_us,
            self.p99_us,
            self.max_us,
            self.processor_percent,
            self.busy_percent,
            self.sleeps
        )
    }
}

impl Present for Report {
    fn title(&self) -> String {
        "Latency and processor time of an idle worker".to_owned()
    }

    fn conditions(&self) -> Vec<String> {
        vec![
            format!("The worker on core {} polls {}.", self.worker_core, self.device),
            format!(
                "The sender on core {} writes one packet at a time by {}, {} to {} ms after the one before came through.",
                self.sender_core, self.sender, self.shortest_gap_ms, self.longest_gap_ms
            ),
            "Latency is from just before the sender's call to the worker's hand-over for sending.".to_owned(),
        ]
    }

    fn tables(&self) -> Vec<TableView> {
        let columns =
            ["idle", "packets", "lost", "p50 µs", "p90 µs", "p99 µs", "max µs", "processor %", "busy %", "sleeps"];
        let row = |mode: &ModeReport| {
            let figure = |value: f64| format!("{value:.1}");
            vec![
                mode.mode.clone(),
                mode.packets.to_string(),
                mode.lost.to_string(),
                figure(mode.p50_us),
                figure(mode.p90_us),
                figure(mode.p99_us),
                figure(mode.max_us),
                figure(mode.processor_percent),
                format!("{:.2}", mode.busy_percent),
                mode.sleeps.to_string(),
            ]
        };
        let columns = columns.map(str::to_owned).into();
        vec![TableView { caption: self.title(), columns, rows: self.modes.iter().map(row).collect() }]
    }

    fn plots(&self) -> Vec<Plot> {
        let categories: Vec<String> = self.modes.iter().map(|mode| mode.mode.clone()).collect();
        let x = Axis { label: "idle".to_owned(), categories, ..Axis::default() };
        let bars = |name: &str, value: &dyn Fn(&ModeReport) -> Spread| Series {
            name: name.to_owned(),
            points: (0..).zip(&self.modes).map(|(place, mode)| (f64::from(place), value(mode))).collect(),
        };
        let exact = |value: f64| Spread { median: value, min: value, max: value };
        let plot = |caption: &str, label: &str, logarithmic: bool, series: Vec<Series>| Plot {
            caption: caption.to_owned(),
            kind: PlotKind::Bars,
            x: x.clone(),
            y: Axis { label: label.to_owned(), logarithmic, ..Axis::default() },
            series,
        };
        vec![
            plot(
                "latency",
                "µs",
                true,
                vec![bars("p50", &|mode| mode.p50_parts_us), bars("p99", &|mode| mode.p99_parts_us)],
            ),
            plot(
                "processor time of the worker",
                "% of a core",
                false,
                vec![bars("processor", &|mode| exact(mode.processor_percent))],
            ),
        ]
    }

    fn metrics(&self) -> Vec<Metric> {
        let of_mode = |mode: &ModeReport| {
            let metric = |what: &str, unit: &'static str, value: Spread| Metric {
                key: format!("{}, {}, {what}", self.device, mode.mode),
                unit,
                value,
                better: Better::Lower,
            };
            let processor = mode.processor_percent;
            [
                metric("p50", "µs", mode.p50_parts_us),
                metric("p99", "µs", mode.p99_parts_us),
                metric("processor", "%", Spread { median: processor, min: processor, max: processor }),
            ]
        };
        self.modes.iter().flat_map(of_mode).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let options = Options {
            device: "net_tap0".to_owned(),
            sender: "net_af_packet0".to_owned(),
            worker_core: 1,
            sender_core: 0,
            packets: 1_000,
            shortest_gap: Duration::from_millis(1),
            longest_gap: Duration::from_millis(50),
        };
        let samples = Samples {
            latencies: (1..=1_000).map(|micros| micros * 1_000).collect(),
            lost: 2,
            ran: Duration::from_secs(10),
            processor: Duration::from_secs(1),
            busy_share: 0.25,
            sleeps: 7,
        };
        Report { modes: vec![ModeReport::new(Mode::Interrupt, &samples)], ..Report::new(&options) }
    }

    fn near(value: f64, expected: f64) -> bool {
        (value - expected).abs() <= expected / 500.0
    }

    #[test]
    fn percentiles_are_those_of_the_samples() {
        let report = report();
        let mode = &report.modes[0];
        assert_eq!((mode.packets, mode.lost, mode.sleeps), (1_000, 2, 7));
        let found = [(mode.p50_us, 500.0), (mode.p90_us, 900.0), (mode.p99_us, 990.0), (mode.max_us, 1_000.0)];
        assert!(found.iter().all(|(value, expected)| near(*value, *expected)), "{mode:?}");
        let parts = mode.p50_parts_us;
        assert!(near(parts.min, 100.0) && near(parts.median, 500.0) && near(parts.max, 900.0), "{parts:?}");
        assert!(near(mode.processor_percent, 10.0) && near(mode.busy_percent, 25.0));
    }

    #[test]
    fn the_slowest_packet_is_not_rounded_away_and_none_is_no_error() {
        let slow = Samples { latencies: vec![2 * LONGEST], ..Samples::default() };
        assert!(ModeReport::new(Mode::Poll, &slow).max_us >= micros(LONGEST));
        let none = ModeReport::new(Mode::Poll, &Samples::default());
        assert_eq!((none.packets, none.max_us), (0, 0.0));
    }

    #[test]
    fn a_reader_sees_every_mode() {
        let report = report();
        let table = &report.tables()[0];
        assert_eq!(table.rows.len(), 1);
        assert!(table.rows.iter().all(|row| row.len() == table.columns.len()));
        let keys: Vec<String> = report.metrics().into_iter().map(|metric| metric.key).collect();
        let expected = ["p50", "p99", "processor"].map(|what| format!("net_tap0, interrupt, {what}"));
        assert_eq!(keys, expected);
        assert!(report.plots().iter().all(|plot| plot.series.iter().all(|series| series.points.len() == 1)));
        let json = serde_json::to_string(&report).expect("JSON");
        let read: Report = serde_json::from_str(&json).expect("the same");
        assert_eq!(read.modes, report.modes);
    }
}
