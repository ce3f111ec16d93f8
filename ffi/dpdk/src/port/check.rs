//! What is checked before and while a device is attached, with better errors than drivers give.

use super::attach::{Attach, BUSY_PAUSE, BUSY_TRIES};
use super::{PortError, device, interrupt};
use crate::mempool::Mempool;
use crate::netdev;
use dpdk_sys::rte_eth_dev_info;
use std::path::Path;

/// What libxdp loads for AF_XDP, alone or under its dispatcher.
const LIBXDP_PROGRAMS: [&str; 2] = ["xsk_def_prog", "xdp_dispatcher"];

impl Attach<'_> {
    /// What can be told before DPDK touches anything, with a better error than a driver gives.
    pub fn check_device(&mut self, queues: u16) -> Result<(), PortError> {
        if self.config.interrupts && interrupt::is_deaf(self.device.driver()) {
            return Err(self.no_interrupts("it has no receive interrupts".into()));
        }
        if self.device.is_pci() {
            return device::check_pci(&self.config.name, &self.device.name, Path::new("/sys/bus/pci/devices"));
        }
        let Some(interface) = self.device.interface().map(str::to_owned) else { return Ok(()) };
        let Some(index) = netdev::index(&interface) else {
            return Err(PortError::NoSuchInterface { port: self.port(), device: self.text(), interface });
        };
        if !netdev::is_up(&interface) {
            self.notice(&format!("interface {interface} is down: `ip link set {interface} up`"));
        }
        if netdev::is_promiscuous(&interface) {
            self.notice(&format!(
                "interface {interface} was promiscuous before; it is taken back when this port is closed"
            ));
        }
        if self.device.driver() == "net_af_xdp" {
            self.too_few(queues, netdev::combined_channels(&interface), "receive")?;
        }
        let Some(program) = netdev::xdp_program(index) else { return Ok(()) };
        self.check_xdp(&interface, index, queues, &program)
    }

    /// Whether the pool's buffers are long enough and enough.
    pub fn check_pool(&self, pool: &Mempool) -> Result<(), PortError> {
        let (needed, has) = (self.device.buffer_needed(), pool.max_frame());
        if needed > has {
            let mtu = self.config.mtu;
            return Err(PortError::PoolTooSmall { port: self.port(), device: self.text(), mtu, needed, has });
        }
        let needed = self.device.packets_needed(self.config.rx_descriptors) * u32::from(self.config.rx_queues);
        let available = pool.available();
        if needed > available {
            return Err(PortError::PoolTooFew { port: self.port(), device: self.text(), needed, available });
        }
        Ok(())
    }

    /// An XDP program takes frames before AF_PACKET sees them, and keeps another one off the interface. Only the one
    /// that AF_XDP's own library loads is safe to work with: it is used again, and removed when the port is closed.
    fn check_xdp(
        &mut self,
        interface: &str,
        index: u32,
        queues: u16,
        program: &netdev::XdpProgram,
    ) -> Result<(), PortError> {
        let netdev::XdpProgram { id, name } = program;
        let remedy = format!("`ip link set dev {interface} xdp off`");
        if self.device.driver() != "net_af_xdp" {
            self.notice(&format!(
                "XDP program {name} (id {id}) sits on {interface} and may take its frames; if its process is gone, \
                 remove it: {remedy}"
            ));
            return Ok(());
        }
        if LIBXDP_PROGRAMS.contains(&name.as_str()) {
            // The driver removes the program when it gives up, so a living owner must be found before it starts.
            self.check_xdp_queues(interface, index, queues)?;
            self.notice(&format!(
                "XDP program {name} (id {id}) was left on {interface} by a process that did not end cleanly; it is \
                 used again and removed when this port is closed"
            ));
            return Ok(());
        }
        let detail = format!("XDP program {name} (id {id}) sits on {interface}; remove it: {remedy}");
        Err(PortError::Busy { port: self.port(), device: self.text(), detail })
    }

    /// Fails if a process holds one of the queues; gives the kernel time to release those of one that was killed.
    fn check_xdp_queues(&self, interface: &str, index: u32, queues: u16) -> Result<(), PortError> {
        let number = |key| self.device.argument(key).and_then(|value| value.parse::<u32>().ok());
        let first = number("start_queue").unwrap_or(0);
        let count = number("queue_count").unwrap_or(u32::from(queues));
        for queue in first..first.saturating_add(count.min(u32::from(u16::MAX))) {
            let mut tries = 1;
            while netdev::is_xdp_queue_taken(index, queue) {
                if tries == BUSY_TRIES {
                    let detail = format!("a process that runs holds AF_XDP queue {queue} of {interface}");
                    return Err(PortError::Busy { port: self.port(), device: self.text(), detail });
                }
                tries += 1;
                std::thread::sleep(BUSY_PAUSE);
            }
        }
        // The question itself took the queues for a moment.
        std::thread::sleep(BUSY_PAUSE);
        Ok(())
    }

    fn too_few(&self, wanted: u16, has: u16, direction: &'static str) -> Result<(), PortError> {
        if wanted <= has {
            return Ok(());
        }
        Err(PortError::TooFewQueues { port: self.port(), device: self.text(), direction, wanted, has })
    }

    pub fn check_queues(&self, info: &rte_eth_dev_info) -> Result<(), PortError> {
        self.too_few(self.config.rx_queues, info.max_rx_queues, "receive")?;
        self.too_few(self.config.tx_queues, info.max_tx_queues, "transmit")
    }
}
