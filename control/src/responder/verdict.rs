//! What the responder says about a packet, and what it counts.

use guideway_dataplane::ids::LinkId;
use std::net::IpAddr;

/// Another machine claims an address that is ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// Where the claim arrived.
    pub link: LinkId,
    /// The address: an own one, or a VIP that is answered for on that link.
    pub address: IpAddr,
    /// The other machine's Ethernet address.
    pub mac: [u8; 6],
}

/// What [`Responder::handle`](super::Responder::handle) did with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The packet now holds the answer: send it onto the link that it came from.
    Reply,
    /// There is no answer: drop the packet.
    Ignored(Reason),
}

/// Why a packet is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It asks for, or is addressed to, an address that is not ours on that link.
    NotOurs,
    /// It is nothing that this module answers.
    Other,
    /// It breaks a length, checksum or validity rule.
    Malformed,
    /// It must not be answered: a fragment, a group or broadcast address, an impossible source, several segments.
    Refused,
    /// It claims an address of ours: see [`Responder::conflicts`](super::Responder::conflicts).
    Conflict,
    /// The rate limit is reached.
    Limited,
    /// The answer does not fit into the packet's buffer.
    NoRoom,
}

/// What happened so far. Every number only grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// ARP requests answered.
    pub arp: u64,
    /// Neighbour solicitations answered.
    pub ndp: u64,
    /// Echo requests answered.
    pub echo: u64,
    /// TCP resets sent.
    pub resets: u64,
    /// Port unreachables sent.
    pub unreachables: u64,
    /// Gratuitous ARP and unsolicited advertisements sent.
    pub announcements: u64,
    /// Conflicts reported.
    pub conflicts: u64,
    /// Packets ignored as [`Reason::NotOurs`].
    pub not_ours: u64,
    /// Packets ignored as [`Reason::Other`] or [`Reason::Conflict`].
    pub other: u64,
    /// Packets ignored as [`Reason::Malformed`].
    pub malformed: u64,
    /// Packets ignored as [`Reason::Refused`].
    pub refused: u64,
    /// Packets ignored as [`Reason::Limited`].
    pub limited: u64,
    /// Packets ignored as [`Reason::NoRoom`].
    pub no_room: u64,
}

impl Counters {
    /// Counts a packet that is not answered.
    pub(super) fn ignored(&mut self, reason: Reason) {
        let counter = match reason {
            Reason::NotOurs => &mut self.not_ours,
            Reason::Other | Reason::Conflict => &mut self.other,
            Reason::Malformed => &mut self.malformed,
            Reason::Refused => &mut self.refused,
            Reason::Limited => &mut self.limited,
            Reason::NoRoom => &mut self.no_room,
        };
        *counter += 1;
    }
}
