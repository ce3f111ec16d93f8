//! How somebody wakes a worker that sleeps, without cost for one that does not.
//!
//! A worker that has found nothing for a while *lies down*: it says that it sleeps, looks once more at everything that it
//! serves, and only then sleeps. Whoever leaves something for it, a snapshot or an injection, *rings* afterwards: looks
//! whether it sleeps, and wakes it if so. Each side writes first, then reads what the other one writes, with a fence of
//! sequential consistency between the two; so at least one of them sees the other, and nothing is left lying while the worker
//! sleeps. The look before the sleep, not the saying so, is what a packet of a device needs too: its interrupt is
//! switched on before that look.
//!
//! A worker that never sleeps has a silent doorbell, for which nobody pays a fence.
//!
//! Model-checked with loom (`tests/loom_doorbell.rs`).

#[cfg(loom)]
use loom::sync::atomic::{AtomicBool, Ordering, fence};
use std::fmt::Debug;
#[cfg(not(loom))]
use std::sync::atomic::{AtomicBool, Ordering, fence};

/// What ends a worker's sleep from outside.
pub trait Bell: Debug + Send + Sync {
    /// Ends the sleep that is under way, or else the next one at its begin. Never blocks.
    fn ring(&self);
}

/// The doorbell of one worker.
#[derive(Debug)]
pub struct Doorbell {
    asleep: AtomicBool,
    bell: Option<Box<dyn Bell>>,
}

impl Default for Doorbell {
    fn default() -> Self {
        Self::silent()
    }
}

impl Doorbell {
    /// Of a worker that never sleeps for long.
    #[must_use]
    pub fn silent() -> Self {
        Self { asleep: AtomicBool::new(false), bell: None }
    }

    /// Of a worker whose sleep `bell` ends.
    #[must_use]
    pub fn new(bell: Box<dyn Bell>) -> Self {
        Self { asleep: AtomicBool::new(false), bell: Some(bell) }
    }

    /// Wakes the worker if it sleeps or is about to: to be called after what it shall see was put where it looks.
    #[inline]
    pub fn ring(&self) {
        let Some(bell) = &self.bell else { return };
        // Pairs with the fence of `lie_down`.
        fence(Ordering::SeqCst);
        // Of several who ring only the first one wakes it.
        if self.asleep.load(Ordering::Relaxed) && self.asleep.swap(false, Ordering::Relaxed) {
            bell.ring();
        }
    }

    /// Says that the worker is about to sleep. It must look at everything once more before it does. For the worker alone.
    pub fn lie_down(&self) {
        self.asleep.store(true, Ordering::Relaxed);
        // Pairs with the fence of `ring`.
        fence(Ordering::SeqCst);
    }

    /// Says that the worker is awake. For the worker alone.
    pub fn get_up(&self) {
        self.asleep.store(false, Ordering::Relaxed);
    }

    /// Whether the worker sleeps, or is about to, and nobody has rung yet.
    #[must_use]
    pub fn is_asleep(&self) -> bool {
        self.asleep.load(Ordering::Relaxed)
    }
}
