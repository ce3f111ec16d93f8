//! The middle stage: from a flow's hash to the backend that gets its packets.

use super::admit::Admitted;
use super::{Chosen, FastPath, family, places, read};
use crate::consistency::{Flow, Role, Special, decide, follow, key};
use crate::counters::WorkerCounters;
use crate::hash::FlowHash;
use crate::ids::PoolId;
use crate::lane::Lane;
use crate::parse::Family;
use crate::pin::{PinTable, Tick};
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

/// The same of a pool with special slots.
struct CurrentSpecial<'s> {
    pool: PoolId,
    found: Option<(&'s Lane, &'s Special)>,
}

impl<'s> CurrentSpecial<'s> {
    #[inline(always)]
    fn new(lanes: &'s [Lane], pool: PoolId) -> Self {
        let found = lanes.get(pool.index()).and_then(|lane| lane.special().map(|special| (lane, special)));
        Self { pool, found }
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
        for (place, (packet, chosen)) in self.packets.iter().zip(chosen).enumerate().take(count) {
            *chosen = None;
            if usual >> place & 1 != 0 {
                current.go_to(lanes, packet.vip.pool());
                if let Some(slot) = current.slots.get(packet.slot as usize) {
                    if slot.is_special() {
                        special |= 1 << place;
                    } else if let Some(backend) = current.backends.get(slot.index()) {
                        prefetch(backend);
                        *chosen = Some(backend);
                    }
                }
            }
        }
        special
    }

    /// Asks for the pins of packets of special slots, then decides about them.
    #[inline(never)]
    fn choose_special<'s, P: Packet>(
        &mut self,
        arrival: Arrival<'s>,
        burst: &Burst<P>,
        (special, ipv6): (u64, u64),
        chosen: &mut Chosen<'s>,
        counters: &WorkerCounters,
    ) {
        let lanes = arrival.snapshot.pools.lanes(arrival.worker);
        let pins = &*arrival.snapshot.pins;
        let v4 = self.ask_for_pins(lanes, pins, burst, (special & !ipv6, Family::V4));
        let v6 = self.ask_for_pins(lanes, pins, burst, (special & ipv6, Family::V6));
        let followed = self.follow_pins(lanes, pins, (v4 | v6, pins.clock().tick(arrival.now)), chosen);
        for place in places(special & !followed) {
            let usual = &self.packets[place];
            let Some(lane) = lanes.get(usual.vip.pool().index()) else { continue };
            let Some(of_pool) = lane.special() else { continue };
            let transport = read::transport(burst[place].frame(), family(ipv6, place));
            let (number, flags) = (transport.protocol, transport.flags);
            let role = Role::of_whole(number, flags, transport.header, usual.vip.steering(), of_pool.rules());
            let current = lane.slots().get(usual.slot as usize).copied().unwrap_or(Slot::EMPTY);
            let flow = Flow { hash: FlowHash(self.hashes.0[place]), slot: usual.slot, current, role };
            let index = decide(of_pool, &flow, pins, arrival.now, &counters.pins);
            if let Some(backend) = index.and_then(|index| lane.backends().get(usize::from(index))) {
                prefetch(backend);
                chosen[place] = Some(backend);
            }
        }
    }

    /// For packets of one family. Returns which of them are in the middle of their flows.
    #[inline(never)]
    fn ask_for_pins<P: Packet>(
        &mut self,
        lanes: &[Lane],
        pins: &PinTable,
        burst: &Burst<P>,
        (special, family): (u64, Family),
    ) -> u64 {
        let mut current = CurrentSpecial::new(lanes, PoolId(0));
        let mut middle = 0;
        for place in places(special) {
            current.go_to(lanes, self.packets[place].vip.pool());
            if let Some((_, special)) = current.found {
                let key = key(special, FlowHash(self.hashes.0[place]), pins);
                pins.prefetch(key);
                self.keys[place] = key;
                middle |= u64::from(read::is_in_the_middle(burst[place].frame(), family)) << place;
            }
        }
        middle
    }

    /// Decides about packets in the middle of flows whose pins are followed and stay as they are. Returns which these are.
    #[inline(never)]
    fn follow_pins<'s>(
        &self,
        lanes: &'s [Lane],
        pins: &PinTable,
        (middle, now): (u64, Tick),
        chosen: &mut Chosen<'s>,
    ) -> u64 {
        let mut current = CurrentSpecial::new(lanes, PoolId(0));
        let mut followed = 0;
        for place in places(middle) {
            let usual = &self.packets[place];
            current.go_to(lanes, usual.vip.pool());
            let Some((lane, special)) = current.found else { continue };
            let index = follow(special, self.keys[place], usual.slot, pins, now);
            if let Some(backend) = index.and_then(|index| lane.backends().get(usize::from(index))) {
                prefetch(backend);
                chosen[place] = Some(backend);
                followed |= 1 << place;
            }
        }
        followed
    }
}
