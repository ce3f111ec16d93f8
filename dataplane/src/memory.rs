//! A port in memory: frames in `Vec`s, queues shared with a test, `replay` or a benchmark.
//!
//! It allocates a buffer for each packet and is meant for everything but the hot path of a real worker.

use crate::port::{BURST, Burst, Packet, PacketPool, Port, RxQueue, TxQueue};
use crossbeam::queue::ArrayQueue;
use std::sync::Arc;

/// Bytes kept free in front of a new frame, as DPDK's `RTE_PKTMBUF_HEADROOM`.
pub const HEADROOM: usize = 128;
/// The longest frame that a memory packet holds.
pub const MAX_FRAME: usize = 9_728;
/// Packets that a link of [`link`] holds in one direction.
pub const LINK_DEPTH: usize = 4_096;

/// A frame in a `Vec` with headroom before it.
#[derive(Debug)]
pub struct MemoryPacket {
    buffer: Vec<u8>,
    start: usize,
}

impl MemoryPacket {
    /// A packet that holds a copy of `frame`.
    #[must_use]
    pub fn new(frame: &[u8]) -> Self {
        let mut buffer = Vec::with_capacity(HEADROOM + frame.len());
        // 0xa5: a byte that a rewrite forgot to fill shows in a test instead of looking like a plausible zero.
        buffer.resize(HEADROOM, 0xa5);
        buffer.extend_from_slice(frame);
        Self { buffer, start: HEADROOM }
    }
}

impl Packet for MemoryPacket {
    #[inline]
    fn frame(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    #[inline]
    fn frame_mut(&mut self) -> &mut [u8] {
        &mut self.buffer[self.start..]
    }

    #[inline]
    fn total_len(&self) -> usize {
        self.buffer.len() - self.start
    }

    fn prepend(&mut self, n: usize) -> bool {
        let fits = n <= self.start;
        if fits {
            self.start -= n;
        }
        fits
    }

    fn trim_front(&mut self, n: usize) -> bool {
        let fits = n <= self.total_len();
        if fits {
            self.start += n;
        }
        fits
    }

    fn resize(&mut self, len: usize) -> bool {
        let fits = len <= MAX_FRAME;
        if fits {
            self.buffer.resize(self.start + len, 0xa5);
        }
        fits
    }
}

/// A pool without a bound other than memory itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct MemoryPool;

impl PacketPool for MemoryPool {
    type Packet = MemoryPacket;

    fn alloc(&self, frame: &[u8]) -> Option<MemoryPacket> {
        (frame.len() <= MAX_FRAME).then(|| MemoryPacket::new(frame))
    }
}

/// A bounded queue of packets between two threads.
pub type MemoryQueue = Arc<ArrayQueue<MemoryPacket>>;

/// A new empty queue that holds [`LINK_DEPTH`] packets.
#[must_use]
pub fn link() -> MemoryQueue {
    Arc::new(ArrayQueue::new(LINK_DEPTH))
}

/// Receives what somebody pushed into the queue.
#[derive(Debug)]
pub struct MemoryRx(pub MemoryQueue);

impl RxQueue for MemoryRx {
    type Packet = MemoryPacket;

    fn receive(&mut self, burst: &mut Burst<MemoryPacket>) -> usize {
        let before = burst.len();
        while burst.len() < BURST {
            let Some(packet) = self.0.pop() else { break };
            burst.push(packet);
        }
        burst.len() - before
    }
}

/// Pushes into a queue that somebody else reads; a full queue refuses as a full NIC ring does.
#[derive(Debug)]
pub struct MemoryTx(pub MemoryQueue);

impl TxQueue for MemoryTx {
    type Packet = MemoryPacket;

    fn transmit(&mut self, burst: &mut Burst<MemoryPacket>) -> usize {
        let offered = burst.len();
        let mut packets = std::mem::take(burst).into_iter();
        for packet in packets.by_ref() {
            if let Err(packet) = self.0.push(packet) {
                burst.push(packet);
                break;
            }
        }
        burst.extend(packets);
        offered - burst.len()
    }
}

/// The memory device.
#[derive(Debug)]
pub struct MemoryPort;

impl Port for MemoryPort {
    type Packet = MemoryPacket;
    type Rx = MemoryRx;
    type Tx = MemoryTx;
    type Pool = MemoryPool;
}
