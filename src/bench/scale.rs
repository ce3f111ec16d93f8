//! `guideway bench scale`: the rate by number of workers.

use super::output::{self, OutputArgs};
use super::rig::{self, DeviceKind, NDR, PlaceArgs, SearchArgs, SiteArgs};
use crate::Failure;
use clap::value_parser;
use guideway_dpdk::Tsc;
use guideway_perf::load::dpdk::Buffers;
use guideway_perf::load::joint::{Joints, MemoryJoints, pin};
use guideway_perf::load::site::Site;
use guideway_perf::record::Results;
use guideway_perf::scale::fleet::measure;
use guideway_perf::scale::report::Report;

/// Options of `bench scale`.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Numbers of workers. With fewer than two cores for each, workers run alone, one after another.
    #[arg(long, value_delimiter = ',', default_value = "1,2,4", value_parser = value_parser!(u16).range(1..=64))]
    workers: Vec<u16>,
    #[command(flatten)]
    site: SiteArgs,
    #[command(flatten)]
    search: SearchArgs,
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) fn scale(args: &Args) -> Result<(), Failure> {
    let begun = output::begin();
    let report = run(args)?;
    output::show(&args.output, Results::Scale(report), begun)
}

fn run(args: &Args) -> Result<Report, Failure> {
    let sites = args.site.sites(1)?;
    let [site] = sites[..] else {
        return Err(Failure::Usage("one case at a time: give one --mode, --family and --frame-size".to_owned()));
    };
    let first = args.place.pair()?;
    let pairs = pairs(rig::cores(), first);
    match args.place.device {
        DeviceKind::Dpdk => {
            let mut joints = Buffers::start(first.0, pairs.len(), args.site.longest(), false)?;
            rows(&mut joints, args, site, pairs)
        }
        DeviceKind::Memory => {
            pin(first.0)?;
            rows(&mut MemoryJoints, args, site, pairs)
        }
    }
}

/// The first pair of cores, and as many more as there are.
fn pairs(cores: &[usize], first: (usize, usize)) -> Vec<(usize, usize)> {
    let rest: Vec<usize> = cores.iter().copied().filter(|&core| core != first.0 && core != first.1).collect();
    let more = rest.chunks_exact(2).map(|pair| (pair[0], pair[1]));
    std::iter::once(first).chain(more).collect()
}

fn rows<J: Joints>(joints: &mut J, args: &Args, site: Site, pairs: Vec<(usize, usize)>) -> Result<Report, Failure> {
    let options = args.search.options(false)?;
    let clock = Tsc::calibrate();
    let progress = output::progress();
    let mut rows = Vec::with_capacity(args.workers.len());
    for &workers in &args.workers {
        let told = |load: f64| {
            progress.set_message(format!("{workers} workers: {:.3} Mpps", load / 1e6));
            progress.tick();
        };
        rows.push(measure(joints, &site, workers, &pairs, &clock, &options, told)?);
    }
    progress.finish_and_clear();
    Ok(Report { device: joints.describe(), name: site.name(), site, goal: NDR.to_owned(), pairs, rows })
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

    fn parse(line: &str) -> Args {
        let line: Vec<&str> = line.split_whitespace().collect();
        Cli::try_parse_from(line).expect("good usage").args
    }

    #[test]
    fn cores_are_paired_beginning_with_the_ones_chosen() {
        assert_eq!(pairs(&[0, 1], (0, 1)), [(0, 1)]);
        assert_eq!(pairs(&[0, 1, 2, 3, 4, 5, 6], (5, 6)), [(5, 6), (0, 1), (2, 3)]);
    }

    #[test]
    fn several_cases_are_bad_usage() {
        let found = run(&parse("scale --mode l2dsr,ipip --device memory"));
        assert!(matches!(found, Err(Failure::Usage(text)) if text.contains("one case")));
    }

    #[test]
    fn a_short_run_in_memory_has_a_row_for_each_number() {
        let cores = rig::cores().len();
        if cores < 2 {
            return;
        }
        let args = parse(
            "scale --workers 1,2 --device memory --seconds 0.02 --first-seconds 0.01 --trials 1 --width 0.2 --retries 1 \
             --max-rate 50000 --flows 100 --backends 3",
        );
        let report = run(&args).unwrap_or_else(|failure| panic!("{}", failure.text()));
        let rows: Vec<_> = report.rows.iter().map(|row| (row.workers, row.simulated)).collect();
        assert_eq!(rows, [(1, false), (2, cores < 4)]);
    }
}
