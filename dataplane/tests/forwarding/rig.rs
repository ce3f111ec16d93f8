//! A worker on a bench: queues in memory around it, a snapshot before it.

use crossbeam::queue::ArrayQueue;
use guideway_dataplane::counters::WorkerCounters;
use guideway_dataplane::craft::Craft;
use guideway_dataplane::drop_reason::DropReason;
use guideway_dataplane::ids::{PortId, WorkerId};
use guideway_dataplane::memory::{LINK_DEPTH, MemoryPacket, MemoryPool, MemoryPort, MemoryQueue, MemoryRx, MemoryTx};
use guideway_dataplane::port::Packet;
use guideway_dataplane::punt::{ControlRings, PuntClass};
use guideway_dataplane::snapshot::{Snapshot, SnapshotPublisher, SnapshotReader};
use guideway_dataplane::time::Nanos;
use guideway_dataplane::transmit::TxPath;
use guideway_dataplane::wire::ethernet::Mac;
use guideway_dataplane::wire::tcp;
use guideway_dataplane::worker::{Worker, WorkerParts};
use guideway_vectors::context::{BackendContext, Context};
use guideway_vectors::{Sequence, Vector};
use std::sync::{Arc, LazyLock};

/// The hardware address of port 0 of [`context`].
pub const PORT_0: Mac = [2, 0, 0, 0, 0, 1];
/// Who sends to it.
pub const GATEWAY: Mac = [2, 0, 0, 0, 0, 0xfe];

/// Every vector.
pub static VECTORS: LazyLock<Vec<Vector>> = LazyLock::new(|| guideway_vectors::load().expect("vector files"));

/// Every sequence.
pub static SEQUENCES: LazyLock<Vec<Sequence>> =
    LazyLock::new(|| guideway_vectors::load_sequences().expect("vector files"));

/// The context of `common.toml`.
pub fn context() -> &'static Context {
    &VECTORS.iter().find(|vector| vector.topic == "l2dsr").expect("topic l2dsr").context
}

/// The context of `common.toml` with so many backends behind `l2dsr` that two flows seldom meet. Their hardware addresses
/// begin with 2, 9.
pub fn many_backends() -> Context {
    let mut context = context().clone();
    let pool = context.pools.iter_mut().find(|pool| pool.name == "l2dsr").expect("pool l2dsr");
    let one = pool.backends[0].clone();
    let backend = |id: u16| BackendContext { id, mac: Some([2, 9, 0, 0, 0, id as u8]), ..one.clone() };
    pool.backends = (0..50).map(backend).collect();
    context
}

/// A SYN from a client to the VIP of a pool of [`context`]: 10 is `l2dsr`, 11 `ipip4`, 12 `ipip6`.
pub fn syn(client_port: u16, vip: u8) -> Craft {
    let source = format!("192.0.2.7:{client_port}").parse().unwrap();
    let destination = format!("203.0.113.{vip}:80").parse().unwrap();
    Craft::tcp(source, destination, tcp::SYN).macs(PORT_0, GATEWAY)
}

pub struct Rig {
    pub worker: Worker<MemoryPort>,
    /// By port.
    pub rx: Vec<MemoryQueue>,
    /// By port; what the worker hands to another one does not get there.
    pub tx: Vec<MemoryQueue>,
    pub rings: ControlRings<MemoryPort>,
    pub counters: Arc<WorkerCounters>,
}

impl Rig {
    /// A worker that receives and sends on every port of the snapshot.
    pub fn new(snapshot: Snapshot) -> (Self, SnapshotPublisher) {
        let ports = snapshot.ports.len();
        let (publisher, mut readers) = guideway_dataplane::publish::channel(snapshot, 1);
        let tx: Vec<_> = (0..ports).map(|_| queue(LINK_DEPTH)).collect();
        (Self::with_tx(WorkerId(0), readers.pop().unwrap(), ControlRings::new(), tx, &[]), publisher)
    }

    /// A worker with these queues to send to; ports in `handed` are reached by the ring beside them instead.
    pub fn with_tx(
        id: WorkerId,
        snapshots: SnapshotReader,
        rings: ControlRings<MemoryPort>,
        tx: Vec<MemoryQueue>,
        handed: &[(PortId, &ControlRings<MemoryPort>)],
    ) -> Self {
        let rx: Vec<_> = tx.iter().map(|_| queue(LINK_DEPTH)).collect();
        let counters = Arc::new(WorkerCounters::default());
        let path = |(port, queue): (u16, &MemoryQueue)| match handed.iter().find(|(id, _)| *id == PortId(port)) {
            Some((_, other)) => TxPath::Worker(Arc::clone(&other.inject)),
            None => TxPath::Queue(MemoryTx(Arc::clone(queue))),
        };
        let worker = Worker::new(WorkerParts {
            id,
            rx: (0..).zip(&rx).map(|(port, queue)| (PortId(port), MemoryRx(Arc::clone(queue)))).collect(),
            tx: (0..).zip(&tx).map(path).collect(),
            snapshots,
            rings: rings.clone(),
            pool: Arc::new(MemoryPool),
            exception_rate: 20_000,
            sessions: None,
            secret: [7; 16],
            counters: Arc::clone(&counters),
        });
        Self { worker, rx, tx, rings, counters }
    }

    pub fn receive(&self, port: u16, frame: &[u8]) {
        self.rx[usize::from(port)].push(MemoryPacket::new(frame)).expect("room in the receive queue");
    }

    /// Polls once and checks the conservation law.
    pub fn poll_at(&mut self, now: Nanos) -> usize {
        let handled = self.worker.poll(now, &mut ());
        let (entered, left) = self.counters.conservation();
        assert_eq!(entered, left, "packets in, packets accounted for");
        handled
    }

    /// [`Rig::poll_at`] at second 1.
    pub fn poll(&mut self) -> usize {
        self.poll_at(Nanos(1_000_000_000))
    }

    /// Frames sent by a port since the last call.
    pub fn sent(&self, port: u16) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| self.tx[usize::from(port)].pop()).map(|packet| packet.frame().to_vec()).collect()
    }

    /// Frames punted in a class since the last call.
    pub fn punted(&self, class: PuntClass) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| self.rings.punts.ring(class).pop()).map(|punt| punt.packet.frame().to_vec()).collect()
    }

    pub fn drops(&self, reason: DropReason) -> u64 {
        self.counters.drops[reason as usize].get()
    }

    /// Every reason with a count above zero.
    pub fn all_drops(&self) -> Vec<(DropReason, u64)> {
        DropReason::ALL.iter().map(|reason| (*reason, self.drops(*reason))).filter(|(_, count)| *count > 0).collect()
    }
}

pub fn queue(depth: usize) -> MemoryQueue {
    Arc::new(ArrayQueue::new(depth))
}
