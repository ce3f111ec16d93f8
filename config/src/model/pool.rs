//! `[[pool]]`: backends, how packets reach them, and what becomes of their flows.

use super::{Agent, Check};
use ipnet::IpNet;
use std::net::IpAddr;
use std::time::Duration;

/// `[[pool]]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Pool {
    /// The pool's name, unique.
    pub name: String,
    /// How packets reach the backends.
    pub forward: Forward,
    /// How backends are checked, at most [`MOST_CHECKS`](super::MOST_CHECKS); none: they count as up.
    pub health: Vec<Check>,
    /// Who else says how much traffic each backend gets.
    pub agent: Option<Agent>,
    /// The time in which the share of a backend that returns grows to its weight; `None`: it has it at once.
    pub slow_start: Option<Duration>,
    /// Slots of the table, prime.
    pub table_size: u32,
    /// Outer source of tunnel packets: one address, or a prefix whose host bits the flow's hash fills. Default: the
    /// own address on the way to the backend.
    pub encap_source: Option<IpNet>,
    /// How GUE packets look; the defaults in pools of another mode.
    pub gue: Gue,
    /// Whether a packet without DF that is too large once it is encapsulated leaves as fragments of the outer packet.
    pub fragment_outer: bool,
    /// How backends learn the client's address; only with [`Forward::is_nat`]. `None`: they do not.
    pub proxy: Option<Proxy>,
    /// Sources of packets to backends; only with [`Forward::Fullnat`], at most 256, all different. Empty: the own address
    /// on the way to the backend.
    pub sources: Vec<IpAddr>,
    /// How connections begin; only with [`Forward::is_nat`].
    pub connect: Connect,
    /// What the QUIC connection IDs of the backends look like; empty: opaque. At most 7, by `config_id` different.
    pub quic_lb: Vec<QuicLb>,
    /// Share of the serving group's backends in 0..=1 below which eligibility is ignored; `None`: off.
    pub panic_threshold: Option<f64>,
    /// Share of a group's backends, above 0 and at most 1, that makes the group good enough to serve.
    pub group_min: f64,
    /// Which flows are pinned.
    pub tracking: Tracking,
    /// How long a flow may be silent; see [`Config::idle_time`](super::Config::idle_time).
    pub idle_timeout: IdleTimeout,
    /// A drain is forced after this long, above 0 and at most 30 days; `None`: it takes as long as its flows.
    pub drain_timeout: Option<Duration>,
    /// What becomes of the flows of a backend that is down.
    pub on_down: OnDown,
    /// Backends, in the order of the file.
    pub backends: Vec<Backend>,
}

/// The forwarding mode of a pool (DESIGN section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Forward {
    /// Destination MAC rewritten.
    L2dsr,
    /// IP in IP, all four combinations of families.
    Ipip,
    /// GRE (RFC 2784) without optional fields, in IPv4 or IPv6.
    Gre,
    /// Generic UDP encapsulation (draft-ietf-intarea-gue), in IPv4 or IPv6.
    Gue,
    /// Destination rewritten; answers come back through the balancer.
    Nat,
    /// Source and destination rewritten.
    Fullnat,
}

impl Forward {
    /// Whether it puts an outer header in front.
    #[must_use]
    pub const fn is_tunnel(self) -> bool {
        matches!(self, Self::Ipip | Self::Gre | Self::Gue)
    }

    /// Whether it rewrites addresses.
    #[must_use]
    pub const fn is_nat(self) -> bool {
        matches!(self, Self::Nat | Self::Fullnat)
    }
}

/// `proxy_protocol` and `proxy_tlvs` of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proxy {
    /// Which header backends expect.
    pub version: ProxyVersion,
    /// What it says beside the addresses; nothing in version 1.
    pub tlvs: ProxyTlvs,
    /// Whether only the first datagram of a UDP flow has one, and not each.
    pub first_datagram: bool,
}

/// A version of the PROXY protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyVersion {
    /// A line of text; TCP only.
    V1,
    /// Binary.
    V2,
}

/// Optional parts of a header of version 2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProxyTlvs {
    /// A CRC32c of the header.
    pub crc32c: bool,
    /// An identifier of the connection, unique in the fleet as far as chance allows.
    pub unique_id: bool,
    /// The VIP, as `status` names it.
    pub vip: bool,
}

impl ProxyTlvs {
    /// Those of both.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self {
            crc32c: self.crc32c || other.crc32c,
            unique_id: self.unique_id || other.unique_id,
            vip: self.vip || other.vip,
        }
    }
}

/// `connect_timeout`, `connect_retries`, `syn_proxy` and `syn_proxy_rate` of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connect {
    /// For how long a backend may keep silent before another one is tried, 10 ms to 60 s.
    pub timeout: Duration,
    /// How many others are tried, at most 4.
    pub retries: u8,
    /// Whether SYNs are answered here.
    pub syn_proxy: SynProxy,
}

/// Half a second: a client sends its SYN again after one (RFC 6298, section 2). Two others. No SYN proxy.
impl Default for Connect {
    fn default() -> Self {
        Self { timeout: Duration::from_millis(500), retries: 2, syn_proxy: SynProxy::Off }
    }
}

/// When the SYN proxy answers SYNs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SynProxy {
    /// Never.
    Off,
    /// Always.
    On,
    /// In a flood.
    Auto {
        /// SYNs a second of the pool that make one.
        rate: u32,
    },
}

impl SynProxy {
    /// SYNs a second of a pool that make a flood, if nothing else is said.
    pub const RATE: u32 = 100_000;
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

/// Which flows of a pool are pinned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tracking {
    /// Those that a change could move, while it could.
    Transition,
    /// All.
    Always,
}

/// `idle_timeout` of a pool: a flow that is silent for longer may move. Each 100 ms to 24 h.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdleTimeout {
    /// Of TCP connections.
    pub tcp: Duration,
    /// Of UDP flows.
    pub udp: Duration,
    /// Of QUIC connections.
    pub quic: Duration,
}

/// 15 minutes, 30 s and 60 s.
impl Default for IdleTimeout {
    fn default() -> Self {
        Self { tcp: Duration::from_secs(900), udp: Duration::from_secs(30), quic: Duration::from_secs(60) }
    }
}

/// What becomes of the flows of a backend that is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDown {
    /// They move to others.
    Move,
    /// They stay, as in a drain.
    Keep,
}

/// `[[pool.backend]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backend {
    /// Identity in the table, unique in the pool; default: the address.
    pub name: String,
    /// Where it is.
    pub address: IpAddr,
    /// The port that it listens on; only with [`Forward::is_nat`]. `None`: the VIP's.
    pub port: Option<u16>,
    /// Its share relative to the others of its group; 0: drained.
    pub weight: u32,
    /// Its group: of those that are good enough ([`Pool::group_min`]) the lowest one serves.
    pub priority: u8,
    /// What names it in QUIC connection IDs, 1 to 15 bytes, unique in the pool and as long as each `server_id_len` of
    /// it; `None`: no connection ID does.
    pub server_id: Option<Box<[u8]>>,
}
