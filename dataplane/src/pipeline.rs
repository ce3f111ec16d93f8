//! The walk of a burst: usual packets take the fast path, and what it leaves the slow one.
//!
//! The slow path is stage loops too: parse, select and rewrite run over what is left of a burst one after the other, so
//! that each stage's code and the cache lines that the next one needs are there when it starts. It knows every kind of
//! packet, the usual one among them.

use crate::counters::WorkerCounters;
use crate::drop_reason::DropReason;
use crate::fast::FastPath;
use crate::fragment::{FirstFragment, Fragments, Resolved};
use crate::hash::FlowHasher;
use crate::ids::{PortId, WorkerId};
use crate::parse::{Kind, Outcome, Parsed, Refused, parse, parse_into};
use crate::port::{BURST, Burst, Packet, RxChecksum};
use crate::prefetch::prefetch;
use crate::punt::{PuntClass, RateLimit};
use crate::rewrite::{Applied, Refusal, too_big};
use crate::select::{Choice, Selection, Verdict, locate};
use crate::snapshot::{PortState, Snapshot};
use crate::time::Nanos;
use crate::wire::ethernet;
use arrayvec::ArrayVec;

/// Senders of packets that are too big who are told so, a second and worker (RFC 1812, section 4.3.2.8; RFC 4443, section
/// 2.4 f): each needs it once a flow, and a flood must not be answered one for one.
const TOO_BIG_RATE: u32 = 1_000;

/// What was decided about one packet, and by what.
#[derive(Clone, Copy)]
pub struct Decision<'s> {
    /// What becomes of it.
    pub verdict: Verdict,
    /// Its headers, if they could be read.
    pub parsed: Option<&'s Parsed>,
    /// The VIP that took it and its slot, if one did.
    pub selection: Option<&'s Selection<'s>>,
}

/// The verdict on one packet, and the VIP that took it, if one did.
pub struct Decided<'s> {
    /// What becomes of it.
    pub verdict: Verdict,
    selection: Option<Selection<'s>>,
}

/// The verdicts on a burst, in the order of its packets; the headers that they are about are kept by [`Stages`].
pub type Decisions<'s> = ArrayVec<Decided<'s>, BURST>;

/// Where and when a burst came in, and what is true then.
#[derive(Clone, Copy)]
pub struct Arrival<'s> {
    /// What is decided by.
    pub snapshot: &'s Snapshot,
    /// Who decides.
    pub worker: WorkerId,
    /// The port.
    pub port: PortId,
    /// The time of the poll.
    pub now: Nanos,
    /// The flow of the burst's fragments, if they were held until it was known.
    pub first: Option<FirstFragment>,
}

/// Watches decisions: `replay` and `capture` do, a worker in production does not.
pub trait Trace {
    /// Whether the methods are to be called; a constant, so that the calls vanish where they are not.
    const ENABLED: bool;

    /// Tells about one packet, after its rewrite. `packet_number` counts the packets of the current burst from 0.
    fn decided(&mut self, packet_number: usize, decision: &Decision<'_>);

    /// Tells about a fragment that was held until now.
    fn released(&mut self, _decision: &Decision<'_>) {}
}

/// Watches nothing.
impl Trace for () {
    const ENABLED: bool = false;

    fn decided(&mut self, _packet_number: usize, _decision: &Decision<'_>) {}
}

/// The stages, and what they keep from one burst to the next: fragments, and how many senders may be told that their
/// packets are too big.
pub struct Stages<P> {
    fast: Box<FastPath>,
    /// The headers of the packets of a burst, written in place.
    parsed: Box<[Parsed; BURST]>,
    fragments: Fragments<P>,
    too_big: RateLimit,
}

impl<P: Packet> Stages<P> {
    /// Stages without a memory yet. `hasher` has a secret of this process for its key: it scatters fragments over their
    /// table.
    #[must_use]
    pub fn new(hasher: FlowHasher) -> Self {
        Self {
            fast: Box::new(FastPath::new()),
            parsed: Box::new([Parsed::NOTHING; BURST]),
            fragments: Fragments::new(hasher),
            too_big: RateLimit::new(TOO_BIG_RATE),
        }
    }

    /// Fragments that are held.
    pub(crate) fn fragments(&mut self) -> &mut Fragments<P> {
        &mut self.fragments
    }

    /// All about one packet of the burst that was processed last.
    pub(crate) fn decision<'a>(&'a self, decisions: &'a Decisions<'a>, number: usize) -> Decision<'a> {
        let decided = decisions.get(number);
        Decision {
            verdict: decided.map_or(Verdict::Undecided, |decided| decided.verdict),
            parsed: self.parsed.get(number).filter(|parsed| parsed.ip_len > 0),
            selection: decided.and_then(|decided| decided.selection.as_ref()),
        }
    }

    /// Decides about every packet of a burst, and rewrites those that are forwarded.
    ///
    /// Returns the way of all packets and their bytes if they leave by the same port, and nobody watches. Else the decisions
    /// are put into `decisions`, whose contents are replaced.
    #[inline]
    pub(crate) fn process<'s, T: Trace>(
        &mut self,
        arrival: Arrival<'s>,
        burst: &mut Burst<P>,
        decisions: &mut Decisions<'s>,
        counters: &WorkerCounters,
    ) -> Option<(PortId, u64)> {
        decisions.clear();
        let Some(port) = arrival.snapshot.ports.get(arrival.port.index()) else {
            // A port that the snapshot does not know any more: control waits for this worker to leave it alone.
            let down = || Decided { verdict: Verdict::Drop(DropReason::PortDown), selection: None };
            decisions.extend(burst.iter().map(|_| down()));
            return None;
        };
        if T::ENABLED {
            self.parse_for_trace(port, burst);
        }
        let mut chosen = [None; BURST];
        let Self { fast, too_big, .. } = self;
        let mut refuse = |packet: &mut P, refusal| refuse_usual(too_big, refusal, packet, port, arrival.now, counters);
        let passed = fast.process(arrival, port, burst, &mut chosen, &mut refuse, counters);
        if !T::ENABLED && passed.together.is_some() {
            return passed.together;
        }
        for place in 0..burst.len() {
            let is = |mask: u64| mask >> place & 1 != 0;
            let verdict = if is(passed.slow) { Verdict::Undecided } else { fast.verdict(place, &passed, &chosen) };
            let is_told = T::ENABLED && is(passed.usual);
            let selection = if is_told { fast.selection(place, arrival, &chosen) } else { None };
            decisions.push(Decided { verdict, selection });
        }
        if passed.slow != 0 {
            self.process_slowly(arrival, port, burst, decisions, counters);
        }
        None
    }

    /// What is left undecided.
    #[inline(never)]
    fn process_slowly<'s>(
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

    /// Those who watch want to know the headers of usual packets too, as they came in.
    #[cold]
    #[inline(never)]
    fn parse_for_trace(&mut self, port: &PortState, burst: &Burst<P>) {
        for (packet, parsed) in burst.iter().zip(self.parsed.iter_mut()) {
            if parse_into(packet.frame(), packet.total_len(), port, parsed).is_err() {
                *parsed = Parsed::NOTHING;
            }
        }
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
fn refuse<P: Packet>(
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

/// [`refuse`] for a packet of the fast path.
#[cold]
#[inline(never)]
fn refuse_usual<P: Packet>(
    limit: &mut RateLimit,
    refusal: Refusal,
    packet: &mut P,
    port: &PortState,
    now: Nanos,
    counters: &WorkerCounters,
) -> Verdict {
    match parse(packet.frame(), packet.total_len(), port) {
        Outcome::Packet(parsed) => refuse(limit, refusal, packet, &parsed, now, counters),
        Outcome::Punt(_) | Outcome::Drop(_) => Verdict::Drop(refusal.reason()),
    }
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
