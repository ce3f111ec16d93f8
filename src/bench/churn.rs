//! `guideway bench churn`: simulates flows while backends come and go.

use crate::Failure;
use clap::{ValueEnum, value_parser};
use guideway_dataplane::consistency::Rule;
use guideway_perf::churn::report::{Report, RuleReport, Run};
use guideway_perf::churn::{Flood, Setup, rules, run};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// The packets of a flood for each real flow.
const FLOOD_RATE: f64 = 10.0;

/// Options of `bench churn`.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Flows that begin.
    #[arg(long, default_value_t = Setup::default().flows, value_parser = value_parser!(u64).range(1..=1_000_000_000))]
    flows: u64,
    /// Changes of backends, evenly over the time in which flows begin.
    #[arg(long, default_value_t = Setup::default().changes, value_parser = value_parser!(u64).range(1..=1_000_000))]
    changes: u64,
    /// Backends at the beginning.
    #[arg(long, default_value_t = Setup::default().backends, value_parser = value_parser!(u16).range(10..=30_000))]
    backends: u16,
    /// Virtual seconds from change to change.
    #[arg(long, default_value_t = Setup::default().change_every.as_secs())]
    change_every: u64,
    /// T: how long a flow may be silent, in virtual seconds.
    #[arg(long, default_value_t = Setup::default().idle.as_secs(), value_parser = value_parser!(u64).range(10..=86_400))]
    idle: u64,
    /// Words of the pin table; each value is a simulation.
    #[arg(long, value_delimiter = ',', default_value = "1048576")]
    pins: Vec<usize>,
    /// Which flows are pinned; each value is a simulation.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "transition")]
    tracking: Vec<Tracking>,
    /// A flood of ten times the packets that begin flows; each value is a simulation.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "none")]
    flood: Vec<FloodKind>,
    /// Where random numbers begin: the same seed gives the same run.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Takes each rule of connection consistency away, one at a time, in a small simulation that has what it is about.
    #[arg(long)]
    rules: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Tracking {
    /// Flows on slots that a change moves.
    Transition,
    /// Every flow.
    Always,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FloodKind {
    /// No flood.
    None,
    /// SYNs of made-up clients.
    Syn,
    /// Half SYNs, half acknowledgements.
    Half,
}

impl From<FloodKind> for Flood {
    fn from(kind: FloodKind) -> Self {
        match kind {
            FloodKind::None => Self::default(),
            FloodKind::Syn => Self { rate: FLOOD_RATE, acks: 0.0 },
            FloodKind::Half => Self { rate: FLOOD_RATE, acks: 0.5 },
        }
    }
}

pub(super) fn churn(args: &Args) -> Result<(), Failure> {
    if args.rules {
        return take_rules_away(args);
    }
    let mut report = Report::new(&base(args));
    for setup in setups(args) {
        let started = Instant::now();
        let outcome = run(&setup, progress());
        let run = Run::new(&setup, outcome, started.elapsed().as_secs_f64());
        if !args.json {
            println!("{run}");
        }
        report.runs.push(run);
    }
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    }
    Ok(())
}

fn take_rules_away(args: &Args) -> Result<(), Failure> {
    let mut reports = Vec::with_capacity(Rule::ALL.len());
    if !args.json {
        println!("{}", RuleReport::HEADING);
    }
    for &rule in Rule::ALL {
        let seeded = |setup| Setup { seed: args.seed, ..setup };
        let with = run(&seeded(rules::setup(rule)), |_| ());
        let without = run(&seeded(rules::without(rule)), |_| ());
        let report = RuleReport::new(rule, with, without);
        if !args.json {
            println!("{report}");
        }
        reports.push(report);
    }
    if args.json {
        println!("{}", serde_json::to_string_pretty(&reports)?);
    }
    Ok(())
}

fn base(args: &Args) -> Setup {
    Setup {
        seed: args.seed,
        flows: args.flows,
        changes: args.changes,
        backends: args.backends,
        change_every: Duration::from_secs(args.change_every.max(1)),
        idle: Duration::from_secs(args.idle),
        ..Setup::default()
    }
}

/// Every combination of what was asked for.
fn setups(args: &Args) -> Vec<Setup> {
    let base = base(args);
    let mut setups = Vec::new();
    for tracking in &args.tracking {
        for &pins in &args.pins {
            for &flood in &args.flood {
                let always = *tracking == Tracking::Always;
                setups.push(Setup { always, pins, flood: flood.into(), ..base.clone() });
            }
        }
    }
    setups
}

/// Shows on a terminal how much of a simulation is done.
fn progress() -> impl FnMut(f64) {
    let watched = std::io::stderr().is_terminal();
    move |done: f64| {
        if watched {
            eprint!("\r{:3.0} %", done * 100.0);
            if done >= 0.99 {
                eprint!("\r     \r");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    fn parse(line: &str) -> Result<Args, clap::Error> {
        Ok(Cli::try_parse_from(line.split(' '))?.args)
    }

    #[test]
    fn each_combination_is_a_simulation() {
        let args = parse("churn --tracking transition,always --pins 64,128,256 --flood none,half --flows 7 --seed 3");
        let setups = setups(&args.expect("good usage"));
        assert_eq!(setups.len(), 12);
        assert!(setups.iter().all(|setup| (setup.flows, setup.seed, setup.idle) == (7, 3, Duration::from_secs(900))));
        assert_eq!(setups.iter().filter(|setup| setup.always && setup.flood.acks > 0.0).count(), 3);
    }

    #[test]
    fn nonsense_is_bad_usage() {
        for option in ["--flows 0", "--backends 5", "--idle 1", "--flood much", "--tracking never"] {
            assert!(parse(&format!("churn {option}")).is_err(), "{option}");
        }
    }
}
