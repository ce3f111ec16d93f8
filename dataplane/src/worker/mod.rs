//! The worker: polls its receive queues, sends each burst through the stages, hands packets out.

mod deliver;
mod inject;

use crate::counters::{STALL, WorkerCounters};
use crate::fast::Together;
use crate::fragment::Released;
use crate::hash::FlowHasher;
use crate::idle::Rest;
use crate::ids::{PortId, WorkerId};
use crate::observe::{Observed, Observer};
use crate::pipeline::{Arrival, Decisions, SessionStage, Stages, Trace};
use crate::port::{Burst, Packet, Port, RxQueue};
use crate::prefetch::prefetch;
use crate::punt::{ControlRings, InjectRing, PuntClass, RateLimit};
use crate::select::Verdict;
use crate::session::SessionRoom;
use crate::snapshot::{Snapshot, SnapshotReader};
use crate::time::Nanos;
use crate::transmit::{Transmit, TxPath};
use deliver::{Delivery, first_identification};
use inject::Received;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

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
    /// What sessions need; `None`: no pool rewrites addresses.
    pub sessions: Option<SessionParts<P>>,
    /// Where buffers for the fragments of outer packets come from.
    pub pool: Arc<P::Pool>,
    /// Packets a second for the kernel at most.
    pub exception_rate: u32,
    /// Secret of this process: scatters fragments over their table.
    pub secret: [u8; 16],
    /// Where it counts.
    pub counters: Arc<WorkerCounters>,
}

/// What sessions of a worker are made of.
pub struct SessionParts<P: Port> {
    /// How many there may be.
    pub room: SessionRoom,
    /// The addresses that stand for clients, of all pools, as [`crate::vip::address_bits`].
    pub sources: Box<[u128]>,
    /// The rings to all workers, by their number, this one's own among them.
    pub peers: Arc<[Arc<InjectRing<P::Packet>>]>,
}

/// One poll loop's state.
pub struct Worker<P: Port> {
    id: WorkerId,
    rx: Vec<(PortId, P::Rx)>,
    snapshots: SnapshotReader,
    stages: Stages<P::Packet>,
    delivery: Delivery<P>,
    observer: Box<Observer>,
    previous_poll: Option<Poll>,
    /// `Some` after a sleep since that poll: for how long the thread then waited for its core.
    slept: Option<Duration>,
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
        let hasher = FlowHasher::new(parts.secret);
        let peers = parts.sessions.as_ref().map_or_else(Arc::default, |sessions| Arc::clone(&sessions.peers));
        let workers = peers.len() as u16;
        let sessions = parts.sessions.map(|of| {
            let pool = Arc::clone(&parts.pool);
            let punts = Arc::clone(&parts.rings.punts);
            SessionStage::new((parts.id, workers), of.room, of.sources, parts.secret, (pool, punts))
        });
        let rate = |class: PuntClass| if class == PuntClass::Exception { parts.exception_rate } else { class.rate() };
        let delivery = Delivery {
            rings: parts.rings,
            limits: PuntClass::ALL.map(|class| RateLimit::new(rate(class))),
            transmit: Transmit::new(parts.tx),
            pool: parts.pool,
            peers,
            identification: first_identification(parts.id),
            counters: parts.counters,
        };
        Self {
            id: parts.id,
            rx: parts.rx,
            snapshots: parts.snapshots,
            stages: Stages::new(hasher, sessions),
            delivery,
            observer: Box::new(Observer::new(parts.id)),
            previous_poll: None,
            slept: None,
        }
    }

    /// The addresses of the memory of its sessions, for wishes about pages.
    #[must_use]
    pub fn session_memory(&self) -> Vec<Range<usize>> {
        self.stages.session_memory()
    }

    /// Polls until `stop` is set. `clock` is read once a poll.
    ///
    /// Who sets `stop` must ring at the worker's doorbell then: it may sleep.
    pub fn run(&mut self, stop: &AtomicBool, mut idle: impl Rest, mut clock: impl FnMut() -> Nanos) {
        let mut empty_polls = 0_u32;
        while !stop.load(Relaxed) {
            if self.poll(clock(), &mut ()) == 0 {
                empty_polls = empty_polls.saturating_add(1);
                self.slept = idle.rest(empty_polls);
            } else if empty_polls > 0 {
                empty_polls = 0;
                idle.resume();
            }
        }
        idle.resume();
    }

    /// One pass: a burst of each receive queue, then what the control side wants sent.
    ///
    /// Returns how many packets there were. `now` is the time of the pass. What somebody looks for
    /// ([`crate::observe`]) is told unless `trace` watches.
    pub fn poll<T: Trace>(&mut self, now: Nanos, trace: &mut T) -> usize {
        self.account_time(now);
        let Self { id, rx, snapshots, stages, delivery, .. } = self;
        let snapshot = snapshots.load();
        let handled = if T::ENABLED || snapshot.observe.is_none() {
            pass(snapshot, *id, rx, stages, delivery, now, trace)
        } else {
            self.observed_pass(now)
        };
        self.previous_poll = Some(Poll { at: now, busy: handled > 0 });
        handled
    }

    /// [`Worker::poll`] with the snapshot of the poll before, though there may be a later one: what a worker does whose
    /// poll began before that was published. For `replay --skew`.
    pub fn poll_holding<T: Trace>(&mut self, now: Nanos, trace: &mut T) -> usize {
        self.account_time(now);
        let Self { id, rx, snapshots, stages, delivery, .. } = self;
        let snapshot = match snapshots.held() {
            Some(snapshot) => snapshot,
            // There is none before the first poll.
            None => snapshots.load(),
        };
        let handled = pass(snapshot, *id, rx, stages, delivery, now, trace);
        self.previous_poll = Some(Poll { at: now, busy: handled > 0 });
        handled
    }

    /// A pass that tells what somebody looks for.
    #[cold]
    #[inline(never)]
    fn observed_pass(&mut self, now: Nanos) -> usize {
        let Self { id, rx, snapshots, stages, delivery, observer, .. } = self;
        let generation = snapshots.generation();
        let Some(snapshot) = snapshots.held() else { return 0 };
        let Some(observe) = snapshot.observe.as_deref() else { return 0 };
        let mut observed = Observed { observer, observe, generation, now };
        pass(snapshot, *id, rx, stages, delivery, now, &mut observed)
    }

    fn account_time(&mut self, now: Nanos) {
        let counters = &*self.delivery.counters;
        if let Some(previous) = self.previous_poll {
            let nanos = now.0.saturating_sub(previous.at.0);
            counters.total_nanos.add(nanos);
            if previous.busy {
                counters.busy_nanos.add(nanos);
            }
            // Sleep is idle time, and no stall but for what it was prolonged by.
            let kept = self.slept.take().map_or(Duration::from_nanos(nanos), |late| {
                counters.sleeps.add(1);
                late
            });
            if kept > STALL {
                counters.stalls.add(1);
                counters.last_stall_end.set(now.0);
            }
        }
        counters.polls.add(1);
        counters.last_poll.set(now.0);
    }
}

/// One pass over everything. Returns how many packets there were.
#[inline(always)]
fn pass<P: Port, T: Trace>(
    snapshot: &Snapshot,
    id: WorkerId,
    rx: &mut [(PortId, P::Rx)],
    stages: &mut Stages<P::Packet>,
    delivery: &mut Delivery<P>,
    now: Nanos,
    trace: &mut T,
) -> usize {
    let mut handled = 0;
    for (port, queue) in rx {
        let mut burst = Burst::<P::Packet>::new();
        let received = queue.receive(&mut burst);
        if received == 0 {
            continue;
        }
        handled += received;
        count_received(&delivery.counters, &burst);
        let arrival = Arrival { snapshot, worker: id, port: *port, now, first: None };
        if T::ENABLED && trace.wants(arrival, &burst) {
            forward(arrival, burst, stages, delivery, trace);
        } else {
            forward(arrival, burst, stages, delivery, &mut ());
        }
    }
    if stages.fragments().holds_any() {
        release(Arrival { snapshot, worker: id, port: PortId(0), now, first: None }, stages, delivery, trace);
    }
    let mut received = Received::new();
    handled += delivery.inject(snapshot, &mut received, trace);
    if !received.is_empty() {
        take_over(
            Arrival { snapshot, worker: id, port: PortId(0), now, first: None },
            received,
            stages,
            delivery,
            trace,
        );
    }
    stages.tick_sessions(snapshot, now, &delivery.counters);
    send_beside(snapshot, usize::MAX, stages, delivery);
    delivery.transmit.flush(&delivery.counters);
    if cfg!(debug_assertions) {
        let (entered, left) = delivery.counters.conservation();
        assert_eq!(entered, left, "packets in, packets accounted for");
    }
    handled
}

/// Sends a burst through the stages, and each packet where it was decided.
// Always: it is called for two kinds of traces, and as a function of its own it would have the burst copied.
#[inline(always)]
fn forward<P: Port, T: Trace>(
    arrival: Arrival<'_>,
    mut burst: Burst<P::Packet>,
    stages: &mut Stages<P::Packet>,
    delivery: &mut Delivery<P>,
    trace: &mut T,
) {
    let mut decisions = Decisions::new();
    match stages.process::<T>(arrival, &mut burst, &mut decisions, &delivery.counters) {
        Some(Together::Leave(egress, bytes)) => {
            return delivery.transmit.stage_burst(burst, egress, bytes, arrival.snapshot, &delivery.counters);
        }
        Some(Together::Drop(reason)) => {
            delivery.counters.drops[reason as usize].add(burst.len() as u64);
            return Packet::free_all(&mut burst);
        }
        None => {}
    }
    let mut dropped = Burst::new();
    for (number, (packet, decided)) in burst.into_iter().zip(&decisions).enumerate() {
        send_beside(arrival.snapshot, number, stages, delivery);
        if T::ENABLED {
            trace.decided(number, &stages.decision(&decisions, number), arrival, &packet);
        }
        if let Verdict::Drop(reason) = decided.verdict {
            delivery.counters.count_drop(reason);
            dropped.push(packet);
            if T::ENABLED {
                trace.settled(number, arrival, Some(reason));
            }
        } else if T::ENABLED {
            let reason = delivery.deliver_and_tell(arrival, packet, decided.verdict, stages);
            trace.settled(number, arrival, reason);
        } else {
            delivery.deliver(arrival, packet, decided.verdict, stages);
        }
    }
    Packet::free_all(&mut dropped);
}

/// Sends what sessions want sent before packet `number` of a burst.
#[inline]
fn send_beside<P: Port>(
    snapshot: &Snapshot,
    number: usize,
    stages: &mut Stages<P::Packet>,
    delivery: &mut Delivery<P>,
) {
    while let Some((egress, packet)) = stages.next_beside(number) {
        delivery.counters.added.add(1);
        delivery.transmit.stage(packet, egress, snapshot, &delivery.counters);
    }
}

/// Sends the fragments whose datagram's first one has come through the stages, and gives up on those that waited too long.
#[cold]
#[inline(never)]
fn release<P: Port, T: Trace>(
    arrival: Arrival<'_>,
    stages: &mut Stages<P::Packet>,
    delivery: &mut Delivery<P>,
    trace: &mut T,
) {
    while let Some(released) = stages.fragments().next_released(arrival.now) {
        delivery.counters.released.add(1);
        let (packet, port, first) = match released {
            Released::Known { packet, port, first } => (packet, port, first),
            Released::Refused { packet, port, reason } => {
                delivery.counters.count_drop(reason);
                if T::ENABLED {
                    trace.given_up(reason, Arrival { port, ..arrival }, &packet);
                }
                continue;
            }
        };
        let arrival = Arrival { port, first: Some(first), ..arrival };
        let mut burst = Burst::new();
        burst.push(packet);
        let mut decisions = Decisions::new();
        let together = stages.process::<T>(arrival, &mut burst, &mut decisions, &delivery.counters);
        debug_assert!(together.is_none(), "the fast path takes no fragments");
        for (number, (packet, decided)) in burst.drain(..).zip(&decisions).enumerate() {
            if T::ENABLED {
                trace.released(&stages.decision(&decisions, number), arrival, &packet);
            }
            delivery.deliver(arrival, packet, decided.verdict, stages);
        }
    }
}

/// Sends packets that other workers received through the stages: as many in a burst as came in by the same port.
#[cold]
#[inline(never)]
fn take_over<P: Port, T: Trace>(
    arrival: Arrival<'_>,
    received: Received<P::Packet>,
    stages: &mut Stages<P::Packet>,
    delivery: &mut Delivery<P>,
    trace: &mut T,
) {
    let mut burst = Burst::new();
    let mut from = arrival.port;
    for (port, packet) in received {
        if port != from && !burst.is_empty() {
            forward(Arrival { port: from, ..arrival }, std::mem::take(&mut burst), stages, delivery, trace);
        }
        from = port;
        // A burst holds as many as are taken from the ring at once.
        burst.push(packet);
    }
    forward(Arrival { port: from, ..arrival }, burst, stages, delivery, trace);
}

/// Counts a burst, and asks for the first line of each frame.
#[inline]
fn count_received<P: Packet>(counters: &WorkerCounters, burst: &Burst<P>) {
    let mut bytes = 0;
    for packet in burst {
        bytes += packet.total_len();
        prefetch(packet.frame());
    }
    counters.bursts.add(1);
    counters.received.packets.add(burst.len() as u64);
    counters.received.bytes.add(bytes as u64);
}
