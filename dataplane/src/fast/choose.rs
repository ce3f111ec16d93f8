//! The middle stage: from a flow's hash to the backend that gets its packets.

use super::admit::Admitted;
use super::{Chosen, FastPath, Usual, family, places, read};
use crate::consistency::{Flow, Role, decide};
use crate::counters::WorkerCounters;
use crate::hash::FlowHash;
use crate::ids::PoolId;
use crate::lane::Lane;
use crate::pipeline::Arrival;
use crate::port::{BURST, Burst, Packet};
use crate::prefetch::prefetch;
use crate::rewrite::Backend;
use crate::table::Slot;

/// The pool of the packet before: packets of one pool tend to follow each other.
struct Current<'s> {
    pool: PoolId,
    slots: &'s [Slot],
    backends: &'s [Backend],
}

impl<'s> Current<'s> {
    /// A pool without anything, if there is none of this number.
    #[inline(always)]
    fn new(lanes: &'s [Lane], pool: PoolId) -> Self {
        let lane = lanes.get(pool.index());
        Self { pool, slots: lane.map_or(&[], Lane::slots), backends: lane.map_or(&[], Lane::backends) }
    }

    #[inline(always)]
    fn go_to(&mut self, lanes: &'s [Lane], pool: PoolId) {
        if self.pool != pool {
            *self = Self::new(lanes, pool);
        }
    }
}

impl FastPath {
    /// Chooses the backends of the usual packets, and asks for their records.
    #[inline]
    pub(super) fn choose<'s, P: Packet>(
        &mut self,
        arrival: Arrival<'s>,
        burst: &Burst<P>,
        admitted: Admitted,
        chosen: &mut Chosen<'s>,
        counters: &WorkerCounters,
    ) {
        let Admitted { usual, ipv6, .. } = admitted;
        let lanes = arrival.snapshot.pools.lanes(arrival.worker);
        self.ask_for_slots(lanes, usual, burst.len());
        let special = self.read_slots(lanes, usual, burst.len(), chosen);
        if special != 0 {
            self.choose_special(arrival, burst, (special, ipv6), chosen, counters);
        }
    }

    #[inline(never)]
    fn ask_for_slots(&mut self, lanes: &[Lane], usual: u64, count: usize) {
        let mut current = Current::new(lanes, PoolId(0));
        for place in 0..count.min(BURST) {
            if usual >> place & 1 != 0 {
                let packet = &mut self.packets[place];
                current.go_to(lanes, packet.vip.pool());
                packet.slot = FlowHash(self.hashes.0[place]).slot(current.slots.len() as u32);
                if let Some(slot) = current.slots.get(packet.slot as usize) {
                    prefetch(slot);
                }
            }
        }
    }

    /// Returns which packets have a special slot.
    #[inline(never)]
    fn read_slots<'s>(&self, lanes: &'s [Lane], usual: u64, count: usize, chosen: &mut Chosen<'s>) -> u64 {
        let mut current = Current::new(lanes, PoolId(0));
        let mut special = 0;
        for place in 0..count.min(BURST) {
            chosen[place] = None;
            if usual >> place & 1 != 0 {
                let packet = &self.packets[place];
                current.go_to(lanes, packet.vip.pool());
                if let Some(slot) = current.slots.get(packet.slot as usize) {
                    if slot.is_special() {
                        special |= 1 << place;
                    } else if let Some(backend) = current.backends.get(slot.index()) {
                        prefetch(backend);
                        chosen[place] = Some(backend);
                    }
                }
            }
        }
        special
    }

    /// Asks for the pins of packets of special slots, then decides about them.
    #[inline(never)]
    fn choose_special<'s, P: Packet>(
        &self,
        arrival: Arrival<'s>,
        burst: &Burst<P>,
        (special, ipv6): (u64, u64),
        chosen: &mut Chosen<'s>,
        counters: &WorkerCounters,
    ) {
        let snapshot = arrival.snapshot;
        let lanes = snapshot.pools.lanes(arrival.worker);
        let lane_of = |usual: &Usual| {
            let lane = lanes.get(usual.vip.pool().index())?;
            Some((lane, lane.special()?))
        };
        for place in places(special) {
            if let Some((_, special)) = lane_of(&self.packets[place]) {
                let hash = FlowHash(self.hashes.0[place]);
                snapshot.pins.prefetch(snapshot.pins.key(hash, special.salt(), special.rules()));
            }
        }
        for place in places(special) {
            let usual = &self.packets[place];
            let Some((lane, special)) = lane_of(usual) else { continue };
            let Some(current) = lane.slots().get(usual.slot as usize).copied() else { continue };
            let transport = read::transport(burst[place].frame(), family(ipv6, place));
            let (number, flags) = (transport.protocol, transport.flags);
            let role = Role::of_whole(number, flags, transport.header, usual.vip.steering(), special.rules());
            let flow = Flow { hash: FlowHash(self.hashes.0[place]), slot: usual.slot, current, role };
            let index = decide(special, &flow, &snapshot.pins, arrival.now, &counters.pins);
            chosen[place] = index.and_then(|index| lane.backends().get(usize::from(index)));
            if let Some(backend) = chosen[place] {
                prefetch(backend);
            }
        }
    }
}
