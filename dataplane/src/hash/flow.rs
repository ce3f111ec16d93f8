//! A flow's key, and its hash.

use super::{Block, Domain, FORMAT_VERSION};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// A flow: protocol, addresses and ports, stored as the blocks that the cipher takes.
///
/// Two keys are equal if and only if all of these are.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct FlowKey {
    /// Blocks 1 and 2 of an IPv4 flow are zero and not part of the message.
    blocks: [Block; 3],
}

impl FlowKey {
    /// An IPv4 flow. Addresses in network order, ports as numbers.
    #[inline]
    #[must_use]
    pub const fn v4(
        protocol: u8,
        source: [u8; 4],
        destination: [u8; 4],
        source_port: u16,
        destination_port: u16,
    ) -> Self {
        let high = u32::from_le_bytes(destination) as u64 | (ports(source_port, destination_port) as u64) << 32;
        Self { blocks: [Self::block_v4(protocol, u32::from_le_bytes(source), high), 0, 0] }
    }

    /// An IPv6 flow. Addresses in network order, ports as numbers.
    #[inline]
    #[must_use]
    pub const fn v6(
        protocol: u8,
        source: [u8; 16],
        destination: [u8; 16],
        source_port: u16,
        destination_port: u16,
    ) -> Self {
        let first = Self::first_block_v6(protocol, ports(source_port, destination_port));
        Self { blocks: [first, Block::from_le_bytes(source), Block::from_le_bytes(destination)] }
    }

    /// The block of an IPv4 flow. The source is given as it stands in a packet that is read in little endian, so are
    /// destination and ports, which follow each other there.
    #[inline(always)]
    pub(crate) const fn block_v4(protocol: u8, source: u32, destination_ports: u64) -> Block {
        (header(4, protocol) | (source as u64) << 32) as Block | (destination_ports as Block) << 64
    }

    /// The first block of an IPv6 flow, from its ports as they stand in a packet that is read in little endian; the other two
    /// are its addresses, read alike.
    #[inline(always)]
    pub(crate) const fn first_block_v6(protocol: u8, ports: u32) -> Block {
        (header(6, protocol) | (ports as u64) << 32) as Block
    }

    /// The first block of the key of an IPv4 or IPv6 client (see [`FlowKey::client`]).
    #[inline]
    pub(crate) const fn client_block(first: Block) -> Block {
        let ipv6 = first as u16 >> 8 == 6;
        let low = client_header(if ipv6 { 6 } else { 4 });
        if ipv6 { low } else { low | first & 0xffff_ffff << 32 }
    }

    /// The flow between the same addresses with another transport.
    #[must_use]
    pub fn with_transport(&self, protocol: u8, source_port: u16, destination_port: u16) -> Self {
        match (self.source(), self.destination()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                Self::v4(protocol, source.octets(), destination.octets(), source_port, destination_port)
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                Self::v6(protocol, source.octets(), destination.octets(), source_port, destination_port)
            }
            // One key has one family.
            _ => *self,
        }
    }

    /// The key of everything that this flow's client sends, whatever its port and its protocol: only the source address.
    #[inline]
    #[must_use]
    pub const fn client(&self) -> Self {
        let [first, source, _] = self.blocks;
        Self { blocks: [Self::client_block(first), if self.is_ipv6() { source } else { 0 }, 0] }
    }

    /// The key whose blocks these are.
    #[cfg(test)]
    pub(crate) const fn of_blocks(blocks: [Block; 3]) -> Self {
        Self { blocks }
    }

    #[inline]
    pub(super) const fn blocks(&self) -> &[Block; 3] {
        &self.blocks
    }

    /// Whether this is an IPv6 flow; else it is an IPv4 flow.
    #[inline]
    #[must_use]
    pub const fn is_ipv6(&self) -> bool {
        self.blocks[0] as u16 >> 8 == 6
    }

    /// The protocol number: 6 for TCP, 17 for UDP.
    #[inline]
    #[must_use]
    pub const fn protocol(&self) -> u8 {
        (self.blocks[0] >> 16) as u8
    }

    /// The source address as [`crate::vip::address_bits`].
    #[inline]
    pub(crate) const fn source_bits(&self) -> u128 {
        let [first, source, _] = self.blocks;
        if self.is_ipv6() {
            source.swap_bytes()
        } else {
            0xffff_0000_0000 | ((first >> 32) as u32).swap_bytes() as u128
        }
    }

    /// The source address.
    #[must_use]
    pub fn source(&self) -> IpAddr {
        self.address(4, 1)
    }

    /// The destination address.
    #[must_use]
    pub fn destination(&self) -> IpAddr {
        self.address(8, 2)
    }

    /// The source port.
    #[inline]
    #[must_use]
    pub const fn source_port(&self) -> u16 {
        ((self.blocks[0] >> self.port_bit()) as u16).swap_bytes()
    }

    /// The destination port.
    #[inline]
    #[must_use]
    pub const fn destination_port(&self) -> u16 {
        ((self.blocks[0] >> (self.port_bit() + 16)) as u16).swap_bytes()
    }

    /// The address at byte `byte` of block 0 for IPv4, in block `block` for IPv6.
    fn address(&self, byte: u32, block: usize) -> IpAddr {
        if self.is_ipv6() {
            Ipv6Addr::from(self.blocks[block].to_le_bytes()).into()
        } else {
            Ipv4Addr::from(((self.blocks[0] >> (8 * byte)) as u32).to_le_bytes()).into()
        }
    }

    /// Where the source port begins in block 0.
    const fn port_bit(&self) -> u32 {
        if self.is_ipv6() { 32 } else { 96 }
    }
}

/// Bytes 0..4 of block 0 of a client's key.
const fn client_header(family: u8) -> Block {
    u32::from_le_bytes([FORMAT_VERSION, family, 0, Domain::ClientAffinity as u8]) as Block
}

/// Bytes 0..4 of block 0.
const fn header(family: u8, protocol: u8) -> u64 {
    u32::from_le_bytes([FORMAT_VERSION, family, protocol, Domain::Flow as u8]) as u64
}

/// Both ports in network order.
const fn ports(source: u16, destination: u16) -> u32 {
    (source.swap_bytes() as u32) | (destination.swap_bytes() as u32) << 16
}

/// As in `6 192.0.2.7:40000 > 203.0.113.10:80`.
impl fmt::Display for FlowKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = SocketAddr::new(self.source(), self.source_port());
        let destination = SocketAddr::new(self.destination(), self.destination_port());
        write!(f, "{} {source} > {destination}", self.protocol())
    }
}

impl fmt::Debug for FlowKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FlowKey({self})")
    }
}

/// The keyed hash of a flow: 128 bits, of which disjoint parts serve disjoint purposes.
///
/// Bits 0..32 choose the slot and are the tag of a pin, 32..64 choose the pin's bucket, 64..80 are tunnel entropy,
/// 80..96 choose among several next hops. Bits 96..128 are not in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct FlowHash(pub u128);

impl FlowHash {
    /// Bits 0..32: the tag of a pin, and the word that chooses the slot.
    #[inline]
    #[must_use]
    pub const fn tag(self) -> u32 {
        self.0 as u32
    }

    /// Bits 32..64: choose the bucket of a pin.
    #[inline]
    #[must_use]
    pub const fn bucket(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// Bits 64..80: make the outer header of a tunnel vary with the flow.
    #[inline]
    #[must_use]
    pub const fn entropy(self) -> u16 {
        (self.0 >> 64) as u16
    }

    /// Bits 80..96: choose one of several next hops. None of them is tunnel entropy: a router that hashes the outer
    /// header behind a next hop sees all of it.
    #[inline]
    #[must_use]
    pub const fn route(self) -> u16 {
        (self.0 >> 80) as u16
    }

    /// Another hash of the same flow for each `turn` below 32.
    #[inline]
    #[must_use]
    pub(crate) const fn turned(self, turn: u32) -> Self {
        Self(self.0.rotate_left(turn * 4))
    }

    /// The slot in a table of `table_size` slots: the high half of the tag times the size, always below the size
    /// (0 for an empty table).
    #[inline]
    #[must_use]
    pub const fn slot(self, table_size: u32) -> u32 {
        ((self.tag() as u64 * table_size as u64) >> 32) as u32
    }
}
