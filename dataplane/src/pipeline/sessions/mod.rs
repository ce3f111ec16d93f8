//! Packets of sessions: those of pools that rewrite addresses, in both directions.
//!
//! The slow path calls this for one packet after the other, in their order: the second packet of a flow finds the session that
//! the first one began.

mod life;
mod pass;
mod proxy;
mod reset;
mod retry;
mod syn_proxy;

use super::Arrival;
use crate::counters::WorkerCounters;
use crate::hash::FlowHasher;
use crate::ids::{LinkId, PortId, WorkerId};
use crate::nat::{Nat, Settings};
use crate::parse::{Family, Kind, Parsed, link_of};
use crate::port::{BURST, Packet, PacketPool};
use crate::proxy::Proxying;
use crate::punt::{PuntRings, RateLimit};
use crate::rewrite::{Backend, NextHop};
use crate::segment::Segment;
use crate::session::{Attempts, Drawn, LastHop, Looked, Ports, Session, SessionRoom, Sessions, Tuple};
use crate::snapshot::{Pool, Snapshot};
use crate::syn_proxy::{Cookies, Splices, SynRates};
use crate::time::Nanos;
use crate::wire::ethernet::EthernetHeader;
use crate::wire::protocol;
use arrayvec::ArrayVec;
pub(super) use pass::{Answer, NotPassed, Passing};
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use syn_proxy::segment_size;
use zerocopy::FromBytes;

/// Frames beside a burst: two for each packet, and as many of the timer as packets.
const MOST_BESIDE: usize = 3 * BURST;

/// Sessions whose time may be over, and headers that are due, that one poll looks at.
const LOOKS: u32 = 32;

/// What a worker keeps for sessions.
pub(crate) struct SessionStage<P> {
    sessions: Sessions,
    ports: Ports,
    /// Whether a session that is silent makes room for a new one.
    evict_silent: bool,
    proxying: Proxying,
    /// Connections that no backend has answered yet.
    attempts: Attempts,
    /// How many backends may be told that they answer late.
    late: RateLimit,
    /// Where backends that did not answer are told of.
    punts: Arc<PuntRings<P>>,
    cookies: Cookies,
    rates: SynRates,
    splices: Splices,
    /// Where buffers for headers come from.
    pool: Arc<dyn PacketPool<Packet = P>>,
    /// The packets of a burst, by their place, on their way to their sessions.
    looked: Box<[Looked; BURST]>,
    /// Which of them there are.
    places: ArrayVec<usize, BURST>,
    /// Sources for the new sessions of a burst, by the packet's place, that were asked for before they are needed.
    planned: ArrayVec<(usize, Drawn), BURST>,
    /// Frames that leave beside those of a burst, each before the packet of that number.
    beside: VecDeque<Beside<P>>,
    owners: FlowHasher,
    worker: WorkerId,
    workers: u16,
    /// Of the next IPv4 packet that comes of IPv6.
    identification: u16,
}

/// A frame that leaves beside a burst.
struct Beside<P> {
    number: usize,
    egress: PortId,
    packet: P,
}

impl<P: Packet> SessionStage<P> {
    /// For worker `worker` of `workers`: sessions whose clients `sources` may stand for. `secret` is one of the
    /// process, and the same at all workers.
    pub(crate) fn new(
        (worker, workers): (WorkerId, u16),
        room: SessionRoom,
        sources: Box<[u128]>,
        secret: [u8; 16],
        (pool, punts): (Arc<dyn PacketPool<Packet = P>>, Arc<PuntRings<P>>),
    ) -> Self {
        let hasher = FlowHasher::new(secret);
        Self {
            ports: Ports::new((worker, workers), if sources.is_empty() { 0 } else { room.rate }, hasher.clone()),
            sessions: Sessions::new(room.capacity, sources, hasher.clone()).with_most_embryonic(room.embryonic),
            evict_silent: room.evict_silent,
            // As many as may be embryonic, and those whose header is on its way.
            proxying: Proxying::new(room.capacity.div_ceil(2)),
            attempts: Attempts::new(room.embryonic),
            late: RateLimit::new(retry::LATE_RATE),
            punts,
            cookies: Cookies::new(secret),
            rates: SynRates::new(),
            splices: Splices::new(room.capacity),
            pool,
            looked: Box::new([Looked::NOTHING; BURST]),
            places: ArrayVec::new(),
            planned: ArrayVec::new(),
            beside: VecDeque::with_capacity(MOST_BESIDE),
            owners: hasher,
            worker,
            workers,
            identification: worker.0,
        }
    }

    /// Looks for the sessions of the packets of a burst, each with its place.
    #[inline]
    pub(super) fn look_up<'p>(&mut self, packets: impl Iterator<Item = (usize, &'p Parsed)>) {
        let tuples = packets.map(|(place, parsed)| {
            let tuple = Tuple::of(parsed);
            // The same: an IPv4 packet is between IPv4 addresses.
            let key = if parsed.family == Family::V4 { parsed.key } else { tuple.key() };
            (place, tuple, key)
        });
        self.places = self.sessions.look_up(tuples, &mut self.looked);
    }

    /// Asks for the sessions of the packets of a burst, a while after they were looked for.
    #[inline]
    pub(super) fn prefetch(&mut self) {
        self.sessions.prefetch_looked(&self.places, &mut self.looked);
    }

    fn looked(&self, number: usize) -> Looked {
        self.looked.get(number).copied().unwrap_or(Looked::NOTHING)
    }

    /// The addresses of the memory of sessions, for wishes about pages.
    pub(crate) fn memory(&self) -> impl Iterator<Item = Range<usize>> {
        self.sessions.memory().into_iter().chain([self.ports.memory()])
    }

    /// Ends sessions whose time is over, and sends headers again, a few at a time.
    pub(crate) fn tick(&mut self, snapshot: &Snapshot, now: Nanos, counters: &WorkerCounters) {
        let arrival = Arrival { snapshot, worker: self.worker, port: PortId(0), now, first: None };
        self.tick_attempts(arrival, counters, LOOKS);
        for _ in 0..LOOKS {
            let Some(id) = self.proxying.next_due(now) else { break };
            let sent = self.sessions.get(id).and_then(|session| self.proxying.again(&session.proxy, &*self.pool));
            if let Some(sent) = sent {
                self.send_header(id, (0, sent), snapshot, counters);
            }
        }
        let mut looks = LOOKS;
        while let Some(id) = self.sessions.next_expired(now, &mut looks) {
            if let Some(answer) = self.sessions.next_answer() {
                self.ports.prefetch(answer);
            }
            self.tell_both(id, arrival, counters);
            self.end(id, counters, now);
            counters.sessions.expired.add(1);
        }
    }

    fn settings(&mut self) -> Settings {
        self.identification = self.identification.wrapping_add(1);
        Settings { identification: self.identification, ..Settings::default() }
    }
}

/// A backend by its place in its pool, and how its packets are rewritten.
fn both(pool: &Pool, place: usize) -> Option<(&Backend, &Nat)> {
    Some((pool.backends.get(place)?, pool.nats.get(place)?))
}

/// The backend of a session, which may have another place in its pool by now.
fn place_of<'s>(session: &mut Session, pool: &'s Pool) -> Option<(&'s Backend, &'s Nat)> {
    let is_it = |backend: &Backend| backend.id == session.backend;
    if !pool.backends.get(usize::from(session.index)).is_some_and(is_it) {
        session.index = u16::try_from(pool.backends.iter().position(is_it)?).ok()?;
    }
    both(pool, usize::from(session.index))
}

/// Lets a SYN, or the answer to one, ask for no larger segments than both ways carry.
fn limit_segments<P: Packet>(
    packet: &mut P,
    parsed: &mut Parsed,
    (outside, nat): (&Tuple, &Nat),
    ways: [Option<&NextHop>; 2],
) {
    let is_syn = parsed.protocol == protocol::TCP && parsed.kind == Kind::Whole;
    if let [Some(one), Some(other)] = ways
        && is_syn
        && let Some(mut segment) = Segment::new(packet, parsed)
    {
        segment.limit_segment_size(segment_size(outside, nat, [one, other]));
    }
}

/// The way back to who sent a frame.
#[inline]
fn last_hop(frame: &[u8], arrival: Arrival<'_>) -> Option<LastHop> {
    let (header, _) = EthernetHeader::ref_from_prefix(frame).ok()?;
    let state = arrival.snapshot.ports.get(arrival.port.index())?;
    let link: LinkId = link_of(frame, arrival.port, state)?;
    Some(LastHop { mac: header.source, link })
}

fn hop_to(last_hop: LastHop, snapshot: &Snapshot) -> Option<NextHop> {
    let link = snapshot.links.get(last_hop.link.index())?;
    let source = snapshot.ports.get(link.port.index())?.mac;
    Some(NextHop { egress: link.port, source, destination: Some(last_hop.mac), mtu: link.mtu, tags: link.tags })
}
