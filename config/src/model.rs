//! A configuration that passed validation: plain typed values, every reference resolved to an index.

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
    /// Bytes that the tables' copies may take before workers share one copy for each node.
    pub table_memory: u64,
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
    /// Outer source of tunnel packets: one address, or a prefix whose host bits the flow's hash fills. Default: the
    /// own address on the way to the backend.
    pub encap_source: Option<IpNet>,
    /// How GUE packets look; the defaults in pools of another mode.
    pub gue: Gue,
    /// Whether a packet without DF that is too large once it is encapsulated leaves as fragments of the outer packet.
    pub fragment_outer: bool,
    /// What the QUIC connection IDs of the backends look like; empty: opaque. At most 7, by `config_id` different.
    pub quic_lb: Vec<QuicLb>,
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
    /// GRE (RFC 2784) without optional fields, in IPv4 or IPv6.
    Gre,
    /// Generic UDP encapsulation (draft-ietf-intarea-gue), in IPv4 or IPv6.
    Gue,
}

/// `gue_port`, `gue_variant` and `udp_checksum` of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gue {
    /// Destination port of the outer UDP header, 1..=65535.
    pub port: u16,
    /// 0: a GUE header of 4 bytes between UDP and the inner packet; 1: none, the inner packet's version tells.
    pub variant: u8,
    /// Whether the outer UDP checksum is computed; without, it is zero (RFC 6935 and 6936 for IPv6).
    pub checksum: bool,
}

/// Port 6080 of the IANA registry, variant 0, with checksum.
impl Default for Gue {
    fn default() -> Self {
        Self { port: 6080, variant: 0, checksum: true }
    }
}

/// `[[pool.quic_lb]]`: how a server ID lies in the connection IDs with these configuration bits
/// (draft-ietf-quic-load-balancers).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuicLb {
    /// The first three bits of a connection ID, 0..=6.
    pub config_id: u8,
    /// Bytes of a server ID, 1..=15.
    pub server_id_len: u8,
    /// Bytes of the nonce, 4..=18; with the server ID at most 19.
    pub nonce_len: u8,
    /// The AES-128 key; `None`: the server ID lies open.
    pub key: Option<[u8; 16]>,
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
    /// What names it in QUIC connection IDs, 1 to 15 bytes, unique in the pool and as long as each `server_id_len` of
    /// it; `None`: no connection ID does.
    pub server_id: Option<Box<[u8]>>,
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
    /// What keeps a client on its backend.
    pub affinity: Affinity,
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
