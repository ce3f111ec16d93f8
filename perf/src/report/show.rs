//! What a reader sees of a run.

use super::{CaseReport, Report};
use crate::clock::Unit;
use crate::present::{Axis, Better, Metric, Plot, PlotKind, Present, Series, TableView};
use crate::window::{Feed, Spread};
use std::collections::BTreeMap;

/// The fewest numbers of flows that make a line.
const FEWEST_POINTS: usize = 3;

impl Present for Report {
    fn title(&self) -> String {
        format!("Cost of a packet in {}", self.unit.label())
    }

    fn conditions(&self) -> Vec<String> {
        let Self { device, core, processor, .. } = self;
        let kind = if self.virtual_machine { "virtual machine" } else { "bare metal" };
        let ticks = match self.unit {
            Unit::Cycles => format!("; its time stamp counter has {:.2} GHz", self.hz as f64 / 1e9),
            Unit::Ns => String::new(),
        };
        let mut sentences = vec![
            format!("Device: {device}."),
            format!("Core {core} of {processor} ({kind}){ticks}."),
            "Source and sink alone and each case run in turns; net is the difference of each pair of windows."
                .to_owned(),
            match self.feed {
                Feed::Own => format!("{} packets wait between source and worker.", self.lead),
                Feed::Generator => {
                    "Only polls that found a full burst count; starved: the share of the others.".to_owned()
                }
                Feed::Network => "Only polls that found packets count; starved: the share of the others.".to_owned(),
            },
        ];
        if let Some(percent) = self.steal_percent {
            sentences.push(format!("Taken by the hypervisor: {percent:.1} % of the time, as far as it tells."));
        }
        sentences
    }

    fn tables(&self) -> Vec<TableView> {
        let mut columns: Vec<Column> = vec![
            ("case", |case| case.name.clone()),
            ("flows", |case| case.flows.to_string()),
            ("VIPs", |case| case.vips.to_string()),
            ("pools", |case| case.pools.to_string()),
            ("backends", |case| case.backends.to_string()),
            ("slots", |case| case.table_size.to_string()),
            ("bytes", |case| case.frame_bytes.to_string()),
            ("Mpps", |case| format!("{:.1}", case.mpps)),
            ("baseline", |case| format!("{:.1}", case.baseline.median)),
            ("in all", |case| spread(&case.in_all)),
            ("net", |case| spread(&case.net)),
            ("lost %", |case| format!("{:.1}", case.lost_percent)),
        ];
        if self.feed != Feed::Own {
            columns.push(("a poll", |case| format!("{:.1}", case.packets_per_poll)));
            columns.push(("starved %", |case| format!("{:.1}", case.starved_percent)));
        }
        if self.feed == Feed::Network {
            columns.push(("expected %", |case| format!("{:.1}", case.expected_percent)));
        }
        columns.push(("note", |case| if case.is_disturbed() { "disturbed".to_owned() } else { String::new() }));
        let row = |case: &CaseReport| columns.iter().map(|(_, cell)| cell(case)).collect();
        vec![TableView {
            caption: "each: median (lowest - highest) of the windows".to_owned(),
            columns: columns.iter().map(|(name, _)| (*name).to_owned()).collect(),
            rows: self.cases.iter().map(row).collect(),
        }]
    }

    fn plots(&self) -> Vec<Plot> {
        let y = || Axis { label: format!("{} a packet", self.unit.label()), ..Axis::default() };
        let points = (0..).zip(&self.cases).map(|(place, case)| (f64::from(place), case.net)).collect();
        let bars = Plot {
            caption: "net cost".to_owned(),
            kind: PlotKind::Bars,
            x: Axis { label: "case".to_owned(), categories: self.labels(), ..Axis::default() },
            y: y(),
            series: vec![Series { name: "net".to_owned(), points }],
        };
        let series = self.by_flows();
        let lines = (!series.is_empty()).then(|| Plot {
            caption: "net cost by flows".to_owned(),
            kind: PlotKind::Lines,
            x: Axis { label: "flows".to_owned(), logarithmic: true, ..Axis::default() },
            y: y(),
            series,
        });
        std::iter::once(bars).chain(lines).collect()
    }

    fn metrics(&self) -> Vec<Metric> {
        let metric = |case: &CaseReport| Metric {
            key: case.key(),
            unit: self.unit.label(),
            value: case.net,
            better: Better::Lower,
        };
        self.cases.iter().map(metric).collect()
    }
}

/// A column's name, and what a case has there.
type Column = (&'static str, fn(&CaseReport) -> String);

/// A number of a case that takes part in its name, and what to call it.
type Dimension = (fn(&CaseReport) -> usize, &'static str);

const DIMENSIONS: [Dimension; 6] = [
    (|case| case.flows as usize, "flows"),
    (|case| usize::from(case.vips), "VIPs"),
    (|case| usize::from(case.pools), "pools"),
    (|case| usize::from(case.backends), "backends"),
    (|case| case.table_size as usize, "slots"),
    (|case| case.frame_bytes, "bytes"),
];

fn spread(spread: &Spread) -> String {
    format!("{:.1} ({:.1} - {:.1})", spread.median, spread.min, spread.max)
}

impl Report {
    /// Names of the cases for an axis: with the numbers that differ between cases of the same name.
    fn labels(&self) -> Vec<String> {
        self.cases.iter().map(|case| label(case, &self.cases, &DIMENSIONS)).collect()
    }

    /// A line for all cases that differ in nothing but the number of flows.
    fn by_flows(&self) -> Vec<Series> {
        let others: Vec<Dimension> = DIMENSIONS.into_iter().filter(|(_, unit)| *unit != "flows").collect();
        let mut lines = BTreeMap::<_, Vec<&CaseReport>>::new();
        for case in &self.cases {
            let rest: Vec<usize> = others.iter().map(|(of, _)| of(case)).collect();
            lines.entry((&case.name, rest)).or_default().push(case);
        }
        lines.retain(|_, cases| cases.len() >= FEWEST_POINTS);
        let drawn: Vec<&CaseReport> = lines.values().flatten().copied().collect();
        let line = |cases: &Vec<&CaseReport>| {
            let mut points: Vec<_> = cases.iter().map(|case| (f64::from(case.flows), case.net)).collect();
            points.sort_by(|(a, _), (b, _)| a.total_cmp(b));
            let name = cases.first().map(|case| label(case, drawn.iter().copied(), &others));
            Series { name: name.unwrap_or_default(), points }
        };
        lines.values().map(line).collect()
    }
}

/// The name of a case, with those of its numbers in which others of the same name differ.
fn label<'a>(case: &CaseReport, all: impl IntoIterator<Item = &'a CaseReport>, dimensions: &[Dimension]) -> String {
    let same: Vec<&CaseReport> = all.into_iter().filter(|other| other.name == case.name).collect();
    let differs = |(of, _): &&Dimension| same.iter().any(|other| of(other) != of(case));
    let numbers = dimensions.iter().filter(differs).map(|(of, unit)| format!(", {} {unit}", of(case)));
    std::iter::once(case.name.clone()).chain(numbers).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Case;
    use crate::suite;
    use crate::window::Window;
    use std::collections::HashSet;

    fn report(cases: &[Case], feed: Feed) -> Report {
        let window = |ticks| Window { ticks, packets: 100, share: 1.0, polls: 4, counted: 3 };
        let case = |case| CaseReport::new(case, 1_000, &[(window(1_000), window(3_000))], 100.0).expect("packets");
        Report {
            version: "0".to_owned(),
            device: "memory".to_owned(),
            processor: "a processor".to_owned(),
            virtual_machine: true,
            core: 1,
            unit: Unit::Ns,
            hz: 1_000,
            lead: 64,
            feed,
            steal_percent: Some(0.5),
            cases: cases.iter().map(case).collect(),
        }
    }

    #[test]
    fn every_case_of_the_full_suite_has_names_of_its_own() {
        let report = report(&suite::full(), Feed::Own);
        let keys: HashSet<String> = report.metrics().into_iter().map(|metric| metric.key).collect();
        assert_eq!(keys.len(), report.cases.len());
        assert_eq!(report.labels().iter().collect::<HashSet<_>>().len(), report.cases.len());
    }

    #[test]
    fn tables_have_as_many_cells_as_columns_and_tell_what_was_starved() {
        for (feed, more) in [(Feed::Own, 0), (Feed::Generator, 2), (Feed::Network, 3)] {
            let table = report(&suite::quick(), feed).tables().remove(0);
            assert_eq!(table.columns.len(), 13 + more);
            assert_eq!(table.rows.len(), suite::quick().len());
            assert!(table.rows.iter().all(|row| row.len() == table.columns.len() && row[10].starts_with("20.0 (")));
            if feed != Feed::Own {
                assert_eq!(&table.rows[0][12..14], ["33.3", "25.0"]);
            }
        }
    }

    #[test]
    fn cases_over_flows_are_lines_and_a_name_has_what_differs() {
        let case = |flows, backends| Case { flows, backends, ..Case::default() };
        let cases = [case(1_000, 10), case(1, 10), case(100, 10), case(1, 20), case(2, 20)];
        let report = report(&cases, Feed::Own);
        assert_eq!(report.labels()[0], "l2dsr IPv4, 1000 flows, 10 backends");
        let plots = report.plots();
        assert_eq!(plots.len(), 2);
        let [line] = &plots[1].series[..] else { panic!("one line: two points make none") };
        assert_eq!(line.name, "l2dsr IPv4");
        assert_eq!(line.points.iter().map(|(flows, _)| *flows as u32).collect::<Vec<_>>(), [1, 100, 1_000]);
    }

    #[test]
    fn what_was_disturbed_is_marked() {
        let window = |ticks, share| Window { ticks, packets: 100, share, polls: 2, counted: 2 };
        let note = |baselines: [(u64, f64); 3]| {
            let pairs = baselines.map(|(ticks, share)| (window(ticks, share), window(2_000, share)));
            let case = CaseReport::new(&Case::default(), 1, &pairs, 100.0).expect("packets");
            let table = Report { cases: vec![case], ..report(&[], Feed::Own) }.tables().remove(0);
            table.rows[0].last().expect("a note").clone()
        };
        assert_eq!(note([(1_000, 1.0), (1_000, 0.99), (1_200, 1.0)]), "");
        assert_eq!(note([(1_000, 0.9), (1_000, 0.9), (1_000, 1.0)]), "disturbed", "time was lost");
        assert_eq!(note([(1_000, 1.0), (1_000, 1.0), (1_300, 1.0)]), "disturbed", "the baseline varied");
    }

    #[test]
    fn a_pair_without_packets_does_not_count() {
        let window = |packets| Window { ticks: 1_000, packets, share: 1.0, polls: 1, counted: 1 };
        let pairs = [(window(10), window(5)), (window(0), window(5)), (window(10), window(0))];
        let found = CaseReport::new(&Case::default(), 1, &pairs, 100.0).expect("one pair");
        assert_eq!((found.windows, found.packets, found.net.median), (1, 5, 100.0));
        assert!(CaseReport::new(&Case::default(), 1, &pairs[1..], 100.0).is_none());
    }
}
