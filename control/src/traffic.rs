//! What was sent for each VIP and to each backend since it is there.
//!
//! Workers count by id and never set a counter back. An id that another one had before begins at what was counted until then;
//! it rested, so nobody counts for that one any more.

use crate::status::model::TrafficStatus;
use guideway_dataplane::counters::{Traffic, WorkerCounters};
use guideway_dataplane::ids::{BackendId, VipId};
use std::collections::HashMap;
use std::sync::Arc;

/// Where each id began, unless at zero.
#[derive(Clone, Debug, Default)]
pub(crate) struct Beginnings {
    vips: HashMap<VipId, TrafficStatus>,
    backends: HashMap<BackendId, TrafficStatus>,
}

impl Beginnings {
    /// These ids have new owners, that no worker knows yet.
    pub(crate) fn begin(&mut self, counters: &[Arc<WorkerCounters>], vips: &[VipId], backends: &[BackendId]) {
        for id in vips {
            note(&mut self.vips, *id, sum(counters, |of| of.vip(*id)));
        }
        for id in backends {
            note(&mut self.backends, *id, sum(counters, |of| of.backend(*id)));
        }
    }

    pub(crate) fn of_vip(&self, counters: &[Arc<WorkerCounters>], id: VipId) -> TrafficStatus {
        since(sum(counters, |of| of.vip(id)), self.vips.get(&id))
    }

    pub(crate) fn of_backend(&self, counters: &[Arc<WorkerCounters>], id: BackendId) -> TrafficStatus {
        since(sum(counters, |of| of.backend(id)), self.backends.get(&id))
    }
}

fn note<I: std::hash::Hash + Eq>(beginnings: &mut HashMap<I, TrafficStatus>, id: I, at: TrafficStatus) {
    if at == TrafficStatus::default() {
        beginnings.remove(&id);
    } else {
        beginnings.insert(id, at);
    }
}

fn sum<'c>(
    counters: &'c [Arc<WorkerCounters>],
    of: impl Fn(&'c WorkerCounters) -> Option<&'c Traffic>,
) -> TrafficStatus {
    counters.iter().filter_map(|counters| of(counters)).fold(TrafficStatus::default(), |sum, traffic| TrafficStatus {
        packets: sum.packets + traffic.packets.get(),
        bytes: sum.bytes + traffic.bytes.get(),
    })
}

fn since(now: TrafficStatus, beginning: Option<&TrafficStatus>) -> TrafficStatus {
    let TrafficStatus { packets, bytes } = beginning.copied().unwrap_or_default();
    TrafficStatus { packets: now.packets.saturating_sub(packets), bytes: now.bytes.saturating_sub(bytes) }
}
