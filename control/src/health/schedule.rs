//! When the next probe of each backend is due: a timer wheel (Varghese and Lauck, SOSP 1987, scheme 6).
//!
//! Nothing is ever removed from its middle. Each entry carries the stamp that its backend had when it was made; the
//! prober skips one whose stamp is no longer current.

use super::tick::Tick;

/// Ticks in a bucket, as a shift: 262 µs.
const BUCKET_SHIFT: u32 = 8;
/// Buckets: 33.5 ms in all. What is due later stays in its bucket for further turns. More buckets would spread the
/// same entries over more memory.
const BUCKETS: u32 = 128;

/// The shortest distance of two probes to one backend: a bucket.
pub(super) const SHORTEST_SPACING: u32 = 1 << BUCKET_SHIFT;

/// A probe to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// When.
    pub due: Tick,
    /// To whom.
    pub backend: u16,
    /// The backend's stamp when the entry was made.
    pub stamp: u16,
}

/// The wheel.
pub(super) struct Wheel {
    buckets: Vec<Vec<Entry>>,
    scratch: Vec<Entry>,
    /// The bucket of this moment is the first that the next turn looks at.
    cursor: Tick,
}

impl Wheel {
    pub fn new() -> Self {
        Self { buckets: vec![Vec::new(); BUCKETS as usize], scratch: Vec::new(), cursor: Tick::default() }
    }

    /// Adds an entry. One that is due already comes out at the next turn.
    #[inline]
    pub fn insert(&mut self, entry: Entry) {
        let at = if entry.due.since(self.cursor) < 0 { self.cursor } else { entry.due };
        self.buckets[Self::index(at.0 >> BUCKET_SHIFT)].push(entry);
    }

    /// Moves every entry that is due at `now` to the end of `due`.
    pub fn take_due(&mut self, now: Tick, due: &mut Vec<Entry>) {
        let first = self.cursor.0 >> BUCKET_SHIFT;
        let last = now.0 >> BUCKET_SHIFT;
        // Bucket numbers count modulo 2^24, a multiple of the number of buckets.
        let turns = (last.wrapping_sub(first) & (u32::MAX >> BUCKET_SHIFT)).min(BUCKETS - 1);
        self.cursor = now;
        for number in first..=first + turns {
            let index = Self::index(number);
            std::mem::swap(&mut self.scratch, &mut self.buckets[index]);
            for entry in self.scratch.drain(..) {
                // Back into the bucket of its own time, which is another one if the cursor was far behind.
                let list = if entry.due.since(now) <= 0 {
                    &mut *due
                } else {
                    &mut self.buckets[Self::index(entry.due.0 >> BUCKET_SHIFT)]
                };
                list.push(entry);
            }
        }
    }

    /// Forgets all entries.
    pub fn clear(&mut self) {
        self.buckets.iter_mut().for_each(Vec::clear);
    }

    const fn index(number: u32) -> usize {
        (number % BUCKETS) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Against a list that is searched: the same entries come out at the same turns.
        #[test]
        fn agrees_with_a_list(start: u32, steps in prop::collection::vec((0u32..60_000, prop::collection::vec(0u32..200_000, 0..4)), 1..60)) {
            let mut wheel = Wheel::new();
            let mut list: Vec<Entry> = Vec::new();
            let mut now = Tick(start);
            wheel.take_due(now, &mut Vec::new());
            let mut stamp = 0;
            for (step, delays) in steps {
                for delay in delays {
                    // Some lie in the past.
                    let entry = Entry { due: now.plus(delay).plus(0u32.wrapping_sub(1_000)), backend: 1, stamp };
                    stamp += 1;
                    wheel.insert(entry);
                    list.push(entry);
                }
                now = now.plus(step);
                let mut due = Vec::new();
                wheel.take_due(now, &mut due);
                let mut expected: Vec<_> = list.extract_if(.., |entry| entry.due.since(now) <= 0).collect();
                due.sort_by_key(|entry| entry.stamp);
                expected.sort_by_key(|entry| entry.stamp);
                prop_assert_eq!(due, expected);
            }
        }
    }

    #[test]
    fn a_first_turn_at_any_time_finds_what_was_inserted() {
        for start in [0, 77, 1 << 31, u32::MAX] {
            let mut wheel = Wheel::new();
            wheel.insert(Entry { due: Tick(start), backend: 3, stamp: 0 });
            let mut due = Vec::new();
            wheel.take_due(Tick(start), &mut due);
            assert_eq!(due.len(), 1, "start {start}");
        }
    }
}
