//! `guideway bench cycles`: what a packet costs in the worker loop.

mod args;
mod cases;

pub(super) use args::Args;

use super::output::{self, progress};
use super::rig::cores;
use crate::Failure;
use args::SourceKind;
use cases::cases;
use guideway_dpdk::Tsc;
use guideway_perf::cycles::{self, Options};
use guideway_perf::device::Device;
use guideway_perf::dpdk::NullDevice;
use guideway_perf::live::LiveDevice;
use guideway_perf::load::joint::pin;
use guideway_perf::memory::{self, MemoryDevice};
use guideway_perf::pcap::{MAX_PCAP_FLOWS, PcapDevice};
use guideway_perf::record::Results;
use guideway_perf::report::Report;
use guideway_perf::scenario::Case;

/// Bytes that Ethernet puts behind a frame.
const FRAME_CHECK_SEQUENCE: u16 = 4;
/// Buffers beyond those that wait in the two sources: bursts in hand and DPDK's cache.
const BUFFERS_IN_HAND: usize = 1_024;

pub(super) fn cycles(args: &Args) -> Result<(), Failure> {
    let begun = output::begin();
    output::show(&args.output, Results::Cycles(measure(args)?), begun)
}

fn measure(args: &Args) -> Result<Report, Failure> {
    if args.device.is_some() && args.source != SourceKind::Port {
        return Err(Failure::Usage(
            "--device is the port of --source port; add that, or leave --device out".to_owned(),
        ));
    }
    let cases = cases(args)?;
    // Looked up before the thread is pinned: then it may use its own core only.
    let cores = cores();
    let core = worker_core(cores, args.core)?;
    let generator = || generator_core(cores, args.generator_core, core);
    let lead = usize::from(args.lead);
    let longest = cases.iter().map(|case| case.traffic().frame_len()).max().unwrap_or_default();
    let on_the_wire = longest + usize::from(FRAME_CHECK_SEQUENCE);
    match args.source {
        SourceKind::Template => {
            run(&mut NullDevice::start(core, 2 * lead + BUFFERS_IN_HAND, longest)?, args, &cases, core)
        }
        SourceKind::Memory => {
            if longest > memory::MAX_FRAME {
                let most = memory::MAX_FRAME + usize::from(FRAME_CHECK_SEQUENCE);
                return Err(Failure::Usage(format!(
                    "--source memory: buffers hold frames of {most} bytes, and {on_the_wire} were asked for; give a \
                     smaller --frame-size, or --source template"
                )));
            }
            pin(core)?;
            run(&mut MemoryDevice, args, &cases, core)
        }
        SourceKind::Pcap => {
            let flows = cases.iter().map(|case| case.frames().flows).max().unwrap_or(1);
            if flows > MAX_PCAP_FLOWS {
                let most = format!("a capture has at most {MAX_PCAP_FLOWS} flows, and {flows} were asked for");
                return Err(Failure::Usage(format!("--source pcap: {most}; give fewer --flows, or --source template")));
            }
            run(&mut PcapDevice::start(core, flows, longest)?, args, &cases, core)
        }
        SourceKind::Ring => run(&mut LiveDevice::ring(core, generator()?, on_the_wire)?, args, &cases, core),
        SourceKind::Memif => run(&mut LiveDevice::memif(core, generator()?, on_the_wire)?, args, &cases, core),
        SourceKind::Port => {
            let device = args.device.as_deref().unwrap_or_default();
            run(&mut LiveDevice::port(core, device, on_the_wire)?, args, &cases, core)
        }
    }
}

/// The worker's core: that which is asked for, or the last one.
fn worker_core(cores: &[usize], wanted: Option<usize>) -> Result<usize, Failure> {
    known(cores, wanted.or(cores.last().copied()).unwrap_or(0))
}

/// The core of a generator beside the worker's: that which is asked for, or the last one that is left.
fn generator_core(cores: &[usize], wanted: Option<usize>, worker: usize) -> Result<usize, Failure> {
    let left = || cores.iter().rev().copied().find(|core| *core != worker);
    match wanted.or_else(left) {
        Some(core) if core == worker => Err(Failure::Usage(format!(
            "worker and generator need a core each, and both are to run on core {core}; give another --generator-core"
        ))),
        Some(core) => known(cores, core),
        None => Err(Failure::Usage(format!(
            "this --source has a generator on a core of its own, and this process may use {cores:?}; give it another \
             core, or use --source template"
        ))),
    }
}

fn known(cores: &[usize], core: usize) -> Result<usize, Failure> {
    if cores.contains(&core) {
        return Ok(core);
    }
    Err(Failure::Usage(format!("cannot run on core {core}; this process may use {cores:?}")))
}

fn run(device: &mut impl Device, args: &Args, cases: &[Case], core: usize) -> Result<Report, Failure> {
    let lead = if args.source.is_live() { 0 } else { usize::from(args.lead) };
    let options = Options { time: args.seconds, lead, core, repeats: args.until_quiet };
    let bar = progress();
    let mut done = 0;
    let report = cycles::run(device, &Tsc::calibrate(), &options, cases, |case| {
        done += 1;
        bar.set_message(format!("{done} of {}: {} costs {:.1}", cases.len(), case.name, case.net.median));
        bar.tick();
    });
    bar.finish_and_clear();
    Ok(report?)
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

    pub(super) fn parse(line: &str) -> Result<Args, clap::Error> {
        Ok(Cli::try_parse_from(line.split(' '))?.args)
    }

    #[test]
    fn nonsense_is_bad_usage() {
        for option in ["--flows 0", "--flows 1000000000", "--backends 0", "--family 5", "--seconds 0", "--seconds nan"]
        {
            assert!(parse(&format!("cycles {option}")).is_err(), "{option}");
        }
        // Each on a thread of its own: measuring pins it.
        let refused = |line: &str, what: &str| {
            let refused = std::thread::scope(|scope| {
                scope.spawn(|| measure(&parse(line).expect("good usage"))).join().expect("no panic")
            });
            assert!(matches!(refused, Err(Failure::Usage(text)) if text.contains(what)), "{line}");
        };
        refused("cycles --pools 1000 --backends 1000 --source memory", "1000 pools of 1000 backends");
        refused("cycles --source pcap --flows 10000000", "at most 1000000 flows");
        refused("cycles --source memory --frame-size 9000", "frames of 2052 bytes, and 9000 were asked for");
        refused("cycles --source memory --core 100000", "core 100000");
        refused("cycles --device net_null0", "--source port");
        assert!(parse("cycles --source port").is_err(), "a port without a device");
    }

    #[test]
    fn worker_and_generator_have_a_core_each() {
        let both = |cores: &[usize], worker, generator| {
            let worker = worker_core(cores, worker).map_err(text)?;
            generator_core(cores, generator, worker).map(|generator| (worker, generator)).map_err(text)
        };
        fn text(failure: Failure) -> String {
            match failure {
                Failure::Usage(text) => text,
                Failure::Runtime(error) => panic!("{error}"),
            }
        }
        assert_eq!(both(&[2, 5, 7], None, None), Ok((7, 5)));
        assert_eq!(both(&[2, 5, 7], Some(5), None), Ok((5, 7)));
        assert_eq!(both(&[2, 5, 7], Some(5), Some(2)), Ok((5, 2)));
        assert!(both(&[2, 5], Some(5), Some(5)).is_err_and(|text| text.contains("a core each")));
        assert!(both(&[2, 5], None, Some(9)).is_err_and(|text| text.contains("core 9; this process may use [2, 5]")));
        assert!(both(&[2], None, None).is_err_and(|text| text.contains("--source template")));
    }

    #[test]
    fn a_short_run_in_memory_gives_positive_figures() {
        let args = parse("cycles --source memory --seconds 0.02 --flows 10 --backends 3").expect("good usage");
        let report = measure(&args).unwrap_or_else(|_| panic!("a report"));
        assert_eq!(report.cases.len(), 12);
        assert!(report.cases.iter().all(|case| case.mpps > 0.0 && case.in_all.min > 0.0), "{report:?}");
    }
}
