//! One receive queue that baseline and case poll in turns.

use guideway_dataplane::port::{self, Burst};
use guideway_dpdk::{Mbuf, Mempool, RxQueue, TxQueue};
use std::sync::{Arc, Mutex, PoisonError};

/// A receive queue of several owners on one thread. The lock is taken once a poll and never waited for.
#[derive(Clone, Debug)]
pub struct SharedRx(Arc<Mutex<RxQueue>>);

impl SharedRx {
    pub(super) fn new(queue: RxQueue) -> Self {
        Self(Arc::new(Mutex::new(queue)))
    }
}

impl port::RxQueue for SharedRx {
    type Packet = Mbuf;

    #[inline]
    fn receive(&mut self, burst: &mut Burst<Mbuf>) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).receive(burst)
    }
}

/// Ties the types together.
#[derive(Debug)]
pub struct LivePort;

impl port::Port for LivePort {
    type Packet = Mbuf;
    type Rx = SharedRx;
    type Tx = TxQueue;
    type Pool = Mempool;
}
