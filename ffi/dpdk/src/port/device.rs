//! Device strings: a DPDK virtual device with its arguments, or a PCI address.

use super::PortError;
use std::path::Path;

/// Bytes of a frame slot of AF_PACKET that hold the kernel's header instead of the frame.
const AF_PACKET_OVERHEAD: usize = 32;
/// Ethernet header and two VLAN tags.
pub(super) const L2_OVERHEAD: usize = 14 + 8;
/// Drivers of PCI devices that DPDK may take over, and those that it works beside.
const PCI_DRIVERS: [&str; 8] =
    ["vfio-pci", "uio_pci_generic", "igb_uio", "mlx5_core", "mlx4_core", "vfio_pci", "uio_hv_generic", "nfp"];

/// A device string, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Device {
    /// `net_af_packet0`, or `0000:3b:00.0`.
    pub name: String,
    /// Arguments in the order written.
    arguments: Vec<(String, String)>,
}

impl Device {
    pub fn parse(port: &str, text: &str) -> Result<Self, PortError> {
        let bad = |what: &str| PortError::BadDevice { port: port.into(), device: text.into(), what: what.into() };
        if text.contains('\0') {
            return Err(bad("a NUL byte"));
        }
        let mut parts = text.split(',').map(str::trim);
        let name = parts.next().unwrap_or_default().to_owned();
        if !is_pci(&name) && !name.starts_with("net_") && !name.starts_with("eth_") {
            return Err(bad("neither a PCI address such as 0000:3b:00.0 nor a virtual device such as net_af_packet0"));
        }
        // DPDK keeps 64 bytes of a device's name.
        if name.len() > 63 {
            return Err(bad("a name of more than 63 bytes"));
        }
        let arguments = parts
            .map(|part| part.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned())))
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| bad("an argument without `=`"))?;
        Ok(Self { name, arguments })
    }

    pub fn is_pci(&self) -> bool {
        is_pci(&self.name)
    }

    /// The driver: the name without its number.
    pub fn driver(&self) -> &str {
        let driver = self.name.trim_end_matches(|c: char| c.is_ascii_digit());
        driver.strip_prefix("eth_").map_or(driver, |_| match driver {
            "eth_af_packet" => "net_af_packet",
            "eth_ring" => "net_ring",
            "eth_null" => "net_null",
            "eth_pcap" => "net_pcap",
            other => other,
        })
    }

    pub fn argument(&self, key: &str) -> Option<&str> {
        self.arguments.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    fn add(&mut self, key: &str, value: impl ToString) {
        if self.argument(key).is_none() {
            self.arguments.push((key.to_owned(), value.to_string()));
        }
    }

    /// The kernel interface that the device sits on: it must exist before. (`net_tap` makes its own.)
    pub fn interface(&self) -> Option<&str> {
        match self.driver() {
            "net_af_packet" | "net_af_xdp" => Some(self.argument("iface").unwrap_or_default()),
            "net_pcap" => self.argument("iface").or_else(|| self.argument("rx_iface")),
            "net_tap" => self.argument("remote"),
            _ => None,
        }
    }

    /// Adds the number of queues where it is an argument of the device, unless the user wrote one.
    pub fn with_queues(mut self, queues: u16) -> Self {
        match self.driver() {
            "net_af_packet" => self.add("qpairs", queues),
            "net_af_xdp" => self.add("queue_count", queues),
            "net_vhost" | "net_virtio_user" => self.add("queues", queues),
            _ => {}
        }
        self
    }

    /// Makes AF_PACKET's frame slots, 2048 bytes by default, large enough for `mtu`.
    pub fn with_mtu(mut self, mtu: u16) -> Self {
        let slot = (usize::from(mtu) + L2_OVERHEAD + AF_PACKET_OVERHEAD).next_power_of_two();
        if self.driver() == "net_af_packet" && slot > 2_048 && self.argument("framesz").is_none() {
            self.add("framesz", slot);
            // The driver counts on blocks that are a whole number of slots.
            self.add("blocksz", slot.max(4_096));
        }
        self
    }

    /// Packets of the pool that each receive queue with `descriptors` takes before the first frame arrives.
    pub fn packets_needed(&self, descriptors: u16) -> u32 {
        match self.driver() {
            // Half of the driver's fill ring, whatever the number of descriptors.
            "net_af_xdp" => 2_048,
            _ if self.is_pci() => u32::from(descriptors),
            _ => 0,
        }
    }

    /// Bytes that a buffer of the pool must hold behind its headroom before the driver takes it.
    pub fn buffer_needed(&self) -> usize {
        match self.driver() {
            "net_af_packet" => {
                let slot = self.argument("framesz").and_then(|size| size.parse().ok()).unwrap_or(2_048_usize);
                slot.saturating_sub(AF_PACKET_OVERHEAD)
            }
            _ => 0,
        }
    }
}

impl std::fmt::Display for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)?;
        self.arguments.iter().try_for_each(|(key, value)| write!(f, ",{key}={value}"))
    }
}

/// `DDDD:BB:DD.F` or `BB:DD.F`, hexadecimal.
fn is_pci(name: &str) -> bool {
    let hex = |part: &str, len: usize| part.len() == len && part.bytes().all(|b| b.is_ascii_hexdigit());
    let Some((bus, function)) = name.rsplit_once('.') else { return false };
    let parts: Vec<&str> = bus.split(':').collect();
    hex(function, 1)
        && match parts[..] {
            [domain, bus, device] => hex(domain, 4) && hex(bus, 2) && hex(device, 2),
            [bus, device] => hex(bus, 2) && hex(device, 2),
            _ => false,
        }
}

/// Checks that a PCI device exists and is bound to a driver that DPDK works with.
///
/// `root` is `/sys/bus/pci/devices`.
pub(super) fn check_pci(port: &str, address: &str, root: &Path) -> Result<(), PortError> {
    let full = if address.len() == 7 { format!("0000:{address}") } else { address.to_owned() };
    let device = root.join(full.to_ascii_lowercase());
    if !device.exists() {
        return Err(PortError::NoSuchPciDevice { port: port.into(), address: full });
    }
    let driver = std::fs::read_link(device.join("driver"))
        .ok()
        .and_then(|link| Some(link.file_name()?.to_str()?.to_owned()))
        .unwrap_or_else(|| "none".into());
    if PCI_DRIVERS.contains(&driver.as_str()) {
        return Ok(());
    }
    Err(PortError::NotBound { port: port.into(), address: full, driver })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(text: &str) -> Device {
        Device::parse("edge", text).expect("valid")
    }

    #[test]
    fn queues_become_arguments_unless_written() {
        let text = |text: &str, queues| device(text).with_queues(queues).to_string();
        assert_eq!(text("net_af_packet0,iface=gw0", 2), "net_af_packet0,iface=gw0,qpairs=2");
        assert_eq!(text("net_af_packet0,iface=gw0,qpairs=4", 2), "net_af_packet0,iface=gw0,qpairs=4");
        assert_eq!(text("net_af_xdp1,iface=gw0,start_queue=1", 3), "net_af_xdp1,iface=gw0,start_queue=1,queue_count=3");
        assert_eq!(text("net_null0", 8), "net_null0");
        assert_eq!(text("0000:3b:00.0", 8), "0000:3b:00.0");
    }

    #[test]
    fn frame_slots_grow_with_the_mtu() {
        assert_eq!(device("net_af_packet0,iface=a").with_mtu(1_500).to_string(), "net_af_packet0,iface=a");
        let jumbo = device("net_af_packet0,iface=a").with_mtu(9_000);
        assert_eq!(jumbo.to_string(), "net_af_packet0,iface=a,framesz=16384,blocksz=16384");
        assert_eq!(jumbo.buffer_needed(), 16_384 - 32);
        assert_eq!(device("net_null0").with_mtu(9_000).to_string(), "net_null0");
    }

    #[test]
    fn names_interfaces_and_drivers() {
        assert_eq!(device("net_af_packet12,iface=gw0").driver(), "net_af_packet");
        assert_eq!(device("net_af_xdp0,iface=gw0").interface(), Some("gw0"));
        assert_eq!(device("net_af_packet0").interface(), Some(""));
        assert_eq!(device("net_tap0,iface=new0").interface(), None);
        assert!(device("0000:3b:00.0").is_pci() && device("3b:00.1").is_pci() && !device("net_null0").is_pci());
    }

    #[test]
    fn refuses_what_is_no_device() {
        for text in ["", "eth0", "gw0,iface=x", "0000:3b:00", "net_null0,copy", "net_null0,a=\0", "3g:00.0"] {
            let error = Device::parse("edge", text).expect_err(text);
            assert!(matches!(error, PortError::BadDevice { .. }), "{text}: {error}");
        }
    }

    #[test]
    fn pci_devices_are_looked_up_and_their_driver_named() {
        let root = std::env::temp_dir().join(format!("gwf-pci-{}", std::process::id()));
        for (address, driver) in [("0000:01:00.0", "vfio-pci"), ("0000:02:00.0", "ixgbe")] {
            std::fs::create_dir_all(root.join(address)).expect("temporary directory");
            std::os::unix::fs::symlink(format!("../../drivers/{driver}"), root.join(address).join("driver"))
                .expect("temporary link");
        }
        let checks = [
            check_pci("edge", "0000:01:00.0", &root),
            check_pci("edge", "02:00.0", &root),
            check_pci("edge", "0000:03:00.0", &root),
        ];
        std::fs::remove_dir_all(&root).expect("temporary directory");
        let [bound, kernel, missing] = checks;
        assert!(bound.is_ok());
        let kernel = kernel.expect_err("on a kernel driver").to_string();
        assert!(kernel.contains("ixgbe") && kernel.contains("vfio-pci") && kernel.contains("0000:02:00.0"), "{kernel}");
        assert!(missing.expect_err("missing").to_string().contains("0000:03:00.0"));
    }
}
