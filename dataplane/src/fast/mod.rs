//! The fast path: what almost every packet is, a burst at a time.
//!
//! Stage loops over what [`read`] knows as usual: read and look up the VIP; hash all flows at once; ask for the slots;
//! read them and ask for the backends; rewrite. What one stage asks for is in the cache when the next one needs it, so the
//! cost does not depend on how many flows, pools and backends there are. Everything that is not usual is left to the
//! slow path in [`crate::pipeline`], which decides the same about usual packets and is what this is tested against.

mod read;

use crate::consistency::{Flow, Role, decide};
use crate::counters::WorkerCounters;
use crate::drop_reason::DropReason;
use crate::hash::{BurstBlocks, FlowHash, FlowKey};
use crate::ids::{PoolId, PortId, VipId};
use crate::lane::Lane;
use crate::parse::Family;
use crate::pipeline::Arrival;
use crate::port::{BURST, Burst, Packet, RxChecksum};
use crate::prefetch::prefetch;
use crate::rewrite::{Applied, Backend, IpPacket, Refusal};
use crate::select::{Selection, Verdict};
use crate::snapshot::{PortState, Snapshot};
use crate::vip::Steering;
use crate::vip::exact::{Exact, KeyV4, KeyV6};
use crate::wire::ethernet;
use read::Receiver;
use std::net::Ipv4Addr;

/// The pool of packets that this path has nothing more to do with: there is no such pool.
const NO_POOL: PoolId = PoolId(u16::MAX);

/// What the stages know of a packet.
#[derive(Clone, Copy, Debug)]
struct Usual {
    pool: PoolId,
    vip: VipId,
    /// Length of the IP packet in bytes.
    len: u16,
    traffic_class: u8,
    family: Family,
    steering: Steering,
    slot: u32,
}

/// What the stages keep of a burst, in arrays that stay in the cache.
pub(crate) struct FastPath {
    /// The first block of each flow's key; its hash from the second stage on.
    hashes: BurstBlocks,
    /// The other blocks of IPv6 flows.
    addresses: [BurstBlocks; 2],
    packets: [Usual; BURST],
}

/// What became of a burst. Bit `i` is packet `i`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Passed {
    /// Packets for the slow path. There is a verdict on every other.
    pub slow: u64,
    /// The way of all packets, if they have the same; and their bytes.
    pub together: Option<(PortId, u64)>,
}

/// Traffic of one VIP that is not counted yet: packets of one VIP tend to follow each other.
struct Run {
    vip: VipId,
    packets: u64,
    bytes: u64,
}

impl FastPath {
    pub fn new() -> Self {
        let nothing = Usual {
            pool: NO_POOL,
            vip: VipId(0),
            len: 0,
            traffic_class: 0,
            family: Family::V4,
            steering: Steering::Flow,
            slot: 0,
        };
        let blocks = BurstBlocks([0; BURST]);
        Self { hashes: blocks.clone(), addresses: [blocks.clone(), blocks], packets: [nothing; BURST] }
    }

    /// Decides about the usual packets of a burst, and rewrites those that are forwarded. `chosen` is filled with the
    /// backend of each. `refuse` is asked for the verdict on a packet that its backend cannot get.
    #[inline]
    pub fn process<'s, P: Packet>(
        &mut self,
        arrival: Arrival<'s>,
        port: &PortState,
        burst: &mut Burst<P>,
        verdicts: &mut [Verdict; BURST],
        chosen: &mut [Option<&'s Backend>; BURST],
        refuse: impl FnMut(&mut P, Refusal) -> Verdict,
        counters: &WorkerCounters,
    ) -> Passed {
        let lanes = arrival.snapshot.pools.lanes(arrival.worker);
        let Some(receiver) = Receiver::new(port).filter(|_| arrival.first.is_none()) else {
            return Passed { slow: u64::MAX, together: None };
        };
        let (slow, ipv6) = self.read(arrival.snapshot, port, receiver, burst, verdicts);
        arrival.snapshot.hasher.hash_blocks(&mut self.hashes, &self.addresses, burst.len(), ipv6);
        self.ask_for_slots(lanes, burst.len());
        let special = self.choose(lanes, burst.len(), chosen);
        if special != 0 {
            self.choose_special(special, arrival, burst, chosen, counters);
        }
        let together = self.rewrite(burst, verdicts, chosen, refuse, counters);
        Passed { slow, together: together.filter(|_| slow == 0) }
    }

    /// The first stage. Returns which packets are not usual, and which are IPv6.
    #[inline(always)]
    fn read<P: Packet>(
        &mut self,
        snapshot: &Snapshot,
        port: &PortState,
        receiver: Receiver,
        burst: &Burst<P>,
        verdicts: &mut [Verdict; BURST],
    ) -> (u64, u64) {
        let Self { hashes, addresses: [sources, destinations], packets } = self;
        let exact = snapshot.vips.exact();
        let nobody = Nobody::new(snapshot, port);
        let (mut slow, mut all_ipv6, mut bit) = (0, 0, 1_u64);
        let places = hashes.0.iter_mut().zip(&mut sources.0).zip(&mut destinations.0).zip(packets).zip(verdicts);
        for (packet, ((((hash, source), destination), usual), verdict)) in burst.iter().zip(places) {
            let frame = packet.frame();
            let family = read::family(frame, receiver);
            let found = match family {
                _ if packet.total_len() != frame.len() => None,
                _ if port.rx_checksum && packet.rx_checksum() != RxChecksum::Unknown => None,
                Some(Family::V4) => read::v4(frame).map(|v4| {
                    *hash = v4.block;
                    (usual.len, usual.traffic_class, usual.family) = (v4.len, v4.traffic_class, Family::V4);
                    exact.v4.find(v4.service).ok_or_else(|| nobody.is_meant_by_v4(v4.service))
                }),
                Some(Family::V6) => read::v6(frame).map(|v6| {
                    [*hash, *source, *destination] = v6.blocks;
                    (usual.len, usual.traffic_class, usual.family) = (v6.len, v6.traffic_class, Family::V6);
                    all_ipv6 |= bit;
                    exact.v6.find(v6.service).ok_or_else(|| nobody.is_meant_by_v6(v6.service))
                }),
                None => None,
            };
            usual.pool = NO_POOL;
            match found {
                Some(Ok(Exact { vip, pool, steering })) => {
                    (usual.vip, usual.pool, usual.steering) = (vip, pool, steering);
                    if steering != Steering::Flow {
                        let is_client = steering == Steering::Client;
                        (*hash, *destination) = (FlowKey::client_block(*hash), 0);
                        if !is_client {
                            usual.pool = NO_POOL;
                            slow |= bit;
                        }
                    }
                }
                Some(Err(true)) => *verdict = Verdict::Drop(DropReason::NotForUs),
                Some(Err(false)) | None => slow |= bit,
            }
            bit <<= 1;
        }
        (slow, all_ipv6)
    }

    /// Finds the slots, and asks for their cache lines.
    #[inline(always)]
    fn ask_for_slots(&mut self, lanes: &[Lane], count: usize) {
        for (usual, hash) in self.packets.iter_mut().zip(&self.hashes.0).take(count) {
            let slots = lanes.get(usual.pool.index()).map_or(&[][..], Lane::slots);
            usual.slot = FlowHash(*hash).slot(slots.len() as u32);
            if let Some(place) = slots.get(usual.slot as usize) {
                prefetch(place);
            }
        }
    }

    /// Reads the slots, and asks for the records of their backends. Returns which packets have a special slot.
    #[inline(always)]
    fn choose<'s>(&self, lanes: &'s [Lane], count: usize, chosen: &mut [Option<&'s Backend>; BURST]) -> u64 {
        let (mut special, mut bit) = (0, 1_u64);
        for (usual, chosen) in self.packets.iter().zip(chosen).take(count) {
            if let Some(lane) = lanes.get(usual.pool.index())
                && let Some(slot) = lane.slots().get(usual.slot as usize)
            {
                if slot.is_special() {
                    special |= bit;
                } else if let Some(backend) = lane.backends().get(slot.index()) {
                    prefetch(backend);
                    *chosen = Some(backend);
                }
            }
            bit <<= 1;
        }
        special
    }

    /// Asks for the pins of packets of special slots, then decides about them.
    #[inline(never)]
    fn choose_special<'s, P: Packet>(
        &self,
        special: u64,
        arrival: Arrival<'s>,
        burst: &Burst<P>,
        chosen: &mut [Option<&'s Backend>; BURST],
        counters: &WorkerCounters,
    ) {
        let snapshot = arrival.snapshot;
        let lanes = snapshot.pools.lanes(arrival.worker);
        let places = || (0..burst.len()).filter(|place| special >> place & 1 != 0);
        for place in places() {
            if let Some(special) = lanes.get(self.packets[place].pool.index()).and_then(Lane::special) {
                let hash = FlowHash(self.hashes.0[place]);
                snapshot.pins.prefetch(snapshot.pins.key(hash, special.salt(), special.rules()));
            }
        }
        for place in places() {
            let Usual { pool, slot, family, steering, .. } = self.packets[place];
            let Some((lane, special)) = lanes.get(pool.index()).and_then(|lane| Some((lane, lane.special()?))) else {
                continue;
            };
            let Some(current) = lane.slots().get(slot as usize).copied() else { continue };
            let transport = read::transport(burst[place].frame(), family);
            let role = Role::of_whole(transport.protocol, transport.flags, transport.header, steering, special.rules());
            let flow = Flow { hash: FlowHash(self.hashes.0[place]), slot, current, role };
            let index = decide(special, &flow, &snapshot.pins, arrival.now, &counters.pins);
            chosen[place] = index.and_then(|index| lane.backends().get(usize::from(index)));
            if let Some(backend) = chosen[place] {
                prefetch(backend);
            }
        }
    }

    /// Rewrites what has a backend. Returns the way of all packets of the burst if it is the same, and their bytes.
    #[inline(always)]
    fn rewrite<P: Packet>(
        &mut self,
        burst: &mut Burst<P>,
        verdicts: &mut [Verdict; BURST],
        chosen: &[Option<&Backend>; BURST],
        mut refuse: impl FnMut(&mut P, Refusal) -> Verdict,
        counters: &WorkerCounters,
    ) -> Option<(PortId, u64)> {
        let mut run = Run { vip: self.packets[0].vip, packets: 0, bytes: 0 };
        let (mut common, mut together, mut all_bytes) = (None, true, 0);
        let places = self.packets.iter().zip(&self.hashes.0).zip(chosen).zip(verdicts);
        for (packet, (((usual, hash), chosen), verdict)) in burst.iter_mut().zip(places) {
            let Some(backend) = *chosen else {
                together = false;
                if usual.pool != NO_POOL {
                    *verdict = Verdict::Drop(DropReason::NoBackend);
                }
                continue;
            };
            let Usual { family, len, traffic_class, vip, .. } = *usual;
            let ip = IpPacket { family, offset: ethernet::HEADER_LEN as u16, len, traffic_class };
            let (egress, split) = match backend.apply_at(packet, &ip, FlowHash(*hash)) {
                Ok(Applied { egress, split }) => (egress, split),
                Err(refusal) => {
                    together = false;
                    *verdict = refuse(packet, refusal);
                    continue;
                }
            };
            let bytes = packet.total_len();
            if run.vip != vip {
                run.count(counters);
                run = Run { vip, packets: 0, bytes: 0 };
            }
            run.packets += 1;
            run.bytes += bytes as u64;
            all_bytes += bytes as u64;
            if let Some(traffic) = counters.backend(backend.id) {
                traffic.add(bytes);
            }
            together &= split.is_none() && *common.get_or_insert(egress) == egress;
            *verdict = match split {
                None => Verdict::Forward { egress, backend: backend.id },
                Some(split) => Verdict::Split { egress, backend: backend.id, split },
            };
        }
        run.count(counters);
        common.filter(|_| together).map(|egress| (egress, all_bytes))
    }

    /// What was found out about a packet of the burst, for those who watch.
    pub fn selection<'s>(
        &self,
        place: usize,
        arrival: Arrival<'s>,
        chosen: Option<&'s Backend>,
    ) -> Option<Selection<'s>> {
        let usual = self.packets.get(place)?;
        let pool = arrival.snapshot.pool(usual.pool)?;
        let hash = FlowHash(*self.hashes.0.get(place)?);
        Some(Selection::of_usual(usual.vip, hash, usual.slot, (pool, arrival.worker), chosen))
    }
}

impl Run {
    #[inline(always)]
    fn count(&self, counters: &WorkerCounters) {
        if let Some(traffic) = counters.vip(self.vip) {
            traffic.packets.add(self.packets);
            traffic.bytes.add(self.bytes);
        }
    }
}

/// Tells packets that are for nobody here, as far as that is plain to see.
struct Nobody<'s> {
    snapshot: &'s Snapshot,
    /// Whether every address that is served is known as a whole, and what is for nobody has no other use.
    plain: bool,
}

impl<'s> Nobody<'s> {
    fn new(snapshot: &'s Snapshot, port: &PortState) -> Self {
        Self { snapshot, plain: !snapshot.vips.is_wide() && !port.exception }
    }

    #[inline(always)]
    fn is_meant_by_v4(&self, service: KeyV4) -> bool {
        let [a, b, c, d, ..] = service.0.to_le_bytes();
        self.plain
            && self.snapshot.vips.exact().v4.find(service.address()).is_none()
            && !self.snapshot.is_own(Ipv4Addr::new(a, b, c, d).to_ipv6_mapped().to_bits())
    }

    #[inline(always)]
    fn is_meant_by_v6(&self, service: KeyV6) -> bool {
        let [low, high, _] = service.0;
        let address = u128::from(high) << 64 | u128::from(low);
        self.plain
            && self.snapshot.vips.exact().v6.find(service.address()).is_none()
            && !self.snapshot.is_own(address.swap_bytes())
    }
}
