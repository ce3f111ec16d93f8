//! Beginnings of flows, for the connection log.
//!
//! The first packet of a TCP flow is a SYN without ACK; of a QUIC connection an Initial, of which a client may send several.
//! Of other datagrams nobody knows without state which is the first: one of so many is told, whichever it is.

use super::Sampler;
use crate::counters::Counter;
use crate::hash::FlowKey;
use crate::ids::{BackendId, VipId, WorkerId};
use crate::parse::{Kind, Outcome, Parsed, parse};
use crate::port::Packet;
use crate::publish::Generation;
use crate::punt::RateLimit;
use crate::quic;
use crate::select::By;
use crate::snapshot::{PortState, Snapshot};
use crate::time::Nanos;
use crate::vip::{Steering, VipKey};
use crate::wire::{ethernet, ipv4, ipv6, protocol, tcp, udp};
use crossbeam::queue::ArrayQueue;

/// Why a packet is told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// It is a SYN: a TCP flow begins.
    Syn,
    /// It is an Initial: a QUIC connection begins.
    Initial,
    /// It is a datagram, of which the sampling picked it.
    Datagram,
}

/// A packet that begins a flow, and where it goes.
#[derive(Clone, Copy, Debug)]
pub struct Start {
    /// The time of the poll.
    pub at: Nanos,
    /// What it is.
    pub event: Event,
    /// Whom it is between.
    pub flow: FlowKey,
    /// The VIP that took it.
    pub vip: VipId,
    /// Its slot in the pool's table.
    pub slot: u32,
    /// The backend that it goes to.
    pub backend: BackendId,
    /// What decided that.
    pub by: By,
    /// Who decided.
    pub worker: WorkerId,
    /// By which snapshot.
    pub generation: Generation,
}

/// What one worker has to tell.
#[derive(Debug)]
pub struct ConnectionRing {
    ring: ArrayQueue<Start>,
    /// Beginnings that found the ring full. Written by the worker.
    pub lost: Counter,
    /// Beginnings above the rate. Written by the worker.
    pub limited: Counter,
}

impl ConnectionRing {
    /// The one that waits longest.
    #[must_use]
    pub fn pop(&self) -> Option<Start> {
        self.ring.pop()
    }

    pub(super) fn push(&self, start: Start) {
        if self.ring.push(start).is_err() {
            self.lost.add(1);
        }
    }
}

/// Which beginnings are told, and the way to the control side, for all workers.
#[derive(Debug)]
pub struct ConnectionTap {
    /// One TCP flow or QUIC connection of so many.
    pub sample: u32,
    /// One other datagram of so many; 0: none.
    pub datagram_sample: u32,
    /// Beginnings a second and worker.
    pub rate: u32,
    rings: Box<[ConnectionRing]>,
}

/// Beginnings that wait for the control side, a worker.
const DEPTH: usize = 4_096;

impl ConnectionTap {
    /// For `workers` workers.
    #[must_use]
    pub fn new(sample: u32, datagram_sample: u32, rate: u32, workers: usize) -> Self {
        let ring =
            |_| ConnectionRing { ring: ArrayQueue::new(DEPTH), lost: Counter::default(), limited: Counter::default() };
        Self { sample, datagram_sample, rate, rings: (0..workers).map(ring).collect() }
    }

    /// What there is to tell, by worker.
    #[must_use]
    pub fn rings(&self) -> &[ConnectionRing] {
        &self.rings
    }

    pub(super) fn ring(&self, worker: WorkerId) -> Option<&ConnectionRing> {
        self.rings.get(worker.index())
    }
}

/// What a worker keeps from one packet to the next.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    sampler: Sampler,
    rate: u32,
    limit: RateLimit,
}

impl Pace {
    pub(super) fn new(worker: WorkerId) -> Self {
        Self { sampler: Sampler::new(worker.0), rate: 0, limit: RateLimit::new(0) }
    }

    /// What a packet begins that is to be told of: what is cheap to find out is asked first, and takes most packets out.
    pub(super) fn event<P: Packet>(
        &mut self,
        tap: &ConnectionTap,
        ring: &ConnectionRing,
        (snapshot, port, now): (&Snapshot, &PortState, Nanos),
        packet: &P,
    ) -> Option<Event> {
        if self.rate != tap.rate {
            (self.rate, self.limit) = (tap.rate, RateLimit::new(tap.rate));
        }
        let frame = packet.frame();
        let glance = glance(frame, tap.datagram_sample > 0);
        if glance == Glance::Nothing {
            return None;
        }
        // A flood of SYNs ends here: what is not picked, or above the rate, is not even parsed.
        if glance == Glance::Syn {
            if !self.picks(tap, Event::Syn) {
                return None;
            }
            if !self.limit.is_ready(now) {
                ring.limited.add(1);
                return None;
            }
        }
        let Outcome::Packet(parsed) = parse(frame, packet.total_len(), port) else { return None };
        let looks_like = looks_like(&parsed, frame)?;
        // Most are datagrams, and of them few are picked: the lookup is for those.
        if looks_like == Event::Datagram && !self.picks(tap, Event::Datagram) {
            return None;
        }
        let key = VipKey::new(parsed.destination, parsed.protocol, parsed.destination_port);
        let event = match (looks_like, snapshot.vips.lookup(key)?.steering) {
            (Event::Syn, _) => Event::Syn,
            (Event::Initial, Steering::Quic) => Event::Initial,
            (Event::Datagram, Steering::Quic) => return None,
            (Event::Initial | Event::Datagram, _) => Event::Datagram,
        };
        let is_picked = glance == Glance::Syn || looks_like == Event::Datagram;
        if !is_picked && !self.picks(tap, event) {
            return None;
        }
        if !self.limit.allow(now) {
            ring.limited.add(1);
            return None;
        }
        Some(event)
    }

    fn picks(&mut self, tap: &ConnectionTap, event: Event) -> bool {
        match event {
            Event::Syn | Event::Initial => self.sampler.one_in(tap.sample),
            Event::Datagram => tap.datagram_sample > 0 && self.sampler.one_in(tap.datagram_sample),
        }
    }
}

/// What a packet begins, by its own bytes.
fn looks_like(parsed: &Parsed, frame: &[u8]) -> Option<Event> {
    if parsed.kind != Kind::Whole || parsed.destination_port == 0 {
        return None;
    }
    match parsed.protocol {
        protocol::TCP => is_start(parsed.flags).then_some(Event::Syn),
        protocol::UDP => {
            let datagram = frame.get(usize::from(parsed.transport_offset) + udp::HEADER_LEN..)?;
            let initial = quic::parse(datagram).is_some_and(|header| header.is_start());
            Some(if initial { Event::Initial } else { Event::Datagram })
        }
        _ => None,
    }
}

const fn is_start(flags: u8) -> bool {
    flags & (tcp::SYN | tcp::ACK | tcp::RST | tcp::FIN) == tcp::SYN
}

/// What a frame of the usual form is at a glance.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Glance {
    /// It begins nothing.
    Nothing,
    /// A SYN, if nothing is wrong with it.
    Syn,
    /// Parsing tells.
    Unknown,
}

/// Looks at a frame in a few reads, for every packet passes here.
#[inline]
fn glance(frame: &[u8], datagrams: bool) -> Glance {
    const V4: usize = ethernet::HEADER_LEN + ipv4::HEADER_LEN;
    const V6: usize = ethernet::HEADER_LEN + ipv6::HEADER_LEN;
    let Some(&[high, low, first, ..]) = frame.get(ethernet::ADDRESSES_LEN..) else { return Glance::Nothing };
    let (number, transport) = match u16::from_be_bytes([high, low]) {
        ethernet::TYPE_IPV4 if first == 0x45 => (frame.get(ethernet::HEADER_LEN + 9), V4),
        ethernet::TYPE_IPV6 => (frame.get(ethernet::HEADER_LEN + 6), V6),
        _ => return Glance::Unknown,
    };
    match number {
        Some(&protocol::TCP) if frame.get(transport + 13).is_some_and(|flags| is_start(*flags)) => Glance::Syn,
        Some(&protocol::TCP) => Glance::Nothing,
        // The first bit of a QUIC packet is set while its connection begins.
        Some(&protocol::UDP) if datagrams => Glance::Unknown,
        Some(&protocol::UDP) if frame.get(transport + udp::HEADER_LEN).is_some_and(|first| first & 0x80 != 0) => {
            Glance::Unknown
        }
        Some(&protocol::UDP) => Glance::Nothing,
        _ => Glance::Unknown,
    }
}
