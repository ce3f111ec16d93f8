//! `guideway bench scrape`: what it costs to be scraped.

use super::options::seconds;
use super::output::{self, OutputArgs};
use super::rig;
use crate::Failure;
use crate::run::{enter_bg, enter_rt, enter_worker, pin};
use clap::value_parser;
use guideway_config::model::Idle;
use guideway_dpdk::Tsc;
use guideway_perf::record::Results;
use guideway_perf::scrape::report::Report;
use guideway_perf::scrape::run::run;
use guideway_perf::scrape::{Enter, Kind, MAX_BACKENDS, MAX_VIPS, Options, Thread};
use std::sync::Arc;
use std::time::Duration;

/// Options of `bench scrape`.
#[derive(clap::Args)]
pub(super) struct Args {
    /// VIPs, each with a pool of its own.
    #[arg(long, default_value_t = 1_000, value_parser = value_parser!(u16).range(1..=i64::from(MAX_VIPS)))]
    vips: u16,
    /// Backends of all pools together, as many in each.
    #[arg(long, default_value_t = 10_000, value_parser = value_parser!(u32).range(1..=i64::from(MAX_BACKENDS)))]
    backends: u32,
    /// Time of a round.
    #[arg(long, default_value = "10", value_parser = seconds)]
    seconds: Duration,
    /// Rounds of each kind: without scrapes, with them, with those that leave backends out.
    #[arg(long, default_value_t = 5, value_parser = value_parser!(u32).range(1..=10_000))]
    rounds: u32,
    /// Time from scrape to scrape, in seconds.
    #[arg(long, default_value = "1", value_parser = seconds)]
    period: Duration,
    /// Core of the control side [default: the first one].
    #[arg(long)]
    control_core: Option<usize>,
    /// Core of the worker [default: the last one].
    #[arg(long)]
    worker_core: Option<usize>,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) fn scrape(args: &Args) -> Result<(), Failure> {
    let begun = output::begin();
    let report = measure(args)?;
    output::show(&args.output, Results::Scrape(report), begun)
}

fn measure(args: &Args) -> Result<Report, Failure> {
    let options = options(args, rig::cores())?;
    let progress = output::progress();
    let rounds = args.rounds * Kind::ALL.len() as u32;
    let told = |done: u32| {
        progress.set_message(format!("{done} of {rounds} rounds"));
        progress.tick();
    };
    let report = run(&options, &Tsc::calibrate(), &enter(&options), told)?;
    progress.finish_and_clear();
    Ok(report)
}

fn options(args: &Args, cores: &[usize]) -> Result<Options, Failure> {
    let (vips, backends) = (u32::from(args.vips), args.backends);
    let each = u16::try_from(backends / vips).ok().filter(|_| backends.is_multiple_of(vips));
    let Some(backends_each) = each else {
        return Err(Failure::Usage(format!(
            "{backends} backends cannot be shared out evenly to the pools of {vips} VIPs; give a multiple of {vips} as --backends"
        )));
    };
    if args.period > args.seconds {
        let (period, seconds) = (args.period.as_secs_f64(), args.seconds.as_secs_f64());
        return Err(Failure::Usage(format!(
            "--period {period} is longer than a round; give --seconds {period} at least, not {seconds}"
        )));
    }
    let control_core = args.control_core.or(cores.first().copied()).unwrap_or(0);
    let worker_core = args.worker_core.or(cores.last().copied()).unwrap_or(0);
    for core in [control_core, worker_core] {
        rig::known(cores, core)?;
    }
    if control_core == worker_core {
        return Err(Failure::Usage(format!(
            "worker and control side need a core each, and both are to run on core {worker_core} of {cores:?}; give another \
             --control-core, or more cores"
        )));
    }
    let free = cores.iter().copied().find(|core| ![control_core, worker_core].contains(core));
    Ok(Options {
        vips: args.vips,
        backends_each,
        round: args.seconds,
        rounds: args.rounds,
        period: args.period,
        control_core,
        worker_core,
        client_core: free.unwrap_or(control_core),
    })
}

/// Cores and priorities, as `guideway run` gives them.
fn enter(options: &Options) -> Enter {
    let Options { control_core, worker_core, client_core, .. } = *options;
    Arc::new(move |thread| match thread {
        Thread::Worker => enter_worker(worker_core, Idle::Poll),
        Thread::Rt => enter_rt(control_core, false),
        Thread::Bg => enter_bg(control_core),
        Thread::Checks => pin(control_core),
        Thread::Client => pin(client_core),
    })
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

    fn parse(line: &str) -> Result<Args, String> {
        Cli::try_parse_from(line.split(' ')).map(|cli| cli.args).map_err(|error| error.to_string())
    }

    fn found(line: &str, cores: &[usize]) -> Result<Options, String> {
        options(&parse(line)?, cores).map_err(|failure| failure.text())
    }

    #[test]
    fn backends_are_shared_out_evenly() {
        let options = found("scrape", &[0, 1]).expect("good usage");
        assert_eq!((options.vips, options.backends_each), (1_000, 10));
        for (line, part) in [
            ("scrape --vips 3 --backends 10", "a multiple of 3"),
            ("scrape --vips 10 --backends 5", "a multiple of 10"),
            ("scrape --vips 1001", "1..=1000"),
            ("scrape --seconds 1 --period 2", "--seconds 2"),
        ] {
            assert!(found(line, &[0, 1]).is_err_and(|text| text.contains(part)), "{line}");
        }
    }

    #[test]
    fn worker_and_control_side_have_a_core_each_and_the_client_a_third_one_if_there_is_one() {
        let cores = |line, cores: &[usize]| {
            found(line, cores).map(|options| (options.control_core, options.worker_core, options.client_core))
        };
        assert_eq!(cores("scrape", &[0, 1]), Ok((0, 1, 0)));
        assert_eq!(cores("scrape", &[0, 1, 2]), Ok((0, 2, 1)));
        assert_eq!(cores("scrape --control-core 2 --worker-core 1", &[0, 1, 2]), Ok((2, 1, 0)));
        assert!(cores("scrape", &[5]).is_err_and(|text| text.contains("both are to run on core 5")));
        assert!(cores("scrape --worker-core 7", &[0, 1]).is_err_and(|text| text.contains("core 7")));
    }

    #[test]
    fn a_short_run_scrapes() {
        if rig::cores().len() < 2 {
            return;
        }
        let args = parse("scrape --vips 10 --backends 100 --seconds 0.2 --rounds 1 --period 0.05").expect("good usage");
        let report = measure(&args).unwrap_or_else(|failure| panic!("{}", failure.text()));
        assert_eq!((report.vips, report.backends), (10, 100));
        let scraped = report.phases.iter().filter(|phase| phase.kind != Kind::Quiet);
        assert!(scraped.clone().all(|phase| phase.times.samples > 0 && phase.series > 0), "{report:?}");
        assert_eq!(scraped.count(), 2);
    }
}
