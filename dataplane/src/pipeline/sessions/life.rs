//! Sessions begin, are followed, and end.

use super::{Arrival, NotPassed, SessionStage, both};
use crate::counters::WorkerCounters;
use crate::drop_reason::DropReason;
use crate::ids::BackendId;
use crate::nat::Nat;
use crate::parse::{Kind, Parsed};
use crate::port::Packet;
use crate::rewrite::Backend;
use crate::select::{PROBE_PORT_BASE, Selection};
use crate::session::{
    Drawn, EMBRYONIC, Endpoint, Full, Looked, Removed, Session, SessionId, Side, TcpState, Tuple, TupleHash, Wanted,
};
use crate::snapshot::Snapshot;
use crate::syn_proxy::SynProxy;
use crate::time::Nanos;
use crate::wire::protocol;
use crate::wire::tcp::{self, TcpHeader};
use std::time::Duration;
use zerocopy::FromBytes;

impl<P: Packet> SessionStage<P> {
    /// The session that a client's packet belongs to. One that is over ends where a SYN begins another.
    ///
    /// # Errors
    ///
    /// What became of the packet, if that was the SYN proxy's to say.
    pub(super) fn ongoing(
        &mut self,
        looked: &Looked,
        (number, packet, parsed): (usize, &mut P, &Parsed),
        selection: &mut Selection<'_>,
        (arrival, counters): (Arrival<'_>, &WorkerCounters),
    ) -> Result<Option<SessionId>, NotPassed> {
        let found = self.sessions.find_looked(looked);
        let over = found.filter(|(id, _)| self.sessions.get(*id).is_some_and(|session| session.tcp.is_over()));
        if let (Some((id, side)), None) = (found, over) {
            return Ok((side == Side::Client).then_some(id));
        }
        if self.is_guarded(selection, parsed, arrival) {
            return Err(self.answer_syn(packet, parsed, selection, arrival, counters));
        }
        if let Some(proof) = self.proof(&looked.tuple, (&mut *packet, parsed), selection, arrival) {
            if let Some((id, _)) = over {
                self.end(id, counters, arrival.now);
            }
            self.admit(looked, proof, (number, packet, parsed), selection, (arrival, counters))?;
            return Err(DropReason::SynProxyJoining.into());
        }
        match over {
            Some((id, _)) if begins(parsed) && parsed.protocol == protocol::TCP => {
                self.end(id, counters, arrival.now);
                Ok(None)
            }
            _ => Ok(over.filter(|(_, side)| *side == Side::Client).map(|(id, _)| id)),
        }
    }

    /// Begins a session with the backend of the flow's slot.
    pub(super) fn begin(
        &mut self,
        looked: &Looked,
        (number, parsed): (usize, &Parsed),
        selection: &Selection<'_>,
        (arrival, counters): (Arrival<'_>, &WorkerCounters),
    ) -> Result<SessionId, DropReason> {
        if !begins(parsed) {
            return Err(DropReason::SessionNone);
        }
        let planned = self.planned.binary_search_by_key(&number, |(of, _)| *of).ok();
        let planned = planned.and_then(|place| self.planned.get(place)).map(|(_, drawn)| *drawn);
        self.assign(looked, selection, (TcpState::new(), planned), (arrival, counters))
    }

    /// Draws sources for the packets of a burst that may begin sessions, and asks for the cache lines that say whether they are
    /// free: of all packets at once, while there is something else to do.
    pub(crate) fn plan<'a>(
        &mut self,
        packets: impl Iterator<Item = (usize, &'a Parsed, &'a Selection<'a>)>,
        arrival: Arrival<'_>,
    ) {
        self.planned.clear();
        for (number, parsed, selection) in packets {
            if !begins(parsed) || self.planned.is_full() {
                continue;
            }
            let place = selection.current().and_then(|index| both(selection.pool(), usize::from(index)));
            let Some((backend, nat)) = place else { continue };
            let to = (parsed.protocol, parsed.destination_port);
            let Some(wanted) = wanted((backend, nat), to, arrival.snapshot) else { continue };
            // What the SYN proxy answers begins nothing yet.
            if nat.syn_proxy == SynProxy::On || self.rates.is_flooded(selection.pool_id(), arrival.now) {
                continue;
            }
            if let Ok(Some(drawn)) = self.ports.guess(&wanted) {
                self.sessions.prefetch_hashed(drawn.answer);
                self.planned.push((number, drawn));
            }
        }
    }

    /// Begins a session whose connection is so far; a source may be planned for it.
    pub(super) fn assign(
        &mut self,
        looked: &Looked,
        selection: &Selection<'_>,
        (tcp, planned): (TcpState, Option<Drawn>),
        (arrival, counters): (Arrival<'_>, &WorkerCounters),
    ) -> Result<SessionId, DropReason> {
        let index = selection.current().ok_or(DropReason::NoBackend)?;
        let (backend, nat) = both(selection.pool(), usize::from(index)).ok_or(DropReason::NoBackend)?;
        let (inside, answer) = self.inside_of(&looked.tuple, (backend, nat), planned, arrival)?;
        let session = Session {
            vip: selection.vip,
            pool: selection.pool_id(),
            index,
            backend: backend.id,
            tcp,
            ..Session::NOTHING
        };
        let id = self.enter((&looked.tuple, &inside), [looked.hash, answer], session, (arrival, counters))?;
        counters.sessions.created.add(1);
        Ok(id)
    }

    /// The tuple of packets to a backend, for a client that is new there, and the hash of that of its answers. A source may be
    /// planned for it.
    pub(super) fn inside_of(
        &mut self,
        outside: &Tuple,
        (backend, nat): (&Backend, &Nat),
        planned: Option<Drawn>,
        arrival: Arrival<'_>,
    ) -> Result<(Tuple, TupleHash), DropReason> {
        let to = (outside.protocol, outside.destination.port);
        let destination = destination_of(nat, outside.destination.port);
        let table = &self.sessions;
        let is_used = |tuple: &Tuple, hash| table.find_hashed(tuple, hash).is_some();
        let Some(wanted) = wanted((backend, nat), to, arrival.snapshot) else {
            let answer = Tuple { source: destination, destination: outside.source, protocol: outside.protocol };
            let hash = answer.hash(&self.owners);
            if is_used(&answer, hash) {
                return Err(DropReason::SessionTaken);
            }
            return Ok((Tuple { destination, ..*outside }, hash));
        };
        let drawn = match planned.filter(|drawn| self.ports.is_free(drawn, &wanted, arrival.now, is_used)) {
            Some(drawn) => drawn,
            None => self.ports.draw(&wanted, arrival.now, is_used).map_err(|_| DropReason::SourcePorts)?,
        };
        Ok((Tuple { source: drawn.source, destination, protocol: outside.protocol }, drawn.answer))
    }

    /// Takes a session in. The oldest one that is not established gives way to it, if one must; where that is configured, one that
    /// is silent does if there is no such: its sides are told.
    fn enter(
        &mut self,
        tuples: (&Tuple, &Tuple),
        hashes: [TupleHash; 2],
        session: Session,
        (arrival, counters): (Arrival<'_>, &WorkerCounters),
    ) -> Result<SessionId, DropReason> {
        let (life, now) = ((true, EMBRYONIC), arrival.now);
        let mut entered = self.sessions.insert_hashed(tuples, hashes, session, life, now);
        if let Err(full @ (Full::Table | Full::Embryonic)) = entered
            && let Some(gives_way) = self.who_gives_way(full, now)
        {
            self.tell_both(gives_way, arrival, counters);
            self.end(gives_way, counters, now);
            counters.sessions.evicted.add(1);
            entered = self.sessions.insert_hashed(tuples, hashes, session, life, now);
        }
        let id = entered.map_err(|full| match full {
            Full::Table | Full::Embryonic => DropReason::SessionsFull,
            Full::Taken => DropReason::SessionTaken,
        })?;
        self.count(session.backend, 1, counters);
        Ok(id)
    }

    fn who_gives_way(&mut self, full: Full, now: Nanos) -> Option<SessionId> {
        if let Some(oldest) = self.sessions.oldest_embryonic() {
            return Some(oldest);
        }
        if full == Full::Table && self.evict_silent { self.sessions.next_silent(now) } else { None }
    }

    /// Notes how far a session is, and for how long it may be silent from now on.
    pub(super) fn follow(&mut self, id: SessionId, side: Side, parsed: &Parsed, frame: &[u8], nat: &Nat, now: Nanos) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        if matches!(parsed.kind, Kind::IcmpError | Kind::LaterFragment) {
            return;
        }
        let (is_established, timeout) = if parsed.protocol == protocol::TCP {
            if let Some(header) = tcp_header(frame, parsed) {
                session.hear(side, header, payload_len(parsed, header));
            }
            (session.tcp.is_established(), session.tcp.timeout(nat.idle_tcp))
        } else {
            // One datagram is no flow: the second one is, and so is an answer.
            let is_first = session.tcp == TcpState::new() && side == Side::Client;
            session.tcp = TcpState::seen();
            (!is_first, nat.idle_udp)
        };
        if side == Side::Backend && !is_established && parsed.flags & tcp::SYN != 0 {
            self.sessions.renew(id, now);
        }
        self.sessions.touch(id, (is_established, timeout), now);
    }

    /// Ends a session: its port rests. That of a connection that is over has rested since its last segment: TIME_WAIT began then.
    pub(super) fn end(&mut self, id: SessionId, counters: &WorkerCounters, now: Nanos) {
        self.close_attempt(id);
        let silence = self.sessions.silence(id, now);
        let Some(Removed { outside, inside, answer, mut session }) = self.sessions.remove(id) else { return };
        self.proxying.close(&mut session.proxy);
        if inside.source != outside.source {
            let rested = if session.tcp.is_over() { silence } else { Duration::ZERO };
            self.ports.free(answer, Nanos(now.0.saturating_sub(rested.as_nanos() as u64)), now);
            if let Some(freed) = counters.ports_freed_of(session.backend) {
                freed.add(1);
            }
        }
        self.count(session.backend, -1, counters);
    }

    pub(super) fn count(&self, backend: BackendId, change: i64, counters: &WorkerCounters) {
        counters.sessions.live.set(u64::from(self.sessions.live()));
        if let Some(of_backend) = counters.sessions_of(backend) {
            of_backend.set(of_backend.get().saturating_add_signed(change));
        }
    }
}

/// What a source is for that stands for the client of a packet of such a protocol to such a port of a VIP; `None`: clients keep
/// their addresses.
fn wanted<'s>(
    (backend, nat): (&'s Backend, &'s Nat),
    (protocol, vip_port): (u8, u16),
    snapshot: &'s Snapshot,
) -> Option<Wanted<'s>> {
    let sources = nat.sources.as_deref()?;
    // Answers come in where packets leave, or if they do not, by a card that is set up alike.
    let port = backend.hops.as_slice().first().and_then(|hop| snapshot.ports.get(hop.egress.index()));
    Some(Wanted {
        sources,
        destination: destination_of(nat, vip_port),
        protocol,
        avoid: PROBE_PORT_BASE + backend.id.0,
        rss: port.and_then(|port| port.rss.as_deref()),
    })
}

/// Where packets to a backend go, of a VIP at this port.
fn destination_of(nat: &Nat, vip_port: u16) -> Endpoint {
    let port = if nat.backend.port == 0 { vip_port } else { nat.backend.port };
    Endpoint { port, ..nat.backend }
}

/// Bytes behind a segment's header.
fn payload_len(parsed: &Parsed, header: &TcpHeader) -> u32 {
    let end = u32::from(parsed.ip_offset) + u32::from(parsed.ip_len);
    end.saturating_sub(u32::from(parsed.transport_offset) + header.header_len() as u32)
}

/// Whether a packet may begin a session.
pub(super) fn begins(parsed: &Parsed) -> bool {
    let is_first = matches!(parsed.kind, Kind::Whole | Kind::FirstFragment);
    match parsed.protocol {
        protocol::TCP => is_first && parsed.flags & (tcp::SYN | tcp::ACK | tcp::RST | tcp::FIN) == tcp::SYN,
        protocol::UDP => is_first,
        _ => false,
    }
}

fn tcp_header<'f>(frame: &'f [u8], parsed: &Parsed) -> Option<&'f TcpHeader> {
    let bytes = frame.get(usize::from(parsed.transport_offset)..)?;
    TcpHeader::ref_from_prefix(bytes).ok().map(|(header, _)| header)
}
