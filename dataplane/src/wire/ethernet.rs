//! Ethernet II (IEEE 802.3, RFC 894).

use zerocopy::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// A hardware address.
pub type Mac = [u8; 6];

/// Length of the header without tags, in bytes.
pub const HEADER_LEN: usize = 14;
/// Length of both addresses, in bytes: tags stand behind them.
pub const ADDRESSES_LEN: usize = 12;
/// Length of the shortest frame in bytes, without its frame check sequence (IEEE 802.3).
pub const MIN_FRAME: usize = 60;
/// EtherType of IPv4.
pub const TYPE_IPV4: u16 = 0x0800;
/// EtherType of ARP.
pub const TYPE_ARP: u16 = 0x0806;
/// EtherType of IPv6.
pub const TYPE_IPV6: u16 = 0x86dd;
/// Tag protocol identifier of a VLAN (IEEE 802.1Q).
pub const TYPE_VLAN: u16 = 0x8100;
/// Tag protocol identifier of a service VLAN (IEEE 802.1ad).
pub const TYPE_QINQ: u16 = 0x88a8;

/// The untagged header.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct EthernetHeader {
    /// Receiver.
    pub destination: Mac,
    /// Sender.
    pub source: Mac,
    /// What follows.
    pub ethertype: U16,
}

/// What stands behind the type that announces a tag.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct VlanTag {
    /// Priority (3 bits), drop eligible (1), VLAN identifier (12).
    pub control: U16,
    /// What follows.
    pub ethertype: U16,
}

impl VlanTag {
    /// The VLAN identifier; 0: the tag carries a priority only.
    #[inline]
    #[must_use]
    pub fn id(&self) -> u16 {
        self.control.get() & 0xfff
    }
}

/// Whether `mac` names a group: multicast or broadcast.
#[inline]
#[must_use]
pub const fn is_group(mac: &Mac) -> bool {
    mac[0] & 1 == 1
}

/// `02:00:00:00:00:01`: how people read a hardware address.
#[must_use]
pub fn format_mac(mac: Mac) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}
