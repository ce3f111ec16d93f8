//! Options of `bench cycles`.

use crate::bench::options::{family, seconds};
use crate::bench::output::OutputArgs;
use clap::{ValueEnum, value_parser};
use guideway_dataplane::parse::Family;
use guideway_perf::mix::Spreading;
use guideway_perf::scenario::{Load, Slots, Treatment};
use guideway_perf::traffic::MAX_FLOWS;
use std::time::Duration;

/// Options of `bench cycles`.
#[derive(clap::Args)]
pub(in crate::bench) struct Args {
    /// Cases that belong together, instead of what the options below combine: quick (each mode and IP version), or full (all
    /// that docs/performance.md speaks of; takes minutes).
    #[arg(long, value_enum)]
    pub(super) suite: Option<Suite>,
    /// Kinds of forwarding [default: all].
    #[arg(long, value_enum, value_delimiter = ',')]
    pub(super) mode: Vec<Mode>,
    /// IP versions [default: both].
    #[arg(long, value_delimiter = ',', value_parser = family)]
    pub(super) family: Vec<Family>,
    /// What comes in.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "tcp")]
    pub(super) load: Vec<LoadKind>,
    /// What the pools' slots are in.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "steady")]
    pub(super) slots: Vec<SlotsKind>,
    /// A client's address alone decides.
    #[arg(long)]
    pub(super) affinity: bool,
    /// Flows that packets belong to, in turns.
    #[arg(long, value_delimiter = ',', default_value = "100000", value_parser = value_parser!(u32).range(1..=i64::from(MAX_FLOWS)))]
    pub(super) flows: Vec<u32>,
    /// VIPs, each with an address of its own.
    #[arg(long, value_delimiter = ',', default_value = "1", value_parser = value_parser!(u16).range(1..=16_384))]
    pub(super) vips: Vec<u16>,
    /// Pools, which the VIPs use in turns; there are at least as many VIPs.
    #[arg(long, value_delimiter = ',', default_value = "1", value_parser = value_parser!(u16).range(1..=16_384))]
    pub(super) pools: Vec<u16>,
    /// How flows are spread over VIPs.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "uniform")]
    pub(super) spreading: Vec<SpreadingKind>,
    /// Backends of each pool.
    #[arg(long, value_delimiter = ',', default_value = "1000", value_parser = value_parser!(u16).range(1..=30_000))]
    pub(super) backends: Vec<u16>,
    /// Slots of each pool's table, a prime number.
    #[arg(long, value_delimiter = ',', default_value = "65537")]
    pub(super) table_size: Vec<u32>,
    /// Bytes of a frame on the wire, its check sequence included; raised to what the headers need.
    #[arg(long, value_delimiter = ',', default_value = "64", value_parser = value_parser!(u16).range(64..=9_000))]
    pub(super) frame_size: Vec<u16>,
    /// Time for each case, its baseline included.
    #[arg(long, default_value = "3", value_parser = seconds)]
    pub(super) seconds: Duration,
    /// Where packets come from.
    #[arg(long, value_enum, default_value = "template")]
    pub(super) source: SourceKind,
    /// The device of --source port, as in the configuration, such as net_af_packet0,iface=eth1, or a PCI address.
    #[arg(long, required_if_eq("source", "port"))]
    pub(super) device: Option<String>,
    /// Core of the generator of --source ring and memif [default: the last one that the worker leaves].
    #[arg(long)]
    pub(super) generator_core: Option<usize>,
    /// Packets that wait between source and worker, as in a NIC's descriptor ring; 0: they come fresh from the cache. A
    /// source of its own (ring, memif, port) has a ring of its own.
    #[arg(long, default_value_t = 1_024, value_parser = value_parser!(u16).range(0..=32_768))]
    pub(super) lead: u16,
    /// Measures a case that other work disturbed again, at most this many times; the least disturbed counts.
    #[arg(long, default_value_t = 0)]
    pub(super) until_quiet: u32,
    /// Core to run on [default: the last one].
    #[arg(long)]
    pub(super) core: Option<usize>,
    #[command(flatten)]
    pub(super) output: OutputArgs,
}

#[derive(Clone, Copy, ValueEnum)]
pub(super) enum Suite {
    Quick,
    Full,
}

#[derive(Clone, Copy, ValueEnum)]
pub(super) enum Mode {
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
    /// GUE with a UDP checksum.
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
pub(super) enum LoadKind {
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
pub(super) enum SlotsKind {
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
pub(super) enum SpreadingKind {
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
pub(super) enum SourceKind {
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
    pub(super) const fn is_live(self) -> bool {
        matches!(self, Self::Ring | Self::Memif | Self::Port)
    }
}
