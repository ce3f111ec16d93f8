//! `guideway bench reconfig`: what changes of the configuration do to traffic.

use super::output::{self, OutputArgs};
use super::rig::{self, DeviceKind, NDR, PlaceArgs, SearchArgs, SiteArgs, rate};
use crate::Failure;
use clap::{ValueEnum, value_parser};
use guideway_dataplane::publish;
use guideway_dpdk::Tsc;
use guideway_perf::load::dpdk::Buffers;
use guideway_perf::load::joint::{Joints, MemoryJoints, pin};
use guideway_perf::load::rig::single;
use guideway_perf::load::site::{MAX_POOLS, Site};
use guideway_perf::ndr::run::find;
use guideway_perf::reconfig::changes::{Changes, Kind};
use guideway_perf::reconfig::pusher::{Pusher, Source};
use guideway_perf::reconfig::report::{CaseReport, Report};
use guideway_perf::reconfig::run::{self, Options, Place};
use guideway_perf::record::Results;
use std::time::Duration;

/// The share of the non-drop rate that is held.
const SHARE: f64 = 0.9;
/// Pushes of a round: few, since a round in which a thread lost its core is repeated as a whole, and on a small machine that is
/// every half second.
const ROUND: u64 = 10;

/// Options of `bench reconfig`.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Pools that each push changes; each value is a case.
    #[arg(long, value_delimiter = ',', default_value = "1", value_parser = value_parser!(u16).range(1..=i64::from(MAX_POOLS)))]
    pools: Vec<u16>,
    /// Pushes in all.
    #[arg(long, default_value_t = 10_000, value_parser = value_parser!(u64).range(1..=10_000_000))]
    pushes: u64,
    /// Milliseconds from push to push.
    #[arg(long, default_value_t = 10.0, value_parser = millis)]
    period: f64,
    /// What changes [default: all, in turns].
    #[arg(long, value_enum, value_delimiter = ',')]
    change: Vec<ChangeKind>,
    /// The load, in packets a second [default: 90 % of the non-drop rate, which is searched first].
    #[arg(long, value_parser = rate)]
    rate: Option<f64>,
    /// Snapshots that are built beforehand and pushed in turns [default: 64, with more than 50 pools 8].
    #[arg(long, value_parser = value_parser!(u16).range(2..=1_024))]
    ahead: Option<u16>,
    /// Core of a pusher of its own, which builds each snapshot for its push [default: the generator's core, between
    /// bursts, with snapshots that are built beforehand].
    #[arg(long, conflicts_with = "ahead")]
    push_core: Option<usize>,
    #[command(flatten)]
    site: SiteArgs,
    #[command(flatten)]
    search: SearchArgs,
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Clone, Copy, ValueEnum)]
enum ChangeKind {
    /// Another weight.
    Weight,
    /// A drain, and its end.
    Drain,
    /// A failed check, and a recovery.
    Kill,
    /// A new backend.
    Add,
}

impl From<ChangeKind> for Kind {
    fn from(kind: ChangeKind) -> Self {
        match kind {
            ChangeKind::Weight => Self::Weight,
            ChangeKind::Drain => Self::Drain,
            ChangeKind::Kill => Self::Kill,
            ChangeKind::Add => Self::Add,
        }
    }
}

fn millis(text: &str) -> Result<f64, String> {
    let millis = text.parse().ok().filter(|millis| (0.1..=10_000.0).contains(millis));
    millis.ok_or_else(|| "0.1 to 10000 milliseconds".to_owned())
}

pub(super) fn reconfig(args: &Args) -> Result<(), Failure> {
    let begun = output::begin();
    let report = measure(args)?;
    output::show(&args.output, Results::Reconfig(report), begun)
}

fn measure(args: &Args) -> Result<Report, Failure> {
    let mut sites = Vec::new();
    for &pools in &args.pools {
        sites.extend(args.site.sites(pools)?);
    }
    let pair = args.place.pair()?;
    if let Some(core) = args.push_core
        && (core == pair.0 || core == pair.1 || !rig::cores().contains(&core))
    {
        let cores = rig::cores();
        return Err(Failure::Usage(format!(
            "--push-core {core} is not a core of its own: generator and worker have {pair:?} of {cores:?}; leave it out, and \
             the pusher runs on the generator's core"
        )));
    }
    match args.place.device {
        DeviceKind::Dpdk => cases(&mut Buffers::start(pair.0, 1, args.site.longest(), false)?, args, &sites, pair),
        DeviceKind::Memory => {
            pin(pair.0)?;
            cases(&mut MemoryJoints, args, &sites, pair)
        }
    }
}

fn kinds(args: &Args) -> Vec<Kind> {
    if args.change.is_empty() { Kind::ALL.to_vec() } else { args.change.iter().map(|&kind| kind.into()).collect() }
}

/// Snapshots that are built beforehand.
fn ahead(args: &Args, site: &Site) -> usize {
    args.ahead.map_or(if site.pools > 50 { 8 } else { 64 }, usize::from)
}

fn cases<J: Joints>(joints: &mut J, args: &Args, sites: &[Site], pair: (usize, usize)) -> Result<Report, Failure> {
    let mut cases = Vec::with_capacity(sites.len());
    for site in sites {
        cases.push(case(joints, args, site, pair)?);
    }
    Ok(Report {
        device: joints.describe(),
        cores: pair,
        push_core: args.push_core,
        period_ms: args.period,
        kinds: kinds(args),
        cases,
    })
}

fn case<J: Joints>(joints: &mut J, args: &Args, site: &Site, pair: (usize, usize)) -> Result<CaseReport, Failure> {
    let clock = Tsc::calibrate();
    let progress = output::progress();
    let name = format!("{}, pools: {}", site.name(), site.pools);
    let (state, publisher, mut readers) = site.start(1);
    let mut rig = single(joints, site, readers.remove(0), pair, clock)?;
    let non_drop_rate = match args.rate {
        Some(_) => None,
        None => {
            let told = |trial: &guideway_perf::ndr::goal::Trial| {
                progress.set_message(format!("{name}: {:.3} Mpps", trial.load / 1e6));
                progress.tick();
            };
            find(&mut rig, &args.search.options(false)?, told)?.lower(NDR)
        }
    };
    let rate = args.rate.or(non_drop_rate.map(|rate| rate * SHARE)).ok_or_else(|| {
        Failure::Usage("there is no rate without loss on this machine now; give the load by --rate".to_owned())
    })?;
    let options = Options {
        rate,
        pushes: args.pushes,
        round: ROUND,
        period: Duration::from_secs_f64(args.period / 1e3),
        retries: args.search.retries,
    };
    let period = (args.period / 1e3 * clock.hz() as f64) as u64;
    let told = |done: u64| {
        progress.set_message(format!("{name}: {done} of {} pushes", args.pushes));
        progress.tick();
    };
    let changes = Changes::new(*site, state, &kinds(args));
    let outcome = if let Some(core) = args.push_core {
        let mut pusher = Pusher::new(publisher, Source::Live(Box::new(changes)), clock, period, None);
        let place = Place::Core(&mut pusher, core, joints.enter());
        run::run(&mut rig, &clock, &options, place, told)?
    } else {
        let source = Source::ahead(changes, ahead(args, site));
        let (mut decoy_state, ..) = site.start(1);
        let first = guideway_control::reconcile::reconcile(&mut decoy_state);
        let (decoy_publisher, mut decoys) = publish::channel(first, 1);
        let mut decoy = Pusher::new(decoy_publisher, source.share(), clock, period, Some(decoys.remove(0)));
        let mut pusher = Pusher::new(publisher, source, clock, period, None);
        run::run(&mut rig, &clock, &options, Place::Generator(&mut pusher, &mut decoy), told)?
    };
    progress.finish_and_clear();
    Ok(CaseReport {
        name,
        site: *site,
        non_drop_rate,
        rate,
        built_ahead: args.push_core.is_none().then(|| ahead(args, site)),
        pushes: outcome.pushes,
        without: outcome.without,
        with: outcome.with,
        visible: outcome.pushed.visible.percentiles(),
        publishing: outcome.pushed.publishing.percentiles(),
        freeing: outcome.pushed.freeing.percentiles(),
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

    fn parse(line: &str) -> Args {
        let line: Vec<&str> = line.split_whitespace().collect();
        Cli::try_parse_from(line).expect("good usage").args
    }

    #[test]
    fn too_many_backends_and_taken_cores_are_bad_usage() {
        let found = measure(&parse("reconfig --pools 1000 --backends 100 --device memory"));
        assert!(matches!(found, Err(Failure::Usage(text)) if text.contains("--backends 30")));
        if rig::cores().len() < 2 {
            return;
        }
        let core = rig::cores().last().copied().unwrap_or_default();
        let found = measure(&parse(&format!("reconfig --device memory --push-core {core}")));
        assert!(matches!(found, Err(Failure::Usage(text)) if text.contains("--push-core")));
    }

    #[test]
    fn a_short_run_in_memory_pushes_and_forwards() {
        if rig::cores().len() < 2 {
            return;
        }
        for pools in [1, 20] {
            let report = measure(&parse(&format!(
                "reconfig --pools {pools} --device memory --rate 20000 --pushes 6 --period 2 --ahead 4 --backends 4 \
                 --flows 100 --retries 0"
            )));
            let report = report.unwrap_or_else(|failure| panic!("{}", failure.text()));
            let [case] = &report.cases[..] else { panic!("one case") };
            assert!(case.visible.samples > 0, "{case:?}");
            assert!(case.with.latency.samples > 0 && case.without.latency.samples > 0, "{case:?}");
        }
    }
}
