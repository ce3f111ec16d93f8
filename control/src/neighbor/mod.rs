//! Neighbours: which MAC a next hop has, by ARP (RFC 826) and Neighbor Discovery (RFC 4861).
//!
//! [`Neighbors`] asks for the next hops that it was told to want, follows every change of their MAC, and keeps an
//! entry in use while it is being verified. It learns nothing about other addresses, so a flood of ARP or NDP from
//! made-up hosts creates no state. No I/O and no clock: frames and time are handed in, frames to send come out
//! through a callback.

pub(crate) mod bucket;
mod entry;
mod random;
mod request;
mod table;
pub mod wire;

use guideway_dataplane::ids::LinkId;
use ipnet::IpNet;
use std::net::IpAddr;
use std::time::Duration;

pub use entry::State;
pub use table::{Counters, Neighbors};

/// An Ethernet segment and who we are on it: an interface as its neighbours see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Which link.
    pub id: LinkId,
    /// Our own unicast Ethernet address.
    pub mac: [u8; 6],
    /// Own addresses, each with the prefix of its subnet.
    pub addresses: Vec<IpNet>,
}

impl Link {
    /// Whether `address` is one of the link's own.
    #[must_use]
    pub fn owns(&self, address: IpAddr) -> bool {
        self.addresses.iter().any(|net| net.addr() == address)
    }

    /// Whether `address` lies in a subnet of the link.
    #[must_use]
    pub fn covers(&self, address: IpAddr) -> bool {
        self.addresses.iter().any(|net| net.contains(&address))
    }

    /// The own address to ask `target` from: one of its subnet, else the first of its family.
    #[must_use]
    pub fn source_for(&self, target: IpAddr) -> Option<IpAddr> {
        let family = || self.addresses.iter().filter(|net| net.addr().is_ipv4() == target.is_ipv4());
        family().find(|net| net.contains(&target)).or_else(|| family().next()).map(IpNet::addr)
    }
}

/// A neighbour whose MAC the configuration names: no protocol runs for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Static {
    /// The link that it is reached through.
    pub link: LinkId,
    /// Its address.
    pub address: IpAddr,
    /// Its unicast Ethernet address.
    pub mac: [u8; 6],
}

/// What became of a neighbour: its MAC now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// The link that it is reached through.
    pub link: LinkId,
    /// Its address.
    pub address: IpAddr,
    /// Its MAC; `None`: it did not answer, or is no longer wanted.
    pub mac: Option<[u8; 6]>,
}

/// What [`Neighbors::receive`] made of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// A wanted neighbour got another MAC, or its first one: see [`Neighbors::changes`].
    Changed,
    /// A wanted neighbour proved to be there with the MAC that was known.
    Confirmed,
    /// A valid message that teaches nothing: about an address that is not wanted, or without force (RFC 4861
    /// section 7.2.5).
    Nothing,
    /// The neighbour changed its MAC so often within a second that this change is not followed.
    Flapping,
    /// Not ARP, neighbour solicitation or neighbour advertisement.
    Other,
    /// Breaks a validity rule of RFC 826 or RFC 4861.
    Malformed,
}

/// One line of `status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// The link that it is reached through.
    pub link: LinkId,
    /// Its address.
    pub address: IpAddr,
    /// Its MAC, if known.
    pub mac: Option<[u8; 6]>,
    /// How far it is trusted.
    pub state: State,
    /// Time since it last proved to be there, or since asking began if it never did.
    pub age: Duration,
}

/// Whether `mac` can be the address of one host: neither group address nor all zero.
#[must_use]
pub fn is_unicast(mac: [u8; 6]) -> bool {
    mac[0] & 1 == 0 && mac != [0; 6]
}
