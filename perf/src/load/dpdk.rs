//! Rings of DPDK between threads, and real devices.

use super::frames::FRAME_CHECK_SEQUENCE;
use super::joint::{Enter, Joint, Joints, pin};
use crate::device::DeviceError;
use guideway_dataplane::wire::ethernet::{HEADER_LEN, Mac};
use guideway_dpdk::{
    Dpdk, Eal, EalConfig, Lcore, LcoreError, Mempool, MempoolConfig, Port, PortConfig, RxQueue, TxQueue,
};
use std::sync::Arc;

/// Buffers for each pair of generator and worker: two rings of 1,023, and what their caches and bursts hold.
const BUFFERS: u32 = 8_192;
/// Headroom of a buffer, with room for a tunnel, and what a pool keeps beside each.
const HEADROOM: usize = 128;
const BESIDE: usize = 512;
/// Bytes of a frame that any buffer holds.
const LEAST_FRAME: usize = 2_048;
/// Two VLAN tags, which a port wants room for beside its longest frame.
const TAGS: usize = 8;

/// DPDK, with a pool of buffers.
#[derive(Debug)]
pub struct Buffers {
    eal: Eal,
    pool: Mempool,
    opened: u32,
}

impl Buffers {
    /// Starts DPDK on the calling thread, which it pins to `core`, with buffers of frames up to `longest` bytes on the wire
    /// for `pairs` generators and workers. `pci`: whether it looks for devices on the bus.
    ///
    /// # Errors
    ///
    /// What keeps DPDK from starting, in words for an operator.
    pub fn start(core: usize, pairs: usize, longest: usize, pci: bool) -> Result<Self, DeviceError> {
        let error = |error: &dyn std::fmt::Display| DeviceError(error.to_string());
        let size = BUFFERS * u32::try_from(pairs.max(1)).unwrap_or(1) - 1;
        let data_room = (longest + TAGS).max(LEAST_FRAME) + HEADROOM;
        let memory = (size as usize * (data_room + BESIDE)).div_ceil(1 << 20) + 32;
        let config = EalConfig { main_core: core, memory_mb: memory, pci, ..EalConfig::default() };
        let eal = Eal::init(&config).map_err(|e| error(&e))?;
        let data_room = u16::try_from(data_room).unwrap_or(u16::MAX);
        let pool = MempoolConfig { size, data_room, ..MempoolConfig::default() };
        let pool = Mempool::new(&eal, &pool).map_err(|e| error(&e))?;
        Ok(Self { eal, pool, opened: 0 })
    }

    /// One queue each way of a real device (a name and arguments as in the configuration, or a PCI address), and its
    /// hardware address. `longest`: the longest frame on the wire.
    ///
    /// # Errors
    ///
    /// What keeps the device from opening, in words for an operator.
    pub fn attach(&mut self, device: &str, longest: usize) -> Result<(TxQueue, RxQueue, Mac), DeviceError> {
        self.port(device, longest).map(|(port, tx, rx)| (tx, rx, port.mac()))
    }

    /// The same with the port itself.
    pub(crate) fn port(&mut self, device: &str, longest: usize) -> Result<(Port, TxQueue, RxQueue), DeviceError> {
        let mtu = longest.saturating_sub(HEADER_LEN + FRAME_CHECK_SEQUENCE).max(1_500);
        let name = format!("generator{}", self.opened);
        let mtu = u16::try_from(mtu).unwrap_or(u16::MAX);
        let config = PortConfig { name, device: device.to_owned(), mtu, ..PortConfig::default() };
        self.opened += 1;
        let (port, rx, tx) =
            Port::attach(&self.eal, &config, &self.pool).map_err(|error| DeviceError(error.to_string()))?;
        match (tx.into_iter().next(), rx.into_iter().next()) {
            (Some(tx), Some(rx)) => Ok((port, tx, rx)),
            _ => Err(DeviceError(format!("{device} has no queues"))),
        }
    }

    /// The pool.
    #[must_use]
    pub fn pool(&self) -> Arc<Mempool> {
        Arc::new(self.pool.clone())
    }

    /// Version of DPDK, and whether there are hugepages.
    #[must_use]
    pub fn version(&self) -> String {
        let memory = if self.eal.has_hugepages() { "hugepages" } else { "no hugepages" };
        format!("{}, {memory}", self.eal.version())
    }

    /// A device that gives empty buffers if `gives`, and takes back what it is given.
    pub(crate) fn null(&mut self, gives: bool) -> Result<(TxQueue, RxQueue), DeviceError> {
        let device = format!("net_null{},no-rx={}", self.opened, u8::from(!gives));
        self.attach(&device, 0).map(|(tx, rx, _)| (tx, rx))
    }

    /// A ring: what is sent into it is received from it.
    pub(crate) fn ring(&mut self) -> Result<(TxQueue, RxQueue), DeviceError> {
        let device = format!("net_ring{}", self.opened);
        self.attach(&device, 0).map(|(tx, rx, _)| (tx, rx))
    }
}

impl Joints for Buffers {
    type Port = Dpdk;

    fn open(&mut self) -> Result<Joint<Dpdk>, DeviceError> {
        let (to_dut, at_dut) = self.ring()?;
        let (from_dut, at_generator) = self.ring()?;
        Ok(Joint { to_dut, at_dut, from_dut, at_generator, pool: self.pool() })
    }

    fn enter(&self) -> Enter {
        let eal = self.eal.clone();
        Arc::new(move |core| {
            pin(core)?;
            match Lcore::register(&eal) {
                Ok(lcore) => Ok(Box::new(lcore)),
                // The thread that started DPDK.
                Err(LcoreError::AlreadyRegistered(_)) => Ok(Box::new(())),
                Err(error) => Err(DeviceError(error.to_string())),
            }
        })
    }

    fn describe(&self) -> String {
        format!("net_ring of {}: rings of 1,023 packets", self.version())
    }
}
