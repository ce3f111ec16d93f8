//! Fragments: every one of a datagram goes to the backend of its flow, and none is reassembled.
//!
//! Only the first fragment has the transport header. A table of the datagrams under way (`table`) learns from it where
//! the others go; those that come before it wait for a short time (`held`). All memory is taken at the start.
//!
//! One table belongs to one worker: NICs spread fragments by addresses alone, so all of a datagram come to one queue.
//!
//! # What strangers may try
//!
//! Whoever sends made-up fragments fills the table and the hold, and no more: entries expire, the oldest gives way, and a
//! datagram whose first fragment is known gives way last. A full hold gives up who waited longest: refusing the newcomer would
//! leave the room to a flood for as long as it lets anybody wait. Where an entry lies depends on a secret. Fragments that
//! overlap, or that cut or overwrite a transport header, are refused (RFC 1858, RFC 3128, RFC 5722, RFC 7112).

mod held;
mod ranges;
mod table;

use crate::drop_reason::DropReason;
use crate::hash::{Domain, FlowHasher};
use crate::ids::PortId;
use crate::parse::{Family, FragmentPlace, Kind, Parsed, fragment_place};
use crate::port::Packet;
use crate::time::Nanos;
use crate::wire::protocol;
use held::Held;
pub use held::{HOLD_TIME, MOST_HELD, MOST_HELD_OF_ONE};
use table::{Admitted, Table};
pub use table::{DATAGRAMS, LIFETIME, LULL, MOST_FRAGMENTS};

/// What the first fragment of a datagram tells about all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FirstFragment {
    protocol: u8,
    flags: u8,
    source_port: u16,
    destination_port: u16,
}

impl FirstFragment {
    fn of(parsed: &Parsed) -> Self {
        let Parsed { protocol, flags, source_port, destination_port, .. } = *parsed;
        Self { protocol, flags, source_port, destination_port }
    }

    /// Gives a later fragment the flow of its datagram.
    pub fn complete(&self, parsed: &mut Parsed) {
        parsed.key = parsed.key.with_transport(self.protocol, self.source_port, self.destination_port);
        parsed.protocol = self.protocol;
        parsed.flags = self.flags;
        parsed.source_port = self.source_port;
        parsed.destination_port = self.destination_port;
    }
}

/// What is known of a fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolved {
    /// Its flow, which its headers tell now.
    Flow,
    /// Nothing yet: it may be held.
    Unknown,
    /// It is refused.
    Refused(DropReason),
}

/// A fragment that is no longer held, and why.
#[derive(Debug)]
pub enum Released<P> {
    /// The first fragment of its datagram came.
    Known {
        /// The fragment.
        packet: P,
        /// Where it came in.
        port: PortId,
        /// What the first fragment told.
        first: FirstFragment,
    },
    /// It waited for too long, or for longer than all others when there was no room for another one.
    Refused {
        /// The fragment.
        packet: P,
        /// Where it came in.
        port: PortId,
        /// Which of both.
        reason: DropReason,
    },
}

/// The datagrams whose fragments are under way, of one worker.
#[derive(Debug)]
pub struct Fragments<P> {
    hasher: FlowHasher,
    table: Table,
    held: Held<P>,
}

/// Names a datagram: the keyed digest of everything that tells it from others.
type DatagramId = u128;

impl<P: Packet> Fragments<P> {
    /// No datagram yet. `hasher` has a secret key.
    #[must_use]
    pub fn new(hasher: FlowHasher) -> Self {
        Self { hasher, table: Table::new(), held: Held::new() }
    }

    /// Takes note of a fragment, parsed from `frame`, that came in on `port`, and completes its headers if its flow is
    /// known.
    pub fn resolve(&mut self, port: PortId, frame: &[u8], parsed: &mut Parsed, now: Nanos) -> Resolved {
        let Some(place) = fragment_place(frame, parsed) else {
            return Resolved::Refused(DropReason::FragmentInvalid);
        };
        if let Err(reason) = check(&place, parsed) {
            return Resolved::Refused(reason);
        }
        let id = self.id(port, &place, parsed);
        let first = (parsed.kind == Kind::FirstFragment).then(|| FirstFragment::of(parsed));
        match self.table.admit(id, &place, first, now) {
            Err(reason) => Resolved::Refused(reason),
            Ok(Admitted { first: None, .. }) => Resolved::Unknown,
            Ok(Admitted { first: Some(known), waiting }) => {
                if waiting {
                    self.held.release(id, known);
                }
                known.complete(parsed);
                Resolved::Flow
            }
        }
    }

    /// Keeps a fragment that [`Fragments::resolve`] knew nothing about until the first one of its datagram comes.
    ///
    /// # Errors
    ///
    /// Why it is not kept; the packet is gone then.
    pub fn hold(&mut self, port: PortId, packet: P, parsed: &Parsed, now: Nanos) -> Result<(), DropReason> {
        let place = fragment_place(packet.frame(), parsed).ok_or(DropReason::FragmentInvalid)?;
        let id = self.id(port, &place, parsed);
        match self.table.count_held(id)? {
            Some(first) => self.held.push_known(id, port, packet, first),
            None => self.held.push(id, port, packet, now),
        }
        Ok(())
    }

    /// Whether any fragment is held, or was until now.
    #[inline]
    #[must_use]
    pub fn holds_any(&self) -> bool {
        !self.held.is_empty()
    }

    /// The next fragment that is no longer held, if there is one.
    pub fn next_released(&mut self, now: Nanos) -> Option<Released<P>> {
        let released = self.held.next(now)?;
        if let Released::Refused { .. } = released.1 {
            self.table.forget_held(released.0);
        }
        Some(released.1)
    }

    /// Identification and addresses name a datagram, and in IPv4 its protocol too (RFC 791; RFC 8200, section 4.5). Those
    /// of different ports may come from networks that do not know of each other.
    fn id(&self, port: PortId, place: &FragmentPlace, parsed: &Parsed) -> DatagramId {
        let number = match parsed.family {
            Family::V4 => parsed.key.protocol(),
            Family::V6 => 0,
        };
        let mut bytes = [0; 40];
        let source = crate::vip::address_bits(parsed.key.source());
        bytes[..16].copy_from_slice(&source.to_le_bytes());
        bytes[16..32].copy_from_slice(&parsed.destination.to_le_bytes());
        bytes[32..36].copy_from_slice(&place.identification.to_le_bytes());
        bytes[36..38].copy_from_slice(&port.0.to_le_bytes());
        bytes[38] = number;
        self.hasher.digest(Domain::Datagram, &bytes)
    }
}

/// Whether a fragment can be one by itself.
fn check(place: &FragmentPlace, parsed: &Parsed) -> Result<(), DropReason> {
    let ends = place.offset.checked_add(place.len).is_some();
    if place.len == 0 || !ends || (place.more && !place.len.is_multiple_of(8)) {
        return Err(DropReason::FragmentInvalid);
    }
    // It would overwrite the flags of the first one's TCP header at a receiver that lets it (RFC 3128).
    if parsed.protocol == protocol::TCP && place.offset > 0 && place.offset < 16 {
        return Err(DropReason::FragmentTiny);
    }
    Ok(())
}
