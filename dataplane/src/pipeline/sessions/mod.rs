//! Packets of sessions: those of pools that rewrite addresses, in both directions.
//!
//! The slow path calls this for one packet after the other, in their order: the second packet of a flow finds the session that
//! the first one began.

mod life;
mod proxy;

use super::Arrival;
use crate::counters::WorkerCounters;
use crate::drop_reason::DropReason;
use crate::hash::FlowHasher;
use crate::ids::{BackendId, LinkId, PortId, WorkerId};
use crate::nat::{self, Nat, Settings, owner_of_client, owner_of_port};
use crate::parse::{Kind, Parsed, link_of};
use crate::port::{BURST, Packet, PacketPool};
use crate::proxy::{Proxying, Sent};
use crate::rewrite::{Applied, Backend, NextHop, Refusal};
use crate::select::Selection;
use crate::session::{Endpoint, LastHop, Ports, Session, SessionRoom, Sessions, Side, Tuple};
use crate::snapshot::{Pool, Snapshot};
use crate::time::Nanos;
use crate::wire::ethernet::EthernetHeader;
use crate::wire::protocol;
use life::begins;
use proxy::put_before_datagram;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use zerocopy::FromBytes;

/// Frames beside a burst: one for each packet, and as many of the timer.
const MOST_BESIDE: usize = 2 * BURST;

/// Sessions whose time may be over, and headers that are due, that one poll looks at.
const LOOKS: u32 = 32;

/// What a worker keeps for sessions.
pub(crate) struct SessionStage<P> {
    sessions: Sessions,
    ports: Ports,
    /// Whether a session that is silent makes room for a new one.
    evict_silent: bool,
    proxying: Proxying,
    /// Where buffers for headers come from.
    pool: Arc<dyn PacketPool<Packet = P>>,
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
}

/// A packet that was rewritten.
pub(super) struct Passed {
    pub applied: Applied,
    pub backend: BackendId,
}

impl<P: Packet> SessionStage<P> {
    /// For worker `worker` of `workers`: sessions whose clients `sources` may stand for. `hasher` has a secret of the process for
    /// its key.
    pub(crate) fn new(
        (worker, workers): (WorkerId, u16),
        room: SessionRoom,
        sources: Box<[u128]>,
        hasher: &FlowHasher,
        pool: Arc<dyn PacketPool<Packet = P>>,
    ) -> Self {
        Self {
            ports: Ports::new((worker, workers), if sources.is_empty() { 0 } else { room.rate }, hasher.clone()),
            sessions: Sessions::new(room.capacity, sources, hasher.clone()).with_most_embryonic(room.embryonic),
            evict_silent: room.evict_silent,
            // As many as may be embryonic, and those whose header is on its way.
            proxying: Proxying::new(room.capacity.div_ceil(2)),
            pool,
            beside: VecDeque::with_capacity(MOST_BESIDE),
            owners: hasher.clone(),
            worker,
            workers,
            identification: worker.0,
        }
    }

    /// Asks for the sessions of packets with these tuples, of a burst at most.
    #[inline]
    pub(super) fn prefetch(&self, tuples: impl Iterator<Item = Tuple>) {
        if self.sessions.live() > 0 {
            self.sessions.prefetch(&tuples.take(BURST).collect());
        }
    }

    /// The addresses of the memory of sessions, for wishes about pages.
    pub(crate) fn memory(&self) -> impl Iterator<Item = Range<usize>> {
        self.sessions.memory().into_iter().chain([self.ports.memory()])
    }

    /// Where a packet that no VIP takes belongs, if it may be a backend's answer.
    pub(super) fn answer(&self, snapshot: &Snapshot, parsed: &Parsed) -> Option<Answer> {
        let tuple = Tuple::of(parsed);
        if !matches!(tuple.protocol, protocol::TCP | protocol::UDP) || !snapshot.is_nat_backend(tuple.source.address) {
            return None;
        }
        if let Some((_, Side::Backend)) = self.sessions.find(&tuple) {
            return Some(Answer::Here);
        }
        let Endpoint { address, port } = tuple.destination;
        let owner = if snapshot.is_own(address) {
            owner_of_port(port, self.workers)
        } else {
            owner_of_client(&self.owners, address, port, self.workers)
        };
        (owner != self.worker).then_some(Answer::At(owner))
    }

    /// Rewrites a packet for a VIP into the one that its backend gets. The backend of a new session is that of its slot, which
    /// `selection` names; it names the session's after.
    pub(super) fn pass_to_backend<'s>(
        &mut self,
        passing: Passing<'_, 's, P>,
        selection: &mut Selection<'s>,
    ) -> Result<Passed, NotPassed> {
        let Passing { number, packet, parsed, arrival, counters } = passing;
        let tuple = Tuple::of(parsed);
        let keeps_client = selection.pool().nats.first().is_some_and(|nat| nat.sources.is_none());
        if keeps_client {
            let owner = owner_of_client(&self.owners, tuple.source.address, tuple.source.port, self.workers);
            if owner != self.worker {
                return Err(NotPassed::Elsewhere(owner));
            }
        }
        let ongoing = self.ongoing(&tuple, parsed, counters, arrival.now);
        let id = match ongoing {
            Some(id) => id,
            None => self.begin(&tuple, parsed, selection, arrival.now, counters)?,
        };
        let session = self.sessions.get_mut(id).ok_or(DropReason::SessionNone)?;
        if parsed.kind != Kind::IcmpError
            && let Some(last_hop) = last_hop(packet.frame(), arrival)
        {
            session.last_hop = last_hop;
        }
        let (backend, nat) = place_of(session, selection.pool()).ok_or(DropReason::SessionBackend)?;
        selection.chosen = Some(backend);
        self.follow(id, Side::Client, parsed, packet.frame(), nat, arrival.now);
        let mut parsed = *parsed;
        let before = self.apply_proxy(id, (nat.proxy, ongoing.is_none()), packet, &mut parsed, arrival)?;
        let inside = self.sessions.inside(id).ok_or(DropReason::SessionNone)?;
        let hop = backend.hops.of_flow(selection.hash).ok_or(DropReason::UnresolvedNeighbor)?;
        if let Some(style) = nat.proxy.filter(|_| parsed.protocol == protocol::UDP) {
            put_before_datagram(style, &tuple, packet, &mut parsed, hop)?;
        }
        if let Some(Sent { packet, parsed }) = before {
            self.send_beside((number, packet), &parsed, &inside, hop, counters)?;
        }
        let applied = nat::forward(packet, &parsed, &inside, &self.settings(), hop)?;
        for traffic in [counters.vip(selection.vip), counters.backend(backend.id)].into_iter().flatten() {
            traffic.add(packet.total_len());
        }
        Ok(Passed { applied, backend: backend.id })
    }

    /// Rewrites a backend's answer in a session into the packet that the client gets.
    pub(super) fn pass_to_client(&mut self, passing: Passing<'_, '_, P>) -> Result<Passed, NotPassed> {
        let Passing { number, packet, parsed, arrival, counters } = passing;
        let (id, _) = self.sessions.find(&Tuple::of(parsed)).ok_or(DropReason::SessionNone)?;
        let Session { pool, last_hop, backend, .. } = *self.sessions.get(id).ok_or(DropReason::SessionNone)?;
        let pool = arrival.snapshot.pool(pool);
        let session = self.sessions.get_mut(id).ok_or(DropReason::SessionNone)?;
        if let Some((_, nat)) = pool.and_then(|pool| place_of(session, pool)) {
            self.follow(id, Side::Backend, parsed, packet.frame(), nat, arrival.now);
        }
        let mut parsed = *parsed;
        let mut settings = self.settings();
        self.answer_proxy(id, (number, packet), &mut parsed, (arrival, counters), &mut settings)?;
        let outside = self.sessions.outside(id).ok_or(DropReason::SessionNone)?;
        let hop = hop_to(last_hop, arrival.snapshot).ok_or(DropReason::PortDown)?;
        let applied = nat::forward(packet, &parsed, &outside.reversed(), &settings, &hop)?;
        Ok(Passed { applied, backend })
    }

    /// Ends sessions whose time is over, and sends headers again, a few at a time.
    pub(crate) fn tick(&mut self, snapshot: &Snapshot, now: Nanos, counters: &WorkerCounters) {
        for _ in 0..LOOKS {
            let Some(id) = self.proxying.next_due(now) else { break };
            let sent = self.sessions.get(id).and_then(|session| self.proxying.again(&session.proxy, &*self.pool));
            if let Some(sent) = sent {
                self.send_header(id, (0, sent), snapshot, counters);
            }
        }
        let mut looks = LOOKS;
        while let Some(id) = self.sessions.next_expired(now, &mut looks) {
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

/// The way back to who sent a frame.
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
