//! Cores and priorities of threads. A refusal costs speed, not service: it is told, and the thread goes on.

use guideway_config::model::Idle;
use thread_priority::{
    NormalThreadSchedulePolicy, RealtimeThreadSchedulePolicy, ThreadPriority, ThreadPriorityValue,
    ThreadSchedulePolicy, set_thread_priority_and_policy, thread_native_id,
};
use tracing::{debug, warn};

/// SCHED_FIFO (sched(7)), in the middle of its range, and the lowest nice value. Both need CAP_SYS_NICE.
const REAL_TIME: (u8, ThreadSchedulePolicy) = (20, ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::Fifo));
/// The largest share of a core, and no more: whoever else runs there still gets some.
const FAVORED: (u8, ThreadSchedulePolicy) = (99, ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Other));

/// Pins the calling thread to a core.
pub(crate) fn pin(core: usize) {
    if !core_affinity::set_for_current(core_affinity::CoreId { id: core }) {
        warn!(core, "cannot pin a thread to its core; is it in this process's cpuset?");
    }
}

/// Makes the calling thread the real-time thread of the control core: a late probe is a void probe. It rests after every
/// pass, so real-time priority starves nobody. On a core that it shares with a worker it gets none: it would preempt the
/// worker inside a push to a ring or to the buffer pool, and then spin until the end of that push, which never comes.
pub(crate) fn enter_rt(core: usize, shared: bool) {
    pin(core);
    schedule(if shared { FAVORED } else { REAL_TIME });
}

/// Makes the calling thread the background thread: what it publishes is waited for.
pub(crate) fn enter_bg(core: usize) {
    pin(core);
    schedule(FAVORED);
}

/// Makes the calling thread a worker. One that sleeps when idle shares its core with others and is to get it soon when
/// packets come. It gets no real-time priority: under load it does not rest, and would starve the background thread
/// where they share a core. One that polls without pause has a core of its own and needs nothing.
pub(crate) fn enter_worker(core: usize, idle: Idle) {
    pin(core);
    match idle {
        Idle::Poll => {}
        Idle::Adaptive | Idle::Interrupt => schedule(FAVORED),
    }
}

fn schedule((priority, policy): (u8, ThreadSchedulePolicy)) {
    let Ok(value) = ThreadPriorityValue::try_from(priority) else { return };
    match set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Crossplatform(value), policy) {
        Ok(()) => debug!(?policy, priority, "priority"),
        Err(error) => warn!(%error, ?policy, "no priority for this thread; run as root or with CAP_SYS_NICE"),
    }
}
