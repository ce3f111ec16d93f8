//! A balancer in virtual time: a worker over memory queues, the real-time side, the background side, and the network
//! around them, all stepped by hand. Nothing here reads a clock, so every run is the same.

use guideway_config::model::Config;
use guideway_control::control::Control;
use guideway_control::devices::NoDevices;
use guideway_control::duties::duties;
use guideway_control::events::EventReceiver;
use guideway_control::reconcile::reconcile;
use guideway_control::rt::{Report, Rt};
use guideway_control::runtime::events;
use guideway_control::state::{BackendHealth, State};
use guideway_dataplane::counters::WorkerCounters;
use guideway_dataplane::ids::{PortId, WorkerId};
use guideway_dataplane::memory::{MemoryPacket, MemoryPool, MemoryPort, MemoryQueue, MemoryRx, MemoryTx, link};
use guideway_dataplane::port::Packet;
use guideway_dataplane::publish;
use guideway_dataplane::punt::{ControlRings, PuntClass};
use guideway_dataplane::snapshot::PortState;
use guideway_dataplane::time::Nanos;
use guideway_dataplane::transmit::TxPath;
use guideway_dataplane::worker::{Worker, WorkerParts};
use smoltcp::wire::{EthernetAddress, EthernetFrame, EthernetProtocol, IpProtocol, Ipv4Packet, TcpPacket};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

/// The balancer's port.
pub const PORT_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
/// The way out of the segment.
pub const ROUTER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0xfe];
/// One step: what the loops of the real process take at most when they are not held up.
pub const STEP: Duration = Duration::from_micros(100);

/// The MAC of backend `n`, from 1: as its address 10.0.0.(10 + n).
pub fn backend_mac(n: u8) -> [u8; 6] {
    [2, 0, 0, 0, 1, n]
}

/// The keys of the usual pool.
const POOL: &str = "forward = \"l2dsr\"\nidle_timeout = { tcp = \"500ms\" }";

/// A configuration with `count` backends behind 203.0.113.10:80 by `l2dsr`, checked as by default; static neighbours.
pub fn config(count: u8) -> Config {
    config_with(count, POOL)
}

/// The same with these keys of the pool.
pub fn config_with(count: u8, pool: &str) -> Config {
    guideway_config::parse(&text_with(count, pool), None).expect("a valid configuration").config
}

/// The file of [`config`].
pub fn config_text(count: u8) -> String {
    text_with(count, POOL)
}

fn text_with(count: u8, pool: &str) -> String {
    let neighbors: String = (1..=count)
        .map(|n| {
            format!("[[interface.neighbor]]\naddress = \"10.0.0.{}\"\nmac = \"{}\"\n", 10 + n, mac_text(backend_mac(n)))
        })
        .collect();
    let backends: String = (1..=count)
        .map(|n| format!("[[pool.backend]]\nname = \"web{n}\"\naddress = \"10.0.0.{}\"\n", 10 + n))
        .collect();
    format!(
        r#"
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
{neighbors}
[state]
arm_time = "100ms"
[[pool]]
name = "web"
{pool}
{backends}
[[vip]]
address = "203.0.113.10"
protocol = "tcp"
port = 80
pool = "web"
"#
    )
}

fn mac_text(mac: [u8; 6]) -> String {
    guideway_dataplane::wire::ethernet::format_mac(mac)
}

/// How a backend behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// Answers a SYN by SYN-ACK.
    Serves,
    /// Answers a SYN by RST: nobody listens.
    Refuses,
    /// Gone.
    Silent,
}

/// What the network saw arrive at one backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// When.
    pub at: Nanos,
    /// Which backend, from 1.
    pub backend: u8,
    /// Source port of the client.
    pub source_port: u16,
}

/// The whole thing.
pub struct Bench {
    pub now: Nanos,
    pub control: Control,
    pub rt: Rt<MemoryPort>,
    pub counters: Arc<WorkerCounters>,
    /// How each backend behaves, from backend 1.
    pub backends: Vec<Behaviour>,
    /// Client packets that arrived at backends.
    pub arrivals: Vec<Arrival>,
    /// Frames that went to nobody of them.
    pub others: Vec<Vec<u8>>,
    worker: Worker<MemoryPort>,
    events: EventReceiver,
    input: MemoryQueue,
    output: MemoryQueue,
}

impl Bench {
    /// One of this configuration, in a network with `count` backends.
    pub fn of(config: Config, count: u8) -> Self {
        let config = Arc::new(config);
        let now = Nanos(1_000_000_000);
        let ports = vec![PortState::new(PORT_MAC)];
        let mut state = State::new(config, ports, UNIX_EPOCH).expect("a usable configuration");
        let duties = duties(&state);
        let (publisher, readers) = publish::channel(reconcile(&mut state), 1);
        let counters = Arc::new(WorkerCounters::default());
        let rings = ControlRings::new();
        let (input, output) = (link(), link());
        let worker = |snapshots| {
            Worker::new(WorkerParts {
                id: WorkerId(0),
                rx: vec![(PortId(0), MemoryRx(Arc::clone(&input)))],
                tx: vec![TxPath::Queue(MemoryTx(Arc::clone(&output)))],
                snapshots,
                rings: rings.clone(),
                pool: Arc::new(MemoryPool),
                exception_rate: PuntClass::Exception.rate(),
                sessions: None,
                secret: [9; 16],
                counters: Arc::clone(&counters),
            })
        };
        let worker = readers.into_iter().map(worker).next().expect("one reader");
        let (sender, events) = events();
        let mut rt = Rt::new(vec![rings], vec![Arc::clone(&counters)], Arc::new(MemoryPool), [7; 16], sender);
        rt.configure(now, duties).expect("targets that can be probed");
        let control = Control::new(state, publisher, vec![Arc::clone(&counters)], Arc::new(NoDevices));
        let backends = vec![Behaviour::Serves; usize::from(count)];
        Self {
            now,
            control,
            rt,
            counters,
            backends,
            arrivals: Vec::new(),
            others: Vec::new(),
            worker,
            events,
            input,
            output,
        }
    }

    /// Puts a frame on the wire towards the balancer; `false` if its queue is full.
    pub fn offer(&self, frame: &[u8]) -> bool {
        self.input.push(MemoryPacket::new(frame)).is_ok()
    }

    /// One step of everything. With `rt` false the control side is held up: only worker and network go on.
    pub fn step(&mut self, rt: bool) {
        self.now = self.now + STEP;
        while self.worker.poll(self.now, &mut ()) > 0 {
            self.deliver();
        }
        self.deliver();
        if rt {
            self.rt.step(self.now);
            let mut changed = false;
            while let Ok(event) = self.events.try_recv() {
                changed |= self.control.apply(event);
            }
            if changed {
                self.control.publish();
            }
            self.control.step(self.now);
            if self.control.take_duties_stale() {
                self.rt.configure(self.now, duties(self.control.state())).expect("targets that can be probed");
            }
        }
    }

    /// Steps for this long.
    pub fn run(&mut self, duration: Duration, rt: bool) {
        let end = self.now + duration;
        while self.now < end {
            self.step(rt);
        }
    }

    /// The network: what the balancer sent arrives, probes are answered.
    fn deliver(&mut self) {
        while let Some(packet) = self.output.pop() {
            let frame = EthernetFrame::new_checked(packet.frame()).expect("a whole frame");
            let EthernetAddress(to) = frame.dst_addr();
            let Some(backend) = (1..).zip(&self.backends).find(|(n, _)| backend_mac(*n) == to) else {
                self.others.push(packet.frame().to_vec());
                continue;
            };
            let (number, behaviour) = (backend.0, *backend.1);
            if frame.ethertype() != EthernetProtocol::Ipv4 {
                continue;
            }
            let mut ip = Ipv4Packet::new_checked(frame.payload()).expect("a whole IPv4 packet");
            if ip.next_header() == IpProtocol::Unknown(4) {
                ip = Ipv4Packet::new_checked(ip.payload()).expect("a whole packet in the tunnel");
            }
            let tcp = TcpPacket::new_checked(ip.payload()).expect("a whole segment");
            if ip.src_addr().octets() != [10, 0, 0, 1] {
                self.arrivals.push(Arrival { at: self.now, backend: number, source_port: tcp.src_port() });
            } else if tcp.syn()
                && behaviour != Behaviour::Silent
                && let Some(answer) = answer(&frame, &ip, &tcp, behaviour)
            {
                let _ = self.input.push(MemoryPacket::new(&answer));
            }
        }
    }

    pub fn report(&self) -> Report {
        self.rt.report(self.now)
    }

    /// Health of backend `n`, from 1, as the background side sees it.
    pub fn health(&self, n: u8) -> BackendHealth {
        self.control.state().pools[0].backends[usize::from(n) - 1].health
    }

    /// Backends that client packets arrived at since `from`.
    pub fn served_since(&self, from: Nanos) -> HashSet<u8> {
        self.arrivals.iter().filter(|arrival| arrival.at >= from).map(|arrival| arrival.backend).collect()
    }
}

/// The answer of a backend's kernel to a SYN: from the VIP to the balancer's own address.
fn answer(
    frame: &EthernetFrame<&[u8]>,
    ip: &Ipv4Packet<&[u8]>,
    tcp: &TcpPacket<&[u8]>,
    behaviour: Behaviour,
) -> Option<Vec<u8>> {
    let flags = match behaviour {
        Behaviour::Serves => 0x12,
        Behaviour::Refuses => 0x14,
        Behaviour::Silent => return None,
    };
    let sequence = if behaviour == Behaviour::Serves { 77_777_u32 } else { 0 };
    let acknowledged = (tcp.seq_number().0 as u32).wrapping_add(1);
    let ports = (tcp.dst_port(), tcp.src_port());
    let segment =
        Segment { from: ip.dst_addr().octets(), to: ip.src_addr().octets(), ports, flags, sequence, acknowledged };
    Some(segment.frame(frame.dst_addr().0, frame.src_addr().0))
}

/// A TCP segment without options and payload, over IPv4.
pub struct Segment {
    pub from: [u8; 4],
    pub to: [u8; 4],
    pub ports: (u16, u16),
    pub flags: u8,
    pub sequence: u32,
    pub acknowledged: u32,
}

impl Segment {
    /// The frame that carries it.
    pub fn frame(&self, from: [u8; 6], to: [u8; 6]) -> Vec<u8> {
        let mut frame = Vec::with_capacity(54);
        frame.extend_from_slice(&to);
        frame.extend_from_slice(&from);
        frame.extend_from_slice(&[0x08, 0x00, 0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0, 0]);
        frame.extend_from_slice(&self.from);
        frame.extend_from_slice(&self.to);
        frame.extend_from_slice(&self.ports.0.to_be_bytes());
        frame.extend_from_slice(&self.ports.1.to_be_bytes());
        frame.extend_from_slice(&self.sequence.to_be_bytes());
        frame.extend_from_slice(&self.acknowledged.to_be_bytes());
        frame.extend_from_slice(&[0x50, self.flags, 0xff, 0xff, 0, 0, 0, 0]);
        let mut ip = Ipv4Packet::new_unchecked(&mut frame[14..]);
        ip.fill_checksum();
        let (source, destination) = (self.from.into(), self.to.into());
        let mut tcp = TcpPacket::new_unchecked(&mut frame[34..]);
        tcp.fill_checksum(&std::net::IpAddr::V4(source).into(), &std::net::IpAddr::V4(destination).into());
        frame
    }
}

/// A client's segment to the VIP.
pub fn client_segment(source_port: u16, flags: u8) -> Vec<u8> {
    segment_to([203, 0, 113, 10], source_port, flags)
}

/// A client's segment to port 80 of an address.
pub fn segment_to(address: [u8; 4], source_port: u16, flags: u8) -> Vec<u8> {
    let segment =
        Segment { from: [198, 51, 100, 1], to: address, ports: (source_port, 80), flags, sequence: 1, acknowledged: 0 };
    segment.frame(ROUTER_MAC, PORT_MAC)
}
