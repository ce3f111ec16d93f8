//! The worker threads: each with its queues, its rings and its core.

use super::devices::PortQueues;
use super::idling::{Door, Idling};
use super::threads::enter_worker;
use crate::Failure;
use guideway_config::model::Config;
use guideway_control::sessions::session_parts;
use guideway_dataplane::counters::WorkerCounters;
use guideway_dataplane::doorbell::Doorbell;
use guideway_dataplane::ids::{PortId, WorkerId};
use guideway_dataplane::punt::{ControlRings, PuntClass};
use guideway_dataplane::snapshot::SnapshotReader;
use guideway_dataplane::transmit::TxPath;
use guideway_dataplane::worker::{Worker, WorkerParts};
use guideway_dpdk::{Dpdk, Eal, Lcore, Mempool, RxQueue, Tsc};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use tracing::error;

/// Workers that do not run yet.
pub(super) struct Workers {
    workers: Vec<(Worker<Dpdk>, Idling)>,
    rings: Vec<ControlRings<Dpdk>>,
}

/// Workers that run.
pub(super) struct Running {
    stop: Arc<AtomicBool>,
    doorbells: Vec<Arc<Doorbell>>,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    /// Gives each worker its queues on every port.
    pub(super) fn new(
        config: &Config,
        queues: Vec<PortQueues>,
        readers: Vec<SnapshotReader>,
        counters: &[Arc<WorkerCounters>],
        pool: &Arc<Mempool>,
        secret: [u8; 16],
        clock: Tsc,
    ) -> Result<Self, Failure> {
        let doors = readers.iter().map(|_| Door::of(&config.cores)).collect::<Result<Vec<_>, _>>()?;
        let rings: Vec<_> = doors.iter().map(|door| ControlRings::<Dpdk>::with_doorbell(door.doorbell())).collect();
        let mut rx: Vec<Vec<(PortId, RxQueue)>> = readers.iter().map(|_| Vec::new()).collect();
        let mut tx: Vec<Vec<TxPath<Dpdk>>> = readers.iter().map(|_| Vec::new()).collect();
        for (index, (port, queues)) in (0..).zip(config.ports.iter().zip(queues)) {
            for (worker, queue) in port.workers.iter().zip(queues.rx) {
                rx[*worker].push((PortId(index), queue));
            }
            // Transmit queues belong to all workers in order if there are enough, else to those that poll the port.
            let everyone: Vec<usize> = (0..readers.len()).collect();
            let owners = if queues.tx.len() >= readers.len() { &everyone } else { &port.workers };
            let mut own: Vec<_> = readers.iter().map(|_| None).collect();
            for (owner, queue) in owners.iter().zip(queues.tx) {
                own[*owner] = Some(queue);
            }
            for (worker, queue) in own.into_iter().enumerate() {
                let helper = owners[worker % owners.len()];
                let ring = || TxPath::Worker(Arc::clone(&rings[helper].inject));
                tx[worker].push(queue.map_or_else(ring, TxPath::Queue));
            }
        }
        let exception_rate = config.exception.as_ref().map_or(PuntClass::Exception.rate(), |path| path.rate);
        let all_rings = rings.clone();
        let parts = readers.into_iter().zip(rx).zip(tx).zip(&rings).zip(counters).zip(doors);
        let workers = (0..).zip(parts).map(|(id, (((((snapshots, rx), tx), rings), counters), door))| {
            let doorbell = rings.inject.doorbell();
            let idling = Idling::of(&config.cores, usize::from(id), &rx, door, doorbell, clock)?;
            let sessions = session_parts(config, &all_rings);
            let (rings, counters) = (rings.clone(), Arc::clone(counters));
            let pool = Arc::clone(pool);
            let worker = Worker::new(WorkerParts {
                id: WorkerId(id),
                rx,
                tx,
                snapshots,
                rings,
                pool,
                exception_rate,
                sessions,
                secret,
                counters,
            });
            // Each packet of a session reads lines of it that nobody guesses.
            worker.session_memory().into_iter().for_each(guideway_dpdk::prefer_huge_pages);
            Ok((worker, idling))
        });
        Ok(Self { workers: workers.collect::<Result<_, Failure>>()?, rings })
    }

    /// The control side's ends of the rings, by worker.
    pub(super) fn rings(&self) -> Vec<ControlRings<Dpdk>> {
        self.rings.clone()
    }

    /// What wakes them, by worker.
    pub(super) fn doorbells(&self) -> Vec<Arc<Doorbell>> {
        self.rings.iter().map(|rings| Arc::clone(rings.inject.doorbell())).collect()
    }

    /// Starts a pinned thread for each.
    pub(super) fn start(self, eal: &Eal, config: &Config, clock: Tsc) -> io::Result<Running> {
        let stop = Arc::new(AtomicBool::new(false));
        let policy = config.cores.idle;
        let doorbells = self.doorbells();
        let mut threads = Vec::with_capacity(self.workers.len());
        for (index, ((mut worker, idling), core)) in self.workers.into_iter().zip(&config.cores.workers).enumerate() {
            let (eal, core, stop) = (eal.clone(), *core, Arc::clone(&stop));
            let thread = std::thread::Builder::new().name(format!("gw-worker-{index}"));
            threads.push(thread.spawn(move || {
                enter_worker(core, policy);
                let _lcore = Lcore::register(&eal).map_err(|error| error!(%error, "this worker has no buffer cache"));
                worker.run(&stop, idling, || clock.now());
                // Its buffers go home before the registration, and with it the cache that takes them, ends.
                drop(worker);
            })?);
        }
        Ok(Running { stop, doorbells, threads })
    }
}

impl Running {
    /// Stops all workers and waits for them.
    pub(super) fn stop(self) {
        self.stop.store(true, Relaxed);
        self.doorbells.iter().for_each(|doorbell| doorbell.ring());
        for thread in self.threads {
            if thread.join().is_err() {
                error!("a worker panicked; its message is above");
            }
        }
    }
}
