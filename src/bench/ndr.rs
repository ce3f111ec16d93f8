//! `guideway bench ndr`: the rate without loss, with a little loss, and latency below it.

use super::options::seconds;
use super::output::{self, OutputArgs};
use super::rig::{DeviceKind, PlaceArgs, SearchArgs, SiteArgs, rate};
use crate::Failure;
use clap::ValueEnum;
use guideway_dataplane::wire::ethernet::Mac;
use guideway_dataplane::wire::gue;
use guideway_dpdk::{Dpdk, Tsc};
use guideway_perf::load::dpdk::Buffers;
use guideway_perf::load::frames::FrameSetup;
use guideway_perf::load::joint::{Joints, MemoryJoints, pin};
use guideway_perf::load::receiver::Recognition;
use guideway_perf::load::rig::{Rig, single};
use guideway_perf::load::site::Site;
use guideway_perf::load::trial::{LoadError, Measure};
use guideway_perf::ndr::report::{CaseReport, Report};
use guideway_perf::ndr::run::{Found, LatencyReport, Options, find, latencies};
use guideway_perf::record::Results;
use indicatif::ProgressBar;
use std::net::SocketAddr;
use std::time::Duration;

/// Shares of the non-drop rate that latency is taken at, in percent.
const SHARES: [f64; 3] = [10.0, 50.0, 90.0];
/// Services that a balancer elsewhere is asked for.
const ONE: u16 = 1;

/// Options of `bench ndr`.
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    site: SiteArgs,
    #[command(flatten)]
    search: SearchArgs,
    #[command(flatten)]
    place: PlaceArgs,
    /// RFC 2544 to the letter: trials of 60 seconds, no loss, binary search; no partial-drop rate.
    #[arg(long)]
    strict: bool,
    /// Time for the latency at each load; 0.01 at least.
    #[arg(long, default_value = "1", value_parser = seconds)]
    latency_seconds: Duration,
    /// The least load that latency is taken at, in packets a second.
    #[arg(long, default_value_t = 1_000.0, value_parser = rate)]
    trickle: f64,
    /// What is measured: a worker of this process, or a balancer elsewhere.
    #[arg(long, value_enum, default_value = "worker")]
    dut: DutKind,
    /// Device that the generator sends from: a virtual device of DPDK with its arguments, or a PCI address.
    #[arg(long, value_name = "DEVICE", required_if_eq("dut", "external"))]
    generator_port: Option<String>,
    /// Device that packets come back to [default: the one that they are sent from].
    #[arg(long, value_name = "DEVICE", requires = "generator_port")]
    return_port: Option<String>,
    /// Hardware address of the balancer elsewhere.
    #[arg(long, value_name = "MAC", value_parser = mac, required_if_eq("dut", "external"))]
    dut_mac: Option<Mac>,
    /// TCP service of the balancer elsewhere: address and port.
    #[arg(long, value_name = "ADDRESS:PORT", required_if_eq("dut", "external"))]
    vip: Option<SocketAddr>,
    /// Port that the balancer elsewhere sends GUE to.
    #[arg(long, default_value_t = gue::PORT)]
    gue_port: u16,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum DutKind {
    /// A worker of this process.
    Worker,
    /// A balancer that runs elsewhere and is configured already.
    External,
}

fn mac(text: &str) -> Result<Mac, String> {
    let bytes: Option<Vec<u8>> = text.split(':').map(|byte| u8::from_str_radix(byte, 16).ok()).collect();
    let found = bytes.and_then(|bytes| bytes.try_into().ok());
    found.ok_or_else(|| "six bytes in hexadecimal, such as 02:00:00:00:00:01".to_owned())
}

pub(super) fn ndr(args: &Args) -> Result<(), Failure> {
    let begun = output::begin();
    let report = measure(args)?;
    output::show(&args.output, Results::Ndr(report), begun)
}

fn measure(args: &Args) -> Result<Report, Failure> {
    if args.dut == DutKind::External {
        return elsewhere(args);
    }
    let sites = args.site.sites(1)?;
    let pair = args.place.pair()?;
    match args.place.device {
        DeviceKind::Dpdk => here(&mut Buffers::start(pair.0, 1, args.site.longest(), false)?, args, &sites, pair),
        DeviceKind::Memory => {
            pin(pair.0)?;
            here(&mut MemoryJoints, args, &sites, pair)
        }
    }
}

fn options(args: &Args) -> Result<Options, Failure> {
    if args.strict { args.search.strict() } else { args.search.options(true) }
}

/// Workers of this process, one case after another.
fn here<J: Joints>(joints: &mut J, args: &Args, sites: &[Site], pair: (usize, usize)) -> Result<Report, Failure> {
    let options = options(args)?;
    let clock = Tsc::calibrate();
    let progress = output::progress();
    let mut cases = Vec::with_capacity(sites.len());
    for site in sites {
        let (_state, _publisher, mut readers) = site.start(1);
        let mut rig = single(joints, site, readers.remove(0), pair, clock)?;
        cases.push(case(&mut rig, args, &options, *site, site.name(), &progress)?);
    }
    progress.finish_and_clear();
    let cores = (pair.0, Some(pair.1));
    Ok(Report { device: joints.describe(), cores, strict: args.strict, cases })
}

/// A balancer that runs elsewhere.
fn elsewhere(args: &Args) -> Result<Report, Failure> {
    let (Some(device), Some(destination), Some(service)) = (&args.generator_port, args.dut_mac, args.vip) else {
        return Err(Failure::Usage("--dut external needs --generator-port, --dut-mac and --vip".to_owned()));
    };
    let options = options(args)?;
    let core = args.place.generator()?;
    let longest = args.site.longest();
    let back = args.return_port.as_ref();
    let pci = [Some(device), back].into_iter().flatten().any(|device| !device.starts_with("net_"));
    let mut buffers = Buffers::start(core, 1, longest, pci)?;
    let progress = output::progress();
    let mut cases = Vec::new();
    for &size in args.site.sizes() {
        let (tx, mut rx, source) = buffers.attach(device, longest)?;
        if let Some(back) = back {
            // The queues that are not used go, and the devices stay with those that are.
            (_, rx, _) = buffers.attach(back, longest)?;
        }
        let flows = args.site.flows();
        let setup = FrameSetup { destination, source, service, services: ONE, flows, size };
        let recognition = Recognition { port: service.port(), gue_port: args.gue_port };
        let queues = (tx, rx, buffers.pool());
        let mut rig = Rig::<Dpdk, Tsc>::elsewhere(queues, (&setup, recognition), core, Tsc::calibrate());
        rig.check()?;
        let name = format!("{service} {size} bytes");
        let site = args.site.sites(1)?.into_iter().find(|site| site.size == size);
        let Some(site) = site.map(|site| Site { v6: service.is_ipv6(), ..site }) else { continue };
        cases.push(case(&mut rig, args, &options, site, name, &progress)?);
    }
    progress.finish_and_clear();
    let device = format!("{device} of {}", buffers.version());
    Ok(Report { device, cores: (core, None), strict: args.strict, cases })
}

fn case(
    dut: &mut impl Measure,
    args: &Args,
    options: &Options,
    site: Site,
    name: String,
    progress: &ProgressBar,
) -> Result<CaseReport, Failure> {
    let found = find(dut, options, |trial| {
        let (load, loss) = (trial.load / 1e6, trial.loss_ratio * 100.0);
        progress.set_message(format!("{name}: {load:.3} Mpps, {loss:.4} % lost"));
        progress.tick();
    })?;
    let latencies = below(dut, args, &found)?;
    Ok(CaseReport { name, site, found, latencies })
}

/// Latencies at shares of the non-drop rate, and at a trickle.
fn below(dut: &mut impl Measure, args: &Args, found: &Found) -> Result<Vec<LatencyReport>, LoadError> {
    let mut loads = vec![("trickle".to_owned(), args.trickle)];
    if let Some(rate) = found.lower(super::rig::NDR) {
        loads.extend(SHARES.iter().map(|share| (format!("{share} % of NDR"), rate * share / 100.0)));
    }
    latencies(dut, &loads, args.latency_seconds, args.search.retries)
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
    fn a_balancer_elsewhere_needs_to_be_named() {
        for line in [
            "ndr --dut external",
            "ndr --dut external --generator-port net_tap0",
            "ndr --dut external --generator-port net_tap0 --dut-mac 02:00:00:00:00:01",
            "ndr --dut external --generator-port net_tap0 --dut-mac 02:00:00:00:01 --vip 192.0.2.1:80",
            "ndr --return-port net_tap0",
            "ndr --frame-size 63",
            "ndr --exceed 1",
            "ndr --mode nat",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
        let line = "ndr --dut external --generator-port net_tap0 --dut-mac 02:00:00:00:00:01 --vip [2001:db8::1]:80";
        assert!(parse(line).is_ok());
    }

    #[test]
    fn rates_that_leave_nothing_to_search_are_bad_usage() {
        let args = parse("ndr --min-rate 1000 --max-rate 1000 --device memory").expect("good usage");
        assert!(matches!(options(&args), Err(Failure::Usage(text)) if text.contains("--max-rate")));
    }

    #[test]
    fn the_strict_search_is_that_of_rfc_2544() {
        let args = parse("ndr --strict --seconds 2").expect("good usage");
        let options = options(&args).unwrap_or_else(|_| panic!("options"));
        assert_eq!(options.goals.iter().map(|(_, goal)| goal.final_trial).collect::<Vec<_>>(), [60.0]);
    }

    #[test]
    fn a_short_run_in_memory_finds_rates_and_latencies() {
        if super::super::rig::cores().len() < 2 {
            return;
        }
        let line = "ndr --device memory --seconds 0.02 --first-seconds 0.01 --trials 1 --width 0.2 --retries 1 \
                    --latency-seconds 0.02 --max-rate 200000 --frame-size 64,imix --mode l2dsr,gue --flows 100 \
                    --backends 3";
        let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
        let report = measure(&parse(&line).expect("good usage")).unwrap_or_else(|failure| panic!("{}", failure.text()));
        assert_eq!(report.cases.len(), 4);
        for case in &report.cases {
            assert!(case.found.trials > 0, "{case:?}");
            assert!(case.latencies.iter().any(|report| report.latency.samples > 0), "{case:?}");
        }
    }
}
