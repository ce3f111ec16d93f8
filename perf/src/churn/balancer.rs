//! The product under test: its control side and its selection, with workers that adopt snapshots when they like.

use super::packet::{PORT_MAC, Packets, Shape, Source};
use super::random::Random;
use super::setup::Setup;
use guideway_control::control::Control;
use guideway_control::devices::NoDevices;
use guideway_control::reconcile::reconcile;
use guideway_control::state::State;
use guideway_dataplane::consistency::Phase;
use guideway_dataplane::counters::{PinCounters, WorkerCounters};
use guideway_dataplane::hash::FlowHash;
use guideway_dataplane::ids::{BackendId, WorkerId};
use guideway_dataplane::publish;
use guideway_dataplane::select::select;
use guideway_dataplane::snapshot::{PortState, Snapshot, SnapshotReader};
use guideway_dataplane::time::Nanos;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

/// A worker: what it knows, and when it will know more.
struct Worker {
    reader: SnapshotReader,
    counters: Arc<WorkerCounters>,
    /// When it comes round to what was published since; `None`: it knows all.
    adopts: Option<Nanos>,
    /// How far its clock is behind.
    behind: Duration,
}

/// A balancer in virtual time.
pub(super) struct Balancer {
    pub(super) control: Control,
    workers: Vec<Worker>,
    packets: Packets,
    random: Random,
    slow: f64,
    slowest: Duration,
}

/// Where a packet went.
#[derive(Clone, Copy)]
pub(super) struct Sent {
    pub(super) backend: BackendId,
    pub(super) hash: FlowHash,
}

impl Balancer {
    pub(super) fn new(setup: &Setup, seed: u64) -> Self {
        let config = Arc::new(setup.config());
        let ports = vec![PortState::new(PORT_MAC)];
        let mut state = State::new(config, ports, UNIX_EPOCH).unwrap_or_else(|error| panic!("{error}"));
        state.set_rules(setup.rules);
        let snapshot = reconcile(&mut state);
        let (publisher, readers) = publish::channel(snapshot, setup.workers);
        let counters: Vec<_> = readers.iter().map(|_| Arc::new(WorkerCounters::default())).collect();
        let control = Control::new(state, publisher, counters.clone(), Arc::new(NoDevices));
        let mut workers: Vec<Worker> = readers
            .into_iter()
            .zip(counters)
            .enumerate()
            .map(|(number, (reader, counters))| {
                let behind = if number == 0 { Duration::ZERO } else { setup.clock_skew };
                Worker { reader, counters, adopts: None, behind }
            })
            .collect();
        for worker in &mut workers {
            worker.reader.load();
        }
        let (slow, slowest) = (setup.slow_adoptions, setup.slowest_adoption);
        Self { control, workers, packets: Packets::new(), random: Random::new(seed), slow, slowest }
    }

    /// Lets time pass: workers come round, and the control side goes on.
    pub(super) fn tick(&mut self, now: Nanos) {
        for worker in &mut self.workers {
            worker.come_round(now);
        }
        let before = self.control.generation();
        self.control.step(now);
        self.published_since(before, now);
        self.control.reclaim();
    }

    /// Does something to the control side, and lets workers learn of it in their time.
    pub(super) fn change<T>(&mut self, now: Nanos, change: impl FnOnce(&mut Control) -> T) -> T {
        let before = self.control.generation();
        let result = change(&mut self.control);
        self.published_since(before, now);
        result
    }

    fn published_since(&mut self, generation: u64, now: Nanos) {
        if self.control.generation() == generation {
            return;
        }
        for worker in &mut self.workers {
            let slow = self.random.chance(self.slow);
            let most = if slow { self.slowest } else { Duration::from_millis(5) };
            let delay = self.random.between(Duration::ZERO, most);
            worker.adopts.get_or_insert(now + delay);
        }
    }

    /// Whether every worker uses the latest snapshot.
    pub(super) fn agrees(&self) -> bool {
        self.control.generation() == self.control.acknowledged()
    }

    /// How many workers there are.
    pub(super) fn workers(&self) -> usize {
        self.workers.len()
    }

    /// Sends a packet through one worker. The backend that gets it, and the flow's hash.
    pub(super) fn send(&mut self, worker: usize, source: Source, shape: Shape, now: Nanos) -> Option<Sent> {
        let number = worker % self.workers.len();
        let worker = &mut self.workers[number];
        worker.come_round(now);
        let (frame, parsed) = self.packets.make(source, shape);
        let snapshot = worker.reader.held()?;
        let seen = Nanos(now.0.saturating_sub(worker.behind.as_nanos() as u64));
        let selection = select(snapshot, WorkerId(number as u16), &parsed, frame, seen, &worker.counters.pins);
        let selection = selection.ok()?;
        selection.backend().map(|backend| Sent { backend: backend.id, hash: selection.hash })
    }

    /// Where a packet of an established flow would go that has no pin, and whether its slot is steady.
    pub(super) fn peek(&mut self, source: Source, shape: Shape) -> (Option<BackendId>, bool) {
        let (_, parsed) = self.packets.make(source, shape);
        let Some(snapshot) = self.workers[0].reader.held() else { return (None, false) };
        without_pin(snapshot, &parsed)
    }

    /// Where plain Maglev would send a flow: to the owner of its slot, whatever is under way.
    pub(super) fn plain(&self, hash: FlowHash) -> Option<BackendId> {
        let pool = &self.control.state().pools[0];
        let target = pool.plan.target();
        let owner = target.slots().get(hash.slot(target.size()) as usize)?.index();
        pool.backends.get(owner).map(|backend| backend.id)
    }

    /// Sums a counter of pins over the workers.
    pub(super) fn count(&self, of: impl Fn(&PinCounters) -> u64) -> u64 {
        self.workers.iter().map(|worker| of(&worker.counters.pins)).sum()
    }
}

impl Worker {
    fn come_round(&mut self, now: Nanos) {
        if self.adopts.is_some_and(|at| at <= now) {
            self.reader.load();
            self.adopts = None;
        }
    }
}

fn without_pin(snapshot: &Snapshot, parsed: &guideway_dataplane::parse::Parsed) -> (Option<BackendId>, bool) {
    let pool = &snapshot.pools[0];
    let slots = pool.slots(WorkerId(0));
    let number = snapshot.hasher.hash(&parsed.key).slot(slots.len() as u32);
    let Some(slot) = slots.get(number as usize) else { return (None, false) };
    let side = pool.special.as_deref().filter(|_| slot.is_special()).map(|special| (special, special.side(number)));
    let index = match side {
        Some((special, side)) if side.phase != Phase::Always && special.is_eligible(side.base) => {
            usize::from(side.base)
        }
        _ => slot.index(),
    };
    (pool.backends.get(index).map(|backend| backend.id), side.is_none())
}
