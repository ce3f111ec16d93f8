//! `guideway bench maglev`: how long tables take to build, how even they are, and what changes move.

use crate::Failure;
use clap::value_parser;
use guideway_dpdk::Tsc;
use guideway_perf::machine::Machine;
use guideway_perf::maglev::{Options, run};
use guideway_perf::record::{Record, Results, Start};
use guideway_perf::scenario::MAX_BACKENDS;
use std::path::PathBuf;
use std::time::Duration;

/// Options of `bench maglev`.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Slots of the tables, each a prime.
    #[arg(long, value_delimiter = ',', default_value = "65537,655373", value_parser = value_parser!(u32).range(2..=16_777_213))]
    slots: Vec<u32>,
    /// Backends of the pools.
    #[arg(long, value_delimiter = ',', default_value = "1000", value_parser = value_parser!(u16).range(2..=i64::from(MAX_BACKENDS)))]
    backends: Vec<u16>,
    /// Time for each time that is measured: two for each table.
    #[arg(long, default_value = "2", value_parser = super::seconds)]
    seconds: Duration,
    /// Choices of the backends that change, for each number of them.
    #[arg(long, default_value_t = 5, value_parser = value_parser!(u32).range(1..=1_000))]
    samples: u32,
    /// Print the record as JSON.
    #[arg(long)]
    json: bool,
    /// Write the record to this file, for `bench report` and `bench compare`.
    #[arg(long)]
    out: Option<PathBuf>,
}

pub(super) fn maglev(args: &Args) -> Result<(), Failure> {
    let start = Start::now();
    let clock = Tsc::calibrate();
    let Args { slots, backends, samples, seconds, .. } = args;
    let options = Options { slots: slots.clone(), backends: backends.clone(), time: *seconds, samples: *samples };
    // Nothing is wrong with the machine if there is no table: a number of slots is no prime.
    let report = run(&clock, &options, |_| ()).map_err(|error| Failure::Usage(format!("--slots: {error}")))?;
    let text = report.to_string();
    let record = Record::new(Results::Maglev(report), Machine::this(None, Some(clock.hz())), start);
    if let Some(path) = &args.out {
        record.write(path).map_err(|error| Failure::Usage(error.to_string()))?;
    }
    if args.json {
        print!("{}", record.to_json()?);
    } else {
        print!("{text}");
    }
    Ok(())
}
