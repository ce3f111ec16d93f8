//! The worker's part: watches its decisions, and puts what is looked for into the rings.

use super::capture::{CaptureTap, Facts, FrameRing, Seen};
use super::connections::{Event, Pace, Start};
use super::{Observe, Sampler};
use crate::drop_reason::DropReason;
use crate::ids::{BackendId, PortId, WorkerId};
use crate::parse::{Outcome, parse};
use crate::pipeline::{Arrival, Decision, Trace};
use crate::port::{BURST, Burst, Packet};
use crate::publish::Generation;
use crate::select::Verdict;
use crate::time::Nanos;

/// What a worker keeps for those who look.
pub(crate) struct Observer {
    worker: WorkerId,
    sampler: Sampler,
    pace: Pace,
    /// Frames of the burst as they came in, until it is known whether they are looked for.
    came: [Option<Box<Seen>>; BURST],
    /// A frame as it leaves, until it is known whether it does.
    leaving: Option<Box<Seen>>,
    /// What was decided about the packet that is on its way now.
    facts: Option<Facts>,
    /// Packets of the burst that may be captured, and those that begin a flow. Bit `i` is packet `i`.
    captured: u64,
    starts: u64,
    /// What the latter are.
    events: [Event; BURST],
}

impl Observer {
    pub(crate) fn new(worker: WorkerId) -> Self {
        Self {
            worker,
            sampler: Sampler::new(worker.0),
            pace: Pace::new(worker),
            came: [const { None }; BURST],
            leaving: None,
            facts: None,
            captured: 0,
            starts: 0,
            events: [Event::Datagram; BURST],
        }
    }
}

/// One pass of a worker whose packets are looked at.
pub(crate) struct Observed<'o> {
    pub observer: &'o mut Observer,
    pub observe: &'o Observe,
    pub generation: Generation,
    pub now: Nanos,
}

impl Observed<'_> {
    fn capture(&self) -> Option<(&CaptureTap, &FrameRing)> {
        let tap = self.observe.capture.as_deref()?;
        Some((tap, tap.ring(self.observer.worker)?))
    }

    /// Marks the packets of a burst that may be captured, and copies them: a rewrite may leave nothing of them.
    fn mark_captured<P: Packet>(&mut self, arrival: Arrival<'_>, burst: &Burst<P>) -> u64 {
        let Some(tap) = self.observe.capture.as_deref() else { return 0 };
        let (Some(ring), Some(port)) = (tap.ring(arrival.worker), arrival.snapshot.ports.get(arrival.port.index()))
        else {
            return 0;
        };
        let filter = tap.filter();
        let takes_in = filter.takes_in(arrival.port);
        let mut marked = 0;
        for (place, packet) in burst.iter().enumerate() {
            let outcome = parse(packet.frame(), packet.total_len(), port);
            let parsed = if let Outcome::Packet(parsed) = &outcome { Some(parsed) } else { None };
            let taken = filter.may_take(arrival.snapshot, packet.frame(), parsed);
            if !taken || !self.observer.sampler.one_in(filter.sample) {
                continue;
            }
            marked |= 1 << place;
            if takes_in && let Some(mut seen) = ring.free.pop() {
                seen.fill(packet, arrival.port, false);
                self.observer.came[place] = Some(seen);
            }
        }
        marked
    }

    /// Marks the packets of a burst that begin a flow.
    fn mark_starts<P: Packet>(&mut self, arrival: Arrival<'_>, burst: &Burst<P>) -> u64 {
        let Some(tap) = self.observe.connections.as_deref() else { return 0 };
        let (Some(ring), Some(port)) = (tap.ring(arrival.worker), arrival.snapshot.ports.get(arrival.port.index()))
        else {
            return 0;
        };
        let context = (arrival.snapshot, port, arrival.now);
        let mut marked = 0;
        for (place, packet) in burst.iter().enumerate() {
            if let Some(event) = self.observer.pace.event(tap, ring, context, packet) {
                marked |= 1 << place;
                self.observer.events[place] = event;
            }
        }
        marked
    }

    fn facts(&self, decision: &Decision<'_>) -> Facts {
        Facts::new(self.now, self.observer.worker, self.generation, decision)
    }

    /// Copies a frame that is about to leave, if that is looked for.
    fn copy_leaving<P: Packet>(&mut self, packet: &P, egress: PortId, facts: &Facts) {
        let Some((tap, ring)) = self.capture() else { return };
        if !tap.filter().takes_out(egress) || !tap.filter().takes(facts) {
            return;
        }
        let Some(mut seen) = ring.free.pop() else { return ring.lost.add(1) };
        seen.fill(packet, egress, true);
        self.observer.leaving = Some(seen);
    }

    /// Gives the copy of a frame that leaves, if there is one, to the control side.
    fn push_leaving(&mut self, facts: Facts) {
        if let Some(seen) = self.observer.leaving.take()
            && let Some((_, ring)) = self.capture()
        {
            ring.push(seen, facts);
        }
    }

    fn tell_start(&self, number: usize, decision: &Decision<'_>) {
        let worker = self.observer.worker;
        let ring = self.observe.connections.as_deref().and_then(|tap| tap.ring(worker));
        let (Some(ring), Some(parsed), Some(selection)) = (ring, decision.parsed, decision.selection) else { return };
        let (Verdict::Forward { backend, .. } | Verdict::Split { backend, .. }) = decision.verdict else { return };
        ring.push(Start {
            at: self.now,
            event: self.observer.events[number],
            flow: parsed.key,
            vip: selection.vip,
            slot: selection.slot,
            backend,
            by: selection.by(),
            worker,
            generation: self.generation,
        });
    }
}

impl Trace for Observed<'_> {
    const ENABLED: bool = true;

    fn wants<P: Packet>(&mut self, arrival: Arrival<'_>, burst: &Burst<P>) -> bool {
        self.observer.captured = self.mark_captured(arrival, burst);
        self.observer.starts = self.mark_starts(arrival, burst);
        self.observer.captured | self.observer.starts != 0
    }

    fn decided<P: Packet>(&mut self, number: usize, decision: &Decision<'_>, arrival: Arrival<'_>, packet: &P) {
        if self.observer.starts >> number & 1 != 0 {
            self.tell_start(number, decision);
        }
        self.observer.facts = None;
        if self.observer.captured >> number & 1 == 0 {
            return;
        }
        let facts = self.facts(decision);
        if let Some(egress) = egress(decision.verdict, arrival.port) {
            self.copy_leaving(packet, egress, &facts);
        }
        self.observer.facts = Some(facts);
    }

    fn settled(&mut self, number: usize, arrival: Arrival<'_>, dropped: Option<DropReason>) {
        let Some(mut facts) = self.observer.facts.take() else { return };
        let (came, leaving) = (self.observer.came[number].take(), self.observer.leaving.take());
        let Some((tap, ring)) = self.capture() else { return };
        let leaves = dropped.is_none();
        if let Some(reason) = dropped {
            facts.verdict = Some(Verdict::Drop(reason));
        }
        let taken = tap.filter().takes(&facts);
        match came {
            Some(seen) if taken => ring.push(seen, facts),
            Some(seen) => ring.recycle(seen),
            None if taken && tap.filter().takes_in(arrival.port) => ring.lost.add(1),
            None => {}
        }
        match leaving {
            Some(seen) if leaves => ring.push(seen, facts),
            Some(seen) => ring.recycle(seen),
            None => {}
        }
    }

    fn released<P: Packet>(&mut self, decision: &Decision<'_>, arrival: Arrival<'_>, packet: &P) {
        let Some((tap, _)) = self.capture() else { return };
        let filter = tap.filter();
        if !filter.may_take(arrival.snapshot, packet.frame(), decision.parsed) {
            return;
        }
        let facts = self.facts(decision);
        if let Some(egress) = egress(decision.verdict, arrival.port) {
            self.copy_leaving(packet, egress, &facts);
            self.push_leaving(facts);
        }
    }

    fn given_up<P: Packet>(&mut self, reason: DropReason, arrival: Arrival<'_>, packet: &P) {
        let Some((tap, ring)) = self.capture() else { return };
        let verdict = Some(Verdict::Drop(reason));
        let facts = Facts::bare(self.now, self.observer.worker, self.generation, verdict, None);
        let filter = tap.filter();
        if !filter.takes_in(arrival.port)
            || !filter.takes(&facts)
            || !filter.may_take(arrival.snapshot, packet.frame(), None)
        {
            return;
        }
        let Some(mut seen) = ring.free.pop() else { return ring.lost.add(1) };
        seen.fill(packet, arrival.port, false);
        ring.push(seen, facts);
    }

    fn injected<P: Packet>(&mut self, packet: &P, egress: PortId, backend: Option<BackendId>) {
        let Some((tap, _)) = self.capture() else { return };
        let (filter, worker) = (tap.filter(), self.observer.worker);
        if filter.takes_injected(backend) && self.observer.sampler.one_in(filter.sample) {
            let facts = Facts::bare(self.now, worker, self.generation, None, backend);
            self.copy_leaving(packet, egress, &facts);
            self.push_leaving(facts);
        }
    }
}

/// Where a packet leaves that came in by `port`.
const fn egress(verdict: Verdict, port: PortId) -> Option<PortId> {
    match verdict {
        Verdict::Forward { egress, .. } | Verdict::Split { egress, .. } => Some(egress),
        Verdict::Reply(_) => Some(port),
        Verdict::Undecided | Verdict::Punt(_) | Verdict::HandOff(_) | Verdict::Hold | Verdict::Drop(_) => None,
    }
}
