//! When a second owner of an address in a prefix was last reported. A prefix holds more addresses than may be
//! remembered, and a stranger may claim them all.

use super::addresses::Key;
use guideway_dataplane::time::Nanos;
use std::collections::{HashSet, VecDeque};
use std::time::Duration;

/// A second report about the same address waits for this long.
pub(super) const PAUSE: Duration = Duration::from_secs(10);
/// Addresses reported within [`PAUSE`]: enough to see what goes on, few enough to be logged.
const MOST: usize = 64;

/// The latest reports, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Reports {
    order: VecDeque<(Nanos, Key)>,
    known: HashSet<Key>,
}

impl Reports {
    /// Whether the address may be reported now; if so, remembers it.
    pub(super) fn may_report(&mut self, now: Nanos, key: Key) -> bool {
        // A report from the future is one of a clock that went back, as the clock of a capture may.
        while let Some((at, old)) = self.order.front().copied()
            && (now < at || now.since(at) >= PAUSE)
        {
            self.order.pop_front();
            self.known.remove(&old);
        }
        let may = self.order.len() < MOST && self.known.insert(key);
        if may {
            self.order.push_back((now, key));
        }
        may
    }
}
