//! What changed from one run to another, beyond noise.
//!
//! A figure comes as the median of some windows with the lowest and the highest of them. It *changed* if
//!
//! 1. the medians differ by more than [`LEAST_CHANGE`], and
//! 2. each median lies outside of the other run's range, from lowest to highest.
//!
//! The second needs no assumption about how noise is distributed. If two runs of seven windows each are of the same
//! thing, all orders of the 14 windows are equally likely, and 40 of 3,432 have both medians outside: 1.2 % of figures
//! would be called changed, at most, before the first condition takes out more. It still finds a change that
//! is smaller than the whole range, since ranges may overlap as long as no median is in one.
//!
//! Where the first holds and the second does not, the run was too short or the machine too busy: *unclear*.

use super::figure::{figure, spread};
use super::{facts, markdown, numeric_columns};
use crate::present::{Better, Metric, TableView};
use crate::record::Record;
use crate::window::Spread;
use std::fmt;

/// The smallest change of a median that counts, as a share: code laid out otherwise makes that much.
pub const LEAST_CHANGE: f64 = 0.03;

/// What became of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The medians differ by [`LEAST_CHANGE`] at most.
    Same,
    /// They differ by more, but noise may be the reason.
    Unclear,
    /// It improved.
    Better,
    /// It got worse.
    Worse,
}

impl Verdict {
    /// What became of a figure that was `a` and is `b`.
    #[must_use]
    pub fn of(a: &Spread, b: &Spread, better: Better) -> Self {
        let (low, high) = (a.median.min(b.median), a.median.max(b.median));
        // Without a ratio, as with zero or two signs, every difference is large.
        let small = low == high || low > 0.0 && high / low <= 1.0 + LEAST_CHANGE;
        let small = small || high < 0.0 && low / high <= 1.0 + LEAST_CHANGE;
        let (lower, higher) = if a.median < b.median { (a, b) } else { (b, a) };
        if small {
            Self::Same
        } else if higher.median <= lower.max || lower.median >= higher.min {
            Self::Unclear
        } else if (b.median < a.median) == (better == Better::Lower) {
            Self::Better
        } else {
            Self::Worse
        }
    }

    /// In a table.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Unclear => "unclear",
            Self::Better => "better",
            Self::Worse => "WORSE",
        }
    }
}

/// A figure that both runs have.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Names the case.
    pub key: String,
    /// Its unit.
    pub unit: &'static str,
    /// In the first run.
    pub a: Spread,
    /// In the second run.
    pub b: Spread,
    /// What is better.
    pub better: Better,
    /// What became of it.
    pub verdict: Verdict,
}

impl Change {
    /// B over A; `None` if A is zero.
    #[must_use]
    pub fn ratio(&self) -> Option<f64> {
        (self.a.median != 0.0).then(|| self.b.median / self.a.median)
    }

    /// By how many percent of A it got worse, beyond noise; infinite from zero on, zero if it did not.
    #[must_use]
    pub fn worse_percent(&self) -> f64 {
        match self.verdict {
            Verdict::Worse => (self.b.median - self.a.median).abs() / self.a.median.abs() * 100.0,
            Verdict::Same | Verdict::Unclear | Verdict::Better => 0.0,
        }
    }
}

/// Two runs side by side.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// Revision and release of both, and when they began.
    pub runs: [String; 2],
    /// Conditions that differ.
    pub warnings: Vec<String>,
    /// What both have, in the order of the first.
    pub changes: Vec<Change>,
    /// Figures of the first that the second has not, with their units.
    pub only_a: Vec<String>,
    /// Figures of the second that the first has not, with their units.
    pub only_b: Vec<String>,
}

impl Comparison {
    /// Compares `b` to `a`.
    #[must_use]
    pub fn of(a: &Record, b: &Record) -> Self {
        let [of_a, of_b] = [a, b].map(|record| record.results.present().metrics());
        let (changes, only_a, only_b) = compare(&of_a, &of_b);
        let run = |record: &Record| {
            let title = record.results.present().title();
            format!("{title}; release {}, revision {}, {}", record.version, record.revision, facts::started(record))
        };
        Self { runs: [run(a), run(b)], warnings: facts::differences(a, b), changes, only_a, only_b }
    }

    /// Those that got worse by more than so many percent, beyond noise.
    pub fn regressions(&self, percent: f64) -> impl Iterator<Item = &Change> {
        self.changes.iter().filter(move |change| change.worse_percent() > percent)
    }

    fn table(&self) -> TableView {
        let row = |change: &Change| {
            let ratio = change.ratio().map_or("-".to_owned(), |ratio| format!("{ratio:.3}"));
            let [a, b] = [&change.a, &change.b].map(spread);
            vec![change.key.clone(), change.unit.to_owned(), a, b, ratio, change.verdict.label().to_owned()]
        };
        TableView {
            caption: String::new(),
            columns: ["case", "unit", "A", "B", "B / A", "change"].map(str::to_owned).into(),
            rows: self.changes.iter().map(row).collect(),
        }
    }

    /// What the verdicts mean, in one line.
    fn legend() -> String {
        let percent = figure(LEAST_CHANGE * 100.0);
        format!("same: medians within {percent} %; unclear: further apart, but one lies in the other run's range")
    }

    /// In Markdown.
    #[must_use]
    pub fn markdown(&self) -> String {
        let [a, b] = self.runs.each_ref().map(|run| markdown::escape(run));
        let mut text = format!("A: {a}  \nB: {b}\n\n");
        let lists =
            [("Conditions that differ:", &self.warnings), ("Only in A:", &self.only_a), ("Only in B:", &self.only_b)];
        for (heading, lines) in lists.into_iter().filter(|(_, lines)| !lines.is_empty()) {
            let lines: String = lines.iter().map(|line| format!("- {}\n", markdown::escape(line))).collect();
            text += &format!("{heading}\n\n{lines}\n");
        }
        format!("{text}{}\n{}\n", markdown::table(&self.table()), Self::legend())
    }
}

/// For a terminal.
impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b] = &self.runs;
        writeln!(f, "A: {a}\nB: {b}\n")?;
        for warning in &self.warnings {
            writeln!(f, "conditions differ: {warning}")?;
        }
        for (run, keys) in [("A", &self.only_a), ("B", &self.only_b)] {
            keys.iter().try_for_each(|key| writeln!(f, "only in {run}: {key}"))?;
        }
        let table = self.table();
        let numeric = numeric_columns(&table);
        let lines = || [&table.columns].into_iter().chain(&table.rows);
        let width = |column: usize| lines().map(|line| line[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<_> = (0..table.columns.len()).map(width).collect();
        for line in lines() {
            let pad = |(column, cell): (usize, &String)| match numeric[column] {
                true => format!("{cell:>0$}", widths[column]),
                false => format!("{cell:<0$}", widths[column]),
            };
            writeln!(f, "{}", line.iter().enumerate().map(pad).collect::<Vec<_>>().join("  ").trim_end())?;
        }
        writeln!(f, "\n{}", Self::legend())
    }
}

/// What both have, what only the first has, and what only the second has. The same key in another unit is another
/// figure; of keys that occur several times the first belongs to the first, and so on.
fn compare(a: &[Metric], b: &[Metric]) -> (Vec<Change>, Vec<String>, Vec<String>) {
    let name = |metric: &Metric| format!("{}, {}", metric.key, metric.unit);
    let mut rest: Vec<&Metric> = b.iter().collect();
    let (mut changes, mut only_a) = (Vec::new(), Vec::new());
    for metric in a {
        match rest.iter().position(|other| (&other.key, other.unit) == (&metric.key, metric.unit)) {
            Some(place) => changes.push(change(metric, rest.remove(place))),
            None => only_a.push(name(metric)),
        }
    }
    (changes, only_a, rest.into_iter().map(name).collect())
}

fn change(a: &Metric, b: &Metric) -> Change {
    Change {
        key: a.key.clone(),
        unit: a.unit,
        a: a.value,
        b: b.value,
        better: a.better,
        verdict: Verdict::of(&a.value, &b.value, a.better),
    }
}
