//! The slow path: every kind of packet, the usual one among them.
//!
//! Stage loops too: parse, select and rewrite run over what is left of a burst one after the other, so that each stage's
//! code and the cache lines that the next one needs are there when it starts.

use super::{Arrival, Decisions, Stages};
use crate::counters::WorkerCounters;
use crate::drop_reason::DropReason;
use crate::fragment::{Fragments, Resolved};
use crate::parse::{Kind, Parsed, Refused, parse_into};
use crate::port::{Burst, Packet, RxChecksum};
use crate::prefetch::prefetch;
use crate::punt::{PuntClass, RateLimit};
use crate::rewrite::{Applied, Refusal, too_big};
use crate::select::{Choice, Verdict, locate};
use crate::snapshot::{PortState, Snapshot};
use crate::time::Nanos;
use crate::wire::ethernet;

impl<P: Packet> Stages<P> {
    /// What is left undecided.
    #[inline(never)]
    pub(super) fn process_slowly<'s>(
        &mut self,
        arrival: Arrival<'s>,
        port: &PortState,
        burst: &mut Burst<P>,
        decisions: &mut Decisions<'s>,
        counters: &WorkerCounters,
    ) {
        self.parse_burst(arrival, port, burst, decisions);
        self.locate_burst(arrival, port, burst, decisions);
        if choose_burst(decisions, arrival.snapshot) {
            self.choose_special(arrival, burst, decisions, counters);
        }
        self.rewrite_burst(arrival, burst, decisions, counters);
    }

    #[inline]
    fn parse_burst(&mut self, arrival: Arrival<'_>, port: &PortState, burst: &Burst<P>, decisions: &mut Decisions<'_>) {
        let Self { parsed, fragments, .. } = self;
        for ((packet, parsed), decided) in burst.iter().zip(parsed.iter_mut()).zip(decisions) {
            if decided.verdict != Verdict::Undecided {
                continue;
            }
            decided.verdict = match parse_into(packet.frame(), packet.total_len(), port, parsed) {
                Ok(()) if port.rx_checksum && packet.rx_checksum() != RxChecksum::Unknown => {
                    Verdict::Drop(checksum_reason(packet.rx_checksum()))
                }
                Ok(()) if matches!(parsed.kind, Kind::FirstFragment | Kind::LaterFragment) => {
                    resolve_fragment(fragments, arrival, packet, parsed)
                }
                Ok(()) => Verdict::Undecided,
                Err(why) => refused(why, packet.frame(), port, parsed),
            };
        }
    }

    #[inline]
    fn locate_burst<'s>(
        &mut self,
        arrival: Arrival<'s>,
        port: &PortState,
        burst: &Burst<P>,
        decisions: &mut Decisions<'s>,
    ) {
        for ((packet, parsed), decided) in burst.iter().zip(self.parsed.iter()).zip(decisions) {
            if decided.verdict != Verdict::Undecided {
                continue;
            }
            match locate(arrival.snapshot, arrival.worker, parsed, packet.frame()) {
                Ok(selection) => decided.selection = Some(selection),
                Err(unmatched) => decided.verdict = for_kernel(unmatched, port),
            }
        }
    }

    /// Decides about the packets of special slots.
    #[cold]
    #[inline(never)]
    fn choose_special(
        &self,
        arrival: Arrival<'_>,
        burst: &Burst<P>,
        decisions: &mut Decisions<'_>,
        counters: &WorkerCounters,
    ) {
        for ((packet, parsed), decided) in burst.iter().zip(self.parsed.iter()).zip(decisions) {
            let Some(selection) = &mut decided.selection else { continue };
            if selection.chosen.is_some() || decided.verdict != Verdict::Undecided {
                continue;
            }
            let frame = packet.frame();
            match selection.choose_special(arrival.snapshot, parsed, frame, arrival.now, &counters.pins) {
                Some(backend) => prefetch(backend),
                None => decided.verdict = Verdict::Drop(DropReason::NoBackend),
            }
        }
    }

    #[inline]
    fn rewrite_burst(
        &mut self,
        arrival: Arrival<'_>,
        burst: &mut Burst<P>,
        decisions: &mut Decisions<'_>,
        counters: &WorkerCounters,
    ) {
        for ((packet, parsed), decided) in burst.iter_mut().zip(self.parsed.iter()).zip(decisions) {
            let Some(selection) = decided.selection.as_ref().filter(|_| decided.verdict == Verdict::Undecided) else {
                continue;
            };
            let Some(backend) = selection.chosen else { continue };
            decided.verdict = match backend.apply(packet, parsed, selection.hash) {
                Ok(Applied { egress, split }) => {
                    for traffic in [counters.vip(selection.vip), counters.backend(backend.id)].into_iter().flatten() {
                        traffic.add(packet.total_len());
                    }
                    match split {
                        None => Verdict::Forward { egress, backend: backend.id },
                        Some(split) => Verdict::Split { egress, backend: backend.id, split },
                    }
                }
                Err(refusal) => refuse(&mut self.too_big, refusal, packet, parsed, arrival.now, counters),
            };
        }
    }
}

/// Which flow a fragment for a VIP belongs to: completes its headers. Other fragments need no flow.
#[cold]
#[inline(never)]
fn resolve_fragment<P: Packet>(
    fragments: &mut Fragments<P>,
    arrival: Arrival<'_>,
    packet: &P,
    parsed: &mut Parsed,
) -> Verdict {
    if !arrival.snapshot.vips.has_address(parsed.destination) {
        return Verdict::Undecided;
    }
    if let Some(first) = arrival.first {
        first.complete(parsed);
        return Verdict::Undecided;
    }
    match fragments.resolve(arrival.port, packet.frame(), parsed, arrival.now) {
        Resolved::Flow => Verdict::Undecided,
        Resolved::Unknown => Verdict::Hold,
        Resolved::Refused(reason) => Verdict::Drop(reason),
    }
}

/// A packet that its backend cannot get. If it is too big, its sender learns what would fit.
#[cold]
#[inline(never)]
pub(super) fn refuse<P: Packet>(
    limit: &mut RateLimit,
    refusal: Refusal,
    packet: &mut P,
    parsed: &Parsed,
    now: Nanos,
    counters: &WorkerCounters,
) -> Verdict {
    let Refusal::TooBig { mtu } = refusal else { return Verdict::Drop(refusal.reason()) };
    if too_big::answer(packet, parsed, mtu, || limit.allow(now)) {
        counters.told_too_big.add(1);
        return Verdict::Reply;
    }
    Verdict::Drop(DropReason::MtuExceeded)
}

/// A frame that parsing refused: dropped, or for the kernel if it may have a use for it.
#[cold]
#[inline(never)]
fn refused(why: Refused, frame: &[u8], port: &PortState, parsed: &mut Parsed) -> Verdict {
    // What stands there is of an earlier packet: a trace must not take it for this one's.
    *parsed = Parsed::NOTHING;
    let reason = match why {
        Refused::Punt(class) => return Verdict::Punt(class),
        Refused::Drop(reason) => reason,
    };
    let to_group = frame.first_chunk::<6>().is_some_and(ethernet::is_group);
    if port.exception && (reason == DropReason::Ethertype || reason == DropReason::NotOurMac && to_group) {
        return Verdict::Punt(PuntClass::Exception);
    }
    Verdict::Drop(reason)
}

/// What becomes of a packet that no VIP takes, on a port that may have an exception path: there the kernel serves what
/// the control side would only refuse.
#[cold]
fn for_kernel(verdict: Verdict, port: &PortState) -> Verdict {
    match verdict {
        Verdict::Drop(DropReason::NotForUs) | Verdict::Punt(PuntClass::Other) if port.exception => {
            Verdict::Punt(PuntClass::Exception)
        }
        verdict => verdict,
    }
}

#[cold]
fn checksum_reason(found: RxChecksum) -> DropReason {
    if found == RxChecksum::BadIp { DropReason::BadIpChecksum } else { DropReason::TransportChecksum }
}

/// Reads the slots of a burst. Returns whether any of them is special: then the pins' lines are on their way.
#[inline]
fn choose_burst(decisions: &mut Decisions<'_>, snapshot: &Snapshot) -> bool {
    let mut special = false;
    for decided in decisions.iter_mut() {
        let Some(selection) = &mut decided.selection else { continue };
        match selection.choose() {
            Choice::Backend(backend) => prefetch(backend),
            Choice::Special => {
                selection.prefetch_pin(&snapshot.pins);
                special = true;
            }
            Choice::Nobody => decided.verdict = Verdict::Drop(DropReason::NoBackend),
        }
    }
    special
}
