//! What the worker loop needs of a device: bursts in, bursts out, buffers owned by type.
//!
//! `guideway-dpdk` implements these traits over a NIC, [`crate::memory`] over queues in memory, and `replay` over
//! a capture file. A packet has one owner at a time; dropping it gives its buffer back to where it came from.

use arrayvec::ArrayVec;

/// The most packets that one burst holds.
pub const BURST: usize = 64;

/// Packets on the stack, in order of arrival.
pub type Burst<P> = ArrayVec<P, BURST>;

/// What a device found out about the checksums of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RxChecksum {
    /// Nothing, or nothing wrong.
    Unknown,
    /// That of the IPv4 header is wrong.
    BadIp,
    /// That of TCP or UDP is wrong.
    BadTransport,
}

/// A frame in a buffer, owned. Never `Clone`: a copy of a buffer is a new buffer.
pub trait Packet: Send {
    /// The frame's bytes that lie in the first segment, from the Ethernet header on.
    fn frame(&self) -> &[u8];

    /// The same bytes, to be rewritten in place.
    fn frame_mut(&mut self) -> &mut [u8];

    /// Length of the whole frame in bytes, over all segments, without the frame check sequence.
    fn total_len(&self) -> usize;

    /// What the device found out about the frame's checksums, where it looks at them.
    fn rx_checksum(&self) -> RxChecksum {
        RxChecksum::Unknown
    }

    /// Calls `visit` with the bytes of each segment, in their order: the first is [`Packet::frame`].
    fn for_each_segment(&self, visit: &mut dyn FnMut(&[u8])) {
        visit(self.frame());
    }

    /// Grows the frame by `n` bytes at its front, into headroom. The new bytes hold garbage.
    ///
    /// Returns `false`, and changes nothing, if the headroom is smaller.
    #[must_use]
    fn prepend(&mut self, n: usize) -> bool;

    /// Cuts `n` bytes from the front of the first segment. Returns `false`, and changes nothing, if it is shorter.
    #[must_use]
    fn trim_front(&mut self, n: usize) -> bool;

    /// Gives all buffers of a burst back, as dropping each of them would.
    #[inline]
    fn free_all(burst: &mut Burst<Self>)
    where
        Self: Sized,
    {
        burst.clear();
    }

    /// Sets the length of a single-segment frame, growing into tailroom or cutting its end. New bytes hold garbage.
    ///
    /// Returns `false`, and changes nothing, if the buffer is too small or has several segments.
    #[must_use]
    fn resize(&mut self, len: usize) -> bool;
}

/// Where new packets come from. Shared by threads; used by the control side, never in the steady state of a worker.
pub trait PacketPool: Send + Sync {
    /// The packets of this pool.
    type Packet: Packet;

    /// A single-segment packet of `frame.len()` bytes that holds a copy of `frame`, with the usual headroom; `None`
    /// if the pool is exhausted or `frame` is longer than a buffer.
    fn alloc(&self, frame: &[u8]) -> Option<Self::Packet>;
}

/// One receive queue, polled by one worker.
pub trait RxQueue: Send {
    /// The packets of this queue.
    type Packet: Packet;

    /// Appends packets that have arrived to `burst`, at most up to its capacity, and returns how many. Never blocks.
    fn receive(&mut self, burst: &mut Burst<Self::Packet>) -> usize;
}

/// One transmit queue, owned by one worker.
pub trait TxQueue: Send {
    /// The packets of this queue.
    type Packet: Packet;

    /// Hands over packets, from the first on; what the device did not take is left in the burst, in its order.
    ///
    /// Returns how many packets the device took. Never blocks.
    fn transmit(&mut self, burst: &mut Burst<Self::Packet>) -> usize;
}

/// A kind of device: ties the types of its packets, queues and pool together.
pub trait Port: 'static {
    /// Packet buffers.
    type Packet: Packet + 'static;
    /// Receive queues.
    type Rx: RxQueue<Packet = Self::Packet> + 'static;
    /// Transmit queues.
    type Tx: TxQueue<Packet = Self::Packet> + 'static;
    /// The pool that new packets come from.
    type Pool: PacketPool<Packet = Self::Packet> + 'static;
}
