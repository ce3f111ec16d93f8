//! A configuration that passed validation: plain typed values, every reference resolved to an index.

mod audit;
mod health;
mod idle;
mod pool;

pub use audit::{Audit, ConnectionLog, LogTarget};
pub use health::*;
pub use pool::*;

use ipnet::IpNet;
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
    /// Where the same is served over TCP; `None`: nowhere.
    pub listen: Option<Listen>,
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
    /// Frames that the kernel gets, and sends; `None`: none.
    pub exception: Option<Exception>,
    /// What is written down.
    pub audit: Audit,
    /// Bytes that the tables' copies may take before workers share one copy for each node.
    pub table_memory: u64,
    /// Flows that the table of pins has room for, 8..=268435456; the dataplane rounds it up to whole buckets of 8.
    pub pins: usize,
    /// The file that keeps what is changed at run time; `None`: a restart forgets it.
    pub state_file: Option<std::path::PathBuf>,
    /// How long the slots of a planned change stay armed, 0 to 60 s (CONSISTENCY, Slots: G).
    pub arm_time: Duration,
    /// Sessions that each worker has room for, 1,024 to 33,554,432: flows of pools that rewrite addresses.
    pub sessions: u32,
    /// Percent of them that may be in their handshake, 1 to 100.
    pub embryonic_sessions: u8,
    /// What becomes of a new flow when there is no room for its session.
    pub sessions_full: SessionsFull,
    /// New `fullnat` sessions a second at each worker that the memory of resting source ports is made for.
    pub connection_rate: u32,
}

/// What happens when a worker has no room for another session, and none in its handshake gives way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionsFull {
    /// The new flow is dropped.
    Drop,
    /// The one that has been silent for longest gives way, if that is long enough.
    Evict,
}

/// `[api] listen` and what goes with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// The address and port.
    pub address: std::net::SocketAddr,
    /// The file with the token that requests must show; `None`: they need none, at a loopback address.
    pub token_file: Option<std::path::PathBuf>,
}

/// `[exception]`: the kernel's way to and from the ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exception {
    /// The index of each port concerned, and the name of its TAP device; at least one, each port once.
    pub taps: Vec<(usize, String)>,
    /// Packets a second in each direction and worker.
    pub rate: u32,
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
    /// What its core does between polls that find nothing; [`Power::Off`] unless it polls.
    pub power: Power,
}

/// What an idle worker does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Idle {
    /// Polls without pause.
    Poll,
    /// Backs off: pauses, then sleeps shortly.
    Adaptive,
    /// Sleeps until a device or the control side wakes it.
    Interrupt,
}

impl Idle {
    /// The word in the file and in `status`.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Poll => "poll",
            Self::Adaptive => "adaptive",
            Self::Interrupt => "interrupt",
        }
    }
}

/// How the core of a worker that polls saves power while nothing comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Power {
    /// It does not.
    #[default]
    Off,
    /// Halts for some microseconds between polls (TPAUSE).
    Pause,
    /// Halts until the device writes to the receive queue (UMWAIT).
    Monitor,
}

impl Power {
    /// The word in the file and in `status`.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Pause => "pause",
            Self::Monitor => "monitor",
        }
    }
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
    /// The tags of its frames; `None`: untagged. Interfaces of one port differ in it.
    pub vlan: Option<Vlan>,
    /// Own addresses, each with the length of its subnet's prefix.
    pub addresses: Vec<IpNet>,
    /// Neighbours that need no ARP or NDP.
    pub neighbors: Vec<Neighbor>,
}

/// The VLAN tags of an interface's frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Vlan {
    /// The outer tag of IEEE 802.1ad (S-tag), 1..=4094; `None`: one tag.
    pub service: Option<u16>,
    /// The tag of IEEE 802.1Q (C-tag), 1..=4094.
    pub id: u16,
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The destinations; `default` is `0.0.0.0/0` or `::/0` by the family of `via`.
    pub to: IpNet,
    /// The next hops, 1 to 16, each in a subnet of an interface and of the family of `to`; all different.
    pub via: Vec<IpAddr>,
}

/// `[[vip]]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vip {
    /// The virtual address, with full length, or a prefix of them without host bits: IPv4 8..=32, IPv6 16..=128.
    pub address: IpNet,
    /// The transport protocol.
    pub protocol: Protocol,
    /// The port, a range, or any.
    pub port: PortMatch,
    /// Index of the pool.
    pub pool: usize,
    /// What keeps a client on its backend; the same in all VIPs of a pool, and [`Affinity::None`] with QUIC.
    pub affinity: Affinity,
    /// How long after its last packet a client keeps its backend, 100 ms to 24 h; `Some` with [`Affinity::Client`] only.
    pub affinity_window: Option<Duration>,
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
    /// QUIC: UDP on the wire, and packets of a connection are known by their connection ID.
    Quic,
}

impl Protocol {
    /// The transport protocol on the wire: `Udp` for QUIC, else itself.
    #[must_use]
    pub fn on_wire(self) -> Self {
        match self {
            Self::Tcp => Self::Tcp,
            Self::Udp | Self::Quic => Self::Udp,
        }
    }
}

/// Destination ports of a VIP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PortMatch {
    /// One port, 1..=65535.
    Exact(u16),
    /// From the first to the second, both included, less those that an exact VIP of the same address and protocol
    /// takes; the first is the smaller one.
    Range(u16, u16),
    /// Every port that no other VIP of the same address and protocol takes.
    Any,
}

/// What keeps a client on its backend beyond one flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Affinity {
    /// Nothing: each flow is placed by its addresses and ports.
    None,
    /// All flows of a client's address are placed alike.
    Client,
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
