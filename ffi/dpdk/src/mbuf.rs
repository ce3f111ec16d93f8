//! Packet buffers, owned.

use dpdk_sys::{GUIDEWAY_MBUF_INDIRECT_OR_EXTERNAL, rte_mbuf};
use guideway_dataplane::port::{Burst, Packet, RxChecksum};
use std::fmt;
use std::ptr::NonNull;

/// A packet in a buffer of a [`crate::Mempool`], owned: one pointer, never cloned, freed when dropped.
///
/// `repr(transparent)` over the pointer, so that an array of them is the array of pointers that drivers take and fill.
#[repr(transparent)]
pub struct Mbuf(NonNull<rte_mbuf>);

// SAFETY: an Mbuf is the only owner of its buffer, and DPDK's pools take buffers back from any thread.
unsafe impl Send for Mbuf {}

impl Mbuf {
    /// Takes ownership.
    ///
    /// # Safety
    /// `raw` is a live mbuf, the head of its chain, that nobody else owns.
    pub(crate) unsafe fn from_raw(raw: NonNull<rte_mbuf>) -> Self {
        Self(raw)
    }

    #[inline]
    fn raw(&self) -> &rte_mbuf {
        // SAFETY: owned and live; nobody else writes to it.
        unsafe { self.0.as_ref() }
    }

    #[inline]
    fn raw_mut(&mut self) -> &mut rte_mbuf {
        // SAFETY: owned and live; `&mut self` makes this the only reference.
        unsafe { self.0.as_mut() }
    }

    /// Number of segments; drivers without scattered receive give 1.
    #[must_use]
    pub fn segments(&self) -> u16 {
        self.raw().nb_segs
    }

    #[inline]
    fn is_plain(&self) -> bool {
        let raw = self.raw();
        raw.refcnt == 1
            && raw.nb_segs == 1
            && raw.next.is_null()
            && raw.ol_flags & GUIDEWAY_MBUF_INDIRECT_OR_EXTERNAL == 0
    }
}

/// The bytes of one segment of a packet that the caller holds.
#[inline]
fn bytes(segment: &rte_mbuf) -> &[u8] {
    // SAFETY: buf_addr + data_off .. + data_len lies within the segment's buffer, which lives as long as its mbuf.
    unsafe {
        let start = segment.buf_addr.cast::<u8>().add(usize::from(segment.data_off));
        std::slice::from_raw_parts(start, usize::from(segment.data_len))
    }
}

impl Drop for Mbuf {
    #[inline]
    fn drop(&mut self) {
        let mut pointer = self.0.as_ptr();
        if self.is_plain() {
            // SAFETY: owned; direct, unchained, one reference: what a pool expects of a buffer that comes back.
            unsafe { dpdk_sys::guideway_mbuf_put(pointer) };
        } else {
            // SAFETY: owned; frees every segment to its own pool.
            unsafe { dpdk_sys::rte_pktmbuf_free_bulk(&raw mut pointer, 1) };
        }
    }
}

impl Packet for Mbuf {
    #[inline]
    fn frame(&self) -> &[u8] {
        bytes(self.raw())
    }

    #[inline]
    fn frame_mut(&mut self) -> &mut [u8] {
        let raw = self.raw_mut();
        // SAFETY: as in `frame`; `&mut self` makes this the only reference.
        unsafe {
            let start = raw.buf_addr.cast::<u8>().add(usize::from(raw.data_off));
            std::slice::from_raw_parts_mut(start, usize::from(raw.data_len))
        }
    }

    #[inline]
    fn total_len(&self) -> usize {
        self.raw().pkt_len as usize
    }

    fn for_each_segment(&self, visit: &mut dyn FnMut(&[u8])) {
        let mut next = Some(self.raw());
        while let Some(segment) = next {
            visit(bytes(segment));
            // SAFETY: null, or the next segment of a chain that self owns as a whole.
            next = unsafe { segment.next.as_ref() };
        }
    }

    /// The word of a device that does not verify checksums means nothing: see [`crate::Capabilities::rx_checksum`].
    #[inline]
    fn rx_checksum(&self) -> RxChecksum {
        let flags = self.raw().ol_flags;
        if flags & dpdk_sys::GUIDEWAY_MBUF_IP_CHECKSUM_MASK == dpdk_sys::GUIDEWAY_MBUF_IP_CHECKSUM_BAD {
            RxChecksum::BadIp
        } else if flags & dpdk_sys::GUIDEWAY_MBUF_L4_CHECKSUM_MASK == dpdk_sys::GUIDEWAY_MBUF_L4_CHECKSUM_BAD {
            RxChecksum::BadTransport
        } else {
            RxChecksum::Unknown
        }
    }

    #[inline]
    fn prepend(&mut self, n: usize) -> bool {
        let raw = self.raw_mut();
        let Ok(grow) = u16::try_from(n) else { return false };
        let (Some(offset), Some(len)) = (raw.data_off.checked_sub(grow), raw.data_len.checked_add(grow)) else {
            return false;
        };
        raw.data_off = offset;
        raw.data_len = len;
        raw.pkt_len += u32::from(grow);
        true
    }

    #[inline]
    fn trim_front(&mut self, n: usize) -> bool {
        let raw = self.raw_mut();
        if n > usize::from(raw.data_len) {
            return false;
        }
        // n fits: it is at most a u16.
        let cut = n as u16;
        raw.data_off += cut;
        raw.data_len -= cut;
        raw.pkt_len -= u32::from(cut);
        true
    }

    #[inline]
    fn free_all(burst: &mut Burst<Self>) {
        let len = burst.len();
        // SAFETY: the burst owns its mbufs and is an array of pointers to them; it forgets them before they are freed.
        unsafe {
            burst.set_len(0);
            dpdk_sys::rte_pktmbuf_free_bulk(burst.as_mut_ptr().cast(), len as u32);
        }
    }

    #[inline]
    fn resize(&mut self, len: usize) -> bool {
        let raw = self.raw_mut();
        let room = raw.buf_len.saturating_sub(raw.data_off);
        if raw.nb_segs != 1 || len > usize::from(room) {
            return false;
        }
        // len fits: it is at most a u16.
        raw.data_len = len as u16;
        raw.pkt_len = len as u32;
        true
    }
}

impl fmt::Debug for Mbuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mbuf").field("total_len", &self.total_len()).field("segments", &self.segments()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Eal, EalConfig, Hugepages, Mempool, MempoolConfig};
    use guideway_dataplane::port::PacketPool as _;

    #[test]
    fn chains_and_shared_buffers_go_back_to_their_own_pools() {
        let eal = Eal::init(&EalConfig { hugepages: Hugepages::Never, ..EalConfig::default() }).expect("EAL");
        let pool = |name: &str| {
            let config = MempoolConfig { name: name.into(), size: 255, cache_size: 0, ..MempoolConfig::default() };
            Mempool::new(&eal, &config).expect("pool")
        };
        let (first, second) = (pool("first"), pool("second"));
        let mut head = first.alloc(&[1; 60]).expect("a packet");
        let tail = second.alloc(&[2; 40]).expect("a packet");
        let raw = head.raw_mut();
        (raw.next, raw.nb_segs, raw.pkt_len) = (tail.0.as_ptr(), 2, 100);
        // The head owns it from here on.
        std::mem::forget(tail);
        assert_eq!((head.frame(), head.total_len(), head.segments()), (&[1; 60][..], 100, 2));
        let mut segments = Vec::new();
        head.for_each_segment(&mut |bytes| segments.push(bytes.to_vec()));
        assert_eq!(segments, [vec![1; 60], vec![2; 40]]);
        assert!(!head.resize(50), "several segments");
        assert!(head.prepend(20) && head.trim_front(30));
        assert_eq!((head.frame().len(), head.total_len()), (50, 90));
        assert_eq!((first.in_use(), second.in_use()), (1, 1));
        drop(head);
        assert_eq!((first.in_use(), second.in_use()), (0, 0));
        assert_eq!(first.alloc(&[3]).expect("a packet").segments(), 1, "a freed chain is taken apart");

        let mut shared = first.alloc(&[4; 60]).expect("a packet");
        shared.raw_mut().refcnt = 2;
        // SAFETY: the count of two stands for two owners.
        let other = unsafe { Mbuf::from_raw(shared.0) };
        drop(shared);
        assert_eq!((first.in_use(), other.frame()), (1, &[4; 60][..]));
        drop(other);
        assert_eq!(first.in_use(), 0);
    }
}
