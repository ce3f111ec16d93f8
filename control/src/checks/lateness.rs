//! Whether this process was kept from running: then what took too long is not the backends' fault.

use guideway_dataplane::time::Nanos;
use std::collections::VecDeque;
use std::time::Duration;

/// How often somebody looks at the clock.
pub(super) const LOOK: Duration = Duration::from_millis(5);
/// Pauses shorter than this are usual.
const USUAL: Duration = Duration::from_millis(10);
/// Pauses that are remembered: the shortest timeouts are over long before as many are forgotten.
const REMEMBERED: usize = 64;

/// The latest pauses of the thread of the checks.
#[derive(Debug)]
pub(super) struct Lateness {
    looked: Nanos,
    pauses: VecDeque<(Nanos, Duration)>,
}

impl Lateness {
    pub(super) fn new(now: Nanos) -> Self {
        Self { looked: now, pauses: VecDeque::new() }
    }

    /// Somebody looks at the clock.
    pub(super) fn look(&mut self, now: Nanos) {
        let pause = now.since(self.looked).saturating_sub(LOOK);
        self.looked = now;
        if pause > USUAL {
            self.pauses.truncate(REMEMBERED - 1);
            self.pauses.push_front((now, pause));
        }
    }

    /// Nobody looked for a while, and nobody had to.
    pub(super) fn rested(&mut self, now: Nanos) {
        self.looked = now;
    }

    /// Whether between `begun` and `now` the pauses took more than half of `timeout`.
    pub(super) fn excuses(&self, begun: Nanos, now: Nanos, timeout: Duration) -> bool {
        let under_way = now.since(self.looked).saturating_sub(LOOK);
        let since = self.pauses.iter().take_while(|(ended, _)| *ended > begun).map(|(_, pause)| *pause);
        since.sum::<Duration>() + under_way > timeout / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(millis: u64) -> Nanos {
        Nanos(millis * 1_000_000)
    }

    #[test]
    fn pauses_within_a_probe_excuse_it() {
        let timeout = Duration::from_millis(100);
        let mut lateness = Lateness::new(at(0));
        (1..=20).for_each(|look| lateness.look(at(look * 6)));
        assert!(!lateness.excuses(at(20), at(120), timeout), "the usual");
        lateness.look(at(200));
        assert!(lateness.excuses(at(110), at(202), timeout), "75 ms of a timeout of 100");
        assert!(!lateness.excuses(at(110), at(202), Duration::from_secs(1)));
        assert!(!lateness.excuses(at(201), at(240), timeout), "it was before");
        assert!(lateness.excuses(at(201), at(290), timeout), "nobody has looked for 90 ms");
        lateness.rested(at(300));
        assert!(!lateness.excuses(at(301), at(302), timeout));
    }
}
