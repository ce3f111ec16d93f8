//! Bursts of any frames through a worker with the snapshot of the packet vectors.
#![no_main]

use guideway_dataplane::counters::WorkerCounters;
use guideway_dataplane::ids::{PortId, WorkerId};
use guideway_dataplane::memory::{MemoryPacket, MemoryPort, MemoryQueue, MemoryRx, MemoryTx, link};
use guideway_dataplane::publish::channel;
use guideway_dataplane::punt::{ControlRings, PuntClass};
use guideway_dataplane::time::Nanos;
use guideway_dataplane::transmit::TxPath;
use guideway_dataplane::worker::{Worker, WorkerParts};
use libfuzzer_sys::fuzz_target;
use std::cell::RefCell;
use std::sync::Arc;

struct Rig {
    worker: Worker<MemoryPort>,
    rx: Vec<MemoryQueue>,
    tx: Vec<MemoryQueue>,
    rings: ControlRings<MemoryPort>,
    counters: Arc<WorkerCounters>,
    now: u64,
}

impl Rig {
    fn new() -> Self {
        let vectors = guideway_vectors::load().expect("vectors");
        let context = &vectors.iter().find(|vector| vector.topic == "l2dsr").expect("topic l2dsr").context;
        let snapshot = context.snapshot().expect("snapshot");
        let (rx, tx): (Vec<_>, Vec<_>) = snapshot.ports.iter().map(|_| (link(), link())).unzip();
        let (_publisher, mut readers) = channel(snapshot, 1);
        let rings = ControlRings::new();
        let counters = Arc::new(WorkerCounters::default());
        let worker = Worker::new(WorkerParts {
            id: WorkerId(0),
            rx: (0..).zip(&rx).map(|(port, queue)| (PortId(port), MemoryRx(Arc::clone(queue)))).collect(),
            tx: tx.iter().map(|queue| TxPath::Queue(MemoryTx(Arc::clone(queue)))).collect(),
            snapshots: readers.pop().expect("one reader"),
            rings: rings.clone(),
            counters: Arc::clone(&counters),
        });
        Self { worker, rx, tx, rings, counters, now: 0 }
    }

    fn offer(&self, mut input: &[u8]) {
        while let Some((&[port, low, high], rest)) = input.split_first_chunk::<3>() {
            let len = usize::from(u16::from_le_bytes([low, high])).min(rest.len());
            let (frame, rest) = rest.split_at(len);
            // A full queue refuses, as a NIC does.
            let _ = self.rx[usize::from(port) % self.rx.len()].push(MemoryPacket::new(frame));
            input = rest;
        }
    }

    fn run(&mut self) {
        loop {
            self.now += 1_000;
            let handled = self.worker.poll(Nanos(self.now), &mut ());
            let (entered, left) = self.counters.conservation();
            assert_eq!(entered, left);
            if handled == 0 {
                break;
            }
        }
        let sent: usize = self.tx.iter().map(|queue| std::iter::from_fn(|| queue.pop()).count()).sum();
        assert!(sent as u64 <= self.counters.sent.packets.get());
        for class in PuntClass::ALL {
            while self.rings.punts.ring(class).pop().is_some() {}
        }
    }
}

thread_local! {
    static RIG: RefCell<Rig> = RefCell::new(Rig::new());
}

fuzz_target!(|input: &[u8]| {
    RIG.with_borrow_mut(|rig| {
        rig.offer(input);
        rig.run();
    });
});
