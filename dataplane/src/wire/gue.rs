//! Generic UDP Encapsulation (draft-ietf-intarea-gue).

use zerocopy::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The port that IANA assigned.
pub const PORT: u16 = 6080;

/// The header of variant 0 without optional fields. Variant 1 has none: the IP version of the packet after the UDP
/// header begins with the bits 01, which is the variant.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct GueHeader {
    /// Variant (2 bits), control bit, length of the optional fields in 32-bit words (5 bits).
    pub variant_control_len: u8,
    /// IP protocol number of the payload.
    pub protocol: u8,
    /// Which optional fields follow.
    pub flags: U16,
}
