//! The thread that writes.

use super::stamp::stamp;
use super::syslog::Kind;
use super::target::{Line, Target};
use super::{Change, Connection};
use crossbeam::channel::Receiver;
use serde::Serialize;
use serde_json::json;
use std::io;
use std::time::{Duration, Instant, SystemTime};
use tracing::warn;

/// The name of the thread, as debuggers and tests find it.
pub(super) const THREAD: &str = "gw-audit";
/// Entries that are written at once.
const BATCH: usize = 512;
/// How often a log that cannot be written is told of.
const WARN_EVERY: Duration = Duration::from_secs(60);

/// What there is to write.
pub(super) enum Entry {
    Connection(Box<Connection>),
    Change(Box<Change>),
    /// Connections that are missing: lost, and above the rate.
    Gap {
        lost: u64,
        limited: u64,
    },
    Reopen,
}

/// Writes until nobody sends any more.
pub(super) fn run(entries: &Receiver<Entry>, connections: Option<Target>, changes: Option<Target>) {
    let mut connections = Log::new("connections", connections);
    let mut changes = Log::new("changes", changes);
    while let Ok(first) = entries.recv() {
        for entry in std::iter::once(first).chain(entries.try_iter().take(BATCH - 1)) {
            match entry {
                Entry::Connection(connection) => connections.take_connection(*connection),
                Entry::Change(change) => changes.take(Kind::Change, SystemTime::now(), &change),
                Entry::Gap { lost, limited } => connections.take_gap(lost, limited),
                Entry::Reopen => {
                    connections.reopen();
                    changes.reopen();
                }
            }
        }
        connections.write();
        changes.write();
    }
}

/// One log, and what is to be written to it.
struct Log {
    name: &'static str,
    target: Option<Target>,
    lines: Vec<Line>,
    /// The same where it is not lines that are written.
    records: Vec<Connection>,
    warned: Option<Instant>,
}

impl Log {
    const fn new(name: &'static str, target: Option<Target>) -> Self {
        Self { name, target, lines: Vec::new(), records: Vec::new(), warned: None }
    }

    fn take(&mut self, kind: Kind, at: SystemTime, entry: &impl Serialize) {
        match serde_json::to_string(entry) {
            Ok(json) => self.lines.push(Line { kind, at, json }),
            Err(error) => self.warn(&error),
        }
    }

    fn take_connection(&mut self, connection: Connection) {
        if matches!(self.target, Some(Target::Ipfix { .. })) {
            self.records.push(connection);
        } else {
            self.take(Kind::Connection, connection.time, &connection);
        }
    }

    fn take_gap(&mut self, lost: u64, limited: u64) {
        let now = SystemTime::now();
        self.take(Kind::Gap, now, &json!({ "time": stamp(now), "event": "gap", "lost": lost, "limited": limited }));
        if matches!(self.target, Some(Target::Ipfix { .. })) {
            self.warn(&format!("records are missing: {lost} lost, {limited} above the rate"));
        }
    }

    fn write(&mut self) {
        let (lines, records) = (std::mem::take(&mut self.lines), std::mem::take(&mut self.records));
        let written = match &mut self.target {
            None => Ok(()),
            Some(Target::Ipfix { socket, exporter }) => {
                let messages = exporter.messages(SystemTime::now(), &records);
                messages.iter().try_for_each(|message| socket.send(message).map(drop))
            }
            Some(_) if lines.is_empty() => Ok(()),
            Some(target) => target.write(&lines),
        };
        if let Err(error) = written {
            self.failed(&error);
        }
    }

    /// Entries are lost. A file may be there again when it is opened anew.
    fn failed(&mut self, error: &io::Error) {
        self.warn(error);
        self.reopen();
    }

    fn reopen(&mut self) {
        if let Some(Err(error)) = self.target.as_mut().map(Target::reopen) {
            self.warn(&error);
        }
    }

    fn warn(&mut self, error: &dyn std::fmt::Display) {
        if self.warned.is_none_or(|warned| warned.elapsed() >= WARN_EVERY) {
            self.warned = Some(Instant::now());
            warn!(log = self.name, %error, "a log cannot be written in full");
        }
    }
}
