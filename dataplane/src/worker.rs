//! The worker: polls its receive queues, sends each burst through the stages, hands packets out.

use crate::counters::{STALL, WorkerCounters};
use crate::drop_reason::DropReason;
use crate::hash::FlowHash;
use crate::idle::Idle;
use crate::ids::{PortId, VipId, WorkerId};
use crate::parse::{Outcome, parse};
use crate::pipeline::{Decisions, Tally, Trace, process};
use crate::port::{Burst, Packet, Port, RxQueue};
use crate::punt::{ControlRings, Inject, Punt, PuntClass, PuntRings, RateLimit};
use crate::rewrite::Backend;
use crate::select::Verdict;
use crate::snapshot::{PortState, Snapshot, SnapshotReader};
use crate::time::Nanos;
use crate::transmit::{Transmit, TxPath};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Packets of the control side that one poll sends: traffic goes on beside them.
const INJECTIONS: usize = 64;

/// What a worker is made of.
pub struct WorkerParts<P: Port> {
    /// Which worker.
    pub id: WorkerId,
    /// The receive queues that it polls.
    pub rx: Vec<(PortId, P::Rx)>,
    /// The way out by each port, in the order of the ports.
    pub tx: Vec<TxPath<P>>,
    /// Where snapshots come from.
    pub snapshots: SnapshotReader,
    /// Rings to and from the control side.
    pub rings: ControlRings<P>,
    /// Where it counts.
    pub counters: Arc<WorkerCounters>,
}

/// One poll loop's state.
pub struct Worker<P: Port> {
    id: WorkerId,
    rx: Vec<(PortId, P::Rx)>,
    snapshots: SnapshotReader,
    rings: ControlRings<P>,
    limits: [RateLimit; PuntClass::COUNT],
    transmit: Transmit<P>,
    counters: Arc<WorkerCounters>,
    previous_poll: Option<Poll>,
}

/// What is remembered of a poll.
#[derive(Clone, Copy)]
struct Poll {
    at: Nanos,
    busy: bool,
}

impl<P: Port> Worker<P> {
    /// A worker that has not polled yet.
    #[must_use]
    pub fn new(parts: WorkerParts<P>) -> Self {
        Self {
            id: parts.id,
            rx: parts.rx,
            snapshots: parts.snapshots,
            rings: parts.rings,
            limits: PuntClass::ALL.map(|class| RateLimit::new(class.rate())),
            transmit: Transmit::new(parts.tx),
            counters: parts.counters,
            previous_poll: None,
        }
    }

    /// Polls until `stop` is set. `clock` is read once a poll.
    pub fn run(&mut self, stop: &AtomicBool, idle: Idle, mut clock: impl FnMut() -> Nanos) {
        let mut empty_polls = 0_u32;
        while !stop.load(Relaxed) {
            if self.poll(clock(), &mut ()) == 0 {
                empty_polls = empty_polls.saturating_add(1);
                idle.wait(empty_polls);
            } else {
                empty_polls = 0;
            }
        }
    }

    /// One pass: a burst of each receive queue, then what the control side wants sent.
    ///
    /// Returns how many packets there were. `now` is the time of the pass.
    pub fn poll<T: Trace>(&mut self, now: Nanos, trace: &mut T) -> usize {
        self.account_time(now);
        let Self { id, rx, snapshots, rings, limits, transmit, counters, .. } = self;
        let snapshot = snapshots.load();
        let mut handled = 0;
        for (port, queue) in rx {
            let mut burst = Burst::<P::Packet>::new();
            let received = queue.receive(&mut burst);
            if received == 0 {
                continue;
            }
            handled += received;
            count_received(counters, &burst);
            let mut decisions = Decisions::new();
            process(snapshot, *id, *port, &mut burst, &mut decisions, &mut ForwardTally(counters));
            for (number, (packet, decision)) in burst.drain(..).zip(&decisions).enumerate() {
                if T::ENABLED {
                    trace.decided(number, decision);
                }
                match decision.verdict {
                    Verdict::Forward { egress, .. } => transmit.stage(packet, egress, snapshot, counters),
                    Verdict::Punt(class) => {
                        let limit = &mut limits[class as usize];
                        punt(&rings.punts, limit, counters, class, Punt { packet, port: *port, received: now });
                    }
                    Verdict::Drop(reason) => counters.count_drop(reason),
                }
            }
        }
        handled += inject(rings, snapshot, transmit, counters);
        transmit.flush(counters);
        debug_assert_eq!(counters.conservation().0, counters.conservation().1, "packets in, packets accounted for");
        self.previous_poll = Some(Poll { at: now, busy: handled > 0 });
        handled
    }

    fn account_time(&mut self, now: Nanos) {
        let counters = &*self.counters;
        if let Some(previous) = self.previous_poll {
            let elapsed = now.since(previous.at);
            let nanos = now.0.saturating_sub(previous.at.0);
            counters.total_nanos.add(nanos);
            if previous.busy {
                counters.busy_nanos.add(nanos);
            }
            if elapsed > STALL {
                counters.stalls.add(1);
                counters.last_stall_end.set(now.0);
            }
        }
        counters.polls.add(1);
        counters.last_poll.set(now.0);
    }
}

struct ForwardTally<'c>(&'c WorkerCounters);

impl Tally for ForwardTally<'_> {
    #[inline]
    fn forwarded(&mut self, vip: VipId, backend: &Backend, bytes: usize) {
        for traffic in [self.0.vip(vip), self.0.backend(backend.id)].into_iter().flatten() {
            traffic.add(bytes);
        }
    }
}

#[inline]
fn count_received<P: Packet>(counters: &WorkerCounters, burst: &Burst<P>) {
    let bytes: usize = burst.iter().map(Packet::total_len).sum();
    counters.bursts.add(1);
    counters.received.packets.add(burst.len() as u64);
    counters.received.bytes.add(bytes as u64);
}

#[cold]
fn punt<P>(rings: &PuntRings<P>, limit: &mut RateLimit, counters: &WorkerCounters, class: PuntClass, punted: Punt<P>) {
    if !limit.allow(punted.received) {
        counters.count_drop(DropReason::PuntRate);
    } else if rings.ring(class).push(punted).is_err() {
        counters.count_drop(DropReason::PuntFull);
    } else {
        counters.punted[class as usize].add(1);
    }
}

#[inline]
fn inject<P: Port>(
    rings: &ControlRings<P>,
    snapshot: &Snapshot,
    transmit: &mut Transmit<P>,
    counters: &WorkerCounters,
) -> usize {
    let mut count = 0;
    while count < INJECTIONS
        && let Some(injection) = rings.inject.pop()
    {
        count += 1;
        counters.injected.add(1);
        match address(injection, snapshot) {
            Ok((packet, egress)) => transmit.stage(packet, egress, snapshot, counters),
            Err(reason) => counters.count_drop(reason),
        }
    }
    count
}

/// Makes an injected packet ready to leave.
fn address<P: Packet>(injection: Inject<P>, snapshot: &Snapshot) -> Result<(P, PortId), DropReason> {
    match injection {
        Inject::Frame { packet, port } => Ok((packet, port)),
        Inject::ToBackend { mut packet, pool, index, backend } => {
            let pool = snapshot.pool(pool).ok_or(DropReason::StaleInjection)?;
            let record = pool.backends.get(usize::from(index)).filter(|record| record.id == backend);
            let record = record.ok_or(DropReason::StaleInjection)?;
            // Its Ethernet addresses are ours to fill, so whatever stands there is right.
            if let Some(destination) = packet.frame_mut().first_chunk_mut::<6>() {
                destination.fill(0);
            }
            let anyone = PortState { mac: [0; 6], up: true, any_destination: true };
            let Outcome::Packet(parsed) = parse(packet.frame(), packet.total_len(), &anyone) else {
                return Err(DropReason::StaleInjection);
            };
            let hash: FlowHash = snapshot.hasher.hash(&parsed.key);
            let egress = record.apply(&mut packet, &parsed, hash)?;
            Ok((packet, egress))
        }
    }
}
