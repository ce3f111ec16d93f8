//! A packet of a session on its way: from client to backend, and back.

use super::life::begins;
use super::proxy::put_before_datagram;
use super::{Arrival, SessionStage, hop_to, last_hop, limit_segments, place_of};
use crate::counters::WorkerCounters;
use crate::drop_reason::DropReason;
use crate::ids::WorkerId;
use crate::nat::{self, owner_of_client, owner_of_port};
use crate::parse::{Kind, Parsed};
use crate::pipeline::slow::leaves;
use crate::port::Packet;
use crate::rewrite::Refusal;
use crate::select::{Selection, Verdict};
use crate::session::{Endpoint, Session, SessionId, Side};
use crate::wire::protocol;
use crate::wire::tcp::{RST, SYN};

/// Where a backend's answer belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::pipeline) enum Answer {
    /// To a session here.
    Here,
    /// To another worker, if to anyone.
    At(WorkerId),
}

/// Why a packet does not leave.
#[derive(Clone, Copy, Debug)]
pub(in crate::pipeline) enum NotPassed {
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
pub(in crate::pipeline) struct Passing<'p, 's, P> {
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
    /// Where a packet that no VIP takes belongs, if it may be a backend's answer.
    #[inline]
    pub(in crate::pipeline) fn answer(
        &self,
        arrival: Arrival<'_>,
        (number, parsed): (usize, &Parsed),
    ) -> Option<Answer> {
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
    /// `selection` names; it names the session's after. A session whose backend is gone ends here, and its client is told.
    pub(in crate::pipeline) fn pass_to_backend<'s>(
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
        let Some((backend, nat)) = place_of(session, selection.pool()) else {
            // A reset is not answered by another (RFC 9293, section 3.5.2).
            if parsed.flags & RST == 0 {
                self.tell_both(id, arrival, counters);
            }
            self.end(id, counters, arrival.now);
            return Err(DropReason::SessionBackend.into());
        };
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
    pub(in crate::pipeline) fn pass_to_client(&mut self, passing: Passing<'_, '_, P>) -> Result<(), NotPassed> {
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
}
