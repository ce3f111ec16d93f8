//! `guideway bench wake`: how long a packet waits for an idle worker.

use super::output::{self, OutputArgs};
use crate::Failure;
use crate::run::enter_worker;
use clap::{ValueEnum, value_parser};
use guideway_config::model::Idle;
use guideway_perf::record::Results;
use guideway_perf::wake::run::run;
use guideway_perf::wake::{Mode, Options};
use std::io::IsTerminal;
use std::time::Duration;

/// Options of `bench wake`.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Ways to be idle [default: all].
    #[arg(long, value_enum, value_delimiter = ',')]
    mode: Vec<ModeKind>,
    /// The device that the worker polls, as in the configuration. The default makes a TAP device, which needs root.
    #[arg(long, default_value = "net_tap0,iface=gwbench")]
    device: String,
    /// The device that packets are sent by: the other end of the wire.
    #[arg(long, default_value = "net_af_packet0,iface=gwbench")]
    sender: String,
    /// Packets for each way to be idle.
    #[arg(long, default_value_t = 400, value_parser = value_parser!(u32).range(1..=10_000_000))]
    packets: u32,
    /// The shortest gap between two packets, in milliseconds.
    #[arg(long, default_value_t = 1, value_parser = value_parser!(u64).range(0..=10_000))]
    shortest_gap: u64,
    /// The longest gap between two packets, in milliseconds.
    #[arg(long, default_value_t = 50, value_parser = value_parser!(u64).range(0..=10_000))]
    longest_gap: u64,
    /// Core of the worker [default: the last one].
    #[arg(long)]
    core: Option<usize>,
    /// Core of the sender [default: the first one].
    #[arg(long)]
    sender_core: Option<usize>,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Clone, Copy, ValueEnum)]
enum ModeKind {
    /// Polls without pause.
    Poll,
    /// Pauses, then sleeps shortly.
    Adaptive,
    /// Sleeps until the device wakes it.
    Interrupt,
}

impl From<ModeKind> for Mode {
    fn from(kind: ModeKind) -> Self {
        match kind {
            ModeKind::Poll => Self::Poll,
            ModeKind::Adaptive => Self::Adaptive,
            ModeKind::Interrupt => Self::Interrupt,
        }
    }
}

/// How the configuration calls it.
const fn idle(mode: Mode) -> Idle {
    match mode {
        Mode::Poll => Idle::Poll,
        Mode::Adaptive => Idle::Adaptive,
        Mode::Interrupt => Idle::Interrupt,
    }
}

pub(super) fn wake(args: &Args) -> Result<(), Failure> {
    let options = options(args)?;
    let begun = output::begin();
    let modes: Vec<Mode> =
        if args.mode.is_empty() { Mode::ALL.to_vec() } else { args.mode.iter().map(|kind| (*kind).into()).collect() };
    let watched = std::io::stderr().is_terminal();
    let report = run(
        &options,
        &modes,
        |core, mode| enter_worker(core, idle(mode)),
        |mode| {
            if watched {
                eprintln!("{mode}");
            }
        },
    )?;
    output::show(&args.output, Results::Wake(report), begun)
}

fn options(args: &Args) -> Result<Options, Failure> {
    let cores: Vec<usize> = core_affinity::get_core_ids().unwrap_or_default().iter().map(|core| core.id).collect();
    let worker_core = args.core.or(cores.last().copied()).unwrap_or(0);
    let sender_core = args.sender_core.or(cores.first().copied()).unwrap_or(0);
    for core in [worker_core, sender_core] {
        if !cores.contains(&core) {
            return Err(Failure::Usage(format!("cannot run on core {core}; this process may use {cores:?}")));
        }
    }
    if worker_core == sender_core {
        let message = format!("worker and sender both on core {worker_core}: give them different ones of {cores:?}");
        return Err(Failure::Usage(message));
    }
    if args.shortest_gap > args.longest_gap {
        let (shortest, longest) = (args.shortest_gap, args.longest_gap);
        return Err(Failure::Usage(format!("--shortest-gap {shortest} is longer than --longest-gap {longest}")));
    }
    Ok(Options {
        device: args.device.clone(),
        sender: args.sender.clone(),
        worker_core,
        sender_core,
        packets: args.packets,
        shortest_gap: Duration::from_millis(args.shortest_gap),
        longest_gap: Duration::from_millis(args.longest_gap),
    })
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

    #[test]
    fn nonsense_is_bad_usage() {
        for option in ["--mode never", "--packets 0", "--shortest-gap -1", "--longest-gap 10001"] {
            assert!(parse(&format!("wake {option}")).is_err(), "{option}");
        }
        for (line, part) in [
            ("wake --core 100000", "core 100000"),
            ("wake --core 0 --sender-core 0", "both on core 0"),
            ("wake --shortest-gap 60", "is longer than --longest-gap 50"),
        ] {
            let refused = options(&parse(line).expect("good syntax"));
            assert!(matches!(&refused, Err(Failure::Usage(text)) if text.contains(part)), "{line}");
        }
    }
}
