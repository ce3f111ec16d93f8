//! A flood of echo and SYN to the port's own address, beside health probes, in real time on a port in memory.
//!
//! ```sh
//! cargo run --release --example flood -- 5 10    # million packets a second, seconds
//! ```
//!
//! A worker is pinned to the last core, the real-time thread to the first, as in `guideway run`. The port makes flood
//! packets at the given rate and answers the probes of three backends. Printed: what was offered, what the worker
//! received, and what became of the probes. The same in virtual time, without a clock: `control/tests/whole.rs`.

use anyhow::{Context, Result, ensure};
use crossbeam::queue::ArrayQueue;
use guideway_control::control::Control;
use guideway_control::devices::NoDevices;
use guideway_control::reconcile::reconcile;
use guideway_control::rt::Rt;
use guideway_control::runtime::{self, Parts};
use guideway_control::state::State;
use guideway_dataplane::counters::WorkerCounters;
use guideway_dataplane::craft::Craft;
use guideway_dataplane::idle::Idle;
use guideway_dataplane::ids::{PortId, WorkerId};
use guideway_dataplane::port::{Burst, Packet, PacketPool, Port, RxQueue, TxQueue};
use guideway_dataplane::publish;
use guideway_dataplane::punt::{ControlRings, PuntClass};
use guideway_dataplane::snapshot::PortState;
use guideway_dataplane::transmit::TxPath;
use guideway_dataplane::wire::icmp;
use guideway_dataplane::wire::tcp::{self, TcpHeader};
use guideway_dataplane::worker::{Worker, WorkerParts};
use guideway_dpdk::{Eal, EalConfig, Hugepages, Lcore, Mbuf, Mempool, MempoolConfig, Tsc};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, SystemTime};
use zerocopy::FromBytes;

const PORT_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const STRANGER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0xfe];
const OWN: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const VIP: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
const STRANGER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 9);
/// Offset of the TCP header in a frame without IP options.
const TCP_OFFSET: usize = 34;

const CONFIG: &str = r#"
[fleet]
hash_key = "000102030405060708090a0b0c0d0e0f"
[cores]
control = 0
workers = [1]
[[port]]
name = "edge"
device = "net_null0"
[[interface]]
port = "edge"
addresses = ["10.0.0.1/24"]
[[interface.neighbor]]
address = "10.0.0.11"
mac = "02:00:00:00:01:01"
[[interface.neighbor]]
address = "10.0.0.12"
mac = "02:00:00:00:01:02"
[[interface.neighbor]]
address = "10.0.0.13"
mac = "02:00:00:00:01:03"
[[pool]]
name = "web"
forward = "l2dsr"
[[pool.backend]]
address = "10.0.0.11"
[[pool.backend]]
address = "10.0.0.12"
[[pool.backend]]
address = "10.0.0.13"
[[vip]]
address = "203.0.113.10"
protocol = "tcp"
port = 80
pool = "web"
"#;

/// Makes the flood, and hands in what backends answered before it.
struct FloodRx {
    pool: Mempool,
    answers: Arc<ArrayQueue<Mbuf>>,
    flood: [Vec<u8>; 2],
    clock: Tsc,
    packets_per_second: u64,
    offered: u64,
}

impl RxQueue for FloodRx {
    type Packet = Mbuf;

    fn receive(&mut self, burst: &mut Burst<Mbuf>) -> usize {
        while burst.remaining_capacity() > 0
            && let Some(answer) = self.answers.pop()
        {
            burst.push(answer);
        }
        let due = u128::from(self.clock.now().0) * u128::from(self.packets_per_second) / 1_000_000_000;
        while burst.remaining_capacity() > 0
            && u128::from(self.offered) < due
            && let Some(packet) = self.pool.alloc(&self.flood[(self.offered % 2) as usize])
        {
            burst.push(packet);
            self.offered += 1;
        }
        burst.len()
    }
}

/// The segment: backends answer each probe's SYN by SYN-ACK.
struct SegmentTx {
    pool: Mempool,
    answers: Arc<ArrayQueue<Mbuf>>,
}

impl TxQueue for SegmentTx {
    type Packet = Mbuf;

    fn transmit(&mut self, burst: &mut Burst<Mbuf>) -> usize {
        for packet in burst.iter() {
            let header = packet.frame().get(TCP_OFFSET..).and_then(|bytes| TcpHeader::ref_from_prefix(bytes).ok());
            let Some((header, _)) = header.filter(|(header, _)| header.flags == tcp::SYN) else { continue };
            let own = SocketAddr::new(OWN.into(), header.source_port.get());
            let answer = Craft::tcp(SocketAddr::new(VIP.into(), 80), own, tcp::SYN | tcp::ACK)
                .numbers(1, header.sequence.get().wrapping_add(1))
                .macs(PORT_MAC, STRANGER_MAC)
                .frame();
            if let Some(answer) = self.pool.alloc(&answer) {
                // 4,096 places for three backends: never full.
                let _ = self.answers.push(answer);
            }
        }
        let sent = burst.len();
        burst.clear();
        sent
    }
}

struct FloodPort;

impl Port for FloodPort {
    type Packet = Mbuf;
    type Rx = FloodRx;
    type Tx = SegmentTx;
    type Pool = Mempool;
}

fn flood_frames() -> [Vec<u8>; 2] {
    let syn = Craft::tcp(SocketAddr::new(STRANGER.into(), 40_000), SocketAddr::new(OWN.into(), 22), tcp::SYN);
    let echo = Craft::icmp(STRANGER.into(), OWN.into(), icmp::V4_ECHO_REQUEST, 0, [0; 4]);
    [syn.macs(PORT_MAC, STRANGER_MAC).frame(), echo.macs(PORT_MAC, STRANGER_MAC).frame()]
}

fn pin(core: usize) {
    core_affinity::set_for_current(core_affinity::CoreId { id: core });
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let millions: f64 = arguments.next().map_or(Ok(5.0), |text| text.parse()).context("million packets a second")?;
    let seconds: u64 = arguments.next().map_or(Ok(5), |text| text.parse()).context("seconds")?;
    let last = std::thread::available_parallelism().map_or(0, |cores| cores.get() - 1);
    // Buffers of DPDK, in ordinary memory: no root, no hugepages.
    let eal = Eal::init(&EalConfig { hugepages: Hugepages::Never, ..EalConfig::default() })?;
    let pool = Mempool::new(&eal, &MempoolConfig::default())?;
    let clock = Tsc::calibrate();
    let config = Arc::new(guideway_config::parse(CONFIG, None).map_err(|errors| anyhow::anyhow!("{errors:?}"))?.config);
    let ports = vec![PortState::new(PORT_MAC)];
    let mut state = State::new(config, ports, SystemTime::now())?;
    let (publisher, readers) = publish::channel(reconcile(&mut state), 1);
    let counters = Arc::new(WorkerCounters::default());
    let rings = ControlRings::<FloodPort>::new();
    let answers = Arc::new(ArrayQueue::new(4_096));
    let flood = FloodRx {
        pool: pool.clone(),
        answers: Arc::clone(&answers),
        flood: flood_frames(),
        clock,
        packets_per_second: (millions * 1e6) as u64,
        offered: 0,
    };
    let mut rx = vec![(PortId(0), flood)];
    let mut workers = readers.into_iter().map(|snapshots| {
        let tx = SegmentTx { pool: pool.clone(), answers: Arc::clone(&answers) };
        let (rx, tx) = (std::mem::take(&mut rx), vec![TxPath::Queue(tx)]);
        let (rings, counters) = (rings.clone(), Arc::clone(&counters));
        Worker::new(WorkerParts {
            id: WorkerId(0),
            rx,
            tx,
            snapshots,
            rings,
            pool: Arc::new(pool.clone()),
            exception_rate: PuntClass::Exception.rate(),
            sessions: None,
            secret: [7; 16],
            counters,
        })
    });
    let mut worker = workers.next().context("one reader was asked for")?;
    let (sender, events) = runtime::events();
    let rt = Rt::new(vec![rings.clone()], vec![Arc::clone(&counters)], Arc::new(pool), [7; 16], sender);
    let control = Control::new(state, publisher, vec![Arc::clone(&counters)], Arc::new(NoDevices));
    let parts = Parts {
        control,
        rt,
        events,
        socket: None,
        listener: None,
        stop: Box::new(|| {}),
        source: None,
        exchange: None,
        clock: move || clock.now(),
        enter_rt: Box::new(|| pin(0)),
        enter_bg: Box::new(|| pin(0)),
        enter_checks: Box::new(|| pin(0)),
        enter_exception: Box::new(|| pin(0)),
    };
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let thread = std::thread::spawn(move || {
        pin(last);
        let _lcore = Lcore::register(&eal);
        worker.run(&stopped, Idle::Poll, || clock.now());
        drop(worker);
    });
    let running = runtime::start(parts)?;
    std::thread::sleep(Duration::from_millis(500));
    let (before, received) = (running.report().context("the real-time thread")?, counters.received.packets.get());
    std::thread::sleep(Duration::from_secs(seconds));
    let (after, received) =
        (running.report().context("the real-time thread")?, counters.received.packets.get() - received);
    let generation = running.control().lock().map_or(0, |control| control.generation());
    drop(running);
    stop.store(true, Relaxed);
    ensure!(thread.join().is_ok(), "the worker panicked");

    let (then, now) = (before.prober, after.prober);
    println!("received {:.2} million packets a second for {seconds} s", received as f64 / 1e6 / seconds as f64);
    println!(
        "probes sent {}, answered {}, lost {}, void {}",
        now.sent - then.sent,
        now.answered - then.answered,
        now.timeouts - then.timeouts,
        now.void - then.void
    );
    println!("snapshots since the backends came up: {}, worker stalls: {}", generation - 1, counters.stalls.get());
    for (reason, count) in guideway_control::status::drops(&[counters]) {
        println!("dropped as {reason}: {count}");
    }
    Ok(())
}
