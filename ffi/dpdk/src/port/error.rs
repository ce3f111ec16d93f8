//! What fails in the field, and what to do about it.

use thiserror::Error;

/// Why a port was not attached. Each text says what, where and what to do.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum PortError {
    /// The device string makes no sense.
    #[error(
        "port {port}: device {device:?} is or has {what}; write `device = \"net_af_packet0,iface=eth0\"` or a PCI address"
    )]
    BadDevice {
        /// The port's name.
        port: String,
        /// What the user wrote.
        device: String,
        /// What is wrong.
        what: String,
    },
    /// The kernel interface does not exist.
    #[error(
        "port {port}: device {device}: interface {interface:?} does not exist in this network namespace; see `ip link`, and name one with `iface=`"
    )]
    NoSuchInterface {
        /// The port's name.
        port: String,
        /// The device string.
        device: String,
        /// The interface that it names.
        interface: String,
    },
    /// No PCI device has this address.
    #[error("port {port}: no PCI device {address}; see `lspci -D`")]
    NoSuchPciDevice {
        /// The port's name.
        port: String,
        /// The address.
        address: String,
    },
    /// The PCI device belongs to a kernel driver.
    #[error(
        "port {port}: PCI device {address} is bound to {driver}, not to a driver that DPDK can use; run `dpdk-devbind.py --bind=vfio-pci {address}` (its interface disappears from the kernel)"
    )]
    NotBound {
        /// The port's name.
        port: String,
        /// The address.
        address: String,
        /// The driver it is bound to, `none` without one.
        driver: String,
    },
    /// No DPDK driver took the device.
    #[error(
        "port {port}: device {device}: no DPDK driver {driver} took it ({detail}); check the name, and that the driver's package is installed (Debian: librte-net-* or librte-meta-all)"
    )]
    NoDriver {
        /// The port's name.
        port: String,
        /// The device string.
        device: String,
        /// The driver asked for.
        driver: String,
        /// DPDK's log.
        detail: String,
    },
    /// The device has fewer queues than workers need.
    #[error(
        "port {port}: device {device}: {wanted} {direction} queues are needed and it has {has}; use fewer workers on this port, or give it more (`ethtool -L IFACE combined {wanted}`)"
    )]
    TooFewQueues {
        /// The port's name.
        port: String,
        /// The device string.
        device: String,
        /// `receive` or `transmit`.
        direction: &'static str,
        /// Queues asked for.
        wanted: u16,
        /// Queues that the device has.
        has: u16,
    },
    /// The operating system refused something.
    #[error(
        "port {port}: device {device}: permission denied ({detail}); run as root, or with CAP_NET_ADMIN and CAP_NET_RAW (and CAP_BPF for AF_XDP)"
    )]
    Permission {
        /// The port's name.
        port: String,
        /// The device string.
        device: String,
        /// DPDK's log.
        detail: String,
    },
    /// Another process or port holds the device.
    #[error(
        "port {port}: device {device} is in use ({detail}); stop the process that holds it, see `ss --xdp` and `bpftool net`, or choose another device"
    )]
    Busy {
        /// The port's name.
        port: String,
        /// The device string.
        device: String,
        /// What holds it, or DPDK's log.
        detail: String,
    },
    /// A frame does not fit into the pool's buffers.
    #[error("port {port}: device {device}: buffers of the pool hold {has} bytes and {needed} are needed for MTU {mtu}; raise the pool's data room to {}", needed + 128)]
    PoolTooSmall {
        /// The port's name.
        port: String,
        /// The device string.
        device: String,
        /// The MTU asked for.
        mtu: u16,
        /// Bytes needed behind the headroom.
        needed: usize,
        /// Bytes there are.
        has: usize,
    },
    /// The pool has fewer packets than the device's receive queues hold.
    #[error(
        "port {port}: device {device}: its receive queues hold {needed} packets and {available} of the pool are free; make the pool larger"
    )]
    PoolTooFew {
        /// The port's name.
        port: String,
        /// The device string.
        device: String,
        /// Packets that the receive queues hold.
        needed: u32,
        /// Packets that are free.
        available: u32,
    },
    /// Nothing wakes a thread that waits for the device's packets.
    #[error(
        "port {port}: device {device}: driver {driver} cannot wake a worker that sleeps ({reason}); set `idle = \"adaptive\"` in [cores], or use another device"
    )]
    NoInterrupts {
        /// The port's name.
        port: String,
        /// The device string.
        device: String,
        /// The driver.
        driver: String,
        /// What is missing.
        reason: String,
    },
    /// The device does not take the MTU.
    #[error("port {port}: device {device} does not take MTU {mtu}: {reason}")]
    Mtu {
        /// The port's name.
        port: String,
        /// The device string.
        device: String,
        /// The MTU asked for.
        mtu: u16,
        /// The range, or what to do.
        reason: String,
    },
    /// Anything else, with the step that failed.
    #[error(
        "port {port}: device {device}: {step} failed: {reason} ({detail}); try the device with dpdk-testpmd to see whether DPDK supports it"
    )]
    Failed {
        /// The port's name.
        port: String,
        /// The device string.
        device: String,
        /// What was being done.
        step: &'static str,
        /// Text of the errno.
        reason: String,
        /// DPDK's log.
        detail: String,
    },
}

/// Something found while attaching that did not stop it, for the operator to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice(pub String);

impl std::fmt::Display for Notice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
