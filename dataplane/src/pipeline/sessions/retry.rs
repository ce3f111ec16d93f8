//! Connections that their backend does not answer, or refuses, are tried with others: the client waits a little longer, and
//! learns of nothing. Once a backend's answer went to the client, it is the one.

use super::{Arrival, NotPassed, SessionStage, both, hop_to, limit_segments};
use crate::counters::WorkerCounters;
use crate::drop_reason::DropReason;
use crate::ids::BackendId;
use crate::nat::{self, Nat};
use crate::parse::{Family, Kind, Parsed};
use crate::port::Packet;
use crate::segment::{Draft, Segment, Sent};
use crate::session::{Attempt, SessionId, Tuple};
use crate::snapshot::Pool;
use crate::wire::icmp::{self, IcmpHeader};
use crate::wire::protocol;
use crate::wire::tcp::{ACK, RST, SYN, TcpHeader};
use std::time::Duration;
use zerocopy::FromBytes;

/// Slots that are looked at for a backend that was not tried yet: with half of the weight tried, one search in 2^32 finds none.
const SEARCH: u32 = 32;

/// Resets a second at most to backends that answer late.
pub(super) const LATE_RATE: u32 = 1_000;

/// How often the SYN of a client whom the SYN proxy answered is sent again to the last backend, since the client will not: after
/// 1, 2 and 4 s.
const REPEATS: u8 = 3;
const REPEAT_AFTER: Duration = Duration::from_secs(1);

impl<P: Packet> SessionStage<P> {
    /// Remembers a client's SYN, if its pool tries others.
    pub(super) fn attempt(&mut self, id: SessionId, packet: &mut P, parsed: &Parsed, nat: &Nat, arrival: Arrival<'_>) {
        if nat.retry.times == 0 || parsed.protocol != protocol::TCP || parsed.kind != Kind::Whole {
            return;
        }
        let mut parsed = *parsed;
        let segment = Segment::new(packet, &mut parsed);
        // One with data (RFC 7413) is not sent without it: what its backend says is what the client gets.
        if let Some(syn) = segment.filter(|segment| segment.payload_len() == 0) {
            self.open_attempt(id, &syn, nat.retry.after, arrival);
        }
    }

    pub(super) fn open_attempt(&mut self, id: SessionId, syn: &Segment<'_, P>, wait: Duration, arrival: Arrival<'_>) {
        // Without room the connection has one try.
        let number = self.attempts.open(id, syn, wait, arrival.now);
        if let Some(session) = self.sessions.get_mut(id) {
            session.set_attempt(number);
        }
    }

    /// Nobody else is tried.
    pub(super) fn close_attempt(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        if let Some(number) = session.attempt() {
            session.set_attempt(None);
            self.attempts.close(number);
        }
    }

    /// What comes from the backend of a session that no backend has answered yet: an answer, or a refusal, which the client does
    /// not get if another backend is asked.
    pub(super) fn hear_attempt(
        &mut self,
        id: SessionId,
        (number, packet): (usize, &mut P),
        parsed: &Parsed,
        (arrival, counters): (Arrival<'_>, &WorkerCounters),
    ) -> Result<(), NotPassed> {
        let Some(session) = self.sessions.get(id) else { return Ok(()) };
        let (Some(place), is_spliced) = (session.attempt(), session.tcp.is_spliced()) else { return Ok(()) };
        let first = self.attempts.get(place).and_then(|attempt| attempt.syn.sequence());
        let Some(first) = first.map(|first| first.wrapping_sub(session.proxy.len.into())) else { return Ok(()) };
        let frame = packet.frame();
        let is_refused = match parsed.kind {
            Kind::IcmpError => is_unreachable(frame, parsed) && nat::quoted_sequence(frame, parsed) == Some(first),
            Kind::Whole => {
                let bytes = frame.get(usize::from(parsed.transport_offset)..).unwrap_or(&[]);
                let Ok((header, _)) = TcpHeader::ref_from_prefix(bytes) else { return Ok(()) };
                let is_of_it = header.acknowledgement.get() == first.wrapping_add(1);
                if header.flags & (SYN | ACK | RST) == SYN | ACK {
                    return self.answered(id, is_of_it, (number, packet), parsed, (arrival, counters));
                }
                header.flags & (RST | ACK) == RST | ACK && is_of_it
            }
            _ => false,
        };
        if !is_refused {
            return if is_spliced { Err(DropReason::SynProxyJoining.into()) } else { Ok(()) };
        }
        if self.try_another(id, (number, true), (arrival, counters)) {
            return Err(DropReason::ConnectRetried.into());
        }
        if is_spliced {
            self.give_up(id, number, (arrival, counters));
            return Err(DropReason::ConnectRetried.into());
        }
        self.close_attempt(id);
        Ok(())
    }

    fn answered(
        &mut self,
        id: SessionId,
        is_of_it: bool,
        (number, packet): (usize, &mut P),
        parsed: &Parsed,
        (arrival, counters): (Arrival<'_>, &WorkerCounters),
    ) -> Result<(), NotPassed> {
        let is_spliced = self.sessions.get(id).is_some_and(|session| session.tcp.is_spliced());
        if !is_spliced {
            self.close_attempt(id);
            return Ok(());
        }
        if is_of_it {
            self.join(id, (number, packet), parsed, (arrival, counters));
        }
        Err(DropReason::SynProxyJoining.into())
    }

    /// Connections whose backend was silent for too long.
    pub(super) fn tick_attempts(&mut self, arrival: Arrival<'_>, counters: &WorkerCounters, mut looks: u32) {
        while let Some((place, id)) = self.attempts.next_due(arrival.now, &mut looks) {
            if self.try_another(id, (0, false), (arrival, counters)) {
                continue;
            }
            let is_spliced = self.sessions.get(id).is_some_and(|session| session.tcp.is_spliced());
            if !is_spliced {
                // The client itself sends its SYN again. If that is refused, who was silent may be asked once more.
                counters.sessions.unanswered.add(1);
                continue;
            }
            let Some(attempt) = self.attempts.get(place).filter(|attempt| attempt.repeated < REPEATS) else {
                self.give_up(id, 0, (arrival, counters));
                continue;
            };
            let wait = REPEAT_AFTER * (1 << attempt.repeated);
            attempt.repeated += 1;
            self.attempts.wait(place, wait, arrival.now);
            self.send_syn(id, 0, (arrival, counters));
        }
    }

    /// Gives a connection, whose backend `is_refused` or silent, to another one, and sends the SYN there.
    fn try_another(
        &mut self,
        id: SessionId,
        (number, is_refused): (usize, bool),
        (arrival, counters): (Arrival<'_>, &WorkerCounters),
    ) -> bool {
        self.rebound(id, is_refused, (arrival, counters)).is_some_and(|silent| {
            counters.sessions.retried.add(1);
            // What is not told of now is found out by its probes.
            let _ = self.punts.silent().push(silent);
            self.send_syn(id, number, (arrival, counters));
            true
        })
    }

    /// The backend that a connection left for another one.
    fn rebound(
        &mut self,
        id: SessionId,
        is_refused: bool,
        (arrival, counters): (Arrival<'_>, &WorkerCounters),
    ) -> Option<BackendId> {
        let session = *self.sessions.get(id)?;
        let place = session.attempt()?;
        let pool = arrival.snapshot.pool(session.pool)?;
        let attempt = self.attempts.get(place)?;
        let most = usize::from(pool.nats.get(usize::from(session.index))?.retry.times);
        // A client whom the SYN proxy answered does not send its SYN again, so who was silent is asked again for it.
        let may_return = is_refused || session.tcp.is_spliced();
        let index = next(pool, arrival, attempt, (session.backend, may_return), most)?;
        let (backend, nat) = both(pool, usize::from(index))?;
        attempt.leave(session.backend, is_refused);
        attempt.go_to(backend.id);
        let outside = self.sessions.outside(id)?;
        let (inside, _) = self.inside_of(&outside, (backend, nat), None, arrival).ok()?;
        let old = self.sessions.rebind(id, &inside).ok()?;
        if inside.source != outside.source {
            self.ports.free(old, arrival.now, arrival.now);
        }
        self.count(session.backend, -1, counters);
        self.count(backend.id, 1, counters);
        let moved = self.sessions.get_mut(id)?;
        (moved.index, moved.backend) = (index, backend.id);
        self.attempts.wait(place, nat.retry.after, arrival.now);
        Some(session.backend)
    }

    /// Sends the SYN of a connection to its backend.
    pub(super) fn send_syn(
        &mut self,
        id: SessionId,
        number: usize,
        (arrival, counters): (Arrival<'_>, &WorkerCounters),
    ) {
        let place = self.sessions.get(id).and_then(|session| session.attempt());
        let attempt = place.and_then(|place| self.attempts.get(place));
        let syn = attempt.and_then(|attempt| attempt.syn.packet(&*self.pool));
        if let Some(syn) = syn {
            // What cannot leave now is silent as a backend is that does not answer.
            let _ = self.send_for_client(id, (number, syn), (arrival, counters));
        }
    }

    /// Sends a segment to a session's backend, as its client would.
    pub(super) fn send_for_client(
        &mut self,
        id: SessionId,
        (number, Sent { mut packet, mut parsed }): (usize, Sent<P>),
        (arrival, counters): (Arrival<'_>, &WorkerCounters),
    ) -> Result<(), NotPassed> {
        let session = self.sessions.get_mut(id).ok_or(DropReason::SessionNone)?;
        let pool = arrival.snapshot.pool(session.pool).ok_or(DropReason::SessionBackend)?;
        let (backend, nat) = super::place_of(session, pool).ok_or(DropReason::SessionBackend)?;
        let is_syn = parsed.flags & SYN != 0;
        let (is_new, back) = (session.proxy.len == 0 && is_syn, session.last_hop);
        let hop = backend.hops.of_flow(arrival.snapshot.hasher.hash(&parsed.key));
        let hop = hop.ok_or(DropReason::UnresolvedNeighbor)?;
        if is_syn {
            let tuple = Tuple::of(&parsed);
            let back = hop_to(back, arrival.snapshot);
            limit_segments(&mut packet, &mut parsed, (&tuple, nat), [back.as_ref(), Some(hop)]);
        }
        let by = (arrival, counters);
        self.apply_proxy(id, (nat.proxy, is_new), (number, &mut packet), &mut parsed, hop, by)?;
        let inside = self.sessions.inside(id).ok_or(DropReason::SessionNone)?;
        self.send_beside((number, packet), &parsed, &inside, hop)
    }

    /// Tells a backend whose answer comes late that nobody waits for it, but not in a flood: `parsed` is of no session.
    pub(super) fn refuse_late(
        &mut self,
        (number, packet): (usize, &P),
        parsed: &Parsed,
        arrival: Arrival<'_>,
    ) -> Option<DropReason> {
        if !self.is_late(parsed, arrival) || !self.late.allow(arrival.now) {
            return None;
        }
        let bytes = packet.frame().get(usize::from(parsed.transport_offset)..)?;
        let (header, _) = TcpHeader::ref_from_prefix(bytes).ok()?;
        let tuple = Tuple::of(parsed).reversed();
        let sequence = header.acknowledgement.get();
        let reset = Draft { tuple, sequence, acknowledgement: 0, flags: RST, window: 0, options: &[] };
        let back = super::last_hop(packet.frame(), arrival)?;
        self.send_ready((number, reset.packet(&*self.pool)?), back, arrival);
        Some(DropReason::ConnectLate)
    }

    /// Whether a packet of no session answers a SYN that went to a backend too slow for it.
    pub(super) fn is_late(&self, parsed: &Parsed, arrival: Arrival<'_>) -> bool {
        let is_answer = parsed.protocol == protocol::TCP
            && parsed.kind == Kind::Whole
            && parsed.flags & (SYN | ACK | RST) == SYN | ACK;
        // An answer to a probe looks the same, but for its port.
        let is_probes =
            arrival.snapshot.is_own(parsed.destination) && arrival.snapshot.is_probe_port(parsed.destination_port);
        is_answer && !is_probes
    }
}

/// The place of the backend that is tried next: one that new flows may go to, which was not tried yet, if less than `most` were. Where
/// it `may_return` also one that was silent: that may have been a lost packet.
fn next(
    pool: &Pool,
    arrival: Arrival<'_>,
    attempt: &Attempt,
    (current, may_return): (BackendId, bool),
    most: usize,
) -> Option<u16> {
    let slots = pool.slots(arrival.worker);
    let hash = arrival.snapshot.hasher.hash(&attempt.syn.parsed().key);
    let find = |is_it: &dyn Fn(BackendId) -> bool| {
        let places = (1..=SEARCH).filter_map(|turn| slots.get(hash.turned(turn).slot(slots.len() as u32) as usize));
        let mut indices = places.filter_map(|slot| u16::try_from(slot.index()).ok());
        indices.find(|index| {
            let backend = pool.backends.get(usize::from(*index));
            backend.is_some_and(|backend| backend.id != current && is_it(backend.id))
        })
    };
    let tried = |id: BackendId| attempt.tried.iter().find(move |tried| tried.backend == id);
    let untried = if attempt.tried.len() < most { find(&|id| tried(id).is_none()) } else { None };
    let silent = || find(&|id| tried(id).is_some_and(|tried| !tried.is_hopeless()));
    untried.or_else(|| if may_return { silent() } else { None })
}

/// Whether an ICMP error says that the backend does not get anything.
fn is_unreachable(frame: &[u8], parsed: &Parsed) -> bool {
    let bytes = frame.get(usize::from(parsed.transport_offset)..).unwrap_or(&[]);
    IcmpHeader::ref_from_prefix(bytes).is_ok_and(|(header, _)| match parsed.family {
        Family::V4 => header.message == icmp::V4_UNREACHABLE && header.code != icmp::V4_FRAGMENTATION_NEEDED,
        Family::V6 => header.message == icmp::V6_UNREACHABLE,
    })
}
