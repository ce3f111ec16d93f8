//! The memory that the tables and the pins of a configuration need.

use crate::model::Config;
use std::fmt;

/// Bytes of one slot: a u16 (CONSISTENCY, Slots).
const SLOT: u64 = 2;

/// Pins of a bucket, and its bytes: one cache line (CONSISTENCY, Pins).
const BUCKET: (u64, u64) = (8, 64);

/// What the tables and the pins of a configuration need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Bytes of one copy of all tables.
    pub copy: u64,
    /// Copies: one for each worker while all of them fit, else one that workers share.
    pub copies: u64,
    /// Workers.
    pub workers: u64,
    /// Bytes that the copies may take: `[state] table_memory`.
    pub limit: u64,
    /// Bytes of the table of pins, one for all workers; not part of `limit`.
    pub pins: u64,
}

impl Memory {
    /// The need of one configuration.
    pub fn of(config: &Config) -> Self {
        let copy = config.pools.iter().map(|pool| u64::from(pool.table_size) * SLOT).sum::<u64>();
        let workers = config.cores.workers.len() as u64;
        let limit = config.table_memory;
        let copies = if copy.saturating_mul(workers) <= limit { workers } else { 1 };
        let pins = (config.pins as u64).div_ceil(BUCKET.0).saturating_mul(BUCKET.1);
        Self { copy, copies, workers, limit, pins }
    }

    /// Bytes of all copies of the tables.
    pub fn total(&self) -> u64 {
        self.copy.saturating_mul(self.copies)
    }
}

/// Two lines for `check`: tables and pins.
impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (total, limit) = (Bytes(self.total()), Bytes(self.limit));
        write!(f, "tables: {total}, {} a copy, ", Bytes(self.copy))?;
        if self.copies == self.workers {
            write!(f, "workers with a copy of their own: {}", self.workers)?;
        } else {
            write!(f, "one copy shared by {} workers since a copy for each exceeds table_memory", self.workers)?;
        }
        let over = if self.total() > self.limit { ", which even one copy exceeds" } else { "" };
        writeln!(f, " (table_memory {limit}{over})")?;
        write!(f, "pins: {}, shared by all workers", Bytes(self.pins))
    }
}

/// Bytes in the largest binary unit that keeps at least one whole unit.
struct Bytes(u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match [("GiB", 1u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)].into_iter().find(|&(_, unit)| self.0 >= unit) {
            Some((name, unit)) if self.0.is_multiple_of(unit) => write!(f, "{} {name}", self.0 / unit),
            Some((name, unit)) => write!(f, "{:.1} {name}", self.0 as f64 / unit as f64),
            None => write!(f, "{} bytes", self.0),
        }
    }
}
