//! Packets of sessions: those of pools that rewrite addresses, in both directions.
//!
//! The slow path calls this for one packet after the other, in their order: the second packet of a flow finds the session that
//! the first one began.

use super::Arrival;
use crate::counters::WorkerCounters;
use crate::drop_reason::DropReason;
use crate::hash::FlowHasher;
use crate::ids::{BackendId, LinkId, PortId, WorkerId};
use crate::nat::{self, Nat, Settings, owner_of_client, owner_of_port};
use crate::parse::{Kind, Parsed, link_of};
use crate::port::{BURST, Packet, PacketPool};
use crate::proxy::{self, FromClient, Proxying, Sent, Style};
use crate::rewrite::{Applied, Backend, NextHop, Refusal};
use crate::select::Selection;
use crate::session::{EMBRYONIC, Endpoint, Full, LastHop, Ports, Session, SessionId, Sessions, Side, TcpState, Tuple};
use crate::snapshot::{Pool, Snapshot};
use crate::time::Nanos;
use crate::wire::ethernet::EthernetHeader;
use crate::wire::protocol;
use crate::wire::tcp::{self, TcpHeader};
use std::collections::VecDeque;
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
    /// For worker `worker` of `workers`: room for `capacity` sessions, whose clients `sources` may stand for. `hasher` has a secret
    /// of the process for its key.
    pub(crate) fn new(
        (worker, workers): (WorkerId, u16),
        capacity: u32,
        sources: Box<[u128]>,
        hasher: &FlowHasher,
        pool: Arc<dyn PacketPool<Packet = P>>,
    ) -> Self {
        Self {
            sessions: Sessions::new(capacity, sources, hasher.clone()),
            ports: Ports::new((worker, workers), capacity, hasher.clone()),
            // As many as may be embryonic, and those whose header is on its way.
            proxying: Proxying::new(capacity.div_ceil(2)),
            pool,
            beside: VecDeque::with_capacity(MOST_BESIDE),
            owners: hasher.clone(),
            worker,
            workers,
            identification: worker.0,
        }
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
        let style = nat.proxy.filter(|_| ongoing.is_none());
        let before = self.apply_proxy(id, style, packet, &mut parsed, arrival)?;
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

    /// The session that a client's packet belongs to. One that is over ends where a SYN begins another.
    fn ongoing(&mut self, tuple: &Tuple, parsed: &Parsed, counters: &WorkerCounters, now: Nanos) -> Option<SessionId> {
        let (id, side) = self.sessions.find(tuple)?;
        let is_over = self.sessions.get(id).is_some_and(|session| session.tcp.is_over());
        if is_over && begins(parsed) && parsed.protocol == protocol::TCP {
            self.end(id, counters, now);
            return None;
        }
        (side == Side::Client).then_some(id)
    }

    /// Begins a session with the backend of the flow's slot.
    fn begin(
        &mut self,
        outside: &Tuple,
        parsed: &Parsed,
        selection: &Selection<'_>,
        now: Nanos,
        counters: &WorkerCounters,
    ) -> Result<SessionId, DropReason> {
        if !begins(parsed) {
            return Err(DropReason::SessionNone);
        }
        let index = selection.current().ok_or(DropReason::NoBackend)?;
        let place = usize::from(index);
        let (backend, nat) = both(selection.pool(), place).ok_or(DropReason::NoBackend)?;
        let port = if nat.backend.port == 0 { outside.destination.port } else { nat.backend.port };
        let destination = Endpoint { port, ..nat.backend };
        let source = match &nat.sources {
            None => outside.source,
            Some(sources) => {
                let avoid = (outside.protocol, crate::select::PROBE_PORT_BASE + backend.id.0);
                let sessions = &self.sessions;
                let is_used = |tuple: &Tuple| sessions.find(&tuple.reversed()).is_some();
                let drawn = self.ports.draw(sources, destination, avoid, now, is_used);
                drawn.map_err(|_| DropReason::SourcePorts)?
            }
        };
        let inside = Tuple { source, destination, protocol: outside.protocol };
        let session =
            Session { vip: selection.vip, pool: selection.pool_id(), index, backend: backend.id, ..Session::NOTHING };
        let id = self.enter(outside, &inside, session, now, counters)?;
        counters.sessions.created.add(1);
        Ok(id)
    }

    /// Takes a session in. The oldest one that is not established gives way to it, if one must.
    fn enter(
        &mut self,
        outside: &Tuple,
        inside: &Tuple,
        session: Session,
        now: Nanos,
        counters: &WorkerCounters,
    ) -> Result<SessionId, DropReason> {
        let mut entered = self.sessions.insert(outside, inside, session, (true, EMBRYONIC), now);
        if matches!(entered, Err(Full::Table | Full::Embryonic))
            && let Some(oldest) = self.sessions.oldest_embryonic()
        {
            self.end(oldest, counters, now);
            counters.sessions.evicted.add(1);
            entered = self.sessions.insert(outside, inside, session, (true, EMBRYONIC), now);
        }
        let id = entered.map_err(|full| match full {
            Full::Table | Full::Embryonic => DropReason::SessionsFull,
            Full::Taken => DropReason::SessionTaken,
        })?;
        self.count(session.backend, 1, counters);
        Ok(id)
    }

    /// What the PROXY protocol asks of a client's segment; `style` is that of a session that begins. Returns the header that goes
    /// before it.
    fn apply_proxy(
        &mut self,
        id: SessionId,
        style: Option<Style>,
        packet: &mut P,
        parsed: &mut Parsed,
        arrival: Arrival<'_>,
    ) -> Result<Option<Sent<P>>, DropReason> {
        let outside = self.sessions.outside(id).ok_or(DropReason::SessionNone)?;
        let Some(session) = self.sessions.get_mut(id) else { return Ok(None) };
        let has_header = session.proxy.len > 0 || style.is_some();
        if !has_header || parsed.protocol != protocol::TCP || parsed.kind != Kind::Whole {
            return Ok(None);
        }
        if begins(parsed) {
            // Of two connections of the same addresses and ports one is later.
            let (owners, now) = (&self.owners, arrival.now.0);
            let key = parsed.key;
            let unique = || owners.hash(&key).0 ^ u128::from(now);
            let make = || proxy::header(style?, &outside, unique());
            self.proxying.syn((&mut session.proxy, id), packet, parsed, make)?;
            return Ok(None);
        }
        match self.proxying.pass_client(&mut session.proxy, packet, parsed, &*self.pool, arrival.now) {
            FromClient::Pass => Ok(None),
            FromClient::After(sent) => Ok(Some(sent)),
            FromClient::Drop(reason) => Err(reason),
        }
    }

    /// What it asks of a backend's segment, or of an ICMP error about what went there.
    fn answer_proxy(
        &mut self,
        id: SessionId,
        (number, packet): (usize, &mut P),
        parsed: &mut Parsed,
        (arrival, counters): (Arrival<'_>, &WorkerCounters),
        settings: &mut Settings,
    ) -> Result<(), DropReason> {
        let Some(session) = self.sessions.get_mut(id).filter(|session| session.proxy.len > 0) else { return Ok(()) };
        if parsed.kind == Kind::IcmpError {
            let quoted = nat::quoted_sequence(packet.frame(), parsed);
            settings.quoted_sequence = quoted.map(|sequence| session.proxy.quoted(sequence));
            return Ok(());
        }
        if parsed.protocol != protocol::TCP || parsed.kind != Kind::Whole {
            return Ok(());
        }
        let made = self.proxying.pass_backend(&mut session.proxy, packet, parsed, &*self.pool, arrival.now);
        if let Some(sent) = made.header {
            self.send_header(id, (number, sent), arrival.snapshot, counters);
        }
        made.dropped.map_or(Ok(()), Err)
    }

    /// Sends a header of a session, as if its client had.
    fn send_header(
        &mut self,
        id: SessionId,
        (number, Sent { packet, parsed }): (usize, Sent<P>),
        snapshot: &Snapshot,
        counters: &WorkerCounters,
    ) {
        let inside = self.sessions.inside(id);
        let session = self.sessions.get_mut(id);
        let place = session.and_then(|session| place_of(session, snapshot.pool(session.pool)?));
        let hop = place.and_then(|(backend, _)| backend.hops.of_flow(snapshot.hasher.hash(&parsed.key)));
        if let (Some(inside), Some(hop)) = (inside, hop) {
            // What cannot leave now is sent again by the timer.
            let _ = self.send_beside((number, packet), &parsed, &inside, hop, counters);
        }
    }

    fn send_beside(
        &mut self,
        (number, mut packet): (usize, P),
        parsed: &Parsed,
        inside: &Tuple,
        hop: &NextHop,
        counters: &WorkerCounters,
    ) -> Result<(), NotPassed> {
        if self.beside.len() >= MOST_BESIDE {
            return Err(DropReason::NoBuffer.into());
        }
        let Applied { egress, .. } = nat::forward(&mut packet, parsed, inside, &self.settings(), hop)?;
        self.beside.push_back(Beside { number, egress, packet });
        counters.sessions.headers.add(1);
        Ok(())
    }

    /// The next frame that leaves before packet `number` of the burst.
    pub(crate) fn next_beside(&mut self, number: usize) -> Option<(PortId, P)> {
        let is_next = self.beside.front().is_some_and(|beside| beside.number <= number);
        if !is_next {
            return None;
        }
        self.beside.pop_front().map(|Beside { egress, packet, .. }| (egress, packet))
    }

    /// Notes how far a session is, and for how long it may be silent from now on.
    fn follow(&mut self, id: SessionId, side: Side, parsed: &Parsed, frame: &[u8], nat: &Nat, now: Nanos) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        if matches!(parsed.kind, Kind::IcmpError | Kind::LaterFragment) {
            return;
        }
        let (established, timeout) = if parsed.protocol == protocol::TCP {
            session.tcp = session.tcp.after(side, parsed.flags);
            if let Some(acknowledged) = acknowledgement(frame, parsed) {
                session.expected[usize::from(side == Side::Backend)] = acknowledged;
            }
            (session.tcp.is_established() || session.tcp.is_over(), session.tcp.timeout(nat.idle_tcp))
        } else {
            // One datagram is no flow: the second one is, and so is an answer.
            let is_first = session.tcp == TcpState::new() && side == Side::Client;
            session.tcp = TcpState::seen();
            (!is_first, nat.idle_udp)
        };
        if established {
            self.sessions.establish(id, timeout, now);
        }
        self.sessions.touch(id, timeout, now);
    }

    /// Ends a session: its port rests.
    fn end(&mut self, id: SessionId, counters: &WorkerCounters, now: Nanos) {
        let Some((outside, inside, mut session)) = self.sessions.remove(id) else { return };
        self.proxying.close(&mut session.proxy);
        if inside.source != outside.source {
            self.ports.free(&inside, now);
        }
        self.count(session.backend, -1, counters);
    }

    fn count(&self, backend: BackendId, change: i64, counters: &WorkerCounters) {
        counters.sessions.live.set(u64::from(self.sessions.live()));
        if let Some(of_backend) = counters.sessions_of(backend) {
            of_backend.set(of_backend.get().saturating_add_signed(change));
        }
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

/// The header of a datagram, which each has.
fn put_before_datagram<P: Packet>(
    style: Style,
    tuple: &Tuple,
    packet: &mut P,
    parsed: &mut Parsed,
    hop: &NextHop,
) -> Result<(), NotPassed> {
    match parsed.kind {
        Kind::Whole => {}
        Kind::IcmpError => return Ok(()),
        // What a header moves has another place in its datagram than its fragment says.
        _ => return Err(DropReason::ProxySegment.into()),
    }
    // Each datagram stands for itself: what identifies it is the flow.
    let header = proxy::header(style, tuple, tuple.source.address).ok_or(DropReason::ProxySegment)?;
    let longer = parsed.ip_len.saturating_add(header.len() as u16);
    if longer > hop.mtu {
        return Err(Refusal::TooBig { mtu: hop.mtu.saturating_sub(header.len() as u16) }.into());
    }
    let is_put = proxy::put_before_payload(packet, parsed, &header);
    if is_put { Ok(()) } else { Err(DropReason::NoHeadroom.into()) }
}

/// Whether a packet may begin a session.
fn begins(parsed: &Parsed) -> bool {
    let is_first = matches!(parsed.kind, Kind::Whole | Kind::FirstFragment);
    match parsed.protocol {
        protocol::TCP => is_first && parsed.flags & (tcp::SYN | tcp::ACK | tcp::RST | tcp::FIN) == tcp::SYN,
        protocol::UDP => is_first,
        _ => false,
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

/// What the sender of a TCP segment expects next.
fn acknowledgement(frame: &[u8], parsed: &Parsed) -> Option<u32> {
    let bytes = frame.get(usize::from(parsed.transport_offset)..)?;
    let (header, _) = TcpHeader::ref_from_prefix(bytes).ok()?;
    (header.flags & tcp::ACK != 0).then(|| header.acknowledgement.get())
}
