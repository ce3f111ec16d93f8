//! Bursts of any frames through a worker with the snapshot of a topic of packet vectors, steady or in the middle of changes.
#![no_main]

use guideway_dataplane::counters::WorkerCounters;
use guideway_dataplane::fragment::LIFETIME;
use guideway_dataplane::ids::{PortId, WorkerId};
use guideway_dataplane::memory::{MemoryPacket, MemoryPool, MemoryPort, MemoryQueue, MemoryRx, MemoryTx, link};
use guideway_dataplane::publish::channel;
use guideway_dataplane::punt::{ControlRings, PuntClass};
use guideway_dataplane::snapshot::Snapshot;
use guideway_dataplane::time::Nanos;
use guideway_dataplane::transmit::TxPath;
use guideway_dataplane::worker::{Worker, WorkerParts};
use guideway_fuzz::{PAUSE_MILLIS, Record, contexts, in_change};
use libfuzzer_sys::fuzz_target;
use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

struct Rig {
    worker: Worker<MemoryPort>,
    rx: Vec<MemoryQueue>,
    tx: Vec<MemoryQueue>,
    rings: ControlRings<MemoryPort>,
    counters: Arc<WorkerCounters>,
    now: Nanos,
}

impl Rig {
    fn new(snapshot: Snapshot) -> Self {
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
            pool: Arc::new(MemoryPool),
            exception_rate: 20_000,
            sessions: None,
            secret: [7; 16],
            counters: Arc::clone(&counters),
        });
        Self { worker, rx, tx, rings, counters, now: Nanos(0) }
    }

    fn run(&mut self, mut input: &[u8]) {
        while let Some((record, rest)) = Record::read(input) {
            if record.pause {
                self.poll(Duration::from_millis(PAUSE_MILLIS));
            }
            // A full queue refuses, as a NIC does.
            let _ = self.rx[usize::from(record.port) % self.rx.len()].push(MemoryPacket::new(record.frame));
            input = rest;
        }
        self.poll(Duration::from_millis(1));
        // Whatever is remembered of this input is over when the next one begins.
        self.poll(LIFETIME);
        assert_eq!(self.counters.held.get(), self.counters.released.get());
    }

    /// Lets time pass, and polls until there is nothing to do.
    fn poll(&mut self, time: Duration) {
        self.now = self.now + time;
        loop {
            let handled = self.worker.poll(self.now, &mut ());
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
    static RIGS: RefCell<Vec<Rig>> = {
        let contexts = contexts().expect("vectors");
        let steady = contexts.values().map(|context| context.snapshot().expect("snapshot"));
        let changing = contexts.values().map(|context| in_change(context.snapshot().expect("snapshot")));
        // Those of the seeds first: a seed's first byte is the place of its topic.
        RefCell::new(steady.chain(changing).map(Rig::new).collect())
    };
}

fuzz_target!(|input: &[u8]| {
    let Some((&topic, records)) = input.split_first() else { return };
    RIGS.with_borrow_mut(|rigs| {
        let count = rigs.len();
        rigs[usize::from(topic) % count].run(records);
    });
});
