//! What became of each connection.

use super::Kind;
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

/// One connection.
#[derive(Clone, Debug)]
pub struct Dialogue {
    /// Who says something.
    pub kind: Kind,
    /// The client's side.
    pub local: Option<SocketAddr>,
    /// The server that it is with; `None` before its first answer.
    pub backend: Option<String>,
    /// What came from the server: lines, or pieces of a download.
    pub answers: u64,
    /// The longest time that it waited for the server, pauses of that included.
    pub longest: Duration,
    /// Whether it ended since it was asked to.
    pub ended: bool,
    /// When and why it broke.
    pub broken: Option<(SystemTime, String)>,
}

/// A connection that broke.
#[derive(Clone, Copy, Debug)]
pub struct Broken<'a> {
    /// Its number, from 0.
    pub number: usize,
    /// When.
    pub at: SystemTime,
    /// Why.
    pub why: &'a str,
    /// The connection.
    pub connection: &'a Dialogue,
}

impl fmt::Display for Broken<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Dialogue { kind, local, backend, answers, .. } = self.connection;
        let (number, why) = (self.number, self.why);
        write!(f, "connection {number} ({kind:?}, from {local:?}, with {backend:?}) after {answers} answers: {why}")
    }
}

/// All connections.
#[derive(Clone, Debug)]
pub struct DialogueReport {
    /// In the order of their beginning.
    pub connections: Vec<Dialogue>,
}

impl DialogueReport {
    /// Those that broke.
    pub fn broken(&self) -> impl Iterator<Item = Broken<'_>> {
        self.connections.iter().enumerate().filter_map(|(number, connection)| {
            let (at, why) = connection.broken.as_ref()?;
            Some(Broken { number, at: *at, why, connection })
        })
    }

    /// How many are open.
    pub fn open(&self) -> usize {
        self.by_backend().values().sum()
    }

    /// How many ended since they were asked to.
    pub fn ended(&self) -> usize {
        self.connections.iter().filter(|connection| connection.ended).count()
    }

    /// Open ones by backend.
    pub fn by_backend(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        let open = self.connections.iter().filter(|connection| !connection.ended && connection.broken.is_none());
        for name in open.filter_map(|connection| connection.backend.clone()) {
            *counts.entry(name).or_default() += 1;
        }
        counts
    }

    /// All answers.
    pub fn answers(&self) -> u64 {
        self.connections.iter().map(|connection| connection.answers).sum()
    }

    /// The longest time that one waited for its server, pauses of that included.
    pub fn longest(&self) -> Duration {
        self.connections.iter().map(|connection| connection.longest).max().unwrap_or_default()
    }
}

/// What clients write and tests read.
#[derive(Debug)]
pub(super) struct Shared(Mutex<Vec<Dialogue>>);

impl Shared {
    pub(super) fn new(kinds: &[Kind]) -> Self {
        let new = |kind: &Kind| Dialogue {
            kind: *kind,
            local: None,
            backend: None,
            answers: 0,
            longest: Duration::ZERO,
            ended: false,
            broken: None,
        };
        Self(Mutex::new(kinds.iter().map(new).collect()))
    }

    pub(super) fn report(&self) -> DialogueReport {
        DialogueReport { connections: self.lock().clone() }
    }

    pub(super) fn change(&self, number: usize, change: impl FnOnce(&mut Dialogue)) {
        change(&mut self.lock()[number]);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Dialogue>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
