//! The third stage: what a packet looks like when it leaves towards its backend.
//!
//! Everything that does not depend on the packet is prebuilt in the backend's [`Backend`]: Ethernet addresses, the
//! outer header, the part of its checksum that stays the same.

mod ipip;
mod l2;

use crate::drop_reason::DropReason;
use crate::hash::FlowHash;
use crate::ids::{BackendId, PortId};
use crate::parse::Parsed;
use crate::port::Packet;
use crate::wire::ethernet::Mac;
pub use ipip::{Ipip4, Ipip6};

/// Where packets of a backend leave, and to whom on that wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextHop {
    /// The port.
    pub egress: PortId,
    /// The port's own hardware address.
    pub source: Mac,
    /// The next hop's hardware address, if it is known.
    pub destination: Option<Mac>,
    /// Largest IP packet that the port carries, in bytes.
    pub mtu: u16,
}

/// How packets are changed for a backend.
#[derive(Clone, Debug)]
pub enum Rewrite {
    /// Ethernet addresses only.
    L2dsr,
    /// An outer IPv4 header.
    Ipip4(Ipip4),
    /// An outer IPv6 header.
    Ipip6(Ipip6),
}

/// What a worker needs to know of a backend.
#[derive(Clone, Debug)]
#[repr(align(64))]
pub struct Backend {
    /// Who it is, for counters and injections.
    pub id: BackendId,
    /// Where its packets leave.
    pub next_hop: NextHop,
    /// How they are changed.
    pub rewrite: Rewrite,
}

impl Backend {
    /// Changes `packet`, whose IP packet lies where `parsed` says, into the frame that goes to this backend.
    ///
    /// # Errors
    ///
    /// The reason why the packet cannot go there; it is unchanged then.
    #[inline]
    pub fn apply<P: Packet>(&self, packet: &mut P, parsed: &Parsed, hash: FlowHash) -> Result<PortId, DropReason> {
        let next_hop = &self.next_hop;
        let destination = next_hop.destination.ok_or(DropReason::UnresolvedNeighbor)?;
        let addresses = Addresses { source: next_hop.source, destination };
        match &self.rewrite {
            Rewrite::L2dsr => l2::apply(packet, parsed, next_hop.mtu, addresses),
            Rewrite::Ipip4(template) => template.apply(packet, parsed, next_hop.mtu, addresses),
            Rewrite::Ipip6(template) => template.apply(packet, parsed, next_hop.mtu, addresses, hash),
        }?;
        Ok(next_hop.egress)
    }
}

/// The Ethernet addresses of a frame that leaves.
#[derive(Clone, Copy)]
struct Addresses {
    source: Mac,
    destination: Mac,
}

/// Whether an IP packet of `len` bytes fits.
#[inline]
fn check_mtu(len: usize, mtu: u16) -> Result<(), DropReason> {
    if len > usize::from(mtu) { Err(DropReason::MtuExceeded) } else { Ok(()) }
}
