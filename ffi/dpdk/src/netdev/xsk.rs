//! Whether an AF_XDP queue is taken: found out by asking for it (linux/if_xdp.h).

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// One page is one chunk; two of them are the smallest memory that a socket can have here.
const CHUNK: usize = 4_096;
const CHUNKS: usize = 2;

/// Memory that the kernel may write packets to, unmapped when dropped.
struct Pages(*mut libc::c_void);

impl Pages {
    fn new() -> Option<Self> {
        let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a fresh anonymous mapping.
        let pointer = unsafe { libc::mmap(std::ptr::null_mut(), CHUNK * CHUNKS, protection, flags, -1, 0) };
        (pointer != libc::MAP_FAILED).then_some(Self(pointer))
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: the mapping made in `new`; the kernel holds its own reference to the pages while it needs them.
        unsafe { libc::munmap(self.0, CHUNK * CHUNKS) };
    }
}

/// Whether a socket holds this queue of the interface with this index. `false` also if the kernel lets nobody ask.
///
/// A free queue is taken for a moment by the question, and the kernel gives it back a little later.
pub(crate) fn is_taken(interface: u32, queue: u32) -> bool {
    let Some(pages) = Pages::new() else { return false };
    let ring = CHUNKS as u32;
    let options = [libc::XDP_UMEM_FILL_RING, libc::XDP_UMEM_COMPLETION_RING, libc::XDP_RX_RING];
    // SAFETY: plain system calls on a descriptor owned from its making on; every structure is plain data of the size
    // given, and the memory registered outlives the socket, which is dropped first.
    unsafe {
        let fd = libc::socket(libc::AF_XDP, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0);
        if fd < 0 {
            return false;
        }
        let socket = OwnedFd::from_raw_fd(fd);
        let mut memory: libc::xdp_umem_reg = std::mem::zeroed();
        memory.addr = pages.0 as u64;
        memory.len = (CHUNK * CHUNKS) as u64;
        memory.chunk_size = CHUNK as u32;
        let set = |option, value: *const libc::c_void, size: usize| {
            libc::setsockopt(socket.as_raw_fd(), libc::SOL_XDP, option, value, size as libc::socklen_t) == 0
        };
        let ready = set(libc::XDP_UMEM_REG, (&raw const memory).cast(), size_of_val(&memory))
            && options.iter().all(|&option| set(option, (&raw const ring).cast(), size_of_val(&ring)));
        if !ready {
            return false;
        }
        let mut address: libc::sockaddr_xdp = std::mem::zeroed();
        address.sxdp_family = libc::AF_XDP as libc::sa_family_t;
        // Copying works with every driver and does not reset the device's queue.
        address.sxdp_flags = libc::XDP_COPY;
        address.sxdp_ifindex = interface;
        address.sxdp_queue_id = queue;
        let size = size_of_val(&address) as libc::socklen_t;
        let result = libc::bind(socket.as_raw_fd(), (&raw const address).cast(), size);
        result != 0 && std::io::Error::last_os_error().raw_os_error() == Some(libc::EBUSY)
    }
}
