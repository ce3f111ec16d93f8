//! Addresses and ports rewritten in both directions.
//!
//! [`translate`] makes of a frame one with the addresses and ports of another [`Tuple`], and of one IP version the other where
//! these are of the other (RFC 7915); [`forward`] gives it the Ethernet header of a next hop as well. Errors of ICMP are
//! translated outside and in what they quote (`error`, `message`).
//!
//! Checksums are updated by what was replaced (RFC 1624): the cost does not depend on the length, and what was damaged before
//! it came here stays so. No packet is looked at behind its transport header, but for what has no checksum to update.

mod backend;
mod between;
mod ends;
mod error;
mod header;
mod message;
mod owner;
mod same;
mod transport;
mod usual;

use crate::drop_reason::DropReason;
use crate::parse::{Family, Kind, Parsed};
use crate::port::Packet;
use crate::rewrite::{Applied, IpPacket, NextHop, Refusal, Split, address_to};
use crate::session::Tuple;
use crate::wire::{ethernet, ipv4, ipv6, protocol};
pub use backend::{Nat, Retry};
use ends::Ends;
pub use error::quoted_sequence;
pub use owner::{owner_of_client, owner_of_port};

/// What a translation needs beside the tuple.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Largest IP packet that may leave, in bytes.
    pub mtu: u16,
    /// Names an IPv4 packet that others may fragment and that had no name as an IPv6 packet. It must differ from that of other
    /// packets between the same addresses for as long as their fragments may be under way (RFC 6864, section 4.2).
    pub identification: u16,
    /// Written as the sequence number of the TCP segment that an ICMP error quotes; [`quoted_sequence`] reads it.
    pub quoted_sequence: Option<u32>,
}

/// No limit, no name, no new number.
impl Default for Settings {
    fn default() -> Self {
        Self { mtu: u16::MAX, identification: 0, quoted_sequence: None }
    }
}

/// Where the parts of a translated packet lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Translated {
    /// Address family.
    pub family: Family,
    /// Offset of the IP header in the frame, in bytes.
    pub ip_offset: u16,
    /// Length of the IP packet in bytes, headers included.
    pub ip_len: u16,
    /// Offset in the frame of what follows the IP header and its extensions, in bytes.
    pub transport_offset: u16,
    /// DSCP and ECN.
    pub traffic_class: u8,
    /// It is larger than [`Settings::mtu`], but its sender allows fragments: it must be sent as
    /// [`crate::rewrite::fragment::fragments`] makes of it.
    pub split: Option<Split>,
}

impl From<&Translated> for IpPacket {
    fn from(translated: &Translated) -> Self {
        let Translated { family, ip_offset, ip_len, traffic_class, .. } = *translated;
        Self { family, offset: ip_offset, len: ip_len, traffic_class }
    }
}

/// Rewrites a frame, which `parsed` describes, into one with the addresses and ports of `to`, in the IP version of these. One
/// hop is taken from what is left to it. The Ethernet header and its tags stay, but for the type of what follows.
///
/// A later fragment has no ports to rewrite. For an ICMP error `to` is, as [`Tuple::of`] the error is, the flow's tuple in the
/// direction in which the error travels; the packet that it quotes gets it turned round. An error by a router keeps its source
/// address in the same IP version, and is from `to`'s source in the other.
///
/// Between IP versions (RFC 7915) options and extension headers are left out but for fragments, the flow label is zero, and
/// IPv4 packets of more than 1,260 bytes that come of IPv6 are not to be fragmented. An ICMP error loses its extensions (RFC
/// 4884), and what of its quote is beyond 576 bytes of IPv4 or 1,280 of IPv6. A UDP datagram without a checksum keeps none in IPv4, and gets
/// one in IPv6.
///
/// # Errors
///
/// Why the packet cannot be translated; it is unchanged then. [`Refusal::TooBig`] tells the MTU in terms of the packet as it
/// came in: between IP versions 20 bytes less or more, 28 less of an IPv4 fragment.
pub fn translate<P: Packet>(
    packet: &mut P,
    parsed: &Parsed,
    to: &Tuple,
    settings: &Settings,
) -> Result<Translated, Refusal> {
    let ends = Ends::of(to).ok_or(DropReason::NatUntranslatable)?;
    let same = ends.family == parsed.family;
    match parsed.kind {
        Kind::Undecidable(reason) => Err(reason.into()),
        Kind::IcmpError if same => error::translate_same(packet, parsed, to, settings),
        Kind::IcmpError => error::translate_between(packet, parsed, to, settings),
        _ if !matches!(parsed.protocol, protocol::TCP | protocol::UDP) => Err(DropReason::NatUntranslatable.into()),
        _ if same => same::translate(packet, parsed, to, settings),
        _ => between::translate(packet, parsed, to, settings),
    }
}

/// [`translate`], and the Ethernet header and tags of the way to `hop`, whose link says the MTU.
///
/// # Errors
///
/// As [`translate`], and [`DropReason::UnresolvedNeighbor`]. The packet is unchanged, unless there is no room for tags that
/// the link has and the frame had not ([`DropReason::NoHeadroom`]).
pub fn forward<P: Packet>(
    packet: &mut P,
    parsed: &Parsed,
    to: &Tuple,
    settings: &Settings,
    hop: &NextHop,
) -> Result<Applied, Refusal> {
    if hop.destination.is_none() {
        return Err(DropReason::UnresolvedNeighbor.into());
    }
    if let Some(ends) = Ends::of(to).filter(|ends| ends.family == parsed.family)
        && matches!(parsed.protocol, protocol::TCP | protocol::UDP)
        && let Some(applied) = usual::forward(packet, parsed, ends, to, hop)
    {
        return Ok(applied);
    }
    let settings = Settings { mtu: hop.mtu, ..*settings };
    let translated = translate(packet, parsed, to, &settings)?;
    address_to(packet, (&translated).into(), hop)?;
    let ip_offset = (ethernet::HEADER_LEN + hop.tags.len()) as u16;
    let split = translated.split.map(|split| Split { ip_offset, ..split });
    Ok(Applied { egress: hop.egress, split })
}

/// What an IPv6 header is longer than one of IPv4, in bytes.
const GROWTH: u16 = (ipv6::HEADER_LEN - ipv4::HEADER_LEN) as u16;

/// What becomes of a packet that has `len` bytes as it leaves: `may_split` says whether its sender allows fragments. `Some` is
/// the length that these must not exceed. `told` is what its sender is told of the MTU.
fn fit(len: usize, mtu: u16, told: u16, may_split: bool) -> Result<Option<u16>, Refusal> {
    if len <= usize::from(mtu) {
        return Ok(None);
    }
    // What no length can say has no fragments either.
    if may_split && len <= usize::from(u16::MAX) { Ok(Some(mtu)) } else { Err(Refusal::TooBig { mtu: told }) }
}

/// Hops left behind us.
fn next_hops(hops: u8) -> Result<u8, DropReason> {
    hops.checked_sub(1).filter(|left| *left > 0).ok_or(DropReason::TtlExpired)
}
