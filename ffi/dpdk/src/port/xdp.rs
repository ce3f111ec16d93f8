//! AF_XDP sockets that the driver forgets.
//!
//! DPDK 22.11 with libxdp 1.3 leaves a port's socket open when the port is closed. The kernel then keeps the queue
//! taken until the process ends, and the port could never be attached again.

use std::os::fd::RawFd;

/// The sockets that belong to one port, by descriptor.
#[derive(Debug, Default)]
pub(super) struct Sockets(Vec<RawFd>);

impl Sockets {
    /// All AF_XDP sockets of this process.
    pub fn open_now() -> Self {
        Self(super::interrupt::sockets(libc::AF_XDP))
    }

    /// Those that are open now and were not in `before`.
    pub fn since(before: &Self) -> Self {
        Self(Self::open_now().0.into_iter().filter(|fd| !before.0.contains(fd)).collect())
    }

    /// Closes what is still open. Only while no other port can be opening sockets. Returns whether there were any.
    pub fn close(&mut self) -> bool {
        let any = !self.0.is_empty();
        for fd in self.0.drain(..).filter(|&fd| is_xdp(fd)) {
            // SAFETY: an AF_XDP socket of a port that has been closed: the driver has forgotten it, nobody uses it.
            unsafe { libc::close(fd) };
        }
        any
    }
}

fn is_xdp(fd: RawFd) -> bool {
    super::interrupt::domain(fd) == Some(libc::AF_XDP)
}
