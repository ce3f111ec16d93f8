//! What a worker counts. Written by that worker alone, read in place by anyone.
//!
//! Conservation, over any time at the end of a poll:
//!
//! ```text
//! received + injected + released + added == sent + Σ dropped + punted + handed_off + held
//! ```
//!
//! A fragment that comes before the first one of its datagram is held, and released when that comes or its time is over. A
//! packet that leaves as several fragments adds all but one of them.
//!
//! The worker asserts it after every poll in debug builds; `status` shows both sides always.

use crate::drop_reason::DropReason;
use crate::idle::LONGEST_SLEEP;
use crate::ids::{BackendId, MAX_BACKENDS, VipId};
use crate::punt::PuntClass;
use crate::time::Nanos;
use crossbeam::utils::CachePadded;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The most VIPs in a configuration.
pub const MAX_VIPS: usize = 16_384;

/// A counter with a single writer: an add is a plain load and store, never an atomic read-modify-write.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`. Only the owning worker may call this; adds of a second writer would be lost.
    #[inline]
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    /// The value now.
    #[inline]
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }

    /// Replaces the value: for counters that are gauges.
    #[inline]
    pub fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }
}

/// Packets and their bytes (frames without frame check sequence).
#[derive(Debug, Default)]
pub struct Traffic {
    /// Packets.
    pub packets: Counter,
    /// Bytes.
    pub bytes: Counter,
}

impl Traffic {
    /// Counts one packet of `bytes` bytes.
    #[inline]
    pub fn add(&self, bytes: usize) {
        self.packets.add(1);
        self.bytes.add(bytes as u64);
    }
}

/// What a worker did to pins.
#[derive(Debug, Default)]
pub struct PinCounters {
    /// Pins put into places that were free or expired.
    pub inserted: Counter,
    /// Pins taken away since they said what their slot says, or something that is over.
    pub removed: Counter,
    /// Pins that found no room.
    pub failed: Counter,
    /// Embryonic pins whose place another one took.
    pub evicted_embryonic: Counter,
    /// Pins that only one packet came for whose place another one took.
    pub evicted_single: Counter,
    /// Confirmed pins whose place another one took: never.
    pub evicted_confirmed: Counter,
    /// Decisions that went without a pin because other workers changed it all the time.
    pub contended: Counter,
}

/// What a worker did to sessions.
#[derive(Debug, Default)]
pub struct SessionCounters {
    /// Sessions now: a gauge.
    pub live: Counter,
    /// Sessions that began.
    pub created: Counter,
    /// Sessions that were silent for too long.
    pub expired: Counter,
    /// Sessions that gave way to others since there was no room.
    pub evicted: Counter,
    /// PROXY headers that were sent, again ones among them.
    pub headers: Counter,
    /// Connections that were given to another backend since theirs did not answer.
    pub retried: Counter,
    /// Connections that no backend answered.
    pub unanswered: Counter,
    /// Resets to both sides of connections that were silent for too long, counted once for each connection.
    pub reset: Counter,
    /// SYNs that were answered with a cookie.
    pub cookies: Counter,
    /// Clients that acknowledged a cookie.
    pub proven: Counter,
}

/// All counters of one worker.
#[derive(Debug)]
pub struct WorkerCounters {
    /// Frames that came from receive queues.
    pub received: Traffic,
    /// Packets that the control side handed in.
    pub injected: Counter,
    /// Frames that a transmit queue took, from this worker.
    pub sent: Traffic,
    /// Frames handed to another worker: that of the transmit queue, or of the session.
    pub handed_off: Counter,
    /// Fragments that were held until the first one of their datagram came.
    pub held: Counter,
    /// Fragments that are no longer held.
    pub released: Counter,
    /// Frames that exist because a packet left as several fragments: all but the first of each.
    pub added: Counter,
    /// Packets that were too big, and whose senders were told.
    pub told_too_big: Counter,
    /// Packets given to the control side, by class.
    pub punted: [Counter; PuntClass::COUNT],
    /// Drops by [`DropReason`].
    pub drops: [Counter; DropReason::COUNT],
    /// Pins.
    pub pins: PinCounters,
    /// Polls of all queues.
    pub polls: Counter,
    /// Bursts that held at least one packet.
    pub bursts: Counter,
    /// Nanoseconds in polls that found something to do.
    pub busy_nanos: Counter,
    /// Nanoseconds between the first and the latest poll.
    pub total_nanos: Counter,
    /// How often the worker slept until a device or the control side woke it, or a timer.
    pub sleeps: Counter,
    /// When the latest poll began: a gauge, in [`Nanos`].
    pub last_poll: CachePadded<Counter>,
    /// How often the worker was kept from polling for longer than [`STALL`].
    pub stalls: Counter,
    /// When the latest of those ended: a gauge, in [`Nanos`]; zero if there was none.
    pub last_stall_end: Counter,
    /// Sessions.
    pub sessions: SessionCounters,
    vips: Box<[Traffic]>,
    backends: Box<[Traffic]>,
    sessions_of: Box<[Counter]>,
    ports_freed_of: Box<[Counter]>,
}

/// A worker that did not poll for this long was stopped by somebody: the scheduler, a debugger, the hypervisor. Half of
/// the default timeout of a health check: what delays answers by less than that spoils no judgement.
pub const STALL: std::time::Duration = std::time::Duration::from_millis(10);

impl Default for WorkerCounters {
    fn default() -> Self {
        let table = |len| (0..len).map(|_| Traffic::default()).collect();
        Self {
            received: Traffic::default(),
            injected: Counter::default(),
            sent: Traffic::default(),
            handed_off: Counter::default(),
            held: Counter::default(),
            released: Counter::default(),
            added: Counter::default(),
            told_too_big: Counter::default(),
            punted: Default::default(),
            drops: std::array::from_fn(|_| Counter::default()),
            pins: PinCounters::default(),
            polls: Counter::default(),
            bursts: Counter::default(),
            busy_nanos: Counter::default(),
            total_nanos: Counter::default(),
            sleeps: Counter::default(),
            last_poll: CachePadded::default(),
            stalls: Counter::default(),
            last_stall_end: Counter::default(),
            sessions: SessionCounters::default(),
            vips: table(MAX_VIPS),
            backends: table(MAX_BACKENDS),
            sessions_of: (0..MAX_BACKENDS).map(|_| Counter::default()).collect(),
            ports_freed_of: (0..MAX_BACKENDS).map(|_| Counter::default()).collect(),
        }
    }
}

impl WorkerCounters {
    /// Counts a drop.
    #[inline]
    pub fn count_drop(&self, reason: DropReason) {
        self.drops[reason as usize].add(1);
    }

    /// Traffic sent towards backends for a VIP; `None` for an id out of range.
    #[inline]
    #[must_use]
    pub fn vip(&self, vip: VipId) -> Option<&Traffic> {
        self.vips.get(vip.index())
    }

    /// Traffic sent towards a backend; `None` for an id out of range.
    #[inline]
    #[must_use]
    pub fn backend(&self, backend: BackendId) -> Option<&Traffic> {
        self.backends.get(backend.index())
    }

    /// Sessions with a backend now: a gauge; `None` for an id out of range.
    #[inline]
    #[must_use]
    pub fn sessions_of(&self, backend: BackendId) -> Option<&Counter> {
        self.sessions_of.get(backend.index())
    }

    /// Source ports of sessions with a backend that were let rest.
    #[inline]
    #[must_use]
    pub fn ports_freed_of(&self, backend: BackendId) -> Option<&Counter> {
        self.ports_freed_of.get(backend.index())
    }

    /// Sum of all drops.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.drops.iter().map(Counter::get).sum()
    }

    /// Both sides of the conservation law: packets that came in, packets accounted for.
    #[must_use]
    pub fn conservation(&self) -> (u64, u64) {
        let punted: u64 = self.punted.iter().map(Counter::get).sum();
        let entered = self.received.packets.get() + self.injected.get() + self.released.get() + self.added.get();
        let left = self.sent.packets.get() + self.handed_off.get() + self.dropped() + punted + self.held.get();
        (entered, left)
    }

    /// The moment up to which this worker is known to have been kept from polling, if it ever was; `now` lies in it
    /// while the worker still does not poll.
    ///
    /// `asleep` is the latest moment at which its doorbell said that it sleeps, if it ever did: from then on the worker was
    /// to be awake. A sleep longer than [`LONGEST_SLEEP`] is none of its own will.
    #[must_use]
    pub fn stalled_until(&self, now: Nanos, asleep: Option<Nanos>) -> Option<Nanos> {
        let last_poll = Nanos(self.last_poll.get());
        let awake_since = asleep.map_or(last_poll, |asleep| asleep.max(last_poll));
        let begun = last_poll != Nanos(0);
        if begun && (now.since(awake_since) > STALL || now.since(last_poll) > LONGEST_SLEEP + STALL) {
            return Some(now);
        }
        match self.last_stall_end.get() {
            0 => None,
            end => Some(Nanos(end)),
        }
    }
}
