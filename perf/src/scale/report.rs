//! What `bench scale` found.

use crate::load::site::Site;
use crate::ndr::report::millions;
use crate::present::{Axis, Better, Metric, Plot, PlotKind, Present, Series, TableView};
use crate::window::Spread;
use serde::{Deserialize, Serialize};

/// A run of `bench scale`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// What joined generators and workers.
    pub device: String,
    /// The case.
    pub name: String,
    /// What was balanced.
    pub site: Site,
    /// The goal that rates are of.
    pub goal: String,
    /// Cores of generators and workers, in pairs.
    pub pairs: Vec<(usize, usize)>,
    /// For each number of workers what was found.
    pub rows: Vec<Row>,
}

/// So many workers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    /// Workers.
    pub workers: u16,
    /// Whether there were too few cores, so that each worker ran alone, one after another.
    pub simulated: bool,
    /// Packets a second of all workers together; `None`: not even the least load was carried.
    pub rate: Option<f64>,
    /// Whether a generator was the limit.
    pub generator_limited: bool,
    /// Trials that did not count.
    pub voided: u32,
    /// Trials that counted though a thread was without its core.
    pub disturbed: u32,
}

impl Report {
    /// The rate of `row` as a share of what as many workers would do that disturb each other in nothing, by the first row.
    #[must_use]
    pub fn share_of_linear(&self, row: &Row) -> Option<f64> {
        let first = self.rows.first()?;
        let each = first.rate? / f64::from(first.workers.max(1));
        Some(row.rate? / (each * f64::from(row.workers)))
    }
}

impl Present for Report {
    fn title(&self) -> String {
        "Rate by number of workers".to_owned()
    }

    fn conditions(&self) -> Vec<String> {
        let pairs: Vec<String> =
            self.pairs.iter().map(|(generator, worker)| format!("{generator} and {worker}")).collect();
        let mut sentences = vec![
            format!("{}, over {}.", self.name, self.device),
            format!("Cores of generators and workers: {}.", pairs.join(", ")),
        ];
        let simulated: Vec<String> =
            self.rows.iter().filter(|row| row.simulated).map(|row| row.workers.to_string()).collect();
        if !simulated.is_empty() {
            sentences.push(format!(
                "Simulated for {} workers: there are too few cores, so each worker ran alone, one after another, and the sum \
                 counts. What workers take from each other's caches and memory is not in it.",
                simulated.join(", ")
            ));
        }
        sentences
    }

    fn tables(&self) -> Vec<TableView> {
        let columns = ["workers", "measured", "Mpps", "of linear %", "limit", "void", "disturbed"];
        let row = |row: &Row| {
            let share = self.share_of_linear(row);
            vec![
                row.workers.to_string(),
                if row.simulated { "one by one" } else { "at once" }.to_owned(),
                millions(row.rate),
                share.map_or_else(|| "-".to_owned(), |share| format!("{:.0}", share * 100.0)),
                if row.generator_limited { "generator" } else { "worker" }.to_owned(),
                row.voided.to_string(),
                row.disturbed.to_string(),
            ]
        };
        let rows = self.rows.iter().map(row).collect();
        let caption = format!("{} of {}", self.goal, self.name);
        vec![TableView { caption, columns: columns.map(str::to_owned).to_vec(), rows }]
    }

    fn plots(&self) -> Vec<Plot> {
        let points = |of: &dyn Fn(&Row) -> Option<f64>| {
            let rows = self.rows.iter();
            rows.filter_map(|row| Some((f64::from(row.workers), Spread::of([of(row)? / 1e6])))).collect()
        };
        let each = self.rows.first().and_then(|row| Some(row.rate? / f64::from(row.workers.max(1))));
        let linear = |row: &Row| each.map(|each| each * f64::from(row.workers));
        vec![Plot {
            caption: format!("{} by number of workers", self.goal),
            kind: PlotKind::Lines,
            x: Axis { label: "workers".to_owned(), ..Axis::default() },
            y: Axis { label: "Mpps".to_owned(), ..Axis::default() },
            series: vec![
                Series { name: "found".to_owned(), points: points(&|row| row.rate) },
                Series { name: "linear".to_owned(), points: points(&linear) },
            ],
        }]
    }

    fn metrics(&self) -> Vec<Metric> {
        let metric = |row: &Row| {
            let value = Spread::of([row.rate? / 1e6]);
            let key = format!("{} {} of {} workers", self.name, self.goal, row.workers);
            Some(Metric { key, unit: "Mpps", value, better: Better::Higher })
        };
        self.rows.iter().filter_map(metric).collect()
    }
}
