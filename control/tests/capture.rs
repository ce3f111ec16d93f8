//! A capture over the control socket, of a worker over queues in memory: everything but the card.

#[path = "support/mod.rs"]
#[allow(dead_code)]
mod support;

use crossbeam::queue::ArrayQueue;
use guideway_control::api::Socket;
use guideway_control::api::client::{Client, ClientError};
use guideway_control::capture::{CaptureAsk, Direction};
use guideway_control::control::Control;
use guideway_control::devices::{DeviceCounters, Devices};
use guideway_control::reconcile::reconcile;
use guideway_control::rt::Rt;
use guideway_control::runtime::{Parts, Runtime, events, start};
use guideway_control::state::State;
use guideway_dataplane::counters::WorkerCounters;
use guideway_dataplane::craft::Craft;
use guideway_dataplane::idle::Idle;
use guideway_dataplane::ids::{PortId, WorkerId};
use guideway_dataplane::memory::{MemoryPacket, MemoryPool, MemoryPort, MemoryQueue, MemoryRx, MemoryTx};
use guideway_dataplane::publish;
use guideway_dataplane::punt::{ControlRings, PuntClass};
use guideway_dataplane::snapshot::PortState;
use guideway_dataplane::time::Nanos;
use guideway_dataplane::transmit::TxPath;
use guideway_dataplane::wire::tcp;
use guideway_dataplane::worker::{Worker, WorkerParts};
use pcap_file::pcapng::blocks::enhanced_packet::EnhancedPacketOption;
use pcap_file::pcapng::{Block, PcapNgReader};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, UNIX_EPOCH};
use support::{PORT_MAC, ROUTER_MAC};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(60);
const PACKETS: usize = 20_000;

struct NoDevices;

impl Devices for NoDevices {
    fn link_up(&self, _port: PortId) -> bool {
        true
    }

    fn driver(&self, _port: PortId) -> String {
        "memory".to_owned()
    }

    fn counters(&self, _port: PortId) -> DeviceCounters {
        DeviceCounters::default()
    }

    fn buffers(&self) -> (u64, u64) {
        (0, 0)
    }
}

/// A balancer of one port with its threads, and nobody behind the port.
struct Balancer {
    input: MemoryQueue,
    output: MemoryQueue,
    socket: PathBuf,
    stop: Arc<AtomicBool>,
    worker: Option<JoinHandle<()>>,
    runtime: Option<Runtime>,
    _folder: TempDir,
}

impl Balancer {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut config = support::config(3);
        config.pools[0].health = guideway_config::model::Health::None;
        let ports = vec![PortState::new(PORT_MAC)];
        let mut state = State::new(Arc::new(config), ports, UNIX_EPOCH).expect("a usable configuration");
        let (publisher, mut readers) = publish::channel(reconcile(&mut state), 1);
        let counters = Arc::new(WorkerCounters::default());
        let rings = ControlRings::<MemoryPort>::new();
        let queue = || Arc::new(ArrayQueue::new(PACKETS));
        let (input, output): (MemoryQueue, MemoryQueue) = (queue(), queue());
        let mut worker = Worker::new(WorkerParts {
            id: WorkerId(0),
            rx: vec![(PortId(0), MemoryRx(Arc::clone(&input)))],
            tx: vec![TxPath::Queue(MemoryTx(Arc::clone(&output)))],
            snapshots: readers.pop().expect("one reader"),
            rings: rings.clone(),
            pool: Arc::new(MemoryPool),
            exception_rate: PuntClass::Exception.rate(),
            secret: [9; 16],
            counters: Arc::clone(&counters),
        });
        let begun = Instant::now();
        let clock = move || Nanos(1_000_000_000 + begun.elapsed().as_nanos() as u64);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let worker = std::thread::spawn(move || worker.run(&stopped, Idle::Adaptive, clock));
        let (sender, events) = events();
        let rt = Rt::new(vec![rings], vec![Arc::clone(&counters)], Arc::new(MemoryPool), [7; 16], sender);
        let socket = folder.path().join("control.sock");
        let parts = Parts {
            control: Control::new(state, publisher, vec![counters], Arc::new(NoDevices)),
            rt,
            events,
            socket: Some(Socket::bind(&socket).expect("a socket")),
            source: None,
            exchange: None,
            clock,
            enter_rt: Box::new(|| {}),
            enter_bg: Box::new(|| {}),
            enter_exception: Box::new(|| {}),
        };
        let runtime = Some(start(parts).expect("threads"));
        Self { input, output, socket, stop, worker: Some(worker), runtime, _folder: folder }
    }

    fn client(&self) -> Client {
        Client::new(&self.socket).expect("a client")
    }

    fn offer(&self, frame: &[u8]) {
        self.input.push(MemoryPacket::new(frame)).expect("room in the receive queue");
    }

    /// Captures into memory; `offer` is called once workers look.
    fn capture(&self, ask: &CaptureAsk, mut offer: impl FnMut(&Self)) -> Result<Vec<u8>, ClientError> {
        let (mut file, mut offered) = (Vec::new(), false);
        self.client().capture(ask, |piece| {
            file.extend_from_slice(piece);
            // The head comes when the capture was published; a look later workers know.
            if piece.is_empty() && !offered {
                offered = true;
                offer(self);
            }
            ControlFlow::Continue(())
        })?;
        Ok(file)
    }

    fn refusal(&self, ask: &CaptureAsk) -> (u16, String) {
        match self.capture(ask, |_| ()) {
            Err(ClientError::Refused { status, message }) => (status, message),
            other => panic!("{ask:?}: {other:?}"),
        }
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.runtime = None;
        self.stop.store(true, Relaxed);
        self.worker.take().expect("a worker").join().expect("no panic");
    }
}

fn packet(port: u16, destination: &str, flags: u8) -> Vec<u8> {
    let client = format!("192.0.2.7:{port}").parse().expect("an address");
    let packet = Craft::tcp(client, destination.parse().expect("an address"), flags);
    packet.macs(PORT_MAC, ROUTER_MAC).payload(&[0x61; 100]).frame()
}

/// A frame of a file.
#[derive(Debug)]
struct Told {
    interface: String,
    bytes: Vec<u8>,
    len: u32,
    comment: String,
}

/// All frames of a file, and how many it says that it lacks.
fn read(file: &[u8]) -> (Vec<Told>, Option<u64>) {
    use pcap_file::pcapng::blocks::interface_description::InterfaceDescriptionOption::IfName;
    use pcap_file::pcapng::blocks::interface_statistics::InterfaceStatisticsOption::IsbIfDrop;
    let mut reader = PcapNgReader::new(file).expect("a pcapng file");
    let (mut told, mut names, mut lost) = (Vec::new(), Vec::new(), None);
    while let Some(block) = reader.next_block() {
        match block.expect("a whole block") {
            Block::InterfaceDescription(interface) => {
                let name = interface.options.iter().find_map(|option| match option {
                    IfName(name) => Some(name.to_string()),
                    _ => None,
                });
                names.push(name.expect("a name"));
            }
            Block::EnhancedPacket(packet) => {
                let comment = packet.options.iter().find_map(|option| match option {
                    EnhancedPacketOption::Comment(comment) => Some(comment.to_string()),
                    _ => None,
                });
                told.push(Told {
                    interface: names[packet.interface_id as usize].clone(),
                    bytes: packet.data.to_vec(),
                    len: packet.original_len,
                    comment: comment.expect("a comment"),
                });
            }
            Block::InterfaceStatistics(statistics) => {
                lost = statistics.options.iter().find_map(|option| match option {
                    IsbIfDrop(lost) => Some(*lost),
                    _ => None,
                });
            }
            _ => {}
        }
    }
    (told, lost)
}

#[test]
fn packets_are_told_with_what_became_of_them() {
    let balancer = Balancer::start();
    let ask = CaptureAsk { count: Some(3), ..CaptureAsk::default() };
    let came = [packet(40_000, "203.0.113.10:80", tcp::SYN), packet(40_001, "203.0.113.10:81", tcp::SYN)];
    let file = balancer.capture(&ask, |balancer| came.iter().for_each(|frame| balancer.offer(frame)));
    let (told, lost) = read(&file.expect("a capture"));
    assert_eq!(lost, Some(0));
    let interfaces: Vec<_> = told.iter().map(|told| told.interface.as_str()).collect();
    assert_eq!(interfaces, ["edge-in", "edge-out", "edge-in"]);
    assert_eq!((&told[0].bytes, &told[2].bytes), (&came[0], &came[1]));
    let sent = balancer.output.pop().expect("a frame that left");
    assert_eq!(told[1].bytes, guideway_dataplane::port::Packet::frame(&sent));
    for told in &told[..2] {
        assert!(
            told.comment.starts_with("verdict=forward vip=203.0.113.10:80/tcp pool=web backend=web/web"),
            "{told:?}"
        );
        assert!(told.comment.contains(" by=slot generation=2 worker=0"), "{told:?}");
    }
    let dropped = &told[2].comment;
    assert!(dropped.starts_with("verdict=drop reason=vip_no_service generation=2 worker=0. "), "{dropped}");
}

#[test]
fn it_tells_what_is_asked_for_and_as_much_of_it() {
    let balancer = Balancer::start();
    let offer = |balancer: &Balancer| {
        for port in 0..50 {
            balancer.offer(&packet(40_000 + port, "203.0.113.10:80", tcp::ACK));
            balancer.offer(&packet(50_000 + port, "203.0.113.10:81", tcp::ACK));
        }
    };
    let ask = |change: fn(&mut CaptureAsk)| {
        let mut ask = CaptureAsk { seconds: Some(1), snaplen: Some(64), ..CaptureAsk::default() };
        change(&mut ask);
        let (told, _) = read(&balancer.capture(&ask, offer).expect("a capture"));
        assert!(told.iter().all(|told| told.bytes.len() == 64 && told.len == 154), "{ask:?}");
        told
    };
    let dropped = ask(|ask| ask.drop = Some("vip_no_service".to_owned()));
    assert_eq!(dropped.len(), 50);
    let of_vip = ask(|ask| ask.vip = Some("203.0.113.10:80/tcp".to_owned()));
    assert_eq!(of_vip.len(), 100);
    let leaving = ask(|ask| (ask.direction, ask.backend) = (Direction::Out, Some("web/web2".to_owned())));
    assert!(!leaving.is_empty());
    assert!(leaving.iter().all(|told| told.interface == "edge-out" && told.comment.contains(" backend=web/web2 ")));
    let bounded = ask(|ask| ask.bytes = Some(2_000));
    assert!((2..20).contains(&bounded.len()), "{}", bounded.len());
    assert!(ask(|ask| ask.client = Some("198.51.100.0/24".to_owned())).is_empty());
}

#[test]
fn one_at_a_time_and_it_ends_when_nobody_reads_it() {
    let balancer = Balancer::start();
    let mut looks = 0;
    let outcome = balancer.client().capture(&CaptureAsk::default(), |_| {
        looks += 1;
        if looks == 1 {
            let (status, message) = balancer.refusal(&CaptureAsk::default());
            assert_eq!(status, 409, "{message}");
        }
        if looks < 3 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    outcome.expect("a capture");
    let begun = Instant::now();
    let ask = CaptureAsk { seconds: Some(1), ..CaptureAsk::default() };
    while let Err(error) = balancer.capture(&ask, |_| ()) {
        assert!(begun.elapsed() < PATIENCE, "the capture of before goes on: {error}");
    }
}

#[test]
fn who_reads_slowly_loses_frames_and_the_worker_forwards_all() {
    let balancer = Balancer::start();
    let ask = CaptureAsk { seconds: Some(3), ..CaptureAsk::default() };
    let mut slow = 0;
    let mut file = Vec::new();
    let outcome = balancer.client().capture(&ask, |piece| {
        file.extend_from_slice(piece);
        slow += 1;
        if slow == 1 {
            std::thread::sleep(Duration::from_millis(100));
            let frame = packet(40_000, "203.0.113.10:80", tcp::ACK);
            (0..PACKETS).for_each(|_| balancer.offer(&frame));
            let begun = Instant::now();
            while balancer.output.len() < PACKETS {
                assert!(begun.elapsed() < PATIENCE, "the worker waits for the reader");
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        ControlFlow::Continue(())
    });
    outcome.expect("a capture");
    let (told, lost) = read(&file);
    let lost = lost.expect("the end of the file");
    assert_eq!(told.len() as u64 + lost, 2 * PACKETS as u64, "each frame is told or counted");
    assert!(lost > 0, "20,000 packets are more than sockets and rings hold");
}

#[test]
fn what_cannot_be_is_refused_by_name() {
    let balancer = Balancer::start();
    let text = |text: &str| Some(text.to_owned());
    let cases = [
        (404, "203.0.113.10:80/tcp", CaptureAsk { vip: text("203.0.113.9:80/tcp"), ..CaptureAsk::default() }),
        (404, "web1, web2, web3", CaptureAsk { backend: text("web/web9"), ..CaptureAsk::default() }),
        (404, "web", CaptureAsk { backend: text("wed/web1"), ..CaptureAsk::default() }),
        (422, "POOL/NAME", CaptureAsk { backend: text("web1"), ..CaptureAsk::default() }),
        (422, "192.0.2.0/24", CaptureAsk { client: text("192.0.2"), ..CaptureAsk::default() }),
        (404, "docs/drops.md", CaptureAsk { drop: text("bad_luck"), ..CaptureAsk::default() }),
        (422, "counted only", CaptureAsk { drop: text("tx_full"), ..CaptureAsk::default() }),
        (422, "does not leave", CaptureAsk { drop: text("any"), direction: Direction::Out, ..CaptureAsk::default() }),
        (404, "edge", CaptureAsk { port: text("core"), ..CaptureAsk::default() }),
        (422, "sample", CaptureAsk { sample: Some(0), ..CaptureAsk::default() }),
        (422, "count", CaptureAsk { count: Some(0), ..CaptureAsk::default() }),
        (422, "seconds", CaptureAsk { seconds: Some(0), ..CaptureAsk::default() }),
        (422, "bytes", CaptureAsk { bytes: Some(0), ..CaptureAsk::default() }),
        (422, "snaplen", CaptureAsk { snaplen: Some(10), ..CaptureAsk::default() }),
    ];
    for (status, part, ask) in cases {
        let (found, message) = balancer.refusal(&ask);
        assert!(found == status && message.contains(part), "{ask:?}: {found} {message}");
    }
    let ask = CaptureAsk { seconds: Some(1), ..CaptureAsk::default() };
    assert!(balancer.capture(&ask, |_| ()).is_ok(), "what was refused left nothing behind");
}
