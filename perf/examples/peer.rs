//! The worker between two DPDK devices, as a program that `scripts/peers` compares with others.
//!
//! ```text
//! cargo run --release -p guideway-perf --features dpdk --example peer -- --source net_pcap0,rx_pcap=FILE,infinite_rx=1
//! ```
//!
//! Forwards what the source gives to the sink until it is ended. Answers each line of its input by a line with the
//! packets that the source's driver gave and those that the sink's driver took.

use clap::{Parser, ValueEnum};
use guideway_dataplane::counters::WorkerCounters;
use guideway_dataplane::ids::{PortId, WorkerId};
use guideway_dataplane::publish;
use guideway_dataplane::punt::{ControlRings, PuntClass};
use guideway_dataplane::transmit::TxPath;
use guideway_dataplane::worker::{Worker, WorkerParts};
use guideway_dpdk::{Dpdk, Eal, EalConfig, Hugepages, Mempool, MempoolConfig, Port, PortConfig, RxQueue, Tsc, TxQueue};
use guideway_perf::peers::capture::case;
use guideway_perf::scenario::{PORT_MAC, Treatment};
use std::error::Error;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

/// Bytes that a buffer takes in the pool with everything around it.
const BUFFER: usize = 2_048 + 512;
/// Turns of the loop between two looks at what was dropped.
const TURNS: u32 = 1 << 16;

#[derive(Parser)]
struct Args {
    /// The device that packets come from.
    #[arg(long)]
    source: String,
    /// The device that they leave by; one that writes a capture shows what was forwarded.
    #[arg(long, default_value = "net_null1,no-rx=1")]
    sink: String,
    /// Kind of forwarding.
    #[arg(long, value_enum, default_value = "l2dsr")]
    mode: Mode,
    /// Backends of the pool.
    #[arg(long, default_value_t = 1_000)]
    backends: u16,
    /// Buffers of the pool.
    #[arg(long, default_value_t = 131_071)]
    buffers: u32,
    /// The core that forwards.
    #[arg(long)]
    core: usize,
    /// The core of the thread that answers.
    #[arg(long)]
    spare_core: usize,
    /// Buffers lie in ordinary memory.
    #[arg(long)]
    no_hugepages: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Mode {
    /// Direct server return on one segment.
    L2dsr,
    /// IP in IP.
    Ipip,
}

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    // Before DPDK pins this thread, and with it those that it starts later.
    let (send_ports, ports) = channel();
    let core = core_affinity::CoreId { id: args.spare_core };
    thread::spawn(move || {
        core_affinity::set_for_current(core);
        answer(&ports);
    });
    let config = EalConfig {
        main_core: args.core,
        hugepages: if args.no_hugepages { Hugepages::Never } else { Hugepages::Require },
        memory_mb: (args.buffers as usize * BUFFER).div_ceil(1 << 20) + 32,
        ..EalConfig::default()
    };
    let eal = Eal::init(&config)?;
    let pool = Mempool::new(&eal, &MempoolConfig { size: args.buffers, ..MempoolConfig::default() })?;
    let (source, rx, _source_tx) = open(&eal, &pool, args.source.clone())?;
    let (sink, _sink_rx, tx) = open(&eal, &pool, args.sink.clone())?;
    let (mut worker, counters) = worker(&args, rx, tx, pool)?;
    send_ports.send([source, sink])?;
    let clock = Tsc::calibrate();
    loop {
        for _ in 0..TURNS {
            worker.poll(clock.now(), &mut ());
        }
        if counters.dropped() > 0 {
            return Err(format!("{} packets were dropped", counters.dropped()).into());
        }
    }
}

/// Opens a device with one queue of each kind.
fn open(eal: &Eal, pool: &Mempool, device: String) -> Result<(Port, RxQueue, TxQueue), Box<dyn Error>> {
    let config = PortConfig { name: device.clone(), device, ..PortConfig::default() };
    let (port, rx, tx) = Port::attach(eal, &config, pool)?;
    let queues = rx.into_iter().next().zip(tx.into_iter().next());
    let (rx, tx) = queues.ok_or_else(|| format!("{} has no queues", config.device))?;
    Ok((port, rx, tx))
}

/// The worker from one device to the other; to the dataplane they are one port.
fn worker(
    args: &Args,
    rx: RxQueue,
    tx: TxQueue,
    pool: Mempool,
) -> Result<(Worker<Dpdk>, Arc<WorkerCounters>), Box<dyn Error>> {
    let treatment = match args.mode {
        Mode::L2dsr => Treatment::L2dsr,
        Mode::Ipip => Treatment::Ipip,
    };
    // The number of flows does not matter to a worker whose slots are steady.
    let (_, mut readers) = publish::channel(case(treatment, 1, args.backends).snapshot(PORT_MAC)?, 1);
    let counters = Arc::new(WorkerCounters::default());
    let worker = Worker::new(WorkerParts {
        id: WorkerId(0),
        rx: vec![(PortId(0), rx)],
        tx: vec![TxPath::Queue(tx)],
        snapshots: readers.remove(0),
        rings: ControlRings::new(),
        pool: Arc::new(pool),
        exception_rate: PuntClass::Exception.rate(),
        sessions: None,
        secret: [7; 16],
        counters: Arc::clone(&counters),
    });
    Ok((worker, counters))
}

/// Answers lines until there are no more.
fn answer(ports: &Receiver<[Port; 2]>) {
    let Ok([source, sink]) = ports.recv() else { return };
    for _ in std::io::stdin().lines() {
        let (received, sent) =
            (source.stats().unwrap_or_default().rx_packets, sink.stats().unwrap_or_default().tx_packets);
        let mut out = std::io::stdout();
        if writeln!(out, "{received} {sent}").and_then(|()| out.flush()).is_err() {
            return;
        }
    }
}
