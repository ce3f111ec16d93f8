//! `guideway bench`: measures this machine, and what changes do to flows.

mod churn;
mod compare;
mod maglev;
mod report;

use crate::Failure;
use clap::{Subcommand, ValueEnum, value_parser};
use guideway_dataplane::parse::Family;
use guideway_dpdk::Tsc;
use guideway_perf::cycles::{self, Options};
use guideway_perf::device::Device;
use guideway_perf::dpdk::NullDevice;
use guideway_perf::memory::MemoryDevice;
use guideway_perf::report::Report;
use guideway_perf::scenario::{Case, MAX_BACKENDS, Slots, Treatment};
use guideway_perf::traffic::MAX_FLOWS;
use std::io::IsTerminal;
use std::time::Duration;

/// Bytes that Ethernet puts behind a frame.
const FRAME_CHECK_SEQUENCE: u16 = 4;
/// Buffers beyond those that wait in the two sources: bursts in hand and DPDK's cache.
const BUFFERS_IN_HAND: usize = 1_024;

/// Options of `bench`.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Cycles per packet of the worker loop, and of the same loop without the dataplane.
    Cycles(CyclesArgs),
    /// Simulates flows while backends come and go, and counts those that leave a backend that is up.
    Churn(churn::Args),
    /// How long tables of backends take to build, how even they are, and what changes move.
    Maglev(maglev::Args),
    /// Shows records of benchmarks as a page or as tables.
    Report(report::Args),
    /// Compares two records of a benchmark: what changed beyond noise.
    Compare(compare::Args),
}

#[derive(clap::Args)]
struct CyclesArgs {
    /// Kinds of forwarding [default: all].
    #[arg(long, value_enum, value_delimiter = ',')]
    mode: Vec<Mode>,
    /// IP versions [default: both].
    #[arg(long, value_delimiter = ',', value_parser = family)]
    family: Vec<Family>,
    /// What the pool's slots are in.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "steady")]
    slots: Vec<SlotsKind>,
    /// Flows that packets belong to, in turns.
    #[arg(long, value_delimiter = ',', default_value = "100000", value_parser = value_parser!(u32).range(1..=i64::from(MAX_FLOWS)))]
    flows: Vec<u32>,
    /// Backends of the pool.
    #[arg(long, value_delimiter = ',', default_value = "1000", value_parser = value_parser!(u16).range(1..=i64::from(MAX_BACKENDS)))]
    backends: Vec<u16>,
    /// Bytes of a frame on the wire, its check sequence included; IPv6 takes 78 at least.
    #[arg(long, default_value_t = 64, value_parser = value_parser!(u16).range(64..=1_518))]
    frame_size: u16,
    /// Time for each case, its baseline included.
    #[arg(long, default_value = "3", value_parser = seconds)]
    seconds: Duration,
    /// What the loop runs on: DPDK's null device, or buffers in memory.
    #[arg(long, value_enum, default_value = "dpdk")]
    device: DeviceKind,
    /// Packets that wait between source and worker, as in a NIC's descriptor ring; 0: they come fresh from the cache.
    #[arg(long, default_value_t = 1_024, value_parser = value_parser!(u16).range(0..=32_768))]
    lead: u16,
    /// Core to run on [default: the last one].
    #[arg(long)]
    core: Option<usize>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Mode {
    /// Ethernet addresses change places: no dataplane, for comparison.
    MacSwap,
    /// Direct server return on one segment.
    L2dsr,
    /// A tunnel of the packet's own family.
    Ipip,
}

#[derive(Clone, Copy, ValueEnum)]
enum SlotsKind {
    /// No change concerns them.
    Steady,
    /// Every slot is in transition (T): each packet looks for its pin.
    Transition,
    /// Every flow is tracked (A).
    Always,
}

impl From<SlotsKind> for Slots {
    fn from(kind: SlotsKind) -> Self {
        match kind {
            SlotsKind::Steady => Self::Steady,
            SlotsKind::Transition => Self::Transition,
            SlotsKind::Always => Self::Always,
        }
    }
}

#[derive(Clone, Copy, ValueEnum)]
enum DeviceKind {
    /// mbufs of a pool, through the driver's burst functions.
    Dpdk,
    /// Buffers in memory, without DPDK.
    Memory,
}

fn family(text: &str) -> Result<Family, String> {
    match text {
        "4" => Ok(Family::V4),
        "6" => Ok(Family::V6),
        _ => Err("4 or 6".to_owned()),
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "a number of seconds, such as 0.5".to_owned())?;
    if (0.01..=3_600.0).contains(&seconds) {
        Ok(Duration::from_secs_f64(seconds))
    } else {
        Err("0.01 to 3600 seconds".to_owned())
    }
}

pub(crate) fn bench(args: &Args) -> Result<(), Failure> {
    let args = match &args.command {
        Command::Cycles(args) => args,
        Command::Churn(args) => return churn::churn(args),
        Command::Maglev(args) => return maglev::maglev(args),
        Command::Report(args) => return report::report(args),
        Command::Compare(args) => return compare::compare(args),
    };
    let report = measure(args)?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{report}");
    }
    Ok(())
}

fn measure(args: &CyclesArgs) -> Result<Report, Failure> {
    let cores: Vec<usize> = core_affinity::get_core_ids().unwrap_or_default().iter().map(|core| core.id).collect();
    let core = args.core.or(cores.last().copied()).unwrap_or(0);
    if !cores.contains(&core) || !core_affinity::set_for_current(core_affinity::CoreId { id: core }) {
        return Err(Failure::Usage(format!("cannot run on core {core}; this process may use {cores:?}")));
    }
    let lead = usize::from(args.lead);
    match args.device {
        DeviceKind::Dpdk => run(&mut NullDevice::start(core, 2 * lead + BUFFERS_IN_HAND)?, args, core),
        DeviceKind::Memory => run(&mut MemoryDevice, args, core),
    }
}

fn run(device: &mut impl Device, args: &CyclesArgs, core: usize) -> Result<Report, Failure> {
    let options = Options { time: args.seconds, lead: usize::from(args.lead), core };
    let watched = std::io::stderr().is_terminal();
    let report = cycles::run(device, &Tsc::calibrate(), &options, &cases(args), |case| {
        if watched {
            eprintln!("{case}");
        }
    });
    Ok(report?)
}

/// Every combination of what was asked for.
fn cases(args: &CyclesArgs) -> Vec<Case> {
    let all_modes = [Mode::MacSwap, Mode::L2dsr, Mode::Ipip];
    let modes = if args.mode.is_empty() { &all_modes[..] } else { &args.mode };
    let families = if args.family.is_empty() { &[Family::V4, Family::V6][..] } else { &args.family };
    let frame_len = usize::from(args.frame_size - FRAME_CHECK_SEQUENCE);
    let mut cases = Vec::new();
    for &flows in &args.flows {
        for &backends in &args.backends {
            for mode in modes {
                let treatment = match mode {
                    Mode::MacSwap => Treatment::MacSwap,
                    Mode::L2dsr => Treatment::L2dsr,
                    Mode::Ipip => Treatment::Ipip,
                };
                for &slots in &args.slots {
                    let case = |&family| Case { treatment, family, slots: slots.into(), flows, backends, frame_len };
                    cases.extend(families.iter().map(case));
                }
            }
        }
    }
    cases
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

    fn parse(line: &str) -> Result<CyclesArgs, clap::Error> {
        match Cli::try_parse_from(line.split(' '))?.args.command {
            Command::Cycles(args) => Ok(args),
            _ => panic!("not what was asked for"),
        }
    }

    #[test]
    fn everything_is_measured_unless_told_otherwise() {
        let cases_of = |line| cases(&parse(line).expect("good usage"));
        let all = cases_of("bench cycles");
        assert_eq!(all.len(), 6);
        assert!(all.iter().all(|case| (case.flows, case.backends, case.frame_len) == (100_000, 1_000, 60)));
        let chosen = cases_of("bench cycles --mode ipip --family 6 --flows 1,1000 --backends 3,1000 --frame-size 128");
        let found: Vec<_> =
            chosen.iter().map(|case| (case.name(), case.flows, case.backends, case.frame_len)).collect();
        let expected = [(1, 3), (1, 1_000), (1_000, 3), (1_000, 1_000)];
        assert_eq!(found, expected.map(|(flows, backends)| ("ipip 6in6", flows, backends, 124)));
    }

    #[test]
    fn nonsense_is_bad_usage() {
        for option in ["--flows 0", "--flows 100000000", "--backends 0", "--family 5", "--seconds 0", "--seconds nan"] {
            assert!(parse(&format!("bench cycles {option}")).is_err(), "{option}");
        }
        let nowhere = measure(&parse("bench cycles --core 100000 --device memory").expect("good usage"));
        assert!(matches!(nowhere, Err(Failure::Usage(text)) if text.contains("core 100000")));
    }

    #[test]
    fn a_short_run_in_memory_gives_positive_figures() {
        let args = parse("bench cycles --device memory --seconds 0.02 --flows 10 --backends 3").expect("good usage");
        let report = measure(&args).unwrap_or_else(|_| panic!("a report"));
        assert_eq!(report.cases.len(), 6);
        assert!(report.cases.iter().all(|case| case.mpps > 0.0 && case.in_all.min > 0.0), "{report}");
    }
}
