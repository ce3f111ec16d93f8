//! Ids of VIPs: what workers count by.
//!
//! An id stands for (address, protocol on the wire, port). One whose VIP is gone rests until every worker dropped it, so that
//! the next one to have it begins to count where nobody else counts any more.

use guideway_dataplane::counters::MAX_VIPS;
use guideway_dataplane::ids::VipId;
use guideway_dataplane::publish::Generation;
use std::collections::VecDeque;

/// Gives out ids.
#[derive(Clone, Debug, Default)]
pub(crate) struct VipIds {
    next: u16,
    free: VecDeque<VipId>,
    /// Ids whose VIP is gone, and the first generation without it; `None`: not published yet.
    resting: Vec<(VipId, Option<Generation>)>,
    /// Given out since [`VipIds::take_fresh`].
    fresh: Vec<VipId>,
}

impl VipIds {
    /// An id that nobody counts by; `None` if all are in use or rest.
    pub(super) fn take(&mut self) -> Option<VipId> {
        let never = usize::from(self.next) < MAX_VIPS;
        let id = self.free.pop_front().or_else(|| never.then_some(VipId(self.next)))?;
        // Ids that rested are below.
        self.next = self.next.max(id.0 + 1);
        self.fresh.push(id);
        Some(id)
    }

    /// The next snapshot is without this id.
    pub(super) fn rest(&mut self, id: VipId) {
        self.resting.push((id, None));
    }

    /// What changed since the last publication is in this generation.
    pub(super) fn published(&mut self, generation: Generation) {
        for (_, gone) in &mut self.resting {
            gone.get_or_insert(generation);
        }
    }

    /// Every worker uses this generation, or a later one.
    pub(super) fn acknowledge(&mut self, generation: Generation) {
        let free = &mut self.free;
        self.resting.retain(|(id, gone)| {
            let over = gone.is_some_and(|gone| gone <= generation);
            if over {
                free.push_back(*id);
            }
            !over
        });
    }

    /// The ids given out since the last call.
    pub(super) fn take_fresh(&mut self) -> Vec<VipId> {
        std::mem::take(&mut self.fresh)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_rests_until_every_worker_dropped_it() {
        let mut ids = VipIds::default();
        for number in 0..MAX_VIPS {
            assert_eq!(ids.take(), Some(VipId(number as u16)));
        }
        assert_eq!(ids.take_fresh().len(), MAX_VIPS);
        ids.rest(VipId(7));
        ids.acknowledge(9);
        assert_eq!(ids.take(), None, "workers know it still");
        ids.published(10);
        ids.acknowledge(9);
        assert_eq!(ids.take(), None);
        ids.acknowledge(10);
        assert_eq!((ids.take(), ids.take()), (Some(VipId(7)), None));
        assert_eq!(ids.take_fresh(), [VipId(7)]);
    }
}
