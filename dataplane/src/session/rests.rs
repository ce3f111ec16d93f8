//! Which tuples rest: a Bloom filter that forgets (Bloom, "Space/Time Trade-offs in Hash Coding with Allowable Errors", 1970).
//!
//! A tuple has its bits in one cache line (Putze, Sanders and Singler, "Cache-, Hash- and Space-Efficient Bloom Filters", 2007).
//! A line has words for each of five spans of 17 s, and is brought up to date when it is written: nothing is ever swept. So a
//! tuple rests for 68 to 85 s, however many do. Where too many do, others seem to rest as well, and cost a draw.

use super::record::TupleHash;
use crate::prefetch::prefetch;
use crate::time::Nanos;
use std::ops::Range;
use std::time::Duration;

/// For how long a tuple rests at least: TIME_WAIT of Linux is 60 s, and its timers of that length may be an eighth late.
pub const REST: Duration = Duration::from_secs(68);
/// Spans that a line remembers: that of now, and those that make up the rest.
const SPANS: u32 = 5;
/// Nanoseconds of a span.
const SPAN: u64 = REST.as_nanos() as u64 / (SPANS as u64 - 1);
/// Words of a span in a line; a tuple has one bit in each.
const WORDS: usize = 3;
/// Tuples of a line within all of its spans with which one of twenty others seems to rest.
const TUPLES: u64 = 40;

/// A cache line.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Line {
    /// The last span that was written.
    span: u32,
    words: [[u32; WORDS]; SPANS as usize],
}

const _: () = assert!(size_of::<Line>() == 64);

/// The filter.
#[derive(Debug)]
pub(super) struct Rests {
    lines: Box<[Line]>,
}

/// The number of the span of a moment.
const fn span(now: Nanos) -> u32 {
    (now.0 / SPAN) as u32
}

const fn place_of_span(span: u32) -> usize {
    (span % SPANS) as usize
}

/// A tuple's bit in each word.
fn bits(hash: TupleHash) -> [u32; WORDS] {
    // Behind those that choose its line, and its place among sessions.
    std::array::from_fn(|word| 1 << (hash.0 >> (112 + 5 * word) & 31))
}

impl Rests {
    /// For so many tuples a second.
    pub(super) fn new(rate: u32) -> Self {
        let tuples = u64::from(rate) * (SPAN * u64::from(SPANS) / 1_000_000_000);
        let lines = tuples.div_ceil(TUPLES).max(1) as usize;
        Self { lines: vec![Line { span: 0, words: [[0; WORDS]; SPANS as usize] }; lines].into() }
    }

    /// Bytes that it takes.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.lines)
    }

    /// The addresses of its memory.
    pub(super) fn memory(&self) -> Range<usize> {
        let Range { start, end } = self.lines.as_ptr_range();
        start.addr()..end.addr()
    }

    fn place(&self, hash: TupleHash) -> usize {
        ((u128::from(hash.0 as u64) * self.lines.len() as u128) >> 64) as usize
    }

    /// A tuple rests, since a moment that may have passed.
    pub(super) fn add(&mut self, hash: TupleHash, since: Nanos, now: Nanos) {
        let (place, since, span) = (self.place(hash), span(since), span(now));
        let Some(line) = self.lines.get_mut(place) else { return };
        let passed = span.saturating_sub(line.span);
        if passed > 0 {
            for gone in 1..=passed.min(SPANS) {
                line.words[place_of_span(line.span + gone)] = [0; WORDS];
            }
            line.span = span;
        }
        let age = line.span.saturating_sub(since);
        if age >= SPANS {
            return;
        }
        for (word, bit) in line.words[place_of_span(line.span - age)].iter_mut().zip(bits(hash)) {
            *word |= bit;
        }
    }

    pub(super) fn prefetch(&self, hash: TupleHash) {
        if let Some(line) = self.lines.get(self.place(hash)) {
            prefetch(line);
        }
    }

    /// Whether a tuple rests, or seems to.
    pub(super) fn contains(&self, hash: TupleHash, now: Nanos) -> bool {
        let Some(line) = self.lines.get(self.place(hash)) else { return false };
        let passed = span(now).saturating_sub(line.span);
        let bits = bits(hash);
        let is_in = |words: &[u32; WORDS]| words.iter().zip(bits).all(|(word, bit)| word & bit != 0);
        (0..SPANS.saturating_sub(passed)).any(|age| {
            // The first spans have none before them.
            line.span.checked_sub(age).is_some_and(|span| is_in(&line.words[place_of_span(span)]))
        })
    }
}
