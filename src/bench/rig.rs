//! What the benchmarks under load have in common: what is balanced, how the search goes, which cores and devices.

use super::options::{family, seconds};
use crate::Failure;
use clap::{ValueEnum, value_parser};
use guideway_dataplane::parse::Family;
use guideway_perf::load::frames::{FrameSize, MAX_FLOWS};
use guideway_perf::load::site::{MAX_BACKENDS, Mode, Site};
use guideway_perf::ndr::goal::Goal;
use guideway_perf::ndr::run::Options;
use std::sync::OnceLock;
use std::time::Duration;

/// The name of the goal without loss.
pub(super) const NDR: &str = "NDR";
/// The name of the goal with a little loss.
const PDR: &str = "PDR";

/// What is balanced.
#[derive(clap::Args)]
pub(super) struct SiteArgs {
    /// Kinds of forwarding.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "l2dsr")]
    mode: Vec<ModeKind>,
    /// IP versions.
    #[arg(long, value_delimiter = ',', default_value = "4", value_parser = family)]
    family: Vec<Family>,
    /// Bytes of a frame on the wire, its check sequence included, or imix (7:4:1 of 64, 594 and 1518); IPv6 takes 78 at
    /// least.
    #[arg(long, value_delimiter = ',', default_value = "64")]
    frame_size: Vec<FrameSize>,
    /// Flows that packets belong to, in turns.
    #[arg(long, default_value_t = 100_000, value_parser = value_parser!(u32).range(1..=i64::from(MAX_FLOWS)))]
    flows: u32,
    /// Backends of a pool.
    #[arg(long, default_value_t = 100, value_parser = value_parser!(u16).range(1..=10_000))]
    backends: u16,
}

#[derive(Clone, Copy, ValueEnum)]
enum ModeKind {
    /// Direct server return on one segment.
    L2dsr,
    /// A tunnel of the packet's own family.
    Ipip,
    /// GUE of the packet's own family, without UDP checksum.
    Gue,
}

impl From<ModeKind> for Mode {
    fn from(kind: ModeKind) -> Self {
        match kind {
            ModeKind::L2dsr => Self::L2dsr,
            ModeKind::Ipip => Self::Ipip,
            ModeKind::Gue => Self::Gue,
        }
    }
}

impl SiteArgs {
    /// Every combination of what was asked for, with so many pools.
    pub(super) fn sites(&self, pools: u16) -> Result<Vec<Site>, Failure> {
        let all = u32::from(self.backends) * u32::from(pools);
        if all > MAX_BACKENDS {
            let (backends, most) = (self.backends, MAX_BACKENDS / u32::from(pools));
            return Err(Failure::Usage(format!(
                "{pools} pools of {backends} backends are more than {MAX_BACKENDS} backends; give --backends {most} at most"
            )));
        }
        let mut sites = Vec::new();
        for &mode in &self.mode {
            for &family in &self.family {
                for &size in &self.frame_size {
                    let (flows, backends, v6) = (self.flows, self.backends, family == Family::V6);
                    sites.push(Site { mode: mode.into(), v6, pools, backends, flows, size });
                }
            }
        }
        Ok(sites)
    }

    /// Lengths of frames.
    pub(super) fn sizes(&self) -> &[FrameSize] {
        &self.frame_size
    }

    /// The longest frame on the wire.
    pub(super) fn longest(&self) -> usize {
        let lengths = |size: &FrameSize| size.lengths(true).into_iter().max();
        self.frame_size.iter().filter_map(lengths).max().unwrap_or_default()
    }

    /// Flows.
    pub(super) const fn flows(&self) -> u32 {
        self.flows
    }
}

/// How the search goes.
#[derive(clap::Args)]
pub(super) struct SearchArgs {
    /// Time of a trial that decides.
    #[arg(long, default_value = "1", value_parser = seconds)]
    seconds: Duration,
    /// Time of a trial at first, far from the end; at most that of one that decides.
    #[arg(long, default_value = "0.1", value_parser = seconds)]
    first_seconds: Duration,
    /// Trials that decide whether a load is carried.
    #[arg(long, default_value_t = 5, value_parser = value_parser!(u16).range(1..=1_000))]
    trials: u16,
    /// The share of these that may be bad.
    #[arg(long, default_value_t = 0.5, value_parser = below_one)]
    exceed: f64,
    /// How close the bounds are at the end, as a share of the upper one.
    #[arg(long, default_value_t = 0.005, value_parser = width)]
    width: f64,
    /// The loss of the partial-drop rate, as a share.
    #[arg(long, default_value_t = 0.005, value_parser = below_one)]
    loss: f64,
    /// The least load that is tried, in packets a second.
    #[arg(long, default_value_t = 10_000.0, value_parser = rate)]
    min_rate: f64,
    /// The highest load that is tried, in packets a second.
    #[arg(long, default_value_t = 40_000_000.0, value_parser = rate)]
    max_rate: f64,
    /// How often a trial is repeated in which packets are missing and a thread was without its core.
    #[arg(long, default_value_t = 10, value_parser = value_parser!(u32).range(0..=10_000))]
    pub(super) retries: u32,
}

fn below_one(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| (0.0..1.0).contains(share));
    share.ok_or_else(|| "a share: 0 or more, below 1".to_owned())
}

fn width(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| (1e-4..=0.5).contains(share));
    share.ok_or_else(|| "a share: 0.0001 to 0.5".to_owned())
}

/// A number of packets a second.
pub(super) fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate| (1.0..=1e9).contains(rate));
    rate.ok_or_else(|| "packets a second: 1 to 1000000000".to_owned())
}

impl SearchArgs {
    /// The search for NDR and, if asked for, PDR.
    pub(super) fn options(&self, partial: bool) -> Result<Options, Failure> {
        if self.min_rate >= self.max_rate {
            let (min, max) = (self.min_rate, self.max_rate);
            return Err(Failure::Usage(format!("--min-rate {min} is not below --max-rate {max}; raise the latter")));
        }
        let seconds = self.seconds.as_secs_f64();
        let goal = |loss_ratio| Goal {
            loss_ratio,
            exceed_ratio: self.exceed,
            initial_trial: self.first_seconds.as_secs_f64().min(seconds),
            final_trial: seconds,
            duration_sum: seconds * f64::from(self.trials),
            width: self.width,
        };
        let mut goals = vec![(NDR.to_owned(), goal(0.0))];
        if partial {
            goals.push((PDR.to_owned(), goal(self.loss)));
        }
        let (min_rate, max_rate, retries) = (self.min_rate, self.max_rate, self.retries);
        Ok(Options { goals, min_rate, max_rate, retries })
    }

    /// RFC 2544 to the letter.
    pub(super) fn strict(&self) -> Result<Options, Failure> {
        Ok(Options { goals: vec![(NDR.to_owned(), Goal::rfc2544())], ..self.options(false)? })
    }
}

/// Which cores, and what joins them.
#[derive(clap::Args)]
pub(super) struct PlaceArgs {
    /// What joins generator and worker: rings of DPDK, or queues in memory, without DPDK.
    #[arg(long, value_enum, default_value = "dpdk")]
    pub(super) device: DeviceKind,
    /// Core of the generator [default: the last but one].
    #[arg(long)]
    generator_core: Option<usize>,
    /// Core of the worker [default: the last one].
    #[arg(long)]
    worker_core: Option<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum DeviceKind {
    /// mbufs of a pool in rings.
    Dpdk,
    /// Packets in memory.
    Memory,
}

#[cfg(test)]
impl Failure {
    /// What it says, for a test that did not expect it.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Usage(text) => text.clone(),
            Self::Runtime(error) => format!("{error:#}"),
        }
    }
}

/// Cores that this process may use: those of the thread that asks first, which must not be pinned yet.
pub(super) fn cores() -> &'static [usize] {
    static CORES: OnceLock<Vec<usize>> = OnceLock::new();
    CORES.get_or_init(|| core_affinity::get_core_ids().unwrap_or_default().iter().map(|core| core.id).collect())
}

impl PlaceArgs {
    /// The cores of generator and worker.
    pub(super) fn pair(&self) -> Result<(usize, usize), Failure> {
        choose(cores(), self.generator_core, self.worker_core)
    }

    /// The generator's core, if the balancer is elsewhere.
    pub(super) fn generator(&self) -> Result<usize, Failure> {
        let cores = cores();
        let core = self.generator_core.or(cores.last().copied()).unwrap_or(0);
        known(cores, core)?;
        Ok(core)
    }
}

/// Fails unless `core` is one of `cores`.
pub(super) fn known(cores: &[usize], core: usize) -> Result<(), Failure> {
    if cores.contains(&core) {
        return Ok(());
    }
    Err(Failure::Usage(format!("cannot run on core {core}; this process may use {cores:?}")))
}

fn choose(cores: &[usize], generator: Option<usize>, worker: Option<usize>) -> Result<(usize, usize), Failure> {
    if cores.len() < 2 {
        return Err(Failure::Usage(format!(
            "generator and worker need a core each; this process may use {cores:?}; give it another one, or measure a \
             balancer on another machine (`bench ndr --dut external`)"
        )));
    }
    let free = |taken: Option<usize>| cores.iter().rev().copied().find(|&core| Some(core) != taken);
    let worker = worker.or_else(|| free(generator)).unwrap_or(0);
    let generator = generator.or_else(|| free(Some(worker))).unwrap_or(0);
    known(cores, worker)?;
    known(cores, generator)?;
    if worker == generator {
        return Err(Failure::Usage(format!(
            "generator and worker need a core each, and both are to run on core {worker}; give another --worker-core"
        )));
    }
    Ok((generator, worker))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(cores: &[usize], generator: Option<usize>, worker: Option<usize>) -> Result<(usize, usize), String> {
        choose(cores, generator, worker).map_err(|failure| match failure {
            Failure::Usage(text) => text,
            Failure::Runtime(error) => panic!("{error}"),
        })
    }

    #[test]
    fn each_has_a_core_or_there_is_no_run() {
        assert_eq!(chosen(&[0, 1, 2], None, None), Ok((1, 2)));
        assert_eq!(chosen(&[0, 1], Some(1), None), Ok((1, 0)));
        assert_eq!(chosen(&[0, 1, 2], None, Some(0)), Ok((2, 0)));
        assert!(chosen(&[3], None, None).is_err_and(|text| text.contains("need a core each") && text.contains("[3]")));
        assert!(chosen(&[0, 1], Some(1), Some(1)).is_err_and(|text| text.contains("core 1")));
        assert!(chosen(&[0, 1], Some(5), None).is_err_and(|text| text.contains("core 5")));
    }
}
