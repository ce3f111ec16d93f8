//! The options of a segment, read and changed in place.

use super::Segment;
use crate::port::Packet;
use crate::wire::tcp;

/// End of the options, and nothing (RFC 9293, section 3.2).
const END: u8 = 0;
const NOP: u8 = 1;
/// Maximum segment size (RFC 9293, section 3.7.1).
const MAX_SEGMENT_SIZE: u8 = 2;
/// Window scale (RFC 7323, section 2.2).
const WINDOW_SCALE: u8 = 3;
/// Selective acknowledgements are taken (RFC 2018, section 2).
const SACK_PERMITTED: u8 = 4;
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

/// An option: where it lies in the frame, and its kind.
#[derive(Clone, Copy)]
struct OptionAt {
    at: usize,
    kind: u8,
    len: usize,
}

impl<P: Packet> Segment<'_, P> {
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
    pub(crate) fn window_scale(&self) -> Option<u8> {
        self.option(WINDOW_SCALE).and_then(|option| self.bytes_of(option).get(2).copied()).map(|shift| shift.min(14))
    }

    /// The largest segment that its sender takes, in bytes, if it is a SYN that says one.
    pub(crate) fn max_segment_size(&self) -> Option<u16> {
        let bytes = self.bytes_of(self.option(MAX_SEGMENT_SIZE)?);
        bytes.get(2..)?.first_chunk().map(|size| u16::from_be_bytes(*size))
    }

    /// Lets it say no larger one.
    pub(crate) fn limit_segment_size(&mut self, most: u16) {
        if let (Some(option), Some(size)) = (self.option(MAX_SEGMENT_SIZE), self.max_segment_size())
            && size > most
        {
            self.replace(option.at + 2, &most.to_be_bytes());
        }
    }

    /// Whether it is a SYN whose sender takes selective acknowledgements.
    pub(crate) fn may_acknowledge_selectively(&self) -> bool {
        self.option(SACK_PERMITTED).is_some()
    }

    /// Moves all selective acknowledgements by so many bytes.
    pub(crate) fn shift_sack(&mut self, by: u32) {
        let Some(option) = self.option(SACK) else { return };
        let mut moved = [0; 40];
        let bytes = self.bytes_of(option);
        let len = bytes.len();
        if let Some(place) = moved.get_mut(..len) {
            place.copy_from_slice(bytes);
        }
        for edge in moved.get_mut(2..len).unwrap_or(&mut []).as_chunks_mut::<4>().0 {
            *edge = u32::from_be_bytes(*edge).wrapping_add(by).to_be_bytes();
        }
        self.replace(option.at, moved.get(..len).unwrap_or(&[]));
    }

    /// Its timestamps: its own, and the one that it echoes.
    pub(crate) fn timestamps(&self) -> Option<([u8; 4], [u8; 4])> {
        let bytes = self.bytes_of(self.option(TIMESTAMPS)?);
        Some((*bytes.get(2..)?.first_chunk()?, *bytes.get(6..)?.first_chunk()?))
    }

    pub(crate) fn set_timestamps(&mut self, (own, echo): ([u8; 4], [u8; 4])) {
        if let Some(option) = self.option(TIMESTAMPS).filter(|option| option.len == 10) {
            self.replace(option.at + 2, &own);
            self.replace(option.at + 6, &echo);
        }
    }

    /// Takes out what speaks of data in a SYN, and of other paths.
    pub(crate) fn blank_fast_open_and_multipath(&mut self) {
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
    pub(crate) fn blank_sack(&mut self) {
        if let Some(option) = self.option(SACK) {
            self.blank(option);
        }
    }

    /// Takes out the selective acknowledgements of what lies before `first`.
    pub(crate) fn cut_sack(&mut self, first: u32) {
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
}
