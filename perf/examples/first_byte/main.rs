//! The time to first byte over TLS, through Guideway and through others: `scripts/first-byte` builds what is needed and starts
//! this.

mod calm;
mod run;

use clap::{Parser, ValueEnum, builder::PossibleValue, value_parser};
use guideway_lab::cores;
use guideway_lab::first_byte::Way;
use guideway_perf::machine::Machine;
use guideway_perf::present::Present;
use guideway_perf::record::{Record, Results, Start};
use guideway_perf::show::markdown;
use run::{Options, Turn};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// How long a client waits for the first byte over TLS, by what is between it and the backend: all ways in turns, in network
/// namespaces of this machine.
#[derive(Parser)]
#[command(name = "scripts/first-byte")]
struct Args {
    /// Ways to take [default: all]; what is added is told beyond the first of them.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Named>,
    /// How often each way is taken.
    #[arg(long, default_value_t = 25, value_parser = value_parser!(u16).range(1..=1_000))]
    rounds: u16,
    /// Connections of a way in a round.
    #[arg(long, default_value_t = 200, value_parser = value_parser!(u16).range(1..=5_000))]
    connections: u16,
    /// Connections at once, in turns.
    #[arg(long, value_delimiter = ',', default_value = "1,16", value_parser = value_parser!(u16).range(1..=256))]
    at_once: Vec<u16>,
    /// Seconds in all to wait for other work to end before turns, and to take turns again that it disturbed.
    #[arg(long, default_value_t = 0, value_parser = value_parser!(u64).range(..=86_400))]
    patience: u64,
    /// How Guideway's worker rests, in turns.
    #[arg(long, value_delimiter = ',', default_value = "poll,adaptive", value_parser = ["poll", "adaptive", "interrupt"])]
    idle: Vec<String>,
    /// Real-time priority of client, balancers and backend, against other work on the machine [default: none].
    #[arg(long, value_parser = value_parser!(u8).range(1..=19))]
    real_time: Option<u8>,
    /// Core of the balancers [default: the last one]; all else is on the first one.
    #[arg(long)]
    core: Option<u32>,
    /// Print the record of the run as JSON.
    #[arg(long)]
    json: bool,
    /// Write the record to a file: what `guideway bench report` reads.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Guideway's program.
    #[arg(long, hide = true)]
    guideway: PathBuf,
    /// The version of DPDK.
    #[arg(long, hide = true)]
    dpdk: Option<String>,
}

#[derive(Clone, Copy)]
struct Named(Way);

impl ValueEnum for Named {
    fn value_variants<'a>() -> &'a [Self] {
        const ALL: [Named; Way::ALL.len()] = {
            let mut all = [Named(Way::ALL[0]); Way::ALL.len()];
            let mut place = 0;
            while place < all.len() {
                all[place] = Named(Way::ALL[place]);
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

/// Exit code for bad usage.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let args = Args::parse();
    match options(&args) {
        Ok(options) => finish(&args, &options).unwrap_or_else(|error| {
            eprintln!("first-byte: {error:#}");
            ExitCode::FAILURE
        }),
        Err(message) => {
            eprintln!("first-byte: {message}");
            ExitCode::from(USAGE)
        }
    }
}

/// What is asked for, if this machine can do it.
fn options(args: &Args) -> Result<Options, String> {
    let cores = cores().map_err(|error| format!("{error:#}"))?;
    let other = cores.first().copied().unwrap_or(0);
    let balancer = args.core.or(cores.last().copied()).unwrap_or(0);
    if !cores.contains(&balancer) || balancer == other {
        return Err(format!(
            "--core {balancer}: this process may use {cores:?}, of which {other} is the client's and the backend's; choose another one \
             of them"
        ));
    }
    let named = || args.only.iter().map(|named| named.0);
    let ways: Vec<Way> = if args.only.is_empty() { Way::ALL.into() } else { named().collect() };
    Ok(Options {
        turns: ways.into_iter().flat_map(|way| Turn::of(way, &args.idle)).collect(),
        rounds: args.rounds.into(),
        connections: args.connections.into(),
        at_once: args.at_once.iter().map(|&count| count.into()).collect(),
        patience: Duration::from_secs(args.patience),
        real_time: args.real_time,
        balancer_core: balancer,
        other_core: other,
        guideway: args.guideway.clone(),
    })
}

fn finish(args: &Args, options: &Options) -> anyhow::Result<ExitCode> {
    let start = Start::now();
    let machine = Machine::this(args.dpdk.clone(), None);
    let report = run::run(options, |line| eprintln!("{line}"))?;
    if !args.json {
        for sentence in report.conditions() {
            println!("{sentence}");
        }
        for table in report.tables() {
            println!("\n{}\n\n{}", table.caption, markdown::table(&table));
        }
    }
    let record = Record::new(Results::FirstByte(report), machine, start);
    if args.json {
        print!("{}", record.to_json()?);
    }
    if let Some(path) = &args.out {
        record.write(path)?;
    }
    Ok(ExitCode::SUCCESS)
}
