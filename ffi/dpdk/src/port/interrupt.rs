//! How the kernel tells a thread that sleeps of frames that arrived, by receive queue.
//!
//! Drivers of NICs, of virtio and of vhost have receive interrupts: a descriptor that becomes readable, to be switched on and
//! off. TAP's descriptor is the device itself. The drivers over AF_PACKET and AF_XDP have none, but their sockets are
//! readable for as long as a frame waits in the ring that they share with the driver, and poll(2) takes none away: so
//! waiting at the very sockets that they receive by is sound.

use super::Inner;
use std::os::fd::{BorrowedFd, RawFd};
use std::sync::Arc;

/// Drivers of this DPDK without anything to wait at.
const DEAF: [&str; 5] = ["net_bonding", "net_memif", "net_null", "net_pcap", "net_ring"];
/// Drivers whose sockets are waited at instead of an interrupt.
const BY_SOCKET: [&str; 2] = ["net_af_packet", "net_af_xdp"];

/// What tells of arrivals on one queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Signal {
    fd: RawFd,
    kind: Kind,
}

/// What a descriptor means that is readable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Frames wait: it is readable until they are taken.
    Frames,
    /// The driver's interrupt fired, which it counts: it is readable until the count is read.
    Counter,
    /// The driver's interrupt fired: it is readable until the driver takes that back.
    Driver,
}

/// Whether a device of this driver can never tell of arrivals.
pub(super) fn is_deaf(driver: &str) -> bool {
    DEAF.contains(&driver)
}

/// Whether a driver's sockets tell of arrivals, and not interrupts of its own.
pub(super) fn is_by_socket(driver: &str) -> bool {
    BY_SOCKET.contains(&driver)
}

/// The address family of a socket; `None` if the descriptor is none.
pub(super) fn domain(fd: RawFd) -> Option<i32> {
    option(fd, libc::SO_DOMAIN)
}

fn option(fd: RawFd, name: i32) -> Option<i32> {
    let (mut value, mut size) = (0_i32, size_of::<i32>() as libc::socklen_t);
    // SAFETY: a writable integer of the size given; any descriptor may be asked.
    let result = unsafe { libc::getsockopt(fd, libc::SOL_SOCKET, name, (&raw mut value).cast(), &raw mut size) };
    (result == 0).then_some(value)
}

/// All sockets of this process of one family, in ascending order: that in which they were opened, unless descriptors below
/// them were closed in between.
pub(super) fn sockets(family: i32) -> Vec<RawFd> {
    let entries = std::fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let mut sockets: Vec<RawFd> = numbers.filter(|&fd| domain(fd) == Some(family)).collect();
    sockets.sort_unstable();
    sockets
}

/// The signals of a driver that receives by these sockets, one for each of the queues that its device was `made` with, of
/// which `queues` are used.
pub(super) fn of_sockets(sockets: &[RawFd], made: usize, queues: u16) -> Result<Vec<Signal>, String> {
    if sockets.len() != made || made < usize::from(queues) {
        return Err(format!("{} sockets of it were found for {made} queues", sockets.len()));
    }
    Ok(sockets.iter().take(queues.into()).map(|&fd| Signal { fd, kind: Kind::Frames }).collect())
}

/// The signals of a driver that has receive interrupts, after the start of the port.
pub(super) fn of_driver(port: u16, queues: u16) -> Result<Vec<Signal>, String> {
    (0..queues).map(|queue| of_queue(port, queue)).collect()
}

fn of_queue(port: u16, queue: u16) -> Result<Signal, String> {
    // SAFETY: the port is started; a queue without an interrupt gives −1.
    let fd = unsafe { dpdk_sys::rte_eth_dev_rx_intr_ctl_q_get_fd(port, queue) };
    let target = std::fs::read_link(format!("/proc/self/fd/{fd}")).map_err(|_| "it has no receive interrupts")?;
    let target = target.to_string_lossy();
    if target.starts_with("/dev/uio") {
        return Err("UIO has one interrupt for everything: bind it to vfio-pci".into());
    }
    if target == "/dev/net/tun" {
        return Ok(Signal { fd, kind: Kind::Frames });
    }
    let kind = if target.contains("eventfd") { Kind::Counter } else { Kind::Driver };
    // SAFETY: as above; switched off again at once.
    let (on, off) = unsafe {
        (dpdk_sys::rte_eth_dev_rx_intr_enable(port, queue), dpdk_sys::rte_eth_dev_rx_intr_disable(port, queue))
    };
    if on != 0 || off != 0 {
        return Err(format!("its receive interrupts cannot be switched: {}", crate::errno_text(on.min(off))));
    }
    Ok(Signal { fd, kind })
}

/// Wakes a thread that waits for packets of one queue. Keeps the port alive.
#[derive(Debug)]
pub struct RxInterrupt {
    signal: Signal,
    queue: u16,
    port: Arc<Inner>,
}

impl RxInterrupt {
    pub(super) fn new(port: &Arc<Inner>, queue: u16, signal: Signal) -> Self {
        Self { signal, queue, port: Arc::clone(port) }
    }

    /// The descriptor that becomes readable.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the driver's own descriptor, open while the port is, which this handle keeps alive.
        unsafe { BorrowedFd::borrow_raw(self.signal.fd) }
    }

    /// Switches the interrupt on. What arrived before need not fire it.
    pub(crate) fn enable(&self) {
        if self.signal.kind != Kind::Frames {
            // SAFETY: the port is started, and its driver took this call before.
            unsafe { dpdk_sys::rte_eth_dev_rx_intr_enable(self.port.id, self.queue) };
        }
    }

    /// Switches the interrupt off, and takes back that it fired.
    pub(crate) fn disable(&self) {
        if self.signal.kind != Kind::Frames {
            // SAFETY: as above.
            unsafe { dpdk_sys::rte_eth_dev_rx_intr_disable(self.port.id, self.queue) };
        }
    }

    /// Takes note that the descriptor was readable.
    pub(crate) fn acknowledge(&self) {
        if self.signal.kind == Kind::Counter {
            let mut count = 0_u64;
            // SAFETY: a writable integer. The descriptor was found readable and nobody else reads it, so this does not
            // block.
            unsafe { libc::read(self.signal.fd, (&raw mut count).cast(), size_of_val(&count)) };
        }
    }

    /// Takes note of an error that the descriptor reports, which a socket reports until somebody does.
    pub(crate) fn clear_error(&self) {
        let _ = option(self.signal.fd, libc::SO_ERROR);
    }
}
