//! What a transport header tells of a flow.

use super::Family;
use crate::drop_reason::DropReason;
use crate::wire::icmp::{self, IcmpHeader};
use crate::wire::protocol;
use crate::wire::tcp::{self, TcpHeader};
use crate::wire::udp::{self, UdpHeader};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

/// Ports (zero for protocols without), and TCP flags or the ICMP message type.
pub(super) struct Transport {
    pub(super) source_port: u16,
    pub(super) destination_port: u16,
    pub(super) flags: u8,
}

impl Transport {
    pub(super) const NONE: Self = Self { source_port: 0, destination_port: 0, flags: 0 };
}

/// Reads what decides from a transport header. `len` is what the IP header leaves for it and its payload; `bytes` may
/// be shorter (the rest is in later segments) or longer (padding).
#[inline(always)]
pub(super) fn parse(family: Family, number: u8, bytes: &[u8], len: usize) -> Result<Transport, DropReason> {
    match number {
        protocol::TCP => parse_tcp(bytes, len),
        protocol::UDP => {
            let header = read::<UdpHeader>(bytes, len, udp::HEADER_LEN)?;
            let claimed = usize::from(header.len.get());
            if claimed < udp::HEADER_LEN || claimed > len {
                return Err(DropReason::BadUdpLength);
            }
            udp_ports(family, header)
        }
        protocol::ICMP | protocol::ICMPV6 => {
            let header = read::<IcmpHeader>(bytes, len, icmp::HEADER_LEN)?;
            Ok(Transport { flags: header.message, ..Transport::NONE })
        }
        _ => Ok(Transport::NONE),
    }
}

/// [`parse`] where it is rare.
#[cold]
#[inline(never)]
pub(super) fn parse_rarely(family: Family, number: u8, bytes: &[u8], len: usize) -> Result<Transport, DropReason> {
    parse(family, number, bytes, len)
}

/// [`parse`] for the first fragment of a datagram, of which there are `len` bytes: its lengths speak of the whole.
pub(super) fn parse_first(family: Family, number: u8, bytes: &[u8], len: usize) -> Result<Transport, DropReason> {
    match number {
        protocol::UDP => udp_ports(family, read::<UdpHeader>(bytes, len, udp::HEADER_LEN)?),
        _ => parse_rarely(family, number, bytes, len),
    }
}

#[inline(always)]
fn read<T>(bytes: &[u8], len: usize, header_len: usize) -> Result<&T, DropReason>
where
    T: FromBytes + KnownLayout + Immutable + Unaligned,
{
    if len < header_len {
        return Err(DropReason::TransportTruncated);
    }
    T::ref_from_prefix(bytes).map(|(header, _)| header).map_err(|_| DropReason::TransportTruncated)
}

/// By the low six bits of the flags: bit set, no TCP sends them. SYN begins and neither ends (FIN) nor aborts (RST); all
/// but SYN and RST acknowledge (RFC 9293, section 3.10.7).
const INVALID_FLAGS: u64 = {
    let mut invalid = 0_u64;
    let mut flags = 0_u8;
    while flags < 64 {
        let contradicts = flags & tcp::SYN != 0 && flags & (tcp::FIN | tcp::RST) != 0;
        if contradicts || flags & (tcp::SYN | tcp::RST | tcp::ACK) == 0 {
            invalid |= 1 << flags;
        }
        flags += 1;
    }
    invalid
};

/// Whether a TCP may send these flags.
#[inline(always)]
pub(crate) const fn are_tcp_flags_valid(flags: u8) -> bool {
    INVALID_FLAGS >> (flags & 0x3f) & 1 == 0
}

#[inline(always)]
fn parse_tcp(bytes: &[u8], len: usize) -> Result<Transport, DropReason> {
    let header = read::<TcpHeader>(bytes, len, tcp::HEADER_LEN)?;
    let header_len = header.header_len();
    if header_len < tcp::HEADER_LEN || header_len > len {
        return Err(DropReason::BadTcpHeader);
    }
    if !are_tcp_flags_valid(header.flags) {
        return Err(DropReason::BadTcpFlags);
    }
    ports(header.source_port.get(), header.destination_port.get(), header.flags)
}

/// Over IPv6 a checksum of zero is no checksum, and not allowed between client and server (RFC 8200, section 8.1).
#[inline(always)]
fn udp_ports(family: Family, header: &UdpHeader) -> Result<Transport, DropReason> {
    if family == Family::V6 && header.checksum.get() == 0 {
        return Err(DropReason::UdpWithoutChecksum);
    }
    ports(header.source_port.get(), header.destination_port.get(), 0)
}

#[inline(always)]
fn ports(source_port: u16, destination_port: u16, flags: u8) -> Result<Transport, DropReason> {
    if source_port == 0 || destination_port == 0 {
        return Err(DropReason::ZeroPort);
    }
    Ok(Transport { source_port, destination_port, flags })
}
