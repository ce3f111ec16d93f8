//! A gate for changes: instructions per packet against a baseline that is part of the source.
//!
//! Counts are the same on every run with the same compiler, so a small rise is a rise. A baseline moves only with a reason.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// By how many percent a count may differ from its baseline.
const TOLERANCE: f64 = 3.0;
/// How a baseline is changed.
const REMEDY: &str = "scripts/instructions --write \"REASON\"";

/// Instructions per packet by case: those of the worker, without source and sink.
pub type Counts = BTreeMap<String, f64>;

/// What counts are compared with: a file in TOML.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Baseline {
    /// The compiler that the counts belong to, as `rustc --version` says it.
    pub rustc: String,
    /// The counts.
    pub counts: Counts,
    /// Why they are what they are, the latest last.
    #[serde(default, rename = "change")]
    pub changes: Vec<Change>,
}

/// A change of the baseline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// Why.
    pub reason: String,
    /// What moved by more than a rounding, such as `l2dsr4 634.6 -> 590.2`; a new case has no number before the arrow.
    pub moved: Vec<String>,
}

/// What a comparison found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judgement {
    /// What keeps a change out.
    pub failures: Vec<String>,
    /// What a reader should know.
    pub notes: Vec<String>,
}

/// Why a file of counts is none.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    /// A line is not a case and its count.
    #[error("line {line}: {text:?} is not a case and its count, such as \"l2dsr4 634.6\"")]
    Line {
        /// The line, from 1.
        line: usize,
        /// What it says.
        text: String,
    },
    /// A baseline does not change without a reason.
    #[error("a baseline changes for a reason: {REMEDY}")]
    NoReason,
}

/// Reads lines of a case and its count.
///
/// # Errors
///
/// [`GateError::Line`] for a line that is something else, or whose count is not positive.
pub fn read_counts(text: &str) -> Result<Counts, GateError> {
    let read = |(number, text): (usize, &str)| {
        let mut words = text.split_whitespace();
        let pair = words.next().zip(words.next().and_then(|count| count.parse::<f64>().ok()));
        match (pair, words.next()) {
            (Some((case, count)), None) if count.is_finite() && count > 0.0 => Ok((case.to_owned(), count)),
            _ => Err(GateError::Line { line: number + 1, text: text.to_owned() }),
        }
    };
    text.lines().enumerate().map(read).collect()
}

impl Baseline {
    /// Compares counts made with this compiler.
    #[must_use]
    pub fn judge(&self, counts: &Counts, rustc: &str) -> Judgement {
        let mut judgement = Judgement::default();
        if rustc != self.rustc {
            judgement.notes.push(format!(
                "the baseline belongs to {:?} and this is {rustc:?}: counts may differ for that reason alone",
                self.rustc
            ));
        }
        for (case, &count) in counts {
            let Some(&before) = self.counts.get(case) else {
                judgement.failures.push(format!("{case}: {count:.1} and no baseline; add one: {REMEDY}"));
                continue;
            };
            let percent = (count / before - 1.0) * 100.0;
            let change = format!("{case}: {before:.1} -> {count:.1} instructions a packet ({percent:+.1} %)");
            if percent > TOLERANCE {
                judgement.failures.push(format!(
                    "{change}, at most {TOLERANCE} % more are let through; find out where they come from \
                     (callgrind_annotate), or, if they are worth it, change the baseline: {REMEDY}"
                ));
            } else if percent < -TOLERANCE {
                judgement.notes.push(format!("{change}: hold what was won, lower the baseline: {REMEDY}"));
            }
        }
        let missing = self.counts.keys().filter(|case| !counts.contains_key(*case));
        judgement
            .failures
            .extend(missing.map(|case| format!("{case}: in the baseline and not counted; if it is gone: {REMEDY}")));
        judgement
    }

    /// The baseline after a change.
    ///
    /// # Errors
    ///
    /// [`GateError::NoReason`] without one.
    pub fn changed(&self, counts: Counts, rustc: &str, reason: &str) -> Result<Self, GateError> {
        let reason = reason.trim();
        if reason.is_empty() {
            return Err(GateError::NoReason);
        }
        let moved = |(case, count): (&String, &f64)| match self.counts.get(case) {
            Some(before) if (before - count).abs() < 0.05 => None,
            Some(before) => Some(format!("{case} {before:.1} -> {count:.1}")),
            None => Some(format!("{case} -> {count:.1}")),
        };
        let gone = self.counts.keys().filter(|case| !counts.contains_key(*case)).map(|case| format!("{case} gone"));
        let moved = counts.iter().filter_map(moved).chain(gone).collect();
        let mut changes = self.changes.clone();
        changes.push(Change { reason: reason.to_owned(), moved });
        Ok(Self { rustc: rustc.to_owned(), counts, changes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUSTC: &str = "rustc 1.95.0";

    fn counts(of: &[(&str, f64)]) -> Counts {
        of.iter().map(|(case, count)| ((*case).to_owned(), *count)).collect()
    }

    fn baseline() -> Baseline {
        Baseline { rustc: RUSTC.into(), counts: counts(&[("ipip4", 700.0), ("l2dsr4", 600.0)]), changes: Vec::new() }
    }

    #[test]
    fn what_differs_by_three_percent_at_most_passes() {
        for (ipip, l2dsr) in [(700.0, 600.0), (720.9, 582.1), (679.1, 617.9)] {
            let judgement = baseline().judge(&counts(&[("ipip4", ipip), ("l2dsr4", l2dsr)]), RUSTC);
            assert_eq!(judgement, Judgement::default(), "{ipip} {l2dsr}");
        }
    }

    #[test]
    fn a_rise_fails_by_name_and_a_fall_asks_for_a_lower_baseline() {
        let judgement = baseline().judge(&counts(&[("ipip4", 721.1), ("l2dsr4", 580.0)]), RUSTC);
        let [failure] = &judgement.failures[..] else { panic!("{judgement:?}") };
        assert!(failure.starts_with("ipip4: 700.0 -> 721.1 instructions a packet (+3.0 %)"), "{failure}");
        assert!(failure.contains("scripts/instructions --write"), "{failure}");
        let [note] = &judgement.notes[..] else { panic!("{judgement:?}") };
        assert!(note.starts_with("l2dsr4: 600.0 -> 580.0 instructions a packet (-3.3 %)"), "{note}");
    }

    #[test]
    fn cases_that_come_or_go_fail() {
        let judgement = baseline().judge(&counts(&[("ipip4", 700.0), ("gre4", 650.0)]), RUSTC);
        let [new, gone] = &judgement.failures[..] else { panic!("{judgement:?}") };
        assert!(new.starts_with("gre4: 650.0 and no baseline") && gone.starts_with("l2dsr4: in the baseline"));
    }

    #[test]
    fn another_compiler_is_told_and_compared_all_the_same() {
        let judgement = baseline().judge(&counts(&[("ipip4", 800.0), ("l2dsr4", 600.0)]), "rustc 2.0.0");
        assert_eq!((judgement.failures.len(), judgement.notes.len()), (1, 1));
        assert!(judgement.notes[0].contains("1.95.0") && judgement.notes[0].contains("2.0.0"));
    }

    #[test]
    fn a_baseline_changes_with_a_reason_and_tells_what_moved() {
        let next = counts(&[("ipip4", 650.0), ("l2dsr4", 600.0), ("gre4", 640.0)]);
        assert!(matches!(baseline().changed(next.clone(), RUSTC, "  "), Err(GateError::NoReason)));
        let changed = baseline().changed(next.clone(), "rustc 2.0.0", "wider moves").expect("a reason");
        assert_eq!(changed.judge(&next, "rustc 2.0.0"), Judgement::default());
        let expected = ["gre4 -> 640.0", "ipip4 700.0 -> 650.0"].map(str::to_owned);
        assert_eq!(changed.changes, [Change { reason: "wider moves".into(), moved: expected.into() }]);
        let again = changed.changed(counts(&[("ipip4", 650.0)]), RUSTC, "less is measured").expect("a reason");
        assert_eq!(again.changes.len(), 2);
        assert_eq!(again.changes[1].moved, ["gre4 gone", "l2dsr4 gone"]);
        let text = toml::to_string(&again).expect("TOML");
        assert_eq!(toml::from_str::<Baseline>(&text).expect("the same"), again);
    }

    #[test]
    fn counts_are_read_strictly() {
        assert_eq!(read_counts("a 1.5\nb 2\n").expect("counts"), counts(&[("a", 1.5), ("b", 2.0)]));
        for bad in ["a", "a x", "a 0", "a -1", "a nan", "a 1 2", "\n"] {
            assert!(matches!(read_counts(bad), Err(GateError::Line { line: 1, .. })), "{bad:?}");
        }
    }

    #[test]
    fn the_baseline_of_this_repository_is_readable_and_its_cases_have_reasons() {
        let baseline: Baseline = toml::from_str(include_str!("../instructions.toml")).expect("a baseline");
        assert!(baseline.counts.values().all(|count| *count > 0.0) && !baseline.counts.is_empty());
        assert!(!baseline.changes.is_empty() && baseline.changes.iter().all(|change| !change.reason.is_empty()));
        assert_eq!(baseline.judge(&baseline.counts, &baseline.rustc), Judgement::default());
    }
}
