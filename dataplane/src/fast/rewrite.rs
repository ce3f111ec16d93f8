//! The last stage: the frames that leave.

use super::admit::Admitted;
use super::read::Header;
use super::{Chosen, FastPath, Usual, family, places};
use crate::counters::WorkerCounters;
use crate::drop_reason::DropReason;
use crate::hash::FlowHash;
use crate::ids::{PortId, VipId};
use crate::parse::Family;
use crate::port::{BURST, Burst, Packet};
use crate::prefetch::prefetch;
use crate::rewrite::mode::{ForMode, Mode};
use crate::rewrite::{Applied, Backend, IpPacket, Refusal};
use crate::select::Verdict;
use crate::wire::ethernet;

/// What the last stage makes of a burst.
pub(super) struct Rewritten {
    /// Packets that are forwarded whole: bit `i` is packet `i`.
    pub forwarded: u64,
    /// Their way, if it is the same for all, and their bytes.
    pub together: Option<(PortId, u64)>,
}

/// Packets of one VIP, which tend to follow each other, that are not counted yet.
struct Run {
    vip: VipId,
    packets: u64,
    /// Bytes of all packets before it.
    bytes_before: u64,
}

impl Run {
    #[inline]
    fn count(&self, counters: &WorkerCounters, bytes: u64) {
        if let Some(traffic) = counters.vip(self.vip) {
            traffic.packets.add(self.packets);
            traffic.bytes.add(bytes - self.bytes_before);
        }
    }
}

/// Whether packets leave by the same port: bits that any port has, and bits that all have.
struct Ways {
    any: u16,
    all: u16,
}

impl Default for Ways {
    fn default() -> Self {
        Self { any: 0, all: u16::MAX }
    }
}

impl Ways {
    #[inline(always)]
    const fn add(&mut self, way: PortId) {
        self.any |= way.0;
        self.all &= way.0;
    }

    /// The port, if it is the same.
    fn one(&self) -> Option<PortId> {
        (self.any == self.all).then_some(PortId(self.all))
    }
}

impl FastPath {
    /// Makes frames for their backends of the usual packets. There is a verdict on those that are not forwarded whole.
    pub(super) fn rewrite<P: Packet>(
        &mut self,
        burst: &mut Burst<P>,
        (admitted, many_backends): (Admitted, bool),
        chosen: &Chosen<'_>,
        mut refuse: impl FnMut(&mut P, Refusal) -> Verdict,
        counters: &WorkerCounters,
    ) -> Rewritten {
        let mut rewritten = Rewritten { forwarded: 0, together: None };
        let Admitted { usual, ipv6, .. } = admitted;
        let mut left = usual;
        // A turn for each mode that the backends of this burst have, usually one.
        while left != 0 {
            let first = left.trailing_zeros() as usize;
            let Some(backend) = chosen[first] else {
                self.verdicts[first] = Verdict::Drop(DropReason::NoBackend);
                left &= left - 1;
                continue;
            };
            let pass = Pass { fast: self, burst, left, ipv6, chosen, refuse: &mut refuse, counters, many_backends };
            let done = backend.rewrite.for_mode(pass);
            let alone = left == usual && done.left == 0;
            left = done.left;
            rewritten.forwarded |= done.forwarded;
            rewritten.together = done.together.filter(|_| alone);
        }
        rewritten
    }
}

/// The packets of one mode.
struct Pass<'a, 's, P, R> {
    fast: &'a mut FastPath,
    burst: &'a mut Burst<P>,
    /// Packets that are not rewritten yet, of this mode and of others; the first of them has a backend of this mode.
    left: u64,
    ipv6: u64,
    chosen: &'a Chosen<'s>,
    refuse: &'a mut R,
    counters: &'a WorkerCounters,
    /// Whether the counters of backends come from further away than the first-level cache.
    many_backends: bool,
}

/// What one mode's pass did.
struct Done {
    /// Packets of other modes.
    left: u64,
    forwarded: u64,
    together: Option<(PortId, u64)>,
}

impl<P: Packet, R: FnMut(&mut P, Refusal) -> Verdict> ForMode for Pass<'_, '_, P, R> {
    type Output = Done;

    #[inline(never)]
    fn run<M: Mode>(self) -> Done {
        let Self { fast, burst, left: all, ipv6, chosen, refuse, counters, many_backends } = self;
        if M::IS_LONG && many_backends {
            ask_for_counters(chosen, burst.len(), counters);
        }
        let first = fast.packets[all.trailing_zeros() as usize % BURST].vip.vip();
        let (mut run, mut bytes, mut odd) = (Run { vip: first, packets: 0, bytes_before: 0 }, 0, 0);
        let mut ways = Ways::default();
        for place in 0..burst.len().min(BURST) {
            let packet = &mut burst[place];
            let Usual { vip, header, .. } = fast.packets[place];
            let ip = ip_packet(family(ipv6, place), header);
            let way = chosen[place].filter(|_| all >> place & 1 != 0).and_then(|backend| {
                let way = backend.apply_as::<M, P>(packet, ip, FlowHash(fast.hashes.0[place]))?;
                Some((backend.id, way))
            });
            let Some((id, egress)) = way else {
                odd |= 1 << place;
                continue;
            };
            let frame = packet.total_len();
            if run.vip != vip.vip() {
                run.count(counters, bytes);
                run = Run { vip: vip.vip(), packets: 0, bytes_before: bytes };
            }
            run.packets += 1;
            bytes += frame as u64;
            if let Some(traffic) = counters.backend(id) {
                traffic.add(frame);
            }
            fast.egresses[place] = egress;
            ways.add(egress);
        }
        run.count(counters, bytes);
        let together = ways.one().map(|egress| (egress, bytes));
        let mut done = Done { left: 0, forwarded: all & !odd, together };
        if odd & all != 0 {
            for place in places(odd & all) {
                match chosen[place] {
                    Some(backend) if !backend.is_of::<M>() => done.left |= 1 << place,
                    Some(backend) => {
                        let verdict = fast.except(burst, place, (family(ipv6, place), backend), refuse, counters);
                        fast.verdicts[place] = verdict;
                    }
                    None => fast.verdicts[place] = Verdict::Drop(DropReason::NoBackend),
                }
            }
        }
        done
    }
}

impl FastPath {
    /// A packet that takes more than usual: it is too big, has several next hops, tags, or none that is resolved.
    #[cold]
    #[inline(never)]
    fn except<P: Packet>(
        &self,
        burst: &mut Burst<P>,
        place: usize,
        (family, backend): (Family, &Backend),
        refuse: &mut impl FnMut(&mut P, Refusal) -> Verdict,
        counters: &WorkerCounters,
    ) -> Verdict {
        let packet = &mut burst[place];
        let Usual { vip, header, .. } = self.packets[place];
        let ip = ip_packet(family, header);
        let Applied { egress, split } = match backend.apply_at(packet, ip, FlowHash(self.hashes.0[place])) {
            Ok(applied) => applied,
            Err(refusal) => return refuse(packet, refusal),
        };
        for traffic in [counters.vip(vip.vip()), counters.backend(backend.id)].into_iter().flatten() {
            traffic.add(packet.total_len());
        }
        match split {
            Some(split) => Verdict::Split { egress, backend: backend.id, split },
            None => Verdict::Forward { egress, backend: backend.id },
        }
    }
}

/// Asks for the counters of the backends: for a loop so long that the processor does not look far enough ahead by itself.
#[inline(never)]
fn ask_for_counters(chosen: &Chosen<'_>, count: usize, counters: &WorkerCounters) {
    for backend in chosen.iter().take(count).flatten() {
        if let Some(traffic) = counters.backend(backend.id) {
            prefetch(traffic);
        }
    }
}

#[inline(always)]
const fn ip_packet(family: Family, header: Header) -> IpPacket {
    let (len, traffic_class) = (header.len(), header.traffic_class());
    IpPacket { family, offset: ethernet::HEADER_LEN as u16, len, traffic_class }
}
