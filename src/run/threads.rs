//! Cores and priorities of threads. A refusal costs speed, not service: it is told, and the thread goes on.

use guideway_config::model::Idle;
use thread_priority::{
    RealtimeThreadSchedulePolicy, ThreadPriority, ThreadPriorityValue, ThreadSchedulePolicy,
    set_thread_priority_and_policy, thread_native_id,
};
use tracing::{debug, warn};

/// The real-time thread goes before everything else on the control core: a late probe is a void probe.
const RT_PRIORITY: u8 = 20;
/// A worker that sleeps when idle shares its core; when packets come it gets it at once.
const WORKER_PRIORITY: u8 = 10;

/// Pins the calling thread to a core.
pub(super) fn pin(core: usize) {
    if !core_affinity::set_for_current(core_affinity::CoreId { id: core }) {
        warn!(core, "cannot pin a thread to its core; is it in this process's cpuset?");
    }
}

/// Makes the calling thread the real-time thread of the control core.
pub(super) fn enter_rt(core: usize) {
    pin(core);
    real_time(RT_PRIORITY);
}

/// Makes the calling thread a worker. One that polls without pause owns its core and must not hold off the kernel's own
/// threads there, so it keeps the ordinary policy.
pub(super) fn enter_worker(core: usize, idle: Idle) {
    pin(core);
    if idle == Idle::Adaptive {
        real_time(WORKER_PRIORITY);
    }
}

/// SCHED_FIFO (sched(7)); needs CAP_SYS_NICE.
fn real_time(priority: u8) {
    let Ok(value) = ThreadPriorityValue::try_from(priority) else { return };
    let policy = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::Fifo);
    match set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Crossplatform(value), policy) {
        Ok(()) => debug!(priority, "real-time priority"),
        Err(error) => warn!(%error, "no real-time priority for this thread; run as root or with CAP_SYS_NICE"),
    }
}
