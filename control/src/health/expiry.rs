//! Which probes are on their way, in the order of their deadlines.
//!
//! All probes with one timeout expire in the order in which they were sent, so a queue for each timeout in use needs
//! no sorting. An answered probe stays in its queue until its time is up; the mask in the hot state tells.

use super::tick::Tick;
use std::collections::VecDeque;

/// A probe that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flight {
    /// When.
    pub sent: Tick,
    /// Which round.
    pub round: u32,
    /// To whom.
    pub backend: u16,
}

/// The probes with one timeout.
pub(super) struct Flights {
    /// The timeout in ticks.
    pub timeout: u32,
    queue: VecDeque<Flight>,
}

impl Flights {
    pub const fn new(timeout: u32) -> Self {
        Self { timeout, queue: VecDeque::new() }
    }

    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Appends a probe; its send time must not lie before that of the last one.
    #[inline]
    pub fn push(&mut self, flight: Flight) {
        self.queue.push_back(flight);
    }

    /// Takes the oldest probe if `over` says that its time is up.
    #[inline]
    pub fn pop_if(&mut self, over: impl Fn(Tick) -> bool) -> Option<Flight> {
        if over(self.queue.front()?.sent) { self.queue.pop_front() } else { None }
    }
}
