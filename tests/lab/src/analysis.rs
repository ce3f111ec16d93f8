//! What a capture on the segment says about the balancer.

use crate::address::{BALANCER_MAC, BALANCER_V4, BALANCER_V6, Mac, OUTSIDE_V4, OUTSIDE_V6};
use crate::backend::Backend;
use crate::packet::{Flow, Packet};
use crate::topology::Lab;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

/// A backend as a capture shows it.
#[derive(Clone, Debug)]
struct Target {
    name: String,
    mac: Mac,
    addresses: [IpAddr; 2],
}

impl From<&Backend> for Target {
    fn from(backend: &Backend) -> Self {
        Self {
            name: backend.name().to_owned(),
            mac: backend.mac(),
            addresses: [backend.v4().into(), backend.v6().into()],
        }
    }
}

/// A flow that was seen at one backend and later at another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move {
    /// The flow.
    pub flow: Flow,
    /// Where it was.
    pub from: String,
    /// Where it went.
    pub to: String,
    /// When.
    pub at: SystemTime,
    /// Whether the packet that moved was a SYN sent again: that breaks nothing.
    pub start: bool,
}

/// The packets of a capture, seen from the balancer.
#[derive(Clone, Debug)]
pub struct Analysis {
    packets: Vec<Packet>,
    targets: Vec<Target>,
    own: [IpAddr; 4],
    balancer: Mac,
}

impl Analysis {
    /// Of the packets captured in a lab at a port of the bridge: `gw` shows all that the balancer sends, a backend's
    /// port what it sends to that backend, and the backend's answers.
    pub fn new(lab: &Lab, packets: Vec<Packet>) -> Self {
        Self {
            packets,
            targets: lab.backends().iter().map(Target::from).collect(),
            own: [BALANCER_V4.into(), BALANCER_V6.into(), OUTSIDE_V4.into(), OUTSIDE_V6.into()],
            balancer: BALANCER_MAC,
        }
    }

    /// All packets, in their order.
    pub fn packets(&self) -> &[Packet] {
        &self.packets
    }

    /// Clients' packets that the balancer sent to a backend: (backend, packet). Neither probes nor anything else
    /// that it says in its own name.
    pub fn sent(&self) -> impl Iterator<Item = (&str, &Packet)> {
        self.packets.iter().filter(|packet| self.is_forwarded(packet)).filter_map(|packet| {
            let target = self.target(packet)?;
            Some((target.name.as_str(), packet))
        })
    }

    /// Clients' packets that the balancer sent to `backend`.
    pub fn sent_to<'a>(&'a self, backend: &'a str) -> impl Iterator<Item = &'a Packet> {
        self.sent().filter(move |(name, _)| *name == backend).map(|(_, packet)| packet)
    }

    /// Packets that the balancer sent to `backend` in its own name: health probes, mostly.
    pub fn probes_to<'a>(&'a self, backend: &'a str) -> impl Iterator<Item = &'a Packet> {
        self.packets.iter().filter(move |packet| {
            packet.source_mac == self.balancer
                && self.own.contains(&packet.flow.source.ip())
                && self.target(packet).is_some_and(|target| target.name == backend)
        })
    }

    /// How long after `moment` the last of the clients' packets went to `backend`; `None` if none went.
    pub fn last_sent_after(&self, backend: &str, moment: SystemTime) -> Option<Duration> {
        self.sent_to(backend).filter_map(|packet| packet.time.duration_since(moment).ok()).max()
    }

    /// When `backend` last accepted a connection: its last SYN-ACK before `end`. Needs a capture at the backend's port.
    ///
    /// A killed server is alive until its process had the time to end, which takes a while on a busy machine. From then
    /// on its kernel refuses. The last SYN-ACK is a moment at which it lived for certain, so a time that counts
    /// from there is never too short.
    pub fn last_accepted(&self, backend: &str, end: SystemTime) -> Option<SystemTime> {
        let mac = self.targets.iter().find(|target| target.name == backend)?.mac;
        let accepts = |packet: &&Packet| packet.tcp.is_some_and(|tcp| tcp.syn && tcp.ack);
        let own = self.packets.iter().filter(|packet| packet.source_mac == mac && packet.time < end);
        own.filter(accepts).map(|packet| packet.time).max()
    }

    /// Clients' packets by backend.
    pub fn packets_by_backend(&self) -> BTreeMap<String, usize> {
        count(self.sent().map(|(name, _)| name))
    }

    /// Connections (different SYNs) by backend.
    pub fn starts_by_backend(&self) -> BTreeMap<String, usize> {
        let starts: BTreeSet<(&str, Flow, u32)> =
            self.sent().filter_map(|(name, packet)| Some((name, packet.flow, start_sequence(packet)?))).collect();
        count(starts.into_iter().map(|(name, ..)| name))
    }

    /// Flows seen at two backends. A SYN with a sequence number of its own begins a new flow, even between the
    /// same ports.
    pub fn moves(&self) -> Vec<Move> {
        let mut homes: HashMap<Flow, (Option<u32>, &str)> = HashMap::new();
        let mut moves = Vec::new();
        for (name, packet) in self.sent() {
            let start = start_sequence(packet);
            let home = homes.entry(packet.flow).or_insert((start, name));
            if start.is_some() && start != home.0 {
                *home = (start, name);
            } else if home.1 != name {
                let from = home.1.to_owned();
                let (flow, at) = (packet.flow, packet.time);
                moves.push(Move { flow, from, to: name.to_owned(), at, start: start.is_some() });
                home.1 = name;
            }
        }
        moves
    }

    /// Connections whose SYN went to `dead` without success and reached another backend when it was sent again.
    pub fn rescued_starts(&self, dead: &str) -> usize {
        self.moves().iter().filter(|step| step.start && step.from == dead).count()
    }

    fn is_forwarded(&self, packet: &Packet) -> bool {
        packet.source_mac == self.balancer && !self.own.contains(&packet.flow.source.ip())
    }

    /// The backend that a packet is for: by the outer destination of a tunnel packet, else by the frame's.
    fn target(&self, packet: &Packet) -> Option<&Target> {
        self.targets.iter().find(|target| match packet.outer {
            Some((_, destination)) => target.addresses.contains(&destination),
            None => target.mac == packet.destination_mac,
        })
    }
}

fn start_sequence(packet: &Packet) -> Option<u32> {
    packet.tcp.filter(super::packet::Tcp::is_start).map(|tcp| tcp.sequence)
}

fn count<'a>(names: impl Iterator<Item = &'a str>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for name in names {
        *counts.entry(name.to_owned()).or_default() += 1;
    }
    counts
}
