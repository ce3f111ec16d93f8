//! A configuration that passed validation: plain typed values, every reference resolved to an index.

use ipnet::IpNet;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

/// Where the control socket lies unless configured.
pub const DEFAULT_SOCKET: &str = "/run/guideway.sock";

/// A whole validated configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The fleet's 128-bit key, in the byte order in which it is written.
    pub hash_key: [u8; 16],
    /// Which cores do what.
    pub cores: Cores,
    /// Extra EAL arguments, as the user wrote them.
    pub extra_args: Vec<String>,
    /// Where the control socket lies.
    pub socket: std::path::PathBuf,
    /// Ports, in the order of the file; a port's index here is its id.
    pub ports: Vec<Port>,
    /// Interfaces on the ports.
    pub interfaces: Vec<Interface>,
    /// Routes beyond the interfaces' own subnets.
    pub routes: Vec<Route>,
    /// Pools, in the order of the file; a pool's index here is its id.
    pub pools: Vec<Pool>,
    /// VIPs, in the order of the file; a VIP's index here is its id.
    pub vips: Vec<Vip>,
    /// Bytes that the tables' copies may take before workers share one copy for each node.
    pub table_memory: u64,
}

/// `[cores]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Cores {
    /// The core of the control threads.
    pub control: usize,
    /// One pinned poll loop on each of these cores; a worker's index here is its id.
    pub workers: Vec<usize>,
    /// What a worker does that found nothing.
    pub idle: Idle,
}

/// What an idle worker does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Idle {
    /// Polls without pause.
    Poll,
    /// Backs off: pauses, then sleeps shortly.
    Adaptive,
}

/// `[[port]]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Port {
    /// The name that interfaces and the command line use.
    pub name: String,
    /// A DPDK virtual device with its arguments, or a PCI address.
    pub device: String,
    /// Largest layer-3 packet in bytes.
    pub mtu: u16,
    /// Indices into [`Cores::workers`] of the workers that poll this port.
    pub workers: Vec<usize>,
}

/// `[[interface]]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Interface {
    /// Index of the port.
    pub port: usize,
    /// Own addresses, each with the length of its subnet's prefix.
    pub addresses: Vec<IpNet>,
    /// Neighbours that need no ARP or NDP.
    pub neighbors: Vec<Neighbor>,
}

/// `[[interface.neighbor]]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neighbor {
    /// The neighbour's address, in one of the interface's subnets.
    pub address: IpAddr,
    /// Its unicast Ethernet address.
    pub mac: [u8; 6],
}

/// `[[route]]`: one entry for each address family that `via` and `to` name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// The destinations; `default` is `0.0.0.0/0` or `::/0` by the family of `via`.
    pub to: IpNet,
    /// The next hop, in a subnet of an interface, of the family of `to`.
    pub via: IpAddr,
}

/// `[[pool]]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Pool {
    /// The pool's name, unique.
    pub name: String,
    /// How packets reach the backends.
    pub forward: Forward,
    /// How backends are checked.
    pub health: Health,
    /// Slots of the table, prime.
    pub table_size: u32,
    /// Outer source of tunnel packets; default: the own address on the way to the backend.
    pub encap_source: Option<IpAddr>,
    /// Share of backends in 0..=1 below which eligibility is ignored; `None`: off.
    pub panic_threshold: Option<f64>,
    /// Backends, in the order of the file.
    pub backends: Vec<Backend>,
}

/// The forwarding mode of a pool (DESIGN section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forward {
    /// Destination MAC rewritten.
    L2dsr,
    /// IP in IP, all four combinations of families.
    Ipip,
}

/// How the backends of a pool are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// Backends count as up.
    None,
    /// A TCP handshake's first half.
    Tcp(TcpCheck),
}

/// `health = { kind = "tcp", … }`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpCheck {
    /// Destination port of the probe; default: the port of the first VIP that uses the pool.
    pub port: u16,
    /// From send to send while the result is steady.
    pub interval: Duration,
    /// From send to send after a first failure.
    pub fast_interval: Duration,
    /// A probe without an answer for this long has failed.
    pub timeout: Duration,
    /// Successes in a row that bring a backend up.
    pub rise: u32,
    /// Failures in a row that take it down.
    pub fall: u32,
    /// Source of probes; default: the own address on the way to the backend of the VIP's family.
    pub probe_source: Option<IpAddr>,
}

/// `[[pool.backend]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backend {
    /// Identity in the table, unique in the pool; default: the address.
    pub name: String,
    /// Where it is.
    pub address: IpAddr,
    /// Its share relative to the others; 0: drained.
    pub weight: u32,
}

/// `[[vip]]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vip {
    /// The virtual address.
    pub address: IpAddr,
    /// The transport protocol.
    pub protocol: Protocol,
    /// The port, or any.
    pub port: PortMatch,
    /// Index of the pool.
    pub pool: usize,
    /// Who answers ARP and NDP for the address.
    pub announce: Announce,
}

/// Transport protocols of a VIP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// TCP, protocol number 6.
    Tcp,
    /// UDP, protocol number 17.
    Udp,
}

/// Destination ports of a VIP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PortMatch {
    /// One port, 1..=65535.
    Exact(u16),
    /// Every port that no exact VIP of the same address and protocol takes.
    Any,
}

/// Whether neighbours learn the VIP by ARP and NDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Announce {
    /// Answers for a VIP that lies in an interface's subnet.
    Auto,
    /// Answers on every interface.
    Arp,
    /// Never answers.
    None,
}

/// As the file writes it.
impl fmt::Display for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::L2dsr => "l2dsr",
            Self::Ipip => "ipip",
        })
    }
}

/// As the file writes it.
impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

/// The number, or `any`.
impl fmt::Display for PortMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(port) => port.fmt(f),
            Self::Any => f.pad("any"),
        }
    }
}

/// `address:port/protocol`, the address in brackets if it is IPv6.
impl fmt::Display for Vip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, port, protocol, .. } = self;
        match address {
            IpAddr::V4(address) => write!(f, "{address}:{port}/{protocol}"),
            IpAddr::V6(address) => write!(f, "[{address}]:{port}/{protocol}"),
        }
    }
}
