//! Tunnels: an outer IP header and what stands between it and the packet, which itself stays untouched.
//!
//! IP in IP is RFC 2003 (IPv4 in IPv4), RFC 4213 (IPv6 in IPv4) and RFC 2473 (either in IPv6). GRE is RFC 2784 without
//! optional fields. GUE is [`super::gue`].

use super::gue::{DirectShim, Gue, GueShim, GueVariant};
use super::link::{Link, Outside, encapsulate, put};
use super::outer::{Load, Outer, OuterV4, OuterV6};
use super::shim::{Gre, Inner, Nothing, Shim};
use super::{IpPacket, NextHop, Refusal, Source, Split};
use crate::drop_reason::DropReason;
use crate::hash::FlowHash;
use crate::parse::Family;
use crate::port::Packet;
use crate::wire::ethernet;
use crate::wire::ipv4::{self, Ipv4Header};
use std::net::{Ipv4Addr, Ipv6Addr};
use zerocopy::FromBytes;

/// What stands between the outer IP header and the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encapsulation {
    /// Nothing.
    Ipip,
    /// A GRE header of 4 bytes.
    Gre,
    /// UDP, and a GUE header in its variant 0.
    Gue(Gue),
}

/// The tunnel to one backend.
#[derive(Clone, Debug)]
pub struct Tunnel(Kind);

#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Ipip4(Template<OuterV4, Nothing>),
    Ipip6(Template<OuterV6, Nothing>),
    Gre4(Template<OuterV4, Gre>),
    Gre6(Template<OuterV6, Gre>),
    Gue4(Template<OuterV4, GueShim>),
    Gue6(Template<OuterV6, GueShim>),
    Direct4(Template<OuterV4, DirectShim>),
    Direct6(Template<OuterV6, DirectShim>),
}

/// Runs an expression on whatever template is held.
macro_rules! with_template {
    ($kind:expr, $template:ident => $body:expr) => {
        match $kind {
            Kind::Ipip4($template) => $body,
            Kind::Ipip6($template) => $body,
            Kind::Gre4($template) => $body,
            Kind::Gre6($template) => $body,
            Kind::Gue4($template) => $body,
            Kind::Gue6($template) => $body,
            Kind::Direct4($template) => $body,
            Kind::Direct6($template) => $body,
        }
    };
}

pub(super) use with_template;

impl Tunnel {
    /// What is held.
    #[inline(always)]
    pub(super) const fn kind(&self) -> &Kind {
        &self.0
    }

    /// A tunnel over IPv4 from `source` to the backend at `destination`.
    #[must_use]
    pub fn v4(source: Source<Ipv4Addr>, destination: Ipv4Addr, encapsulation: Encapsulation) -> Self {
        let outer = OuterV4::new(source, destination);
        Self(match encapsulation {
            Encapsulation::Ipip => Kind::Ipip4(Template::new(outer, Nothing, 0)),
            Encapsulation::Gre => Kind::Gre4(Template::new(outer, Gre, 0)),
            Encapsulation::Gue(gue) => match gue.variant {
                GueVariant::Header => Kind::Gue4(Template::new(outer, GueShim::new(gue.port), options(gue))),
                GueVariant::Direct => Kind::Direct4(Template::new(outer, DirectShim::new(gue.port), options(gue))),
            },
        })
    }

    /// A tunnel over IPv6 from `source` to the backend at `destination`.
    #[must_use]
    pub fn v6(source: Source<Ipv6Addr>, destination: Ipv6Addr, encapsulation: Encapsulation) -> Self {
        let outer = OuterV6::new(source, destination);
        Self(match encapsulation {
            Encapsulation::Ipip => Kind::Ipip6(Template::new(outer, Nothing, 0)),
            Encapsulation::Gre => Kind::Gre6(Template::new(outer, Gre, 0)),
            Encapsulation::Gue(gue) => match gue.variant {
                GueVariant::Header => Kind::Gue6(Template::new(outer, GueShim::new(gue.port), options(gue))),
                GueVariant::Direct => Kind::Direct6(Template::new(outer, DirectShim::new(gue.port), options(gue))),
            },
        })
    }

    /// The same tunnel, in which a packet that may be fragmented and does not fit is sent in fragments of the outer
    /// packet (RFC 2003, section 5.1; RFC 2473, section 7.2), if `on`.
    #[must_use]
    pub fn fragment_outer(mut self, on: bool) -> Self {
        with_template!(&mut self.0, template => template.fragment_outer(on));
        self
    }

    /// Bytes that it puts in front of a packet.
    #[must_use]
    pub fn overhead(&self) -> u16 {
        with_template!(&self.0, template => template.overhead())
    }

    pub(super) fn apply<P: Packet>(
        &self,
        packet: &mut P,
        ip: IpPacket,
        link: Link<'_>,
        hash: FlowHash,
    ) -> Result<Option<Split>, Refusal> {
        with_template!(&self.0, template => template.apply(packet, ip, link, hash))
    }
}

/// [`Template::options`]: a packet that does not fit may be split.
const FRAGMENT_OUTER: u8 = 1;
/// [`Template::options`]: the UDP checksum is computed.
const UDP_CHECKSUM: u8 = 2;

const fn options(gue: Gue) -> u8 {
    if gue.checksum { UDP_CHECKSUM } else { 0 }
}

/// Everything about a tunnel that does not depend on the packet.
#[derive(Clone, Debug)]
pub(crate) struct Template<O, S> {
    outer: O,
    shim: S,
    options: u8,
}

impl<O: Outer, S: Shim> Template<O, S> {
    const SHIM_LEN: u16 = size_of::<S::Header>() as u16;
    const OVERHEAD: u16 = size_of::<O::Header>() as u16 + Self::SHIM_LEN;

    const fn new(outer: O, shim: S, options: u8) -> Self {
        Self { outer, shim, options }
    }

    const fn fragment_outer(&mut self, on: bool) {
        self.options = if on { self.options | FRAGMENT_OUTER } else { self.options & !FRAGMENT_OUTER };
    }

    const fn overhead(&self) -> u16 {
        Self::OVERHEAD
    }

    pub(super) fn apply<P: Packet>(
        &self,
        packet: &mut P,
        ip: IpPacket,
        link: Link<'_>,
        hash: FlowHash,
    ) -> Result<Option<Split>, Refusal> {
        if !self.fits(ip, link.hop) {
            return self.apply_too_big(packet, ip, link, hash);
        }
        self.emit(packet, ip, link, hash)?;
        Ok(None)
    }

    /// Whether a packet fits into its link with the headers.
    #[inline(always)]
    pub(super) fn fits(&self, ip: IpPacket, hop: &NextHop) -> bool {
        u32::from(ip.len) + u32::from(Self::OVERHEAD) <= u32::from(hop.mtu)
    }

    /// A packet that does not fit.
    #[cold]
    #[inline(never)]
    fn apply_too_big<P: Packet>(
        &self,
        packet: &mut P,
        ip: IpPacket,
        link: Link<'_>,
        hash: FlowHash,
    ) -> Result<Option<Split>, Refusal> {
        let representable = ip.len.checked_add(Self::OVERHEAD).is_some();
        if self.options & FRAGMENT_OUTER == 0 || !representable || !may_be_fragmented(packet.frame(), ip) {
            return Err(Refusal::too_big(link.hop, Self::OVERHEAD));
        }
        self.emit(packet, ip, link, hash)?;
        // At most two tags: the sum is small.
        let ip_offset = (ethernet::HEADER_LEN + link.hop.tags.len()) as u16;
        Ok(Some(Split { ip_offset, mtu: link.hop.mtu }))
    }

    /// Puts the headers in front of a packet that is at most 65,535 bytes long with them, and the link's tags.
    fn emit<P: Packet>(&self, packet: &mut P, ip: IpPacket, link: Link<'_>, hash: FlowHash) -> Result<(), DropReason> {
        let (load, shim) = self.load(packet, ip, hash);
        encapsulate(packet, ip, link, self.outside(load, shim))
    }

    /// The same for a link without tags.
    #[inline(always)]
    pub(super) fn emit_untagged<P: Packet>(
        &self,
        packet: &mut P,
        ip: IpPacket,
        link: Link<'_>,
        hash: FlowHash,
    ) -> Result<(), DropReason> {
        let (load, shim) = self.load(packet, ip, hash);
        put(packet, ip, link, 0, self.outside(load, shim))
    }

    /// What the outer header says of the packet, and what stands between them.
    #[inline(always)]
    fn load<P: Packet>(&self, packet: &P, ip: IpPacket, hash: FlowHash) -> (Load, S::Header) {
        let entropy = hash.entropy();
        let inner = Inner { family: ip.family, offset: ip.offset, len: ip.len, entropy };
        let len = ip.len + Self::SHIM_LEN;
        let load = Load { protocol: self.shim.protocol(&inner), len, traffic_class: ip.traffic_class, entropy };
        let mut shim = self.shim.header(&inner, len);
        if self.options & UDP_CHECKSUM != 0 {
            S::fill_checksum(&mut shim, self.outer.pseudo_sum(load), packet, &inner);
        }
        (load, shim)
    }

    #[inline(always)]
    fn outside(&self, load: Load, shim: S::Header) -> Outside<impl FnOnce(&mut O::Header), S::Header> {
        Outside {
            ethertype: O::ETHERTYPE,
            write_ip: move |header: &mut O::Header| self.outer.write(load, header),
            shim,
        }
    }
}

/// Whether a router may fragment the packet: IPv4 without "don't fragment", and never IPv6.
fn may_be_fragmented(frame: &[u8], ip: IpPacket) -> bool {
    let packet = frame.get(usize::from(ip.offset)..).unwrap_or(&[]);
    ip.family == Family::V4
        && Ipv4Header::ref_from_prefix(packet).is_ok_and(|(header, _)| header.fragment.get() & ipv4::DONT_FRAGMENT == 0)
}
