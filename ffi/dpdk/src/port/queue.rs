//! Bursts: from Rust straight into the driver through DPDK's table of fast-path functions.

use super::Inner;
use super::interrupt::{RxInterrupt, Signal};
use crate::mbuf::Mbuf;
use dpdk_sys::{rte_eth_fp_ops, rte_mbuf, rte_power_monitor_cond};
use guideway_dataplane::port::{self, BURST, Burst};
use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::sync::Arc;

// A burst is handed to the driver as the array of pointers that it is.
const _: () = assert!(size_of::<Mbuf>() == size_of::<*mut rte_mbuf>());
const _: () = assert!(align_of::<Mbuf>() == align_of::<*mut rte_mbuf>());
const _: () = assert!(BURST <= u16::MAX as usize);

/// The port's entry, an address that never changes. DPDK puts dummies into it while the port is stopped.
fn entry(port: u16) -> *const rte_eth_fp_ops {
    // SAFETY: `port` came from DPDK, so it is below RTE_MAX_ETHPORTS, the length of the array.
    unsafe { (&raw const dpdk_sys::rte_eth_fp_ops).cast::<rte_eth_fp_ops>().add(usize::from(port)) }
}

/// One receive queue: one owner, one thread at a time.
#[derive(Debug)]
pub struct RxQueue {
    ops: *const rte_eth_fp_ops,
    queue: u16,
    signal: Option<Signal>,
    port: Arc<Inner>,
}

// SAFETY: a queue may be polled from any thread, one at a time: `&mut self` and no Clone see to that.
unsafe impl Send for RxQueue {}

impl RxQueue {
    pub(super) fn new(port: &Arc<Inner>, queue: u16, signal: Option<Signal>) -> Self {
        Self { ops: entry(port.id), queue, signal, port: Arc::clone(port) }
    }

    /// The queue's number on its port.
    #[must_use]
    pub fn index(&self) -> u16 {
        self.queue
    }

    /// What wakes a thread that waits for packets of this queue. `None` if the port was attached without
    /// [`super::PortConfig::interrupts`].
    #[must_use]
    pub fn interrupt(&self) -> Option<RxInterrupt> {
        Some(RxInterrupt::new(&self.port, self.queue, self.signal?))
    }

    /// Where the device writes when a packet arrives; `None` if the driver does not tell.
    pub(crate) fn monitored(&self) -> Option<(rte_power_monitor_cond, Arc<dyn Send + Sync>)> {
        let mut place = MaybeUninit::<rte_power_monitor_cond>::zeroed();
        // SAFETY: the port is started and has this queue; the structure is plain data, filled on success.
        let place = unsafe {
            if dpdk_sys::rte_eth_get_monitor_addr(self.port.id, self.queue, place.as_mut_ptr()) != 0 {
                return None;
            }
            place.assume_init()
        };
        Some((place, Arc::clone(&self.port) as Arc<dyn Send + Sync>))
    }
}

impl port::RxQueue for RxQueue {
    type Packet = Mbuf;

    #[inline]
    fn receive(&mut self, burst: &mut Burst<Mbuf>) -> usize {
        let len = burst.len();
        let room = burst.capacity() - len;
        // SAFETY: the entry lives for ever and the port is alive while self is; the queue was set up, so its slot in
        // the array is valid. The driver writes at most `room` live mbufs, each ours alone, behind the burst's end.
        unsafe {
            let Some(receive) = (*self.ops).rx_pkt_burst else { return 0 };
            let data: *mut c_void = *(*self.ops).rxq.data.add(usize::from(self.queue));
            let free = burst.as_mut_ptr().add(len).cast::<*mut rte_mbuf>();
            let received = usize::from(receive(data, free, room as u16)).min(room);
            burst.set_len(len + received);
            received
        }
    }
}

/// One transmit queue: one owner, one thread at a time.
#[derive(Debug)]
pub struct TxQueue {
    ops: *const rte_eth_fp_ops,
    queue: u16,
    _port: Arc<Inner>,
}

// SAFETY: as for RxQueue.
unsafe impl Send for TxQueue {}

impl TxQueue {
    pub(super) fn new(port: &Arc<Inner>, queue: u16) -> Self {
        Self { ops: entry(port.id), queue, _port: Arc::clone(port) }
    }

    /// The queue's number on its port.
    #[must_use]
    pub fn index(&self) -> u16 {
        self.queue
    }
}

impl Drop for TxQueue {
    /// Lets the driver take back what the device has sent: AF_XDP's looks at that only when it sends again.
    fn drop(&mut self) {
        // SAFETY: as in `transmit`; of a burst of no packets the array is not read.
        unsafe {
            if let Some(transmit) = (*self.ops).tx_pkt_burst {
                let data: *mut c_void = *(*self.ops).txq.data.add(usize::from(self.queue));
                transmit(data, std::ptr::null_mut(), 0);
            }
        }
    }
}

impl port::TxQueue for TxQueue {
    type Packet = Mbuf;

    #[inline]
    fn transmit(&mut self, burst: &mut Burst<Mbuf>) -> usize {
        let len = burst.len();
        if len == 0 {
            return 0;
        }
        // SAFETY: as in `receive`. The driver takes ownership of the first `sent` mbufs; the burst keeps the others, which
        // move to its front.
        unsafe {
            let Some(transmit) = (*self.ops).tx_pkt_burst else {
                return 0;
            };
            let data: *mut c_void = *(*self.ops).txq.data.add(usize::from(self.queue));
            let packets = burst.as_mut_ptr().cast::<*mut rte_mbuf>();
            let sent = usize::from(transmit(data, packets, len as u16)).min(len);
            burst.set_len(len - sent);
            if sent < len {
                packets.copy_from(packets.add(sent), len - sent);
            }
            sent
        }
    }
}
