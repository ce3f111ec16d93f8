//! IPv6 (RFC 8200).

use zerocopy::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Length of the fixed header, in bytes.
pub const HEADER_LEN: usize = 40;

/// The fixed header.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Ipv6Header {
    /// Version (4 bits), traffic class (8), flow label (20).
    pub version_class_label: U32,
    /// Length of what follows the fixed header, in bytes.
    pub payload_len: U16,
    /// Protocol of what follows.
    pub next_header: u8,
    /// Hops left.
    pub hop_limit: u8,
    /// Sender.
    pub source: [u8; 16],
    /// Receiver.
    pub destination: [u8; 16],
}

impl Ipv6Header {
    /// DSCP and ECN.
    #[inline]
    #[must_use]
    pub fn traffic_class(&self) -> u8 {
        (self.version_class_label.get() >> 20) as u8
    }
}

/// Length of the fragment header, in bytes.
pub const FRAGMENT_LEN: usize = 8;
/// "More fragments" in [`FragmentHeader::offset`], whose other bits hold the offset in bytes (a multiple of 8).
pub const MORE_FRAGMENTS: u16 = 1;
/// The offset's bits in [`FragmentHeader::offset`].
pub const OFFSET_MASK: u16 = 0xfff8;

/// The fragment header (RFC 8200, section 4.5).
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct FragmentHeader {
    /// Protocol of what follows, in the first fragment.
    pub next_header: u8,
    /// Zero.
    pub reserved: u8,
    /// Offset of the fragment in bytes, and flags in the low three bits.
    pub offset: U16,
    /// Names the fragments of a packet.
    pub identification: U32,
}

impl FragmentHeader {
    /// Offset in the packet's fragmentable part, in bytes.
    #[inline]
    #[must_use]
    pub fn byte_offset(&self) -> u16 {
        self.offset.get() & OFFSET_MASK
    }

    /// Whether more fragments follow.
    #[inline]
    #[must_use]
    pub fn more(&self) -> bool {
        self.offset.get() & MORE_FRAGMENTS != 0
    }
}
