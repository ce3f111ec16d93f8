//! The sweep: visits every word in small steps, frees what is expired, and tells what there is.

use super::clock::Tick;
use super::table::{Found, PinTable};
use super::word::{Pin, PinState};
use crate::ids::BackendId;
#[cfg(loom)]
use loom::sync::atomic::Ordering::Relaxed;
#[cfg(not(loom))]
use std::sync::atomic::Ordering::Relaxed;

/// Ticks that a sweep lets pass after the idle time: more than any worker's clock may be behind its own.
const SWEEP_MARGIN: u16 = 4;

/// Whose pins they are.
pub trait PinOwner {
    /// The idle time of the pool of this backend, in ticks; `None` if nobody has this id any more.
    fn idle(&self, backend: BackendId) -> Option<u16>;

    /// Whether a pin says nothing that its slot does not say: then it is removed.
    fn is_redundant(&self, pin: Pin) -> bool;

    /// Takes note of a pin that stays.
    fn live(&mut self, pin: Pin);
}

/// A sweep under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sweep {
    next: usize,
    /// Pins freed since it began.
    pub freed: usize,
    /// Pins that stayed since it began.
    pub live: usize,
}

impl Sweep {
    /// Visits the next `buckets` buckets. Returns whether it came to the end of the table; it begins anew then at the next
    /// call.
    pub fn step(&mut self, table: &PinTable, buckets: usize, now: Tick, owner: &mut impl PinOwner) -> bool {
        if self.next == 0 {
            *self = Self::default();
        }
        let end = self.next.saturating_add(buckets).min(table.buckets());
        for index in self.next..end {
            for word in table.bucket(index) {
                let Some(pin) = Pin::of_word(word.load(Relaxed)) else { continue };
                self.visit(table, Found::new(word, pin), now, owner);
            }
        }
        let done = end == table.buckets();
        self.next = if done { 0 } else { end };
        done
    }

    fn visit(&mut self, table: &PinTable, found: Found<'_>, now: Tick, owner: &mut impl PinOwner) {
        let pin = found.pin;
        let idle = owner.idle(pin.backend());
        let useless =
            idle.is_none_or(|idle| pin.is_expired(now, table.clock(), idle, SWEEP_MARGIN)) || owner.is_redundant(pin);
        // What another worker changes meanwhile is in use: then it stays.
        if useless && found.remove() {
            self.freed += 1;
            return;
        }
        if pin.state() == PinState::Embryonic && pin.is_late(now, table.clock()) {
            let _ = found.replace(pin.aged(now, table.clock()));
        }
        self.live += 1;
        owner.live(pin);
    }
}
