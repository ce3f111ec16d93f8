//! `guideway bench probes`: what health checks of many backends cost.

use super::options::seconds;
use super::output::{self, OutputArgs};
use crate::Failure;
use crate::run::enter_worker;
use clap::value_parser;
use guideway_config::model::Idle;
use guideway_dpdk::Tsc;
use guideway_perf::probes::report::Report;
use guideway_perf::probes::run::run;
use guideway_perf::probes::{MAX_BACKENDS, Options};
use guideway_perf::record::Results;
use std::time::Duration;

/// Options of `bench probes`.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Numbers of backends.
    #[arg(long, value_delimiter = ',', default_values_t = [1_000, 10_000], value_parser = value_parser!(u32).range(1..=i64::from(MAX_BACKENDS)))]
    backends: Vec<u32>,
    /// From probe to probe of one backend, in milliseconds; the timeout too.
    #[arg(long, default_value_t = 20, value_parser = value_parser!(u64).range(5..=60_000))]
    interval: u64,
    /// How long each number is measured.
    #[arg(long, default_value = "10", value_parser = seconds)]
    seconds: Duration,
    /// Core of the worker [default: the last one].
    #[arg(long)]
    core: Option<usize>,
    /// Core of the control thread [default: the first one].
    #[arg(long)]
    control_core: Option<usize>,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) fn probes(args: &Args) -> Result<(), Failure> {
    let options = options(args)?;
    let begun = output::begin();
    let clock = Tsc::calibrate();
    let mut report = Report::new(&options);
    for &backends in &args.backends {
        report.cases.push(run(&options, backends, &clock, |core| enter_worker(core, Idle::Poll))?);
    }
    output::show(&args.output, Results::Probes(report), begun)
}

fn options(args: &Args) -> Result<Options, Failure> {
    let cores: Vec<usize> = core_affinity::get_core_ids().unwrap_or_default().iter().map(|core| core.id).collect();
    let worker_core = args.core.or(cores.last().copied()).unwrap_or(0);
    let control_core = args.control_core.or(cores.first().copied()).unwrap_or(0);
    for core in [worker_core, control_core] {
        if !cores.contains(&core) {
            return Err(Failure::Usage(format!("cannot run on core {core}; this process may use {cores:?}")));
        }
    }
    if worker_core == control_core {
        let message =
            format!("worker and control thread both on core {worker_core}: give them different ones of {cores:?}");
        return Err(Failure::Usage(message));
    }
    Ok(Options { interval: Duration::from_millis(args.interval), seconds: args.seconds, worker_core, control_core })
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
    fn nonsense_is_bad_usage() {
        for option in ["--backends 0", "--backends 50001", "--interval 4", "--seconds 0"] {
            assert!(parse(&format!("probes {option}")).is_err(), "{option}");
        }
        for (line, part) in
            [("probes --core 100000", "core 100000"), ("probes --core 0 --control-core 0", "both on core 0")]
        {
            let refused = options(&parse(line).expect("good syntax"));
            assert!(matches!(&refused, Err(Failure::Usage(text)) if text.contains(part)), "{line}");
        }
    }
}
