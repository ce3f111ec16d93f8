//! The command line of Guideway: wiring only, one file a subcommand.

mod backend;
mod bench;
mod capture;
mod changes;
mod check;
mod reload;
mod replay;
mod run;
mod status;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Bad usage or configuration.
const USAGE: u8 = 2;

/// A layer-4 load balancer for the network edge.
#[derive(Parser)]
#[command(name = "guideway", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the load balancer.
    Run(run::Args),
    /// Check a configuration: every error at its line and column.
    Check(check::Args),
    /// Push a capture through the dataplane: no root, no hugepages, no NIC.
    Replay(replay::Args),
    /// Show how the running process is doing.
    Status(status::Args),
    /// Drain, enable, disable, weigh, add or remove a backend of the running process.
    Backend(backend::Args),
    /// Apply the changed configuration file to the running process, as a difference.
    Reload(reload::Args),
    /// Write packets of the running process to a pcapng file, each with what became of it.
    Capture(capture::Args),
    /// Show the latest changes: when, by whom, of what, from what to what.
    Changes(changes::Args),
    /// Measure what a packet costs on this machine.
    Bench(bench::Args),
}

/// How a command ended badly.
pub(crate) enum Failure {
    /// Bad usage or configuration: exit code 2.
    Usage(String),
    /// Something failed at run time: exit code 1.
    Runtime(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Runtime(error.into())
    }
}

fn main() -> ExitCode {
    // clap itself exits with 2 on bad usage.
    let result = match Cli::parse().command {
        Command::Run(args) => run::run(&args),
        Command::Check(args) => check::check(&args),
        Command::Replay(args) => replay::replay(&args),
        Command::Status(args) => status::status(&args),
        Command::Backend(args) => backend::backend(&args),
        Command::Reload(args) => reload::reload(&args),
        Command::Capture(args) => capture::capture(&args),
        Command::Changes(args) => changes::changes(&args),
        Command::Bench(args) => bench::bench(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Usage(message)) => {
            eprintln!("{message}");
            ExitCode::from(USAGE)
        }
        Err(Failure::Runtime(error)) => {
            eprintln!("guideway: {error:#}");
            ExitCode::FAILURE
        }
    }
}
