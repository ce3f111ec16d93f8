//! Other programs over DPDK beside the worker: the same packets, the same devices, the same core, in turns.
//!
//! Each program receives from DPDK's `net_pcap`, which gives the packets of a capture for ever, and sends to `net_null`.
//! What it costs follows from outside, in the same way for all: packets from the counters of its ports, time from the
//! processor time that the kernel accounts to its busiest thread. The cost is that of source, program and sink together.

pub mod capture;
pub mod contender;
pub mod observe;
pub mod report;

use crate::machine::Processor;
use crate::window::Spread;
use capture::Capture;
use contender::{Contender, Programs, Surroundings};
use guideway_control::replay::CaptureError;
use observe::{Running, Window};
use report::{CaseReport, Report};
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// The most flows: each is a packet of the capture, and the driver keeps all of them in buffers of the program's pool.
pub const MAX_FLOWS: u32 = 120_000;

/// What is measured, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// Who takes part.
    pub contenders: Vec<Contender>,
    /// Numbers of flows, each 1 to [`MAX_FLOWS`].
    pub flows: Vec<u32>,
    /// How often each contender is started for each number of flows.
    pub rounds: usize,
    /// Windows of each start.
    pub windows: usize,
    /// Length of a window.
    pub window: Duration,
    /// The core that forwards.
    pub core: usize,
    /// Another core, for the threads that wait; the same if there is no other.
    pub spare_core: usize,
    /// Frequency of the time stamp counter.
    pub hz: u64,
    /// Whether buffers and tables lie in hugepages.
    pub hugepages: bool,
    /// Where the programs are.
    pub programs: Programs,
    /// An empty directory for captures, rules, sockets and logs, with a short path. The caller removes it.
    pub directory: PathBuf,
}

/// Why there are no figures.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The capture was not written.
    #[error(transparent)]
    Capture(#[from] CaptureError),
    /// The operating system refused something.
    #[error("{what}: {source}")]
    Io {
        /// What was tried, and with what.
        what: String,
        /// Why not.
        source: io::Error,
    },
    /// A program did not start, or ended before it was told to.
    #[error("{name} with {flows} flows: {what}; the end of what it wrote:\n{log}")]
    Program {
        /// The contender.
        name: &'static str,
        /// Flows.
        flows: u32,
        /// What went wrong.
        what: String,
        /// The end of its output.
        log: String,
    },
}

/// Measures all contenders in turns. `progress` gets a line before each start.
///
/// # Errors
///
/// [`Error`]; programs that run are ended.
pub fn run(options: &Options, mut progress: impl FnMut(&str)) -> Result<Report, Error> {
    let mut cases = Vec::new();
    for &flows in &options.flows {
        let capture = Capture::write(&options.directory, flows)?;
        let mut found: Vec<Vec<Window>> = vec![Vec::new(); options.contenders.len()];
        for round in 1..=options.rounds {
            for (contender, windows) in options.contenders.iter().zip(&mut found) {
                progress(&format!("{flows} flows, round {round} of {}: {}", options.rounds, contender.name()));
                windows.extend(observe(options, *contender, &capture)?);
            }
        }
        cases
            .extend(options.contenders.iter().zip(&found).map(|(who, windows)| case(options.hz, *who, flows, windows)));
    }
    let Processor { model, virtual_machine } = Processor::this();
    Ok(Report {
        processor: model,
        virtual_machine,
        core: options.core,
        hz: options.hz,
        hugepages: options.hugepages,
        rounds: options.rounds,
        windows: options.windows,
        window_seconds: options.window.as_secs_f64(),
        cases,
    })
}

/// Starts a contender, takes its windows, and ends it.
fn observe(options: &Options, contender: Contender, capture: &Capture) -> Result<Vec<Window>, Error> {
    let surroundings = Surroundings {
        programs: &options.programs,
        capture,
        directory: &options.directory,
        core: options.core,
        spare_core: options.spare_core,
        hugepages: options.hugepages,
    };
    let mut running = Running::start(contender, &surroundings)?;
    let windows = (0..options.windows).map(|_| running.window(options.window)).collect::<Result<_, _>>()?;
    running.stop()?;
    Ok(windows)
}

fn case(hz: u64, contender: Contender, flows: u32, windows: &[Window]) -> CaseReport {
    let cycles = Spread::of(windows.iter().map(|window| window.cost() * hz as f64));
    let wall: f64 = windows.iter().map(|window| window.wall).sum();
    let had: f64 = windows.iter().map(|window| window.busy).sum();
    CaseReport {
        name: contender.name().to_owned(),
        flows,
        cycles,
        mpps: if cycles.median > 0.0 { hz as f64 / cycles.median / 1e6 } else { 0.0 },
        packets: windows.iter().map(|window| window.packets).sum(),
        lost_percent: (1.0 - had / wall.max(f64::MIN_POSITIVE)) * 100.0,
    }
}
