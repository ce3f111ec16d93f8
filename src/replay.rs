//! `guideway replay`.

use crate::Failure;
use crate::check::load_config;
use anyhow::Context;
use clap::value_parser;
use guideway_control::replay::{
    Applied, Capture, CaptureError, CaptureWriter, MOST_WORKERS, Options, Replay, ReplayError, Timed,
};
use guideway_dataplane::time::Nanos;
use std::io::{BufWriter, Write, stdout};
use std::path::PathBuf;
use std::sync::Arc;

/// Options of `replay`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The configuration file. Cores and devices in it need not exist here.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The capture to push through: pcap or pcapng, Ethernet.
    #[arg(long = "in", value_name = "FILE")]
    input: PathBuf,
    /// Where every frame that any port would send goes, as pcap.
    #[arg(long = "out", value_name = "FILE")]
    output: Option<PathBuf>,
    /// The port where the frames arrive [default: the first].
    #[arg(long, value_name = "NAME")]
    port: Option<String>,
    /// A backend that is down from the first packet; as often as wanted.
    #[arg(long, value_name = "NAME|POOL/NAME")]
    down: Vec<String>,
    /// A change on the way, at a time from the first frame on as 300ms, 2.5s, 2m; as often as wanted. Changes, of POOL/NAME or
    /// of a NAME that is unique: drain and remove, with `force` behind the name if at once; enable, disable, down, up; weight,
    /// with the weight behind the name; add, with the address behind POOL/NAME, and `weight` and its value if not 1.
    #[arg(long, num_args = 2, value_names = ["TIME", "ACTION"])]
    at: Vec<String>,
    /// Workers that frames are spread over, by addresses and ports as cards do it.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value_parser!(u16).range(1..=i64::from(MOST_WORKERS)))]
    workers: u16,
    /// Workers learn of changes late, each after another delay up to 2 s; another seed, other delays [default seed: 0].
    #[arg(long, value_name = "SEED", num_args = 0..=1, default_missing_value = "0")]
    skew: Option<u64>,
    /// A line a packet: its verdict, flow, VIP, hash, slot and backend, and why.
    #[arg(long)]
    explain: bool,
    /// One JSON object a packet, and a closing object of counters.
    #[arg(long, conflicts_with = "explain")]
    json: bool,
}

pub(crate) fn replay(args: &Args) -> Result<(), Failure> {
    let config = Arc::new(load_config(&args.config, None)?);
    let actions = args.at.chunks_exact(2).map(|values| Timed::parse(&values[0], &values[1]));
    let options = Options {
        port: args.port.clone(),
        down: args.down.clone(),
        at: actions.collect::<Result<_, _>>().map_err(failure)?,
        workers: args.workers,
        skew: args.skew,
    };
    let mut replay = Replay::new(&config, &options).map_err(failure)?;
    let mut capture = Capture::open(&args.input)?;
    let mut output = args.output.as_deref().map(CaptureWriter::create).transpose()?;
    let mut report = BufWriter::new(stdout().lock());
    let mut last = Nanos(0);
    while let Some(frame) = capture.next_frame()? {
        last = last.max(frame.at);
        let before = replay.summary().actions.len();
        replay.advance(frame.at).map_err(failure)?;
        if args.explain {
            explain_actions(&mut report, &replay.summary().actions[before..])?;
        }
        let record = replay.feed(&frame, |_port, bytes| match &mut output {
            Some(output) => output.write(frame.at, bytes),
            None => Ok::<(), CaptureError>(()),
        })?;
        if args.json {
            serde_json::to_writer(&mut report, &record).context("standard output")?;
            writeln!(report).context("standard output")?;
        } else if args.explain {
            writeln!(report, "{record}").context("standard output")?;
        }
    }
    let before = replay.summary().actions.len();
    replay.finish(last).map_err(failure)?;
    if args.explain {
        explain_actions(&mut report, &replay.summary().actions[before..])?;
    }
    if let Some(output) = output {
        output.finish()?;
    }
    if args.json {
        serde_json::to_writer(&mut report, replay.summary()).context("standard output")?;
        writeln!(report).context("standard output")?;
    } else {
        write!(report, "{}", replay.summary()).context("standard output")?;
    }
    report.flush().context("standard output")?;
    Ok(())
}

/// A line for each action, among those of the packets.
fn explain_actions(report: &mut impl Write, actions: &[Applied]) -> anyhow::Result<()> {
    for Applied { at, action } in actions {
        writeln!(report, "       at {at}: {action}").context("standard output")?;
    }
    Ok(())
}

/// What cannot be done because of how it was asked for is bad usage, also in the middle.
fn failure(error: ReplayError) -> Failure {
    match error {
        ReplayError::State(error) => Failure::Runtime(error.into()),
        other => Failure::Usage(format!("guideway: {other}")),
    }
}
