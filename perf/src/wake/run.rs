//! The measurement: a worker on one core, a sender on another, one wire.

use super::report::{ModeReport, Report, Samples};
use super::{AnyRest, Gaps, Mode, Options};
use crate::device::DeviceError;
use crate::scenario::{Case, PORT_MAC};
use crate::traffic::Traffic;
use crate::window::thread_time;
use crossbeam::queue::ArrayQueue;
use guideway_dataplane::counters::WorkerCounters;
use guideway_dataplane::doorbell::Doorbell;
use guideway_dataplane::idle::{self, Interrupt};
use guideway_dataplane::ids::{PortId, WorkerId};
use guideway_dataplane::memory::MemoryPacket;
use guideway_dataplane::port::{self, Burst, Packet as _, PacketPool as _};
use guideway_dataplane::publish;
use guideway_dataplane::punt::{ControlRings, PuntClass};
use guideway_dataplane::transmit::TxPath;
use guideway_dataplane::worker::{Worker, WorkerParts};
use guideway_dpdk::{
    Eal, EalConfig, EventBell, Lcore, Mbuf, Mempool, MempoolConfig, Port, PortConfig, RxQueue, Sleeper, Tsc, TxQueue,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Buffers: AF_XDP's driver keeps 2048 for each time that it is attached.
const BUFFERS: u32 = 32_767;
/// What the worker forwards: any packet of traffic would do.
fn case() -> Case {
    Case { flows: 1_000, backends: 3, ..Case::default() }
}

/// How long a packet may be on its way.
const LOST_AFTER: Duration = Duration::from_secs(1);
/// How long a device may take before the first packet comes through.
const WARM_UP: Duration = Duration::from_secs(10);
/// How often the sender looks whether its packet came through: the time that counts is the worker's.
const LOOK: Duration = Duration::from_micros(100);
/// Packets that the sender waits for at most, and more than one only if one was given up.
const STAMPS: usize = 1_024;

/// DPDK's receive side, and a send side that notes when it was given a packet.
#[derive(Debug)]
struct Stamped;

impl port::Port for Stamped {
    type Packet = Mbuf;
    type Rx = RxQueue;
    type Tx = Stamp;
    type Pool = Mempool;
}

/// Notes the time and frees what it is given.
#[derive(Debug)]
struct Stamp {
    clock: Tsc,
    stamps: Arc<ArrayQueue<u64>>,
}

impl port::TxQueue for Stamp {
    type Packet = Mbuf;

    fn transmit(&mut self, burst: &mut Burst<Mbuf>) -> usize {
        let now = self.clock.now().0;
        let count = burst.len();
        for packet in burst.drain(..) {
            drop(packet);
            // Nobody waits for one that was given up long ago.
            let _ = self.stamps.push(now);
        }
        count
    }
}

/// Measures each of `modes`. `enter` is run first on the worker's thread, and pins it; `done` is told about each mode.
///
/// # Errors
///
/// What keeps DPDK or a device from starting, or that no packet comes through, in words for an operator.
pub fn run(
    options: &Options,
    modes: &[Mode],
    enter: impl Fn(usize, Mode) + Sync,
    mut done: impl FnMut(&ModeReport),
) -> Result<Report, DeviceError> {
    let config = EalConfig { main_core: options.sender_core, memory_mb: 192, ..EalConfig::default() };
    let eal = Eal::init(&config).map_err(in_words)?;
    let pool = Mempool::new(&eal, &MempoolConfig { size: BUFFERS, ..MempoolConfig::default() }).map_err(in_words)?;
    let mut report = Report::new(options);
    for mode in modes {
        let samples = measure(&eal, &pool, options, *mode, &enter)?;
        let mode = ModeReport::new(*mode, &samples);
        done(&mode);
        report.modes.push(mode);
    }
    Ok(report)
}

fn in_words(error: impl std::fmt::Display) -> DeviceError {
    DeviceError(error.to_string())
}

fn attach(eal: &Eal, pool: &Mempool, device: &str, interrupts: bool) -> Result<(RxQueue, TxQueue), DeviceError> {
    let name = device.split(',').next().unwrap_or(device).to_owned();
    let config = PortConfig { name, device: device.to_owned(), interrupts, ..PortConfig::default() };
    let (_, rx, tx) = Port::attach(eal, &config, pool).map_err(in_words)?;
    let queues = rx.into_iter().next().zip(tx.into_iter().next());
    queues.ok_or_else(|| DeviceError(format!("{device} has no queues")))
}

/// One way to be idle.
fn measure(
    eal: &Eal,
    pool: &Mempool,
    options: &Options,
    mode: Mode,
    enter: &(impl Fn(usize, Mode) + Sync),
) -> Result<Samples, DeviceError> {
    // A host is there before its guest; a TAP device before who sends through it.
    let host_first = options.sender.starts_with("net_vhost");
    let early = host_first.then(|| attach(eal, pool, &options.sender, false)).transpose()?;
    let (rx, _worker_tx) = attach(eal, pool, &options.device, mode == Mode::Interrupt)?;
    let (_sender_rx, sender_tx) = match early {
        Some(queues) => queues,
        None => attach(eal, pool, &options.sender, false)?,
    };
    let bell = EventBell::new().map_err(in_words)?;
    let rings = ControlRings::<Stamped>::with_doorbell(match mode {
        Mode::Poll | Mode::Adaptive => Doorbell::silent(),
        Mode::Interrupt => Doorbell::new(Box::new(bell.clone())),
    });
    let doorbell = Arc::clone(rings.inject.doorbell());
    let rest = match mode {
        Mode::Poll => AnyRest::Own(idle::Idle::Poll),
        Mode::Adaptive => AnyRest::Own(idle::Idle::Adaptive),
        Mode::Interrupt => {
            let sleeper = Sleeper::new(bell, rx.interrupt().into_iter().collect()).map_err(in_words)?;
            AnyRest::Interrupt(Interrupt::new(sleeper, Arc::clone(&doorbell)))
        }
    };
    let clock = Tsc::calibrate();
    let (stamps, counters) = (Arc::new(ArrayQueue::new(STAMPS)), Arc::new(WorkerCounters::default()));
    let tx = Stamp { clock, stamps: Arc::clone(&stamps) };
    let mut worker = worker(rx, tx, rings, pool, &counters)?;
    let sender = Sender { tx: sender_tx, pool, clock, stamps, traffic: case().traffic() };
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let polling = scope.spawn(|| {
            enter(options.worker_core, mode);
            // Without a lcore buffers go by the pool's ring instead of a cache: slower, and no error.
            let _lcore = Lcore::register(eal);
            let (start, before) = (Instant::now(), thread_time());
            worker.run(&stop, rest, || clock.now());
            drop(worker);
            (start.elapsed(), thread_time().saturating_sub(before))
        });
        let sent = sender.run(options);
        stop.store(true, Relaxed);
        doorbell.ring();
        let (ran, processor) = polling.join().map_err(|_| DeviceError("the worker panicked".to_owned()))?;
        let (latencies, lost) = sent?;
        let busy_share = counters.busy_nanos.get() as f64 / counters.total_nanos.get().max(1) as f64;
        Ok(Samples { latencies, lost, ran, processor, busy_share, sleeps: counters.sleeps.get() })
    })
}

fn worker(
    rx: RxQueue,
    tx: Stamp,
    rings: ControlRings<Stamped>,
    pool: &Mempool,
    counters: &Arc<WorkerCounters>,
) -> Result<Worker<Stamped>, DeviceError> {
    // The reader keeps the one snapshot that there will ever be.
    let (_, mut readers) = publish::channel(case().snapshot(PORT_MAC).map_err(in_words)?, 1);
    Ok(Worker::new(WorkerParts {
        id: WorkerId(0),
        rx: vec![(PortId(0), rx)],
        tx: vec![TxPath::Queue(tx)],
        snapshots: readers.remove(0),
        rings,
        pool: Arc::new(pool.clone()),
        exception_rate: PuntClass::Exception.rate(),
        sessions: None,
        secret: [7; 16],
        counters: Arc::clone(counters),
    }))
}

/// Sends one packet after the other.
struct Sender<'p> {
    tx: TxQueue,
    pool: &'p Mempool,
    clock: Tsc,
    stamps: Arc<ArrayQueue<u64>>,
    traffic: Traffic,
}

impl Sender<'_> {
    /// Latencies in nanoseconds, and how many packets were lost.
    fn run(mut self, options: &Options) -> Result<(Vec<u64>, u64), DeviceError> {
        let start = Instant::now();
        while self.once().is_none() {
            if start.elapsed() > WARM_UP {
                let Options { device, sender, .. } = options;
                return Err(DeviceError(format!(
                    "nothing that is sent by {sender} comes to {device}: name the two ends of one wire, both up"
                )));
            }
        }
        let mut latencies = Vec::with_capacity(options.packets as usize);
        let mut lost = 0;
        for gap in Gaps::new(options.shortest_gap, options.longest_gap).take(options.packets as usize) {
            std::thread::sleep(gap);
            match self.once() {
                Some(latency) => latencies.push(latency),
                None => lost += 1,
            }
        }
        Ok((latencies, lost))
    }

    /// Sends one packet; how long it took, if it came through.
    fn once(&mut self) -> Option<u64> {
        let mut frame = MemoryPacket::new(&[]);
        let mut burst: Burst<Mbuf> = Burst::new();
        if self.traffic.write(&mut frame) {
            burst.extend(self.pool.alloc(frame.frame()));
        }
        // What was given up before may have come through since.
        while self.stamps.pop().is_some() {}
        let sent = self.clock.now().0;
        port::TxQueue::transmit(&mut self.tx, &mut burst);
        let start = Instant::now();
        while start.elapsed() < LOST_AFTER {
            if let Some(stamp) = self.stamps.pop() {
                return Some(stamp.saturating_sub(sent));
            }
            std::thread::sleep(LOOK);
        }
        None
    }
}
