//! Who takes part, and how each is started.

use super::capture::Capture;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Buffers of each program's pool: those that the source keeps, and those in hand.
pub const BUFFERS: u32 = 131_071;
/// Descriptors that make the pool of `l3fwd` as large: it counts two ports, two kinds of queues, and what is in hand.
const DESCRIPTORS: u32 = 32_768;
/// MiB for the pool, and for the two tables of four million entries that the exact match of `l3fwd` allocates.
const MEMORY_MB: u32 = 2_048;
/// Backends of the worker's pool.
const BACKENDS: u16 = 1_000;

/// A program in one of its modes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contender {
    /// `testpmd` hands packets from one port to the other and does not look at them.
    TestpmdIo,
    /// `testpmd` exchanges the Ethernet addresses.
    TestpmdMacSwap,
    /// `testpmd` exchanges the addresses of Ethernet and IP, and the ports.
    Testpmd5tSwap,
    /// `testpmd` parses all headers and computes their checksums.
    TestpmdChecksum,
    /// `l3fwd` looks for the longest matching prefix; one route.
    L3fwdLongest,
    /// `l3fwd` looks for the packet's five-tuple; a rule for each flow.
    L3fwdExact,
    /// The worker forwards by direct server return.
    GuidewayL2dsr,
    /// The worker forwards in tunnels.
    GuidewayIpip,
}

impl Contender {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::TestpmdIo,
        Self::TestpmdMacSwap,
        Self::Testpmd5tSwap,
        Self::TestpmdChecksum,
        Self::L3fwdLongest,
        Self::L3fwdExact,
        Self::GuidewayL2dsr,
        Self::GuidewayIpip,
    ];

    /// The name in tables and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::TestpmdIo => "testpmd-io",
            Self::TestpmdMacSwap => "testpmd-macswap",
            Self::Testpmd5tSwap => "testpmd-5tswap",
            Self::TestpmdChecksum => "testpmd-csum",
            Self::L3fwdLongest => "l3fwd-lpm",
            Self::L3fwdExact => "l3fwd-em",
            Self::GuidewayL2dsr => "guideway-l2dsr",
            Self::GuidewayIpip => "guideway-ipip",
        }
    }

    /// What it does to a packet, in a few words.
    #[must_use]
    pub const fn description(self) -> &'static str {
        match self {
            Self::TestpmdIo => "source and sink alone",
            Self::TestpmdMacSwap => "Ethernet addresses change places",
            Self::Testpmd5tSwap => "Ethernet, IP and TCP change places",
            Self::TestpmdChecksum => "headers parsed, checksums computed",
            Self::L3fwdLongest => "one route, longest prefix match",
            Self::L3fwdExact => "a table entry for each flow",
            Self::GuidewayL2dsr => "balanced over 1,000 backends, MAC rewritten",
            Self::GuidewayIpip => "balanced over 1,000 backends, IP in IP",
        }
    }

    /// Whether it tells its counters by lines instead of DPDK's telemetry.
    #[must_use]
    pub const fn counts_itself(self) -> bool {
        matches!(self, Self::GuidewayL2dsr | Self::GuidewayIpip)
    }

    /// The command that starts it.
    #[must_use]
    pub fn command(self, surroundings: &Surroundings<'_>) -> Command {
        match self {
            Self::TestpmdIo => testpmd("io", surroundings),
            Self::TestpmdMacSwap => testpmd("macswap", surroundings),
            Self::Testpmd5tSwap => testpmd("5tswap", surroundings),
            Self::TestpmdChecksum => testpmd("csum", surroundings),
            Self::L3fwdLongest => l3fwd("lpm", &surroundings.capture.longest, surroundings),
            Self::L3fwdExact => l3fwd("em", &surroundings.capture.exact, surroundings),
            Self::GuidewayL2dsr => guideway("l2dsr", surroundings),
            Self::GuidewayIpip => guideway("ipip", surroundings),
        }
    }
}

/// Where the programs are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Programs {
    /// DPDK's `testpmd`.
    pub testpmd: PathBuf,
    /// DPDK's example `l3fwd`.
    pub l3fwd: PathBuf,
    /// The worker between the same devices: the example `peer` of this crate.
    pub guideway: PathBuf,
}

/// What a contender finds.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings<'a> {
    /// Where the programs are.
    pub programs: &'a Programs,
    /// The packets, and tables for them.
    pub capture: &'a Capture,
    /// Where sockets and logs go.
    pub directory: &'a Path,
    /// The core that forwards.
    pub core: usize,
    /// The core of threads that wait.
    pub spare_core: usize,
    /// Whether to use hugepages.
    pub hugepages: bool,
}

impl Surroundings<'_> {
    /// The source's device.
    fn source(&self) -> String {
        format!("net_pcap0,rx_pcap={},infinite_rx=1", self.capture.packets.display())
    }

    /// Arguments of DPDK's environment that all programs of DPDK get: lcore 0 forwards unless there is another one.
    fn eal(&self, command: &mut Command, lcores: &str) {
        command.args([&format!("--lcores={lcores}"), "--no-pci", "--iova-mode=va", "--file-prefix=peer"]);
        command.arg(format!("-m{MEMORY_MB}"));
        command.arg(if self.hugepages { "--in-memory" } else { "--no-huge" });
        command.arg(format!("--vdev={}", self.source()));
        command.args(["--vdev=net_null1,no-rx=1", "--"]);
    }
}

/// `testpmd` wants a core for its command line beside the one that forwards.
fn testpmd(forwarding: &str, surroundings: &Surroundings<'_>) -> Command {
    let mut command = Command::new(&surroundings.programs.testpmd);
    surroundings.eal(&mut command, &format!("0@{},1@{}", surroundings.spare_core, surroundings.core));
    command.args([&format!("--forward-mode={forwarding}"), &format!("--total-num-mbufs={BUFFERS}")]);
    command.args(["--nb-cores=1", "--no-mlockall"]);
    command
}

fn l3fwd(lookup: &str, rules: &[PathBuf; 2], surroundings: &Surroundings<'_>) -> Command {
    let mut command = Command::new(&surroundings.programs.l3fwd);
    surroundings.eal(&mut command, &format!("0@{}", surroundings.core));
    command.args(["-p3", "-P", "--config=(0,0,0)", "--parse-ptype", &format!("--lookup={lookup}")]);
    command.args([&format!("--rx-queue-size={DESCRIPTORS}"), &format!("--tx-queue-size={DESCRIPTORS}")]);
    for (family, path) in ["4", "6"].iter().zip(rules) {
        command.arg(format!("--rule_ipv{family}={}", path.display()));
    }
    command
}

fn guideway(mode: &str, surroundings: &Surroundings<'_>) -> Command {
    let mut command = Command::new(&surroundings.programs.guideway);
    command.args(["--source", &surroundings.source(), "--mode", mode]);
    command.args(["--backends", &BACKENDS.to_string(), "--buffers", &BUFFERS.to_string()]);
    command.args(["--core", &surroundings.core.to_string(), "--spare-core", &surroundings.spare_core.to_string()]);
    if !surroundings.hugepages {
        command.arg("--no-hugepages");
    }
    command
}
