//! The drain of a machine, in frames: nobody learns the way to a VIP from it, and it stays on its links with its own
//! addresses.

use guideway_control::control::Control;
use guideway_control::devices::NoDevices;
use guideway_control::drain::Ask;
use guideway_control::duties::duties;
use guideway_control::neighbor::wire::{self, Arp, MAX_MESSAGE, Message, Operation};
use guideway_control::reconcile::reconcile;
use guideway_control::rt::Rt;
use guideway_control::runtime::events;
use guideway_control::state::State;
use guideway_dataplane::counters::WorkerCounters;
use guideway_dataplane::ids::LinkId;
use guideway_dataplane::memory::{MemoryPacket, MemoryPool, MemoryPort};
use guideway_dataplane::port::Packet;
use guideway_dataplane::publish;
use guideway_dataplane::punt::{ControlRings, Inject, Punt, PuntClass};
use guideway_dataplane::snapshot::PortState;
use guideway_dataplane::time::Nanos;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

const START: Nanos = Nanos(1_000_000_000_000);
const STEP: Duration = Duration::from_millis(10);
/// More than announcements take.
const LONG: Duration = Duration::from_secs(5);
const LINK: LinkId = LinkId(0);
const ME: [u8; 6] = [2, 0, 0, 0, 0, 1];
const HOST: [u8; 6] = [2, 0, 0, 0, 0, 0x99];

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
addresses = ["10.0.0.1/24", "fd00::1/64"]
[[interface.neighbor]]
address = "10.0.0.11"
mac = "02:00:00:00:01:01"
[[pool]]
name = "web"
forward = "l2dsr"
health = { kind = "none" }
backend = [{ address = "10.0.0.11" }]
[[pool]]
name = "web6"
forward = "ipip"
health = { kind = "none" }
backend = [{ address = "10.0.0.11" }]
[[vip]]
address = "10.0.0.100"
protocol = "tcp"
port = 80
pool = "web"
[[vip]]
address = "203.0.113.0/24"
protocol = "tcp"
port = 80
pool = "web"
announce = "arp"
[[vip]]
address = "fd00::100"
protocol = "tcp"
port = 80
pool = "web6"
"#;

/// What is announced, and one of a prefix, which is answered for only.
const VIPS: [&str; 3] = ["10.0.0.100", "fd00::100", "203.0.113.7"];
const OWN: [&str; 2] = ["10.0.0.1", "fd00::1"];

struct Machine {
    now: Nanos,
    control: Control,
    rt: Rt<MemoryPort>,
    rings: ControlRings<MemoryPort>,
}

impl Machine {
    /// With everything that is announced at the start sent.
    fn new() -> Self {
        let config = Arc::new(guideway_config::parse(CONFIG, None).expect("a valid configuration").config);
        let mut state = State::new(config, vec![PortState::new(ME)], UNIX_EPOCH).expect("a usable configuration");
        let rings = ControlRings::new();
        let counters = Arc::new(WorkerCounters::default());
        let (sender, _events) = events();
        let mut rt = Rt::new(vec![rings.clone()], vec![Arc::clone(&counters)], Arc::new(MemoryPool), [7; 16], sender);
        rt.configure(START, duties(&state)).expect("targets that can be probed");
        let (publisher, _readers) = publish::channel(reconcile(&mut state), 1);
        let control = Control::new(state, publisher, vec![counters], Arc::new(NoDevices));
        let mut machine = Self { now: START, control, rt, rings };
        machine.run(LONG);
        machine
    }

    /// Lets time pass; what is said of addresses meanwhile.
    fn run(&mut self, time: Duration) -> Vec<IpAddr> {
        let end = self.now + time;
        let mut said = Vec::new();
        while self.now < end {
            self.now = self.now + STEP;
            self.control.step(self.now);
            if self.control.take_duties_stale() {
                let duties = duties(self.control.state());
                self.rt.configure(self.now, duties).expect("targets that can be probed");
            }
            self.rt.step(self.now);
            while let Some(injection) = self.rings.inject.pop() {
                if let Inject::Frame { packet, .. } = injection {
                    said.extend(told(packet.frame()));
                }
            }
        }
        said
    }

    /// Which of these addresses are answered for.
    fn answered<'a>(&mut self, addresses: &[&'a str]) -> Vec<&'a str> {
        let answers = |machine: &mut Self, address: &str| {
            let packet = MemoryPacket::new(&question(address));
            let punt = Punt { packet, link: LINK, received: machine.now };
            machine.rings.punts.ring(PuntClass::Neighbor).push(punt).expect("room in the ring");
            machine.run(STEP) == [ip(address)]
        };
        addresses.iter().copied().filter(|address| answers(self, address)).collect()
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// The address that a frame claims, if it is one that claims any.
fn told(frame: &[u8]) -> Option<IpAddr> {
    match wire::parse(frame) {
        Ok(Message::Arp(arp)) if arp.operation == Operation::Reply || arp.sender == arp.target => {
            assert_eq!(arp.sender_mac, ME);
            Some(IpAddr::V4(arp.sender))
        }
        Ok(Message::Advert(advert)) => Some(IpAddr::V6(advert.target)),
        _ => None,
    }
}

/// Who has this address?
fn question(address: &str) -> Vec<u8> {
    let mut buffer = [0; MAX_MESSAGE];
    match ip(address) {
        IpAddr::V4(target) => {
            let sender = "10.0.0.9".parse().expect("an address");
            let arp = Arp { operation: Operation::Request, sender_mac: HOST, sender, target_mac: [0; 6], target };
            wire::write_arp(&mut buffer, wire::BROADCAST, &arp).to_vec()
        }
        IpAddr::V6(target) => {
            let (source, group) = ("fd00::9".parse().expect("an address"), wire::solicited_node(target));
            wire::write_solicit(&mut buffer, HOST, source, (wire::group_mac(group), group), target).to_vec()
        }
    }
}

fn drain(machine: &mut Machine) {
    let now = machine.now;
    machine.control.drain(Ask::default(), now).expect("times that can be");
}

#[test]
fn vips_are_not_answered_for_while_it_drains_and_own_addresses_are() {
    let mut machine = Machine::new();
    assert_eq!((machine.answered(&VIPS), machine.answered(&OWN)), (VIPS.to_vec(), OWN.to_vec()), "before");
    drain(&mut machine);
    assert!(machine.run(LONG).is_empty(), "nothing is announced");
    assert_eq!((machine.answered(&VIPS), machine.answered(&OWN)), (vec![], OWN.to_vec()), "while it drains");
    // Other times for the same drain.
    drain(&mut machine);
    assert_eq!((machine.answered(&VIPS), machine.answered(&OWN)), (vec![], OWN.to_vec()), "asked for again");
    assert!(machine.control.cancel_drain());
    let announced: BTreeSet<IpAddr> = machine.run(LONG).into_iter().collect();
    assert_eq!(announced, [ip("10.0.0.100"), ip("fd00::100")].into(), "whoever forgot is told again");
    assert_eq!((machine.answered(&VIPS), machine.answered(&OWN)), (VIPS.to_vec(), OWN.to_vec()), "after");
}

#[test]
fn announcements_that_are_due_are_not_made_once_it_drains() {
    let mut machine = Machine::new();
    drain(&mut machine);
    machine.run(STEP);
    machine.control.cancel_drain();
    assert!(!machine.run(STEP * 2).is_empty(), "the first of several");
    drain(&mut machine);
    machine.run(STEP);
    assert!(machine.run(LONG).is_empty(), "the others");
}
