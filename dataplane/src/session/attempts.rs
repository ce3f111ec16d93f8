//! Connections that no backend has answered yet: the SYN, and who was asked.
//!
//! A slab of fixed size, whose places are named by the sessions, and a ring of times as that of sessions.

use super::record::SessionId;
use super::wheel::{Linked, Links, NONE, Wheel};
use crate::ids::BackendId;
use crate::port::Packet;
use crate::prefetch::prefetch;
use crate::segment::{KeptHeaders, Segment};
use crate::time::Nanos;
use arrayvec::ArrayVec;
use std::time::Duration;

/// Backends that one connection may have tried before the one that it tries now.
pub const MOST_RETRIES: usize = 4;

/// A tick in milliseconds.
const TICK_MILLIS: u64 = 8;

/// How often a backend is asked that is silent: a lost packet may be all, and of six in a row with one of twenty lost on each way
/// one in a million is.
const MOST_TURNS: u8 = 3;

/// A backend that was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tried {
    pub(crate) backend: BackendId,
    /// How often; as often as one is if it refused.
    turns: u8,
}

impl Tried {
    /// Whether it is asked no more.
    pub(crate) const fn is_hopeless(self) -> bool {
        self.turns >= MOST_TURNS
    }
}

/// One of them.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) session: SessionId,
    /// The SYN, as the client sent it or would have.
    pub(crate) syn: KeptHeaders,
    /// Who was asked before.
    pub(crate) tried: ArrayVec<Tried, { MOST_RETRIES + 1 }>,
    /// How often the SYN was sent again to the one that is asked now.
    pub(crate) repeated: u8,
    links: Links,
    due: u32,
    next_free: u32,
}

impl Attempt {
    const NOTHING: Self = Self {
        session: SessionId::NOTHING,
        syn: KeptHeaders::NOTHING,
        tried: ArrayVec::new_const(),
        repeated: 0,
        links: Links::FREE,
        due: 0,
        next_free: NONE,
    };

    /// It leaves a backend, which refused or was silent.
    pub(crate) fn leave(&mut self, backend: BackendId, is_refused: bool) {
        let least = if is_refused { MOST_TURNS } else { 1 };
        match self.tried.iter_mut().find(|tried| tried.backend == backend) {
            Some(tried) => tried.turns = tried.turns.max(least),
            // There is room for all that may be tried.
            None => drop(self.tried.try_push(Tried { backend, turns: least })),
        }
    }

    /// It goes to a backend, perhaps once more.
    pub(crate) fn go_to(&mut self, backend: BackendId) {
        if let Some(tried) = self.tried.iter_mut().find(|tried| tried.backend == backend) {
            tried.turns += 1;
        }
    }
}

struct Places(Vec<Attempt>);

impl Linked for Places {
    fn links(&mut self, number: u32) -> Option<&mut Links> {
        self.0.get_mut(number as usize).map(|attempt| &mut attempt.links)
    }
}

/// All of a worker.
pub(crate) struct Attempts {
    /// Those that were ever taken: memory that nobody needed yet is not touched. Never more than there is room for from the start.
    places: Places,
    capacity: usize,
    free: u32,
    live: u32,
    wheel: Wheel,
}

const fn ticks(now: Nanos) -> u32 {
    (now.0 / (TICK_MILLIS * 1_000_000)) as u32
}

impl Attempts {
    pub(crate) fn new(capacity: u32) -> Self {
        let places = Places(Vec::with_capacity(capacity as usize));
        Self { places, capacity: capacity as usize, free: NONE, live: 0, wheel: Wheel::new() }
    }

    /// Takes a place for a connection with this SYN, to be looked at after `wait`; `None` if there is none, or the SYN has more
    /// headers than any.
    pub(crate) fn open<P: Packet>(
        &mut self,
        session: SessionId,
        syn: &Segment<'_, P>,
        wait: Duration,
        now: Nanos,
    ) -> Option<u32> {
        if self.free == NONE && self.places.0.len() < self.capacity {
            self.free = self.places.0.len() as u32;
            self.places.0.push(Attempt::NOTHING);
        }
        let number = self.free;
        let place = self.places.0.get_mut(number as usize)?;
        if !place.syn.keep(syn) {
            return None;
        }
        (place.session, place.repeated) = (session, 0);
        place.tried.clear();
        self.free = place.next_free;
        if self.live == 0 {
            self.wheel.begin(ticks(now));
        }
        self.live += 1;
        self.wait(number, wait, now);
        Some(number)
    }

    /// Asks for the memory of one.
    #[inline]
    pub(crate) fn prefetch(&self, number: u32) {
        if let Some(attempt) = self.places.0.get(number as usize) {
            prefetch(attempt);
            prefetch(&attempt.syn);
            prefetch(&attempt.links);
        }
    }

    pub(crate) fn get(&mut self, number: u32) -> Option<&mut Attempt> {
        self.places.0.get_mut(number as usize)
    }

    /// It is looked at again after `wait`.
    pub(crate) fn wait(&mut self, number: u32, wait: Duration, now: Nanos) {
        let due = ticks(now + wait).wrapping_add(1);
        self.wheel.take(&mut self.places, number);
        if let Some(attempt) = self.get(number) {
            attempt.due = due;
        }
        self.wheel.arm(&mut self.places, number, due);
    }

    /// Gives a place back.
    pub(crate) fn close(&mut self, number: u32) {
        self.wheel.take(&mut self.places, number);
        let free = self.free;
        if let Some(attempt) = self.get(number) {
            attempt.next_free = free;
            self.free = number;
            self.live -= 1;
        }
    }

    /// One whose time has come, and whose it is. To be closed, or to wait again; `budget` is how many may be looked at.
    pub(crate) fn next_due(&mut self, now: Nanos, budget: &mut u32) -> Option<(u32, SessionId)> {
        let tick = ticks(now);
        while self.live > 0 && *budget > 0 {
            let number = self.wheel.next_at(tick)?;
            *budget -= 1;
            self.wheel.take(&mut self.places, number);
            let Attempt { due, session, .. } = *self.get(number)?;
            if tick.wrapping_sub(due).cast_signed() >= 0 {
                return Some((number, session));
            }
            self.wheel.arm(&mut self.places, number, due);
        }
        None
    }
}
