//! A world in virtual time: the prober, wires with a delay, and hosts that behave as kernels do.

use crate::wire::{Segment, unreachable};
use guideway_config::model::CheckTimes;
use guideway_control::health::{FIRST_PROBE_PORT, HealthEvent, Prober, Received, Status, Target, Transition};
use guideway_dataplane::ids::BackendId;
use guideway_dataplane::time::Nanos;
use smoltcp::wire::TcpControl;
use std::collections::BTreeMap;
use std::time::Duration;

pub const VIP: &str = "203.0.113.10";
pub const VIP6: &str = "2001:db8::10";
pub const SOURCE: &str = "10.0.0.1";
pub const SOURCE6: &str = "fd00::1";
pub const PORT: u16 = 80;

pub const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

pub const fn us(n: u64) -> Duration {
    Duration::from_micros(n)
}

/// The defaults of DESIGN section 7.
pub const DEFAULTS: CheckTimes =
    CheckTimes { interval: ms(20), fast_interval: ms(10), timeout: ms(20), rise: 2, fall: 3 };

pub fn target(backend: u16) -> Target {
    target_with(backend, DEFAULTS)
}

pub fn target_with(backend: u16, check: CheckTimes) -> Target {
    let (destination, source) = (VIP.parse().unwrap(), SOURCE.parse().unwrap());
    Target { backend: BackendId(backend), destination, port: PORT, source, check, number: 0 }
}

pub fn target_v6(backend: u16) -> Target {
    let (destination, source) = (VIP6.parse().unwrap(), SOURCE6.parse().unwrap());
    Target { destination, source, ..target(backend) }
}

/// How a host treats a SYN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The kernel answers, whether or not a process accepts.
    Listening,
    /// Silence.
    Dead,
    /// A reset.
    Refusing,
    /// A router answers for it.
    Unreachable,
}

/// A backend.
pub struct Host {
    pub mode: Mode,
    /// One way.
    pub delay: Duration,
    /// So many packets to the host are lost next.
    pub lose_to: u32,
    /// So many packets from the host are lost next.
    pub lose_from: u32,
    /// The next sequence number of the half-open connection, if there is one.
    half_open: Option<u32>,
}

impl Host {
    /// What the host sends back. A listening host has one half-open connection for the prober's address and port,
    /// as RFC 9293, section 3.10.7 has it: another SYN is answered with that connection's numbers.
    fn take(&mut self, packet: &[u8]) -> Option<Vec<u8>> {
        let segment = Segment::read(packet);
        let is_syn = segment.control == TcpControl::Syn;
        match (self.mode, is_syn) {
            (Mode::Dead, _) | (Mode::Refusing | Mode::Unreachable, false) => None,
            (Mode::Refusing, true) => Some(segment.refusal().write()),
            (Mode::Unreachable, true) => Some(unreachable(packet)),
            (Mode::Listening, false) => {
                if self.half_open == Some(segment.sequence) {
                    self.half_open = None;
                }
                None
            }
            (Mode::Listening, true) => match self.half_open {
                Some(next) if next != segment.sequence.wrapping_add(1) => {
                    Some(segment.answer(TcpControl::None, 0x0bad_caff, Some(next)).write())
                }
                _ => {
                    self.half_open = Some(segment.sequence.wrapping_add(1));
                    Some(segment.syn_ack().write())
                }
            },
        }
    }
}

/// A packet that the prober sent.
#[derive(Clone, Debug)]
pub struct Sent {
    pub at: Nanos,
    pub backend: u16,
    pub packet: Vec<u8>,
}

enum Arrival {
    AtHost(u16, Vec<u8>),
    AtWorker(Vec<u8>),
}

/// The prober and everything around it.
pub struct World {
    pub prober: Prober,
    pub now: Nanos,
    /// From poll to poll.
    pub step: Duration,
    pub hosts: BTreeMap<u16, Host>,
    pub events: Vec<HealthEvent>,
    pub sent: Vec<Sent>,
    /// What a worker has received and the control thread has not taken yet.
    ring: Vec<(Nanos, Vec<u8>)>,
    wire: BTreeMap<(Nanos, u64), Arrival>,
    serial: u64,
}

impl World {
    /// A world that polls every millisecond, with a host on a wire of 100 µs for each target.
    pub fn new(targets: &[Target]) -> Self {
        let mut world = Self {
            prober: Prober::new([0x5a; 16]),
            now: Nanos(7_777_000_123),
            step: ms(1),
            hosts: BTreeMap::new(),
            events: Vec::new(),
            sent: Vec::new(),
            ring: Vec::new(),
            wire: BTreeMap::new(),
            serial: 0,
        };
        world.prober.set_targets(targets, world.now).unwrap();
        for target in targets {
            world.add_host(target.backend.0);
        }
        world
    }

    pub fn add_host(&mut self, backend: u16) {
        let host = Host { mode: Mode::Listening, delay: us(100), lose_to: 0, lose_from: 0, half_open: None };
        self.hosts.insert(backend, host);
    }

    pub fn host(&mut self, backend: u16) -> &mut Host {
        self.hosts.get_mut(&backend).unwrap()
    }

    /// The host has a half-open connection of an earlier process with the prober's address and port.
    pub fn leave_half_open(&mut self, backend: u16, next: u32) {
        self.host(backend).half_open = Some(next);
    }

    pub fn status(&self, backend: u16) -> Status {
        self.prober.status(BackendId(backend)).unwrap()
    }

    /// Time passes, the control thread stands still: hosts answer, workers receive.
    pub fn stop(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(entry) = self.wire.first_entry().filter(|entry| entry.key().0 <= end) {
            let at = entry.key().0;
            match entry.remove() {
                Arrival::AtWorker(packet) => self.ring.push((at, packet)),
                Arrival::AtHost(backend, packet) => {
                    let Some(host) = self.hosts.get_mut(&backend) else { continue };
                    let (answer, delay) = (host.take(&packet), host.delay);
                    if let Some(answer) = answer {
                        if host.lose_from > 0 {
                            host.lose_from -= 1;
                        } else {
                            self.put(at + delay, Arrival::AtWorker(answer));
                        }
                    }
                }
            }
        }
        self.now = end;
    }

    /// One turn of the control loop: rings first, then the poll, then events.
    pub fn turn(&mut self, stalled_until: Option<Nanos>) {
        for (at, packet) in std::mem::take(&mut self.ring) {
            self.receive(at, &packet);
        }
        let mut out = Vec::new();
        self.prober.poll(self.now, stalled_until, &mut |probe| out.push((probe.backend.0, probe.packet.to_vec())));
        self.send(out);
        self.events.extend(std::iter::from_fn(|| self.prober.next_event()));
    }

    /// Hands a packet to the prober out of nowhere.
    pub fn receive(&mut self, at: Nanos, packet: &[u8]) -> Received {
        let mut out = Vec::new();
        let mut emit = |probe: guideway_control::health::Probe<'_>| out.push((probe.backend.0, probe.packet.to_vec()));
        let received = self.prober.receive(at, packet, &mut emit);
        self.send(out);
        received
    }

    pub fn run(&mut self, duration: Duration) {
        self.run_while(duration, |_| true);
    }

    /// Turns until the time is over or `go_on` says no, asked after each turn.
    pub fn run_while(&mut self, duration: Duration, go_on: impl Fn(&Self) -> bool) {
        let end = self.now + duration;
        while self.now < end {
            self.stop(self.step);
            self.turn(None);
            if !go_on(self) {
                break;
            }
        }
    }

    /// Runs until every target is up, and forgets the events and packets of that.
    pub fn settle(&mut self) {
        self.run(ms(200));
        for backend in self.hosts.keys() {
            assert!(self.events.iter().any(|e| e.backend.0 == *backend && e.transition == Transition::Up));
        }
        self.events.clear();
        self.sent.clear();
    }

    /// The SYNs to a backend so far, newest last.
    pub fn syns(&self, backend: u16) -> Vec<(Nanos, Segment)> {
        let to_backend = self.sent.iter().filter(|sent| sent.backend == backend);
        let segments = to_backend.map(|sent| (sent.at, Segment::read(&sent.packet)));
        segments.filter(|(_, segment)| segment.control == TcpControl::Syn).collect()
    }

    /// Steps until the next SYN to the backend goes out, and returns it.
    pub fn next_syn(&mut self, backend: u16) -> Segment {
        let before = self.syns(backend).len();
        self.run_while(ms(1_000), |world| world.syns(backend).len() == before);
        self.syns(backend).get(before).expect("a SYN within a second").1
    }

    fn send(&mut self, packets: Vec<(u16, Vec<u8>)>) {
        for (backend, packet) in packets {
            assert_eq!(Segment::read(&packet).source_port, FIRST_PROBE_PORT + backend);
            self.sent.push(Sent { at: self.now, backend, packet: packet.clone() });
            let Some(host) = self.hosts.get_mut(&backend) else { continue };
            let arrival = self.now + host.delay;
            if host.lose_to > 0 {
                host.lose_to -= 1;
            } else {
                self.put(arrival, Arrival::AtHost(backend, packet));
            }
        }
    }

    fn put(&mut self, at: Nanos, arrival: Arrival) {
        self.serial += 1;
        self.wire.insert((at, self.serial), arrival);
    }
}
