//! The pusher: publishes a snapshot at each period, and sees when every worker uses it.

use super::changes::Changes;
use crate::clock::Clock;
use crate::latency::Latencies;
use guideway_dataplane::publish::Generation;
use guideway_dataplane::snapshot::{Pool, Snapshot, SnapshotPublisher, SnapshotReader};
use std::sync::Arc;

/// Pools that one call puts into the snapshot to come: a fraction of a microsecond between two bursts.
const POOLS_AT_ONCE: usize = 8;

/// Where snapshots come from.
pub enum Source {
    /// Built beforehand, in turns: a push puts one together of pools that are there.
    Ahead {
        /// They.
        snapshots: Vec<Arc<Snapshot>>,
        /// The next one.
        next: usize,
        /// Its pools, as far as they are put together.
        pools: Vec<Arc<Pool>>,
    },
    /// Built for each push.
    Live(Box<Changes>),
}

impl Source {
    /// Builds `count` snapshots beforehand.
    #[must_use]
    pub fn ahead(mut changes: Changes, count: usize) -> Self {
        let snapshots = (0..count.max(1)).map(|_| Arc::new(changes.build())).collect();
        Self::Ahead { snapshots, next: 0, pools: Vec::new() }
    }

    /// Another source of the same snapshots; of a live one, of none: it has only one.
    #[must_use]
    pub fn share(&self) -> Self {
        let snapshots = match self {
            Self::Ahead { snapshots, .. } => snapshots.clone(),
            Self::Live(_) => Vec::new(),
        };
        Self::Ahead { snapshots, next: 0, pools: Vec::new() }
    }

    /// Gets ahead with the next snapshot; returns it when it is ready.
    fn prepare(&mut self) -> Option<Snapshot> {
        match self {
            Self::Live(changes) => Some(changes.build()),
            Self::Ahead { snapshots, next, pools } => {
                let whole = snapshots.get(*next)?;
                let at = pools.len();
                if at < whole.pools.len() {
                    pools.reserve_exact(whole.pools.len() - at);
                    pools.extend(whole.pools[at..].iter().take(POOLS_AT_ONCE).cloned());
                    return None;
                }
                let snapshot = Snapshot {
                    hasher: whole.hasher.clone(),
                    vips: whole.vips.clone(),
                    own_addresses: whole.own_addresses.clone(),
                    tunnel_sources: whole.tunnel_sources.clone(),
                    ports: whole.ports.clone(),
                    links: whole.links.clone(),
                    pins: Arc::clone(&whole.pins),
                    pools: std::mem::take(pools).into_boxed_slice(),
                };
                *next = (*next + 1) % snapshots.len();
                Some(snapshot)
            }
        }
    }
}

/// What became of the pushes of a round.
#[derive(Clone, Debug)]
pub struct Pushed {
    /// Snapshots published.
    pub pushes: u64,
    /// From the beginning of the publication until every worker was seen to use the snapshot.
    pub visible: Latencies,
    /// How long the publication took the pusher: the swap, and freeing what no worker uses any more.
    pub publishing: Latencies,
}

impl Pushed {
    /// None yet; times are in ticks of which there are `hz` a second.
    #[must_use]
    pub fn new(hz: u64) -> Self {
        Self { pushes: 0, visible: Latencies::new(hz), publishing: Latencies::new(hz) }
    }

    /// Adds another round's.
    pub fn add(&mut self, other: &Self) {
        self.pushes += other.pushes;
        self.visible.add(&other.visible);
        self.publishing.add(&other.publishing);
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
        self.due = self.clock.ticks() + self.period;
        self.left = pushes;
    }

    /// Does what is to be done at `now`, in ticks: looks for the acknowledgement, or gets ahead with the next snapshot, or
    /// publishes it. To be called as often as possible; a call is short, but for the building of a live source.
    #[inline]
    pub fn step(&mut self, now: u64) {
        if let Some((generation, published)) = self.pending {
            if let Some(decoy) = &mut self.decoy {
                decoy.load();
            }
            if self.publisher.acknowledged() >= generation {
                self.pushed.visible.record(short(self.clock.ticks().saturating_sub(published)));
                self.pending = None;
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
            self.ready = self.source.prepare();
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
