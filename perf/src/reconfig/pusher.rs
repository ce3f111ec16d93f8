//! The pusher: publishes a snapshot at each period, and sees when every worker uses it.

use super::changes::Changes;
use crate::clock::Clock;
use crate::latency::Latencies;
use guideway_dataplane::publish::Generation;
use guideway_dataplane::snapshot::{Snapshot, SnapshotPublisher, SnapshotReader};
use std::collections::VecDeque;
use std::sync::Arc;

/// Where snapshots come from.
pub enum Source {
    /// Built beforehand, in turns. Those of a round are copied before it begins: they share their pools.
    Ahead {
        /// What was built.
        snapshots: Vec<Arc<Snapshot>>,
        /// The next one.
        next: usize,
        /// Copies for the round.
        copies: VecDeque<Snapshot>,
    },
    /// Built for each push.
    Live(Box<Changes>),
}

impl Source {
    /// Builds `count` snapshots beforehand.
    #[must_use]
    pub fn ahead(mut changes: Changes, count: usize) -> Self {
        let snapshots = (0..count.max(1)).map(|_| Arc::new(changes.build())).collect();
        Self::Ahead { snapshots, next: 0, copies: VecDeque::new() }
    }

    /// Another source of the same snapshots; of a live one, of none: it has only one.
    #[must_use]
    pub fn share(&self) -> Self {
        let snapshots = match self {
            Self::Ahead { snapshots, .. } => snapshots.clone(),
            Self::Live(_) => Vec::new(),
        };
        Self::Ahead { snapshots, next: 0, copies: VecDeque::new() }
    }

    /// Gets ready for so many pushes.
    fn begin(&mut self, pushes: u64) {
        if let Self::Ahead { snapshots, next, copies } = self {
            while (copies.len() as u64) < pushes
                && let Some(snapshot) = snapshots.get(*next)
            {
                copies.push_back(copy(snapshot));
                *next = (*next + 1) % snapshots.len();
            }
        }
    }

    /// The next snapshot.
    fn next(&mut self) -> Option<Snapshot> {
        match self {
            Self::Live(changes) => Some(changes.build()),
            Self::Ahead { copies, .. } => copies.pop_front(),
        }
    }
}

fn copy(snapshot: &Snapshot) -> Snapshot {
    Snapshot {
        hasher: snapshot.hasher.clone(),
        vips: snapshot.vips.clone(),
        own_addresses: snapshot.own_addresses.clone(),
        tunnel_sources: snapshot.tunnel_sources.clone(),
        ports: snapshot.ports.clone(),
        links: snapshot.links.clone(),
        pins: Arc::clone(&snapshot.pins),
        pools: snapshot.pools.clone(),
        nat_backends: snapshot.nat_backends.clone(),
        probe_ports_end: snapshot.probe_ports_end,
        observe: snapshot.observe.clone(),
    }
}

/// What became of the pushes of a round.
#[derive(Clone, Debug)]
pub struct Pushed {
    /// Snapshots published.
    pub pushes: u64,
    /// From the beginning of the publication until every worker was seen to use the snapshot.
    pub visible: Latencies,
    /// How long the publication took the pusher.
    pub publishing: Latencies,
    /// How long it took to free the snapshot before, once no worker used it any more.
    pub freeing: Latencies,
}

impl Pushed {
    /// None yet; times are in ticks of which there are `hz` a second.
    #[must_use]
    pub fn new(hz: u64) -> Self {
        let none = || Latencies::new(hz);
        Self { pushes: 0, visible: none(), publishing: none(), freeing: none() }
    }

    /// Adds another round's.
    pub fn add(&mut self, other: &Self) {
        self.pushes += other.pushes;
        self.visible.add(&other.visible);
        self.publishing.add(&other.publishing);
        self.freeing.add(&other.freeing);
    }
}

/// Publishes.
pub struct Pusher<C> {
    publisher: SnapshotPublisher,
    source: Source,
    clock: C,
    /// Ticks from push to push.
    period: u64,
    due: u64,
    /// Pushes that are left of the round.
    left: u64,
    ready: Option<Snapshot>,
    pending: Option<(Generation, u64)>,
    /// Reads in the place of workers, where these are not to notice.
    decoy: Option<SnapshotReader>,
    pushed: Pushed,
}

impl<C: Clock> Pusher<C> {
    /// A pusher that pushes every `period` ticks once a round has begun. With a `decoy`, which is the publisher's only
    /// reader, it does all the same work, and no worker learns of it.
    #[must_use]
    pub fn new(
        publisher: SnapshotPublisher,
        source: Source,
        clock: C,
        period: u64,
        decoy: Option<SnapshotReader>,
    ) -> Self {
        let pushed = Pushed::new(clock.hz());
        Self { publisher, source, clock, period, due: 0, left: 0, ready: None, pending: None, decoy, pushed }
    }

    /// Begins a round of `pushes` pushes, the first one a period from now.
    pub fn begin(&mut self, pushes: u64) {
        self.pushed = Pushed::new(self.clock.hz());
        self.source.begin(pushes);
        self.due = self.clock.ticks() + self.period;
        self.left = pushes;
    }

    /// Does what is to be done at `now`, in ticks: looks for the acknowledgement, or takes the next snapshot, or publishes it.
    /// To be called as often as possible; a call is short, but for the building of a live source.
    #[inline]
    pub fn step(&mut self, now: u64) {
        if let Some((generation, published)) = self.pending {
            if let Some(decoy) = &mut self.decoy {
                decoy.load();
            }
            if self.publisher.acknowledged() >= generation {
                let seen = self.clock.ticks();
                self.pushed.visible.record(short(seen.saturating_sub(published)));
                self.pending = None;
                // Here and not in the next publication, which would take longer by it.
                self.publisher.reclaim();
                self.pushed.freeing.record(short(self.clock.ticks().saturating_sub(seen)));
            }
        } else if self.left > 0 {
            self.push(now);
        }
    }

    /// [`Pusher::step`] at the time of the clock.
    #[inline]
    pub fn tick(&mut self) {
        self.step(self.clock.ticks());
    }

    fn push(&mut self, now: u64) {
        if self.ready.is_none() {
            self.ready = self.source.next();
        } else if now >= self.due
            && let Some(snapshot) = self.ready.take()
        {
            let start = self.clock.ticks();
            let generation = self.publisher.publish(snapshot);
            self.pushed.publishing.record(short(self.clock.ticks().saturating_sub(start)));
            self.pending = Some((generation, start));
            self.pushed.pushes += 1;
            self.left -= 1;
            // A push that is late does not bring the next one forward.
            self.due = self.due.saturating_add(self.period).max(now);
        }
    }

    /// Ends the round, and waits until the last push of it is acknowledged: the next round begins with nothing to do.
    pub fn end(&mut self) {
        self.left = 0;
        while self.pending.is_some() {
            self.tick();
            // In a test the worker may need this very core.
            std::thread::yield_now();
        }
    }

    /// What became of the round.
    #[must_use]
    pub const fn pushed(&self) -> &Pushed {
        &self.pushed
    }
}

fn short(ticks: u64) -> u32 {
    u32::try_from(ticks).unwrap_or(u32::MAX)
}
