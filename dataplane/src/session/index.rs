//! From a tuple to a session: buckets of a cache line, two for each key.
//!
//! An entry is 32 bits: 25 of the session's number plus one, one for the side, six of the key's hash. Of its two buckets a key
//! goes to the emptier one, so that they fill evenly (Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing",
//! 2001). Where both are full nevertheless, an entry of theirs moves to its other bucket (Pagh and Rodler, "Cuckoo Hashing",
//! 2004), one step and no further. Removal leaves nothing behind.

use super::Side;
use crate::prefetch::prefetch;

/// Entries of a bucket.
const WAYS: usize = 16;
/// Percent of the entries that are used when every session is there.
const LOAD: u64 = 75;
const NUMBER_BITS: u32 = 25;
const NUMBER: u32 = (1 << NUMBER_BITS) - 1;
const SIDE: u32 = 1 << NUMBER_BITS;
const TAG_SHIFT: u32 = NUMBER_BITS + 1;

/// The most sessions that entries can name.
pub(super) const MOST: u32 = NUMBER;

#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Bucket([u32; WAYS]);

/// What stands for a key: where it may be, and six bits to tell it from others there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionKey {
    buckets: [u32; 2],
    tag: u32,
}

/// All entries.
#[derive(Debug)]
pub(super) struct Index {
    buckets: Box<[Bucket]>,
}

const fn entry(number: u32, side: Side, tag: u32) -> u32 {
    let side = match side {
        Side::Client => 0,
        Side::Backend => SIDE,
    };
    tag << TAG_SHIFT | side | (number + 1)
}

const fn side(entry: u32) -> Side {
    if entry & SIDE == 0 { Side::Client } else { Side::Backend }
}

impl Index {
    /// Room for both keys of so many sessions.
    pub(super) fn new(capacity: u32) -> Self {
        let entries = u64::from(capacity) * 2 * 100 / LOAD;
        let buckets = (entries / WAYS as u64 + 1) as usize;
        Self { buckets: vec![Bucket([0; WAYS]); buckets].into() }
    }

    /// Bytes that it takes.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.buckets)
    }

    /// The key with this hash.
    pub(super) fn key(&self, hash: u128) -> SessionKey {
        let count = self.buckets.len() as u64;
        let place = |bits: u32| ((u64::from(bits) * count) >> 32) as u32;
        SessionKey { buckets: [place(hash as u32), place((hash >> 32) as u32)], tag: (hash >> 64) as u32 & 0x3f }
    }

    pub(super) fn prefetch(&self, key: SessionKey) {
        for place in key.buckets {
            if let Some(bucket) = self.buckets.get(place as usize) {
                prefetch(bucket);
            }
        }
    }

    /// The sessions that may have this key: their numbers, and which of their keys it would be.
    pub(super) fn candidates(&self, key: SessionKey) -> impl Iterator<Item = (u32, Side)> + '_ {
        let buckets = key.buckets.into_iter().filter_map(|place| self.buckets.get(place as usize));
        let entries = buckets.flat_map(|bucket| bucket.0);
        let tagged = entries.filter(move |entry| *entry != 0 && entry >> TAG_SHIFT == key.tag);
        tagged.map(|entry| ((entry & NUMBER) - 1, side(entry)))
    }

    /// Enters a session under a key. If both buckets are full, an entry gives way; `hash_of` says the hash of a session's
    /// key. `false`, and nothing changes, if none can.
    #[must_use]
    pub(super) fn insert(
        &mut self,
        key: SessionKey,
        number: u32,
        side: Side,
        hash_of: impl Fn(u32, Side) -> u128,
    ) -> bool {
        let used = |place: u32| {
            let bucket = self.buckets.get(place as usize);
            bucket.map_or(WAYS, |bucket| bucket.0.iter().filter(|entry| **entry != 0).count())
        };
        let [first, second] = key.buckets;
        let place = if used(second) < used(first) { second } else { first };
        let entry = entry(number, side, key.tag);
        self.put(place, entry) || key.buckets.into_iter().any(|place| self.displace(place, entry, &hash_of))
    }

    /// Puts an entry where its bucket has room for it.
    fn put(&mut self, place: u32, entry: u32) -> bool {
        let bucket = self.buckets.get_mut(place as usize);
        let free = bucket.and_then(|bucket| bucket.0.iter_mut().find(|entry| **entry == 0));
        free.map(|free| *free = entry).is_some()
    }

    /// Puts an entry into a full bucket in place of one whose other bucket has room. Reads as many records as a bucket has
    /// entries at most.
    fn displace(&mut self, place: u32, entry: u32, hash_of: &impl Fn(u32, Side) -> u128) -> bool {
        let Some(&Bucket(entries)) = self.buckets.get(place as usize) else { return false };
        // A session whose other key is just being entered has no record yet.
        let others = entries.into_iter().enumerate().filter(|(_, other)| other & NUMBER != entry & NUMBER);
        for (way, other) in others {
            let [first, second] = self.key(hash_of((other & NUMBER) - 1, side(other))).buckets;
            let elsewhere = if first == place { second } else { first };
            if self.put(elsewhere, other) {
                if let Some(bucket) = self.buckets.get_mut(place as usize) {
                    bucket.0[way] = entry;
                }
                return true;
            }
        }
        false
    }

    /// Takes an entry out.
    pub(super) fn remove(&mut self, key: SessionKey, number: u32, side: Side) {
        let gone = entry(number, side, key.tag);
        for place in key.buckets {
            let bucket = self.buckets.get_mut(place as usize);
            if let Some(found) = bucket.and_then(|bucket| bucket.0.iter_mut().find(|entry| **entry == gone)) {
                *found = 0;
                return;
            }
        }
    }
}
