//! A TCP segment in a frame, read and changed in place; checksums follow from what is replaced (RFC 1624).

use crate::parse::{Family, Parsed};
use crate::port::Packet;
use crate::wire::ipv4::{self, Ipv4Header};
use crate::wire::ipv6::Ipv6Header;
use crate::wire::tcp::{self, TcpHeader};
use crate::wire::{checksum, protocol};
use zerocopy::network_endian::U16;
use zerocopy::{FromBytes, IntoBytes};

/// End of the options, and nothing (RFC 9293, section 3.2).
const END: u8 = 0;
const NOP: u8 = 1;
/// Window scale (RFC 7323, section 2.2).
const WINDOW_SCALE: u8 = 3;
/// Selective acknowledgements (RFC 2018, section 3).
const SACK: u8 = 5;
/// Timestamps (RFC 7323, section 3.2).
const TIMESTAMPS: u8 = 8;
/// Multipath TCP (RFC 8684, section 3).
const MPTCP: u8 = 30;
/// TCP Fast Open (RFC 7413, section 4.1.1), and its experiment (RFC 6994).
const FAST_OPEN: u8 = 34;
const EXPERIMENT: u8 = 254;
const EXPERIMENT_FAST_OPEN: [u8; 2] = [0xf9, 0x89];

/// Places in the TCP header.
const SEQUENCE_AT: usize = 4;
const ACKNOWLEDGEMENT_AT: usize = 8;
const WINDOW_AT: usize = 14;
const CHECKSUM_AT: usize = 16;

/// The segment of a packet, whose headers lie in the frame's first segment.
pub(super) struct Segment<'p, P> {
    packet: &'p mut P,
    parsed: &'p mut Parsed,
    /// What its header says.
    pub(super) header: TcpHeader,
}

/// An option: where it lies in the frame, and its kind.
#[derive(Clone, Copy)]
struct OptionAt {
    at: usize,
    kind: u8,
    len: usize,
}

impl<'p, P: Packet> Segment<'p, P> {
    /// The segment that `parsed` describes; `None` if its headers are not there.
    pub(super) fn new(packet: &'p mut P, parsed: &'p mut Parsed) -> Option<Self> {
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
    pub(super) fn payload_len(&self) -> usize {
        self.end().saturating_sub(self.payload_at())
    }

    /// Its frame up to the end of the TCP header.
    pub(super) fn headers(&self) -> &[u8] {
        self.packet.frame().get(..self.payload_at()).unwrap_or(&[])
    }

    /// Where the parts of [`Segment::headers`] lie.
    pub(super) fn parsed_without_payload(&self) -> Parsed {
        let ip_len = self.payload_at().saturating_sub(usize::from(self.parsed.ip_offset)) as u16;
        Parsed { ip_len, ..*self.parsed }
    }

    /// Whether it says nothing but what its sender has and expects.
    pub(super) fn is_bare(&self) -> bool {
        self.payload_len() == 0 && !self.has(tcp::SYN | tcp::FIN | tcp::RST)
    }

    /// Whether it has one of these flags.
    pub(super) const fn has(&self, flags: u8) -> bool {
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

    pub(super) fn set_sequence(&mut self, sequence: u32) {
        self.replace(SEQUENCE_AT, &sequence.to_be_bytes());
    }

    pub(super) fn set_acknowledgement(&mut self, acknowledgement: u32) {
        self.replace(ACKNOWLEDGEMENT_AT, &acknowledgement.to_be_bytes());
    }

    pub(super) fn set_window(&mut self, window: u16) {
        self.replace(WINDOW_AT, &window.to_be_bytes());
    }

    /// Its options, as far as they are well formed.
    fn options(&self) -> impl Iterator<Item = OptionAt> + '_ {
        let (mut at, end) = (tcp::HEADER_LEN, self.header.header_len());
        let bytes = self.packet.frame().get(self.at()..self.at() + end).unwrap_or(&[]);
        std::iter::from_fn(move || {
            while at < bytes.len() {
                let kind = bytes[at];
                if kind == END {
                    return None;
                }
                if kind == NOP {
                    at += 1;
                    continue;
                }
                let len = usize::from(*bytes.get(at + 1)?);
                if len < 2 || at + len > bytes.len() {
                    return None;
                }
                let found = OptionAt { at, kind, len };
                at += len;
                return Some(found);
            }
            None
        })
    }

    fn option(&self, kind: u8) -> Option<OptionAt> {
        self.options().find(|option| option.kind == kind)
    }

    fn bytes_of(&self, option: OptionAt) -> &[u8] {
        let at = self.at() + option.at;
        self.packet.frame().get(at..at + option.len).unwrap_or(&[])
    }

    fn blank(&mut self, option: OptionAt) {
        self.replace(option.at, [NOP; 40].get(..option.len).unwrap_or(&[]));
    }

    /// The shift of its windows, if it is a SYN that says one.
    pub(super) fn window_scale(&self) -> Option<u8> {
        self.option(WINDOW_SCALE).and_then(|option| self.bytes_of(option).get(2).copied()).map(|shift| shift.min(14))
    }

    /// Its timestamps: its own, and the one that it echoes.
    pub(super) fn timestamps(&self) -> Option<([u8; 4], [u8; 4])> {
        let bytes = self.bytes_of(self.option(TIMESTAMPS)?);
        Some((*bytes.get(2..)?.first_chunk()?, *bytes.get(6..)?.first_chunk()?))
    }

    pub(super) fn set_timestamps(&mut self, (own, echo): ([u8; 4], [u8; 4])) {
        if let Some(option) = self.option(TIMESTAMPS).filter(|option| option.len == 10) {
            self.replace(option.at + 2, &own);
            self.replace(option.at + 6, &echo);
        }
    }

    /// Takes out what speaks of data in a SYN, and of other paths.
    pub(super) fn blank_fast_open_and_multipath(&mut self) {
        loop {
            let unwanted = self.options().find(|option| self.is_unwanted(*option));
            let Some(option) = unwanted else { return };
            self.blank(option);
        }
    }

    fn is_unwanted(&self, option: OptionAt) -> bool {
        match option.kind {
            FAST_OPEN | MPTCP => true,
            EXPERIMENT => self.bytes_of(option).get(2..4) == Some(&EXPERIMENT_FAST_OPEN),
            _ => false,
        }
    }

    /// Takes out the selective acknowledgements.
    pub(super) fn blank_sack(&mut self) {
        if let Some(option) = self.option(SACK) {
            self.blank(option);
        }
    }

    /// Takes out the selective acknowledgements of what lies before `first`.
    pub(super) fn cut_sack(&mut self, first: u32) {
        let Some(option) = self.option(SACK) else { return };
        let mut kept = [NOP; 40];
        let mut len = 2;
        for block in self.bytes_of(option).get(2..).unwrap_or(&[]).as_chunks::<8>().0 {
            let left = u32::from_be_bytes([block[0], block[1], block[2], block[3]]);
            if left.wrapping_sub(first).cast_signed() >= 0
                && let Some(place) = kept.get_mut(len..len + 8)
            {
                place.copy_from_slice(block);
                len += 8;
            }
        }
        if len == option.len {
            return;
        }
        if len > 2 {
            kept[0] = SACK;
            kept[1] = len as u8;
        }
        let kept = kept;
        self.replace(option.at, kept.get(..option.len).unwrap_or(&[]));
    }

    /// Takes its payload away. `false`, and nothing changed, if that lies in several buffers.
    #[must_use]
    pub(super) fn cut_payload(&mut self) -> bool {
        self.set_payload(&[], self.header.flags)
    }

    /// Takes bytes away from the front of its payload, and moves its sequence number on. `false`, and nothing changed, if that
    /// lies in several buffers.
    #[must_use]
    pub(super) fn cut_front(&mut self, count: usize) -> bool {
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
    pub(super) fn set_payload(&mut self, payload: &[u8], flags: u8) -> bool {
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
