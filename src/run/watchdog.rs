//! Tells systemd that the process does its work, as long as it does (sd_watchdog_enabled(3)).
//!
//! That is: since the last look every worker polled, and both control threads came round. A process that only exists is not told
//! of, so that systemd starts it anew.

use guideway_control::runtime::Runtime;
use guideway_dataplane::counters::WorkerCounters;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::Scope;
use std::time::Duration;
use tracing::{info, warn};

/// Looks within the time that systemd gives: one may fail, for a machine that was busy, and nobody is killed.
const LOOKS: u32 = 4;

/// Ends the thread with its drop.
pub(super) struct Watchdog {
    _stop: Option<Sender<()>>,
}

impl Watchdog {
    /// Starts the thread if systemd asked for it.
    pub(super) fn start<'s>(
        scope: &'s Scope<'s, '_>,
        control: &'s Runtime,
        counters: Vec<Arc<WorkerCounters>>,
    ) -> Self {
        let Some(limit) = sd_notify::watchdog_enabled() else { return Self { _stop: None } };
        let (stop, stopped) = channel();
        let interval = limit / LOOKS;
        let thread = std::thread::Builder::new().name("gw-watchdog".to_owned());
        let started = thread.spawn_scoped(scope, move || watch(control, &counters, interval, &stopped));
        match started {
            Ok(_) => info!(?limit, "systemd watches"),
            Err(error) => warn!(%error, "no thread that tells systemd how it goes: it will end this process"),
        }
        Self { _stop: Some(stop) }
    }
}

fn watch(control: &Runtime, counters: &[Arc<WorkerCounters>], interval: Duration, stopped: &Receiver<()>) {
    let mut progress = Progress::new(counters.len());
    while stopped.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
        let stuck = progress.stuck(counters.iter().map(|counters| counters.last_poll.get()));
        if let Some(worker) = stuck {
            warn!(worker, "this worker does not poll: systemd is not told that all is well");
        } else if !control.comes_round(interval) {
            warn!("a control thread does not come round: systemd is not told that all is well");
        } else {
            // Without systemd there is nobody to tell.
            let _ = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]);
        }
    }
}

/// When each worker last polled, as of the last look.
struct Progress(Vec<u64>);

impl Progress {
    fn new(workers: usize) -> Self {
        Self(vec![0; workers])
    }

    /// The first worker that did not poll since the last look.
    fn stuck(&mut self, last_polls: impl Iterator<Item = u64>) -> Option<usize> {
        let mut stuck = None;
        for (worker, (seen, last)) in self.0.iter_mut().zip(last_polls).enumerate() {
            if *seen == last {
                stuck = stuck.or(Some(worker));
            }
            *seen = last;
        }
        stuck
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_that_stands_still_is_named_until_it_goes_on() {
        let mut progress = Progress::new(3);
        assert_eq!(progress.stuck([5, 5, 0].into_iter()), Some(2), "it never began");
        assert_eq!(progress.stuck([6, 5, 1].into_iter()), Some(1));
        assert_eq!(progress.stuck([6, 6, 1].into_iter()), Some(0), "the first of two");
        assert_eq!(progress.stuck([7, 7, 2].into_iter()), None);
    }
}
