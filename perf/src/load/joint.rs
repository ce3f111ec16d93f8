//! What joins generator and balancer.

use crate::device::DeviceError;
use guideway_dataplane::memory::{LINK_DEPTH, MemoryPool, MemoryPort, MemoryRx, MemoryTx, link};
use guideway_dataplane::port::Port;
use std::any::Any;
use std::sync::Arc;

/// Makes the calling thread one that may poll queues, on the core given; what it returns is kept while the thread polls.
pub type Enter = Arc<dyn Fn(usize) -> Result<Box<dyn Any>, DeviceError> + Send + Sync>;

/// A kind of queues that join threads of this process.
pub trait Joints {
    /// Packets and queues.
    type Port: Port;

    /// A pair of rings.
    ///
    /// # Errors
    ///
    /// What keeps the device from opening them, in words for an operator.
    fn open(&mut self) -> Result<Joint<Self::Port>, DeviceError>;

    /// What each thread does first.
    fn enter(&self) -> Enter;

    /// What is measured over, for the report.
    fn describe(&self) -> String;
}

/// A ring to the balancer and one from it.
pub struct Joint<P: Port> {
    /// The generator sends here.
    pub to_dut: P::Tx,
    /// The worker receives here.
    pub at_dut: P::Rx,
    /// The worker sends here.
    pub from_dut: P::Tx,
    /// The generator receives here.
    pub at_generator: P::Rx,
    /// Buffers of both.
    pub pool: Arc<P::Pool>,
}

/// Pins the calling thread.
///
/// # Errors
///
/// If this process may not use the core.
pub fn pin(core: usize) -> Result<(), DeviceError> {
    if core_affinity::set_for_current(core_affinity::CoreId { id: core }) {
        return Ok(());
    }
    Err(DeviceError(format!("cannot run on core {core}; choose another one")))
}

/// Queues in memory, of packets in memory: without DPDK. Each packet is allocated.
#[derive(Clone, Copy, Debug, Default)]
pub struct MemoryJoints;

impl Joints for MemoryJoints {
    type Port = MemoryPort;

    fn open(&mut self) -> Result<Joint<MemoryPort>, DeviceError> {
        let (there, back) = (link(), link());
        Ok(Joint {
            to_dut: MemoryTx(Arc::clone(&there)),
            at_dut: MemoryRx(there),
            from_dut: MemoryTx(Arc::clone(&back)),
            at_generator: MemoryRx(back),
            pool: Arc::new(MemoryPool),
        })
    }

    fn enter(&self) -> Enter {
        Arc::new(|core| {
            pin(core)?;
            Ok(Box::new(()))
        })
    }

    fn describe(&self) -> String {
        format!("queues of {LINK_DEPTH} packets in memory, each packet allocated")
    }
}
