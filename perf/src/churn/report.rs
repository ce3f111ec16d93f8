//! What simulations found, for people and for programs.

use super::outcome::Outcome;
use super::setup::{Flood, Setup};
use guideway_dataplane::consistency::Rule;
use serde::Serialize;
use std::fmt;

/// One simulation.
#[derive(Clone, Debug, Serialize)]
pub struct Run {
    /// `transition` or `always`.
    pub tracking: &'static str,
    /// Words of the pin table.
    pub pins: usize,
    /// Packets of the flood for each flow.
    pub flood_rate: f64,
    /// Share of them that are made-up acknowledgements.
    pub flood_acks: f64,
    /// Where random numbers began.
    pub seed: u64,
    /// What it found.
    pub outcome: Outcome,
    /// Real time that it took, in seconds.
    pub seconds: f64,
}

/// Several simulations.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The release.
    pub version: &'static str,
    /// T, in seconds.
    pub idle_seconds: f64,
    /// Backends at the beginning.
    pub backends: u16,
    /// Time from change to change, in seconds.
    pub change_every_seconds: f64,
    /// The simulations.
    pub runs: Vec<Run>,
}

impl Run {
    /// What `setup` gave.
    #[must_use]
    pub fn new(setup: &Setup, outcome: Outcome, seconds: f64) -> Self {
        let Setup { pins, seed, flood: Flood { rate, acks }, .. } = *setup;
        let tracking = if setup.always { "always" } else { "transition" };
        Self { tracking, pins, flood_rate: rate, flood_acks: acks, seed, outcome, seconds }
    }
}

impl Report {
    /// A report without simulations yet, of those that are like `setup`.
    #[must_use]
    pub fn new(setup: &Setup) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION"),
            idle_seconds: setup.idle.as_secs_f64(),
            backends: setup.backends,
            change_every_seconds: setup.change_every.as_secs_f64(),
            runs: Vec::new(),
        }
    }
}

fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|group| std::str::from_utf8(group).ok()).collect();
    groups.join(" ")
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tracking, pins, flood_rate, flood_acks, seed, outcome, seconds } = self;
        let o = outcome;
        write!(f, "{tracking}, {} pins ({} KiB)", thousands(*pins as u64), pins * 8 / 1_024)?;
        if *flood_rate > 0.0 {
            write!(f, ", flood of {flood_rate} packets a flow, {} of them ACK", percent(*flood_acks))?;
        }
        writeln!(f, ", seed {seed}, {seconds:.0} s")?;
        let row = |f: &mut fmt::Formatter<'_>, what: &str, value: String| writeln!(f, "  {what:<44} {value:>24}");
        row(
            f,
            "flows, packets, flood packets",
            format!("{}, {}, {}", thousands(o.flows), thousands(o.packets), thousands(o.flood)),
        )?;
        row(f, "changes, workers", format!("{}, {}", o.changes, o.workers))?;
        row(f, "violations", thousands(o.violated()))?;
        for (kind, count) in &o.violations {
            row(f, &format!("  {}", kind.label()), thousands(*count))?;
        }
        row(f, "plain Maglev would have broken", thousands(o.plain))?;
        row(f, "lost with dead backends", thousands(o.lost))?;
        row(f, "named exposures that happened", thousands(o.exposed))?;
        row(f, "peak pins, memory of these", format!("{}, {} KiB", thousands(o.peak_pins), o.peak_pins * 8 / 1_024))?;
        row(f, "pins written, insertions that failed", format!("{}, {}", thousands(o.inserted), thousands(o.failed)))?;
        let evicted = [o.evicted_embryonic, o.evicted_single, o.evicted_confirmed].map(thousands).join(", ");
        row(f, "evicted: embryonic, one-packet, confirmed", evicted)?;
        row(
            f,
            "share of slots special, mean and largest",
            format!("{}, {}", percent(o.special.0), percent(o.special.1)),
        )?;
        row(f, "time in which a change waited for pins", percent(o.waiting_for_pins))?;
        row(f, "drains, of these not ended", format!("{}, {}", o.drains.0, o.drains.1))?;
        let visits = |(visits, elsewhere): (u64, u64)| format!("{} of {}", thousands(elsewhere), thousands(visits));
        row(f, "other machine elsewhere: steady slots", visits(o.fleet_steady))?;
        row(f, "other machine elsewhere: special slots", visits(o.fleet_special))
    }
}

/// What one rule is worth.
#[derive(Clone, Debug, Serialize)]
pub struct RuleReport {
    /// The rule.
    pub rule: &'static str,
    /// The sequence that it exists for.
    pub sequence: &'static str,
    /// With all rules.
    pub with: Outcome,
    /// Without this one.
    pub without: Outcome,
}

impl RuleReport {
    /// The heading of a table of rules, in Markdown.
    pub const HEADING: &'static str = "| rule | what breaks without it | violations with all rules | without it |\n\
                                       | --- | --- | ---: | ---: |";

    /// What `rule` is worth.
    #[must_use]
    pub const fn new(rule: Rule, with: Outcome, without: Outcome) -> Self {
        Self { rule: rule.label(), sequence: rule.sequence(), with, without }
    }
}

/// A row of a table, in Markdown.
impl fmt::Display for RuleReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (with, without) = (self.with.violated(), self.without.violated());
        write!(f, "| `{}` | {} | {} | {} |", self.rule, self.sequence, thousands(with), thousands(without))
    }
}
