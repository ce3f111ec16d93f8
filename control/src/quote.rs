//! What an ICMP error says about a tunnel's packet that did not arrive, and what it quotes. Every rule that needs no
//! knowledge of ours is checked here.

use crate::responder::ip::{self, ICMP, ICMPV6};
use smoltcp::wire::{Icmpv4Message, Icmpv4Packet, Icmpv6Message, Icmpv6Packet, Ipv4Packet, Ipv6Packet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Length of an ICMP error's own header, in bytes.
const ICMP_HEADER: usize = 8;
/// "Fragmentation needed and DF set" among ICMP's unreachables.
const FRAGMENTATION_NEEDED: u8 = 4;
const IPV4_HEADER: usize = 20;
const IPV6_HEADER: usize = 40;
const UDP_HEADER: usize = 8;
const GRE_HEADER: usize = 4;
const GUE_HEADER: usize = 4;
const FRAGMENT_HEADER: usize = 8;

const PROTOCOL_IPV4: u8 = 4;
const PROTOCOL_UDP: u8 = 17;
const PROTOCOL_IPV6: u8 = 41;
const PROTOCOL_FRAGMENT: u8 = 44;
const PROTOCOL_GRE: u8 = 47;

/// From as many bytes behind the outer IPv4 header on, the destination of the packet inside must be among them: the
/// longest header of a tunnel that is common, and an IPv4 header. Old routers quote 8 bytes (RFC 792), newer ones as much
/// as fits (RFC 1812 section 4.3.2.3).
const ENOUGH: usize = UDP_HEADER + IPV4_HEADER;

/// Why a packet did not arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// It was too large.
    TooBig {
        /// The next hop's MTU as the router tells it; 0 if it does not.
        mtu: u32,
    },
    /// "Destination unreachable" of every other kind: no route, no neighbour, no such protocol or port, forbidden.
    Unreachable,
}

/// An ICMP error about a tunnel's packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Error {
    /// What is wrong.
    pub(super) trouble: Trouble,
    /// Length of the quoted packet before it was cut, in bytes.
    pub(super) len: u32,
    /// Where the quoted packet was sent: the far end of the tunnel.
    pub(super) destination: IpAddr,
    /// The packet in the quoted one.
    pub(super) inner: Inner,
}

/// What is quoted of the packet in a tunnel's packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Inner {
    /// Its destination.
    To(IpAddr),
    /// Not enough to know, as RFC 792 allows.
    Cut,
}

/// A quoted packet.
struct Quoted<'a> {
    source: IpAddr,
    destination: IpAddr,
    len: u32,
    protocol: u8,
    payload: &'a [u8],
}

/// Reads a frame. `None` for all that is no such error, is damaged, or quotes a packet that was not sent from the
/// address that the error came to.
pub(super) fn parse(frame: &[u8]) -> Option<Error> {
    let ip = ip::parse(frame).ok()?;
    let message = frame.get(ip.payload.clone())?;
    let (trouble, quoted) = match (ip.source, ip.destination, ip.protocol) {
        (_, IpAddr::V4(_), ICMP) => (trouble_v4(message)?, quoted_v4(message.get(ICMP_HEADER..)?)?),
        (IpAddr::V6(source), IpAddr::V6(destination), ICMPV6) => {
            (trouble_v6(message, source, destination)?, quoted_v6(message.get(ICMP_HEADER..)?)?)
        }
        _ => return None,
    };
    if quoted.source != ip.destination {
        return None;
    }
    let inner = match inner_destination(&quoted) {
        Some(destination) => Inner::To(destination),
        None if quoted.source.is_ipv4() && is_tunnel(quoted.protocol) && quoted.payload.len() < ENOUGH => Inner::Cut,
        None => return None,
    };
    Some(Error { trouble, len: quoted.len, destination: quoted.destination, inner })
}

/// RFC 792; RFC 1191 section 4 for the MTU.
fn trouble_v4(message: &[u8]) -> Option<Trouble> {
    let packet = Icmpv4Packet::new_checked(message).ok()?;
    let [.., high, low] = message.first_chunk::<ICMP_HEADER>()?;
    let trouble = match (packet.msg_type(), packet.msg_code()) {
        (Icmpv4Message::DstUnreachable, FRAGMENTATION_NEEDED) => {
            Trouble::TooBig { mtu: u32::from(u16::from_be_bytes([*high, *low])) }
        }
        (Icmpv4Message::DstUnreachable, _) => Trouble::Unreachable,
        _ => return None,
    };
    packet.verify_checksum().then_some(trouble)
}

/// RFC 4443 sections 3.1 and 3.2.
fn trouble_v6(message: &[u8], source: Ipv6Addr, destination: Ipv6Addr) -> Option<Trouble> {
    let packet = Icmpv6Packet::new_checked(message).ok()?;
    let [.., a, b, c, d] = message.first_chunk::<ICMP_HEADER>()?;
    let trouble = match packet.msg_type() {
        Icmpv6Message::PktTooBig => Trouble::TooBig { mtu: u32::from_be_bytes([*a, *b, *c, *d]) },
        Icmpv6Message::DstUnreachable => Trouble::Unreachable,
        _ => return None,
    };
    packet.verify_checksum(&source, &destination).then_some(trouble)
}

fn quoted_v4(bytes: &[u8]) -> Option<Quoted<'_>> {
    let packet = Ipv4Packet::new_unchecked(bytes.get(..IPV4_HEADER)?);
    let header = usize::from(packet.header_len());
    if packet.version() != 4 || header < IPV4_HEADER || packet.frag_offset() != 0 {
        return None;
    }
    Some(Quoted {
        source: IpAddr::V4(packet.src_addr()),
        destination: IpAddr::V4(packet.dst_addr()),
        len: u32::from(packet.total_len()),
        protocol: packet.next_header().into(),
        payload: bytes.get(header..)?,
    })
}

/// A fragment of an outer packet may be what did not fit; only the first one tells whose it is.
fn quoted_v6(bytes: &[u8]) -> Option<Quoted<'_>> {
    let (header, mut payload) = bytes.split_at_checked(IPV6_HEADER)?;
    let packet = Ipv6Packet::new_unchecked(header);
    let mut protocol = packet.next_header().into();
    if packet.version() != 6 {
        return None;
    }
    if protocol == PROTOCOL_FRAGMENT {
        let (fragment, rest) = payload.split_at_checked(FRAGMENT_HEADER)?;
        if u16::from_be_bytes([fragment[2], fragment[3]]) >> 3 != 0 {
            return None;
        }
        (protocol, payload) = (fragment[0], rest);
    }
    Some(Quoted {
        source: IpAddr::V6(packet.src_addr()),
        destination: IpAddr::V6(packet.dst_addr()),
        len: IPV6_HEADER as u32 + u32::from(packet.payload_len()),
        protocol,
        payload,
    })
}

fn is_tunnel(protocol: u8) -> bool {
    matches!(protocol, PROTOCOL_IPV4 | PROTOCOL_IPV6 | PROTOCOL_GRE | PROTOCOL_UDP)
}

/// Where the packet in a tunnel's packet is sent; `None` if there is none, or too little of it.
fn inner_destination(quoted: &Quoted<'_>) -> Option<IpAddr> {
    let payload = quoted.payload;
    match quoted.protocol {
        PROTOCOL_IPV4 | PROTOCOL_IPV6 => destination_of(quoted.protocol, payload),
        PROTOCOL_GRE => {
            let protocol = match payload.first_chunk::<GRE_HEADER>()? {
                [0, 0, 0x08, 0x00] => PROTOCOL_IPV4,
                [0, 0, 0x86, 0xdd] => PROTOCOL_IPV6,
                _ => return None,
            };
            destination_of(protocol, payload.get(GRE_HEADER..)?)
        }
        PROTOCOL_UDP => in_gue(payload.get(UDP_HEADER..)?),
        _ => None,
    }
}

/// Variant 1 of GUE is no header at all: the first two bits of the packet tell. Variant 0 names the protocol.
fn in_gue(bytes: &[u8]) -> Option<IpAddr> {
    let first = *bytes.first()?;
    match first >> 4 {
        4 => destination_of(PROTOCOL_IPV4, bytes),
        6 => destination_of(PROTOCOL_IPV6, bytes),
        0 | 1 => {
            let header = GUE_HEADER + 4 * usize::from(first & 0x1f);
            // A control message (the third bit) would carry no packet.
            destination_of(*bytes.get(1)?, bytes.get(header..)?)
        }
        _ => None,
    }
}

fn destination_of(protocol: u8, packet: &[u8]) -> Option<IpAddr> {
    match (protocol, packet.first()? >> 4) {
        (PROTOCOL_IPV4, 4) => {
            let bytes = packet.get(16..IPV4_HEADER)?.first_chunk::<4>()?;
            Some(IpAddr::V4(Ipv4Addr::from(*bytes)))
        }
        (PROTOCOL_IPV6, 6) => {
            let bytes = packet.get(24..IPV6_HEADER)?.first_chunk::<16>()?;
            Some(IpAddr::V6(Ipv6Addr::from(*bytes)))
        }
        _ => None,
    }
}
