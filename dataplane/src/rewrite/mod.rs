//! The third stage: what a packet looks like when it leaves towards its backend.
//!
//! Everything that does not depend on the packet is prebuilt in the backend's [`Backend`]: Ethernet addresses, the
//! outer header, the part of its checksum that stays the same.

mod ipip;
mod l2;

use crate::drop_reason::DropReason;
use crate::hash::FlowHash;
use crate::ids::{BackendId, PortId};
use crate::parse::Parsed;
use crate::port::Packet;
use crate::wire::ethernet::Mac;
pub use ipip::{Ipip4, Ipip6};

/// Where packets of a backend leave, and to whom on that wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextHop {
    /// The port.
    pub egress: PortId,
    /// The port's own hardware address.
    pub source: Mac,
    /// The next hop's hardware address, if it is known.
    pub destination: Option<Mac>,
    /// Largest IP packet that the port carries, in bytes.
    pub mtu: u16,
}

/// How packets are changed for a backend.
#[derive(Clone, Debug)]
pub enum Rewrite {
    /// Ethernet addresses only.
    L2dsr,
    /// An outer IPv4 header.
    Ipip4(Ipip4),
    /// An outer IPv6 header.
    Ipip6(Ipip6),
}

/// What a worker needs to know of a backend.
#[derive(Clone, Debug)]
#[repr(align(64))]
pub struct Backend {
    /// Who it is, for counters and injections.
    pub id: BackendId,
    /// Where its packets leave.
    pub next_hop: NextHop,
    /// How they are changed.
    pub rewrite: Rewrite,
}

impl Backend {
    /// Changes `packet`, whose IP packet lies where `parsed` says, into the frame that goes to this backend.
    ///
    /// # Errors
    ///
    /// The reason why the packet cannot go there; it is unchanged then.
    #[inline]
    pub fn apply<P: Packet>(&self, packet: &mut P, parsed: &Parsed, hash: FlowHash) -> Result<PortId, DropReason> {
        let next_hop = &self.next_hop;
        let destination = next_hop.destination.ok_or(DropReason::UnresolvedNeighbor)?;
        let addresses = Addresses { source: next_hop.source, destination };
        match &self.rewrite {
            Rewrite::L2dsr => l2::apply(packet, parsed, next_hop.mtu, addresses),
            Rewrite::Ipip4(template) => template.apply(packet, parsed, next_hop.mtu, addresses),
            Rewrite::Ipip6(template) => template.apply(packet, parsed, next_hop.mtu, addresses, hash),
        }?;
        Ok(next_hop.egress)
    }
}

/// The Ethernet addresses of a frame that leaves.
#[derive(Clone, Copy)]
struct Addresses {
    source: Mac,
    destination: Mac,
}

/// Whether an IP packet of `len` bytes fits.
#[inline]
fn check_mtu(len: usize, mtu: u16) -> Result<(), DropReason> {
    if len > usize::from(mtu) { Err(DropReason::MtuExceeded) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::craft::{Craft, MIN_FRAME};
    use crate::memory::{HEADROOM, MemoryPacket};
    use crate::parse::{Outcome, parse};
    use crate::snapshot::PortState;
    use crate::wire::tcp;

    const PORT: Mac = [2, 0, 0, 0, 0, 1];

    fn parsed(frame: &[u8]) -> Parsed {
        let port = PortState { mac: PORT, up: true, any_destination: false };
        match parse(frame, frame.len(), &port) {
            Outcome::Packet(parsed) => parsed,
            other => panic!("{other:?}"),
        }
    }

    fn backend(rewrite: Rewrite, destination: Option<Mac>, mtu: u16) -> Backend {
        let next_hop = NextHop { egress: PortId(3), source: PORT, destination, mtu };
        Backend { id: BackendId(9), next_hop, rewrite }
    }

    fn rewrites() -> [(Rewrite, u16); 3] {
        let (v4, v6) = ("10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap());
        [(Rewrite::L2dsr, 0), (Rewrite::Ipip4(Ipip4::new(v4, v4)), 20), (Rewrite::Ipip6(Ipip6::new(v6, v6)), 40)]
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
            assert_eq!(apply(None, 1_500, 128), Err(DropReason::UnresolvedNeighbor));
            assert_eq!(apply(mac, 40 + overhead - 1, 128), Err(DropReason::MtuExceeded));
            assert_eq!(apply(mac, 40 + overhead, usize::from(overhead)), Ok(PortId(3)));
            if overhead > 0 {
                assert_eq!(apply(mac, 1_500, usize::from(overhead) - 1), Err(DropReason::NoHeadroom));
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
