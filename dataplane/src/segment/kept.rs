//! Headers of a segment that are kept, to send others like it.

use super::Segment;
use crate::parse::Parsed;
use crate::port::{Packet, PacketPool};
use arrayvec::ArrayVec;

/// Ethernet, two tags, IPv6 or IPv4 with options, TCP with options.
const MOST_HEADERS: usize = 14 + 8 + 60 + 60;

/// A segment that is made here: a frame as if the client had sent it.
#[derive(Debug)]
pub struct Sent<P> {
    /// The frame.
    pub packet: P,
    /// Where its parts lie.
    pub parsed: Parsed,
}

/// A segment's headers, as a frame.
#[derive(Clone, Debug)]
pub(crate) struct KeptHeaders {
    bytes: ArrayVec<u8, MOST_HEADERS>,
    /// Where their parts lie.
    parsed: Parsed,
}

impl KeptHeaders {
    /// What stands where none are kept.
    pub(crate) const NOTHING: Self = Self { bytes: ArrayVec::new_const(), parsed: Parsed::NOTHING };

    /// `None` if they are longer than those of any segment that anybody sends.
    pub(crate) fn of<P: Packet>(segment: &Segment<'_, P>) -> Option<Self> {
        let mut kept = Self::NOTHING;
        kept.keep(segment).then_some(kept)
    }

    /// Keeps a segment's headers instead: written where they stay. `false` as [`KeptHeaders::of`], and there are none then.
    #[must_use]
    pub(crate) fn keep<P: Packet>(&mut self, segment: &Segment<'_, P>) -> bool {
        self.bytes.clear();
        let ip_len = segment.payload_at().saturating_sub(usize::from(segment.parsed.ip_offset)) as u16;
        self.parsed = Parsed { ip_len, ..*segment.parsed };
        self.bytes.try_extend_from_slice(segment.headers()).is_ok()
    }

    /// Where their parts lie.
    pub(crate) const fn parsed(&self) -> &Parsed {
        &self.parsed
    }

    /// The acknowledgement.
    pub(crate) fn acknowledgement(&self) -> Option<u32> {
        self.number(super::ACKNOWLEDGEMENT_AT)
    }

    /// The sequence number.
    pub(crate) fn sequence(&self) -> Option<u32> {
        self.number(super::SEQUENCE_AT)
    }

    fn number(&self, offset: usize) -> Option<u32> {
        let at = usize::from(self.parsed.transport_offset) + offset;
        self.bytes.get(at..)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
    }

    /// A packet with these headers; what they say of a payload is not true. `None` if no buffer is free.
    pub(crate) fn packet<P: Packet>(&self, pool: &dyn PacketPool<Packet = P>) -> Option<Sent<P>> {
        Some(Sent { packet: pool.alloc(&self.bytes)?, parsed: self.parsed })
    }
}
