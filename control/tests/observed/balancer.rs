//! A balancer over queues in memory, with all of its threads and a control socket.

use crate::support::{self, PORT_MAC, ROUTER_MAC};
use crossbeam::queue::ArrayQueue;
use guideway_config::model;
use guideway_control::api::Socket;
use guideway_control::api::client::{Client, ClientError};
use guideway_control::audit::Audit;
use guideway_control::capture::CaptureAsk;
use guideway_control::control::Control;
use guideway_control::devices::NoDevices;
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
use guideway_dataplane::worker::{Worker, WorkerParts};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, UNIX_EPOCH};
use tempfile::TempDir;

/// For whatever must come sooner or later on a machine that does other things too.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Packets that a queue holds.
pub const PACKETS: usize = 20_000;

/// A balancer of one port with its threads, and nobody behind the port.
pub struct Balancer {
    input: MemoryQueue,
    pub output: MemoryQueue,
    socket: PathBuf,
    stop: Arc<AtomicBool>,
    worker: Option<JoinHandle<()>>,
    pub runtime: Option<Runtime>,
    _folder: TempDir,
}

impl Balancer {
    pub fn start() -> Self {
        Self::writing(model::Audit::default())
    }

    /// One that writes this down.
    pub fn writing(audit: model::Audit) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut config = support::config(3);
        config.pools[0].health = Vec::new();
        config.audit = audit;
        let audit = Audit::start(&config).expect("logs");
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
            sessions: None,
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
            control: Control::new(state, publisher, vec![counters], Arc::new(NoDevices)).with_audit(audit),
            rt,
            events,
            socket: Some(Socket::bind(&socket).expect("a socket")),
            listener: None,
            source: None,
            exchange: None,
            clock,
            enter_rt: Box::new(|| {}),
            enter_bg: Box::new(|| {}),
            enter_checks: Box::new(|| {}),
            enter_exception: Box::new(|| {}),
            stop: Box::new(|| ()),
        };
        let runtime = Some(start(parts).expect("threads"));
        Self { input, output, socket, stop, worker: Some(worker), runtime, _folder: folder }
    }

    pub fn client(&self) -> Client {
        Client::new(&self.socket).expect("a client")
    }

    pub fn offer(&self, frame: &[u8]) {
        self.input.push(MemoryPacket::new(frame)).expect("room in the receive queue");
    }

    /// Captures into memory; `offer` is called once workers look.
    pub fn capture(&self, ask: &CaptureAsk, mut offer: impl FnMut(&Self)) -> Result<Vec<u8>, ClientError> {
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

    pub fn refusal(&self, ask: &CaptureAsk) -> (u16, String) {
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

pub fn packet(port: u16, destination: &str, flags: u8) -> Vec<u8> {
    let client = format!("192.0.2.7:{port}").parse().expect("an address");
    let packet = Craft::tcp(client, destination.parse().expect("an address"), flags);
    packet.macs(PORT_MAC, ROUTER_MAC).payload(&[0x61; 100]).frame()
}
