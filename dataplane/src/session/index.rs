//! From a tuple to a session: buckets of a cache line, two for each key.
//!
//! An entry is 32 bits: the session's number plus one, a bit for the side, and in the rest, six or more, a part of the key's hash.
//! So a key meets the entry of another seldom, and the fewer sessions the seldomer. Of its two buckets a key
//! goes to the emptier one, so that they fill evenly (Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing",
//! 2001). Where both are full nevertheless, an entry of theirs moves to its other bucket (Pagh and Rodler, "Cuckoo Hashing",
//! 2004), one step and no further. Removal leaves nothing behind.

use super::Side;
use crate::prefetch::prefetch;
use std::ops::Range;

/// Entries of a bucket.
const WAYS: usize = 16;
/// Percent of the entries that are used when every session is there.
const LOAD: u64 = 75;

/// The bit of each.
const BITS: [u32; WAYS] = {
    let mut bits = [0; WAYS];
    let mut way = 0;
    while way < WAYS {
        bits[way] = 1 << way;
        way += 1;
    }
    bits
};

/// The most sessions that entries can name.
pub(super) const MOST: u32 = (1 << 25) - 1;

#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Bucket([u32; WAYS]);

/// What stands for a key: where it may be, and some bits to tell it from others there, in their place of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionKey {
    buckets: [u32; 2],
    tag: u32,
}

/// All entries.
#[derive(Debug)]
pub(super) struct Index {
    buckets: Box<[Bucket]>,
    /// The bit of an entry that is its side: those below are its number, those above its tag.
    side: u32,
}

impl Bucket {
    /// A bit for each entry that is `tag` under a mask. All are compared together, and few buckets have any: the bits are told
    /// apart only then.
    #[inline(always)]
    fn which(&self, mask: u32, tag: u32) -> u32 {
        let is_it = |entry: &u32| entry & mask == tag;
        if !self.0.iter().fold(false, |any, entry| any | is_it(entry)) {
            return 0;
        }
        let bits = self.0.iter().zip(&BITS).map(|(entry, bit)| bit & u32::from(is_it(entry)).wrapping_neg());
        bits.sum()
    }

    /// Entries that are empty.
    #[inline(always)]
    fn free(&self) -> u32 {
        self.0.iter().map(|entry| u32::from(*entry == 0)).sum()
    }

    /// Puts an entry in the place of another one, if that is there.
    #[inline(always)]
    fn replace(&mut self, old: u32, new: u32) -> bool {
        let found = self.which(u32::MAX, old);
        if let Some(entry) = self.0.get_mut(found.trailing_zeros() as usize) {
            *entry = new;
        }
        found != 0
    }
}

impl Index {
    /// Room for both keys of so many sessions.
    pub(super) fn new(capacity: u32) -> Self {
        let entries = u64::from(capacity) * 2 * 100 / LOAD;
        let buckets = (entries / WAYS as u64 + 1) as usize;
        // The highest number is the capacity less one, and entries have it plus one.
        Self { buckets: vec![Bucket([0; WAYS]); buckets].into(), side: (capacity.min(MOST) + 1).next_power_of_two() }
    }

    const fn entry(&self, number: u32, side: Side, tag: u32) -> u32 {
        let side = match side {
            Side::Client => 0,
            Side::Backend => self.side,
        };
        tag | side | (number + 1)
    }

    /// The session of an entry that is not empty, and which of its keys it is.
    const fn named(&self, entry: u32) -> (u32, Side) {
        let side = if entry & self.side == 0 { Side::Client } else { Side::Backend };
        ((entry & (self.side - 1)) - 1, side)
    }

    /// The bits of a tag.
    const fn tag_mask(&self) -> u32 {
        !(self.side | (self.side - 1))
    }

    /// The addresses of its memory.
    pub(super) fn memory(&self) -> Range<usize> {
        let Range { start, end } = self.buckets.as_ptr_range();
        start.addr()..end.addr()
    }

    /// Bytes that it takes.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.buckets)
    }

    /// The key with this hash.
    #[inline]
    pub(super) fn key(&self, hash: u128) -> SessionKey {
        let count = self.buckets.len() as u64;
        let place = |bits: u32| ((u64::from(bits) * count) >> 32) as u32;
        let buckets = [place(hash as u32), place((hash >> 32) as u32)];
        // Never zero, which is what an empty entry has.
        SessionKey { buckets, tag: ((hash >> 64) as u32 & self.tag_mask()).max(self.side << 1) }
    }

    #[inline]
    pub(super) fn prefetch(&self, key: SessionKey) {
        for place in key.buckets {
            if let Some(bucket) = self.buckets.get(place as usize) {
                prefetch(bucket);
            }
        }
    }

    /// The first session that may have this key and is the one: by its number, and by which of its keys it would be.
    #[inline]
    pub(super) fn find(&self, key: SessionKey, mut is_it: impl FnMut(u32, Side) -> bool) -> Option<(u32, Side)> {
        let mask = self.tag_mask();
        for place in key.buckets {
            let Some(bucket) = self.buckets.get(place as usize) else { continue };
            let mut tagged = bucket.which(mask, key.tag);
            while tagged != 0 {
                let (number, side) = self.named(bucket.0[tagged.trailing_zeros() as usize % WAYS]);
                if is_it(number, side) {
                    return Some((number, side));
                }
                tagged &= tagged - 1;
            }
        }
        None
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
        let free = |place: u32| self.buckets.get(place as usize).map_or(0, Bucket::free);
        let [first, second] = key.buckets;
        let place = if free(second) > free(first) { second } else { first };
        let entry = self.entry(number, side, key.tag);
        self.put(place, entry) || key.buckets.into_iter().any(|place| self.displace(place, entry, &hash_of))
    }

    /// Puts an entry where its bucket has room for it.
    fn put(&mut self, place: u32, entry: u32) -> bool {
        self.buckets.get_mut(place as usize).is_some_and(|bucket| bucket.replace(0, entry))
    }

    /// Puts an entry into a full bucket in place of one whose other bucket has room. Reads as many records as a bucket has
    /// entries at most.
    fn displace(&mut self, place: u32, entry: u32, hash_of: &impl Fn(u32, Side) -> u128) -> bool {
        let Some(&Bucket(entries)) = self.buckets.get(place as usize) else { return false };
        // A session whose other key is just being entered has no record yet.
        let (number, _) = self.named(entry);
        for (way, other) in entries.into_iter().enumerate() {
            let (of_other, side) = self.named(other);
            if of_other == number {
                continue;
            }
            let [first, second] = self.key(hash_of(of_other, side)).buckets;
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
        let gone = self.entry(number, side, key.tag);
        for place in key.buckets {
            if self.buckets.get_mut(place as usize).is_some_and(|bucket| bucket.replace(gone, 0)) {
                return;
            }
        }
    }
}
