//! The way of the stack's packets between its thread and the real-time thread, which alone speaks to workers.

use crate::exception::ring::{FrameReceiver, FrameSender};
use crate::health::answer;
use guideway_dataplane::ids::BackendId;
use guideway_dataplane::time::Nanos;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Packets that a step takes from the stack.
const BATCH: usize = 256;
/// Before each packet to a backend: its id.
const ID: usize = size_of::<u16>();

/// The end of the real-time thread.
pub struct ProbePath {
    up: FrameSender,
    down: FrameReceiver,
    stalled_until: Arc<AtomicU64>,
    packet: Vec<u8>,
    /// Packets that found the ring to the stack full.
    lost: u64,
}

impl ProbePath {
    pub(super) fn new(up: FrameSender, down: FrameReceiver, stalled_until: Arc<AtomicU64>) -> Self {
        Self { up, down, stalled_until, packet: Vec::new(), lost: 0 }
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

    /// Tells until when some worker is known not to have polled.
    pub fn stalled(&self, until: Nanos) {
        self.stalled_until.store(until.0, Relaxed);
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
    stalled_until: Arc<AtomicU64>,
    packet: Vec<u8>,
}

impl StackPath {
    pub(super) fn new(from_rt: FrameReceiver, to_rt: FrameSender, stalled_until: Arc<AtomicU64>) -> Self {
        Self { from_rt, to_rt, stalled_until, packet: Vec::new() }
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

    /// Until when some worker is known not to have polled.
    pub(super) fn stalled_until(&self) -> Nanos {
        Nanos(self.stalled_until.load(Relaxed))
    }
}
