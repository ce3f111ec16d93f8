//! What the PROXY protocol asks of the packets of sessions.

use super::life::begins;
use super::{Beside, MOST_BESIDE, NotPassed, SessionStage, place_of};
use crate::counters::WorkerCounters;
use crate::drop_reason::DropReason;
use crate::ids::PortId;
use crate::nat::{self, Settings};
use crate::parse::{Kind, Parsed};
use crate::pipeline::Arrival;
use crate::port::Packet;
use crate::proxy::{self, FromClient, Sent, Style};
use crate::rewrite::{Applied, NextHop, Refusal};
use crate::session::{SessionId, Tuple};
use crate::snapshot::Snapshot;
use crate::wire::protocol;

impl<P: Packet> SessionStage<P> {
    /// What the PROXY protocol asks of a client's segment; `style` is what its pool has now; a session that `is_new` follows it.
    /// The header goes before it, where one must, by the same next hop.
    #[inline]
    pub(super) fn apply_proxy(
        &mut self,
        id: SessionId,
        (style, is_new): (Option<Style>, bool),
        (number, packet): (usize, &mut P),
        parsed: &mut Parsed,
        hop: &NextHop,
        by: (Arrival<'_>, &WorkerCounters),
    ) -> Result<(), NotPassed> {
        let has_header =
            self.sessions.get(id).is_some_and(|session| session.proxy.len > 0) || (is_new && style.is_some());
        if !has_header || parsed.protocol != protocol::TCP || parsed.kind != Kind::Whole {
            return Ok(());
        }
        self.apply_header(id, style, (number, packet), parsed, hop, by)
    }

    fn apply_header(
        &mut self,
        id: SessionId,
        style: Option<Style>,
        (number, packet): (usize, &mut P),
        parsed: &mut Parsed,
        hop: &NextHop,
        (arrival, counters): (Arrival<'_>, &WorkerCounters),
    ) -> Result<(), NotPassed> {
        let outside = self.sessions.outside(id).ok_or(DropReason::SessionNone)?;
        let session = self.sessions.get_mut(id).ok_or(DropReason::SessionNone)?;
        if begins(parsed) {
            // Of two connections of the same addresses and ports one is later.
            let (owners, now) = (&self.owners, arrival.now.0);
            let key = parsed.key;
            let unique = || owners.hash(&key).0 ^ u128::from(now);
            let make = || proxy::header(style?, &outside, unique());
            return Ok(self.proxying.syn((&mut session.proxy, id), packet, parsed, make)?);
        }
        match self.proxying.pass_client(&mut session.proxy, packet, parsed, &*self.pool, arrival.now) {
            FromClient::Pass => Ok(()),
            FromClient::After(Sent { packet, parsed }) => {
                let inside = self.sessions.inside(id).ok_or(DropReason::SessionNone)?;
                self.send_beside((number, packet), &parsed, &inside, hop)?;
                counters.sessions.headers.add(1);
                Ok(())
            }
            FromClient::Drop(reason) => Err(reason.into()),
        }
    }

    /// What it asks of a backend's segment, or of an ICMP error about what went there.
    #[inline]
    pub(super) fn answer_proxy(
        &mut self,
        id: SessionId,
        packet: (usize, &mut P),
        parsed: &mut Parsed,
        by: (Arrival<'_>, &WorkerCounters),
        settings: &mut Settings,
    ) -> Result<(), DropReason> {
        if self.sessions.get(id).is_none_or(|session| session.proxy.len == 0) {
            return Ok(());
        }
        self.answer_header(id, packet, parsed, by, settings)
    }

    fn answer_header(
        &mut self,
        id: SessionId,
        (number, packet): (usize, &mut P),
        parsed: &mut Parsed,
        (arrival, counters): (Arrival<'_>, &WorkerCounters),
        settings: &mut Settings,
    ) -> Result<(), DropReason> {
        let Some(session) = self.sessions.get_mut(id) else { return Ok(()) };
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
    pub(super) fn send_header(
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
            if self.send_beside((number, packet), &parsed, &inside, hop).is_ok() {
                counters.sessions.headers.add(1);
            }
        }
    }

    /// Sends a frame beside the burst, rewritten as a client's packet is.
    pub(super) fn send_beside(
        &mut self,
        (number, mut packet): (usize, P),
        parsed: &Parsed,
        inside: &Tuple,
        hop: &NextHop,
    ) -> Result<(), NotPassed> {
        if self.beside.len() >= MOST_BESIDE {
            return Err(DropReason::NoBuffer.into());
        }
        let Applied { egress, .. } = nat::forward(&mut packet, parsed, inside, &self.settings(), hop)?;
        self.beside.push_back(Beside { number, egress, packet });
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
}

/// The header of a datagram, which each has.
pub(super) fn put_before_datagram<P: Packet>(
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
