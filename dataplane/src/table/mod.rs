//! The lookup table of a pool: Maglev, and rendezvous for the slots of backends that are not eligible.
//!
//! A table is a pure function of the configured backends with their weights, the fleet's key, and the set of backends
//! that are eligible now. No history enters it: every machine of a fleet computes the same one.
//!
//! 1. [`BaseTable::build`] fills the table over all configured backends with the algorithm of Eisenbud et al.,
//!    "Maglev: A Fast and Reliable Software Network Load Balancer", NSDI 2016, section 3.4, extended by weights.
//! 2. [`BaseTable::with_eligible`] gives each slot whose owner is not eligible to the eligible backend that ranks
//!    highest for that slot by weighted rendezvous. A backend that leaves moves its own slots and no other's; its
//!    return restores the table exactly.
//!
//! # The base, to the bit
//!
//! Backends are ordered by name, by bytes. A backend's digest is [`FlowHasher::digest`] of its name in
//! [`Domain::BackendName`](crate::hash::Domain::BackendName); `lo` and `hi` are its bits 0..64 and 64..128. In a table
//! of `M` slots, `M` prime, its permutation is `offset + j * skip mod M` for `j` = 0, 1, …, with
//! `offset = lo mod M` and `skip = hi mod (M - 1) + 1`. In round `r` = 1, 2, … a backend of weight `w` has
//! `floor(r * w / w_max) - floor((r - 1) * w / w_max)` turns, in the order of the backends, and takes in each turn the
//! first slot of its permutation that is free, until no slot is free. A backend of weight 0 has no turn. If all weights
//! are 0, all count as 1: when everything drains, the draining backends serve.
//!
//! # The rank of a backend for a slot, to the bit
//!
//! A slot's digest is [`FlowHasher::digest`] of its number, 4 bytes in little endian, in
//! [`Domain::Slot`](crate::hash::Domain::Slot). With the halves of both digests, the score is the exclusive or of the
//! two halves of the 128-bit product `(lo_b ^ lo_s) * (hi_b ^ hi_s)`: 64 bits. Taken as a fraction `u` of 2^64 it gives
//! the cost `-log2(u) / w` (Schindelhauer and Schomaker, "Weighted Distributed Hash Tables", SPAA 2005); the lowest
//! cost ranks highest. The logarithm is fixed point with 48 fraction bits, digit by digit, rounded as documented at its
//! definition; costs are compared by cross multiplication, without rounding. Equal costs rank by higher weight, then by
//! higher score, then by name.

mod maglev;
mod permutation;
mod rendezvous;
mod slot;
mod turns;

pub use maglev::{BaseTable, BuildError, TableBackend};
use std::sync::Arc;

pub use slot::{MAX_POOL_BACKENDS, Slot};

#[cfg(doc)]
use crate::hash::FlowHasher;

/// The slots of a pool, immutable. A clone shares them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    slots: Arc<[Slot]>,
}

impl Table {
    /// Slots, by number; [`FlowHash::slot`](crate::hash::FlowHash::slot) of [`size`](Self::size) is always an index.
    #[inline]
    #[must_use]
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// The same table in memory of its own, as for a worker on another node.
    #[must_use]
    pub fn copied(&self) -> Self {
        Self { slots: self.slots.iter().copied().collect() }
    }

    /// The number of slots.
    #[inline]
    #[must_use]
    pub fn size(&self) -> u32 {
        self.slots.len() as u32
    }

    /// Whether no slot names a backend: nobody was eligible.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.iter().all(|slot| slot.is_empty())
    }
}

/// A table of given slots, as reconcile makes when it marks some special. At most `u32::MAX` slots.
impl From<Box<[Slot]>> for Table {
    fn from(slots: Box<[Slot]>) -> Self {
        Self { slots: slots.into() }
    }
}
