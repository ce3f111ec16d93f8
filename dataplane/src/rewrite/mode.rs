//! The kinds of rewriting as types: the loop over a burst is compiled for each, so that nothing in it asks again.

use super::gue::{DirectShim, GueShim};
use super::link::Link;
use super::outer::{Outer, OuterV4, OuterV6};
use super::shim::{Gre, Nothing, Shim};
use super::tunnel::{Kind, Template, with_template};
use super::{Applied, Backend, IpPacket, Refusal, Rewrite, Split, l2};
use crate::drop_reason::DropReason;
use crate::hash::FlowHash;
use crate::port::Packet;

/// One kind of rewriting: what a backend's record holds for it.
pub(crate) trait Mode {
    /// The record of a backend whose packets are rewritten this way.
    fn of(rewrite: &Rewrite) -> Option<&Self>;

    /// Makes the frame that leaves by `link`.
    fn apply<P: Packet>(
        &self,
        packet: &mut P,
        ip: IpPacket,
        link: Link<'_>,
        hash: FlowHash,
    ) -> Result<Option<Split>, Refusal>;
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
    #[inline(always)]
    fn of(rewrite: &Rewrite) -> Option<&Self> {
        matches!(rewrite, Rewrite::L2dsr).then_some(&Self)
    }

    #[inline(always)]
    fn apply<P: Packet>(
        &self,
        packet: &mut P,
        ip: IpPacket,
        link: Link<'_>,
        _hash: FlowHash,
    ) -> Result<Option<Split>, Refusal> {
        l2::apply(packet, ip, link).map(|()| None)
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
    #[inline(always)]
    fn of(rewrite: &Rewrite) -> Option<&Self> {
        match rewrite {
            Rewrite::Tunnel(tunnel) => Held::of(tunnel.kind()),
            Rewrite::L2dsr => None,
        }
    }

    #[inline(always)]
    fn apply<P: Packet>(
        &self,
        packet: &mut P,
        ip: IpPacket,
        link: Link<'_>,
        hash: FlowHash,
    ) -> Result<Option<Split>, Refusal> {
        Template::apply(self, packet, ip, link, hash)
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
            Self::L2dsr => what.run::<L2dsr>(),
            Self::Tunnel(tunnel) => with_template!(tunnel.kind(), template => run(template, what)),
        }
    }
}

impl Backend {
    /// [`Backend::apply`] for a packet of one mode; `None`, and nothing done, if this backend is of another.
    #[inline(always)]
    pub(crate) fn apply_as<M: Mode, P: Packet>(
        &self,
        packet: &mut P,
        ip: IpPacket,
        hash: FlowHash,
    ) -> Option<Result<Applied, Refusal>> {
        let mode = M::of(&self.rewrite)?;
        Some(self.apply_by(packet, hash, |packet, link| mode.apply(packet, ip, link, hash)))
    }

    /// Finds the way of a flow, and makes the frame for it by `apply`.
    #[inline(always)]
    pub(super) fn apply_by<P: Packet>(
        &self,
        packet: &mut P,
        hash: FlowHash,
        apply: impl FnOnce(&mut P, Link<'_>) -> Result<Option<Split>, Refusal>,
    ) -> Result<Applied, Refusal> {
        let unresolved = || Refusal::Drop(DropReason::UnresolvedNeighbor);
        let hop = self.hops.of_flow(hash).ok_or_else(unresolved)?;
        let link = Link { hop, destination: hop.destination.as_ref().ok_or_else(unresolved)? };
        let split = apply(packet, link)?;
        Ok(Applied { egress: hop.egress, split })
    }
}
