//! The way of the stack's packets between its thread and the real-time thread, which alone speaks to workers.

use crate::exception::ring::{FrameReceiver, FrameSender};
use crate::health::answer;
use crossbeam::queue::ArrayQueue;
use guideway_dataplane::counters::STALL;
use guideway_dataplane::ids::BackendId;
use guideway_dataplane::time::Nanos;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Packets that a step takes from the stack.
const BATCH: usize = 256;
/// Backends that wait for a look at once at most.
const MOST_DOUBTED: usize = 1_024;
/// Before each packet to a backend: its id.
const ID: usize = size_of::<u16>();

/// What both ends read and write in place.
#[derive(Debug)]
pub(super) struct Shared {
    /// For how long some worker did not poll since the start, in nanoseconds.
    stalled: AtomicU64,
    /// Backends that something speaks against.
    doubted: ArrayQueue<BackendId>,
    out_of_turn: AtomicU64,
}

impl Default for Shared {
    fn default() -> Self {
        Self { stalled: AtomicU64::new(0), doubted: ArrayQueue::new(MOST_DOUBTED), out_of_turn: AtomicU64::new(0) }
    }
}

impl Shared {
    /// The next backend that something speaks against.
    pub(super) fn doubted(&self) -> Option<BackendId> {
        self.doubted.pop()
    }

    /// Counts a probe that is sent out of turn.
    pub(super) fn count_out_of_turn(&self) {
        self.out_of_turn.fetch_add(1, Relaxed);
    }
}

/// The end of the real-time thread.
pub struct ProbePath {
    up: FrameSender,
    down: FrameReceiver,
    stalls: Stalls,
    shared: Arc<Shared>,
    packet: Vec<u8>,
    /// Packets that found the ring to the stack full.
    lost: u64,
}

impl ProbePath {
    pub(super) fn new(up: FrameSender, down: FrameReceiver, shared: Arc<Shared>) -> Self {
        Self { up, down, stalls: Stalls::default(), shared, packet: Vec::new(), lost: 0 }
    }

    /// Gives the stack a layer-3 packet that may answer one of its own: by its ports, or as an ICMP message.
    pub fn give(&mut self, packet: &[u8]) {
        if answer::is_of_conversation(packet) && !self.up.push(packet) {
            self.lost += 1;
        }
    }

    /// Takes out what the stack sends. Returns how many packets that were.
    pub fn take(&mut self, mut emit: impl FnMut(BackendId, &[u8])) -> usize {
        for taken in 0..BATCH {
            if !self.down.pop(&mut self.packet) {
                return taken;
            }
            if let Some((id, packet)) = self.packet.split_first_chunk::<ID>() {
                emit(BackendId(u16::from_ne_bytes(*id)), packet);
            }
        }
        BATCH
    }

    /// Tells until when some worker is known not to have polled, if one ever did not. To be called with every step.
    pub fn stalled(&mut self, until: Option<Nanos>, now: Nanos) {
        let total = self.stalls.take(until, now);
        self.shared.stalled.store(u64::try_from(total.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }

    /// Has the checks of a backend ask out of turn. So many at once that there is no room are no news about one of them.
    pub fn ask_at_once(&self, backend: BackendId) {
        let _ = self.shared.doubted.push(backend);
    }

    /// Probes that were sent out of turn.
    #[must_use]
    pub fn out_of_turn(&self) -> u64 {
        self.shared.out_of_turn.load(Relaxed)
    }

    /// Packets that found the ring to the stack full.
    #[must_use]
    pub const fn lost(&self) -> u64 {
        self.lost
    }
}

/// The end of the thread of the checks.
pub struct StackPath {
    from_rt: FrameReceiver,
    to_rt: FrameSender,
    shared: Arc<Shared>,
    packet: Vec<u8>,
}

impl StackPath {
    pub(super) fn new(from_rt: FrameReceiver, to_rt: FrameSender, shared: Arc<Shared>) -> Self {
        Self { from_rt, to_rt, shared, packet: Vec::new() }
    }

    /// The next packet for the stack, in place of `packet`. Returns `false` if there is none.
    pub(super) fn receive(&mut self, packet: &mut Vec<u8>) -> bool {
        self.from_rt.pop(packet)
    }

    /// Sends a layer-3 packet to a backend. Returns `false` if there is no room.
    pub(super) fn send(&mut self, backend: BackendId, packet: &[u8]) -> bool {
        self.packet.clear();
        self.packet.extend(backend.0.to_ne_bytes());
        self.packet.extend(packet);
        self.to_rt.push(&self.packet)
    }

    /// What the two ends share.
    pub(super) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// For how long some worker did not poll, since the start.
    pub(super) fn stalled(&self) -> Duration {
        Duration::from_nanos(self.shared.stalled.load(Relaxed))
    }
}

/// How long workers were kept from polling, by what is told of the ends of their stalls.
#[derive(Debug, Default)]
struct Stalls {
    total: Duration,
    counted: Nanos,
    looked: Nanos,
    /// Whether one was under way when somebody looked last.
    under_way: bool,
}

impl Stalls {
    /// The total at `now`; `until` is the latest moment up to which a worker is known to have been stalled.
    fn take(&mut self, until: Option<Nanos>, now: Nanos) -> Duration {
        let new = until.filter(|until| *until > self.counted);
        if let Some(until) = new {
            // What is seen for the first time has been going on for at least as long as makes a stall.
            let begun = if self.under_way { self.counted } else { self.looked };
            let before = if self.under_way { Duration::ZERO } else { STALL };
            self.total += until.since(begun) + before;
            self.counted = until;
        }
        (self.under_way, self.looked) = (new.is_some(), now);
        self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(millis: u64) -> Nanos {
        Nanos(millis * 1_000_000)
    }

    #[test]
    fn stalls_add_up_to_about_their_length() {
        let mut stalls = Stalls::default();
        let mut total = Duration::ZERO;
        for millis in 1_000..1_200 {
            // From 1,050 to 1,100 a worker does not poll, which is known 10 ms later.
            let until = match millis {
                ..1_060 => None,
                1_060..1_100 => Some(at(millis)),
                _ => Some(at(1_100)),
            };
            total = stalls.take(until, at(millis));
        }
        assert!((49..=52).contains(&total.as_millis()), "{total:?}");
        assert_eq!(stalls.take(Some(at(1_100)), at(9_000)), total, "one that is over is counted once");
    }
}
