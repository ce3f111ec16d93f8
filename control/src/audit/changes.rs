//! The latest changes.

use super::author::{self, Author};
use super::stamp::stamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::VecDeque;
use std::time::SystemTime;
use utoipa::ToSchema;

/// Changes that are kept.
const KEPT: usize = 1_000;

/// A change: when, by whom, of what, from what to what.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize, ToSchema)]
pub struct Change {
    /// When (RFC 3339, UTC, microseconds).
    pub time: String,
    /// By whom.
    pub by: Author,
    /// Of what: `backend web/web1`, `port edge`, `configuration`, `node` (this machine).
    pub what: String,
    /// What was done: `drain`, `weight`, `add`, `cancel drain`, `health`, `link`, `reload`, …
    pub change: String,
    /// How it was; null: it was not there.
    pub from: Value,
    /// How it is, or will be; null: it is gone.
    pub to: Value,
}

impl Change {
    /// A change that is made now, in the name of whom this is called.
    pub(super) fn new(what: String, change: &str, from: Value, to: Value) -> Self {
        let (time, by) = (stamp(SystemTime::now()), author::current());
        Self { time, by, what, change: change.to_owned(), from, to }
    }
}

/// As many as are kept.
#[derive(Default)]
pub(super) struct Changes(VecDeque<Change>);

impl Changes {
    pub(super) fn push(&mut self, change: Change) {
        if self.0.len() >= KEPT {
            self.0.pop_front();
        }
        self.0.push_back(change);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Change> {
        self.0.iter()
    }
}
