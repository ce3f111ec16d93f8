//! Packets of sessions: those of pools that rewrite addresses, in both directions.
//!
//! The slow path calls this for one packet after the other, in their order: the second packet of a flow finds the session that
//! the first one began.

mod life;
mod proxy;
mod reset;
mod retry;
mod syn_proxy;

use super::Arrival;
use super::slow::leaves;
use crate::counters::WorkerCounters;
use crate::drop_reason::DropReason;
use crate::hash::FlowHasher;
use crate::ids::{LinkId, PortId, WorkerId};
use crate::nat::{self, Nat, Settings, owner_of_client, owner_of_port};
use crate::parse::{Family, Kind, Parsed, link_of};
use crate::port::{BURST, Packet, PacketPool};
use crate::proxy::Proxying;
use crate::punt::{PuntRings, RateLimit};
use crate::rewrite::{Backend, NextHop, Refusal};
use crate::segment::Segment;
use crate::select::{Selection, Verdict};
use crate::session::{
    Attempts, Drawn, Endpoint, LastHop, Looked, Ports, Session, SessionId, SessionRoom, Sessions, Side, Tuple,
};
use crate::snapshot::{Pool, Snapshot};
use crate::syn_proxy::{Cookies, Splices, SynRates};
use crate::time::Nanos;
use crate::wire::ethernet::EthernetHeader;
use crate::wire::protocol;
use crate::wire::tcp::SYN;
use arrayvec::ArrayVec;
use life::begins;
use proxy::put_before_datagram;
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

/// Where a backend's answer belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// To a session here.
    Here,
    /// To another worker, if to anyone.
    At(WorkerId),
}

/// Why a packet does not leave.
#[derive(Clone, Copy, Debug)]
pub(super) enum NotPassed {
    /// As for any other packet.
    Refusal(Refusal),
    /// Another worker has its session.
    Elsewhere(WorkerId),
    /// It is an answer now, which goes back where it came from.
    Answered,
}

impl From<Refusal> for NotPassed {
    fn from(refusal: Refusal) -> Self {
        Self::Refusal(refusal)
    }
}

impl From<DropReason> for NotPassed {
    fn from(reason: DropReason) -> Self {
        Self::Refusal(reason.into())
    }
}

/// A packet, what is known of it, and where it came in.
pub(super) struct Passing<'p, 's, P> {
    /// Its place in the burst.
    pub number: usize,
    pub packet: &'p mut P,
    pub parsed: &'p Parsed,
    pub arrival: Arrival<'s>,
    pub counters: &'p WorkerCounters,
    /// Where it is written that it leaves: a verdict that is returned is written in parts, read as a whole, and waited for.
    pub verdict: &'p mut Verdict,
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

    /// Where a packet that no VIP takes belongs, if it may be a backend's answer.
    #[inline]
    pub(super) fn answer(&self, arrival: Arrival<'_>, (number, parsed): (usize, &Parsed)) -> Option<Answer> {
        let (snapshot, looked) = (arrival.snapshot, self.looked.get(number)?);
        let tuple = looked.tuple;
        if let Some((id, Side::Backend)) = self.sessions.find_looked(looked) {
            if let Some(place) = self.sessions.get(id).and_then(Session::attempt) {
                self.attempts.prefetch(place);
            }
            return Some(Answer::Here);
        }
        if !matches!(tuple.protocol, protocol::TCP | protocol::UDP) || !snapshot.is_nat_backend(tuple.source.address) {
            return None;
        }
        let Endpoint { address, port } = tuple.destination;
        let owner = if snapshot.is_own(address) {
            owner_of_port(port, self.workers)
        } else {
            owner_of_client(&self.owners, address, port, self.workers)
        };
        if owner != self.worker {
            return Some(Answer::At(owner));
        }
        self.is_late(parsed, arrival).then_some(Answer::Here)
    }

    /// Rewrites a packet for a VIP into the one that its backend gets. The backend of a new session is that of its slot, which
    /// `selection` names; it names the session's after.
    pub(super) fn pass_to_backend<'s>(
        &mut self,
        passing: Passing<'_, 's, P>,
        selection: &mut Selection<'s>,
    ) -> Result<(), NotPassed> {
        let Passing { number, packet, parsed, arrival, counters, verdict } = passing;
        let looked = self.looked(number);
        let tuple = looked.tuple;
        let keeps_client = selection.pool().nats.first().is_some_and(|nat| nat.sources.is_none());
        if keeps_client {
            let owner = owner_of_client(&self.owners, tuple.source.address, tuple.source.port, self.workers);
            if owner != self.worker {
                return Err(NotPassed::Elsewhere(owner));
            }
        }
        let (id, is_new) =
            match self.ongoing(&looked, (number, &mut *packet, parsed), selection, (arrival, counters))? {
                Some(id) => (id, false),
                None => (self.begin(&looked, (number, parsed), selection, (arrival, counters))?, true),
            };
        let session = self.sessions.get_mut(id).ok_or(DropReason::SessionNone)?;
        if parsed.kind != Kind::IcmpError
            && let Some(last_hop) = last_hop(packet.frame(), arrival)
        {
            session.last_hop = last_hop;
        }
        let back = session.last_hop;
        let (backend, nat) = place_of(session, selection.pool()).ok_or(DropReason::SessionBackend)?;
        selection.chosen = Some(backend);
        let hop = backend.hops.of_flow(selection.hash).ok_or(DropReason::UnresolvedNeighbor)?;
        if is_new {
            self.attempt(id, packet, parsed, nat, arrival);
        }
        let mut parsed = *parsed;
        let mut settings = self.settings();
        settings.quoted_sequence = self.quoted_of_backend(id, packet, &parsed);
        self.splice_to_backend(id, packet, &mut parsed, (arrival, counters))?;
        self.follow(id, Side::Client, &parsed, packet.frame(), nat, arrival.now);
        if begins(&parsed) {
            limit_segments(packet, &mut parsed, (&tuple, nat), [hop_to(back, arrival.snapshot).as_ref(), Some(hop)]);
        }
        let by = (arrival, counters);
        self.apply_proxy(id, (nat.proxy, is_new), (number, &mut *packet), &mut parsed, hop, by)?;
        let inside = self.sessions.inside(id).ok_or(DropReason::SessionNone)?;
        if let Some(style) = nat.proxy.filter(|_| parsed.protocol == protocol::UDP && (is_new || !nat.first_datagram)) {
            put_before_datagram(style, &tuple, packet, &mut parsed, hop)?;
        }
        let applied = nat::forward(packet, &parsed, &inside, &settings, hop)?;
        for traffic in [counters.vip(selection.vip), counters.backend(backend.id)].into_iter().flatten() {
            traffic.add(packet.total_len());
        }
        *verdict = leaves(applied, backend.id);
        Ok(())
    }

    /// Rewrites a backend's answer in a session into the packet that the client gets.
    pub(super) fn pass_to_client(&mut self, passing: Passing<'_, '_, P>) -> Result<(), NotPassed> {
        let Passing { number, packet, parsed, arrival, counters, verdict } = passing;
        let found = self.looked.get(number).and_then(|looked| self.sessions.find_looked(looked));
        let Some((id, _)) = found else {
            let late = self.refuse_late((number, packet), parsed, arrival);
            return Err(late.unwrap_or(DropReason::SessionNone).into());
        };
        self.hear_attempt(id, (number, &mut *packet), parsed, (arrival, counters))?;
        let session = self.sessions.get_mut(id).ok_or(DropReason::SessionNone)?;
        let Session { last_hop, backend, .. } = *session;
        let place = arrival.snapshot.pool(session.pool).and_then(|pool| place_of(session, pool));
        if let Some((_, nat)) = place {
            self.follow(id, Side::Backend, parsed, packet.frame(), nat, arrival.now);
        }
        let mut parsed = *parsed;
        let mut settings = self.settings();
        self.answer_proxy(id, (number, packet), &mut parsed, (arrival, counters), &mut settings)?;
        self.splice_to_client(id, packet, &mut parsed);
        let outside = self.sessions.outside(id).ok_or(DropReason::SessionNone)?;
        let hop = hop_to(last_hop, arrival.snapshot).ok_or(DropReason::PortDown)?;
        if parsed.flags & SYN != 0
            && let Some((backend, nat)) = place
        {
            let way = backend.hops.of_flow(arrival.snapshot.hasher.hash(&parsed.key));
            limit_segments(packet, &mut parsed, (&outside, nat), [Some(&hop), way]);
        }
        let applied = nat::forward(packet, &parsed, &outside.reversed(), &settings, &hop)?;
        *verdict = leaves(applied, backend);
        Ok(())
    }

    /// What the sequence number of a backend's segment, which an ICMP error quotes, is for the backend.
    fn quoted_of_backend(&self, id: SessionId, packet: &P, parsed: &Parsed) -> Option<u32> {
        if parsed.kind != Kind::IcmpError {
            return None;
        }
        let splice = self.splice(id, self.sessions.get(id)?)?;
        nat::quoted_sequence(packet.frame(), parsed).map(|quoted| quoted.wrapping_sub(splice.sequence))
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
            if self.reset_both(id, arrival) {
                counters.sessions.reset.add(1);
            }
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
