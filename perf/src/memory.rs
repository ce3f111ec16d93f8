//! The null device in memory: buffers go round through a free list, and nothing is allocated once it is filled.

use crate::device::{Device, DeviceError, Queues};
use guideway_dataplane::port::{Burst, Packet, PacketPool, Port, RxQueue, TxQueue};
use std::cell::RefCell;
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes in front of a fresh frame, as in an mbuf.
const HEADROOM: usize = 128;
/// The longest frame that a buffer holds behind its headroom.
pub const MAX_FRAME: usize = 2_048;
/// Bytes of a buffer.
const BUFFER: usize = HEADROOM + MAX_FRAME;

thread_local! {
    /// Buffers of dropped packets, until a receive queue of the same thread uses them again: a pool has such a place too.
    /// Without it what a dropped packet costs would be what the allocator costs.
    static FREED: RefCell<Vec<Buffer>> = const { RefCell::new(Vec::new()) };
}

/// A buffer with its lengths in front, as an mbuf has them: one pointer to hand around.
#[derive(Debug)]
pub struct Buffer(Box<Cell>);

#[derive(Debug)]
#[repr(C, align(64))]
struct Cell {
    start: u16,
    end: u16,
    bytes: [u8; BUFFER],
}

impl Buffer {
    fn new() -> Self {
        Self(Box::new(Cell { start: HEADROOM as u16, end: HEADROOM as u16, bytes: [0; BUFFER] }))
    }

    fn reset(&mut self) {
        self.0.start = HEADROOM as u16;
        self.0.end = HEADROOM as u16;
    }
}

impl Packet for Buffer {
    #[inline]
    fn frame(&self) -> &[u8] {
        &self.0.bytes[usize::from(self.0.start)..usize::from(self.0.end)]
    }

    #[inline]
    fn frame_mut(&mut self) -> &mut [u8] {
        &mut self.0.bytes[usize::from(self.0.start)..usize::from(self.0.end)]
    }

    #[inline]
    fn total_len(&self) -> usize {
        usize::from(self.0.end - self.0.start)
    }

    #[inline]
    fn prepend(&mut self, n: usize) -> bool {
        let fits = n <= usize::from(self.0.start);
        if fits {
            self.0.start -= n as u16;
        }
        fits
    }

    #[inline]
    fn free_all(burst: &mut Burst<Self>) {
        FREED.with_borrow_mut(|freed| freed.extend(burst.drain(..)));
    }

    #[inline]
    fn trim_front(&mut self, n: usize) -> bool {
        let fits = n <= self.total_len();
        if fits {
            self.0.start += n as u16;
        }
        fits
    }

    #[inline]
    fn resize(&mut self, len: usize) -> bool {
        let fits = len <= BUFFER - usize::from(self.0.start);
        if fits {
            self.0.end = self.0.start + len as u16;
        }
        fits
    }
}

/// Buffers that wait to be used again. The lock is taken once a burst and never waited for: one thread uses it.
#[derive(Clone, Debug, Default)]
pub struct FreeList(Arc<Mutex<Vec<Buffer>>>);

impl FreeList {
    fn with<R>(&self, f: impl FnOnce(&mut Vec<Buffer>) -> R) -> R {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes all buffers of a burst back. Returns how many.
    #[inline]
    pub fn give_back(&self, burst: &mut Burst<Buffer>) -> usize {
        let count = burst.len();
        self.with(|free| free.extend(burst.drain(..)));
        count
    }
}

impl PacketPool for FreeList {
    type Packet = Buffer;

    fn alloc(&self, frame: &[u8]) -> Option<Buffer> {
        let reused = self.with(Vec::pop).or_else(|| FREED.with_borrow_mut(Vec::pop));
        let mut buffer = reused.unwrap_or_else(Buffer::new);
        buffer.reset();
        buffer.resize(frame.len()).then(|| {
            buffer.frame_mut().copy_from_slice(frame);
            buffer
        })
    }
}

/// Gives empty buffers: those that came back last, then those of dropped packets, new ones while there are none.
#[derive(Debug)]
pub struct NullRx(FreeList);

impl RxQueue for NullRx {
    type Packet = Buffer;

    #[inline]
    fn receive(&mut self, burst: &mut Burst<Buffer>) -> usize {
        let wanted = burst.remaining_capacity();
        self.0.with(|free| {
            let reused = free.len().min(wanted);
            for mut buffer in free.drain(free.len() - reused..) {
                buffer.reset();
                burst.push(buffer);
            }
        });
        if !burst.is_full() {
            FREED.with_borrow_mut(|freed| {
                let dropped = freed.len().min(burst.remaining_capacity());
                for mut buffer in freed.drain(freed.len() - dropped..) {
                    buffer.reset();
                    burst.push(buffer);
                }
            });
        }
        while !burst.is_full() {
            burst.push(Buffer::new());
        }
        wanted
    }
}

/// Takes everything.
#[derive(Debug)]
pub struct NullTx(FreeList);

impl TxQueue for NullTx {
    type Packet = Buffer;

    #[inline]
    fn transmit(&mut self, burst: &mut Burst<Buffer>) -> usize {
        self.0.give_back(burst)
    }
}

/// Ties the types together.
#[derive(Debug)]
pub struct NullPort;

impl Port for NullPort {
    type Packet = Buffer;
    type Rx = NullRx;
    type Tx = NullTx;
    type Pool = FreeList;
}

/// The null device in memory.
#[derive(Clone, Copy, Debug, Default)]
pub struct MemoryDevice;

impl Device for MemoryDevice {
    type Port = NullPort;

    fn open(&mut self) -> Result<Queues<NullPort>, DeviceError> {
        let free = FreeList::default();
        Ok(Queues { rx: NullRx(free.clone()), tx: NullTx(free.clone()), pool: Arc::new(free) })
    }

    fn describe(&self) -> String {
        "buffers in memory".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use guideway_dataplane::port::BURST;

    #[test]
    fn buffers_go_round_and_come_back_empty() {
        let Queues { mut rx, mut tx, .. } = MemoryDevice.open().expect("memory");
        let mut burst = Burst::new();
        assert_eq!(rx.receive(&mut burst), BURST);
        let first: Vec<_> = burst.iter().map(|buffer| std::ptr::from_ref(&*buffer.0)).collect();
        for buffer in &mut burst {
            assert!(buffer.resize(60) && buffer.prepend(20));
        }
        assert_eq!(tx.transmit(&mut burst), BURST);
        assert!(burst.is_empty());
        assert_eq!(rx.receive(&mut burst), BURST);
        let second: Vec<_> = burst.iter().map(|buffer| std::ptr::from_ref(&*buffer.0)).collect();
        assert_eq!(first, second);
        assert!(burst.iter().all(|buffer| buffer.total_len() == 0 && buffer.frame().is_empty()));
        assert!(burst[0].prepend(HEADROOM) && !burst[0].prepend(1));
    }

    #[test]
    fn buffers_of_dropped_packets_are_used_again_by_their_thread() {
        let Queues { mut rx, .. } = MemoryDevice.open().expect("memory");
        let mut burst = Burst::new();
        let mut receive = |burst: &mut Burst<Buffer>| {
            assert_eq!(rx.receive(burst), BURST);
            burst.iter().map(|buffer| std::ptr::from_ref(&*buffer.0)).collect::<Vec<_>>()
        };
        let first = receive(&mut burst);
        assert!(burst[0].resize(60));
        Packet::free_all(&mut burst);
        assert!(burst.is_empty());
        assert_eq!(receive(&mut burst), first);
        assert!(burst.iter().all(|buffer| buffer.total_len() == 0));
    }

    #[test]
    fn lengths_are_bounded() {
        let mut buffer = FreeList::default().alloc(&[7; 60]).expect("a buffer");
        assert_eq!((buffer.frame(), buffer.total_len()), (&[7; 60][..], 60));
        assert!(!buffer.resize(2_049) && buffer.resize(2_048) && buffer.trim_front(2_048) && !buffer.trim_front(1));
        assert!(FreeList::default().alloc(&[0; 2_049]).is_none());
    }
}
