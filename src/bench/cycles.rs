//! `guideway bench cycles`: what a packet costs in the worker loop.

use super::options::{family, seconds};
use super::output::{OutputArgs, progress, show};
use super::rig::cores;
use crate::Failure;
use clap::{ValueEnum, value_parser};
use guideway_dataplane::parse::Family;
use guideway_dpdk::Tsc;
use guideway_perf::cycles::{self, Options};
use guideway_perf::device::Device;
use guideway_perf::dpdk::NullDevice;
use guideway_perf::live::LiveDevice;
use guideway_perf::load::joint::pin;
use guideway_perf::memory::{self, MemoryDevice};
use guideway_perf::mix::Spreading;
use guideway_perf::pcap::{MAX_PCAP_FLOWS, PcapDevice};
use guideway_perf::record::{Results, Start};
use guideway_perf::report::Report;
use guideway_perf::scenario::{Case, Load, MAX_BACKENDS, Slots, Treatment};
use guideway_perf::suite;
use guideway_perf::traffic::MAX_FLOWS;
use std::time::Duration;

/// Bytes that Ethernet puts behind a frame.
const FRAME_CHECK_SEQUENCE: u16 = 4;
/// Buffers beyond those that wait in the two sources: bursts in hand and DPDK's cache.
const BUFFERS_IN_HAND: usize = 1_024;

/// Options of `bench cycles`.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Cases that belong together, instead of what the options below combine: quick (each mode and IP version), or full (all
    /// that docs/performance.md speaks of; takes minutes).
    #[arg(long, value_enum)]
    suite: Option<Suite>,
    /// Kinds of forwarding [default: mac-swap,l2dsr,ipip].
    #[arg(long, value_enum, value_delimiter = ',')]
    mode: Vec<Mode>,
    /// IP versions [default: both].
    #[arg(long, value_delimiter = ',', value_parser = family)]
    family: Vec<Family>,
    /// What comes in.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "tcp")]
    load: Vec<LoadKind>,
    /// What the pools' slots are in.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "steady")]
    slots: Vec<SlotsKind>,
    /// A client's address alone decides.
    #[arg(long)]
    affinity: bool,
    /// Flows that packets belong to, in turns.
    #[arg(long, value_delimiter = ',', default_value = "100000", value_parser = value_parser!(u32).range(1..=i64::from(MAX_FLOWS)))]
    flows: Vec<u32>,
    /// VIPs, each with an address of its own.
    #[arg(long, value_delimiter = ',', default_value = "1", value_parser = value_parser!(u16).range(1..=16_384))]
    vips: Vec<u16>,
    /// Pools, which the VIPs use in turns; there are at least as many VIPs.
    #[arg(long, value_delimiter = ',', default_value = "1", value_parser = value_parser!(u16).range(1..=16_384))]
    pools: Vec<u16>,
    /// How flows are spread over VIPs.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "uniform")]
    spreading: Vec<SpreadingKind>,
    /// Backends of each pool.
    #[arg(long, value_delimiter = ',', default_value = "1000", value_parser = value_parser!(u16).range(1..=30_000))]
    backends: Vec<u16>,
    /// Slots of each pool's table, a prime number.
    #[arg(long, value_delimiter = ',', default_value = "65537")]
    table_size: Vec<u32>,
    /// Bytes of a frame on the wire, its check sequence included; raised to what the headers need.
    #[arg(long, value_delimiter = ',', default_value = "64", value_parser = value_parser!(u16).range(64..=9_000))]
    frame_size: Vec<u16>,
    /// Time for each case, its baseline included.
    #[arg(long, default_value = "3", value_parser = seconds)]
    seconds: Duration,
    /// Where packets come from.
    #[arg(long, value_enum, default_value = "template")]
    source: SourceKind,
    /// The device of --source port, as in the configuration, such as net_af_packet0,iface=eth1, or a PCI address.
    #[arg(long, required_if_eq("source", "port"))]
    device: Option<String>,
    /// Core of the generator of --source ring and memif [default: the last one that the worker leaves].
    #[arg(long)]
    generator_core: Option<usize>,
    /// Packets that wait between source and worker, as in a NIC's descriptor ring; 0: they come fresh from the cache. A
    /// source of its own (ring, memif, port) has a ring of its own.
    #[arg(long, default_value_t = 1_024, value_parser = value_parser!(u16).range(0..=32_768))]
    lead: u16,
    /// Measures a case that other work disturbed again, at most this many times; the least disturbed counts.
    #[arg(long, default_value_t = 0)]
    until_quiet: u32,
    /// Core to run on [default: the last one].
    #[arg(long)]
    core: Option<usize>,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Clone, Copy, ValueEnum)]
enum Suite {
    Quick,
    Full,
}

#[derive(Clone, Copy, ValueEnum)]
enum Mode {
    /// Ethernet addresses change places: no dataplane, for comparison.
    MacSwap,
    /// Direct server return on one segment.
    L2dsr,
    /// IP in IP, as all tunnels in the packet's own family.
    Ipip,
    /// GRE.
    Gre,
    /// GUE without a UDP checksum.
    Gue,
    /// GUE with a UDP checksum over every byte.
    GueChecksum,
}

impl From<Mode> for Treatment {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::MacSwap => Self::MacSwap,
            Mode::L2dsr => Self::L2dsr,
            Mode::Ipip => Self::Ipip,
            Mode::Gre => Self::Gre,
            Mode::Gue => Self::Gue,
            Mode::GueChecksum => Self::GueChecksum,
        }
    }
}

#[derive(Clone, Copy, ValueEnum)]
enum LoadKind {
    /// TCP segments in the middle of their flows.
    Tcp,
    /// UDP datagrams.
    Udp,
    /// SYNs, each of another made-up client.
    SynFlood,
    /// TCP segments to addresses that nobody has.
    NoVip,
}

impl From<LoadKind> for Load {
    fn from(kind: LoadKind) -> Self {
        match kind {
            LoadKind::Tcp => Self::Tcp,
            LoadKind::Udp => Self::Udp,
            LoadKind::SynFlood => Self::SynFlood,
            LoadKind::NoVip => Self::NoVip,
        }
    }
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
enum SpreadingKind {
    /// Evenly.
    Uniform,
    /// By Zipf's law.
    Zipf,
}

impl From<SpreadingKind> for Spreading {
    fn from(kind: SpreadingKind) -> Self {
        match kind {
            SpreadingKind::Uniform => Self::Uniform,
            SpreadingKind::Zipf => Self::Zipf,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SourceKind {
    /// Templates copied into fresh mbufs, through the burst functions of DPDK's null device.
    Template,
    /// Templates copied into buffers in memory, without DPDK.
    Memory,
    /// A capture with a frame of each flow, read over and over by DPDK's `net_pcap`.
    Pcap,
    /// A generator on another core, by a ring of DPDK.
    Ring,
    /// A generator on another core, by shared memory (memif): copied in, and copied out.
    Memif,
    /// Whatever arrives at a port: --device.
    Port,
}

impl SourceKind {
    /// Whether packets come from elsewhere: from another core, or by a port.
    const fn is_live(self) -> bool {
        matches!(self, Self::Ring | Self::Memif | Self::Port)
    }
}

pub(super) fn cycles(args: &Args) -> Result<(), Failure> {
    let start = Start::now();
    show(&args.output, Results::Cycles(measure(args)?), start)
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
    let core = worker_core(&cores, args.core)?;
    let generator = || generator_core(&cores, args.generator_core, core);
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
            let turns = 1 + args.until_quiet as usize;
            run(&mut PcapDevice::start(core, cases.len() * turns, flows, longest)?, args, &cases, core)
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

/// What was asked for: a suite, or every combination of the options.
fn cases(args: &Args) -> Result<Vec<Case>, Failure> {
    let cases = match args.suite {
        Some(Suite::Quick) => suite::quick(),
        Some(Suite::Full) => suite::full(),
        None => combinations(args),
    };
    for case in &cases {
        let backends = u32::from(case.pools) * u32::from(case.backends);
        if backends > MAX_BACKENDS {
            let what = format!("{} pools of {} backends are {backends}", case.pools, case.backends);
            return Err(Failure::Usage(format!(
                "{what}; there can be {MAX_BACKENDS}: give fewer --pools or --backends"
            )));
        }
    }
    Ok(cases)
}

fn combinations(args: &Args) -> Vec<Case> {
    fn or<T: Copy>(given: &[T], otherwise: &[T]) -> Vec<T> {
        if given.is_empty() { otherwise.to_vec() } else { given.to_vec() }
    }
    let modes = or(&args.mode, &[Mode::MacSwap, Mode::L2dsr, Mode::Ipip]);
    let mut cases = vec![Case { affinity: args.affinity, ..Case::default() }];
    // The first varies slowest in the table.
    vary(&mut cases, &args.frame_size, |case, size| case.frame_len = usize::from(size - FRAME_CHECK_SEQUENCE));
    vary(&mut cases, &args.table_size, |case, size| case.table_size = size);
    vary(&mut cases, &args.spreading, |case, spreading| case.spreading = spreading.into());
    vary(&mut cases, &args.vips, |case, vips| case.vips = vips);
    vary(&mut cases, &args.pools, |case, pools| (case.pools, case.vips) = (pools, case.vips.max(pools)));
    vary(&mut cases, &args.flows, |case, flows| case.flows = flows);
    vary(&mut cases, &args.backends, |case, backends| case.backends = backends);
    vary(&mut cases, &modes, |case, mode| case.treatment = mode.into());
    vary(&mut cases, &args.load, |case, load| case.load = load.into());
    vary(&mut cases, &args.slots, |case, slots| case.slots = slots.into());
    vary(&mut cases, &or(&args.family, &[Family::V4, Family::V6]), |case, family| case.family = family);
    cases
}

/// Each case once for each value.
fn vary<T: Copy>(cases: &mut Vec<Case>, values: &[T], set: impl Fn(&mut Case, T)) {
    let with = |case: &Case, value: T| {
        let mut case = *case;
        set(&mut case, value);
        case
    };
    *cases = cases.iter().flat_map(|case| values.iter().map(|value| with(case, *value)).collect::<Vec<_>>()).collect();
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

    fn cases_of(line: &str) -> Vec<Case> {
        cases(&parse(line).expect("good usage")).unwrap_or_else(|_| panic!("cases"))
    }

    #[test]
    fn everything_is_measured_unless_told_otherwise() {
        let all = cases_of("cycles");
        assert_eq!(all.len(), 6);
        assert!(all.iter().all(|case| (case.flows, case.backends, case.frame_len) == (100_000, 1_000, 60)));
        let chosen = cases_of("cycles --mode ipip --family 6 --flows 1,1000 --backends 3,1000 --frame-size 128");
        let found: Vec<_> =
            chosen.iter().map(|case| (case.to_string(), case.flows, case.backends, case.frame_len)).collect();
        let expected = [(1, 3), (1, 1_000), (1_000, 3), (1_000, 1_000)];
        assert_eq!(found, expected.map(|(flows, backends)| ("ipip IPv6".to_owned(), flows, backends, 124)));
        let pools =
            cases_of("cycles --mode l2dsr --family 4 --pools 1,500 --vips 2 --spreading uniform,zipf --backends 10");
        assert_eq!(
            pools.iter().map(|case| (case.vips, case.pools)).collect::<Vec<_>>(),
            [(2, 1), (500, 500), (2, 1), (500, 500)]
        );
        assert_eq!(cases_of("cycles --suite quick").len(), suite::quick().len());
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
        assert_eq!(report.cases.len(), 6);
        assert!(report.cases.iter().all(|case| case.mpps > 0.0 && case.in_all.min > 0.0), "{report:?}");
    }
}
