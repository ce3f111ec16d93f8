//! `guideway bench maglev`: how long tables take to build, how even they are, and what changes move.

use super::options::seconds;
use super::output::{self, OutputArgs};
use crate::Failure;
use clap::value_parser;
use guideway_dataplane::table::MAX_POOL_BACKENDS;
use guideway_dpdk::Tsc;
use guideway_perf::maglev::{Options, run};
use guideway_perf::record::Results;
use std::time::Duration;

/// Options of `bench maglev`.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Slots of the tables, each a prime.
    #[arg(long, value_delimiter = ',', default_value = "65537,655373", value_parser = value_parser!(u32).range(2..=16_777_213))]
    slots: Vec<u32>,
    /// Backends of the pools.
    #[arg(long, value_delimiter = ',', default_value = "1000", value_parser = value_parser!(u16).range(2..=MAX_POOL_BACKENDS as i64))]
    backends: Vec<u16>,
    /// Time for each time that is measured: two for each table.
    #[arg(long, default_value = "2", value_parser = seconds)]
    seconds: Duration,
    /// Choices of the backends that change, for each number of them.
    #[arg(long, default_value_t = 5, value_parser = value_parser!(u32).range(1..=1_000))]
    samples: u32,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) fn maglev(args: &Args) -> Result<(), Failure> {
    let begun = output::begin();
    let Args { slots, backends, samples, seconds, .. } = args;
    let options = Options { slots: slots.clone(), backends: backends.clone(), time: *seconds, samples: *samples };
    // Nothing is wrong with the machine if there is no table: a number of slots is no prime.
    let report =
        run(&Tsc::calibrate(), &options, |_| ()).map_err(|error| Failure::Usage(format!("--slots: {error}")))?;
    output::show(&args.output, Results::Maglev(report), begun)
}
