//! The outer IP header of a tunnel, prebuilt as far as it does not depend on the packet.

use super::link::Header;
use super::source::{Source, offset};
use crate::wire::ipv4::{self, Ipv4Header};
use crate::wire::ipv6::Ipv6Header;
use crate::wire::{checksum, ethernet};
use std::net::{Ipv4Addr, Ipv6Addr};
use zerocopy::IntoBytes;
use zerocopy::byteorder::native_endian;
use zerocopy::network_endian::{U16, U32};

/// Hops that an outer header may take.
const TTL: u8 = 64;

/// What an outer IP header says about what it carries.
#[derive(Clone, Copy)]
pub(super) struct Load {
    /// IP protocol number.
    pub protocol: u8,
    /// Bytes after the outer header.
    pub len: u16,
    /// DSCP and ECN, which are those of the inner packet (RFC 6040, section 4.1, normal mode).
    pub traffic_class: u8,
    /// Entropy of the flow.
    pub entropy: u16,
}

/// A template of outer IP headers.
pub(super) trait Outer {
    type Header: Header;
    const ETHERTYPE: u16;

    /// Writes the header for one packet, every byte of it. With it `load.len` fits 16 bits.
    fn write(&self, load: Load, header: &mut Self::Header);

    /// The pseudo-header's share of a transport checksum (RFC 768; RFC 8200, section 8.1).
    fn pseudo_sum(&self, load: Load) -> u32;
}

// The numbers in the templates have no alignment, so that they leave no holes: a backend fits a cache line.

/// Outer IPv4.
#[derive(Clone, Debug)]
pub(super) struct OuterV4 {
    source: [u8; 4],
    destination: [u8; 4],
    /// Sum of the header's words that never change.
    constant_sum: native_endian::U16,
    source_count: native_endian::U16,
}

/// Outer IPv6.
#[derive(Clone, Debug)]
pub(super) struct OuterV6 {
    source: [u8; 16],
    destination: [u8; 16],
    source_count: native_endian::U16,
}

/// What never changes in an outer IPv4 header but the addresses: an atomic datagram (RFC 6864), never fragmented on the
/// way, so that its identification means nothing.
const CONSTANT_V4: Ipv4Header = Ipv4Header {
    version_ihl: 0x45,
    tos: 0,
    total_len: U16::ZERO,
    identification: U16::ZERO,
    fragment: U16::new(ipv4::DONT_FRAGMENT),
    ttl: TTL,
    protocol: 0,
    checksum: U16::ZERO,
    source: [0; 4],
    destination: [0; 4],
};

impl OuterV4 {
    pub fn new(source: Source<Ipv4Addr>, destination: Ipv4Addr) -> Self {
        let header = Ipv4Header { source: source.first.octets(), destination: destination.octets(), ..CONSTANT_V4 };
        let constant_sum = checksum::fold(checksum::sum(header.as_bytes())).into();
        let source_count = source.count.into();
        Self { source: header.source, destination: header.destination, constant_sum, source_count }
    }
}

impl Outer for OuterV4 {
    type Header = Ipv4Header;
    const ETHERTYPE: u16 = ethernet::TYPE_IPV4;

    #[inline]
    fn write(&self, load: Load, header: &mut Ipv4Header) {
        let total_len = load.len + ipv4::HEADER_LEN as u16;
        let mut sum = u32::from(self.constant_sum.get())
            + u32::from(load.traffic_class)
            + u32::from(total_len)
            + u32::from(load.protocol);
        *header = Ipv4Header {
            tos: load.traffic_class,
            total_len: U16::new(total_len),
            protocol: load.protocol,
            source: self.source,
            destination: self.destination,
            ..CONSTANT_V4
        };
        if self.source_count.get() != 0 {
            let offset = offset(self.source_count.get(), load.entropy);
            vary(&mut header.source, offset);
            sum += u32::from(offset);
        }
        header.checksum = U16::new(!checksum::fold(sum));
    }

    #[inline(always)]
    fn pseudo_sum(&self, load: Load) -> u32 {
        /// What takes the constant words other than the addresses out of a sum again: their complement.
        const ALL_BUT_ADDRESSES: u32 = {
            let words = (CONSTANT_V4.version_ihl as u32) << 8 | CONSTANT_V4.tos as u32;
            0xffff - checksum::fold(words + ipv4::DONT_FRAGMENT as u32 + ((TTL as u32) << 8)) as u32
        };
        u32::from(self.constant_sum.get())
            + ALL_BUT_ADDRESSES
            + u32::from(offset(self.source_count.get(), load.entropy))
            + u32::from(load.protocol)
            + u32::from(load.len)
    }
}

impl OuterV6 {
    pub fn new(source: Source<Ipv6Addr>, destination: Ipv6Addr) -> Self {
        let (source, source_count) = (source.first.octets(), source.count.into());
        Self { source, destination: destination.octets(), source_count }
    }
}

impl Outer for OuterV6 {
    type Header = Ipv6Header;
    const ETHERTYPE: u16 = ethernet::TYPE_IPV6;

    #[inline]
    fn write(&self, load: Load, header: &mut Ipv6Header) {
        // The flow label carries the flow's entropy to routers and to the backend's RSS (RFC 6438).
        let version_class_label = 6 << 28 | u32::from(load.traffic_class) << 20 | u32::from(load.entropy);
        *header = Ipv6Header {
            version_class_label: U32::new(version_class_label),
            payload_len: U16::new(load.len),
            next_header: load.protocol,
            hop_limit: TTL,
            source: self.source,
            destination: self.destination,
        };
        if self.source_count.get() != 0 {
            vary(&mut header.source, offset(self.source_count.get(), load.entropy));
        }
    }

    #[inline(always)]
    fn pseudo_sum(&self, load: Load) -> u32 {
        checksum::sum_of([&self.source, &self.destination])
            + u32::from(offset(self.source_count.get(), load.entropy))
            + u32::from(load.protocol)
            + u32::from(load.len)
    }
}

/// Moves an address on by `offset`, for which its low 16 bits have room.
#[inline]
fn vary<const N: usize>(address: &mut [u8; N], offset: u16) {
    if let Some(low) = address.last_chunk_mut::<2>() {
        *low = u16::from_be_bytes(*low).wrapping_add(offset).to_be_bytes();
    }
}
