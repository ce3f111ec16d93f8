//! The two addresses of a packet.

use crate::parse::Family;
use crate::session::Tuple;
use crate::vip::is_v4;
use crate::wire::checksum;

/// Source and destination address as [`crate::vip::address_bits`], both of one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ends {
    pub(super) source: u128,
    pub(super) destination: u128,
    pub(super) family: Family,
}

impl Ends {
    /// `None` if they are of different families.
    pub(super) const fn new(source: u128, destination: u128) -> Option<Self> {
        let family = if is_v4(source) { Family::V4 } else { Family::V6 };
        if is_v4(source) == is_v4(destination) { Some(Self { source, destination, family }) } else { None }
    }

    pub(super) const fn of(tuple: &Tuple) -> Option<Self> {
        Self::new(tuple.source.address, tuple.destination.address)
    }

    /// As they stand in an IPv4 header.
    #[inline]
    pub(super) const fn v4(self) -> ([u8; 4], [u8; 4]) {
        ((self.source as u32).to_be_bytes(), (self.destination as u32).to_be_bytes())
    }

    /// As they stand in an IPv6 header.
    pub(super) const fn v6(self) -> ([u8; 16], [u8; 16]) {
        (self.source.to_be_bytes(), self.destination.to_be_bytes())
    }

    /// Their share of a checksum.
    #[inline]
    pub(super) fn sum(self) -> u32 {
        sum(self.source, self.destination)
    }
}

/// The share of two addresses of one family in a checksum. What maps an IPv4 address to 128 bits is a zero of one's complement, and
/// left out.
#[inline]
pub(super) fn sum(source: u128, destination: u128) -> u32 {
    if is_v4(source) {
        return halves(source as u32) + halves(destination as u32);
    }
    checksum::sum_of([&source.to_be_bytes(), &destination.to_be_bytes()])
}

/// An IPv4 address, or other bits, as two words of a checksum.
#[inline]
pub(super) const fn halves(bits: u32) -> u32 {
    (bits >> 16) + (bits & 0xffff)
}
