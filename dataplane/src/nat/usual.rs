//! The usual packet, in one pass: untagged in and out, of one IP version, whole, without options or extensions.
//!
//! What is not usual, or does not go, is left as it was for the general way, which makes the same of it and names what is wrong.

use super::ends::Ends;
use super::{next_hops, same, transport};
use crate::parse::{Family, Kind, Parsed};
use crate::port::Packet;
use crate::rewrite::{Applied, NextHop};
use crate::session::Tuple;
use crate::wire::ethernet::{self, EthernetHeader, MIN_FRAME};
use crate::wire::ipv4::{self, Ipv4Header};
use crate::wire::ipv6::{self, Ipv6Header};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The front of a frame.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Front<I> {
    ethernet: EthernetHeader,
    ip: I,
}

const BEHIND_V4: usize = ethernet::HEADER_LEN + ipv4::HEADER_LEN;
const BEHIND_V6: usize = ethernet::HEADER_LEN + ipv6::HEADER_LEN;

/// [`super::forward`] of a usual packet, of TCP or UDP; `None`: it is none.
#[inline]
pub(super) fn forward<P: Packet>(
    packet: &mut P,
    parsed: &Parsed,
    ends: Ends,
    to: &Tuple,
    hop: &NextHop,
) -> Option<Applied> {
    let is_usual = parsed.kind == Kind::Whole
        && usize::from(parsed.ip_offset) == ethernet::HEADER_LEN
        && hop.tags.is_empty()
        && parsed.ip_len <= hop.mtu
        && packet.total_len() >= MIN_FRAME;
    let destination = hop.destination.filter(|_| is_usual)?;
    let frame = packet.frame_mut();
    let (ethernet, rest, difference) = match (parsed.family, usize::from(parsed.transport_offset)) {
        (Family::V4, BEHIND_V4) => {
            let (front, rest) = Front::<Ipv4Header>::mut_from_prefix(frame).ok()?;
            let hops = next_hops(front.ip.ttl).ok()?;
            if !transport::is_whole(parsed.protocol, rest) {
                return None;
            }
            let difference = same::rewrite_v4(&mut front.ip, ends, hops);
            (&mut front.ethernet, rest, difference)
        }
        (Family::V6, BEHIND_V6) => {
            let (front, rest) = Front::<Ipv6Header>::mut_from_prefix(frame).ok()?;
            let hops = next_hops(front.ip.hop_limit).ok()?;
            if !transport::is_whole(parsed.protocol, rest) {
                return None;
            }
            let difference = same::rewrite_v6(&mut front.ip, ends, hops);
            (&mut front.ethernet, rest, difference)
        }
        _ => return None,
    };
    (ethernet.source, ethernet.destination) = (hop.source, destination);
    transport::translate(rest, parsed.protocol, to, difference);
    Some(Applied { egress: hop.egress, split: None })
}
