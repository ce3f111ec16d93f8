//! ARP for IPv4 over Ethernet (RFC 826).

use super::ethernet::Mac;
use zerocopy::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Length of a packet, in bytes.
pub const PACKET_LEN: usize = 28;
/// Operation: who has the target address?
pub const REQUEST: u16 = 1;
/// Operation: the sender has it.
pub const REPLY: u16 = 2;

/// A packet for IPv4 over Ethernet.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct ArpPacket {
    /// 1 for Ethernet.
    pub hardware_type: U16,
    /// EtherType of the protocol.
    pub protocol_type: U16,
    /// 6 for Ethernet.
    pub hardware_len: u8,
    /// 4 for IPv4.
    pub protocol_len: u8,
    /// [`REQUEST`] or [`REPLY`].
    pub operation: U16,
    /// Sender's hardware address.
    pub sender_mac: Mac,
    /// Sender's protocol address.
    pub sender_address: [u8; 4],
    /// Target's hardware address.
    pub target_mac: Mac,
    /// Target's protocol address.
    pub target_address: [u8; 4],
}

impl ArpPacket {
    /// Whether the packet speaks of IPv4 over Ethernet, the only kind that a balancer meets.
    #[inline]
    #[must_use]
    pub fn is_ipv4_over_ethernet(&self) -> bool {
        self.hardware_type.get() == 1
            && self.protocol_type.get() == super::ethernet::TYPE_IPV4
            && self.hardware_len == 6
            && self.protocol_len == 4
    }
}
