//! Instructions by which a core saves power between polls that find nothing: TPAUSE and UMWAIT, as DPDK wraps them.
//!
//! DPDK's own scheme for this (`rte_power_ethdev_pmgmt_queue_enable` of librte_power) hangs on the callbacks of its burst
//! functions, which bursts here do not go through; so the instructions are called from the worker's own idle time.

use crate::RxQueue;
use crate::clock::Tsc;
use dpdk_sys::{rte_cpu_intrinsics, rte_power_monitor_cond};
use guideway_dataplane::idle::Rest;
use std::mem::MaybeUninit;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;

/// Empty polls before the first pause: some microseconds.
const SPINS: u32 = 64;
/// The longest pause. What the control side has to send waits for it, and a ring of 1024 descriptors holds ten times
/// what comes at 10 million packets a second meanwhile.
const PAUSE: Duration = Duration::from_micros(10);
/// The longest wait for a write: only what the control side has to send waits for its end.
const WAIT: Duration = Duration::from_micros(50);

/// What the processor can do, as DPDK knows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Intrinsics {
    /// Pauses for a time.
    pub pause: bool,
    /// Waits for a write to one place in memory.
    pub monitor: bool,
    /// Waits for a write to any of several places.
    pub monitor_several: bool,
}

impl Intrinsics {
    /// Of the processor that this runs on. May be asked before the EAL starts.
    #[must_use]
    pub fn this() -> Self {
        let mut has = MaybeUninit::<rte_cpu_intrinsics>::zeroed();
        // SAFETY: plain bits, all zeros is valid, set by what the processor says of itself.
        let has = unsafe {
            dpdk_sys::rte_cpu_get_intrinsics_support(has.as_mut_ptr());
            has.assume_init()
        };
        Self {
            pause: has.power_pause() != 0,
            monitor: has.power_monitor() != 0,
            monitor_several: has.power_monitor_multi() != 0,
        }
    }
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Saving {
    /// To pause between polls.
    Pause,
    /// To wait until the device writes to a receive queue.
    Monitor,
}

/// How it is done for one worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Pauses.
    Pause,
    /// Waits for the one queue.
    MonitorOne,
    /// Waits for whichever of its queues comes first.
    MonitorSeveral,
}

/// Why it cannot be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PowerError {
    /// No TPAUSE.
    #[error("power = \"pause\": the processor has no instruction to pause for a time (TPAUSE, CPU flag waitpkg)")]
    NoPause,
    /// No UMWAIT.
    #[error("power = \"monitor\": the processor has no instruction to wait for a write (UMWAIT, CPU flag waitpkg)")]
    NoMonitor,
    /// UMWAIT watches one place, and transactional memory, by which DPDK watches several, is missing.
    #[error(
        "power = \"monitor\": a worker polls {0} queues, and the processor can watch one (several need the CPU flag rtm); \
         give each port workers of its own, or use power = \"pause\""
    )]
    OneQueueOnly(usize),
    /// The driver does not tell where the device writes.
    #[error(
        "power = \"monitor\": the driver does not tell where the device writes (queue {0} of the worker, counted from 0); \
         use power = \"pause\""
    )]
    Unwatchable(usize),
}

/// How a worker saves power on a processor that `has` this; `watchable` tells of each of its queues whether the driver says
/// where the device writes.
///
/// # Errors
///
/// What is missing.
pub fn decide(wanted: Saving, has: Intrinsics, watchable: &[bool]) -> Result<Method, PowerError> {
    match wanted {
        Saving::Pause if has.pause => Ok(Method::Pause),
        Saving::Pause => Err(PowerError::NoPause),
        Saving::Monitor if !has.monitor => Err(PowerError::NoMonitor),
        Saving::Monitor => match watchable.iter().position(|watchable| !watchable) {
            Some(queue) => Err(PowerError::Unwatchable(queue)),
            None if watchable.len() == 1 => Ok(Method::MonitorOne),
            None if has.monitor_several && !watchable.is_empty() => Ok(Method::MonitorSeveral),
            None => Err(PowerError::OneQueueOnly(watchable.len())),
        },
    }
}

/// Saves power between the polls of one worker.
pub struct Saver {
    method: Method,
    places: Vec<rte_power_monitor_cond>,
    /// Cycles of the time stamp counter.
    pause: u64,
    wait: u64,
    clock: Tsc,
    /// What the places belong to.
    _ports: Vec<Arc<dyn Send + Sync>>,
}

// SAFETY: the places are addresses in queues of ports that this keeps alive; they are read by whichever thread owns this.
unsafe impl Send for Saver {}

impl Saver {
    /// Of a worker that polls these queues.
    ///
    /// # Errors
    ///
    /// What is missing: [`PowerError`].
    pub fn new<'q>(
        wanted: Saving,
        clock: Tsc,
        queues: impl IntoIterator<Item = &'q RxQueue>,
    ) -> Result<Self, PowerError> {
        let monitored: Vec<_> = match wanted {
            Saving::Pause => Vec::new(),
            Saving::Monitor => queues.into_iter().map(RxQueue::monitored).collect(),
        };
        let watchable: Vec<bool> = monitored.iter().map(Option::is_some).collect();
        let method = decide(wanted, Intrinsics::this(), &watchable)?;
        let (places, ports) = monitored.into_iter().flatten().unzip();
        let cycles = |time: Duration| (time.as_secs_f64() * clock.hz() as f64) as u64;
        Ok(Self { method, places, pause: cycles(PAUSE), wait: cycles(WAIT), clock, _ports: ports })
    }
}

impl Rest for Saver {
    fn rest(&mut self, empty_polls: u32) -> Option<Duration> {
        if empty_polls < SPINS {
            std::hint::spin_loop();
            return None;
        }
        let now = self.clock.cycles();
        // SAFETY: the places belong to started ports, which this keeps alive. DPDK looks again at each of them after it
        // began to watch, so a write in between ends the wait. Where the processor has no such instruction nothing happens.
        unsafe {
            match self.method {
                Method::Pause => dpdk_sys::rte_power_pause(now + self.pause),
                Method::MonitorOne => dpdk_sys::rte_power_monitor(self.places.as_ptr(), now + self.wait),
                Method::MonitorSeveral => {
                    dpdk_sys::rte_power_monitor_multi(self.places.as_ptr(), self.places.len() as u32, now + self.wait)
                }
            }
        };
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Intrinsics = Intrinsics { pause: true, monitor: true, monitor_several: true };
    const NONE: Intrinsics = Intrinsics { pause: false, monitor: false, monitor_several: false };
    const ONE: Intrinsics = Intrinsics { monitor_several: false, ..ALL };

    #[test]
    fn pauses_where_the_processor_can() {
        assert_eq!(decide(Saving::Pause, ALL, &[]), Ok(Method::Pause));
        assert_eq!(decide(Saving::Pause, ONE, &[false, false]), Ok(Method::Pause), "whatever the driver");
        assert_eq!(decide(Saving::Pause, NONE, &[true]), Err(PowerError::NoPause));
    }

    #[test]
    fn watches_what_can_be_watched() {
        let monitor = |has, watchable: &[bool]| decide(Saving::Monitor, has, watchable);
        assert_eq!(monitor(ONE, &[true]), Ok(Method::MonitorOne));
        assert_eq!(monitor(ALL, &[true, true]), Ok(Method::MonitorSeveral));
        assert_eq!(monitor(ONE, &[true, true]), Err(PowerError::OneQueueOnly(2)));
        assert_eq!(monitor(ALL, &[true, false]), Err(PowerError::Unwatchable(1)));
        assert_eq!(monitor(ALL, &[]), Err(PowerError::OneQueueOnly(0)), "nothing to wait for");
        assert_eq!(monitor(NONE, &[true]), Err(PowerError::NoMonitor));
    }

    #[test]
    fn what_is_missing_is_named() {
        let text = PowerError::NoMonitor.to_string();
        assert!(text.contains("UMWAIT") && text.contains("waitpkg"), "{text}");
        let text = PowerError::OneQueueOnly(3).to_string();
        assert!(text.contains("3 queues") && text.contains("rtm") && text.contains("pause"), "{text}");
    }

    #[test]
    fn this_processor_answers_as_its_flags_say() {
        let flags = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let flags = flags.lines().find(|line| line.starts_with("flags")).unwrap_or_default();
        let waitpkg = flags.split_whitespace().any(|flag| flag == "waitpkg");
        assert_eq!(Intrinsics::this().pause, waitpkg, "{flags}");
    }
}
