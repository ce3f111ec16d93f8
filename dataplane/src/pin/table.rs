//! The table: buckets of eight words, and what workers do to them.

use super::clock::{PinClock, Tick};
use super::word::{Pin, PinState};
use crate::consistency::{Rule, Rules};
use crate::hash::FlowHash;
use crate::ids::BackendId;
use crate::prefetch::prefetch;
#[cfg(loom)]
use loom::sync::atomic::{AtomicU64, Ordering::Relaxed, Ordering::SeqCst, fence};
use std::ops::Range;
#[cfg(not(loom))]
use std::sync::atomic::{AtomicU64, Ordering::Relaxed, Ordering::SeqCst, fence};
use std::time::Duration;

/// Words of a bucket: a cache line of them.
pub const WAYS: usize = 8;

/// Ticks that a worker lets pass after the idle time before it calls a pin expired.
const WORKER_MARGIN: u16 = 1;

#[repr(align(64))]
struct Bucket([AtomicU64; WAYS]);

#[cfg(not(loom))]
const _: () = assert!(size_of::<Bucket>() == 64);

impl Bucket {
    fn new() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

/// The pins of all flows, shared by all workers, bounded.
pub struct PinTable {
    buckets: Box<[Bucket]>,
    clock: PinClock,
}

/// Where the pin of a flow is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PinKey {
    /// Bits 0..32 of the flow's hash.
    pub tag: u32,
    bucket: u32,
}

impl PinKey {
    /// The key of no flow in particular.
    pub(crate) const NOTHING: Self = Self { tag: 0, bucket: 0 };
}

/// A pin as it was read, and its place.
#[derive(Clone, Copy)]
pub struct Found<'t> {
    word: &'t AtomicU64,
    /// What stood there.
    pub pin: Pin,
}

/// How long pins stay.
#[derive(Clone, Copy, Debug)]
pub struct Tenure {
    /// T of the pool, in ticks.
    pub idle: u16,
    /// The longest T of all pools: pins of others are judged by it.
    pub longest_idle: u16,
    /// Which rules hold.
    pub rules: Rules,
}

impl Tenure {
    /// How old a pin may be beyond its idle time. A flow that is idle for exactly that long may have sent at the end of one
    /// tick and send again at the beginning of another.
    const fn margin(&self) -> u16 {
        if self.rules.hold(Rule::ExpiryMargin) { WORKER_MARGIN } else { 0 }
    }
}

/// What became of an insertion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// The pin stands, in a place that was free, or in that of this one, which was not expired.
    Done(Option<Pin>),
    /// Another worker was there at the same time: look again. This one, which was not expired, is gone all the same.
    Again(Option<Pin>),
    /// The bucket is full of pins that are worth more.
    Full,
}

impl std::fmt::Debug for PinTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PinTable").field("pins", &self.capacity()).field("clock", &self.clock).finish()
    }
}

impl PinTable {
    /// An empty table of at least `pins` words, 8 bytes each.
    #[must_use]
    pub fn new(pins: usize, clock: PinClock) -> Self {
        let buckets = pins.div_ceil(WAYS).clamp(1, 1 << 31);
        Self { buckets: (0..buckets).map(|_| Bucket::new()).collect(), clock }
    }

    /// The addresses of its memory, for wishes about pages.
    #[must_use]
    pub fn memory(&self) -> Range<usize> {
        let Range { start, end } = self.buckets.as_ptr_range();
        start.addr()..end.addr()
    }

    /// A single bucket, with the default times: for pools that never change.
    #[must_use]
    pub fn smallest() -> Self {
        Self::new(WAYS, PinClock::new(Duration::from_secs(900), Duration::from_secs(3)))
    }

    /// How many pins it holds at most.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.buckets.len() * WAYS
    }

    /// Its clock.
    #[inline]
    #[must_use]
    pub const fn clock(&self) -> &PinClock {
        &self.clock
    }

    /// Where the pin of a flow is. Pools have different salts: a client with affinity has the same hash in all of them,
    /// and a pin in each.
    #[inline]
    #[must_use]
    pub fn key(&self, hash: FlowHash, salt: u32, rules: Rules) -> PinKey {
        let chosen = if rules.hold(Rule::DisjointBits) { hash.bucket() } else { hash.tag() };
        let bits = u64::from(chosen ^ salt);
        PinKey { tag: hash.tag(), bucket: ((bits * self.buckets.len() as u64) >> 32) as u32 }
    }

    #[inline]
    fn words(&self, key: PinKey) -> &[AtomicU64; WAYS] {
        // The key is one of this table: the index is right. That of another one finds some bucket, never a panic.
        &self.buckets[(key.bucket as usize).min(self.buckets.len() - 1)].0
    }

    /// Asks for the cache line of a key.
    #[inline]
    pub fn prefetch(&self, key: PinKey) {
        prefetch(self.words(key));
    }

    /// The pin with this tag, of those whose backend is `ours`: there is one at most.
    #[inline]
    #[must_use]
    pub fn find(&self, key: PinKey, ours: impl Fn(BackendId) -> bool) -> Option<Found<'_>> {
        self.words(key).iter().find_map(|word| {
            // Relaxed: a word says all that there is to know of its flow.
            let pin = Pin::of_word(word.load(Relaxed)).filter(|pin| pin.tag() == key.tag && ours(pin.backend()))?;
            Some(Found { word, pin })
        })
    }

    /// The pin with this tag if it was used at `now` already, by a packet other than one that begins or ends its flow: another
    /// one would leave it as it is. Whose backend it names is for the caller to see: there may be one more with this tag.
    #[inline(always)]
    #[must_use]
    pub fn used_at(&self, key: PinKey, now: Tick) -> Option<Pin> {
        // All words, and no branch: where the pin stands is anything but predictable.
        let word = self.words(key).iter().fold(0, |found, word| {
            let word = word.load(Relaxed);
            if word as u32 == key.tag { word } else { found }
        });
        Pin::used_at(word, now)
    }

    /// Puts a pin where none of its flow was found. Evicted are, in this order: what is expired; an embryonic pin older
    /// than `arm_time`; if `pin` is none itself, the oldest of those that only one packet came for, at least a tick ago. A
    /// confirmed pin never, so that no flood takes one.
    ///
    /// `tenure` is the pool's, `ours` tells whose backends are of it.
    pub fn insert(
        &self,
        key: PinKey,
        pin: Pin,
        now: Tick,
        tenure: &Tenure,
        ours: impl Fn(BackendId) -> bool,
    ) -> Inserted {
        let words = self.words(key);
        let is_expired = |pin: &Pin| {
            let idle = if ours(pin.backend()) { tenure.idle } else { tenure.longest_idle };
            pin.is_expired(now, &self.clock, idle, tenure.margin())
        };
        let Some((way, old)) = self.place(words, pin, now, tenure.rules, is_expired) else { return Inserted::Full };
        if words[way].compare_exchange(old, pin.claim(), SeqCst, SeqCst).is_err() {
            return Inserted::Again(None);
        }
        let evicted = Pin::of_word(old).filter(|old| !is_expired(old));
        // Two workers may insert the same flow into different ways, if a way is freed between their looks. So each claims
        // its way first and looks then: at least one sees the other, and gives up for a pin or takes a claim away. Nobody
        // follows a claim, so what is given up was never used. The fence keeps the looks behind the claim.
        fence(SeqCst);
        let mut others = words.iter().enumerate().filter(|(other, _)| *other != way);
        let alone = others.all(|(_, word)| {
            let seen = word.load(SeqCst);
            let other = Pin::of_word_or_claim(seen).filter(|other| other.tag() == key.tag && ours(other.backend()));
            // Whoever is stopped in the middle of this must not stop others: a claim is no lock.
            let taken = || Pin::is_claim(seen) && word.compare_exchange(seen, 0, SeqCst, SeqCst).is_ok();
            other.is_none() || taken()
        });
        let new = if alone { pin.word() } else { 0 };
        let kept = words[way].compare_exchange(pin.claim(), new, SeqCst, SeqCst).is_ok();
        if alone && kept { Inserted::Done(evicted) } else { Inserted::Again(evicted) }
    }

    /// The way for a new pin, and what stands there.
    fn place(
        &self,
        words: &[AtomicU64; WAYS],
        new: Pin,
        now: Tick,
        rules: Rules,
        is_expired: impl Fn(&Pin) -> bool,
    ) -> Option<(usize, u64)> {
        let mut best: Option<(u32, usize, u64)> = None;
        for (way, word) in words.iter().enumerate() {
            let word = word.load(Relaxed);
            if Pin::is_claim(word) {
                continue;
            }
            let Some(old) = Pin::of_word(word) else { return Some((way, word)) };
            let worth = if is_expired(&old) {
                0
            } else if old.is_late(now, &self.clock) {
                1
            } else if !new.state().is_embryonic()
                && old.age(now, &self.clock) >= 1
                && (matches!(old.state(), PinState::Single | PinState::SingleClosing)
                    || !rules.hold(Rule::ConfirmedStays))
            {
                // The oldest first: a lower worth.
                2 + (i32::from(u16::MAX) - old.age(now, &self.clock)).unsigned_abs()
            } else {
                continue;
            };
            if best.is_none_or(|(least, ..)| worth < least) {
                best = Some((worth, way, word));
            }
        }
        best.map(|(_, way, word)| (way, word))
    }

    /// How many words are in use: walks all of them.
    #[must_use]
    pub fn count(&self) -> usize {
        self.buckets.iter().flat_map(|bucket| &bucket.0).filter(|word| word.load(Relaxed) != 0).count()
    }

    /// Forgets every pin: for a change that gives flows other slots.
    pub fn clear(&self) {
        for word in self.buckets.iter().flat_map(|bucket| &bucket.0) {
            word.store(0, SeqCst);
        }
    }

    pub(super) fn buckets(&self) -> usize {
        self.buckets.len()
    }

    pub(super) fn bucket(&self, index: usize) -> &[AtomicU64; WAYS] {
        &self.buckets[index].0
    }
}

impl<'t> Found<'t> {
    pub(super) const fn new(word: &'t AtomicU64, pin: Pin) -> Self {
        Self { word, pin }
    }

    /// Whether it was not used for longer than the idle time, in ticks.
    #[inline]
    #[must_use]
    pub const fn is_expired(&self, now: Tick, clock: &PinClock, tenure: &Tenure) -> bool {
        let future = !tenure.rules.hold(Rule::SignedAge) && self.pin.age(now, clock) < 0;
        self.pin.is_expired(now, clock, tenure.idle, tenure.margin()) || future
    }

    /// Makes it `new`. Returns whether it still was what had been read; if not, look again. Nothing is written if nothing
    /// changes.
    #[inline]
    #[must_use]
    pub fn replace(&self, new: Pin) -> bool {
        new == self.pin || self.word.compare_exchange(self.pin.word(), new.word(), SeqCst, Relaxed).is_ok()
    }

    /// Takes it away. Returns whether it still was what had been read; if not, look again.
    #[inline]
    #[must_use]
    pub fn remove(&self) -> bool {
        self.word.compare_exchange(self.pin.word(), 0, SeqCst, Relaxed).is_ok()
    }
}
