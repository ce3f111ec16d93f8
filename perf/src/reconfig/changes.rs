//! What is pushed: snapshots as the control side makes them of changes of backends, in a time of its own.

use crate::load::site::Site;
use guideway_config::model;
use guideway_control::health::Reason;
use guideway_control::reconcile::reconcile;
use guideway_control::state::{BackendHealth, Change, Moment, State};
use guideway_dataplane::snapshot::Snapshot;
use guideway_dataplane::time::Nanos;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::{Duration, UNIX_EPOCH};

/// Time that passes between two looks at a change that waits for time: it goes on in whatever it waits for.
const STEP: Duration = Duration::from_secs(60);
/// Looks after which a change that leads to no snapshot is given up.
const PATIENCE: usize = 100;
/// Backends that may be added to a pool.
const MOST_ADDED: u16 = 8;

/// A kind of change. It concerns one backend of every pool, and the next one of the same kind undoes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Another weight: a table built anew.
    Weight,
    /// A drain.
    Drain,
    /// A failed check.
    Kill,
    /// A new backend; it stays, and after a few of them weights change instead.
    Add,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Weight, Self::Drain, Self::Kill, Self::Add];
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Weight => "weight",
            Self::Drain => "drain",
            Self::Kill => "kill",
            Self::Add => "add",
        })
    }
}

/// Makes snapshots, one after another.
pub struct Changes {
    site: Site,
    state: State,
    kinds: Vec<Kind>,
    now: Nanos,
    generation: u64,
    events: usize,
    added: u16,
}

impl Changes {
    /// Changes of `state`, which is the site's, of these kinds in turns; of weights if there are none.
    #[must_use]
    pub fn new(site: Site, state: State, kinds: &[Kind]) -> Self {
        let kinds = if kinds.is_empty() { vec![Kind::Weight] } else { kinds.to_vec() };
        Self { site, state, kinds, now: Nanos(1), generation: 1, events: 0, added: 0 }
    }

    /// The next snapshot: what the change under way leads to, or the beginning of the next one. Each is built as for real
    /// workers, but time passes as fast as it can.
    pub fn build(&mut self) -> Snapshot {
        for look in 0.. {
            self.now = self.now + STEP;
            self.state.acknowledge(self.generation, self.now);
            let moment = Moment { now: self.now, acknowledged: true, crowded: false };
            if self.state.step(moment) || look > PATIENCE {
                break;
            }
            self.event();
            if self.state.is_stale() {
                break;
            }
        }
        let snapshot = reconcile(&mut self.state);
        self.generation += 1;
        self.state.published(self.generation);
        snapshot
    }

    /// Changes something in each pool.
    fn event(&mut self) {
        let event = self.events;
        self.events += 1;
        let (turn, undo) = (event / 2, event % 2 == 1);
        let kind = self.kinds[turn % self.kinds.len()];
        let backend = (turn / self.kinds.len() % usize::from(self.site.backends.max(1))) as u16;
        if kind == Kind::Add && self.added < MOST_ADDED {
            self.added += 1;
        }
        for pool in 0..self.site.pools {
            match kind {
                Kind::Kill => self.kill(pool, backend, undo),
                Kind::Drain if undo => self.change(pool, backend, Change::Enable),
                Kind::Drain => self.change(pool, backend, Change::Drain { force: false }),
                Kind::Add if self.added < MOST_ADDED => self.add(pool),
                Kind::Add | Kind::Weight => self.change(pool, backend, Change::Weight(if undo { 10 } else { 7 })),
            }
        }
    }

    fn change(&mut self, pool: u16, backend: u16, change: Change) {
        let (pool, backend) = (Site::pool_name(pool), Site::backend_name(pool, backend));
        // A change that is refused changes nothing, and the next one comes: a pool of one backend keeps it.
        let _ = self.state.change(&pool, &backend, change, self.now);
    }

    fn kill(&mut self, pool: u16, backend: u16, undo: bool) {
        let id = self.state.pools[usize::from(pool)].backends[usize::from(backend)].id;
        let (health, reason) =
            if undo { (BackendHealth::Up, Reason::Answered) } else { (BackendHealth::Down, Reason::Timeout) };
        self.state.set_health(id, health, reason, UNIX_EPOCH);
    }

    fn add(&mut self, pool: u16) {
        let sites = u32::from(self.site.pools) * u32::from(self.site.backends);
        let number = sites + u32::from(self.added) * u32::from(self.site.pools) + u32::from(pool);
        let address = self.site.backend(number);
        let name = format!("added{}", self.added);
        let backend = model::Backend { name, address, port: None, weight: 10, priority: 0, server_id: None };
        if self.state.add(&Site::pool_name(pool), backend, UNIX_EPOCH).is_err() {
            return;
        }
        let (link, mac) = self.site.neighbor(number);
        self.state.set_neighbor(link, address, Some(mac));
        let added = self.state.pools[usize::from(pool)].backends.last().map(|backend| backend.id);
        if let Some(id) = added {
            self.state.set_health(id, BackendHealth::Up, Reason::Answered, UNIX_EPOCH);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::frames::FrameSize;
    use crate::load::site::Mode;
    use guideway_dataplane::ids::WorkerId;
    use std::sync::Arc;

    fn site(mode: Mode, pools: u16) -> Site {
        Site { mode, v6: false, pools, backends: 5, flows: 100, size: FrameSize::Fixed(64) }
    }

    #[test]
    fn every_snapshot_is_another_one_in_every_pool() {
        for kind in Kind::ALL {
            let site = site(Mode::Ipip, 3);
            let (state, ..) = site.start(1);
            let mut changes = Changes::new(site, state, &[kind]);
            let mut before = changes.build();
            for number in 0..30 {
                let snapshot = changes.build();
                let same = |pool: usize| Arc::ptr_eq(&before.pools[pool], &snapshot.pools[pool]);
                assert!((0..3).all(|pool| !same(pool)), "{kind} {number}");
                before = snapshot;
            }
        }
    }

    #[test]
    fn all_kinds_change_who_gets_flows_and_leave_somebody() {
        for mode in [Mode::L2dsr, Mode::Ipip] {
            let site = site(mode, 2);
            let (state, ..) = site.start(1);
            let mut changes = Changes::new(site, state, &Kind::ALL);
            let mut owners = std::collections::HashSet::new();
            for _ in 0..60 {
                let snapshot = changes.build();
                for pool in snapshot.pools.iter() {
                    let slots = pool.slots(WorkerId(0));
                    assert!(!slots.is_empty() && slots.iter().all(|slot| slot.index() < pool.backends.len()));
                    let used: std::collections::BTreeSet<_> = slots.iter().map(|slot| slot.index()).collect();
                    owners.insert(used);
                }
            }
            // All five, without one of each, with added ones.
            assert!(owners.len() > 6, "{mode}: {owners:?}");
            assert!(owners.iter().any(|used| used.contains(&5)), "{mode}: nobody was added: {owners:?}");
        }
    }
}
