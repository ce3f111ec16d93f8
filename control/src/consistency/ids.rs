//! Ids of backends: what pins hold.
//!
//! An id stands for (pool, name, address, mode); anything else is another id. An id whose backend is gone rests until all
//! workers dropped its record, and a full sweep after that found no pin of it.

use guideway_dataplane::ids::{BackendId, MAX_BACKENDS};
use guideway_dataplane::publish::Generation;
use guideway_dataplane::time::Nanos;
use std::collections::VecDeque;

/// An id whose backend is gone.
#[derive(Clone, Copy, Debug)]
struct Resting {
    id: BackendId,
    /// The first generation without its record; `None`: not published yet.
    generation: Option<Generation>,
    /// When every worker used that.
    acknowledged: Option<Nanos>,
}

/// Gives out ids.
#[derive(Clone, Debug, Default)]
pub struct BackendIds {
    next: u16,
    free: VecDeque<BackendId>,
    resting: Vec<Resting>,
    /// Given out since [`BackendIds::take_fresh`].
    fresh: Vec<BackendId>,
    /// For the simulation: ids do not rest.
    pub hasty: bool,
}

impl BackendIds {
    /// An id that nothing names; `None` if all are in use or rest.
    pub fn take(&mut self) -> Option<BackendId> {
        let id = self.unused()?;
        self.fresh.push(id);
        Some(id)
    }

    fn unused(&mut self) -> Option<BackendId> {
        if self.hasty
            && let Some(last) = self.resting.pop()
        {
            return Some(last.id);
        }
        if usize::from(self.next) < MAX_BACKENDS {
            self.next += 1;
            return Some(BackendId(self.next - 1));
        }
        self.free.pop_front()
    }

    /// The ids given out since the last call.
    pub fn take_fresh(&mut self) -> Vec<BackendId> {
        std::mem::take(&mut self.fresh)
    }

    /// The next snapshot has no record of this id.
    pub fn rest(&mut self, id: BackendId) {
        self.resting.push(Resting { id, generation: None, acknowledged: None });
    }

    /// What changed since the last publication is in this generation.
    pub fn published(&mut self, generation: Generation) {
        for resting in &mut self.resting {
            resting.generation.get_or_insert(generation);
        }
    }

    /// Every worker uses this generation, or a later one.
    pub fn acknowledge(&mut self, generation: Generation, now: Nanos) {
        for resting in &mut self.resting {
            if resting.generation.is_some_and(|gone| gone <= generation) {
                resting.acknowledged.get_or_insert(now);
            }
        }
    }

    /// A sweep that began at `began` visited every pin.
    pub fn swept(&mut self, began: Nanos, has_pins: impl Fn(BackendId) -> bool) {
        let free = &mut self.free;
        self.resting.retain(|resting| {
            let over = resting.acknowledged.is_some_and(|at| at <= began) && !has_pins(resting.id);
            if over {
                free.push_back(resting.id);
            }
            !over
        });
    }

    /// How many ids can be taken.
    #[must_use]
    pub fn available(&self) -> usize {
        MAX_BACKENDS - usize::from(self.next) + self.free.len()
    }

    /// How many ids rest.
    #[must_use]
    pub fn resting(&self) -> usize {
        self.resting.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_rests_until_nothing_can_name_it() {
        let mut ids = BackendIds::default();
        for number in 0..MAX_BACKENDS {
            assert_eq!(ids.take(), Some(BackendId(number as u16)));
        }
        assert_eq!(ids.take(), None);
        ids.rest(BackendId(7));
        ids.swept(Nanos(1), |_| false);
        assert_eq!(ids.take(), None, "a worker may still have its record");
        ids.published(5);
        ids.acknowledge(4, Nanos(2));
        ids.swept(Nanos(3), |_| false);
        assert_eq!(ids.take(), None);
        ids.acknowledge(5, Nanos(4));
        ids.swept(Nanos(3), |_| false);
        assert_eq!(ids.take(), None, "that sweep began before");
        ids.swept(Nanos(4), |id| id == BackendId(7));
        assert_eq!((ids.take(), ids.resting()), (None, 1), "a pin names it");
        ids.swept(Nanos(5), |_| false);
        assert_eq!((ids.take(), ids.resting()), (Some(BackendId(7)), 0));
    }
}
