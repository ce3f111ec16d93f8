//! The PROXY protocol, put into a TCP connection that is not terminated here.
//!
//! The header is P bytes. The backend's connection begins P bytes earlier than the client's, and the header fills the gap: from
//! then on their sequence numbers are the same. Until the backend has acknowledged the header, some segments of both sides are
//! changed, by rules that are named R1 to R8 here (`rules`); after, none is. What is known of a header until then lies in a slab
//! ([`Proxying`]).

mod datagram;
mod header;
mod pending;
mod rules;

pub use crate::segment::Sent;
pub use datagram::put_before_payload;
pub use header::{Header, MOST, Style, TLV_VIP, header};
pub use rules::{FromBackend, FromClient, Proxying};

/// What a session keeps for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Proxy {
    /// The client's initial sequence number (C).
    pub first: u32,
    /// Where the header lies among those that are not acknowledged yet, plus one; 0: nowhere.
    pub pending: u32,
    /// Length of the header in bytes (P); 0: the session has none.
    pub len: u16,
    /// How far it is.
    pub phase: Phase,
}

/// How far the header is. It only goes on, unless the client begins another connection with the same ports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// The backend has not acknowledged the whole header.
    Pending,
    /// It has, and acknowledgements of what lies before the client's first byte are still looked for.
    Clamp,
    /// No sequence number is looked at.
    #[default]
    Clear,
}

impl Proxy {
    /// No header.
    pub const NONE: Self = Self { first: 0, pending: 0, len: 0, phase: Phase::Clear };

    /// What the sequence number of a segment to the backend, which an ICMP error quotes, is for the client (R7).
    #[must_use]
    pub const fn quoted(&self, sequence: u32) -> u32 {
        let len = self.len as u32;
        if len == 0 || matches!(self.phase, Phase::Clear) {
            return sequence;
        }
        match sequence.wrapping_sub(self.first.wrapping_sub(len)) {
            0 => self.first,
            within if within <= len => self.first.wrapping_add(1),
            _ => sequence,
        }
    }
}
