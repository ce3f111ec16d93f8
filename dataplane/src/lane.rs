//! Pools as one worker's fast path reads them: what a packet needs of a pool, side by side and without detours.

use crate::consistency::Special;
use crate::rewrite::Backend;
use crate::snapshot::Pool;
use crate::table::{Slot, Table};
use std::ops::Deref;
use std::sync::Arc;

/// The pools of a snapshot by [`PoolId`](crate::ids::PoolId), and what is derived of them for workers.
#[derive(Clone, Debug)]
pub struct Pools {
    pools: Box<[Arc<Pool>]>,
    /// One for each copy of tables: workers share copies as their number says.
    lanes: Box<[Box<[Lane]>]>,
    /// Whether there are more backends than whose counters stay in the first-level cache.
    many: bool,
}

/// Backends whose counters, 16 bytes each, are mostly within a usual processor's reach without asking.
const FEW_BACKENDS: usize = 4_096;

/// The hot part of a pool: a cache line, so that one miss brings all of it.
#[derive(Clone, Debug)]
#[repr(align(64))]
pub(crate) struct Lane {
    table: Table,
    backends: Arc<[Backend]>,
    special: Option<Arc<Special>>,
}

const _: () = assert!(size_of::<Lane>() == 64);

impl Lane {
    /// The slots that this lane's workers read.
    #[inline(always)]
    pub fn slots(&self) -> &[Slot] {
        self.table.slots()
    }

    /// What decides about special slots.
    #[inline(always)]
    pub fn special(&self) -> Option<&Special> {
        self.special.as_deref()
    }

    /// Backends by pool-local index.
    #[inline(always)]
    pub fn backends(&self) -> &[Backend] {
        &self.backends
    }
}

impl From<Box<[Arc<Pool>]>> for Pools {
    fn from(pools: Box<[Arc<Pool>]>) -> Self {
        let copies = pools.iter().map(|pool| pool.tables().len()).max().unwrap_or(0).max(1);
        let lane = |pool: &Arc<Pool>, copy: usize| Lane {
            table: pool.table(copy),
            backends: Arc::clone(&pool.backends),
            special: pool.special.clone(),
        };
        let of_copy = |copy| pools.iter().map(|pool| lane(pool, copy)).collect();
        let many = pools.iter().map(|pool| pool.backends.len()).sum::<usize>() > FEW_BACKENDS;
        Self { lanes: (0..copies).map(of_copy).collect(), many, pools }
    }
}

impl FromIterator<Arc<Pool>> for Pools {
    fn from_iter<I: IntoIterator<Item = Arc<Pool>>>(pools: I) -> Self {
        Self::from(pools.into_iter().collect::<Box<[_]>>())
    }
}

impl<const N: usize> From<[Arc<Pool>; N]> for Pools {
    fn from(pools: [Arc<Pool>; N]) -> Self {
        pools.into_iter().collect()
    }
}

impl Deref for Pools {
    type Target = [Arc<Pool>];

    #[inline]
    fn deref(&self) -> &[Arc<Pool>] {
        &self.pools
    }
}

impl Pools {
    /// Whether the counters of backends are worth asking for.
    #[inline(always)]
    pub(crate) const fn has_many_backends(&self) -> bool {
        self.many
    }

    /// The lanes of a worker, by pool.
    #[inline(always)]
    pub(crate) fn lanes(&self, worker: crate::ids::WorkerId) -> &[Lane] {
        let copy = worker.index().checked_rem(self.lanes.len()).unwrap_or(0);
        self.lanes.get(copy).map_or(&[], |lanes| lanes)
    }
}
