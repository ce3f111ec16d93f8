//! One session, and how its packets are recognised.

use super::tcp::TcpState;
use crate::hash::{FlowHasher, FlowKey};
use crate::ids::{BackendId, LinkId, PoolId, VipId};
use crate::parse::Parsed;
use crate::proxy::Proxy;
use crate::vip::is_v4;
use crate::wire::ethernet::Mac;
use std::net::Ipv4Addr;

/// An address as [`crate::vip::address_bits`], and a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// The address.
    pub address: u128,
    /// The port.
    pub port: u16,
}

/// Both ends of a packet, and its protocol: what a session is looked up by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tuple {
    /// Where it comes from.
    pub source: Endpoint,
    /// Where it goes; of the same family.
    pub destination: Endpoint,
    /// IP protocol number: TCP or UDP.
    pub protocol: u8,
}

impl Tuple {
    /// What stands where no packet was.
    pub const NOTHING: Self = {
        let nowhere = Endpoint { address: 0, port: 0 };
        Self { source: nowhere, destination: nowhere, protocol: 0 }
    };

    /// That of a packet. For an ICMP error: that of the flow that it belongs to, in the direction in which the error travels.
    #[inline]
    #[must_use]
    pub fn of(parsed: &Parsed) -> Self {
        Self {
            source: Endpoint { address: parsed.key.source_bits(), port: parsed.source_port },
            destination: Endpoint { address: parsed.destination, port: parsed.destination_port },
            protocol: parsed.protocol,
        }
    }

    /// That of the packets in the other direction.
    #[must_use]
    pub const fn reversed(self) -> Self {
        Self { source: self.destination, destination: self.source, ..self }
    }

    /// Whether it is of IPv4.
    #[must_use]
    pub const fn is_v4(&self) -> bool {
        is_v4(self.destination.address)
    }

    /// Its hash, under a secret of the process.
    #[inline]
    #[must_use]
    pub fn hash(&self, hasher: &FlowHasher) -> TupleHash {
        TupleHash(hasher.hash(&self.key()).0)
    }

    /// What is hashed of it.
    #[must_use]
    pub fn key(&self) -> FlowKey {
        let (from, to) = (self.source, self.destination);
        if self.is_v4() && is_v4(from.address) {
            let octets = |address: u128| Ipv4Addr::from_bits(address as u32).octets();
            FlowKey::v4(self.protocol, octets(from.address), octets(to.address), from.port, to.port)
        } else {
            FlowKey::v6(self.protocol, from.address.to_be_bytes(), to.address.to_be_bytes(), from.port, to.port)
        }
    }
}

/// How much room a worker has for sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionRoom {
    /// How many there may be.
    pub capacity: u32,
    /// How many of them may be embryonic.
    pub embryonic: u32,
    /// Whether one that is silent makes room for a new one.
    pub evict_silent: bool,
    /// How many a second may end whose ports rest then; see [`super::Ports::new`].
    pub rate: u32,
}

/// The keyed hash of a tuple: where its session and its rest are looked for. It is computed once for each packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TupleHash(pub(super) u128);

/// Names a session of one worker while it lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SessionId(pub(super) u32);

impl SessionId {
    /// What stands where no session is named.
    pub(super) const NOTHING: Self = Self(u32::MAX);

    /// Its place in what is kept beside the table.
    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }
}

/// Who sent a packet of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The client: the packet is for the VIP.
    Client,
    /// The backend: the packet is for the client, or for the source address that stands for it.
    Backend,
}

/// How the client is reached: the way that its last packet came, back to the router that sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastHop {
    /// The router's hardware address, or the client's own.
    pub mac: Mac,
    /// The link.
    pub link: LinkId,
}

impl Session {
    /// What stands where no session is.
    pub const NOTHING: Self = Self {
        vip: VipId(0),
        pool: PoolId(0),
        index: 0,
        backend: BackendId(0),
        last_hop: LastHop { mac: [0; 6], link: LinkId(0) },
        tcp: TcpState::new(),
        expected: [0; 2],
        proxy: Proxy::NONE,
    };
}

impl Session {
    /// Where the attempt to reach a backend lies, while none has answered.
    pub(crate) const fn attempt(&self) -> Option<u32> {
        if self.tcp.is_answered() { None } else { self.expected[0].checked_sub(1) }
    }

    /// Notes where it lies, or that there is none.
    pub(crate) fn set_attempt(&mut self, attempt: Option<u32>) {
        if !self.tcp.is_answered() {
            // Nothing is expected yet: the place is free for it.
            self.expected = [attempt.map_or(0, |attempt| attempt + 1), 0];
        }
    }
}

/// What is kept of a flow beside its tuples.
#[derive(Clone, Copy, Debug)]
pub struct Session {
    /// The VIP that took it.
    pub vip: VipId,
    /// The pool that it was given to, as the snapshot then numbered it; may have moved since.
    pub pool: PoolId,
    /// Where the backend stood in the pool then; may have moved since.
    pub index: u16,
    /// Who serves it.
    pub backend: BackendId,
    /// How the client is reached.
    pub last_hop: LastHop,
    /// How far its connection is; of no meaning for UDP.
    pub tcp: TcpState,
    /// What each side expects next of the other, by its last acknowledgement: the client, then the backend. For resets. Before the
    /// backend has answered: it says where the attempt lies.
    pub expected: [u32; 2],
    /// What the PROXY protocol needs to know of it.
    pub proxy: Proxy,
}
