//! Whether workers are kept from polling, seen from the real-time thread.

use guideway_dataplane::counters::WorkerCounters;
use guideway_dataplane::doorbell::Doorbell;
use guideway_dataplane::time::Nanos;
use std::sync::Arc;

/// Watches all workers.
pub(crate) struct Watch {
    workers: Vec<Watched>,
}

struct Watched {
    doorbell: Arc<Doorbell>,
    counters: Arc<WorkerCounters>,
    /// When its doorbell last said that it sleeps.
    asleep: Option<Nanos>,
}

impl Watch {
    pub(crate) fn new(workers: impl IntoIterator<Item = (Arc<Doorbell>, Arc<WorkerCounters>)>) -> Self {
        let watched = |(doorbell, counters)| Watched { doorbell, counters, asleep: None };
        Self { workers: workers.into_iter().map(watched).collect() }
    }

    /// The latest moment up to which some worker is known to have been kept from polling. To be called in every step: a
    /// worker that is woken must poll soon after the last look that found it asleep.
    pub(crate) fn stalled_until(&mut self, now: Nanos) -> Option<Nanos> {
        let workers = self.workers.iter_mut();
        let each = workers.filter_map(|Watched { doorbell, counters, asleep }| {
            if doorbell.is_asleep() {
                *asleep = Some(now);
            }
            counters.stalled_until(now, *asleep)
        });
        each.max()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use guideway_dataplane::doorbell::Bell;
    use std::time::Duration;

    #[derive(Debug)]
    struct Deaf;

    impl Bell for Deaf {
        fn ring(&self) {}
    }

    #[test]
    fn a_worker_may_sleep_but_not_go_on_sleeping_when_it_was_woken() {
        let (doorbell, counters) = (Arc::new(Doorbell::new(Box::new(Deaf))), Arc::new(WorkerCounters::default()));
        let mut watch = Watch::new([(Arc::clone(&doorbell), Arc::clone(&counters))]);
        let at = |ms: u64| Nanos(1_000_000_000) + Duration::from_millis(ms);
        assert_eq!(watch.stalled_until(at(0)), None, "it has not begun");
        counters.last_poll.set(at(0).0);
        doorbell.lie_down();
        for ms in 0..=40 {
            assert_eq!(watch.stalled_until(at(ms)), None, "after {ms} ms");
        }
        doorbell.ring();
        assert_eq!(watch.stalled_until(at(50)), None, "it may take a while to wake");
        assert_eq!(watch.stalled_until(at(51)), Some(at(51)));
        counters.last_poll.set(at(52).0);
        assert_eq!(watch.stalled_until(at(60)), None);
        assert_eq!(watch.stalled_until(at(63)), Some(at(63)), "awake and not polling");
    }

    #[test]
    fn of_two_workers_the_one_that_hangs_counts() {
        let sleeper = (Arc::new(Doorbell::silent()), Arc::new(WorkerCounters::default()));
        let other = (Arc::default(), Arc::new(WorkerCounters::default()));
        sleeper.1.last_poll.set(1);
        sleeper.0.lie_down();
        other.1.last_poll.set(1);
        let mut watch = Watch::new([sleeper, other]);
        let now = Nanos(1) + Duration::from_millis(20);
        assert_eq!(watch.stalled_until(now), Some(now));
    }
}
