//! What stands between the outer IP header of a tunnel and the packet: nothing, GRE, or [`super::gue`].

use super::link::Header;
use crate::parse::Family;
use crate::port::Packet;
use crate::wire::gre::GreHeader;
use crate::wire::{ethernet, protocol};
use zerocopy::network_endian::U16;

/// The packet in the tunnel.
pub(super) struct Inner {
    pub family: Family,
    /// Where it begins in the frame that came in.
    pub offset: u16,
    /// Its length in bytes.
    pub len: u16,
    /// Entropy of its flow.
    pub entropy: u16,
}

/// What stands between outer IP header and packet: a template of it.
pub(super) trait Shim {
    type Header: Header;

    /// What the outer IP header calls it.
    fn protocol(&self, inner: &Inner) -> u8;

    /// The header for one packet, without checksum. `load_len` is its length with the packet's.
    fn header(&self, inner: &Inner, load_len: u16) -> Self::Header;

    /// Fills in the checksum, if there is one. `packet` has not been changed yet.
    fn fill_checksum<P: Packet>(_header: &mut Self::Header, _pseudo_sum: u32, _packet: &P, _inner: &Inner) {}
}

/// The IP protocol number of an IP packet.
#[inline]
pub(super) const fn inner_protocol(family: Family) -> u8 {
    match family {
        Family::V4 => protocol::IPV4,
        Family::V6 => protocol::IPV6,
    }
}

/// IP in IP.
#[derive(Clone, Debug)]
pub(super) struct Nothing;

impl Shim for Nothing {
    type Header = [u8; 0];

    #[inline]
    fn protocol(&self, inner: &Inner) -> u8 {
        inner_protocol(inner.family)
    }

    #[inline]
    fn header(&self, _inner: &Inner, _load_len: u16) -> [u8; 0] {
        []
    }
}

/// GRE without optional fields.
#[derive(Clone, Debug)]
pub(super) struct Gre;

impl Shim for Gre {
    type Header = GreHeader;

    #[inline]
    fn protocol(&self, _inner: &Inner) -> u8 {
        protocol::GRE
    }

    #[inline]
    fn header(&self, inner: &Inner, _load_len: u16) -> GreHeader {
        let ethertype = match inner.family {
            Family::V4 => ethernet::TYPE_IPV4,
            Family::V6 => ethernet::TYPE_IPV6,
        };
        GreHeader { flags_version: U16::ZERO, protocol: U16::new(ethertype) }
    }
}
