//! Reads what comes back: SYN-ACK, reset, stray ACK, "destination unreachable".
//!
//! TCP checksums are not verified: virtual devices hand packets over with the checksum left to the hardware that
//! they do not have, and the 32 bits of the cookie are the stronger proof.

use super::report::Ignored;
use guideway_dataplane::select::CONVERSATION_PORT_BASE;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const ICMP: u8 = 1;
const IPIP: u8 = 4;
const TCP: u8 = 6;
const UDP: u8 = 17;
const IPV6_IN_IP: u8 = 41;
const ICMPV6: u8 = 58;

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;

/// Bytes of an ICMP header before the packet that it quotes, in both versions.
const ICMP_HEADER: usize = 8;
/// Bytes of TCP that every ICMP error quotes (RFC 792): ports and sequence number.
const QUOTED_TCP: usize = 8;
/// IP headers that a quote may have: that of a tunnel, and the probe's own.
const QUOTED_HEADERS: usize = 2;

/// What kind of packet a backend, or a router, sent back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    SynAck,
    /// An ACK alone: the answer to a SYN that meets a half-open connection of an earlier round (RFC 9293, section
    /// 3.10.7.4).
    Ack,
    Reset,
    Unreachable,
}

/// A packet that may belong to a probe, from the prober's side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub kind: Kind,
    /// The source of the probe.
    pub local: IpAddr,
    /// The destination of the probe.
    pub remote: IpAddr,
    pub local_port: u16,
    pub remote_port: u16,
    /// The sequence number of the probe.
    pub cookie: u32,
}

/// An IP header with what follows it.
struct Ip<'a> {
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    /// No first fragment or whole packet.
    fragment: bool,
    /// More fragments follow.
    more: bool,
    /// Up to the end of the bytes at hand; `len` may say less or, in a quote, more.
    rest: &'a [u8],
    /// Length of what follows the header, by the header's own account.
    len: Option<usize>,
}

/// Reads a layer-3 packet.
pub(super) fn parse(packet: &[u8]) -> Result<Answer, Ignored> {
    let ip = ip(packet).ok_or(Ignored::Malformed)?;
    if ip.fragment || ip.more {
        return Err(Ignored::NotAnAnswer);
    }
    let body = ip.len.and_then(|len| ip.rest.get(..len)).ok_or(Ignored::Malformed)?;
    match (ip.protocol, ip.source) {
        (TCP, _) => tcp(&ip, body),
        (ICMP, IpAddr::V4(_)) | (ICMPV6, IpAddr::V6(_)) => icmp(ip.protocol, body),
        _ => Err(Ignored::NotAnAnswer),
    }
}

fn ip(bytes: &[u8]) -> Option<Ip<'_>> {
    match bytes.first()? >> 4 {
        4 => ipv4(bytes),
        6 => ipv6(bytes),
        _ => None,
    }
}

fn ipv4(bytes: &[u8]) -> Option<Ip<'_>> {
    let header: &[u8; 20] = bytes.first_chunk()?;
    let header_len = usize::from(header[0] & 0x0f) * 4;
    if header_len < header.len() {
        return None;
    }
    let total_len = usize::from(u16::from_be_bytes([header[2], header[3]]));
    let fragment = u16::from_be_bytes([header[6], header[7]]);
    Some(Ip {
        source: Ipv4Addr::new(header[12], header[13], header[14], header[15]).into(),
        destination: Ipv4Addr::new(header[16], header[17], header[18], header[19]).into(),
        protocol: header[9],
        fragment: fragment & 0x1fff != 0,
        more: fragment & 0x2000 != 0,
        rest: bytes.get(header_len..)?,
        len: total_len.checked_sub(header_len),
    })
}

fn ipv6(bytes: &[u8]) -> Option<Ip<'_>> {
    let (header, rest): (&[u8; 40], _) = bytes.split_first_chunk()?;
    Some(Ip {
        source: Ipv6Addr::from(*header[8..].first_chunk::<16>()?).into(),
        destination: Ipv6Addr::from(*header[24..].first_chunk::<16>()?).into(),
        protocol: header[6],
        fragment: false,
        more: false,
        rest,
        len: Some(usize::from(u16::from_be_bytes([header[4], header[5]]))),
    })
}

fn tcp(ip: &Ip<'_>, body: &[u8]) -> Result<Answer, Ignored> {
    let header: &[u8; 20] = body.first_chunk().ok_or(Ignored::Malformed)?;
    let header_len = usize::from(header[12] >> 4) * 4;
    if header_len < header.len() || header_len > body.len() {
        return Err(Ignored::Malformed);
    }
    let kind = match header[13] & (SYN | ACK | RST | FIN) {
        flags if flags == SYN | ACK => Kind::SynAck,
        flags if flags == RST | ACK => Kind::Reset,
        ACK => Kind::Ack,
        _ => return Err(Ignored::NotAnAnswer),
    };
    let acknowledged = u32::from_be_bytes([header[8], header[9], header[10], header[11]]);
    Ok(Answer {
        kind,
        local: ip.destination,
        remote: ip.source,
        local_port: u16::from_be_bytes([header[2], header[3]]),
        remote_port: u16::from_be_bytes([header[0], header[1]]),
        cookie: acknowledged.wrapping_sub(1),
    })
}

/// "Destination unreachable" of either version: the probe that it quotes.
fn icmp(protocol: u8, body: &[u8]) -> Result<Answer, Ignored> {
    let (header, quote): (&[u8; ICMP_HEADER], _) = body.split_first_chunk().ok_or(Ignored::Malformed)?;
    if !is_unreachable(protocol, header) {
        return Err(Ignored::NotAnAnswer);
    }
    quoted(quote)
}

/// Whether a layer-3 packet may be part of a conversation (`checks`): by its port, an echo reply by its identifier, an ICMP
/// error by what it quotes. Any bytes may be given.
pub(crate) fn is_of_conversation(packet: &[u8]) -> bool {
    let own_end = || {
        let ip = ip(packet).filter(|ip| !ip.fragment)?;
        match (ip.protocol, ip.rest.first()?) {
            (TCP | UDP, _) => ip.rest.get(2..4),
            (ICMP, 0) | (ICMPV6, 129) => ip.rest.get(4..6),
            (ICMP, 3) | (ICMPV6, 1) => return unreachable(packet).map(|flow| flow.local_port),
            _ => None,
        }
        .map(|port| u16::from_be_bytes([port[0], port[1]]))
    };
    own_end().is_some_and(|port| port >= CONVERSATION_PORT_BASE)
}

/// A flow of ours that an ICMP error speaks of, from our side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flow {
    pub(crate) local: IpAddr,
    pub(crate) remote: IpAddr,
    /// The port; of an echo request its identifier.
    pub(crate) local_port: u16,
}

/// What a "destination unreachable" of either version says did not arrive: TCP, UDP or an echo request, in a tunnel or not.
pub(crate) fn unreachable(packet: &[u8]) -> Option<Flow> {
    let outer = ip(packet).filter(|ip| !ip.fragment)?;
    let (header, mut quote): (&[u8; ICMP_HEADER], _) = outer.rest.split_first_chunk()?;
    if !is_unreachable(outer.protocol, header) {
        return None;
    }
    for _ in 0..QUOTED_HEADERS {
        let ip = ip(quote).filter(|ip| !ip.fragment)?;
        let port = match ip.protocol {
            TCP | UDP => ip.rest.get(..2)?,
            ICMP | ICMPV6 => ip.rest.get(4..6)?,
            IPIP | IPV6_IN_IP => {
                quote = ip.rest;
                continue;
            }
            _ => return None,
        };
        let local_port = u16::from_be_bytes([port[0], port[1]]);
        return Some(Flow { local: ip.source, remote: ip.destination, local_port });
    }
    None
}

fn is_unreachable(protocol: u8, header: &[u8; ICMP_HEADER]) -> bool {
    match (protocol, header[0], header[1]) {
        // "Fragmentation needed" says that the packet was too long, and the destination can be reached.
        (ICMP, 3, code) => code != 4,
        (ICMPV6, 1, _) => true,
        _ => false,
    }
}

fn quoted(mut quote: &[u8]) -> Result<Answer, Ignored> {
    for _ in 0..QUOTED_HEADERS {
        let ip = ip(quote).ok_or(Ignored::Malformed)?;
        if ip.fragment {
            return Err(Ignored::NotAnAnswer);
        }
        match ip.protocol {
            TCP => {
                let tcp: &[u8; QUOTED_TCP] = ip.rest.first_chunk().ok_or(Ignored::Malformed)?;
                return Ok(Answer {
                    kind: Kind::Unreachable,
                    local: ip.source,
                    remote: ip.destination,
                    local_port: u16::from_be_bytes([tcp[0], tcp[1]]),
                    remote_port: u16::from_be_bytes([tcp[2], tcp[3]]),
                    cookie: u32::from_be_bytes([tcp[4], tcp[5], tcp[6], tcp[7]]),
                });
            }
            IPIP | IPV6_IN_IP => quote = ip.rest,
            _ => break,
        }
    }
    Err(Ignored::NotAnAnswer)
}
