//! Segments that are ours to send to either side: resets, and what the SYN proxy says.

use super::{Arrival, Beside, MOST_BESIDE, SessionStage, hop_to, place_of};
use crate::counters::WorkerCounters;
use crate::port::Packet;
use crate::rewrite::{IpPacket, NextHop, address_to};
use crate::segment::{Draft, Sent};
use crate::session::{LastHop, Session, SessionId, Tuple};
use crate::wire::protocol;
use crate::wire::tcp::{ACK, RST};

impl<P: Packet> SessionStage<P> {
    /// Tells both sides of an established connection that it is over: it was silent for so long that we forget it, it gives way to
    /// another one, or its backend is gone; and what either would send from now on reaches nobody.
    pub(super) fn tell_both(&mut self, id: SessionId, arrival: Arrival<'_>, counters: &WorkerCounters) {
        if self.reset_both(id, arrival) {
            counters.sessions.reset.add(1);
        }
    }

    /// Whether there was somebody to tell.
    fn reset_both(&mut self, id: SessionId, arrival: Arrival<'_>) -> bool {
        let (Some(outside), Some(inside)) = (self.sessions.outside(id), self.sessions.inside(id)) else { return false };
        let Some(session) = self.sessions.get(id).copied() else { return false };
        if outside.protocol != protocol::TCP || !session.tcp.is_established() || session.tcp.is_over() {
            return false;
        }
        let [by_client, by_backend] = session.expected;
        let shift = self.splice(id, &session).map_or(0, |splice| splice.sequence);
        self.send_reset((inside, by_backend, by_client), (id, &session), arrival, false);
        self.send_reset((outside.reversed(), by_client.wrapping_add(shift), by_backend), (id, &session), arrival, true);
        true
    }

    fn send_reset(
        &mut self,
        (tuple, sequence, acknowledgement): (Tuple, u32, u32),
        (id, session): (SessionId, &Session),
        arrival: Arrival<'_>,
        to_client: bool,
    ) {
        let reset = Draft { tuple, sequence, acknowledgement, flags: RST | ACK, window: 0, options: &[] };
        let Some(reset) = reset.packet(&*self.pool) else { return };
        if to_client {
            self.send_ready((0, reset), session.last_hop, arrival);
        } else {
            self.send_to_backend(id, reset, arrival);
        }
    }

    fn send_to_backend(&mut self, id: SessionId, sent: Sent<P>, arrival: Arrival<'_>) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        let pool = arrival.snapshot.pool(session.pool);
        let backend = pool.and_then(|pool| place_of(session, pool)).map(|(backend, _)| backend);
        let hop = backend.and_then(|backend| backend.hops.of_flow(arrival.snapshot.hasher.hash(&sent.parsed.key)));
        if let Some(hop) = hop {
            self.send_by(0, sent, hop);
        }
    }

    /// Sends a segment to whoever sent a frame by this way.
    pub(super) fn send_ready(&mut self, (number, sent): (usize, Sent<P>), to: LastHop, arrival: Arrival<'_>) {
        if let Some(hop) = hop_to(to, arrival.snapshot) {
            self.send_by(number, sent, &hop);
        }
    }

    /// Sends a segment as it is. What finds no way or no room is lost, as on any network.
    fn send_by(&mut self, number: usize, Sent { mut packet, parsed }: Sent<P>, hop: &NextHop) {
        let ip = IpPacket::from(&parsed);
        if self.beside.len() < MOST_BESIDE && address_to(&mut packet, ip, hop).is_ok() {
            self.beside.push_back(Beside { number, egress: hop.egress, packet });
        }
    }
}
