//! The steps from a device string to a started port.

use super::device::{Device, L2_OVERHEAD};
use super::interrupt::{self, Signal};
use super::xdp::Sockets;
use super::{Capabilities, Inner, Notice, PortConfig, PortError};
use crate::eal::Eal;
use crate::mempool::Mempool;
use crate::{errno_text, log, netdev};
use dpdk_sys::{rte_eth_conf, rte_eth_dev_info};
use std::ffi::{CStr, CString};
use std::mem::MaybeUninit;
use std::os::fd::RawFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Held while a port comes or goes: which AF_XDP sockets are whose is told by when they appear. Inside: when one was
/// last closed here.
pub(super) fn lock() -> MutexGuard<'static, Option<Instant>> {
    static LOCK: Mutex<Option<Instant>> = Mutex::new(None);
    LOCK.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One attachment under way: what error texts need, and what was noticed.
pub(super) struct Attach<'a> {
    pub config: &'a PortConfig,
    pub device: Device,
    notices: Vec<Notice>,
    /// Sockets of the driver over which frames come, by receive queue; empty if it has none or nobody asks.
    sockets: Vec<RawFd>,
}

/// A started device.
pub(super) struct Attached {
    pub inner: Inner,
    /// The kernel interface under it.
    pub interface: Option<String>,
    pub capabilities: Capabilities,
    pub notices: Vec<Notice>,
    pub buffers_kept: u32,
    /// What tells of arrivals, by receive queue; empty if nobody asked.
    pub signals: Vec<Signal>,
}

/// How often, and how far apart, an AF_XDP queue is asked for that seems taken: the kernel gives it back some time
/// after the socket was closed, also that of a process that was killed. Each vain try costs the pool 2048 buffers,
/// which the driver loses.
pub(super) const BUSY_TRIES: u32 = 4;
pub(super) const BUSY_PAUSE: Duration = Duration::from_millis(250);

pub(super) fn attach(eal: &Eal, config: &PortConfig, pool: &Mempool) -> Result<Attached, PortError> {
    let queues = config.rx_queues.max(config.tx_queues).max(1);
    let device = Device::parse(&config.name, &config.device)?.with_queues(queues).with_mtu(config.mtu);
    let mut attach = Attach { config, device, notices: Vec::new(), sockets: Vec::new() };
    attach.check_device(queues)?;
    attach.check_pool(pool)?;
    let in_use = pool.in_use();
    let mut tries = 1;
    let (inner, capabilities, signals) = loop {
        match attach.bring_up(eal, pool) {
            Err(PortError::Busy { .. }) if tries < BUSY_TRIES && attach.device.driver() == "net_af_xdp" => {
                tries += 1;
                std::thread::sleep(BUSY_PAUSE);
            }
            result => break result?,
        }
    };
    // Measured, since vain tries count too.
    let buffers_kept = if attach.device.driver() == "net_af_xdp" { pool.in_use().saturating_sub(in_use) } else { 0 };
    let interface = attach.device.interface().map(str::to_owned);
    Ok(Attached { inner, interface, capabilities, notices: attach.notices, buffers_kept, signals })
}

impl Attach<'_> {
    pub fn port(&self) -> String {
        self.config.name.clone()
    }

    pub fn text(&self) -> String {
        self.device.to_string()
    }

    pub fn notice(&mut self, text: &str) {
        self.notices.push(Notice(format!("port {}: {text}", self.config.name)));
    }

    /// Everything from the probe to the started port. After an error the device is gone again.
    fn bring_up(&mut self, eal: &Eal, pool: &Mempool) -> Result<(Inner, Capabilities, Vec<Signal>), PortError> {
        let one_at_a_time = lock();
        if let Some(closed) = *one_at_a_time {
            std::thread::sleep(BUSY_PAUSE.saturating_sub(closed.elapsed()));
        }
        let before = Sockets::open_now();
        let packet_sockets = interrupt::sockets(libc::AF_PACKET);
        let mut port = self.probe(eal, pool)?;
        self.sockets =
            interrupt::sockets(libc::AF_PACKET).into_iter().filter(|fd| !packet_sockets.contains(fd)).collect();
        let result = self.set_up(&mut port, pool);
        port.sockets = Sockets::since(&before);
        // Before an error drops the port, which locks again.
        drop(one_at_a_time);
        result.map(|(capabilities, signals)| (port, capabilities, signals))
    }

    /// From the probed to the started port.
    fn set_up(&mut self, port: &mut Inner, pool: &Mempool) -> Result<(Capabilities, Vec<Signal>), PortError> {
        let info = self.info(port)?;
        port.device = info.device;
        self.check_queues(&info)?;
        let (rss, rx_checksum) = self.configure(port, &info, pool)?;
        self.set_mtu(port)?;
        self.set_up_queues(port, &info, pool)?;
        // SAFETY: configured, all queues set up.
        self.done("start", unsafe { dpdk_sys::rte_eth_dev_start(port.id) })?;
        self.let_multicast_in(port);
        let signals = if self.config.interrupts { self.signals(port)? } else { Vec::new() };
        let capabilities = Capabilities {
            driver: driver_name(&info),
            max_rx_queues: info.max_rx_queues,
            max_tx_queues: info.max_tx_queues,
            rss,
            rx_checksum,
            socket: socket(port.id),
        };
        Ok((capabilities, signals))
    }

    /// What tells of arrivals on each receive queue.
    fn signals(&self, port: &Inner) -> Result<Vec<Signal>, PortError> {
        let queues = self.config.rx_queues;
        // AF_PACKET's driver opens a socket for each queue that its device was made with, used or not.
        let pairs = self.device.argument("qpairs").and_then(|pairs| pairs.parse().ok());
        let signals = match self.device.driver() {
            "net_af_packet" => interrupt::of_sockets(&self.sockets, pairs.unwrap_or(queues.into()), queues),
            "net_af_xdp" => interrupt::of_sockets(&self.sockets, queues.into(), queues),
            _ => interrupt::of_driver(port.id, queues),
        };
        signals.map_err(|reason| self.no_interrupts(reason))
    }

    pub fn no_interrupts(&self, reason: String) -> PortError {
        let driver = self.device.driver().to_owned();
        PortError::NoInterrupts { port: self.port(), device: self.text(), driver, reason }
    }

    /// Hot-plugs the device.
    fn probe(&self, eal: &Eal, pool: &Mempool) -> Result<Inner, PortError> {
        let bad = |_| PortError::BadDevice { port: self.port(), device: self.text(), what: "a NUL byte".into() };
        let arguments = CString::new(self.text()).map_err(bad)?;
        let name = CString::new(self.device.name.clone()).map_err(bad)?;
        let mut id = u16::MAX;
        // SAFETY: C strings and a writable integer.
        if unsafe { dpdk_sys::rte_eth_dev_get_port_by_name(name.as_ptr(), &raw mut id) } == 0 {
            let detail = "another port of this process has it".into();
            return Err(PortError::Busy { port: self.port(), device: self.text(), detail });
        }
        log::clear();
        // SAFETY: a C string; the EAL runs while `eal` lives.
        let result = unsafe { dpdk_sys::rte_dev_probe(arguments.as_ptr()) };
        if result != 0 {
            return Err(self.probe_error(result));
        }
        // SAFETY: as above.
        let result = unsafe { dpdk_sys::rte_eth_dev_get_port_by_name(name.as_ptr(), &raw mut id) };
        if result != 0 {
            return Err(self.probe_error(result));
        }
        Ok(Inner {
            id,
            device: std::ptr::null_mut(),
            promiscuous: false,
            allmulticast: false,
            sockets: Sockets::default(),
            _pool: pool.clone(),
            _eal: Arc::clone(&eal.inner),
        })
    }

    fn probe_error(&self, result: i32) -> PortError {
        let (port, device, detail) = (self.port(), self.text(), log::take());
        match result.abs() {
            libc::EBUSY => PortError::Busy { port, device, detail },
            libc::EACCES => PortError::Permission { port, device, detail },
            _ if !is_root() => PortError::Permission { port, device, detail },
            libc::ENOENT | libc::ENODEV | libc::ENOTSUP => {
                PortError::NoDriver { port, device, driver: self.device.driver().to_owned(), detail }
            }
            errno => PortError::Failed { port, device, step: "probe", reason: reason(errno), detail },
        }
    }

    fn info(&self, port: &Inner) -> Result<rte_eth_dev_info, PortError> {
        let mut info = MaybeUninit::<rte_eth_dev_info>::zeroed();
        // SAFETY: plain data, all zeros is valid, filled by the driver.
        unsafe {
            self.done("reading its capabilities", dpdk_sys::rte_eth_dev_info_get(port.id, info.as_mut_ptr()))?;
            Ok(info.assume_init())
        }
    }

    /// Returns whether RSS and whether receive checksums are on.
    fn configure(&self, port: &Inner, info: &rte_eth_dev_info, pool: &Mempool) -> Result<(bool, bool), PortError> {
        let mut conf = MaybeUninit::<rte_eth_conf>::zeroed();
        // SAFETY: plain data, all zeros is DPDK's default.
        let conf = unsafe { conf.assume_init_mut() };
        let checksums = dpdk_sys::GUIDEWAY_RX_CHECKSUM;
        let rx_checksum = info.rx_offload_capa & checksums == checksums;
        if rx_checksum {
            conf.rxmode.offloads |= checksums;
        }
        let (needed, has) = (usize::from(self.config.mtu) + L2_OVERHEAD, pool.max_frame());
        if needed > has {
            if info.rx_offload_capa & dpdk_sys::GUIDEWAY_RX_SCATTER == 0 {
                let mtu = self.config.mtu;
                return Err(PortError::PoolTooSmall { port: self.port(), device: self.text(), mtu, needed, has });
            }
            conf.rxmode.offloads |= dpdk_sys::GUIDEWAY_RX_SCATTER;
        }
        // A driver without interrupts may refuse the whole configuration for it.
        if self.config.interrupts && !interrupt::is_by_socket(self.device.driver()) {
            conf.intr_conf.set_rxq(1);
        }
        conf.txmode.offloads |= info.tx_offload_capa & dpdk_sys::GUIDEWAY_TX_MULTI_SEGS;
        let hash = info.flow_type_rss_offloads & dpdk_sys::GUIDEWAY_RSS_IP_TCP_UDP;
        let rss = self.config.rx_queues > 1 && hash != 0;
        if rss {
            conf.rxmode.mq_mode = dpdk_sys::RTE_ETH_MQ_RX_RSS;
            conf.rx_adv_conf.rss_conf.rss_hf = hash;
        }
        if self.device.is_pci() {
            conf.rxmode.mtu = u32::from(self.config.mtu);
            self.check_mtu_range(info)?;
        }
        let (rx, tx) = (self.config.rx_queues, self.config.tx_queues);
        // SAFETY: the port exists and is stopped; conf is read during the call.
        self.done("configuration", unsafe { dpdk_sys::rte_eth_dev_configure(port.id, rx, tx, conf) })?;
        Ok((rss, rx_checksum))
    }

    fn check_mtu_range(&self, info: &rte_eth_dev_info) -> Result<(), PortError> {
        let mtu = self.config.mtu;
        if mtu >= info.min_mtu && mtu <= info.max_mtu {
            return Ok(());
        }
        let reason = format!("it takes {} to {}", info.min_mtu, info.max_mtu);
        Err(PortError::Mtu { port: self.port(), device: self.text(), mtu, reason })
    }

    fn set_mtu(&mut self, port: &Inner) -> Result<(), PortError> {
        let mtu = self.config.mtu;
        let mut current = 0;
        // SAFETY: the port exists; the integer is writable.
        if unsafe { dpdk_sys::rte_eth_dev_get_mtu(port.id, &raw mut current) } == 0 && current == mtu {
            return Ok(());
        }
        // SAFETY: the port exists and is stopped.
        let result = unsafe { dpdk_sys::rte_eth_dev_set_mtu(port.id, mtu) };
        if result == 0 {
            return Ok(());
        }
        let Some(interface) = self.device.interface() else {
            self.notice(&format!("driver {} takes no MTU: {}", self.device.driver(), errno_text(result)));
            return Ok(());
        };
        // AF_PACKET refuses more than 1500 of its own but carries whatever the interface does.
        if netdev::mtu(interface).is_some_and(|now| now >= u32::from(mtu)) {
            return Ok(());
        }
        let reason = format!("{}; set it first: `ip link set {interface} mtu {mtu}`", errno_text(result));
        Err(PortError::Mtu { port: self.port(), device: self.text(), mtu, reason })
    }

    fn set_up_queues(&mut self, port: &Inner, info: &rte_eth_dev_info, pool: &Mempool) -> Result<(), PortError> {
        let (mut rx, mut tx) = (self.config.rx_descriptors, self.config.tx_descriptors);
        // SAFETY: writable integers.
        let result = unsafe { dpdk_sys::rte_eth_dev_adjust_nb_rx_tx_desc(port.id, &raw mut rx, &raw mut tx) };
        self.done("choosing the number of descriptors", result)?;
        let node = socket(port.id).map_or(dpdk_sys::SOCKET_ID_ANY, i32::from) as u32;
        let mut rx_conf = info.default_rxconf;
        rx_conf.offloads = 0;
        let mut tx_conf = info.default_txconf;
        tx_conf.offloads = 0;
        for queue in 0..self.config.rx_queues {
            log::clear();
            let xdp_sockets = interrupt::sockets(libc::AF_XDP);
            // SAFETY: configured with this many queues; the pool outlives the port, which holds a handle of it.
            let result = unsafe { dpdk_sys::rte_eth_rx_queue_setup(port.id, queue, rx, node, &rx_conf, pool.as_ptr()) };
            self.rx_queue_done(result)?;
            self.sockets.extend(interrupt::sockets(libc::AF_XDP).iter().filter(|fd| !xdp_sockets.contains(fd)));
        }
        for queue in 0..self.config.tx_queues {
            log::clear();
            // SAFETY: configured with this many queues.
            let result = unsafe { dpdk_sys::rte_eth_tx_queue_setup(port.id, queue, tx, node, &tx_conf) };
            self.done("setting up a transmit queue", result)?;
        }
        Ok(())
    }

    /// AF_XDP's driver says "invalid" whatever keeps it from a queue; its log tells which it was.
    fn rx_queue_done(&self, result: i32) -> Result<(), PortError> {
        if result != -libc::EINVAL || self.device.driver() != "net_af_xdp" {
            return self.done("setting up a receive queue", result);
        }
        let (port, device, detail) = (self.port(), self.text(), log::take());
        Err(if detail.contains("xsk socket") {
            PortError::Busy { port, device, detail }
        } else if is_root() {
            let reason = errno_text(result);
            PortError::Failed { port, device, step: "setting up a receive queue", reason, detail }
        } else {
            PortError::Permission { port, device, detail }
        })
    }

    /// ARP needs broadcast, NDP needs multicast; allmulticast lets the least of the rest in.
    fn let_multicast_in(&mut self, port: &mut Inner) {
        // SAFETY: the port is started.
        unsafe {
            port.allmulticast = dpdk_sys::rte_eth_allmulticast_enable(port.id) == 0;
            if !port.allmulticast {
                port.promiscuous = dpdk_sys::rte_eth_promiscuous_enable(port.id) == 0;
            }
        }
        if !port.allmulticast && !port.promiscuous {
            self.notice("the driver has neither allmulticast nor promiscuous mode; NDP may not arrive");
        }
    }

    fn done(&self, step: &'static str, result: i32) -> Result<(), PortError> {
        if result >= 0 {
            return Ok(());
        }
        let (port, device, detail) = (self.port(), self.text(), log::take());
        Err(match -result {
            libc::EBUSY => PortError::Busy { port, device, detail },
            libc::EACCES => PortError::Permission { port, device, detail },
            libc::EPERM if !is_root() => PortError::Permission { port, device, detail },
            errno => PortError::Failed { port, device, step, reason: reason(errno), detail },
        })
    }
}

/// Drivers return −1, which would read as EPERM, when they have no errno.
fn reason(errno: i32) -> String {
    if errno == libc::EPERM { "the driver refused".into() } else { errno_text(errno) }
}

fn is_root() -> bool {
    // SAFETY: no arguments, no failure.
    unsafe { libc::geteuid() == 0 }
}

fn driver_name(info: &rte_eth_dev_info) -> String {
    if info.driver_name.is_null() {
        return "unknown".into();
    }
    // SAFETY: a static C string of the driver.
    unsafe { CStr::from_ptr(info.driver_name) }.to_string_lossy().into_owned()
}

fn socket(port: u16) -> Option<u16> {
    // SAFETY: the port exists.
    let node = unsafe { dpdk_sys::rte_eth_dev_socket_id(port) };
    u16::try_from(node).ok()
}
