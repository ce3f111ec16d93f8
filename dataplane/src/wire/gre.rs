//! GRE (RFC 2784).

use zerocopy::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The header without checksum (RFC 2784), key and sequence number (RFC 2890).
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct GreHeader {
    /// Which fields follow, and the version: all zero for this form.
    pub flags_version: U16,
    /// EtherType of the payload.
    pub protocol: U16,
}
