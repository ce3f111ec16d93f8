//! A machine with two workers whose pools rewrite addresses.

use guideway_config::model::Config;
use guideway_control::control::Control;
use guideway_control::devices::NoDevices;
use guideway_control::reconcile::reconcile;
use guideway_control::sessions::session_parts;
use guideway_control::state::State;
use guideway_dataplane::counters::WorkerCounters;
use guideway_dataplane::craft::Craft;
use guideway_dataplane::drop_reason::DropReason;
use guideway_dataplane::ids::{PortId, WorkerId};
use guideway_dataplane::memory::{MemoryPacket, MemoryPool, MemoryPort, MemoryQueue, MemoryRx, MemoryTx, link};
use guideway_dataplane::parse::{Outcome, parse};
use guideway_dataplane::port::Packet;
use guideway_dataplane::publish;
use guideway_dataplane::punt::ControlRings;
use guideway_dataplane::session::Tuple;
use guideway_dataplane::snapshot::PortState;
use guideway_dataplane::time::Nanos;
use guideway_dataplane::transmit::TxPath;
use guideway_dataplane::wire::tcp::{ACK, SYN};
use guideway_dataplane::worker::{Worker, WorkerParts};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

pub const OWN: [u8; 6] = [2, 0, 0, 0, 0, 1];
pub const ROUTER: [u8; 6] = [2, 0, 0, 0, 0, 0xfe];
pub const BACKEND: [u8; 6] = [2, 0, 0, 0, 1, 11];

/// A machine with two workers, each with its queues on one port.
pub struct Machine {
    pub control: Control,
    pub workers: Vec<(Worker<MemoryPort>, MemoryQueue, MemoryQueue)>,
    pub rings: Vec<ControlRings<MemoryPort>>,
    pub counters: Vec<Arc<WorkerCounters>>,
    pub now: Nanos,
}

/// A frame that left: its Ethernet destination, the ends and the TCP flags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    pub to: [u8; 6],
    pub source: SocketAddr,
    pub destination: SocketAddr,
    pub flags: u8,
}

pub fn config(pools: &str) -> Config {
    let text = format!(
        r#"
[fleet]
hash_key = "000102030405060708090a0b0c0d0e0f"
[cores]
control = 0
workers = [1, 2]
[[port]]
name = "edge"
device = "net_null0"
[[interface]]
port = "edge"
addresses = ["10.0.0.1/24", "fd00::1/64"]
[[interface.neighbor]]
address = "10.0.0.11"
mac = "02:00:00:00:01:0b"
[[interface.neighbor]]
address = "10.0.0.12"
mac = "02:00:00:00:01:0b"
[[interface.neighbor]]
address = "10.0.0.13"
mac = "02:00:00:00:01:0b"
[[interface.neighbor]]
address = "fd00::11"
mac = "02:00:00:00:01:0b"
{pools}
"#
    );
    guideway_config::parse(&text, None).unwrap_or_else(|errors| panic!("{errors:#?}")).config
}

pub fn pool(keys: &str, backend: &str, vips: &[&str]) -> String {
    let vip =
        |address: &&str| format!("[[vip]]\naddress = \"{address}\"\nprotocol = \"tcp\"\nport = 80\npool = \"web\"\n");
    let vips: String = vips.iter().map(vip).collect();
    format!(
        "[[pool]]\nname = \"web\"\nhealth = {{ kind = \"none\" }}\n{keys}\n[[pool.backend]]\nname = \"web1\"\n{backend}\n{vips}"
    )
}

impl Machine {
    pub fn new(config: Config) -> Self {
        Self::with_port(config, PortState::new(OWN))
    }

    /// With a device that can do this.
    pub fn with_port(config: Config, port: PortState) -> Self {
        let config = Arc::new(config);
        let mut state = State::new(Arc::clone(&config), vec![port], UNIX_EPOCH).expect("a state");
        let (publisher, readers) = publish::channel(reconcile(&mut state), 2);
        let rings: Vec<ControlRings<MemoryPort>> = (0..2).map(|_| ControlRings::new()).collect();
        let counters: Vec<Arc<WorkerCounters>> = (0..2).map(|_| Arc::default()).collect();
        let workers = (0..).zip(readers).map(|(id, snapshots)| {
            let (input, output) = (link(), link());
            let worker = Worker::new(WorkerParts {
                id: WorkerId(id),
                rx: vec![(PortId(0), MemoryRx(Arc::clone(&input)))],
                tx: vec![TxPath::Queue(MemoryTx(Arc::clone(&output)))],
                snapshots,
                rings: rings[usize::from(id)].clone(),
                pool: Arc::new(MemoryPool),
                exception_rate: 1,
                sessions: session_parts(&config, &rings),
                secret: [3; 16],
                counters: Arc::clone(&counters[usize::from(id)]),
            });
            (worker, input, output)
        });
        let workers = workers.collect();
        let control = Control::new(state, publisher, counters.clone(), Arc::new(NoDevices));
        Self { control, workers, rings, counters, now: Nanos(1_000_000_000) }
    }

    /// A frame comes in at a worker; what leaves, of any of them.
    pub fn offer(&mut self, worker: usize, frame: &[u8]) -> Vec<Left> {
        self.pass(worker, frame).iter().map(|frame| read(frame)).collect()
    }

    /// The same, as frames.
    pub fn pass(&mut self, worker: usize, frame: &[u8]) -> Vec<Vec<u8>> {
        assert!(self.workers[worker].1.push(MemoryPacket::new(frame)).is_ok(), "room in the queue");
        self.poll()
    }

    /// Lets both workers do what there is to do; what leaves.
    pub fn poll(&mut self) -> Vec<Vec<u8>> {
        let mut left = Vec::new();
        // Twice: what hops is taken up by the other one.
        for at in [0, 1, 0, 1] {
            let (worker, _, output) = &mut self.workers[at];
            worker.poll(self.now, &mut ());
            while let Some(packet) = output.pop() {
                left.push(packet.frame().to_vec());
            }
        }
        left
    }

    /// Lets both workers look around; nothing is expected of them.
    pub fn idle(&mut self) {
        self.poll();
    }

    pub fn client(&mut self, worker: usize, from: &str, to: &str, flags: u8, numbers: (u32, u32)) -> Vec<Left> {
        let frame = Craft::tcp(end(from), end(to), flags).numbers(numbers.0, numbers.1).macs(OWN, ROUTER).frame();
        self.offer(worker, &frame)
    }

    pub fn backend(
        &mut self,
        worker: usize,
        from: SocketAddr,
        to: SocketAddr,
        flags: u8,
        numbers: (u32, u32),
    ) -> Vec<Left> {
        let frame = Craft::tcp(from, to, flags).numbers(numbers.0, numbers.1).macs(OWN, BACKEND).frame();
        self.offer(worker, &frame)
    }

    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.counters.iter().map(|counters| counters.drops[reason as usize].get()).sum()
    }

    pub fn live(&self) -> u64 {
        self.counters.iter().map(|counters| counters.sessions.live.get()).sum()
    }

    /// A handshake of a client at worker 0; the source that the backend saw.
    pub fn connect(&mut self, from: &str, to: &str) -> SocketAddr {
        let [syn] = &self.client(0, from, to, SYN, (100, 0))[..] else { panic!("no SYN left") };
        let Left { source, destination, .. } = syn.clone();
        self.backend(0, destination, source, SYN | ACK, (900, 101));
        assert_eq!(self.client(0, from, to, ACK, (101, 901)).len(), 1);
        source
    }
}

pub fn end(text: &str) -> SocketAddr {
    text.parse().expect("an address and a port")
}

pub fn read(frame: &[u8]) -> Left {
    let port = PortState::taking_any_destination(OWN);
    let Outcome::Packet(parsed) = parse(frame, frame.len(), &port) else { panic!("no packet") };
    let tuple = Tuple::of(&parsed);
    let end = |end: guideway_dataplane::session::Endpoint| {
        SocketAddr::new(IpAddr::V6(Ipv6Addr::from_bits(end.address)).to_canonical(), end.port)
    };
    let to = *frame.first_chunk().expect("a header");
    Left { to, source: end(tuple.source), destination: end(tuple.destination), flags: parsed.flags }
}
