//! The fast path: what almost every packet is, a burst at a time.
//!
//! Stage loops over packets that [`read`] knows as usual: [`admit`] reads them and looks up their VIPs; all flows are
//! hashed at once; [`choose`] asks for the slots, reads them and asks for the backends; [`rewrite`] makes the frames that
//! leave. What one stage asks for is in the cache when the next one needs it, so the cost does not depend on how many flows,
//! pools and backends there are. Each stage is a function of its own, so that its loop has the registers to itself, and a
//! loop knows one kind of packet: what is of another kind is a bit in a mask, for the next loop.
//!
//! Everything that is not usual is left to the slow path in [`crate::pipeline`], which decides the same about usual
//! packets and is what this is tested against.

mod admit;
mod choose;
mod read;
mod rewrite;
#[cfg(test)]
mod tests;

use crate::counters::WorkerCounters;
use crate::drop_reason::DropReason;
use crate::hash::{BurstBlocks, FlowHash};
use crate::ids::{PoolId, PortId, VipId};
use crate::parse::Family;
use crate::pin::PinKey;
use crate::pipeline::Arrival;
use crate::port::{BURST, Burst, Packet};
use crate::rewrite::{Backend, Refusal};
use crate::select::{Selection, Verdict};
use crate::snapshot::PortState;
use crate::vip::Steering;
use crate::vip::exact::Exact;
use read::{Header, Receiver};

/// What the stages know of a packet.
#[derive(Clone, Copy, Debug)]
struct Usual {
    vip: Exact,
    header: Header,
    slot: u32,
}

// Four of them share a cache line, and their place is a shift away.
const _: () = assert!(size_of::<Usual>() == 16);

/// What the stages keep of a burst, in arrays that stay in the cache.
pub(crate) struct FastPath {
    /// The first block of each flow's key; its hash from the second stage on.
    hashes: BurstBlocks,
    /// The other blocks of IPv6 flows.
    addresses: [BurstBlocks; 2],
    packets: [Usual; BURST],
    /// Where the pins of those with a special slot are.
    keys: [PinKey; BURST],
    /// Where they leave, once they are rewritten.
    egresses: [PortId; BURST],
    /// Verdicts on packets that are not forwarded whole.
    verdicts: [Verdict; BURST],
}

/// What became of a burst. Bit `i` is packet `i`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Passed {
    /// Packets for the slow path. There is a verdict on every other.
    pub slow: u64,
    /// Packets that a VIP took here.
    pub usual: u64,
    /// Packets that are forwarded as they are now.
    forwarded: u64,
    /// What becomes of all packets, if it is the same.
    pub together: Option<Together>,
}

/// What becomes of a whole burst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Together {
    /// All leave by a port, with as many bytes.
    Leave(PortId, u64),
    /// All end here.
    Drop(DropReason),
}

/// The backends of a burst's packets.
pub(crate) type Chosen<'s> = [Option<&'s Backend>; BURST];

/// As many low bits as a burst has packets.
const fn all_of(count: usize) -> u64 {
    if count >= BURST { u64::MAX } else { (1 << count) - 1 }
}

/// The family of a packet, by those that are IPv6.
#[inline(always)]
const fn family(ipv6: u64, place: usize) -> Family {
    if ipv6 >> place & 1 != 0 { Family::V6 } else { Family::V4 }
}

/// The places of the bits in a mask.
pub(crate) fn places(mut mask: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let place = mask.trailing_zeros() as usize;
        // The lowest bit goes.
        mask &= mask.wrapping_sub(1);
        (place < BURST).then_some(place)
    })
}

impl FastPath {
    pub fn new() -> Self {
        let nothing =
            Usual { vip: Exact::new(VipId(0), PoolId(0), Steering::Flow), header: Header::default(), slot: 0 };
        let blocks = BurstBlocks([0; BURST]);
        Self {
            hashes: blocks.clone(),
            addresses: [blocks.clone(), blocks],
            packets: [nothing; BURST],
            keys: [PinKey::NOTHING; BURST],
            egresses: [PortId(0); BURST],
            verdicts: [Verdict::Undecided; BURST],
        }
    }

    /// Decides about the usual packets of a burst, and rewrites those that are forwarded. `chosen` is filled with the
    /// backend of each. `refuse` is asked for the verdict on a packet that its backend cannot get.
    #[inline]
    pub fn process<'s, P: Packet>(
        &mut self,
        arrival: Arrival<'s>,
        port: &PortState,
        burst: &mut Burst<P>,
        chosen: &mut Chosen<'s>,
        refuse: impl FnMut(&mut P, Refusal) -> Verdict,
        counters: &WorkerCounters,
    ) -> Passed {
        let all = all_of(burst.len());
        let exact = arrival.snapshot.vips.exact();
        // Where no VIP is usual, no packet is. The flow of fragments was found out before: the slow path knows how.
        let is_worth_it = arrival.first.is_none() && (exact.v4.has_usual() || exact.v6.has_usual());
        let Some(receiver) = Receiver::new(port).filter(|_| is_worth_it) else {
            return Passed { slow: all, ..Passed::default() };
        };
        let admitted = self.admit(arrival.snapshot, port, receiver, burst);
        if admitted.usual == 0 {
            // Whatever has a verdict at this stage is for nobody here.
            let together = (admitted.slow == 0).then_some(Together::Drop(DropReason::NotForUs));
            return Passed { slow: admitted.slow, together, ..Passed::default() };
        }
        arrival.snapshot.hasher.hash_blocks(&mut self.hashes, &self.addresses, burst.len(), admitted.ipv6);
        self.choose(arrival, burst, admitted, chosen, counters);
        let many_backends = arrival.snapshot.pools.has_many_backends();
        let rewritten = self.rewrite(burst, (admitted, many_backends), chosen, refuse, counters);
        let together = rewritten.together.filter(|_| rewritten.forwarded == all);
        let together = together.map(|(egress, bytes)| Together::Leave(egress, bytes));
        Passed { slow: admitted.slow, usual: admitted.usual, forwarded: rewritten.forwarded, together }
    }

    /// The verdict on a packet that is not for the slow path.
    #[inline]
    pub fn verdict(&self, place: usize, passed: &Passed, chosen: &Chosen<'_>) -> Verdict {
        match chosen[place] {
            Some(backend) if passed.forwarded >> place & 1 != 0 => {
                Verdict::Forward { egress: self.egresses[place], backend: backend.id }
            }
            _ => self.verdicts[place],
        }
    }

    /// What was found out about a packet of the burst, for those who watch.
    ///
    /// `None` if no VIP took it.
    pub fn selection<'s>(&self, place: usize, arrival: Arrival<'s>, chosen: &Chosen<'s>) -> Option<Selection<'s>> {
        let usual = &self.packets[place];
        let pool = arrival.snapshot.pool(usual.vip.pool())?;
        let hash = FlowHash(self.hashes.0[place]);
        Some(Selection::of_usual(
            usual.vip.vip(),
            hash,
            usual.slot,
            (usual.vip.pool(), pool, arrival.worker),
            chosen[place],
        ))
    }
}
