//! `guideway capture`: packets of the running process into a pcapng file.

use crate::Failure;
use anyhow::Context;
use guideway_control::api::client::{Client, ClientError};
use guideway_control::capture::{CaptureAsk, Direction};
use serde::Serialize;
use signal_hook::consts::{SIGINT, SIGTERM};
use std::fs::File;
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Options of `capture`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The control socket of the running process.
    #[arg(long, value_name = "PATH", default_value = guideway_config::model::DEFAULT_SOCKET)]
    socket: PathBuf,
    /// Packets of this VIP, as `status` writes it: 203.0.113.10:80/tcp.
    #[arg(long, value_name = "ADDR:PORT/PROTO")]
    vip: Option<String>,
    /// Packets to this backend, health probes among them.
    #[arg(long, value_name = "POOL/NAME")]
    backend: Option<String>,
    /// Packets of clients with these addresses.
    #[arg(long, value_name = "PREFIX")]
    client: Option<String>,
    /// Packets that are dropped for this reason; any: for whatever reason.
    #[arg(long, value_name = "REASON|any")]
    drop: Option<String>,
    /// Frames of this port.
    #[arg(long, value_name = "NAME")]
    port: Option<String>,
    /// Frames as they come in, as they leave, or both [default: both].
    #[arg(long, value_name = "in|out|both", value_parser = direction)]
    direction: Option<Direction>,
    /// One packet of so many, at random.
    #[arg(long, value_name = "N")]
    sample: Option<u32>,
    /// End after so many frames.
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// End after so many seconds [default: 600].
    #[arg(long, value_name = "S")]
    seconds: Option<u64>,
    /// End when the file has so many bytes [default: 1 GiB].
    #[arg(long, value_name = "MAX")]
    bytes: Option<u64>,
    /// Keep so many bytes of each frame at most.
    #[arg(long, value_name = "N")]
    snaplen: Option<u32>,
    /// The pcapng file; `-` for standard output. One that is there is replaced.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// What was captured, as JSON.
    #[arg(long)]
    json: bool,
}

fn direction(text: &str) -> Result<Direction, String> {
    match text {
        "in" => Ok(Direction::In),
        "out" => Ok(Direction::Out),
        "both" => Ok(Direction::Both),
        _ => Err("write in, out or both".to_owned()),
    }
}

impl Args {
    fn ask(&self) -> CaptureAsk {
        CaptureAsk {
            vip: self.vip.clone(),
            backend: self.backend.clone(),
            client: self.client.clone(),
            drop: self.drop.clone(),
            port: self.port.clone(),
            direction: self.direction.unwrap_or_default(),
            sample: self.sample,
            count: self.count,
            seconds: self.seconds,
            bytes: self.bytes,
            snaplen: self.snaplen,
        }
    }
}

/// What a capture came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
struct Summary {
    /// Frames in the file.
    frames: u64,
    /// Frames that the file lacks since no buffer was free; `None` if the capture was ended before its end.
    lost: Option<u64>,
    /// Bytes of the file.
    bytes: u64,
}

pub(crate) fn capture(args: &Args) -> Result<(), Failure> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop)).context("cannot install signal handlers")?;
    }
    let client = Client::new(&args.socket)?;
    let mut file = Blocks::new(Output { path: &args.out, file: None });
    let mut failed = None;
    let outcome = client.capture(&args.ask(), |piece| {
        if let Err(error) = file.write(piece) {
            failed = Some(error);
        }
        // A file without its head is none: that comes at once.
        let enough = stop.load(Relaxed) && file.summary.bytes > 0;
        if enough || failed.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    outcome.map_err(failure)?;
    match failed {
        // Whoever read it has seen enough.
        Some(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        Some(error) => return Err(anyhow::Error::new(error).context(args.out.display().to_string()).into()),
        None => {}
    }
    report(args, &file.summary)
}

/// What is asked for and cannot be is bad usage; the rest failed.
fn failure(error: ClientError) -> Failure {
    if error.is_usage() { Failure::Usage(format!("guideway: {error}")) } else { error.into() }
}

/// Standard output may be the file.
fn report(args: &Args, summary: &Summary) -> Result<(), Failure> {
    if args.json {
        let text = serde_json::to_string_pretty(summary)?;
        if is_standard_output(&args.out) {
            eprintln!("{text}");
        } else {
            println!("{text}");
        }
        return Ok(());
    }
    let Summary { frames, lost, bytes } = summary;
    let lost = match lost {
        Some(0) => "none lost".to_owned(),
        Some(lost) => format!("{lost} lost: narrow the capture, sample it, or cut frames with --snaplen"),
        None => "ended early".to_owned(),
    };
    eprintln!("{}: {frames} frames, {bytes} bytes, {lost}", args.out.display());
    Ok(())
}

fn is_standard_output(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// The file, made when there is something to write: a capture that is refused replaces nothing.
struct Output<'p> {
    path: &'p Path,
    file: Option<Box<dyn Write>>,
}

impl Write for Output<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let file = match &mut self.file {
            Some(file) => file,
            None if is_standard_output(self.path) => self.file.insert(Box::new(io::stdout())),
            None => self.file.insert(Box::new(File::create(self.path)?)),
        };
        file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.as_mut().map_or(Ok(()), Write::flush)
    }
}

/// Writes whole blocks only, so that a capture that ends early ends with one, and counts them.
struct Blocks<W> {
    out: W,
    waiting: Vec<u8>,
    summary: Summary,
}

/// Types of blocks (draft-ietf-opsawg-pcapng, section 11.1).
const INTERFACE_STATISTICS: u32 = 5;
const ENHANCED_PACKET: u32 = 6;
/// Type and length of a block, which every block begins with.
const BLOCK_HEAD: usize = 8;

impl<W: Write> Blocks<W> {
    fn new(out: W) -> Self {
        Self { out, waiting: Vec::new(), summary: Summary::default() }
    }

    /// Takes more of the file, in the byte order of this machine: the process that wrote it is on it.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.waiting.extend_from_slice(bytes);
        let mut whole = 0;
        while let Some(block) = next_block(&self.waiting[whole..])? {
            match word(block, 0) {
                Some(ENHANCED_PACKET) => self.summary.frames += 1,
                Some(INTERFACE_STATISTICS) => self.summary.lost = Some(lost(block)),
                _ => {}
            }
            whole += block.len();
        }
        if whole > 0 {
            self.out.write_all(&self.waiting[..whole])?;
            self.out.flush()?;
            self.summary.bytes += whole as u64;
            self.waiting.drain(..whole);
        }
        Ok(())
    }
}

/// The first block, if all of it is there.
fn next_block(bytes: &[u8]) -> io::Result<Option<&[u8]>> {
    let Some(len) = word(bytes, 4) else { return Ok(None) };
    if (len as usize) < BLOCK_HEAD + 4 {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "what the running guideway sends is no pcapng file"));
    }
    Ok(bytes.get(..len as usize))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let word = bytes.get(at..at + 4)?;
    Some(u32::from_ne_bytes(word.try_into().ok()?))
}

/// `isb_ifdrop` of an interface statistics block (section 4.6).
fn lost(block: &[u8]) -> u64 {
    const IF_DROP: u16 = 5;
    let mut options = block.get(BLOCK_HEAD + 12..).unwrap_or(&[]);
    while let Some((head, rest)) = options.split_first_chunk::<4>() {
        let [code, len] = [[head[0], head[1]], [head[2], head[3]]].map(u16::from_ne_bytes);
        if code == IF_DROP {
            return rest.first_chunk().map_or(0, |value| u64::from_ne_bytes(*value));
        }
        options = rest.get(usize::from(len).next_multiple_of(4)..).unwrap_or(&[]);
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(kind: u32, body: &[u8]) -> Vec<u8> {
        let len = (body.len() + 12) as u32;
        [&kind.to_ne_bytes()[..], &len.to_ne_bytes(), body, &len.to_ne_bytes()].concat()
    }

    #[test]
    fn whatever_the_pieces_are_whole_blocks_are_written_and_counted() {
        let drop_option = [&2_u16.to_ne_bytes()[..], &2_u16.to_ne_bytes(), b"hi\0\0", &5_u16.to_ne_bytes()].concat();
        let drop_option = [&drop_option[..], &8_u16.to_ne_bytes(), &77_u64.to_ne_bytes(), &[0; 4]].concat();
        let statistics = [&[0; 12][..], &drop_option].concat();
        let blocks = [block(0x0a0d_0d0a, &[1; 16]), block(6, &[2; 40]), block(6, &[3; 20]), block(5, &statistics)];
        let file = blocks.concat();
        for piece in 1..file.len() {
            let mut written = Blocks::new(Vec::new());
            for bytes in file.chunks(piece) {
                written.write(bytes).unwrap();
            }
            let expected = Summary { frames: 2, lost: Some(77), bytes: file.len() as u64 };
            assert_eq!((&written.out, &written.summary), (&file, &expected), "in pieces of {piece}");
        }
        let mut cut = Blocks::new(Vec::new());
        cut.write(&file[..file.len() - 1]).unwrap();
        assert_eq!(cut.out, blocks[..3].concat(), "half a block is none");
        assert_eq!(cut.summary.lost, None);
        assert!(Blocks::new(Vec::new()).write(&[0; 8]).is_err());
    }
}
