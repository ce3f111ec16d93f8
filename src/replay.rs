//! `guideway replay`.

use crate::Failure;
use crate::check::load_config;
use anyhow::Context;
use guideway_control::replay::{Capture, CaptureError, CaptureWriter, Options, Replay, ReplayError};
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
    /// A line a packet: its verdict, flow, VIP, hash, slot and backend, and why.
    #[arg(long)]
    explain: bool,
    /// One JSON object a packet, and a closing object of counters.
    #[arg(long, conflicts_with = "explain")]
    json: bool,
}

pub(crate) fn replay(args: &Args) -> Result<(), Failure> {
    let config = Arc::new(load_config(&args.config, None)?);
    let options = Options { port: args.port.clone(), down: args.down.clone() };
    let mut replay = Replay::new(&config, &options).map_err(|error| match error {
        ReplayError::State(error) => Failure::Runtime(error.into()),
        other => Failure::Usage(format!("guideway: {other}")),
    })?;
    let mut capture = Capture::open(&args.input)?;
    let mut output = args.output.as_deref().map(CaptureWriter::create).transpose()?;
    let mut report = BufWriter::new(stdout().lock());
    let mut last = Nanos(0);
    while let Some(frame) = capture.next_frame()? {
        last = last.max(frame.at);
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
    replay.finish(last);
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
