//! IPv4 (RFC 791).

use super::checksum;
use zerocopy::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Length of the header without options, in bytes.
pub const HEADER_LEN: usize = 20;
/// The reserved flag in [`Ipv4Header::fragment`].
pub const RESERVED: u16 = 0x8000;
/// "Don't fragment" in [`Ipv4Header::fragment`].
pub const DONT_FRAGMENT: u16 = 0x4000;
/// "More fragments" in [`Ipv4Header::fragment`].
pub const MORE_FRAGMENTS: u16 = 0x2000;
/// The offset's bits in [`Ipv4Header::fragment`], in units of 8 bytes.
pub const OFFSET_MASK: u16 = 0x1fff;

/// The fixed part of the header.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Ipv4Header {
    /// Version in the high half, header length in 32-bit words in the low one.
    pub version_ihl: u8,
    /// DSCP and ECN.
    pub tos: u8,
    /// Length of header and payload in bytes.
    pub total_len: U16,
    /// Names the fragments of a datagram.
    pub identification: U16,
    /// Flags and fragment offset.
    pub fragment: U16,
    /// Hops left.
    pub ttl: u8,
    /// Protocol of the payload.
    pub protocol: u8,
    /// Checksum of the header.
    pub checksum: U16,
    /// Sender.
    pub source: [u8; 4],
    /// Receiver.
    pub destination: [u8; 4],
}

impl Ipv4Header {
    /// Header length in bytes, options included, as the header claims it.
    #[inline]
    #[must_use]
    pub const fn header_len(&self) -> usize {
        ((self.version_ihl & 0x0f) as usize) * 4
    }

    /// Whether the checksum of a header without options is right.
    #[inline(always)]
    #[must_use]
    pub fn is_checksum_right(&self) -> bool {
        // The sum of words of 32 bits in any order of bytes is that of words of 16 bits modulo 0xffff (RFC 1071, section
        // 2); one's complement has its zero at 0xffff, and a header is not all zeros.
        let words = self.as_bytes().as_chunks::<4>().0;
        words.iter().map(|word| u64::from(u32::from_ne_bytes(*word))).sum::<u64>().is_multiple_of(0xffff)
    }

    /// Fills in the checksum of a header without options.
    pub fn fill_checksum(&mut self) {
        self.checksum = U16::ZERO;
        self.checksum = U16::new(checksum::of(self.as_bytes()));
    }
}
