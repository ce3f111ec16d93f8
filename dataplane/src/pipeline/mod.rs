//! The walk of a burst: usual packets take the fast path (`crate::fast`), and what it leaves the slow one (`slow`).

mod sessions;
mod slow;

use crate::counters::WorkerCounters;
use crate::drop_reason::DropReason;
use crate::fast::{FastPath, Together};
use crate::fragment::{FirstFragment, Fragments};
use crate::hash::FlowHasher;
use crate::ids::{BackendId, PortId, WorkerId};
use crate::parse::{Outcome, Parsed, parse, parse_into};
use crate::port::{BURST, Burst, Packet};
use crate::punt::RateLimit;
use crate::rewrite::Refusal;
use crate::select::{Selection, Verdict};
use crate::snapshot::{PortState, Snapshot};
use crate::time::Nanos;
use arrayvec::ArrayVec;
pub(crate) use sessions::SessionStage;
use std::ops::Range;

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

    /// Whether it wants to be told about any packet of a burst that came in. If not, the burst takes the usual path.
    fn wants<P: Packet>(&mut self, _arrival: Arrival<'_>, _burst: &Burst<P>) -> bool {
        true
    }

    /// Tells about one packet, after its rewrite. `packet_number` counts the packets of the current burst from 0.
    fn decided<P: Packet>(&mut self, packet_number: usize, decision: &Decision<'_>, arrival: Arrival<'_>, packet: &P);

    /// Tells that this packet went where it was decided, or why it was dropped after all. What a transmit queue does not
    /// take is not known yet.
    fn settled(&mut self, _packet_number: usize, _arrival: Arrival<'_>, _dropped: Option<DropReason>) {}

    /// Tells about a fragment that was held until now, after its rewrite.
    fn released<P: Packet>(&mut self, _decision: &Decision<'_>, _arrival: Arrival<'_>, _packet: &P) {}

    /// Tells about a fragment that was held, and is dropped.
    fn given_up<P: Packet>(&mut self, _reason: DropReason, _arrival: Arrival<'_>, _packet: &P) {}

    /// Tells about a packet of the control side that leaves by a port, and the backend that it is for.
    fn injected<P: Packet>(&mut self, _packet: &P, _egress: PortId, _backend: Option<BackendId>) {}
}

/// Watches nothing.
impl Trace for () {
    const ENABLED: bool = false;

    fn decided<P: Packet>(&mut self, _: usize, _: &Decision<'_>, _: Arrival<'_>, _: &P) {}
}

/// The stages, and what they keep from one burst to the next: fragments, and how many senders may be told that their
/// packets are too big.
pub struct Stages<P> {
    fast: Box<FastPath>,
    /// The headers of the packets of a burst, written in place.
    parsed: Box<[Parsed; BURST]>,
    fragments: Fragments<P>,
    too_big: RateLimit,
    /// `None`: no pool rewrites addresses.
    sessions: Option<Box<SessionStage<P>>>,
}

impl<P: Packet> Stages<P> {
    /// Stages without a memory yet. `hasher` has a secret of this process for its key: it scatters fragments over their
    /// table.
    #[must_use]
    pub(crate) fn new(hasher: FlowHasher, sessions: Option<SessionStage<P>>) -> Self {
        Self {
            fast: Box::new(FastPath::new()),
            parsed: Box::new([Parsed::NOTHING; BURST]),
            fragments: Fragments::new(hasher),
            too_big: RateLimit::new(TOO_BIG_RATE),
            sessions: sessions.map(Box::new),
        }
    }

    /// Fragments that are held.
    pub(crate) fn fragments(&mut self) -> &mut Fragments<P> {
        &mut self.fragments
    }

    /// The addresses of the memory of sessions.
    pub(crate) fn session_memory(&self) -> Vec<Range<usize>> {
        self.sessions.iter().flat_map(|sessions| sessions.memory()).collect()
    }

    /// What sessions do by time.
    #[inline]
    pub(crate) fn tick_sessions(&mut self, snapshot: &Snapshot, now: Nanos, counters: &WorkerCounters) {
        if let Some(sessions) = &mut self.sessions {
            sessions.tick(snapshot, now, counters);
        }
    }

    /// The next frame that sessions send before packet `number` of the burst.
    #[inline]
    pub(crate) fn next_beside(&mut self, number: usize) -> Option<(PortId, P)> {
        self.sessions.as_mut().and_then(|sessions| sessions.next_beside(number))
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
    /// Returns what becomes of all packets if it is the same, and nobody watches. Else the decisions are put into `decisions`,
    /// whose contents are replaced.
    #[inline]
    pub(crate) fn process<'s, T: Trace>(
        &mut self,
        arrival: Arrival<'s>,
        burst: &mut Burst<P>,
        decisions: &mut Decisions<'s>,
        counters: &WorkerCounters,
    ) -> Option<Together> {
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
}

/// [`slow::refuse`] for a packet of the fast path.
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
        Outcome::Packet(parsed) => slow::refuse(limit, refusal, packet, &parsed, now, counters),
        Outcome::Punt(_) | Outcome::Drop(_) => Verdict::Drop(refusal.reason()),
    }
}
