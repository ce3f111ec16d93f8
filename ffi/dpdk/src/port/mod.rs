//! Ports: a device attached by name, configured, started, and taken apart again when the last handle goes.

mod attach;
mod check;
mod device;
mod error;
mod interrupt;
mod queue;
mod rss;
mod xdp;

pub use error::{Notice, PortError};
pub use interrupt::RxInterrupt;
pub use queue::{RxQueue, TxQueue};
pub use rss::RssSettings;

use crate::eal::{Eal, EalInner};
use crate::mempool::Mempool;
use crate::netdev;
use std::mem::MaybeUninit;
use std::sync::Arc;
use std::time::Instant;

/// How a port is attached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortConfig {
    /// The port's name in errors.
    pub name: String,
    /// A DPDK virtual device with its arguments, or a PCI address.
    pub device: String,
    /// Largest layer-3 packet in bytes.
    pub mtu: u16,
    /// Receive queues, one for each worker that polls the port.
    pub rx_queues: u16,
    /// Transmit queues, one for each thread that sends.
    pub tx_queues: u16,
    /// Descriptors of each receive queue; rounded to what the device takes.
    pub rx_descriptors: u16,
    /// Descriptors of each transmit queue; rounded to what the device takes.
    pub tx_descriptors: u16,
    /// Whether arrivals shall be able to wake a thread that sleeps: [`RxQueue::interrupt`].
    pub interrupts: bool,
}

impl Default for PortConfig {
    fn default() -> Self {
        Self {
            name: "port".into(),
            device: String::new(),
            mtu: 1_500,
            rx_queues: 1,
            tx_queues: 1,
            rx_descriptors: 1_024,
            tx_descriptors: 1_024,
            interrupts: false,
        }
    }
}

/// What a device can do and what of it is switched on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// DPDK's driver, such as `net_af_packet`.
    pub driver: String,
    /// Most receive queues.
    pub max_rx_queues: u16,
    /// Most transmit queues.
    pub max_tx_queues: u16,
    /// Whether the device spreads flows over the receive queues by RSS.
    pub rss: bool,
    /// Whether the device verifies all of IPv4, TCP and UDP checksums on receive ([`guideway_dataplane::port::Packet::rx_checksum`]).
    pub rx_checksum: bool,
    /// NUMA node of the device, if it has one.
    pub socket: Option<u16>,
}

/// State of the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// Whether frames pass.
    pub up: bool,
    /// Mbit/s; `None` if the device does not say.
    pub speed: Option<u32>,
}

/// Counters of a port since it was attached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Packets received.
    pub rx_packets: u64,
    /// Bytes received.
    pub rx_bytes: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Packets that the device dropped because the receive queues were full.
    pub rx_missed: u64,
    /// Packets received with errors.
    pub rx_errors: u64,
    /// Packets that failed to be sent.
    pub tx_errors: u64,
    /// Packets dropped because the pool was empty.
    pub rx_no_buffer: u64,
}

/// The device itself: stopped, closed and removed when dropped.
#[derive(Debug)]
struct Inner {
    id: u16,
    device: *mut dpdk_sys::rte_device,
    promiscuous: bool,
    allmulticast: bool,
    /// AF_XDP sockets that the driver opened for this port.
    sockets: xdp::Sockets,
    _pool: Mempool,
    _eal: Arc<EalInner>,
}

// SAFETY: the pointer is used once, in Drop; everything else is DPDK's control interface, called through `&Port`.
unsafe impl Send for Inner {}
// SAFETY: as above.
unsafe impl Sync for Inner {}

impl Drop for Inner {
    fn drop(&mut self) {
        let mut one_at_a_time = attach::lock();
        // SAFETY: the port is ours and no queue of it is left; each call stands an earlier failure.
        unsafe {
            if self.promiscuous {
                dpdk_sys::rte_eth_promiscuous_disable(self.id);
            }
            if self.allmulticast {
                dpdk_sys::rte_eth_allmulticast_disable(self.id);
            }
            dpdk_sys::rte_eth_dev_stop(self.id);
            dpdk_sys::rte_eth_dev_close(self.id);
            if !self.device.is_null() {
                dpdk_sys::rte_dev_remove(self.device);
            }
        }
        if self.sockets.close() {
            *one_at_a_time = Some(Instant::now());
        }
    }
}

/// A started port. The device is closed when this and all its queues are dropped.
#[derive(Debug)]
pub struct Port {
    inner: Arc<Inner>,
    name: String,
    interface: Option<String>,
    capabilities: Capabilities,
    notices: Vec<Notice>,
    buffers_kept: u32,
}

impl Port {
    /// Attaches a device after the EAL has started, configures and starts it, and hands out its queues: `rx_queues`
    /// receive queues and `tx_queues` transmit queues, in order.
    ///
    /// Several receive queues share the traffic by RSS where the device has it (AF_PACKET: by the kernel's fanout).
    /// An AF_XDP queue takes 2048 packets of the pool, and the driver never gives them back: a pool that such a port is
    /// attached to again needs as many more.
    /// Multicast is let in by allmulticast or, where the driver has only that, promiscuous mode.
    ///
    /// # Errors
    /// [`PortError`]; the device is left as it was found.
    pub fn attach(
        eal: &Eal,
        config: &PortConfig,
        pool: &Mempool,
    ) -> Result<(Self, Vec<RxQueue>, Vec<TxQueue>), PortError> {
        let attach::Attached { inner, interface, capabilities, notices, buffers_kept, signals } =
            attach::attach(eal, config, pool)?;
        let inner = Arc::new(inner);
        let signals = signals.into_iter().map(Some).chain(std::iter::repeat(None));
        let rx =
            (0..config.rx_queues).zip(signals).map(|(queue, signal)| RxQueue::new(&inner, queue, signal)).collect();
        let tx = (0..config.tx_queues).map(|queue| TxQueue::new(&inner, queue)).collect();
        Ok((Self { inner, name: config.name.clone(), interface, capabilities, notices, buffers_kept }, rx, tx))
    }

    /// Stops, closes and removes the device. Takes every queue back, so that no thread can still be polling.
    pub fn close(self, rx: Vec<RxQueue>, tx: Vec<TxQueue>) {
        drop((rx, tx, self));
    }

    /// The name given in [`PortConfig`].
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// DPDK's number of this port, as in [`dpdk_sys`] and in its log.
    #[must_use]
    pub fn id(&self) -> u16 {
        self.inner.id
    }

    /// What the device can do.
    #[must_use]
    pub fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    /// How the device spreads flows over its receive queues now. `None`: it does not by the Toeplitz hash, or its driver does not
    /// tell.
    #[must_use]
    pub fn rss(&self) -> Option<RssSettings> {
        if self.capabilities.rss { rss::read(self.inner.id) } else { None }
    }

    /// What was found while attaching, for the operator.
    #[must_use]
    pub fn notices(&self) -> &[Notice] {
        &self.notices
    }

    /// Buffers of the pool that the driver took while the port was attached and never gives back: 2048 for each queue of
    /// an AF_XDP device, and as many for each try that found the queue still busy; else none.
    #[must_use]
    pub fn buffers_kept(&self) -> u32 {
        self.buffers_kept
    }

    /// The device's own Ethernet address.
    #[must_use]
    pub fn mac(&self) -> [u8; 6] {
        let mut address = MaybeUninit::<dpdk_sys::rte_ether_addr>::zeroed();
        // SAFETY: six bytes are written, or none; all zeros is an address.
        unsafe {
            dpdk_sys::rte_eth_macaddr_get(self.inner.id, address.as_mut_ptr());
            address.assume_init().addr_bytes
        }
    }

    /// State of the link, without waiting for it. Of a device over a kernel interface the kernel is asked: AF_PACKET
    /// and AF_XDP say `up` whatever happens.
    #[must_use]
    pub fn link(&self) -> Link {
        let mut speed = 0;
        // SAFETY: the port is alive; the speed is written on success.
        let mut up = unsafe { dpdk_sys::guideway_link(self.inner.id, &raw mut speed) } == 1;
        if let Some(interface) = &self.interface {
            up = netdev::is_running(interface);
        }
        Link { up, speed: (speed != 0 && speed != u32::MAX).then_some(speed) }
    }

    /// Counters. `None` if the driver does not answer (the device may be gone).
    #[must_use]
    pub fn stats(&self) -> Option<Stats> {
        let mut raw = MaybeUninit::<dpdk_sys::rte_eth_stats>::zeroed();
        // SAFETY: plain integers, filled by the driver.
        let raw = unsafe {
            if dpdk_sys::rte_eth_stats_get(self.inner.id, raw.as_mut_ptr()) != 0 {
                return None;
            }
            raw.assume_init()
        };
        Some(Stats {
            rx_packets: raw.ipackets,
            rx_bytes: raw.ibytes,
            tx_packets: raw.opackets,
            tx_bytes: raw.obytes,
            rx_missed: raw.imissed,
            rx_errors: raw.ierrors,
            tx_errors: raw.oerrors,
            rx_no_buffer: raw.rx_nombuf,
        })
    }
}
