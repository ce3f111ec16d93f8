//! Publication: one publisher, many readers, no lock and no waiting on the reader's side.
//!
//! The publisher swaps a pointer. A reader loads the pointer at the top of each burst and, when it changed, stores the
//! generation that it uses from then on: its acknowledgement. It is stored with release ordering after the last use of
//! the old value, so once every reader acknowledged a generation, whatever came before it can be freed; only the
//! publisher frees. A pointer cannot come back under a reader (ABA): its memory is free for reuse only after that
//! reader acknowledged a later generation, so it has seen another pointer in between. For the same reason a reader may go on
//! with the value that it acknowledged last ([`Reader::held`]) for as long as it likes.
//!
//! Model-checked with loom (`tests/loom_publish.rs`).
#![allow(unsafe_code)]

use crossbeam::utils::CachePadded;
#[cfg(loom)]
use loom::sync::{
    Arc,
    atomic::{AtomicPtr, AtomicU64, Ordering},
};
#[cfg(not(loom))]
use std::sync::{
    Arc,
    atomic::{AtomicPtr, AtomicU64, Ordering},
};
use std::sync::{Mutex, PoisonError};

/// Counts publications, from 1.
pub type Generation = u64;

/// The acknowledgement of a reader that is gone: it holds nothing and delays nobody.
const GONE: Generation = Generation::MAX;

struct Versioned<T> {
    generation: Generation,
    value: T,
}

/// A value that was replaced, and the generation that replaced it.
struct Retired<T> {
    replaced_by: Generation,
    pointer: *mut Versioned<T>,
}

struct Shared<T> {
    current: AtomicPtr<Versioned<T>>,
    acknowledged: Box<[CachePadded<AtomicU64>]>,
    // Touched by the publisher alone; a mutex, never contended, keeps that safe to write and to drop.
    retired: Mutex<Vec<Retired<T>>>,
}

// SAFETY: the raw pointers own their values. Values are handed out as `&T` to readers on other threads (T: Sync) and
// dropped by whichever thread drops the last handle (T: Send).
unsafe impl<T: Send + Sync> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Sync for Shared<T> {}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        let retired = std::mem::take(self.retired.get_mut().unwrap_or_else(PoisonError::into_inner));
        let current = self.current.load(Ordering::Acquire);
        for pointer in retired.iter().map(|retired| retired.pointer).chain([current]) {
            // SAFETY: every pointer came from `Box::into_raw`, is in exactly one of these places, and no handle that
            // could still read it exists: each holds an `Arc` of `self`.
            drop(unsafe { Box::from_raw(pointer) });
        }
    }
}

/// The writing end. One for each set of readers.
pub struct Publisher<T> {
    shared: Arc<Shared<T>>,
    generation: Generation,
}

/// A reading end: one for each worker, not shared.
pub struct Reader<T> {
    shared: Arc<Shared<T>>,
    index: usize,
    // What this reader loaded and acknowledged last; null before that.
    last: *const Versioned<T>,
}

// SAFETY: `last` is one of the pointers that `Shared` owns, read through as `&T` (T: Sync); the rest is an `Arc` of a `Sync`
// type and an index.
unsafe impl<T: Send + Sync> Send for Reader<T> {}

/// A publisher and `readers` reading ends, with `value` as generation 1, which nobody has acknowledged yet.
pub fn channel<T: Send + Sync>(value: T, readers: usize) -> (Publisher<T>, Vec<Reader<T>>) {
    let first = Box::into_raw(Box::new(Versioned { generation: 1, value }));
    let shared = Arc::new(Shared {
        current: AtomicPtr::new(first),
        acknowledged: (0..readers).map(|_| CachePadded::new(AtomicU64::new(0))).collect(),
        retired: Mutex::new(Vec::new()),
    });
    let reader = |index| Reader { shared: Arc::clone(&shared), index, last: std::ptr::null() };
    let readers = (0..readers).map(reader).collect();
    (Publisher { shared, generation: 1 }, readers)
}

impl<T: Send + Sync> Publisher<T> {
    /// Makes `value` what every reader loads from now on. Returns its generation.
    pub fn publish(&mut self, value: T) -> Generation {
        self.generation += 1;
        let new = Box::into_raw(Box::new(Versioned { generation: self.generation, value }));
        let old = self.shared.current.swap(new, Ordering::AcqRel);
        let mut retired = self.shared.retired.lock().unwrap_or_else(PoisonError::into_inner);
        retired.push(Retired { replaced_by: self.generation, pointer: old });
        drop(retired);
        self.reclaim();
        self.generation
    }

    /// The latest generation published.
    #[must_use]
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// The generation that every reader uses, or a later one; the latest if all readers are gone.
    #[must_use]
    pub fn acknowledged(&self) -> Generation {
        let slowest = self.shared.acknowledged.iter().map(|ack| ack.load(Ordering::Acquire)).min();
        slowest.unwrap_or(GONE).min(self.generation)
    }

    /// Frees what no reader can still use. Returns how many values wait for a slow reader.
    pub fn reclaim(&mut self) -> usize {
        let acknowledged = self.acknowledged();
        let mut retired = self.shared.retired.lock().unwrap_or_else(PoisonError::into_inner);
        retired.retain(|entry| {
            let in_use = entry.replaced_by > acknowledged;
            if !in_use {
                // SAFETY: the pointer came from `Box::into_raw` and is out of `current` since `replaced_by`, which every
                // reader acknowledged: each loaded a later pointer and, by the release store, ended its use of this one.
                drop(unsafe { Box::from_raw(entry.pointer) });
            }
            in_use
        });
        retired.len()
    }
}

impl<T> Reader<T> {
    /// The latest value, for use until the next call. Acknowledges it.
    #[inline]
    pub fn load(&mut self) -> &T {
        let current = self.shared.current.load(Ordering::Acquire);
        // SAFETY: `current` was published and is freed only after this reader acknowledged a later generation, which it
        // does in a later call of `load` or in `drop`; both end the borrow that is returned here.
        let versioned = unsafe { &*current };
        if !std::ptr::eq(current, self.last) {
            self.last = current;
            self.shared.acknowledged[self.index].store(versioned.generation, Ordering::Release);
        }
        &versioned.value
    }

    /// The generation that was acknowledged last; 0 before the first [`Reader::load`].
    #[must_use]
    pub fn generation(&self) -> Generation {
        self.shared.acknowledged[self.index].load(Ordering::Relaxed)
    }

    /// The value that was loaded last, whatever was published since: as a reader sees it that has not come round yet.
    /// `None` before the first [`Reader::load`].
    #[must_use]
    pub fn held(&self) -> Option<&T> {
        // SAFETY: null, or what `load` found last. That is freed only after this reader acknowledged a later generation,
        // which it does in a later call of `load` or in `drop`; both end the borrow that is returned here.
        unsafe { self.last.as_ref() }.map(|versioned| &versioned.value)
    }
}

impl<T> Drop for Reader<T> {
    fn drop(&mut self) {
        self.shared.acknowledged[self.index].store(GONE, Ordering::Release);
    }
}
