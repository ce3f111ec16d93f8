//! Pools of packet buffers.

use crate::eal::{Eal, EalInner};
use crate::mbuf::Mbuf;
use crate::{errno_text, log, rte_errno};
use dpdk_sys::{rte_mempool, rte_pktmbuf_pool_private};
use guideway_dataplane::port::{Packet, PacketPool};
use std::ffi::{CStr, CString};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use thiserror::Error;

/// Bytes that a frame and its headroom take in one buffer, in a pool made with [`MempoolConfig::default`].
const DEFAULT_DATA_ROOM: u16 = 2_048 + dpdk_sys::RTE_PKTMBUF_HEADROOM as u16;

/// How a pool is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MempoolConfig {
    /// Name, unique in the process, at most 25 bytes.
    pub name: String,
    /// Number of buffers. 2^n − 1 wastes the least memory. It must exceed all descriptors of all queues.
    pub size: u32,
    /// Bytes of a buffer: 128 of headroom and the longest frame.
    pub data_room: u16,
    /// Buffers that each registered thread keeps to itself, at most 512 and 2/3 of the size; 0: none.
    pub cache_size: u32,
    /// NUMA node of the memory; `None`: any.
    pub socket: Option<u16>,
}

impl Default for MempoolConfig {
    fn default() -> Self {
        Self { name: "packets".into(), size: 16_383, data_room: DEFAULT_DATA_ROOM, cache_size: 256, socket: None }
    }
}

/// Why a pool was not made.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum MempoolError {
    /// Not enough memory.
    #[error(
        "pool {name}: {size} buffers of {data_room} bytes ({} MiB) do not fit into DPDK's memory ({detail}); \
         reserve more hugepages in /proc/sys/vm/nr_hugepages, raise the EAL's memory, or make the pool smaller",
        (u64::from(*size) * (u64::from(*data_room) + 256)).div_ceil(1 << 20)
    )]
    TooLarge {
        /// The pool's name.
        name: String,
        /// Buffers asked for.
        size: u32,
        /// Bytes of each.
        data_room: u16,
        /// DPDK's log.
        detail: String,
    },
    /// The name is taken.
    #[error("pool {0}: a pool of that name exists; choose another name")]
    Exists(String),
    /// A value that DPDK does not accept.
    #[error("pool {name}: {what}")]
    Invalid {
        /// The pool's name.
        name: String,
        /// What is wrong, and the range.
        what: String,
    },
    /// Anything else.
    #[error("pool {name}: not created: {reason} ({detail}); check that the drivers of DPDK's mempools are installed")]
    Failed {
        /// The pool's name.
        name: String,
        /// Text of `rte_errno`.
        reason: String,
        /// DPDK's log.
        detail: String,
    },
}

#[derive(Debug)]
struct Inner {
    raw: NonNull<rte_mempool>,
    data_room: u16,
    eal: Arc<EalInner>,
}

// SAFETY: the default pool driver is a multi-producer, multi-consumer ring; caches are per registered thread.
unsafe impl Send for Inner {}
// SAFETY: as above.
unsafe impl Sync for Inner {}

impl Drop for Inner {
    fn drop(&mut self) {
        // SAFETY: the pool is live until freed below.
        let in_use = unsafe { dpdk_sys::rte_mempool_in_use_count(self.raw.as_ptr()) };
        if in_use == 0 {
            // SAFETY: no handle and no packet of it is left, so nothing refers to its memory any more.
            unsafe { dpdk_sys::rte_mempool_free(self.raw.as_ptr()) };
        } else {
            // Packets are still out: pool and memory stay until the process ends, so that they stay valid.
            self.eal.keep.store(true, Ordering::Release);
        }
    }
}

/// A pool of [`Mbuf`]s. Clones share it.
///
/// It is freed with its last handle if all packets are back, else left to the end of the process. Join the threads that
/// hold packets before the last handle goes: a packet that is being dropped at that very moment may count as back.
#[derive(Clone, Debug)]
pub struct Mempool {
    inner: Arc<Inner>,
}

impl Mempool {
    /// Makes a pool.
    ///
    /// # Errors
    /// [`MempoolError`] says what to change.
    pub fn new(eal: &Eal, config: &MempoolConfig) -> Result<Self, MempoolError> {
        let name = validated(config)?;
        log::clear();
        let raw = if eal.inner.pci { create(&name, config) } else { create_dense(&name, config) };
        match NonNull::new(raw) {
            Some(raw) => {
                Ok(Self { inner: Arc::new(Inner { raw, data_room: config.data_room, eal: Arc::clone(&eal.inner) }) })
            }
            None => Err(failure(config)),
        }
    }

    /// Packets that are out: in drivers' rings, in queues, in hands. Walks all threads' caches: not for a worker.
    #[must_use]
    pub fn in_use(&self) -> u32 {
        // SAFETY: the pool is live while a handle is.
        unsafe { dpdk_sys::rte_mempool_in_use_count(self.inner.raw.as_ptr()) }
    }

    /// Packets that may still be taken, those in threads' caches included. Walks all threads' caches.
    #[must_use]
    pub fn available(&self) -> u32 {
        // SAFETY: the pool is live while a handle is.
        unsafe { dpdk_sys::rte_mempool_avail_count(self.inner.raw.as_ptr()) }
    }

    /// Number of buffers.
    #[must_use]
    pub fn size(&self) -> u32 {
        // SAFETY: the pool is live while a handle is; its size never changes.
        unsafe { self.inner.raw.as_ref().size }
    }

    /// Longest frame in bytes that a buffer holds behind its headroom.
    #[must_use]
    pub fn max_frame(&self) -> usize {
        usize::from(self.inner.data_room) - dpdk_sys::RTE_PKTMBUF_HEADROOM as usize
    }

    pub(crate) fn as_ptr(&self) -> *mut rte_mempool {
        self.inner.raw.as_ptr()
    }
}

impl PacketPool for Mempool {
    type Packet = Mbuf;

    fn alloc(&self, frame: &[u8]) -> Option<Mbuf> {
        if frame.len() > self.max_frame() {
            return None;
        }
        // SAFETY: the pool is live; the result is fresh and ours alone.
        let mut packet = unsafe {
            let raw = NonNull::new(dpdk_sys::guideway_pktmbuf_alloc(self.inner.raw.as_ptr()))?;
            Mbuf::from_raw(raw)
        };
        packet.resize(frame.len()).then(|| {
            packet.frame_mut().copy_from_slice(frame);
            packet
        })
    }
}

fn validated(config: &MempoolConfig) -> Result<CString, MempoolError> {
    let invalid = |what: String| Err(MempoolError::Invalid { name: config.name.clone(), what });
    // "MP_" and the final NUL share DPDK's 29 bytes with the name.
    if config.name.is_empty() || config.name.len() > 25 {
        return invalid("the name must have 1 to 25 bytes".into());
    }
    if config.size < 64 {
        return invalid(format!("{} buffers are too few; at least 64", config.size));
    }
    let headroom = dpdk_sys::RTE_PKTMBUF_HEADROOM as u16;
    if config.data_room <= headroom {
        return invalid(format!("{} bytes a buffer leave no room behind the headroom of {headroom}", config.data_room));
    }
    let largest = dpdk_sys::RTE_MEMPOOL_CACHE_MAX_SIZE.min(config.size * 2 / 3);
    if config.cache_size > largest {
        return invalid(format!("a cache of {} is too large; at most {largest}", config.cache_size));
    }
    CString::new(config.name.clone()).or_else(|_| invalid("the name holds a NUL byte".into()))
}

/// A pool for any device.
fn create(name: &CStr, config: &MempoolConfig) -> *mut rte_mempool {
    // SAFETY: the name is a C string, all numbers are in DPDK's range; the EAL runs while its handle lives.
    unsafe {
        dpdk_sys::rte_pktmbuf_pool_create(
            name.as_ptr(),
            config.size,
            config.cache_size,
            0,
            config.data_room,
            socket(config),
        )
    }
}

/// A pool for devices that do not know physical addresses: buffers lie next to each other, also across the borders of
/// pages. The other kind leaves the end of a page empty where no whole buffer fits, which without hugepages is 40 %
/// of all memory. AF_XDP's driver does not count those gaps when it tells the kernel where the pool ends, and the kernel
/// neither sends nor fills buffers behind that.
fn create_dense(name: &CStr, config: &MempoolConfig) -> *mut rte_mempool {
    // What `rte_pktmbuf_pool_create` passes, and the flag.
    let mut private = rte_pktmbuf_pool_private { mbuf_data_room_size: config.data_room, mbuf_priv_size: 0, flags: 0 };
    // SAFETY: the name is a C string, all numbers are in DPDK's range; the EAL runs while its handle lives. Both
    // functions are DPDK's own for this purpose; the first one copies `private`, the second one takes no argument.
    unsafe {
        dpdk_sys::rte_mempool_create(
            name.as_ptr(),
            config.size,
            (size_of::<dpdk_sys::rte_mbuf>() + usize::from(config.data_room)) as u32,
            config.cache_size,
            size_of::<rte_pktmbuf_pool_private>() as u32,
            Some(dpdk_sys::rte_pktmbuf_pool_init),
            (&raw mut private).cast(),
            Some(dpdk_sys::rte_pktmbuf_init),
            std::ptr::null_mut(),
            socket(config),
            dpdk_sys::RTE_MEMPOOL_F_NO_IOVA_CONTIG,
        )
    }
}

fn socket(config: &MempoolConfig) -> i32 {
    config.socket.map_or(dpdk_sys::SOCKET_ID_ANY, i32::from)
}

fn failure(config: &MempoolConfig) -> MempoolError {
    let errno = rte_errno();
    let detail = log::take();
    let name = config.name.clone();
    match errno {
        libc::ENOMEM => MempoolError::TooLarge { name, size: config.size, data_room: config.data_room, detail },
        libc::EEXIST => MempoolError::Exists(name),
        errno => MempoolError::Failed { name, reason: errno_text(errno), detail },
    }
}
