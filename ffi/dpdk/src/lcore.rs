//! Threads that DPDK knows.

use crate::eal::{Eal, EalInner};
use crate::{errno_text, rte_errno};
use std::marker::PhantomData;
use std::sync::Arc;
use thiserror::Error;

/// Why a thread was not registered.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum LcoreError {
    /// The thread is an lcore already.
    #[error("lcore: this thread is registered as lcore {0} already; register each worker once")]
    AlreadyRegistered(u32),
    /// DPDK has no lcore left.
    #[error("lcore: DPDK has no lcore left for this thread (128 at most): {0}; configure fewer workers")]
    NoneLeft(String),
}

/// The calling thread's registration with DPDK, which gives it a cache in each pool. Ends when dropped.
///
/// Pin the thread first: DPDK notes its CPU and NUMA node when it registers.
#[derive(Debug)]
pub struct Lcore {
    id: u32,
    _eal: Arc<EalInner>,
    /// Belongs to the thread that made it.
    _not_send: PhantomData<*const ()>,
}

impl Lcore {
    /// Registers the calling thread.
    ///
    /// # Errors
    /// [`LcoreError`].
    pub fn register(eal: &Eal) -> Result<Self, LcoreError> {
        let before = current();
        if before != dpdk_sys::LCORE_ID_ANY {
            return Err(LcoreError::AlreadyRegistered(before));
        }
        // SAFETY: the EAL runs while `eal` lives.
        if unsafe { dpdk_sys::rte_thread_register() } != 0 {
            return Err(LcoreError::NoneLeft(errno_text(rte_errno())));
        }
        Ok(Self { id: current(), _eal: Arc::clone(&eal.inner), _not_send: PhantomData })
    }

    /// DPDK's number for this thread.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.id
    }
}

impl Drop for Lcore {
    fn drop(&mut self) {
        // SAFETY: this thread registered (the guard cannot leave it), and the EAL still runs.
        unsafe { dpdk_sys::rte_thread_unregister() };
    }
}

fn current() -> u32 {
    // SAFETY: reads a thread-local integer.
    unsafe { dpdk_sys::guideway_lcore_id() }
}
