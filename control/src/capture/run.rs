//! A capture under way.

use super::CaptureRefused;
use super::ask::{Bounds, CaptureAsk};
use super::comment::comment;
use super::file::PcapNg;
use crate::api::Handles;
use guideway_dataplane::observe::{CaptureTap, Seen};
use guideway_dataplane::time::Nanos;
use hyper::body::{Body, Bytes, Frame};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::{info, warn};

/// What the buffers of all workers take, in bytes.
const MEMORY: usize = 16 << 20;
/// Frames a worker has buffers for, within that: a burst twice at least.
const FRAMES: std::ops::RangeInclusive<usize> = 256..=16_384;
/// What a buffer takes beside its bytes.
const BUFFER_OVERHEAD: usize = 192;
/// Bytes of a frame that an MTU does not count: Ethernet, two tags, and what a tunnel adds.
const AROUND_MTU: u32 = 14 + 8 + 128;
/// How often rings are looked at. They hold what comes in this time many times.
const PAUSE: Duration = Duration::from_millis(5);
/// Frames that are taken at once: between two such batches others have their turn.
const BATCH: usize = 128;
/// Bytes that are sent at once.
const PIECE: usize = 64 << 10;
/// Pieces that wait for the reader at most; then frames wait in the rings, and then they are lost.
const PIECES: usize = 16;

/// The file as it comes into being.
pub struct CaptureBody(mpsc::Receiver<Bytes>);

impl Body for CaptureBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.get_mut().0.poll_recv(cx).map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }
}

/// Workers look for packets while this is there.
struct Looking {
    handles: Handles,
    tap: Arc<CaptureTap>,
}

impl Drop for Looking {
    fn drop(&mut self) {
        self.handles.control().end_capture();
    }
}

/// Begins a capture. It ends at its bounds, or when nobody reads it any more.
///
/// # Errors
///
/// [`CaptureRefused`]; nothing changed then.
pub fn start(handles: &Handles, ask: &CaptureAsk) -> Result<CaptureBody, CaptureRefused> {
    let mut control = handles.control();
    let config = Arc::clone(&control.state().config);
    let (filter, bounds, snap) = (ask.filter(control.state())?, ask.bounds()?, ask.snap()?);
    let largest = config.ports.iter().map(|port| u32::from(port.mtu) + AROUND_MTU).max().unwrap_or(AROUND_MTU);
    let (room, workers) = (snap.min(largest) as usize, config.cores.workers.len().max(1));
    let frames = (MEMORY / workers / (room + BUFFER_OVERHEAD)).clamp(*FRAMES.start(), *FRAMES.end());
    let tap = Arc::new(CaptureTap::new(filter, workers, frames, room));
    if !control.begin_capture(Arc::clone(&tap)) {
        return Err(CaptureRefused::Busy);
    }
    drop(control);
    // From here on its end takes it from the workers again.
    let looking = Looking { handles: handles.clone(), tap };
    let file = PcapNg::new(&config, room as u32);
    let (sender, receiver) = mpsc::channel(PIECES);
    let clock = WallClock { wall: SystemTime::now(), nanos: (handles.clock)() };
    info!(?ask, "capture");
    tokio::spawn(async move {
        match file {
            Ok(file) => Running { looking, file, bounds, clock, frames: 0, sender }.run().await,
            Err(error) => warn!(%error, "the capture cannot be written"),
        }
    });
    Ok(CaptureBody(receiver))
}

/// The time since 1970 of a worker's time.
struct WallClock {
    wall: SystemTime,
    nanos: Nanos,
}

impl WallClock {
    fn at(&self, nanos: Nanos) -> Duration {
        let base = self.wall.duration_since(UNIX_EPOCH).unwrap_or_default();
        // A packet may be of a poll that began before the capture did.
        (base + nanos.since(self.nanos)).saturating_sub(self.nanos.since(nanos))
    }
}

struct Running {
    looking: Looking,
    file: PcapNg,
    bounds: Bounds,
    clock: WallClock,
    frames: u64,
    sender: mpsc::Sender<Bytes>,
}

/// The reader is gone.
struct Gone;

impl Running {
    async fn run(mut self) {
        let end = Instant::now().checked_add(Duration::from_secs(self.bounds.seconds));
        let finished = loop {
            match self.drain().await {
                Err(Gone) => break Err(Gone),
                Ok(true) => break Ok(()),
                Ok(false) if end.is_some_and(|end| Instant::now() >= end) => break Ok(()),
                Ok(false) => {}
            }
            tokio::select! {
                () = self.sender.closed() => break Err(Gone),
                () = tokio::time::sleep(PAUSE) => {}
            }
        };
        let lost: u64 = self.looking.tap.rings().iter().map(|ring| ring.lost.get()).sum();
        if finished.is_ok() {
            let now = (self.looking.handles.clock)();
            if let Err(error) = self.file.finish(self.clock.at(now), lost) {
                warn!(%error, "the end of the capture cannot be written");
            }
            let last = Bytes::from(self.file.take());
            // Workers need not look while the reader takes its time.
            drop(self.looking);
            let _ = self.sender.send(last).await;
        }
        info!(frames = self.frames, lost, "capture ended");
    }

    /// Sends what workers found. Returns whether a bound is reached.
    async fn drain(&mut self) -> Result<bool, Gone> {
        loop {
            let batch = self.batch();
            let (is_last, mut at_bound) = (batch.len() < BATCH, false);
            {
                let handles = self.looking.handles.clone();
                let control = handles.control();
                for (worker, seen) in batch {
                    at_bound |= self.is_at_bound();
                    if let Some(facts) = seen.facts.filter(|_| !at_bound) {
                        let comment = comment(control.state(), &facts);
                        match self.file.write(&seen, self.clock.at(facts.at), &comment) {
                            Ok(()) => self.frames += 1,
                            Err(error) => warn!(%error, "a frame of the capture cannot be written"),
                        }
                    }
                    self.looking.tap.rings()[worker].recycle(seen);
                }
            }
            at_bound |= self.is_at_bound();
            // The reader wants to see what there is; while more comes, in pieces that are worth it.
            if self.file.waiting() >= PIECE || (is_last && self.file.waiting() > 0) {
                let piece = Bytes::from(self.file.take());
                self.sender.send(piece).await.map_err(|_| Gone)?;
            }
            if at_bound || is_last {
                return Ok(at_bound);
            }
            tokio::task::yield_now().await;
        }
    }

    fn is_at_bound(&self) -> bool {
        self.frames >= self.bounds.frames || self.file.len() >= self.bounds.bytes
    }

    /// Some of what waits, of all workers in turn, in the order of time.
    fn batch(&self) -> Vec<(usize, Box<Seen>)> {
        let rings = self.looking.tap.rings();
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            let before = batch.len();
            for (worker, ring) in rings.iter().enumerate() {
                if batch.len() < BATCH
                    && let Some(seen) = ring.pop()
                {
                    batch.push((worker, seen));
                }
            }
            if batch.len() == before {
                break;
            }
        }
        batch.sort_by_key(|(_, seen)| seen.facts.map(|facts| facts.at));
        batch
    }
}
