//! VLAN tags: which link of the port a frame came in on (IEEE 802.1Q; stacked tags: IEEE 802.1ad).

use super::{Parsed, Refused, parse_network};
use crate::drop_reason::DropReason;
use crate::ids::{LinkId, PortId};
use crate::port::Packet;
use crate::snapshot::{PortState, VlanKey};
use crate::wire::ethernet::{self, EthernetHeader, VlanTag};
use zerocopy::FromBytes;

/// The tags of a frame.
struct Tagged {
    vlan: VlanKey,
    /// What follows them.
    ethertype: u16,
    /// Their length in bytes.
    len: usize,
}

/// Reads the tags behind an Ethernet header whose type announces them.
fn tags(ethertype: u16, bytes: &[u8]) -> Result<Tagged, DropReason> {
    let (outer, rest) = VlanTag::ref_from_prefix(bytes).map_err(|_| DropReason::Runt)?;
    let len = size_of::<VlanTag>();
    match (ethertype, outer.ethertype.get()) {
        (ethernet::TYPE_QINQ, ethernet::TYPE_VLAN) => {
            let (inner, _) = VlanTag::ref_from_prefix(rest).map_err(|_| DropReason::Runt)?;
            let vlan = VlanKey::new(Some(outer.id()), inner.id());
            match inner.ethertype.get() {
                ethernet::TYPE_VLAN | ethernet::TYPE_QINQ => Err(DropReason::VlanStacked),
                ethertype => Ok(Tagged { vlan, ethertype, len: 2 * len }),
            }
        }
        (_, ethernet::TYPE_VLAN | ethernet::TYPE_QINQ) => Err(DropReason::VlanStacked),
        (ethernet::TYPE_QINQ, _) => Err(DropReason::Vlan),
        (_, ethertype) => Ok(Tagged { vlan: VlanKey::new(None, outer.id()), ethertype, len }),
    }
}

/// Parses a frame whose Ethernet `header` is followed by tags, with which `payload` begins.
#[cold]
#[inline(never)]
pub(super) fn parse_tagged(
    header: &EthernetHeader,
    payload: &[u8],
    total_len: usize,
    port: &PortState,
    out: &mut Parsed,
) -> Result<(), Refused> {
    let tagged = tags(header.ethertype.get(), payload)?;
    if !port.knows(tagged.vlan) {
        let stacked = tagged.len > size_of::<VlanTag>();
        return Err(if stacked { DropReason::VlanStacked } else { DropReason::Vlan }.into());
    }
    let bytes = payload.get(tagged.len..).unwrap_or(&[]);
    let group = ethernet::is_group(&header.destination);
    parse_network(tagged.ethertype, group, bytes, total_len, ethernet::HEADER_LEN + tagged.len, out)
}

/// The link that a frame came in on by `port`. `None` if no interface is configured for its tags.
pub(crate) fn link_of(frame: &[u8], port: PortId, state: &PortState) -> Option<LinkId> {
    let (header, payload) = EthernetHeader::ref_from_prefix(frame).ok()?;
    let vlan = match header.ethertype.get() {
        ethertype @ (ethernet::TYPE_VLAN | ethernet::TYPE_QINQ) => tags(ethertype, payload).ok()?.vlan,
        _ => VlanKey::UNTAGGED,
    };
    state.link(port, vlan)
}

/// Takes the tags out of a frame that came in on `port`, and says which link they name. `None`, and nothing changed, if
/// no interface is configured for them.
pub fn strip_tags<P: Packet>(packet: &mut P, port: PortId, state: &PortState) -> Option<LinkId> {
    let (header, payload) = EthernetHeader::ref_from_prefix(packet.frame()).ok()?;
    let ethertype = header.ethertype.get();
    if !matches!(ethertype, ethernet::TYPE_VLAN | ethernet::TYPE_QINQ) {
        return state.link(port, VlanKey::UNTAGGED);
    }
    let Tagged { vlan, len, .. } = tags(ethertype, payload).ok()?;
    let link = state.link(port, vlan)?;
    // The addresses move up to the type behind the last tag.
    packet.frame_mut().copy_within(..ethernet::ADDRESSES_LEN, len);
    packet.trim_front(len).then_some(link)
}
