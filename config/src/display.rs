//! How values of the model are written: as in the file, and VIPs in one word.

use crate::model::{Affinity, Forward, PortMatch, Protocol, Vip};
use ipnet::IpNet;
use std::fmt;

/// As the file writes it.
impl fmt::Display for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::L2dsr => "l2dsr",
            Self::Ipip => "ipip",
            Self::Gre => "gre",
            Self::Gue => "gue",
            Self::Nat => "nat",
            Self::Fullnat => "fullnat",
        })
    }
}

/// As the file writes it.
impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Quic => "quic",
        })
    }
}

/// The number, `first-last`, or `any`.
impl fmt::Display for PortMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(port) => port.fmt(f),
            Self::Range(first, last) => f.pad(&format!("{first}-{last}")),
            Self::Any => f.pad("any"),
        }
    }
}

/// As the file writes it.
impl fmt::Display for Affinity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::None => "none",
            Self::Client => "client",
        })
    }
}

/// `address:port/protocol`; a prefix with its length, in brackets if it is IPv6: `[2001:db8::/64]:80/tcp`.
impl fmt::Display for Vip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Service { address: self.address, port: self.port, protocol: self.protocol }.fmt(f)
    }
}

/// What names a VIP, written as the VIP is.
pub(crate) struct Service {
    pub(crate) address: IpNet,
    pub(crate) port: PortMatch,
    pub(crate) protocol: Protocol,
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, port, protocol } = self;
        let single = address.prefix_len() == address.max_prefix_len();
        match (address, single) {
            (IpNet::V4(net), true) => write!(f, "{}:{port}/{protocol}", net.addr()),
            (IpNet::V4(net), false) => write!(f, "{net}:{port}/{protocol}"),
            (IpNet::V6(net), true) => write!(f, "[{}]:{port}/{protocol}", net.addr()),
            (IpNet::V6(net), false) => write!(f, "[{net}]:{port}/{protocol}"),
        }
    }
}
