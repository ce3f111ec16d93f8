//! What is written down: beginnings of connections, and changes by whom, when, from what to what.
//!
//! - `author`: who changes something: found out where a request comes in, asked for where it takes effect.
//! - `changes`: the latest changes, in memory.
//! - `connection`: what is said of a connection.
//! - `writer`, `target`: the thread that writes, and where to.
//! - `syslog`, `ipfix`: two forms (RFC 5424, RFC 7011).
//!
//! Workers tell of beginnings of flows by lossy rings ([`guideway_dataplane::observe`]); the background thread names what
//! their numbers stand for; a thread of its own writes, since a disk or a daemon may take its time. What finds its queue full is
//! lost, and the log says how much is missing.

pub mod author;
mod changes;
mod connection;
mod ipfix;
mod stamp;
mod syslog;
mod target;
mod writer;

pub use author::Author;
pub use changes::Change;
pub use connection::Connection;
pub use target::TargetError;

use crate::state::State;
use changes::Changes;
use crossbeam::channel::{Sender, TrySendError, bounded};
use guideway_config::model::Config;
use guideway_dataplane::observe::ConnectionTap;
use guideway_dataplane::time::Nanos;
use serde_json::Value;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};
use target::Target;
use tracing::error;
use writer::Entry;

/// Entries that wait for the writer at most: some seconds of a log at its usual rate.
const QUEUE: usize = 65_536;
/// Beginnings that are taken from the rings at once: then others have their turn.
const BATCH: usize = 1_024;
/// How often the log says what is missing in it.
const GAP_EVERY: Duration = Duration::from_secs(1);

/// What is written down, and the way there.
#[derive(Default)]
pub struct Audit {
    changes: Changes,
    tap: Option<Arc<ConnectionTap>>,
    /// To the writer, if there is anything to write.
    writer: Option<Writer>,
    writes_changes: bool,
    gap: Gap,
}

struct Writer {
    entries: Option<Sender<Entry>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Without a sender it writes what waits, and ends.
        self.entries = None;
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            error!("the thread of the logs panicked; its message is above");
        }
    }
}

/// Entries that are missing.
#[derive(Clone, Copy, Default)]
struct Gap {
    /// That found the writer's queue full, since start.
    unwritten: u64,
    /// Lost and above the rate, as the log said it last.
    told: (u64, u64),
    at: Option<Nanos>,
}

impl Audit {
    /// Opens what this configuration names, and starts a thread that writes there.
    ///
    /// # Errors
    ///
    /// [`TargetError`] if something cannot be opened.
    pub fn start(config: &Config) -> Result<Self, TargetError> {
        let (audit, workers) = (&config.audit, config.cores.workers.len().max(1));
        let connections = audit.connections.as_ref().map(|log| Target::open(&log.to)).transpose()?;
        let changes = audit.changes.as_ref().map(Target::open).transpose()?;
        let tap = audit.connections.as_ref().map(|log| {
            let rate = log.rate.div_ceil(workers as u32);
            Arc::new(ConnectionTap::new(log.sample, log.datagram_sample, rate, workers))
        });
        let writes_changes = changes.is_some();
        let writer = if connections.is_some() || writes_changes {
            let (entries, waiting) = bounded(QUEUE);
            let thread = std::thread::Builder::new().name(writer::THREAD.to_owned());
            let thread = thread.spawn(move || writer::run(&waiting, connections, changes));
            Some(Writer { entries: Some(entries), thread: Some(thread.map_err(TargetError::Thread)?) })
        } else {
            None
        };
        Ok(Self { tap, writer, writes_changes, ..Self::default() })
    }

    /// What workers are to tell of; `None`: nothing.
    #[must_use]
    pub fn tap(&self) -> Option<&Arc<ConnectionTap>> {
        self.tap.as_ref()
    }

    /// Writes a change down: who makes it is known from where this is called, see [`author`].
    pub fn changed(&mut self, what: String, change: &'static str, from: Value, to: Value) {
        let change = Change::new(what, change, from, to);
        if self.writes_changes {
            self.send(Entry::Change(Box::new(change.clone())));
        }
        self.changes.push(change);
    }

    /// The latest changes, the oldest first.
    pub fn changes(&self) -> impl Iterator<Item = &Change> {
        self.changes.iter()
    }

    /// Makes the writer open its files again: somebody may have moved them away.
    pub fn reopen(&mut self) {
        self.send(Entry::Reopen);
    }

    /// Takes some of what workers told of to the writer. `now` is the workers' time. Returns whether there may be more.
    pub fn take_connections(&mut self, state: &State, now: Nanos) -> bool {
        let Some(tap) = self.tap.clone() else { return false };
        let (wall, mut taken) = (SystemTime::now(), 0);
        for ring in tap.rings() {
            while taken < BATCH
                && let Some(start) = ring.pop()
            {
                taken += 1;
                let at = wall.checked_sub(now.since(start.at)).unwrap_or(wall);
                self.send(Entry::Connection(Box::new(Connection::new(state, &start, at))));
            }
        }
        if self.gap.at.is_none_or(|at| now.since(at) >= GAP_EVERY) {
            self.gap.at = Some(now);
            self.tell_gap(&tap);
        }
        taken == BATCH
    }

    /// Says what is missing since the last time, if anything is.
    fn tell_gap(&mut self, tap: &ConnectionTap) {
        let lost = self.gap.unwritten + tap.rings().iter().map(|ring| ring.lost.get()).sum::<u64>();
        let limited = tap.rings().iter().map(|ring| ring.limited.get()).sum::<u64>();
        let (told_lost, told_limited) = self.gap.told;
        if (lost, limited) != self.gap.told {
            self.gap.told = (lost, limited);
            self.send(Entry::Gap { lost: lost - told_lost, limited: limited - told_limited });
        }
    }

    fn send(&mut self, entry: Entry) {
        let entries = self.writer.as_ref().and_then(|writer| writer.entries.as_ref());
        if let Some(Err(TrySendError::Full(_))) = entries.map(|entries| entries.try_send(entry)) {
            self.gap.unwritten += 1;
        }
    }
}
