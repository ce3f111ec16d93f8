//! The last results of a check of one backend.

use crate::health::Reason;
use std::collections::VecDeque;
use std::time::Duration;

/// Results that are kept of each check of a backend.
pub const KEPT: usize = 50;

/// One result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Result {
    /// How long ago the probe ended.
    pub age: Duration,
    /// How long it took.
    pub took: Duration,
    /// What came of it; `None`: nothing, since this process may be to blame.
    pub reason: Option<Reason>,
    /// More about it, for people.
    pub detail: Option<String>,
}

/// The last results, the latest one first.
#[derive(Clone, Debug, Default)]
pub struct History<E>(VecDeque<E>);

impl<E> History<E> {
    /// No result yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(VecDeque::new())
    }

    /// One more.
    pub fn push(&mut self, entry: E) {
        self.0.truncate(KEPT - 1);
        self.0.push_front(entry);
    }

    /// All, the latest one first.
    pub fn iter(&self) -> impl Iterator<Item = &E> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_fifty_are_kept() {
        let mut history = History::new();
        (0..120).for_each(|number| history.push(number));
        assert_eq!(history.iter().copied().collect::<Vec<_>>(), (70..120).rev().collect::<Vec<_>>());
    }
}
