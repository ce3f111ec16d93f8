//! Compares programs over DPDK with the worker: `scripts/peers` builds what is needed and starts this.

use clap::{Parser, ValueEnum, builder::PossibleValue, value_parser};
use guideway_dpdk::Tsc;
use guideway_perf::machine::Machine;
use guideway_perf::peers::contender::{Contender, Programs};
use guideway_perf::peers::{MAX_FLOWS, Options, run};
use guideway_perf::record::{Record, Results, Start};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// What a packet costs in programs over DPDK, all of them on the same packets, devices and core, in turns.
#[derive(Parser)]
#[command(name = "scripts/peers")]
struct Args {
    /// Programs to compare [default: all].
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Program>,
    /// Flows that packets belong to, in turns.
    #[arg(long, value_delimiter = ',', default_value = "1000,10000,100000", value_parser = value_parser!(u32).range(1..=i64::from(MAX_FLOWS)))]
    flows: Vec<u32>,
    /// How often each program is started for each number of flows.
    #[arg(long, default_value_t = 3, value_parser = value_parser!(u16).range(1..=1_000))]
    rounds: u16,
    /// Windows of each start.
    #[arg(long, default_value_t = 3, value_parser = value_parser!(u16).range(1..=1_000))]
    windows: u16,
    /// Length of a window in seconds.
    #[arg(long, default_value_t = 1, value_parser = value_parser!(u64).range(1..=3_600))]
    seconds: u64,
    /// Core that forwards [default: the last one].
    #[arg(long)]
    core: Option<usize>,
    /// Buffers and tables lie in hugepages; 2 GiB of them must be free.
    #[arg(long)]
    hugepages: bool,
    /// Print the record of the run as JSON: what `guideway bench report` reads.
    #[arg(long)]
    json: bool,
    /// DPDK's testpmd.
    #[arg(long, hide = true)]
    testpmd: PathBuf,
    /// DPDK's l3fwd.
    #[arg(long, hide = true)]
    l3fwd: PathBuf,
    /// The worker's program.
    #[arg(long, hide = true)]
    guideway: PathBuf,
    /// The version of DPDK.
    #[arg(long, hide = true)]
    dpdk: String,
    /// An empty directory for files of the run.
    #[arg(long, hide = true)]
    directory: PathBuf,
}

#[derive(Clone, Copy)]
struct Program(Contender);

impl ValueEnum for Program {
    fn value_variants<'a>() -> &'a [Self] {
        const ALL: [Program; Contender::ALL.len()] = {
            let mut all = [Program(Contender::ALL[0]); Contender::ALL.len()];
            let mut place = 0;
            while place < all.len() {
                all[place] = Program(Contender::ALL[place]);
                place += 1;
            }
            all
        };
        &ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.0.name()).help(self.0.description()))
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    let start = Start::now();
    let cores: Vec<usize> = core_affinity::get_core_ids().unwrap_or_default().iter().map(|core| core.id).collect();
    let core = args.core.or(cores.last().copied()).unwrap_or(0);
    if !cores.contains(&core) {
        eprintln!("peers: --core {core}: this process may use {cores:?}; choose one of them");
        return ExitCode::from(2);
    }
    let options = Options {
        contenders: if args.only.is_empty() {
            Contender::ALL.into()
        } else {
            args.only.iter().map(|who| who.0).collect()
        },
        flows: args.flows,
        rounds: args.rounds.into(),
        windows: args.windows.into(),
        window: Duration::from_secs(args.seconds),
        core,
        spare_core: cores.iter().copied().find(|other| *other != core).unwrap_or(core),
        hz: Tsc::calibrate().hz(),
        hugepages: args.hugepages,
        programs: Programs { testpmd: args.testpmd, l3fwd: args.l3fwd, guideway: args.guideway },
        directory: args.directory,
    };
    let report = match run(&options, |line| eprintln!("{line}")) {
        Ok(report) => report,
        Err(error) => {
            eprintln!("peers: {error}");
            return ExitCode::FAILURE;
        }
    };
    if !args.json {
        print!("{report}");
        return ExitCode::SUCCESS;
    }
    let machine = Machine::this(Some(args.dpdk), Some(options.hz));
    match Record::new(Results::Peers(report), machine, start).to_json() {
        Ok(text) => print!("{text}"),
        Err(error) => {
            eprintln!("peers: {error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
