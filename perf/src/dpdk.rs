//! The null device of DPDK: mbufs of a pool, through the driver's own burst functions.

use crate::clock::{Clock, Unit};
use crate::device::{Device, DeviceError, Queues};
use guideway_dataplane::time::Nanos;
use guideway_dpdk::{Dpdk, Eal, EalConfig, Mempool, MempoolConfig, Port, PortConfig, Tsc};
use std::sync::Arc;

/// Bytes of a frame that any buffer holds.
const LEAST_FRAME: usize = 2_048;
/// Bytes in front of a frame, for what the worker puts there.
const HEADROOM: usize = 128;
/// Bytes that a buffer takes in the pool beside its frame.
const AROUND: usize = 512;

impl Clock for Tsc {
    const UNIT: Unit = Unit::Cycles;

    #[inline]
    fn ticks(&self) -> u64 {
        self.cycles()
    }

    fn hz(&self) -> u64 {
        Self::hz(self)
    }

    #[inline]
    fn now(&self) -> Nanos {
        Self::now(self)
    }
}

/// DPDK's null device: receive takes mbufs from the pool, transmit gives them back.
#[derive(Debug)]
pub struct NullDevice {
    pool: Mempool,
    eal: Eal,
    opened: u32,
}

impl NullDevice {
    /// Starts DPDK, which pins the calling thread to `core` and gives it a buffer cache; the benchmark must run on this
    /// thread. The pool holds at least `buffers`, for frames of up to `longest` bytes.
    ///
    /// # Errors
    ///
    /// What keeps DPDK from starting, in words for an operator.
    pub fn start(core: usize, buffers: usize, longest: usize) -> Result<Self, DeviceError> {
        let (eal, pool) = start(core, buffers, longest)?;
        Ok(Self { pool, eal, opened: 0 })
    }
}

/// Starts DPDK with a pool of `buffers`, rounded up, for frames of up to `longest` bytes.
pub(crate) fn start(core: usize, buffers: usize, longest: usize) -> Result<(Eal, Mempool), DeviceError> {
    let size = (buffers + 1).next_power_of_two().max(1_024) - 1;
    let frame = longest.max(LEAST_FRAME);
    let memory_mb = (size * (frame + AROUND)).div_ceil(1 << 20) + 32;
    let eal = Eal::init(&EalConfig { main_core: core, memory_mb, ..EalConfig::default() }).map_err(failed)?;
    let size = u32::try_from(size).unwrap_or(u32::MAX);
    let data_room = u16::try_from(frame + HEADROOM).unwrap_or(u16::MAX);
    let pool = Mempool::new(&eal, &MempoolConfig { size, data_room, ..MempoolConfig::default() }).map_err(failed)?;
    Ok((eal, pool))
}

/// What DPDK says, in its own words.
pub(crate) fn failed(error: impl std::fmt::Display) -> DeviceError {
    DeviceError(error.to_string())
}

/// A device of DPDK, for the report.
pub(crate) fn describe(device: &str, eal: &Eal) -> String {
    let memory = if eal.has_hugepages() { "hugepages" } else { "no hugepages" };
    format!("{device} of {}, {memory}", eal.version())
}

impl Device for NullDevice {
    type Port = Dpdk;

    fn open(&mut self) -> Result<Queues<Dpdk>, DeviceError> {
        let device = format!("net_null{}", self.opened);
        let config = PortConfig { name: device.clone(), device, ..PortConfig::default() };
        self.opened += 1;
        let (_, rx, tx) = Port::attach(&self.eal, &config, &self.pool).map_err(failed)?;
        match (rx.into_iter().next(), tx.into_iter().next()) {
            (Some(rx), Some(tx)) => Ok(Queues { rx, tx, pool: Arc::new(self.pool.clone()) }),
            _ => Err(DeviceError(format!("{} has no queues", config.device))),
        }
    }

    fn describe(&self) -> String {
        describe("net_null", &self.eal)
    }
}
