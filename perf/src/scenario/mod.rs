//! What is measured: the kind of forwarding, the traffic, and how many flows, VIPs, pools and backends there are.

mod world;

use crate::mix::Spreading;
use crate::traffic::{Frames, MAX_FLOWS, Traffic};
use guideway_dataplane::drop_reason::DropReason;
use guideway_dataplane::parse::Family;
use guideway_dataplane::wire::ethernet::Mac;
use guideway_dataplane::wire::{protocol, tcp};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The most backends of all pools together: each has an id of its own.
pub const MAX_BACKENDS: u32 = 60_000;
/// The port's own hardware address.
pub const PORT_MAC: Mac = [2, 0, 0, 0, 0, 1];
/// The VIPs' port.
const SERVICE_PORT: u16 = 80;
/// The first VIP of each family; the others follow in the last 16 bits.
const VIP_V4: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 0);
const VIP_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x113, 0, 0, 0, 0, 0);
/// Addresses of nobody.
const NOBODY_V4: Ipv4Addr = Ipv4Addr::new(198, 19, 0, 0);
const NOBODY_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x114, 0, 0, 0, 0, 0);

/// What is done to each packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Treatment {
    /// Ethernet addresses change places, and nothing else: what any program pays that touches a packet.
    MacSwap,
    /// The worker forwards by direct server return on one segment.
    #[default]
    L2dsr,
    /// The worker forwards in an IP in IP tunnel of the packet's own family.
    Ipip,
    /// The same with GRE.
    Gre,
    /// The same with GUE, variant 0, without a UDP checksum.
    Gue,
    /// The same with the UDP checksum.
    GueChecksum,
}

impl Treatment {
    const fn label(self) -> &'static str {
        match self {
            Self::MacSwap => "mac-swap",
            Self::L2dsr => "l2dsr",
            Self::Ipip => "ipip",
            Self::Gre => "gre",
            Self::Gue => "gue",
            Self::GueChecksum => "gue+checksum",
        }
    }
}

/// What the slots of the pools are in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Slots {
    /// No change concerns them: the usual state.
    #[default]
    Steady,
    /// Every slot is in transition, as a few percent of them are for a while after a change: each packet looks for its pin.
    Transition,
    /// `tracking = "always"`: every flow has a pin.
    Always,
}

/// What comes in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Load {
    /// TCP segments in the middle of their flows.
    #[default]
    Tcp,
    /// UDP datagrams.
    Udp,
    /// SYNs, each of another made-up client.
    SynFlood,
    /// TCP segments to addresses that nobody has.
    NoVip,
}

/// One case of the benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Case {
    /// What is done.
    pub treatment: Treatment,
    /// The packets' family.
    pub family: Family,
    /// What comes in.
    pub load: Load,
    /// What the slots of the pools are in.
    pub slots: Slots,
    /// Whether a client's address alone decides.
    pub affinity: bool,
    /// Flows that packets belong to, in turns; a flood has as many as there can be.
    pub flows: u32,
    /// VIPs, each with an address of its own.
    pub vips: u16,
    /// Pools, which VIPs use in turns; as many as there are VIPs at most.
    pub pools: u16,
    /// How flows are spread over VIPs.
    pub spreading: Spreading,
    /// Backends of each pool.
    pub backends: u16,
    /// Slots of each pool's table, a prime number.
    pub table_size: u32,
    /// Bytes of a frame without frame check sequence; raised to what the headers need.
    pub frame_len: usize,
}

impl Default for Case {
    /// Established TCP over IPv4 by direct server return: 100,000 flows to one VIP, one pool, 1,000 backends, in the shortest
    /// frames.
    fn default() -> Self {
        Self {
            treatment: Treatment::L2dsr,
            family: Family::V4,
            load: Load::Tcp,
            slots: Slots::Steady,
            affinity: false,
            flows: 100_000,
            vips: 1,
            pools: 1,
            spreading: Spreading::Uniform,
            backends: 1_000,
            table_size: 65_537,
            frame_len: 60,
        }
    }
}

/// As in `ipip IPv6 T`, with the numbers left out that have columns of their own.
impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let family = if self.family == Family::V4 { "IPv4" } else { "IPv6" };
        let load = match self.load {
            Load::Tcp => "",
            Load::Udp => " UDP",
            Load::SynFlood => " SYN flood",
            Load::NoVip => " no VIP",
        };
        let slots = match self.slots {
            Slots::Steady => "",
            Slots::Transition => " T",
            Slots::Always => " A",
        };
        let affinity = if self.affinity { " affinity" } else { "" };
        let spreading = if self.spreading == Spreading::Zipf { " Zipf" } else { "" };
        write!(f, "{} {family}{load}{slots}{affinity}{spreading}", self.treatment.label())
    }
}

impl Case {
    /// The frames that come in.
    #[must_use]
    pub fn frames(&self) -> Frames {
        let first = match (self.family, self.load) {
            (Family::V4, Load::NoVip) => NOBODY_V4.into(),
            (Family::V6, Load::NoVip) => NOBODY_V6.into(),
            _ => first_vip(self.family),
        };
        Frames {
            destination: PORT_MAC,
            service: SocketAddr::new(first, SERVICE_PORT),
            services: self.vips,
            spreading: self.spreading,
            protocol: if self.load == Load::Udp { protocol::UDP } else { protocol::TCP },
            flags: if self.load == Load::SynFlood { tcp::SYN } else { tcp::ACK },
            flows: if self.load == Load::SynFlood { MAX_FLOWS } else { self.flows },
            len: self.frame_len,
        }
    }

    /// The traffic that comes in.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        Traffic::new(&self.frames())
    }

    /// Where packets of this case are sent to, in words: an address, or the first of several, a port and a protocol.
    #[must_use]
    pub fn target(&self) -> String {
        let Frames { service, protocol, .. } = self.frames();
        let more = if self.vips > 1 { format!(" and the {} addresses after it", self.vips - 1) } else { String::new() };
        format!("{service}{more}, protocol {protocol}")
    }

    /// How many flows get a pin that stays: none of a flood.
    #[must_use]
    pub fn pinned_flows(&self) -> u64 {
        let pins = self.slots != Slots::Steady && matches!(self.load, Load::Tcp | Load::Udp);
        if pins { u64::from(self.flows) } else { 0 }
    }

    /// Why packets are dropped, if they are to be.
    #[must_use]
    pub fn drops(&self) -> Option<DropReason> {
        (self.load == Load::NoVip).then_some(DropReason::NotForUs)
    }
}

const fn first_vip(family: Family) -> IpAddr {
    match family {
        Family::V4 => IpAddr::V4(VIP_V4),
        Family::V6 => IpAddr::V6(VIP_V6),
    }
}
