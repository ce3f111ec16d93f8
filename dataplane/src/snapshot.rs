//! What a worker needs to know, immutable: published as a whole, shared by all workers, replaced at every change.

use crate::hash::FlowHasher;
use crate::ids::{PoolId, WorkerId};
use crate::rewrite::Backend;
use crate::table::{Slot, Table};
use crate::vip::VipTable;
use crate::wire::ethernet::Mac;
use std::sync::Arc;

/// One immutable state of everything that workers decide by.
#[derive(Debug)]
pub struct Snapshot {
    /// The keyed flow hash.
    pub hasher: FlowHasher,
    /// Services and the pools behind them.
    pub vips: VipTable,
    /// Own addresses of the balancer as [`crate::vip::address_bits`], sorted.
    pub own_addresses: Box<[u128]>,
    /// Ports by [`crate::ids::PortId`].
    pub ports: Box<[PortState]>,
    /// Pools by [`PoolId`]. A pool that did not change is the same `Arc` as in the snapshot before.
    pub pools: Box<[Arc<Pool>]>,
}

/// What workers need to know of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortState {
    /// Its hardware address.
    pub mac: Mac,
    /// Whether its link is up; nothing is sent to a port that is down.
    pub up: bool,
    /// Whether any unicast destination MAC is taken as its own: for captures of other machines (`replay`).
    pub any_destination: bool,
}

/// A pool: its table and its backends.
#[derive(Debug)]
pub struct Pool {
    // One copy for each worker, or fewer that workers share: which is a question of memory (`table_memory`).
    tables: Arc<[Table]>,
    /// Backends by pool-local index: what a slot of the table names.
    pub backends: Box<[Backend]>,
}

impl Pool {
    /// A pool with a table for each worker, or fewer that workers share, and its backends. Each table is a copy of the
    /// same one.
    #[must_use]
    pub fn new(tables: Arc<[Table]>, backends: Box<[Backend]>) -> Self {
        Self { tables, backends }
    }

    /// The slots that this worker reads. Empty if the pool has nobody to serve it.
    #[inline]
    #[must_use]
    pub fn slots(&self, worker: WorkerId) -> &[Slot] {
        let copy = worker.index().checked_rem(self.tables.len()).unwrap_or(0);
        self.tables.get(copy).map_or(&[], |table| table.slots())
    }

    /// The copies of the table.
    #[must_use]
    pub fn tables(&self) -> &Arc<[Table]> {
        &self.tables
    }
}

impl Snapshot {
    /// The pool with this id.
    #[inline]
    #[must_use]
    pub fn pool(&self, id: PoolId) -> Option<&Pool> {
        self.pools.get(id.index()).map(Arc::as_ref)
    }

    /// Whether an address, as [`crate::vip::address_bits`], is one of the balancer's own.
    #[must_use]
    pub fn is_own(&self, address: u128) -> bool {
        self.own_addresses.binary_search(&address).is_ok()
    }
}

/// The reading end that a worker holds.
pub type SnapshotReader = crate::publish::Reader<Snapshot>;

/// The writing end that the control side holds.
pub type SnapshotPublisher = crate::publish::Publisher<Snapshot>;
