//! The exception path in memory: what the kernel gets of two ports with VLANs, and what it sends by them, with a TAP device
//! that is a pair of queues.

use guideway_control::duties::duties;
use guideway_control::exception::{Exchange, PortTap, Tap, path};
use guideway_control::neighbor::wire::{self, Arp, MAX_MESSAGE, Operation};
use guideway_control::rt::Rt;
use guideway_control::runtime::events;
use guideway_control::state::State;
use guideway_control::status::model::TapStatus;
use guideway_dataplane::craft::Craft;
use guideway_dataplane::ids::{LinkId, PortId};
use guideway_dataplane::memory::{MemoryPacket, MemoryPool, MemoryPort};
use guideway_dataplane::port::{Packet, PacketPool};
use guideway_dataplane::punt::{ControlRings, INJECT_DEPTH, Inject, Punt, PuntClass};
use guideway_dataplane::snapshot::PortState;
use guideway_dataplane::time::Nanos;
use guideway_dataplane::wire::tcp;
use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

const START: Nanos = Nanos(1_000_000_000_000);
const EDGE_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const LAN_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
const HOST: [u8; 6] = [2, 0, 0, 0, 0, 0x99];
/// Frames, each with where it goes or came from.
type Frames<K> = Vec<(K, Vec<u8>)>;

/// Packets a second.
const RATE: u32 = 10_000;
/// Packets at one moment: a hundredth of a second's.
const BURST: usize = 100;

/// Link ids: untagged ones first, by port; then VLANs as they are listed.
const EDGE: LinkId = LinkId(0);
const LAN: LinkId = LinkId(1);
const EDGE_120: LinkId = LinkId(2);
const EDGE_100_20: LinkId = LinkId(3);

const CONFIG: &str = r#"
[fleet]
hash_key = "000102030405060708090a0b0c0d0e0f"
[cores]
control = 0
workers = [1, 2]
[exception]
ports = ["edge"]
[[port]]
name = "edge"
device = "net_null0"
[[port]]
name = "lan"
device = "net_null1"
[[interface]]
port = "edge"
addresses = ["10.0.0.1/24"]
[[interface]]
port = "edge"
vlan = 120
addresses = ["10.120.0.1/24"]
[[interface]]
port = "edge"
service_vlan = 100
vlan = 20
addresses = ["10.20.0.1/24"]
[[interface]]
port = "lan"
addresses = ["10.9.0.1/24"]
[[pool]]
name = "web"
forward = "l2dsr"
health = { kind = "none" }
[[pool.backend]]
name = "web1"
address = "10.0.0.11"
[[vip]]
address = "203.0.113.10"
protocol = "tcp"
port = 80
pool = "web"
"#;

/// The kernel, as this process sees it.
#[derive(Default)]
struct Kernel {
    received: VecDeque<Vec<u8>>,
    to_send: VecDeque<Vec<u8>>,
    down: bool,
}

#[derive(Clone, Default)]
struct FakeTap(Arc<Mutex<Kernel>>);

impl Tap for FakeTap {
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        let frame = self.0.lock().unwrap().to_send.pop_front();
        Ok(frame.map(|frame| {
            buffer[..frame.len()].copy_from_slice(&frame);
            frame.len()
        }))
    }

    fn send(&mut self, frame: &[u8]) -> io::Result<()> {
        let mut kernel = self.0.lock().unwrap();
        if kernel.down {
            return Err(io::ErrorKind::NetworkDown.into());
        }
        kernel.received.push_back(frame.to_vec());
        Ok(())
    }
}

struct Bench {
    rt: Rt<MemoryPort>,
    exchange: Exchange,
    rings: Vec<ControlRings<MemoryPort>>,
    tap: FakeTap,
    now: Nanos,
}

impl Bench {
    /// With everything that is due at the start sent.
    fn new() -> Self {
        let config = guideway_config::parse(CONFIG, None).expect("a valid configuration").config;
        let ports = vec![PortState::new(EDGE_MAC), PortState::new(LAN_MAC)];
        let state = State::new(Arc::new(config), ports, UNIX_EPOCH).expect("a usable configuration");
        let rings = vec![ControlRings::new(), ControlRings::new()];
        let (sender, _) = events();
        let tap = FakeTap::default();
        let port_tap = PortTap { port: PortId(0), name: "gw-edge".to_owned(), tap: Box::new(tap.clone()) };
        let (kernel, exchange) = path(vec![port_tap], RATE);
        let mut rt = Rt::new(rings.clone(), Vec::new(), Arc::new(MemoryPool), [7; 16], sender).with_kernel(kernel);
        rt.configure(START, duties(&state)).expect("no targets");
        let mut bench = Self { rt, exchange, rings, tap, now: START };
        // Announcements and requests for the next hop go on for a while.
        for _ in 0..10 {
            bench.step();
            bench.now = bench.now + Duration::from_secs(1);
        }
        bench
    }

    /// A pass of both threads; what workers were given: frames onto links, finished frames for ports.
    fn step(&mut self) -> (Frames<LinkId>, Frames<PortId>) {
        self.exchange.step(self.now);
        self.rt.step(self.now);
        self.exchange.step(self.now);
        let (mut onto_links, mut finished) = (Vec::new(), Vec::new());
        for ring in &self.rings {
            while let Some(injection) = ring.inject.pop() {
                match injection {
                    Inject::Frame { packet, link } => onto_links.push((link, packet.frame().to_vec())),
                    Inject::Finished { packet, port } => finished.push((port, packet.frame().to_vec())),
                    Inject::ToBackend { .. } => panic!("nobody is probed"),
                    Inject::Received { .. } => panic!("no session is another worker's"),
                }
            }
        }
        (onto_links, finished)
    }

    fn punt(&self, class: PuntClass, link: LinkId, frame: &[u8]) {
        let punt = Punt { packet: MemoryPacket::new(frame), link, received: self.now };
        self.rings[0].punts.ring(class).push(punt).expect("room in the ring");
    }

    /// Punts one frame; what the kernel got, and what was answered.
    fn share(&mut self, class: PuntClass, link: LinkId, frame: &[u8]) -> (Vec<Vec<u8>>, Frames<LinkId>) {
        self.punt(class, link, frame);
        let (answers, finished) = self.step();
        assert!(finished.is_empty(), "the kernel sent nothing");
        (self.received(), answers.into_iter().filter(|(_, frame)| !is_request(frame)).collect())
    }

    fn received(&self) -> Vec<Vec<u8>> {
        self.tap.0.lock().unwrap().received.drain(..).collect()
    }

    fn kernel_sends(&self, frame: &[u8]) {
        self.tap.0.lock().unwrap().to_send.push_back(frame.to_vec());
    }

    fn counts(&self) -> TapStatus {
        let [tap] = &self.rt.report(self.now).taps[..] else { panic!("one TAP device") };
        let tap = tap.clone();
        TapStatus {
            port: "edge".to_owned(),
            device: tap.device,
            to_kernel: tap.to_kernel,
            to_kernel_drops: tap.to_kernel_drops,
            from_kernel: tap.from_kernel,
            from_kernel_drops: tap.from_kernel_drops,
        }
    }
}

/// Whether it is one of our own requests for the backend's MAC.
fn is_request(frame: &[u8]) -> bool {
    frame[12..14] == [8, 6] && frame[21] == 1
}

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn frame(packet: Craft) -> Vec<u8> {
    packet.macs(EDGE_MAC, HOST).frame()
}

fn udp(port: u16) -> Vec<u8> {
    frame(Craft::udp(SocketAddr::new(at("10.0.0.9:0").ip(), port), at("10.0.0.1:9")))
}

fn arp(operation: Operation) -> Vec<u8> {
    let (sender, target) = (Ipv4Addr::new(10, 0, 0, 9), Ipv4Addr::new(10, 0, 0, 1));
    let arp = Arp { operation, sender_mac: HOST, sender, target_mac: [0; 6], target };
    wire::write_arp(&mut [0; MAX_MESSAGE], wire::BROADCAST, &arp).to_vec()
}

fn icmp(message: u8) -> Vec<u8> {
    frame(Craft::icmp(at("10.0.0.9:0").ip(), at("10.0.0.1:0").ip(), message, 0, [0, 1, 0, 1]))
}

#[test]
fn the_kernel_gets_frames_as_they_came_in_with_the_tags_of_their_link() {
    let mut bench = Bench::new();
    let plain = udp(53);
    let tagged = |tags: &[u8]| [&plain[..12], tags, &plain[12..]].concat();
    let links = [
        (EDGE, plain.clone()),
        (EDGE_120, tagged(&[0x81, 0, 0, 120])),
        (EDGE_100_20, tagged(&[0x88, 0xa8, 0, 100, 0x81, 0, 0, 20])),
    ];
    for (link, expected) in links {
        assert_eq!(bench.share(PuntClass::Exception, link, &plain), (vec![expected], vec![]));
    }
    assert_eq!(bench.counts().to_kernel, 3);
}

#[test]
fn on_a_port_without_a_tap_device_everything_stays_as_it_was() {
    let mut bench = Bench::new();
    let to_lan = Craft::tcp(at("10.9.0.9:5000"), at("10.9.0.1:22"), tcp::SYN).macs(LAN_MAC, HOST).frame();
    let (received, answers) = bench.share(PuntClass::Other, LAN, &to_lan);
    assert!(received.is_empty());
    assert_eq!(answers.len(), 1, "a reset");
}

#[test]
fn each_class_goes_to_who_has_a_use_for_it() {
    let from = |source: &str, flags| frame(Craft::tcp(at(source), at("10.0.0.1:40000"), flags));
    let (syn_ack, bgp) = (tcp::SYN | tcp::ACK, frame(Craft::tcp(at("10.0.0.9:5000"), at("10.0.0.1:179"), tcp::SYN)));
    // The class, the frame, whether the kernel gets it, and whether it is answered here.
    let cases = [
        (PuntClass::Probe, from("203.0.113.10:80", syn_ack), false, false),
        (PuntClass::Probe, from("10.0.0.9:22", syn_ack), true, false),
        (PuntClass::Neighbor, arp(Operation::Request), true, true),
        (PuntClass::Neighbor, arp(Operation::Reply), true, false),
        (PuntClass::Bgp, bgp, true, false),
        (PuntClass::Icmp, icmp(8), false, true),
        (PuntClass::Icmp, icmp(0), true, false),
        (PuntClass::Icmp, icmp(3), true, false),
        (PuntClass::Exception, from("10.0.0.9:22", tcp::SYN), true, false),
        (PuntClass::Exception, from("203.0.113.10:80", tcp::ACK), false, false),
        (PuntClass::Exception, vec![0xff; 60], true, false),
    ];
    for (class, frame, to_kernel, answered) in cases {
        let mut bench = Bench::new();
        let (received, answers) = bench.share(class, EDGE, &frame);
        let expected = if to_kernel { vec![frame.clone()] } else { vec![] };
        assert_eq!(received, expected, "{} {frame:02x?}", class.label());
        assert_eq!(answers.len(), usize::from(answered), "{} {frame:02x?}", class.label());
    }
}

#[test]
fn what_the_kernel_sends_leaves_by_the_port_as_it_is_and_in_order() {
    let mut bench = Bench::new();
    let frames: Vec<Vec<u8>> = (0..BURST).map(|number| vec![number as u8; 14 + 13 * number]).collect();
    frames.iter().for_each(|frame| bench.kernel_sends(frame));
    let mut sent = Vec::new();
    for _ in 0..10 {
        sent.extend(bench.step().1);
    }
    let expected: Vec<_> = frames.into_iter().map(|frame| (PortId(0), frame)).collect();
    assert_eq!(sent, expected);
    assert_eq!(bench.counts().from_kernel, BURST as u64);
}

#[test]
fn both_directions_keep_to_the_rate() {
    let mut bench = Bench::new();
    let (mut received, mut sent) = (0, 0);
    // For a tenth of a second, twice the rate both ways.
    for _ in 0..100 {
        bench.now = bench.now + Duration::from_millis(1);
        for number in 0..2 * RATE as u16 / 1_000 {
            bench.punt(PuntClass::Exception, EDGE, &udp(1 + number));
            bench.kernel_sends(&udp(1 + number));
        }
        sent += bench.step().1.len();
        received += bench.received().len();
    }
    let (rate, offered) = (RATE as usize / 10, RATE as usize / 5);
    for passed in [received, sent] {
        assert!((rate..=rate + BURST).contains(&passed), "{passed} of {offered} passed");
    }
    let counts = bench.counts();
    assert_eq!(counts.to_kernel_drops, [("rate_limited".to_owned(), (offered - received) as u64)].into());
    assert_eq!(counts.from_kernel_drops, [("rate_limited".to_owned(), (offered - sent) as u64)].into());
}

#[test]
fn a_flood_costs_no_other_class_its_place() {
    let mut bench = Bench::new();
    for number in 0..3 * BURST as u16 {
        bench.punt(PuntClass::Exception, EDGE, &udp(1 + number));
    }
    for _ in 0..10 {
        bench.step();
    }
    assert_eq!(bench.received().len(), BURST);
    let bgp = frame(Craft::tcp(at("10.0.0.9:5000"), at("10.0.0.1:179"), tcp::SYN));
    assert_eq!(bench.share(PuntClass::Bgp, EDGE, &bgp), (vec![bgp], vec![]));
}

#[test]
fn a_thread_that_is_held_up_costs_frames_and_nobody_waits() {
    let mut bench = Bench::new();
    let long = vec![7; 9_000];
    // Nobody reads: the ring takes what fits into a mebibyte, whatever comes.
    for _ in 0..200 {
        bench.now = bench.now + Duration::from_millis(1);
        bench.punt(PuntClass::Exception, EDGE, &long);
        bench.rt.step(bench.now);
    }
    let waiting = (1 << 20) / (long.len() + 2);
    bench.step();
    assert_eq!(bench.received().len(), waiting);
    assert_eq!(bench.counts().to_kernel_drops, [("queue_full".to_owned(), 200 - waiting as u64)].into());
    // The other way round.
    for _ in 0..200 {
        bench.now = bench.now + Duration::from_millis(1);
        bench.kernel_sends(&long);
        bench.exchange.step(bench.now);
    }
    let sent: usize = (0..10).map(|_| bench.step().1.len()).sum();
    assert_eq!(sent, waiting);
    assert_eq!(bench.counts().from_kernel_drops, [("queue_full".to_owned(), 200 - waiting as u64)].into());
    assert_eq!(bench.share(PuntClass::Exception, EDGE, &udp(5)).0.len(), 1, "and all is as before");
}

#[test]
fn the_kernel_leaves_half_of_a_workers_ring_to_others() {
    let mut bench = Bench::new();
    let fill = INJECT_DEPTH / 2 - 1;
    for _ in 0..fill {
        let packet = MemoryPool.alloc(&[0; 60]).expect("memory");
        let filled = bench.rings[0].inject.push(Inject::Finished { packet, port: PortId(1) });
        assert!(filled.is_ok());
    }
    (1..=3).for_each(|port| bench.kernel_sends(&udp(port)));
    let sent = bench.step().1.into_iter().filter(|(port, _)| *port == PortId(0)).count();
    assert_eq!(sent, 1);
    assert_eq!(bench.counts().from_kernel_drops, [("inject_full".to_owned(), 2)].into());
    let short = bench.counts();
    // Longer than any buffer.
    bench.kernel_sends(&[0; 20_000]);
    assert!(bench.step().1.is_empty());
    assert_eq!(bench.counts().from_kernel_drops["no_buffer"], 1);
    assert_eq!(bench.counts().from_kernel, short.from_kernel);
}

#[test]
fn a_device_that_is_down_is_counted() {
    let mut bench = Bench::new();
    bench.tap.0.lock().unwrap().down = true;
    assert!(bench.share(PuntClass::Exception, EDGE, &udp(1)).0.is_empty());
    bench.tap.0.lock().unwrap().down = false;
    assert_eq!(bench.share(PuntClass::Exception, EDGE, &udp(2)).0.len(), 1);
    let counts = bench.counts();
    assert_eq!((counts.to_kernel, counts.to_kernel_drops), (1, [("device_down".to_owned(), 1)].into()));
}
