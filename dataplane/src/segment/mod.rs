//! A TCP segment in a frame, read and changed in place; checksums follow from what is replaced (RFC 1624).
//!
//! Beside it: what is kept of one to send others like it (`kept`), and segments made from nothing (`draft`).

mod draft;
mod kept;
mod options;

pub(crate) use draft::Draft;
pub(crate) use kept::KeptHeaders;
pub use kept::Sent;

use crate::parse::{Family, Parsed};
use crate::port::Packet;
use crate::wire::ipv4::{self, Ipv4Header};
use crate::wire::ipv6::Ipv6Header;
use crate::wire::tcp::{self, TcpHeader};
use crate::wire::{checksum, protocol};
use zerocopy::network_endian::U16;
use zerocopy::{FromBytes, IntoBytes};

/// Places in the TCP header.
const SEQUENCE_AT: usize = 4;
const ACKNOWLEDGEMENT_AT: usize = 8;
const WINDOW_AT: usize = 14;
const CHECKSUM_AT: usize = 16;

/// The segment of a packet, whose headers lie in the frame's first segment.
pub(crate) struct Segment<'p, P> {
    packet: &'p mut P,
    parsed: &'p mut Parsed,
    /// What its header says.
    pub(crate) header: TcpHeader,
}

impl<'p, P: Packet> Segment<'p, P> {
    /// The segment that `parsed` describes; `None` if its headers are not there.
    pub(crate) fn new(packet: &'p mut P, parsed: &'p mut Parsed) -> Option<Self> {
        let at = usize::from(parsed.transport_offset);
        let (header, _) = TcpHeader::ref_from_prefix(packet.frame().get(at..)?).ok()?;
        let header = *header;
        let is_whole = header.header_len() >= tcp::HEADER_LEN
            && packet.frame().len() >= at + header.header_len()
            && usize::from(parsed.ip_offset) + usize::from(parsed.ip_len) >= at + header.header_len();
        is_whole.then_some(Self { packet, parsed, header })
    }

    fn at(&self) -> usize {
        usize::from(self.parsed.transport_offset)
    }

    fn payload_at(&self) -> usize {
        self.at() + self.header.header_len()
    }

    fn end(&self) -> usize {
        usize::from(self.parsed.ip_offset) + usize::from(self.parsed.ip_len)
    }

    /// Its payload in bytes.
    pub(crate) fn payload_len(&self) -> usize {
        self.end().saturating_sub(self.payload_at())
    }

    /// Its frame up to the end of the TCP header.
    pub(crate) fn headers(&self) -> &[u8] {
        self.packet.frame().get(..self.payload_at()).unwrap_or(&[])
    }

    /// Whether it says nothing but what its sender has and expects.
    pub(crate) fn is_bare(&self) -> bool {
        self.payload_len() == 0 && !self.has(tcp::SYN | tcp::FIN | tcp::RST)
    }

    /// Whether it has one of these flags.
    pub(crate) const fn has(&self, flags: u8) -> bool {
        self.header.flags & flags != 0
    }

    fn read_header(&mut self) {
        let at = self.at();
        if let Some((header, _)) =
            self.packet.frame().get(at..).and_then(|bytes| TcpHeader::ref_from_prefix(bytes).ok())
        {
            self.header = *header;
        }
    }

    /// Replaces bytes of the TCP header, `offset` bytes behind its begin, and mends the checksum.
    fn replace(&mut self, offset: usize, bytes: &[u8]) {
        let at = self.at();
        // Whole words of the sum.
        let (from, to) = (offset & !1, (offset + bytes.len()).next_multiple_of(2));
        let frame = self.packet.frame_mut();
        let Some(words) = frame.get_mut(at + from..at + to) else { return };
        let before = checksum::sum(words);
        if let Some(place) = words.get_mut(offset - from..offset - from + bytes.len()) {
            place.copy_from_slice(bytes);
        }
        let after = checksum::sum(words);
        if let Some(place) = frame.get_mut(at + CHECKSUM_AT..at + CHECKSUM_AT + 2) {
            let old = u16::from_be_bytes([place[0], place[1]]);
            place.copy_from_slice(&checksum::updated(old, before, after).to_be_bytes());
        }
        self.read_header();
    }

    pub(crate) fn set_sequence(&mut self, sequence: u32) {
        self.replace(SEQUENCE_AT, &sequence.to_be_bytes());
    }

    pub(crate) fn set_acknowledgement(&mut self, acknowledgement: u32) {
        self.replace(ACKNOWLEDGEMENT_AT, &acknowledgement.to_be_bytes());
    }

    pub(crate) fn set_window(&mut self, window: u16) {
        self.replace(WINDOW_AT, &window.to_be_bytes());
    }

    /// Takes its payload away. `false`, and nothing changed, if that lies in several buffers.
    #[must_use]
    pub(crate) fn cut_payload(&mut self) -> bool {
        self.set_payload(&[], self.header.flags)
    }

    /// Takes bytes away from the front of its payload, and moves its sequence number on. `false`, and nothing changed, if that
    /// lies in several buffers.
    #[must_use]
    pub(crate) fn cut_front(&mut self, count: usize) -> bool {
        let (from, end) = (self.payload_at(), self.end());
        let is_single = self.packet.frame().len() == self.packet.total_len();
        if !is_single || count > self.payload_len() || end > self.packet.frame().len() {
            return false;
        }
        let Some(payload) = self.packet.frame_mut().get_mut(from..end) else { return false };
        payload.copy_within(count.., 0);
        if !self.packet.resize(end - count) {
            return false;
        }
        let sequence = self.header.sequence.get().wrapping_add(count as u32);
        self.set_len(end - count);
        self.set_sequence(sequence);
        self.fill_checksum();
        true
    }

    /// Gives it another payload, and flags. `false`, and nothing changed, if there is no room in one buffer.
    #[must_use]
    pub(crate) fn set_payload(&mut self, payload: &[u8], flags: u8) -> bool {
        let (from, end) = (self.payload_at(), self.payload_at() + payload.len());
        if self.packet.frame().len() != self.packet.total_len() || !self.packet.resize(end) {
            return false;
        }
        if let Some(place) = self.packet.frame_mut().get_mut(from..) {
            place.copy_from_slice(payload);
        }
        let at = self.at();
        if let Some(place) = self.packet.frame_mut().get_mut(at + 13) {
            *place = flags;
        }
        self.set_len(end);
        self.read_header();
        self.fill_checksum();
        true
    }

    /// Writes the length of the IP packet, which ends there in the frame.
    fn set_len(&mut self, end: usize) {
        let at = usize::from(self.parsed.ip_offset);
        let len = (end - at) as u16;
        self.parsed.ip_len = len;
        let Some(bytes) = self.packet.frame_mut().get_mut(at..) else { return };
        match self.parsed.family {
            Family::V4 => {
                if let Ok((header, _)) = Ipv4Header::mut_from_prefix(bytes) {
                    let (before, sum) = (header.total_len.get(), header.checksum.get());
                    header.total_len = U16::new(len);
                    header.checksum = U16::new(checksum::updated(sum, before.into(), len.into()));
                }
            }
            Family::V6 => {
                if let Ok((header, _)) = Ipv6Header::mut_from_prefix(bytes) {
                    header.payload_len = U16::new(len.saturating_sub(crate::wire::ipv6::HEADER_LEN as u16));
                }
            }
        }
    }

    /// Computes the checksum anew.
    fn fill_checksum(&mut self) {
        let (ip, at, end) = (usize::from(self.parsed.ip_offset), self.at(), self.end());
        let frame = self.packet.frame_mut();
        let Some(addresses) = frame.get(ip..).and_then(|bytes| addresses(bytes, self.parsed.family)) else { return };
        let Some(segment) = frame.get_mut(at..end) else { return };
        if let Some(place) = segment.get_mut(CHECKSUM_AT..CHECKSUM_AT + 2) {
            place.fill(0);
        }
        let pseudo = addresses + u32::from(protocol::TCP) + segment.len() as u32;
        let sum = u32::from(checksum::fold(pseudo)) + checksum::sum(segment);
        if let Some(place) = segment.get_mut(CHECKSUM_AT..CHECKSUM_AT + 2) {
            place.copy_from_slice(&(!checksum::fold(sum)).to_be_bytes());
        }
        self.read_header();
    }
}

/// The sum of the addresses of an IP header.
fn addresses(bytes: &[u8], family: Family) -> Option<u32> {
    match family {
        Family::V4 => {
            let addresses = bytes.get(12..ipv4::HEADER_LEN)?;
            Some(checksum::sum(addresses))
        }
        Family::V6 => {
            let (header, _) = Ipv6Header::ref_from_prefix(bytes).ok()?;
            Some(checksum::sum(header.source.as_bytes()) + checksum::sum(header.destination.as_bytes()))
        }
    }
}
