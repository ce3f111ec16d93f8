//! Links, next hops and path MTUs from the configuration to the frames of the real-time side: two VLANs and an untagged
//! link on two ports.

use guideway_control::duties::duties;
use guideway_control::events::{Event, EventReceiver};
use guideway_control::neighbor::wire::{self, Arp, MAX_MESSAGE, Message, Operation};
use guideway_control::path_mtu::LIFETIME;
use guideway_control::rt::{Duties, Rt};
use guideway_control::runtime::events;
use guideway_control::state::State;
use guideway_dataplane::ids::{BackendId, LinkId, PortId};
use guideway_dataplane::memory::{MemoryPacket, MemoryPool, MemoryPort};
use guideway_dataplane::port::Packet;
use guideway_dataplane::punt::{ControlRings, Inject, Punt, PuntClass};
use guideway_dataplane::snapshot::PortState;
use guideway_dataplane::time::Nanos;
use smoltcp::wire::{Icmpv4Packet, Ipv4Packet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

const START: Nanos = Nanos(1_000_000_000_000);
const EDGE_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const LAN_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
const HOST: [u8; 6] = [2, 0, 0, 0, 0, 0x99];

/// Link ids: `edge` 0, `lan` 1, `lan` VLAN 120 2, `edge` VLAN 20 in service VLAN 100 3. Port `lan` has no untagged
/// interface.
const EDGE: LinkId = LinkId(0);
const LAN_120: LinkId = LinkId(2);
const EDGE_20: LinkId = LinkId(3);

const CONFIG: &str = r#"
[fleet]
hash_key = "000102030405060708090a0b0c0d0e0f"
[cores]
control = 0
workers = [1]
[[port]]
name = "edge"
device = "net_null0"
[[port]]
name = "lan"
device = "net_null1"
[[interface]]
port = "lan"
vlan = 120
addresses = ["10.120.0.1/24"]
[[interface.neighbor]]
address = "10.120.0.9"
mac = "02:00:00:00:00:99"
[[interface]]
port = "edge"
addresses = ["192.0.2.1/24"]
[[interface]]
port = "edge"
service_vlan = 100
vlan = 20
addresses = ["10.20.0.1/24"]
[[route]]
to = "10.9.0.0/16"
via = ["10.120.0.9", "10.120.0.10", "10.20.0.9"]
[[pool]]
name = "far"
forward = "ipip"
[[pool.backend]]
name = "far1"
address = "10.9.0.11"
[[pool.backend]]
name = "near1"
address = "10.20.0.11"
[[pool]]
name = "near"
forward = "l2dsr"
[[pool.backend]]
name = "near2"
address = "10.120.0.12"
[[vip]]
address = "203.0.113.0/24"
protocol = "tcp"
port = 80
pool = "far"
announce = "arp"
[[vip]]
address = "192.0.2.100"
protocol = "tcp"
port = 80
pool = "near"
"#;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn expected_duties() -> Duties {
    let config = guideway_config::parse(CONFIG, None).expect("a valid configuration").config;
    let ports = vec![PortState::new(EDGE_MAC), PortState::new(LAN_MAC)];
    duties(&State::new(Arc::new(config), ports, UNIX_EPOCH).expect("a usable configuration"))
}

#[test]
fn duties_name_links() {
    let duties = expected_duties();
    let links: Vec<_> = duties.links.iter().map(|link| (link.id, link.mac, link.addresses[0].to_string())).collect();
    let expected =
        [(EDGE, EDGE_MAC, "192.0.2.1/24"), (LAN_120, LAN_MAC, "10.120.0.1/24"), (EDGE_20, EDGE_MAC, "10.20.0.1/24")];
    assert_eq!(links, expected.map(|(id, mac, net)| (id, mac, net.to_owned())), "none where no interface is");
    assert_eq!(duties.ports, [0, 1, 1, 0].map(PortId));
    let fixed: Vec<_> = duties.statics.iter().map(|fixed| (fixed.link, fixed.address)).collect();
    assert_eq!(fixed, [(LAN_120, ip("10.120.0.9"))]);
}

#[test]
fn every_next_hop_of_a_route_is_wanted_but_static_ones() {
    let wanted = [
        (LAN_120, ip("10.120.0.10")),
        (LAN_120, ip("10.120.0.12")),
        (EDGE_20, ip("10.20.0.9")),
        (EDGE_20, ip("10.20.0.11")),
    ];
    assert_eq!(expected_duties().wanted, wanted);
}

#[test]
fn next_hops_that_share_flows_are_known() {
    let all = [(LAN_120, ip("10.120.0.9")), (LAN_120, ip("10.120.0.10")), (EDGE_20, ip("10.20.0.9"))];
    assert_eq!(expected_duties().shared, all.into());
}

#[test]
fn probes_go_to_a_host_of_a_prefix_from_the_first_link() {
    let duties = expected_duties();
    let targets: Vec<_> = duties.targets.iter().map(|target| (target.destination, target.source)).collect();
    let expected = [("203.0.113.1", "10.120.0.1"), ("203.0.113.1", "10.20.0.1"), ("192.0.2.100", "10.120.0.1")];
    assert_eq!(targets, expected.map(|(to, from)| (ip(to), ip(from))));
}

#[test]
fn only_backends_of_tunnels_have_a_path_to_learn() {
    let duties = expected_duties();
    let expected = [(ip("10.9.0.11"), vec![BackendId(0)]), (ip("10.20.0.11"), vec![BackendId(1)])];
    assert_eq!(duties.tunnels, expected.into());
}

struct Bench {
    rt: Rt<MemoryPort>,
    rings: ControlRings<MemoryPort>,
    events: EventReceiver,
}

impl Bench {
    /// With everything that is due at the start sent, announcements and requests.
    fn new() -> Self {
        let rings = ControlRings::new();
        let (sender, events) = events();
        let mut rt = Rt::new(vec![rings.clone()], Vec::new(), Arc::new(MemoryPool), [7; 16], sender);
        rt.configure(START, expected_duties()).expect("targets that can be probed");
        Self { rt, rings, events }
    }

    /// What is sent onto links at `now`, probes aside.
    fn step(&mut self, now: Nanos) -> Vec<(LinkId, Vec<u8>)> {
        self.rt.step(now);
        let all = std::iter::from_fn(|| self.rings.inject.pop());
        all.filter_map(|injection| match injection {
            Inject::Frame { packet, link } => Some((link, packet.frame().to_vec())),
            _ => None,
        })
        .collect()
    }

    fn punt(&self, class: PuntClass, link: LinkId, frame: &[u8]) {
        let punt = Punt { packet: MemoryPacket::new(frame), link, received: START };
        self.rings.punts.ring(class).push(punt).expect("room in the ring");
    }

    /// Path MTUs told since the last call.
    fn path_mtus(&mut self) -> Vec<(IpAddr, Option<u16>)> {
        let events = std::iter::from_fn(|| self.events.try_recv().ok());
        let path_mtu = |event| match event {
            Event::PathMtu { backend_address, mtu } => Some((backend_address, mtu)),
            _ => None,
        };
        events.filter_map(path_mtu).collect()
    }
}

fn arp(operation: Operation, sender: &str, target: &str) -> Vec<u8> {
    let (IpAddr::V4(sender), IpAddr::V4(target)) = (ip(sender), ip(target)) else { panic!() };
    let arp = Arp { operation, sender_mac: HOST, sender, target_mac: [0; 6], target };
    wire::write_arp(&mut [0; MAX_MESSAGE], wire::BROADCAST, &arp).to_vec()
}

fn read(frame: &[u8]) -> Arp {
    match wire::parse(frame) {
        Ok(Message::Arp(arp)) => arp,
        other => panic!("no ARP: {other:?}"),
    }
}

#[test]
fn an_answer_leaves_on_the_link_of_its_question() {
    let mut bench = Bench::new();
    bench.step(START);
    // An address in a VIP's prefix, that is answered for on every link.
    for (link, mac) in [(EDGE, EDGE_MAC), (LAN_120, LAN_MAC), (EDGE_20, EDGE_MAC)] {
        bench.punt(PuntClass::Neighbor, link, &arp(Operation::Request, "172.16.0.1", "203.0.113.77"));
        let sent = bench.step(START);
        let [(to, frame)] = &sent[..] else { panic!("one answer, not {sent:?}") };
        assert_eq!((*to, read(frame).sender_mac, read(frame).sender), (link, mac, Ipv4Addr::new(203, 0, 113, 77)));
    }
    // Our address in another VLAN, and a link without an interface.
    bench.punt(PuntClass::Neighbor, EDGE_20, &arp(Operation::Request, "172.16.0.1", "10.120.0.1"));
    bench.punt(PuntClass::Neighbor, LinkId(1), &arp(Operation::Request, "172.16.0.1", "203.0.113.77"));
    assert_eq!(bench.step(START), []);
}

/// Links of the announcements and of the requests among these frames, each once.
fn links_of(frames: &[(LinkId, Vec<u8>)]) -> [Vec<LinkId>; 2] {
    let of = |announced: bool| {
        let chosen = frames.iter().filter(|(_, frame)| (read(frame).sender == read(frame).target) == announced);
        let mut links: Vec<_> = chosen.map(|(link, _)| *link).collect();
        links.sort();
        links.dedup();
        links
    };
    [of(true), of(false)]
}

#[test]
fn a_port_that_returns_asks_and_announces_on_all_its_links() {
    let mut bench = Bench::new();
    let first = bench.step(START);
    assert_eq!(links_of(&first), [vec![EDGE, LAN_120, EDGE_20], vec![LAN_120, EDGE_20]]);
    // Until every announcement was repeated for the last time.
    for second in 0..9 {
        bench.step(START + Duration::from_secs(second));
    }
    let later = START + Duration::from_secs(9);
    let hosts = [(LAN_120, "10.120.0.10"), (LAN_120, "10.120.0.12"), (EDGE_20, "10.20.0.9"), (EDGE_20, "10.20.0.11")];
    for (link, address) in hosts {
        bench.punt(PuntClass::Neighbor, link, &arp(Operation::Reply, address, address));
    }
    bench.step(later);
    let known = |bench: &Bench| {
        let neighbors = bench.rt.report(later).neighbors;
        let mut links: Vec<_> = neighbors.iter().filter(|line| line.mac.is_some()).map(|line| line.link).collect();
        links.sort();
        links.dedup();
        links
    };
    assert_eq!(known(&bench), [LAN_120, EDGE_20]);
    bench.rt.port_down(later, PortId(0));
    assert_eq!(known(&bench), [LAN_120], "what was learnt on the links of `edge` is gone");
    bench.step(later);
    bench.rt.port_up(later, PortId(0));
    let again = bench.step(later);
    assert_eq!(links_of(&again), [vec![EDGE, EDGE_20], vec![EDGE_20]]);
    bench.rt.port_up(later, PortId(1));
    let [announced, asked] = links_of(&bench.step(later));
    assert_eq!((announced, asked), (vec![LAN_120], vec![LAN_120]));
}

/// An ICMP error that a tunnel's packet of 1,500 bytes to `backend` was too large.
fn too_large(backend: [u8; 4], mtu: u16) -> Vec<u8> {
    let ip = |protocol, total: u16, from: [u8; 4], to: [u8; 4]| {
        let mut header = vec![0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, protocol, 0, 0];
        header[2..4].copy_from_slice(&total.to_be_bytes());
        header.extend([from, to].concat());
        Ipv4Packet::new_unchecked(&mut header[..]).fill_checksum();
        header
    };
    let own = [10, 120, 0, 1];
    let mut message = vec![3, 4, 0, 0, 0, 0];
    message.extend(mtu.to_be_bytes());
    message.extend(ip(4, 1_500, own, backend));
    message.extend(ip(6, 1_480, [198, 51, 100, 1], [203, 0, 113, 77]));
    Icmpv4Packet::new_unchecked(&mut message[..]).fill_checksum();
    let mut frame = [&LAN_MAC[..], &HOST, &[8, 0]].concat();
    frame.extend(ip(1, 20 + message.len() as u16, [10, 120, 0, 9], own));
    frame.extend(message);
    frame
}

#[test]
fn a_path_mtu_goes_up_once_and_is_forgotten_in_time() {
    let mut bench = Bench::new();
    let backend = ip("10.9.0.11");
    bench.punt(PuntClass::Icmp, LAN_120, &too_large([10, 9, 0, 11], 1_400));
    bench.punt(PuntClass::Icmp, LAN_120, &too_large([10, 9, 0, 11], 1_400));
    bench.punt(PuntClass::Icmp, LAN_120, &too_large([10, 120, 0, 12], 1_400));
    bench.step(START);
    assert_eq!(bench.path_mtus(), [(backend, Some(1_400))], "a backend without a tunnel has none");
    bench.step(START + (LIFETIME - Duration::from_nanos(1)));
    assert_eq!(bench.path_mtus(), []);
    bench.step(START + LIFETIME);
    assert_eq!(bench.path_mtus(), [(backend, None)]);
}

#[test]
fn what_the_kernel_may_want_is_not_answered_here() {
    let mut bench = Bench::new();
    bench.step(START);
    // LLDP, and a reply that speaks of nobody here.
    bench.punt(PuntClass::Exception, EDGE, &[&[1, 0x80, 0xc2, 0, 0, 0xe][..], &HOST, &[0x88, 0xcc], &[0; 46]].concat());
    bench.punt(PuntClass::Exception, EDGE, &arp(Operation::Reply, "172.16.0.1", "172.16.0.2"));
    assert_eq!(bench.step(START), []);
    assert!(bench.rings.punts.ring(PuntClass::Exception).is_empty(), "and makes way for the next");
}
