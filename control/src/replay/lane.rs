//! A worker of a replay, with what is its own.

use super::skew::Skew;
use guideway_dataplane::counters::WorkerCounters;
use guideway_dataplane::ids::{PortId, WorkerId};
use guideway_dataplane::memory::{MemoryPacket, MemoryPool, MemoryPort, MemoryQueue, MemoryRx, MemoryTx, link};
use guideway_dataplane::pipeline::Trace;
use guideway_dataplane::publish::Generation;
use guideway_dataplane::punt::{ControlRings, PuntClass};
use guideway_dataplane::snapshot::SnapshotReader;
use guideway_dataplane::time::Nanos;
use guideway_dataplane::transmit::TxPath;
use guideway_dataplane::worker::{SessionParts, Worker, WorkerParts};
use std::sync::Arc;

/// A worker, its receive queue, its counters, and its rings.
pub(super) struct Lane {
    worker: Worker<MemoryPort>,
    pub(super) rings: ControlRings<MemoryPort>,
    pub(super) counters: Arc<WorkerCounters>,
    input: MemoryQueue,
    /// The snapshot that it uses; 0 before its first poll.
    pub(super) generation: Generation,
    /// When it uses what was published meanwhile; `None`: at once, or it does.
    pub(super) adopts_at: Option<Nanos>,
}

impl Lane {
    /// A worker that receives from one port and sends by all of them.
    pub(super) fn new(
        id: WorkerId,
        port: PortId,
        outputs: &[MemoryQueue],
        snapshots: SnapshotReader,
        rings: ControlRings<MemoryPort>,
        sessions: Option<SessionParts<MemoryPort>>,
    ) -> Self {
        let (input, counters) = (link(), Arc::new(WorkerCounters::default()));
        let worker = Worker::new(WorkerParts {
            id,
            rx: vec![(port, MemoryRx(Arc::clone(&input)))],
            tx: outputs.iter().map(|queue| TxPath::Queue(MemoryTx(Arc::clone(queue)))).collect(),
            snapshots,
            rings: rings.clone(),
            pool: Arc::new(MemoryPool),
            exception_rate: PuntClass::Exception.rate(),
            sessions,
            secret: [0; 16],
            counters: Arc::clone(&counters),
        });
        Self { worker, rings, counters, input, generation: 0, adopts_at: None }
    }

    /// Puts a frame into its receive queue.
    pub(super) fn receive(&self, frame: &[u8]) {
        // Every frame is polled before the next one comes: the queue takes it.
        let _ = self.input.push(MemoryPacket::new(frame));
    }

    /// Lets it poll. While it is late, it goes on with the snapshot that it has.
    pub(super) fn poll<T: Trace>(&mut self, now: Nanos, latest: Generation, trace: &mut T) {
        if self.adopts_at.is_some_and(|at| now < at) {
            self.worker.poll_holding(now, trace);
        } else {
            self.worker.poll(now, trace);
            self.generation = latest;
            self.adopts_at = None;
        }
    }

    /// Takes note that there is a new snapshot. Who is late already takes over all of it together.
    pub(super) fn notice(&mut self, now: Nanos, latest: Generation, skew: &mut Skew) {
        // What it begins with, it has from the start.
        if self.generation != latest && self.generation != 0 && self.adopts_at.is_none() {
            self.adopts_at = Some(skew.adoption(now));
        }
    }

    /// Fragments that it holds.
    pub(super) fn held(&self) -> u64 {
        self.counters.held.get()
    }
}
