//! The third stage: what a packet looks like when it leaves towards its backend.
//!
//! Everything that does not depend on the packet is prebuilt in the backend's [`Backend`]: Ethernet addresses, the
//! outer header, the part of its checksum that stays the same.

pub mod fragment;
mod gue;
mod hops;
mod inner_sum;
mod l2;
pub(crate) mod link;
pub(crate) mod mode;
mod outer;
mod shim;
mod source;
pub mod too_big;
mod tunnel;

use crate::drop_reason::DropReason;
use crate::hash::FlowHash;
use crate::ids::{BackendId, PortId};
use crate::parse::{Family, Parsed};
use crate::port::Packet;
pub use gue::{Gue, GueVariant};
pub use hops::{BUCKETS, Hops, NextHop};
use link::Link;
pub use source::Source;
pub use tunnel::{Encapsulation, Tunnel};

/// How packets are changed for a backend.
#[derive(Clone, Debug)]
pub enum Rewrite {
    /// Ethernet addresses only.
    L2dsr,
    /// An outer header.
    Tunnel(Tunnel),
    /// Addresses and ports, by the session of a flow and what [`crate::nat::Nat`] says; [`Backend::apply`] does the rest:
    /// Ethernet.
    Nat,
}

impl From<Tunnel> for Rewrite {
    fn from(tunnel: Tunnel) -> Self {
        Self::Tunnel(tunnel)
    }
}

/// What a worker needs to know of a backend: one cache line, so that one prefetch brings it.
#[derive(Clone, Debug)]
#[repr(align(64))]
pub struct Backend {
    /// Who it is, for counters and injections.
    pub id: BackendId,
    /// Where its packets leave.
    pub hops: Hops,
    /// How they are changed.
    pub rewrite: Rewrite,
}

const _: () = assert!(size_of::<Backend>() == 64);

/// Where the IP packet lies in a frame, and what of it an outer header repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IpPacket {
    /// Address family.
    pub family: Family,
    /// Where it begins in the frame, in bytes.
    pub offset: u16,
    /// Its length in bytes, headers included.
    pub len: u16,
    /// DSCP and ECN.
    pub traffic_class: u8,
}

impl From<&Parsed> for IpPacket {
    #[inline(always)]
    fn from(parsed: &Parsed) -> Self {
        let Parsed { family, ip_offset, ip_len, traffic_class, .. } = *parsed;
        Self { family, offset: ip_offset, len: ip_len, traffic_class }
    }
}

/// A packet that was changed into the frame that goes to its backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The port that it leaves by.
    pub egress: PortId,
    /// The frame is larger than its link carries: it must be sent as [`fragment::fragments`] makes of it.
    pub split: Option<Split>,
}

/// How a frame is to be split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Split {
    /// Offset of the outer IP header in the frame, in bytes.
    pub ip_offset: u16,
    /// Largest IP packet that the link carries, in bytes.
    pub mtu: u16,
}

/// Why a packet cannot go to its backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is larger than what the link carries with the outer header ([`DropReason::MtuExceeded`]).
    TooBig {
        /// Largest IP packet that the client may send, in bytes: what a [`too_big`] message tells. Not clamped to what
        /// the IP versions guarantee.
        mtu: u16,
    },
    /// Anything else.
    Drop(DropReason),
}

impl Refusal {
    /// The reason to count.
    #[inline]
    #[must_use]
    pub const fn reason(self) -> DropReason {
        match self {
            Self::TooBig { .. } => DropReason::MtuExceeded,
            Self::Drop(reason) => reason,
        }
    }

    const fn too_big(hop: &NextHop, overhead: u16) -> Self {
        Self::TooBig { mtu: hop.mtu.saturating_sub(overhead) }
    }
}

impl From<DropReason> for Refusal {
    #[inline]
    fn from(reason: DropReason) -> Self {
        Self::Drop(reason)
    }
}

impl From<Refusal> for DropReason {
    #[inline]
    fn from(refusal: Refusal) -> Self {
        refusal.reason()
    }
}

/// Gives a frame, whose IP packet lies where `ip` says, the addresses of a next hop and the tags of its link, and no less than
/// the minimal length. Whether the link carries it is the caller's to know.
pub(crate) fn address_to<P: Packet>(packet: &mut P, ip: IpPacket, hop: &NextHop) -> Result<(), DropReason> {
    let destination = hop.destination.as_ref().ok_or(DropReason::UnresolvedNeighbor)?;
    l2::address(packet, ip, Link { hop, destination })?;
    l2::pad(packet);
    Ok(())
}

impl Backend {
    /// Changes `packet`, whose IP packet lies where `parsed` says, into the frame that goes to this backend. Tags that
    /// it came in with are gone then; it has those of the link that it leaves by.
    ///
    /// # Errors
    ///
    /// The reason why the packet cannot go there; it is unchanged then.
    pub fn apply<P: Packet>(&self, packet: &mut P, parsed: &Parsed, hash: FlowHash) -> Result<Applied, Refusal> {
        self.apply_at(packet, parsed.into(), hash)
    }

    /// [`Backend::apply`] by what it needs to know of the packet.
    pub(crate) fn apply_at<P: Packet>(&self, packet: &mut P, ip: IpPacket, hash: FlowHash) -> Result<Applied, Refusal> {
        let unresolved = || Refusal::Drop(DropReason::UnresolvedNeighbor);
        let hop = self.hops.of_flow(hash).ok_or_else(unresolved)?;
        let link = Link { hop, destination: hop.destination.as_ref().ok_or_else(unresolved)? };
        let split = match &self.rewrite {
            Rewrite::L2dsr | Rewrite::Nat => l2::apply(packet, ip, link).map(|()| None),
            Rewrite::Tunnel(tunnel) => tunnel.apply(packet, ip, link, hash),
        }?;
        Ok(Applied { egress: hop.egress, split })
    }

    /// Bytes that its outer headers add to an IP packet.
    #[must_use]
    pub fn overhead(&self) -> u16 {
        match &self.rewrite {
            Rewrite::L2dsr | Rewrite::Nat => 0,
            Rewrite::Tunnel(tunnel) => tunnel.overhead(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::craft::{Craft, MIN_FRAME};
    use crate::memory::{HEADROOM, MemoryPacket};
    use crate::parse::{Outcome, parse};
    use crate::snapshot::PortState;
    use crate::wire::ethernet::Mac;
    use crate::wire::tcp;
    use crate::wire::vlan::Tags;
    use std::net::{Ipv4Addr, Ipv6Addr};

    const PORT: Mac = [2, 0, 0, 0, 0, 1];

    fn parsed(frame: &[u8]) -> Parsed {
        let port = PortState::new(PORT);
        match parse(frame, frame.len(), &port) {
            Outcome::Packet(parsed) => parsed,
            other => panic!("{other:?}"),
        }
    }

    fn backend(rewrite: Rewrite, destination: Option<Mac>, mtu: u16) -> Backend {
        let next_hop = NextHop { egress: PortId(3), source: PORT, destination, mtu, tags: Tags::NONE };
        Backend { id: BackendId(9), hops: next_hop.into(), rewrite }
    }

    fn rewrites() -> [(Rewrite, u16); 3] {
        let (v4, v6) = (Ipv4Addr::new(10, 0, 0, 1), "fd00::1".parse::<Ipv6Addr>().unwrap());
        let ipip4 = Tunnel::v4(v4.into(), v4, Encapsulation::Ipip);
        let ipip6 = Tunnel::v6(v6.into(), v6, Encapsulation::Ipip);
        [(Rewrite::L2dsr, 0), (ipip4.into(), 20), (ipip6.into(), 40)]
    }

    fn padded_syn() -> Vec<u8> {
        let syn = Craft::tcp("192.0.2.7:40000".parse().unwrap(), "203.0.113.10:80".parse().unwrap(), tcp::SYN);
        syn.macs(PORT, [2, 0, 0, 0, 0, 0xfe]).padded_to(MIN_FRAME).frame()
    }

    #[test]
    fn an_error_leaves_the_packet_as_it_was() {
        let frame = padded_syn();
        let parsed = parsed(&frame);
        let mac = Some([2, 0, 0, 0, 1, 0x0b]);
        for (rewrite, overhead) in rewrites() {
            let apply = |destination, mtu, headroom: usize| {
                let mut packet = MemoryPacket::new(&[]);
                assert!(packet.prepend(HEADROOM - headroom) && packet.resize(frame.len()));
                packet.frame_mut().copy_from_slice(&frame);
                let result = backend(rewrite.clone(), destination, mtu).apply(&mut packet, &parsed, FlowHash(0));
                assert_eq!(result.is_err(), packet.frame() == frame);
                result
            };
            assert_eq!(apply(None, 1_500, 128), Err(Refusal::Drop(DropReason::UnresolvedNeighbor)));
            assert_eq!(apply(mac, 40 + overhead - 1, 128), Err(Refusal::TooBig { mtu: 39 }));
            assert_eq!(
                apply(mac, 40 + overhead, usize::from(overhead)),
                Ok(Applied { egress: PortId(3), split: None })
            );
            if overhead > 0 {
                assert_eq!(apply(mac, 1_500, usize::from(overhead) - 1), Err(Refusal::Drop(DropReason::NoHeadroom)));
            }
        }
    }

    #[test]
    fn the_flow_label_varies_with_the_entropy_of_the_hash() {
        let frame = padded_syn();
        let [_, _, (rewrite, _)] = rewrites();
        let label = |entropy: u16| {
            let mut packet = MemoryPacket::new(&frame);
            let hash = FlowHash(u128::from(entropy) << 64);
            backend(rewrite.clone(), Some(PORT), 1_500).apply(&mut packet, &parsed(&frame), hash).unwrap();
            packet.frame()[14..18].to_vec()
        };
        for entropy in [0_u16, 1, 0xabcd, 0xffff] {
            let [high, low] = entropy.to_be_bytes();
            assert_eq!(label(entropy), [0x60, 0, high, low]);
        }
    }

    #[test]
    fn a_longer_header_in_front_is_cut_off() {
        // A tag of 4 bytes between Ethernet and IP header, as after a VLAN of ours, and a longer one than any template.
        for tag in [4_usize, 60] {
            let frame = padded_syn();
            let mut tagged = frame[..14].to_vec();
            tagged.resize(14 + tag, 0xee);
            tagged.extend_from_slice(&frame[14..]);
            let parsed = Parsed { ip_offset: 14 + tag as u16, ..parsed(&frame) };
            for (rewrite, overhead) in rewrites().into_iter().skip(1) {
                let backend = backend(rewrite, Some([2, 0, 0, 0, 1, 0x0b]), 1_500);
                let (mut plain, mut packet) = (MemoryPacket::new(&frame), MemoryPacket::new(&tagged));
                backend.apply(&mut packet, &parsed, FlowHash(7)).unwrap();
                backend.apply(&mut plain, &Parsed { ip_offset: 14, ..parsed }, FlowHash(7)).unwrap();
                assert_eq!(packet.frame(), plain.frame(), "{overhead} bytes of outer header after a tag of {tag}");
            }
        }
    }
}
