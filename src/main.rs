//! The command line of Guideway: wiring only, one file a subcommand.

mod backend;
mod bench;
mod capture;
mod changes;
mod check;
mod doctor;
mod drain;
mod generate;
mod import;
mod reload;
mod replay;
mod run;
mod status;
mod top;

use clap::{CommandFactory, Parser, Subcommand};
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
    /// Make a configuration from one of ipvsadm, keepalived or HAProxy; what cannot be carried over is named.
    Import(import::Args),
    /// Examine this machine: what is, what should be, how to mend it; bind network cards.
    Doctor(doctor::Args),
    /// Push a capture through the dataplane: no root, no hugepages, no NIC.
    Replay(replay::Args),
    /// Show how the running process is doing.
    Status(status::Args),
    /// Watch the running process: rates, states, drops.
    Top(top::Args),
    /// Drain, enable, disable, weigh, add or remove a backend of the running process.
    Backend(backend::Args),
    /// Drain this machine for its VIPs, then stop the running process.
    Drain(drain::Args),
    /// Apply the changed configuration file to the running process, as a difference.
    Reload(reload::Args),
    /// Write packets of the running process to a pcapng file, each with what became of it.
    Capture(capture::Args),
    /// Show the latest changes: when, by whom, of what, from what to what.
    Changes(changes::Args),
    /// Measure what a packet costs on this machine.
    Bench(bench::Args),
    /// Write manual pages, shell completions and the JSON Schema of the configuration: for packages and editors.
    #[command(hide = true)]
    Generate(generate::Args),
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

/// Whoever read the output has seen enough (`| head`): that is no fault, and ends this process as it ends others.
fn end_quietly_on_closed_pipe() {
    /// What a shell reports of a process that SIGPIPE ended.
    const SIGPIPE: i32 = 128 + 13;
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let message = info.payload().downcast_ref::<String>();
        if message.is_some_and(|text| text.starts_with("failed printing to stdout") && text.contains("Broken pipe")) {
            std::process::exit(SIGPIPE);
        }
        usual(info);
    }));
}

fn main() -> ExitCode {
    end_quietly_on_closed_pipe();
    // clap itself exits with 2 on bad usage.
    let result = match Cli::parse().command {
        Command::Run(args) => run::run(&args),
        Command::Check(args) => check::check(&args),
        Command::Doctor(args) => doctor::doctor(&args),
        Command::Import(args) => import::import(&args),
        Command::Replay(args) => replay::replay(&args),
        Command::Status(args) => status::status(&args),
        Command::Top(args) => top::top(&args),
        Command::Backend(args) => backend::backend(&args),
        Command::Drain(args) => drain::drain(&args),
        Command::Reload(args) => reload::reload(&args),
        Command::Capture(args) => capture::capture(&args),
        Command::Changes(args) => changes::changes(&args),
        Command::Bench(args) => bench::bench(&args),
        Command::Generate(args) => generate::generate(Cli::command(), &args),
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
