//! The source ports that a worker gives to `fullnat` sessions.
//!
//! There is no list of free ports. A port is drawn at random (RFC 6056, section 3.3.1, algorithm 2) among those of this worker,
//! and taken if no session has its tuple and if it did not serve the same backend lately: the table of sessions knows the one, and
//! a table of what rests the other. So it takes no memory for each backend, and while a tenth of the ports is free a draw
//! succeeds at once, or nearly.
//!
//! A port rests since a backend may still remember its connection in TIME_WAIT, and would refuse another client's SYN whose
//! timestamp is older (PAWS, RFC 7323, section 5).

use super::record::{Endpoint, Tuple};
use crate::hash::FlowHasher;
use crate::ids::WorkerId;
use crate::time::Nanos;
use std::time::Duration;

/// For how long a port rests: TIME_WAIT of Linux.
pub const REST: Duration = Duration::from_secs(60);
/// The lowest port that is given away: those below are of services.
const FIRST: u32 = 1_024;
/// The ports from here on are those of checks that are conversations.
const END: u32 = crate::select::CONVERSATION_PORT_BASE as u32;
/// Draws before a backend counts as exhausted: with one port of ten free, one in a thousand finds none.
const DRAWS: usize = 64;
/// Entries of a bucket of resting ports: a cache line. At a quarter of the room one bucket in a million overflows.
const WAYS: usize = 16;

/// No port is free for a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exhausted;

/// A resting tuple: a part of its hash, and the second at which it was freed, plus one; 0: nobody.
#[derive(Clone, Copy, Debug, Default)]
struct Resting {
    tag: u16,
    freed: u16,
}

/// Draws ports, and lets them rest.
pub struct Ports {
    worker: u32,
    workers: u32,
    rest: u16,
    random: u64,
    hasher: FlowHasher,
    resting: Box<[[Resting; WAYS]]>,
}

impl Ports {
    /// For worker `worker` of `workers`. `room` is for resting tuples: of a worker that ends more than a quarter of it within
    /// 60 s some rest for a shorter time. `hasher` has a secret of the process for its key.
    #[must_use]
    pub fn new((worker, workers): (WorkerId, u16), room: u32, hasher: FlowHasher) -> Self {
        let buckets = (room as usize / WAYS).max(1);
        let seed = hasher.hash(&FlowSeed::key(worker)).0 as u64;
        Self {
            worker: u32::from(worker.0),
            workers: u32::from(workers.max(1)),
            rest: REST.as_secs() as u16,
            random: seed | 1,
            hasher,
            resting: vec![[Resting::default(); WAYS]; buckets].into(),
        }
    }

    /// Bytes that it takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.resting)
    }

    /// A source for packets to `destination`: one of `sources`, and a port of this worker. `is_used` says whether a session has a
    /// tuple; `avoid` is a port that is not for sessions with this backend.
    ///
    /// # Errors
    ///
    /// [`Exhausted`] if no draw found a free one.
    pub fn draw(
        &mut self,
        sources: &[u128],
        destination: Endpoint,
        (protocol, avoid): (u8, u16),
        now: Nanos,
        is_used: impl Fn(&Tuple) -> bool,
    ) -> Result<Endpoint, Exhausted> {
        for _ in 0..DRAWS {
            let random = self.next_random();
            let place = ((u64::from(random as u32) * sources.len() as u64) >> 32) as usize;
            let address = *sources.get(place).ok_or(Exhausted)?;
            let Some(port) = self.port((random >> 32) as u32).filter(|port| *port != avoid) else { continue };
            let source = Endpoint { address, port };
            let tuple = Tuple { source, destination, protocol };
            if !self.rests(&tuple, now) && !is_used(&tuple) {
                return Ok(source);
            }
        }
        Err(Exhausted)
    }

    /// A port of this worker: those whose remainder by the number of workers is its own.
    fn port(&self, random: u32) -> Option<u16> {
        let first = FIRST.next_multiple_of(self.workers) + self.worker;
        let count = END.checked_sub(first)?.div_ceil(self.workers);
        let step = ((u64::from(random) * u64::from(count)) >> 32) as u32;
        u16::try_from(first + step * self.workers).ok()
    }

    /// xorshift64* (Vigna, 2016).
    fn next_random(&mut self) -> u64 {
        let mut state = self.random;
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        self.random = state;
        state.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A session with this tuple ended: the port rests.
    pub fn free(&mut self, tuple: &Tuple, now: Nanos) {
        let (place, tag) = self.place(tuple);
        let (second, rest) = (second(now), self.rest);
        let Some(bucket) = self.resting.get_mut(place) else { return };
        let age = |resting: &Resting| if resting.freed == 0 { u16::MAX } else { age(resting, second) };
        if let Some(oldest) = bucket.iter_mut().max_by_key(|resting| age(resting).min(rest)) {
            *oldest = Resting { tag, freed: second };
        }
    }

    /// Whether a session with this tuple ended a moment ago.
    #[must_use]
    pub fn rests(&self, tuple: &Tuple, now: Nanos) -> bool {
        let (place, tag) = self.place(tuple);
        let second = second(now);
        let is_it = |resting: &Resting| resting.freed != 0 && resting.tag == tag && age(resting, second) <= self.rest;
        self.resting.get(place).is_some_and(|bucket| bucket.iter().any(is_it))
    }

    fn place(&self, tuple: &Tuple) -> (usize, u16) {
        let hash = self.hasher.hash(&tuple.key()).0;
        let place = (u128::from(hash as u64) * self.resting.len() as u128) >> 64;
        (place as usize, (hash >> 64) as u16)
    }
}

/// Seconds, never zero.
const fn second(now: Nanos) -> u16 {
    (now.0 / 1_000_000_000 % 0xffff) as u16 + 1
}

/// Seconds since a port was freed. What is older than 18 hours looks young again for a minute: a draw more.
const fn age(resting: &Resting, second: u16) -> u16 {
    let ages = (second as u32 + 0xffff - resting.freed as u32) % 0xffff;
    ages as u16
}

/// What the random numbers of a worker begin with.
struct FlowSeed;

impl FlowSeed {
    fn key(worker: WorkerId) -> crate::hash::FlowKey {
        crate::hash::FlowKey::v4(0, [0; 4], [0; 4], worker.0, 0)
    }
}
