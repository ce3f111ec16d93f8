//! The source ports that a worker gives to `fullnat` sessions.
//!
//! There is no list of free ports. A port is drawn at random (RFC 6056, section 3.3.1, algorithm 2) among those of this worker,
//! and taken if no session has its tuple and if it did not serve the same backend lately: the table of sessions knows the one, and
//! a filter of what rests the other. So it takes no memory for each backend, and while a tenth of the ports is free a draw
//! succeeds at once, or nearly. The random numbers are a counter, encrypted: who does not know the key cannot tell the next one
//! from those before (RFC 6056, section 3.1).
//!
//! Where the card's way to spread flows is known, a port is taken that brings the backend's answers to this worker: the first of a
//! sequence that begins with the drawn one. Who else could guess the port has as many fewer to try as there are workers.
//!
//! A port rests since a backend may still remember its connection in TIME_WAIT, and would refuse another client's SYN whose
//! timestamp is older (PAWS, RFC 7323, section 5).

use super::record::{Endpoint, Tuple, TupleHash};
use super::rests::Rests;
use crate::hash::FlowHasher;
use crate::ids::WorkerId;
use crate::rss::Rss;
use crate::time::Nanos;
use std::ops::Range;

/// The lowest port that is given away: those below are of services.
const FIRST: u32 = 1_024;
/// The ports from here on are those of checks that are conversations.
const END: u32 = crate::select::CONVERSATION_PORT_BASE as u32;
/// Source ports that one address has for a backend, at all workers together.
pub const PORTS_OF_ADDRESS: u32 = END - FIRST;
/// Draws before a backend counts as exhausted: with one port of ten free, one in a thousand finds none.
const DRAWS: usize = 64;
/// Draws before them of ports that bring answers to this worker. One that fails costs two misses of the caches; a connection whose
/// answers hop pays for three of them, and more with every answer.
const FITTING_DRAWS: usize = 4;
/// Ports that are looked at for one of those: with 16 workers one search in 60 finds none.
const TRIES: usize = 64;
/// Numbers that are encrypted together: as many as AES in software takes at once.
const AHEAD: usize = 8;

/// No port is free for a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exhausted;

/// What a source is for.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The addresses of which one stands for the client.
    pub sources: &'a [u128],
    /// The backend.
    pub destination: Endpoint,
    /// TCP or UDP.
    pub protocol: u8,
    /// A port that is not for sessions with this backend.
    pub avoid: u16,
    /// How the port where answers come in spreads them over workers.
    pub rss: Option<&'a Rss>,
}

/// A source that stands for a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drawn {
    /// Its address and port.
    pub source: Endpoint,
    /// The hash of the tuple of the backend's answers.
    pub answer: TupleHash,
}

/// Draws ports, and lets them rest.
pub struct Ports {
    worker: WorkerId,
    /// The first port of this worker, how many it has, and the distance between two.
    first: u32,
    count: u32,
    workers: u32,
    hasher: FlowHasher,
    /// Numbers of the sequence that are encrypted, and how many of their halves are used.
    numbers: [u128; AHEAD],
    used: usize,
    /// The next number of the sequence.
    next: u64,
    rests: Rests,
}

impl Ports {
    /// For worker `worker` of `workers`. Of `rate` sessions that end in a second one draw of twenty fails for what rests; with more of
    /// them more do, and a port rests as long. `hasher` has a secret of the process for its key.
    #[must_use]
    pub fn new((worker, workers): (WorkerId, u16), rate: u32, hasher: FlowHasher) -> Self {
        let workers = u32::from(workers.max(1));
        let first = FIRST.next_multiple_of(workers) + u32::from(worker.0);
        Self {
            worker,
            first,
            count: END.saturating_sub(first).div_ceil(workers),
            workers,
            hasher,
            numbers: [0; AHEAD],
            used: 2 * AHEAD,
            next: 0,
            rests: Rests::new(rate),
        }
    }

    /// Bytes that it takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.rests.bytes()
    }

    /// The addresses of its memory, for wishes about pages.
    #[must_use]
    pub fn memory(&self) -> Range<usize> {
        self.rests.memory()
    }

    /// A source for packets to a backend: one of its addresses, and a port of this worker. `is_used` says whether a session has a
    /// tuple, which is that of the backend's answers.
    ///
    /// # Errors
    ///
    /// [`Exhausted`] if no draw found a free one.
    pub fn draw(
        &mut self,
        wanted: &Wanted<'_>,
        now: Nanos,
        is_used: impl Fn(&Tuple, TupleHash) -> bool,
    ) -> Result<Drawn, Exhausted> {
        let fitting = if wanted.rss.is_some() { FITTING_DRAWS } else { 0 };
        let any = Wanted { rss: None, ..*wanted };
        for wanted in std::iter::repeat_n(wanted, fitting).chain(std::iter::repeat_n(&any, DRAWS)) {
            let Some(drawn) = self.guess(wanted)? else { continue };
            if self.is_free(&drawn, wanted, now, &is_used) {
                return Ok(drawn);
            }
        }
        Err(Exhausted)
    }

    /// A source that may be free, and whose cache line is asked for; `None`: it is the one to avoid.
    ///
    /// # Errors
    ///
    /// [`Exhausted`] if there are no sources.
    pub fn guess(&mut self, wanted: &Wanted<'_>) -> Result<Option<Drawn>, Exhausted> {
        let &Wanted { sources, destination, protocol, .. } = wanted;
        let random = self.next_random();
        let place = ((u64::from(random as u32) * sources.len() as u64) >> 32) as usize;
        let address = *sources.get(place).ok_or(Exhausted)?;
        let random = (random >> 32) as u32;
        let port = self.fitting(random, address, wanted).or_else(|| self.port(random));
        let Some(port) = port.filter(|port| *port != wanted.avoid) else { return Ok(None) };
        let source = Endpoint { address, port };
        let answer = Tuple { source: destination, destination: source, protocol }.hash(&self.hasher);
        self.prefetch(answer);
        Ok(Some(Drawn { source, answer }))
    }

    /// Whether a source neither rests nor serves a session with its backend.
    pub fn is_free(
        &self,
        drawn: &Drawn,
        wanted: &Wanted<'_>,
        now: Nanos,
        is_used: impl Fn(&Tuple, TupleHash) -> bool,
    ) -> bool {
        let tuple = Tuple { source: wanted.destination, destination: drawn.source, protocol: wanted.protocol };
        !self.rests.contains(drawn.answer, now) && !is_used(&tuple, drawn.answer)
    }

    /// A port that brings the backend's answers to this worker, if that is a matter of the port. All such ports are as likely: with
    /// the next one of a fixed order, those behind a gap would be used up early.
    fn fitting(&self, random: u32, address: u128, wanted: &Wanted<'_>) -> Option<u16> {
        let rss = wanted.rss.filter(|rss| rss.reaches(self.worker))?;
        let answers = rss.answers(wanted.destination, address, wanted.protocol)?;
        // Each number comes after one other (Press et al., "Numerical Recipes in C", second edition, section 7.1).
        let next = |random: &u32| Some(random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223));
        let mut ports = std::iter::successors(Some(random), next).take(TRIES).map_while(|random| self.port(random));
        ports.find(|port| answers.worker_at(*port) == self.worker)
    }

    /// A port of this worker: those whose remainder by the number of workers is its own. The number's upper bits say which.
    fn port(&self, random: u32) -> Option<u16> {
        let step = ((u64::from(random) * u64::from(self.count)) >> 32) as u32;
        u16::try_from(self.first + step * self.workers).ok().filter(|_| self.count > 0)
    }

    /// Asks for the cache line of a port that comes free soon, see [`Ports::free`].
    #[inline]
    pub fn prefetch(&self, answer: TupleHash) {
        self.rests.prefetch(answer);
    }

    fn next_random(&mut self) -> u64 {
        if self.used >= 2 * AHEAD {
            self.numbers = self.hasher.sequence(self.worker.0, self.next);
            self.next = self.next.wrapping_add(AHEAD as u64);
            self.used = 0;
        }
        let number = self.numbers[self.used / 2 % AHEAD];
        let half = if self.used.is_multiple_of(2) { number as u64 } else { (number >> 64) as u64 };
        self.used += 1;
        half
    }

    /// A session ended whose backend's answers had the tuple with this hash: its port rests, since `since`, which may be earlier.
    pub fn free(&mut self, answer: TupleHash, since: Nanos, now: Nanos) {
        self.rests.add(answer, since, now);
    }
}
