//! The slow path: every kind of packet, the usual one among them.
//!
//! Stage loops too: parse, select and rewrite run over what is left of a burst one after the other, so that each stage's
//! code and the cache lines that the next one needs are there when it starts.

use super::sessions::{Answer, NotPassed, Passing, SessionStage};
use super::{Arrival, Decided, Decisions, Stages};
use crate::counters::WorkerCounters;
use crate::drop_reason::DropReason;
use crate::fast::places;
use crate::fragment::{Fragments, Resolved};
use crate::ids::BackendId;
use crate::parse::{Kind, Parsed, Refused, parse_into};
use crate::port::{Burst, Packet, RxChecksum};
use crate::prefetch::prefetch;
use crate::punt::{PuntClass, RateLimit};
use crate::rewrite::{Applied, Refusal, too_big};
use crate::select::{Choice, NotLocated, Reply, Selection, Verdict, locate};
use crate::snapshot::{PortState, Snapshot};
use crate::time::Nanos;
use crate::vip::address_bits;
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
        self.look_up_sessions(decisions);
        let unmatched = self.locate_burst(arrival, burst, decisions);
        self.answer_burst(arrival, port, unmatched, decisions);
        if choose_burst(decisions, arrival.snapshot) {
            self.choose_special(arrival, burst, decisions, counters);
        }
        self.plan_sessions(decisions, arrival);
        self.rewrite_burst(arrival, burst, decisions, counters);
    }

    #[inline]
    fn parse_burst(&mut self, arrival: Arrival<'_>, port: &PortState, burst: &Burst<P>, decisions: &mut Decisions<'_>) {
        let Self { parsed, fragments, .. } = self;
        for ((packet, parsed), decided) in burst.iter().zip(parsed.iter_mut()).zip(decisions) {
            if decided.verdict != Verdict::Undecided {
                continue;
            }
            match parse_into(packet.frame(), packet.total_len(), port, parsed) {
                Ok(()) if port.rx_checksum && packet.rx_checksum() != RxChecksum::Unknown => {
                    decided.verdict = Verdict::Drop(checksum_reason(packet.rx_checksum()));
                }
                Ok(()) if matches!(parsed.kind, Kind::FirstFragment | Kind::LaterFragment) => {
                    decided.verdict = resolve_fragment(fragments, arrival, packet, parsed);
                }
                // Undecided, as it is already: written once more it would cost more than to parse.
                Ok(()) => {}
                Err(why) => decided.verdict = refused(why, packet.frame(), port, parsed),
            }
        }
    }

    /// Looks for the sessions of a burst, all at once: each would be waited for otherwise.
    #[inline]
    fn look_up_sessions(&mut self, decisions: &Decisions<'_>) {
        let Some(sessions) = &mut self.sessions else { return };
        let packets = self.parsed.iter().zip(decisions).enumerate();
        let undecided = packets.filter(|(_, (_, decided))| decided.verdict == Verdict::Undecided);
        sessions.look_up(undecided.map(|(number, (parsed, _))| (number, parsed)));
    }

    /// Draws what new sessions of a burst need.
    #[inline]
    fn plan_sessions(&mut self, decisions: &Decisions<'_>, arrival: Arrival<'_>) {
        let Some(sessions) = &mut self.sessions else { return };
        let located = self.parsed.iter().zip(decisions).enumerate().filter_map(|(number, (parsed, decided))| {
            let selection = decided.selection.as_ref().filter(|selection| selection.has_session())?;
            (decided.verdict == Verdict::Undecided).then_some((number, parsed, selection))
        });
        sessions.plan(located, arrival);
    }

    /// Looks up VIPs. Returns the packets that no VIP takes, a bit for each.
    #[inline]
    fn locate_burst<'s>(&self, arrival: Arrival<'s>, burst: &Burst<P>, decisions: &mut Decisions<'s>) -> u64 {
        let mut unmatched = 0;
        for (number, ((packet, parsed), decided)) in burst.iter().zip(self.parsed.iter()).zip(decisions).enumerate() {
            if decided.verdict != Verdict::Undecided {
                continue;
            }
            match locate(arrival.snapshot, arrival.worker, parsed, packet.frame()) {
                Ok(selection) => decided.selection = Some(selection),
                Err(NotLocated::NoVip) => unmatched |= 1 << number,
                Err(NotLocated::NoPool) => decided.verdict = Verdict::Drop(DropReason::NoBackend),
            }
        }
        unmatched
    }

    /// Decides about packets that no VIP takes: answers of backends, which the rewriting stage takes up, since they have no
    /// selection; what is for the control side or the kernel; what is of no use.
    #[inline]
    fn answer_burst(&mut self, arrival: Arrival<'_>, port: &PortState, unmatched: u64, decisions: &mut Decisions<'_>) {
        if let Some(sessions) = &mut self.sessions {
            sessions.prefetch();
        }
        for number in places(unmatched) {
            let (Some(parsed), Some(decided)) = (self.parsed.get(number), decisions.get_mut(number)) else { continue };
            let answer = self.sessions.as_ref().and_then(|sessions| sessions.answer(arrival, (number, parsed)));
            match answer {
                // As it is already.
                Some(Answer::Here) => {}
                Some(Answer::At(worker)) => decided.verdict = Verdict::HandOff(worker),
                None => decided.verdict = for_kernel(NotLocated::NoVip.verdict(arrival.snapshot, parsed), port),
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
            if selection.chosen.is_some() || selection.has_session() || decided.verdict != Verdict::Undecided {
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
    fn rewrite_burst<'s>(
        &mut self,
        arrival: Arrival<'s>,
        burst: &mut Burst<P>,
        decisions: &mut Decisions<'s>,
        counters: &WorkerCounters,
    ) {
        let Self { parsed, sessions, too_big, .. } = self;
        for (number, ((packet, parsed), decided)) in burst.iter_mut().zip(parsed.iter()).zip(decisions).enumerate() {
            if decided.verdict != Verdict::Undecided {
                continue;
            }
            let is_of_session = decided.selection.as_ref().is_none_or(Selection::has_session);
            if let Some(sessions) = sessions.as_mut().filter(|_| is_of_session) {
                let Decided { verdict, selection } = decided;
                let passing = Passing { number, packet, parsed, arrival, counters, verdict };
                pass_session(sessions, passing, selection.as_mut(), too_big);
                continue;
            }
            let Some(selection) = decided.selection.as_ref() else { continue };
            let Some(backend) = selection.chosen else { continue };
            decided.verdict = match backend.apply(packet, parsed, selection.hash) {
                Ok(applied) => {
                    for traffic in [counters.vip(selection.vip), counters.backend(backend.id)].into_iter().flatten() {
                        traffic.add(packet.total_len());
                    }
                    leaves(applied, backend.id)
                }
                Err(refusal) => refuse(too_big, refusal, packet, parsed, arrival.now, counters),
            };
        }
    }
}

/// The verdict on a packet that was rewritten.
pub(super) const fn leaves(Applied { egress, split }: Applied, backend: BackendId) -> Verdict {
    match split {
        None => Verdict::Forward { egress, backend },
        Some(split) => Verdict::Split { egress, backend, split },
    }
}

/// A packet for a VIP whose pool rewrites addresses, or a backend's answer: of one worker's sessions, one after the other.
#[inline(never)]
fn pass_session<'s, P: Packet>(
    sessions: &mut SessionStage<P>,
    passing: Passing<'_, 's, P>,
    selection: Option<&mut Selection<'s>>,
    too_big: &mut RateLimit,
) {
    let Passing { number, packet, parsed, arrival, counters, verdict } = passing;
    let passing = Passing { number, packet: &mut *packet, parsed, arrival, counters, verdict: &mut *verdict };
    let passed = match selection {
        Some(selection) => sessions.pass_to_backend(passing, selection),
        None => sessions.pass_to_client(passing),
    };
    match passed {
        Ok(()) => {}
        Err(NotPassed::Elsewhere(worker)) => *verdict = Verdict::HandOff(worker),
        Err(NotPassed::Answered) => *verdict = Verdict::Reply(Reply::Cookie),
        Err(NotPassed::Refusal(refusal)) => {
            *verdict = refuse(too_big, refusal, packet, parsed, arrival.now, counters);
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
    let is_answer = || arrival.snapshot.is_nat_backend(address_bits(parsed.key.source()));
    if !arrival.snapshot.vips.has_address(parsed.destination) && !is_answer() {
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
        return Verdict::Reply(Reply::TooBig);
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
        // The session of a flow knows its backend.
        let Some(selection) = decided.selection.as_mut().filter(|selection| !selection.has_session()) else { continue };
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
