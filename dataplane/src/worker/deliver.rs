//! Where a packet goes after it was decided: out of a port, to the control side, into the hold, or nowhere.

use crate::counters::WorkerCounters;
use crate::drop_reason::DropReason;
use crate::ids::{PortId, WorkerId};
use crate::parse::{Outcome, parse, strip_tags};
use crate::pipeline::{Arrival, Stages};
use crate::port::{Packet, PacketPool, Port};
use crate::punt::{ControlRings, Inject, InjectRing, Punt, PuntClass, RateLimit};
use crate::rewrite::{Split, fragment};
use crate::select::Verdict;
use crate::transmit::Transmit;
use arrayvec::ArrayVec;
use std::sync::Arc;

/// A worker's ways out.
pub(super) struct Delivery<P: Port> {
    pub(super) rings: ControlRings<P>,
    pub(super) limits: [RateLimit; PuntClass::COUNT],
    pub(super) transmit: Transmit<P>,
    pub(super) pool: Arc<P::Pool>,
    /// The rings to all workers, by their number: for packets of their sessions.
    pub(super) peers: Arc<[Arc<InjectRing<P::Packet>>]>,
    /// Of the next outer packet that is split; see [`next_identification`].
    pub(super) identification: u32,
    pub(super) counters: Arc<WorkerCounters>,
}

/// Identifications between two of one worker: as many workers share none, though they send to the same backends.
const IDENTIFICATION_STEP: u32 = 16;

/// The first identification of a worker.
pub(super) const fn first_identification(worker: WorkerId) -> u32 {
    1 + worker.0 as u32 % IDENTIFICATION_STEP
}

/// The one after it. IPv4 has 16 bits of it: of one worker no two datagrams within 4,096 share one (RFC 6864, section 4.3).
const fn next_identification(identification: u32) -> u32 {
    identification.wrapping_add(IDENTIFICATION_STEP)
}

/// Fragments of one outer packet: the longest frame over the smallest MTU that a port may have.
const MOST_FRAGMENTS: usize = 32;

impl<P: Port> Delivery<P> {
    #[inline]
    pub(super) fn deliver(
        &mut self,
        arrival: Arrival<'_>,
        packet: P::Packet,
        verdict: Verdict,
        stages: &mut Stages<P::Packet>,
    ) {
        match verdict {
            Verdict::Forward { egress, .. } => {
                self.transmit.stage(packet, egress, arrival.snapshot, &self.counters);
            }
            Verdict::Split { egress, split, .. } => self.split(arrival, &packet, egress, split),
            Verdict::Reply(_) => self.transmit.stage(packet, arrival.port, arrival.snapshot, &self.counters),
            Verdict::Punt(class) => self.punt(arrival, class, packet),
            Verdict::HandOff(worker) => self.hand_off(arrival, packet, worker),
            Verdict::Hold => self.hold(arrival, packet, stages),
            Verdict::Undecided => self.counters.count_drop(DropReason::NoBackend),
            Verdict::Drop(reason) => self.counters.count_drop(reason),
        }
    }

    /// [`Delivery::deliver`]. Returns why the packet was dropped, if it was.
    ///
    /// What a queue or a ring to another worker does not take is not among it: that may be any packet of a burst.
    #[cold]
    pub(super) fn deliver_and_tell(
        &mut self,
        arrival: Arrival<'_>,
        packet: P::Packet,
        verdict: Verdict,
        stages: &mut Stages<P::Packet>,
    ) -> Option<DropReason> {
        let before: [u64; DropReason::COUNT] = std::array::from_fn(|place| self.counters.drops[place].get());
        self.deliver(arrival, packet, verdict, stages);
        let rose = |reason: &&DropReason| {
            !matches!(**reason, DropReason::TxFull | DropReason::HandoffFull)
                && self.counters.drops[**reason as usize].get() > before[**reason as usize]
        };
        DropReason::ALL.iter().find(rose).copied()
    }

    /// Sends a frame as fragments of its outer packet: all of them, or none.
    #[cold]
    fn split(&mut self, arrival: Arrival<'_>, whole: &P::Packet, egress: PortId, split: Split) {
        let counters = &*self.counters;
        let frame = whole.frame();
        let Some(fragments) = fragment::fragments(frame, split, self.identification) else {
            return counters.count_drop(DropReason::MtuExceeded);
        };
        self.identification = next_identification(self.identification);
        let mut packets = ArrayVec::<P::Packet, MOST_FRAGMENTS>::new();
        for fragment in fragments {
            let payload = frame.get(fragment.payload).unwrap_or(&[]);
            let packet = copy_of(&*self.pool, &fragment.header, payload);
            let Some(packet) = packet.filter(|_| !packets.is_full()) else {
                return counters.count_drop(DropReason::NoBuffer);
            };
            packets.push(packet);
        }
        counters.added.add((packets.len() as u64).saturating_sub(1));
        for packet in packets {
            self.transmit.stage(packet, egress, arrival.snapshot, counters);
        }
    }

    #[cold]
    fn punt(&mut self, arrival: Arrival<'_>, class: PuntClass, mut packet: P::Packet) {
        let counters = &*self.counters;
        let state = arrival.snapshot.ports.get(arrival.port.index());
        let Some(link) = state.and_then(|state| strip_tags(&mut packet, arrival.port, state)) else {
            return counters.count_drop(DropReason::Vlan);
        };
        let punted = Punt { packet, link, received: arrival.now };
        if !self.limits[class as usize].allow(arrival.now) {
            counters.count_drop(DropReason::PuntRate);
        } else if self.rings.punts.ring(class).push(punted).is_err() {
            counters.count_drop(DropReason::PuntFull);
        } else {
            counters.punted[class as usize].add(1);
        }
    }

    /// Gives a packet to the worker whose session it is of.
    #[cold]
    fn hand_off(&mut self, arrival: Arrival<'_>, packet: P::Packet, worker: WorkerId) {
        let received = Inject::Received { packet, port: arrival.port };
        match self.peers.get(worker.index()).map(|ring| ring.push(received)) {
            Some(Ok(())) => self.counters.handed_off.add(1),
            Some(Err(_)) | None => self.counters.count_drop(DropReason::HandoffFull),
        }
    }

    #[cold]
    fn hold(&mut self, arrival: Arrival<'_>, packet: P::Packet, stages: &mut Stages<P::Packet>) {
        let state = arrival.snapshot.ports.get(arrival.port.index());
        let parsed = state.map(|state| parse(packet.frame(), packet.total_len(), state));
        let Some(Outcome::Packet(parsed)) = parsed else {
            return self.counters.count_drop(DropReason::FragmentInvalid);
        };
        match stages.fragments().hold(arrival.port, packet, &parsed, arrival.now) {
            Ok(()) => self.counters.held.add(1),
            Err(reason) => self.counters.count_drop(reason),
        }
    }
}

/// A new packet of a header and a payload.
fn copy_of<Q: PacketPool>(pool: &Q, header: &[u8], payload: &[u8]) -> Option<Q::Packet> {
    let mut packet = pool.alloc(header)?;
    if !packet.resize(header.len() + payload.len()) {
        return None;
    }
    packet.frame_mut().get_mut(header.len()..)?.copy_from_slice(payload);
    Some(packet)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn workers_share_no_identification() {
        let mut seen = HashSet::new();
        for worker in 0..IDENTIFICATION_STEP as u16 {
            let mut identification = first_identification(WorkerId(worker));
            for _ in 0..4_096 {
                assert!(seen.insert(identification as u16), "worker {worker}, {identification}");
                identification = next_identification(identification);
            }
        }
    }
}
