//! Generic UDP Encapsulation (draft-ietf-intarea-gue): UDP, whose source port carries the flow's entropy.

use super::inner_sum::inner_sum;
use super::shim::{Inner, Shim, inner_protocol};
use crate::port::Packet;
use crate::wire::checksum;
use crate::wire::gue::{self, GueHeader};
use crate::wire::protocol;
use crate::wire::udp::UdpHeader;
use zerocopy::byteorder::native_endian;
use zerocopy::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// First of the dynamic ports (RFC 6335, section 6), of which there are 2^14.
const FIRST_SOURCE_PORT: u16 = 0xc000;

/// How GUE is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gue {
    /// UDP port of the decapsulator.
    pub port: u16,
    /// Which form the packet has.
    pub variant: GueVariant,
    /// Whether the UDP checksum is computed; else it is zero (RFC 768 over IPv4; RFC 6935 and RFC 6936 over IPv6).
    ///
    /// A whole TCP or UDP packet with a checksum costs the same whatever its length: the outer checksum follows from the
    /// inner one, and is wrong if that is. Every byte is read of a packet that has none, of ICMP, and of fragments.
    pub checksum: bool,
}

/// The forms of GUE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GueVariant {
    /// Variant 0: a header of 4 bytes between UDP and the packet.
    Header,
    /// Variant 1: the packet follows the UDP header at once.
    Direct,
}

impl Default for Gue {
    /// Variant 0 to the assigned port, with checksum.
    fn default() -> Self {
        Self { port: gue::PORT, variant: GueVariant::Header, checksum: true }
    }
}

/// UDP and the header of variant 0.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct UdpGueHeader {
    udp: UdpHeader,
    gue: GueHeader,
}

/// Variant 0.
#[derive(Clone, Debug)]
pub(super) struct GueShim {
    port: native_endian::U16,
}

/// Variant 1.
#[derive(Clone, Debug)]
pub(super) struct DirectShim {
    port: native_endian::U16,
}

impl GueShim {
    pub fn new(port: u16) -> Self {
        Self { port: port.into() }
    }
}

impl DirectShim {
    pub fn new(port: u16) -> Self {
        Self { port: port.into() }
    }
}

impl Shim for GueShim {
    type Header = UdpGueHeader;

    #[inline]
    fn protocol(&self, _inner: &Inner) -> u8 {
        protocol::UDP
    }

    #[inline]
    fn header(&self, inner: &Inner, load_len: u16) -> UdpGueHeader {
        let gue = GueHeader { variant_control_len: 0, protocol: inner_protocol(inner.family), flags: U16::ZERO };
        UdpGueHeader { udp: udp(self.port.get(), inner.entropy, load_len), gue }
    }

    #[inline(always)]
    fn fill_checksum<P: Packet>(header: &mut UdpGueHeader, pseudo_sum: u32, packet: &P, inner: &Inner) {
        let gue = u32::from(header.gue.variant_control_len) << 8 | u32::from(header.gue.protocol);
        let sum = sum_of(&header.udp) + gue + u32::from(header.gue.flags.get());
        header.udp.checksum = transport_checksum(pseudo_sum, sum, packet, inner);
    }
}

impl Shim for DirectShim {
    type Header = UdpHeader;

    #[inline]
    fn protocol(&self, _inner: &Inner) -> u8 {
        protocol::UDP
    }

    #[inline]
    fn header(&self, inner: &Inner, load_len: u16) -> UdpHeader {
        udp(self.port.get(), inner.entropy, load_len)
    }

    #[inline(always)]
    fn fill_checksum<P: Packet>(header: &mut UdpHeader, pseudo_sum: u32, packet: &P, inner: &Inner) {
        header.checksum = transport_checksum(pseudo_sum, sum_of(header), packet, inner);
    }
}

/// The UDP header without checksum.
#[inline]
fn udp(destination_port: u16, entropy: u16, len: u16) -> UdpHeader {
    UdpHeader {
        source_port: U16::new(FIRST_SOURCE_PORT | entropy),
        destination_port: U16::new(destination_port),
        len: U16::new(len),
        checksum: U16::ZERO,
    }
}

/// The sum of a UDP header without its checksum.
#[inline(always)]
fn sum_of(header: &UdpHeader) -> u32 {
    [header.source_port, header.destination_port, header.len].map(|word| u32::from(word.get())).iter().sum()
}

/// The UDP checksum; a sum that comes out as zero is sent as its complement, because zero means none (RFC 768).
#[inline(always)]
fn transport_checksum<P: Packet>(pseudo_sum: u32, header_sum: u32, packet: &P, inner: &Inner) -> U16 {
    match !checksum::fold_wide(u64::from(pseudo_sum + header_sum) + inner_sum(packet, inner)) {
        0 => U16::new(u16::MAX),
        checksum => U16::new(checksum),
    }
}
