//! The kinds of rewriting as types: the loop over a burst is compiled for each, so that nothing in it asks again.

use super::gue::{DirectShim, GueShim};
use super::link::Link;
use super::outer::{Outer, OuterV4, OuterV6};
use super::shim::{Gre, Nothing, Shim};
use super::tunnel::{Kind, Template, with_template};
use super::{Backend, IpPacket, Rewrite, l2};
use crate::hash::FlowHash;
use crate::ids::PortId;
use crate::port::Packet;
use crate::wire::{ethernet, udp};

/// One kind of rewriting: what a backend's record holds for it.
pub(crate) trait Mode {
    /// Whether rewriting takes so many instructions that a processor does not reach the next packets' counters by itself.
    const IS_LONG: bool;

    /// The record of a backend whose packets are rewritten this way.
    fn of(rewrite: &Rewrite) -> Option<&Self>;

    /// Makes the frame that leaves by an untagged link. `false`, and the packet as it was, if that takes more than usual.
    #[must_use]
    fn apply<P: Packet>(&self, packet: &mut P, ip: IpPacket, link: Link<'_>, hash: FlowHash) -> bool;
}

/// Runs something that is compiled for each mode.
pub(crate) trait ForMode {
    /// What comes of it.
    type Output;

    /// Runs it for one mode.
    fn run<M: Mode>(self) -> Self::Output;
}

/// [`Rewrite::L2dsr`].
pub(crate) struct L2dsr;

impl Mode for L2dsr {
    const IS_LONG: bool = false;

    #[inline(always)]
    fn of(rewrite: &Rewrite) -> Option<&Self> {
        matches!(rewrite, Rewrite::L2dsr).then_some(&Self)
    }

    #[inline(always)]
    fn apply<P: Packet>(&self, packet: &mut P, ip: IpPacket, link: Link<'_>, _hash: FlowHash) -> bool {
        ip.len <= link.hop.mtu && usize::from(ip.offset) == ethernet::HEADER_LEN && l2::readdress(packet, link)
    }
}

/// The place of a template in [`Kind`].
pub(super) trait Held: Sized {
    /// The template, if it is of this type.
    fn of(kind: &Kind) -> Option<&Self>;
}

macro_rules! held {
    ($($kind:ident: $outer:ty, $shim:ty;)*) => {$(
        impl Held for Template<$outer, $shim> {
            #[inline(always)]
            fn of(kind: &Kind) -> Option<&Self> {
                match kind {
                    Kind::$kind(template) => Some(template),
                    _ => None,
                }
            }
        }
    )*};
}

held! {
    Ipip4: OuterV4, Nothing;
    Ipip6: OuterV6, Nothing;
    Gre4: OuterV4, Gre;
    Gre6: OuterV6, Gre;
    Gue4: OuterV4, GueShim;
    Gue6: OuterV6, GueShim;
    Direct4: OuterV4, DirectShim;
    Direct6: OuterV6, DirectShim;
}

impl<O: Outer, S: Shim> Mode for Template<O, S>
where
    Self: Held,
{
    // A UDP header with its checksum is what makes the difference.
    const IS_LONG: bool = size_of::<S::Header>() >= udp::HEADER_LEN;

    #[inline(always)]
    fn of(rewrite: &Rewrite) -> Option<&Self> {
        match rewrite {
            Rewrite::Tunnel(tunnel) => Held::of(tunnel.kind()),
            Rewrite::L2dsr | Rewrite::Nat => None,
        }
    }

    #[inline(always)]
    fn apply<P: Packet>(&self, packet: &mut P, ip: IpPacket, link: Link<'_>, hash: FlowHash) -> bool {
        self.fits(ip, link.hop) && self.emit_untagged(packet, ip, link, hash).is_ok()
    }
}

impl Rewrite {
    /// Runs something for the mode that this is of.
    #[inline]
    pub(crate) fn for_mode<F: ForMode>(&self, what: F) -> F::Output {
        fn run<M: Mode, F: ForMode>(_: &M, what: F) -> F::Output {
            what.run::<M>()
        }
        match self {
            // Sessions are the slow path's: no loop of the fast one meets such a backend, and none knows it as its own.
            Self::L2dsr | Self::Nat => what.run::<L2dsr>(),
            Self::Tunnel(tunnel) => with_template!(tunnel.kind(), template => run(template, what)),
        }
    }
}

impl Backend {
    /// [`Backend::apply`] for a usual packet of one mode, to a backend with one next hop and no tags. Returns the port that
    /// it leaves by; `None`, and the packet as it was, if anything is otherwise.
    #[inline(always)]
    pub(crate) fn apply_as<M: Mode, P: Packet>(&self, packet: &mut P, ip: IpPacket, hash: FlowHash) -> Option<PortId> {
        let link = self.hops.plain()?;
        M::of(&self.rewrite)?.apply(packet, ip, link, hash).then_some(link.hop.egress)
    }

    /// Whether its packets are rewritten this way.
    #[inline]
    pub(crate) fn is_of<M: Mode>(&self) -> bool {
        M::of(&self.rewrite).is_some()
    }
}
