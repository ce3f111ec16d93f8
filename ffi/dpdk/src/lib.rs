//! A safe wrapper over DPDK: [`Eal`], [`Mempool`], [`Mbuf`], [`Port`], [`RxQueue`], [`TxQueue`], [`Lcore`], [`Tsc`].
//!
//! Every handle keeps what it needs alive: a queue its port, a port its pool, a pool the EAL. Handles may therefore be
//! dropped in any order; the device is closed with the last of port and queues, and DPDK is shut down with the last
//! handle of all. An [`Mbuf`] is one pointer and keeps nothing alive: a pool whose packets are still out when its last
//! handle goes is left to the end of the process instead of freed.
//!
//! The order of a start: pin the main thread, [`Eal::init`], [`Mempool::new`], [`Port::attach`]; then each worker
//! pins itself, calls [`Lcore::register`] and polls its queues.

mod clock;
mod eal;
mod lcore;
mod log;
mod mbuf;
mod mempool;
pub mod netdev;
mod pages;
mod port;
pub mod power;
mod sleeper;

pub use clock::Tsc;
pub use eal::{Eal, EalConfig, EalError, Hugepages, LogLevel, version};
pub use lcore::{Lcore, LcoreError};
pub use mbuf::Mbuf;
pub use mempool::{Mempool, MempoolConfig, MempoolError};
pub use pages::prefer_huge_pages;
pub use port::{
    Capabilities, Link, Notice, Port, PortConfig, PortError, RssSettings, RxInterrupt, RxQueue, Stats, TxQueue,
};
pub use sleeper::{EventBell, Sleeper};

/// The DPDK device: ties packets, queues and pool together for the worker loop.
#[derive(Debug)]
pub struct Dpdk;

impl guideway_dataplane::port::Port for Dpdk {
    type Packet = Mbuf;
    type Rx = RxQueue;
    type Tx = TxQueue;
    type Pool = Mempool;
}

/// The text of a positive errno.
fn errno_text(errno: i32) -> String {
    std::io::Error::from_raw_os_error(errno.abs()).to_string()
}

/// The calling thread's `rte_errno`.
fn rte_errno() -> i32 {
    // SAFETY: reads a thread-local integer.
    unsafe { dpdk_sys::guideway_rte_errno() }
}
