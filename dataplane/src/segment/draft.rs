//! A segment without payload, made from nothing.

use crate::parse::{Family, Kind, Parsed};
use crate::port::{Packet, PacketPool};
use crate::segment::Sent;
use crate::session::Tuple;
use crate::wire::ethernet::{self, EthernetHeader};
use crate::wire::ipv4::{self, Ipv4Header};
use crate::wire::ipv6::{self, Ipv6Header};
use crate::wire::tcp::{self, TcpHeader};
use crate::wire::{checksum, protocol};
use arrayvec::ArrayVec;
use zerocopy::network_endian::{U16, U32};
use zerocopy::{FromBytes, FromZeros, IntoBytes};

/// Bytes of options at most.
const MOST_OPTIONS: usize = 40;
const MOST: usize = ethernet::HEADER_LEN + ipv6::HEADER_LEN + tcp::HEADER_LEN + MOST_OPTIONS;
/// Hops that it may take, as of any host (RFC 1700).
const TTL: u8 = 64;

/// A frame under construction.
type Bytes = ArrayVec<u8, MOST>;

/// What it says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Draft<'o> {
    pub(crate) tuple: Tuple,
    pub(crate) sequence: u32,
    pub(crate) acknowledgement: u32,
    pub(crate) flags: u8,
    pub(crate) window: u16,
    /// Whole words, 40 bytes at most.
    pub(crate) options: &'o [u8],
}

impl Draft<'_> {
    /// A frame of its own, without Ethernet addresses. `None` if no buffer is free, or the addresses are not of one family.
    pub(crate) fn packet<P: Packet>(&self, pool: &dyn PacketPool<Packet = P>) -> Option<Sent<P>> {
        let mut frame = Bytes::new();
        let mut link = EthernetHeader::new_zeroed();
        link.ethertype = U16::new(if self.tuple.is_v4() { ethernet::TYPE_IPV4 } else { ethernet::TYPE_IPV6 });
        frame.try_extend_from_slice(link.as_bytes()).ok()?;
        let transport_offset = self.put_ip(&mut frame)?;
        let parsed = Parsed {
            key: self.tuple.key(),
            destination: self.tuple.destination.address,
            family: if self.tuple.is_v4() { Family::V4 } else { Family::V6 },
            kind: Kind::Whole,
            protocol: protocol::TCP,
            flags: self.flags,
            source_port: self.tuple.source.port,
            destination_port: self.tuple.destination.port,
            ip_offset: ethernet::HEADER_LEN as u16,
            ip_len: (frame.len() - ethernet::HEADER_LEN) as u16,
            transport_offset: transport_offset as u16,
            ..Parsed::NOTHING
        };
        Some(Sent { packet: pool.alloc(&frame)?, parsed })
    }

    /// Replaces a packet by this one, which goes back by the link that it came in on. `false`, and nothing changed, if its buffer
    /// has no room.
    pub(crate) fn put_in_place<P: Packet>(&self, packet: &mut P, parsed: &Parsed) -> bool {
        let mut bytes = Bytes::new();
        let ip_offset = usize::from(parsed.ip_offset);
        if self.put_ip(&mut bytes).is_none()
            || packet.frame().len() != packet.total_len()
            || packet.frame().len() < ip_offset
        {
            return false;
        }
        let len = ip_offset + bytes.len();
        if !packet.resize(len.max(ethernet::MIN_FRAME)) {
            return false;
        }
        let frame = packet.frame_mut();
        let (link, rest) = frame.split_at_mut(ip_offset);
        if let Ok((link, _)) = EthernetHeader::mut_from_prefix(link) {
            std::mem::swap(&mut link.source, &mut link.destination);
        }
        let (ip, padding) = rest.split_at_mut(bytes.len());
        ip.copy_from_slice(&bytes);
        padding.fill(0);
        true
    }

    /// Appends the IP packet; the offset of its TCP header.
    fn put_ip(&self, frame: &mut Bytes) -> Option<usize> {
        let is_v4 = self.tuple.is_v4();
        if is_v4 != self.tuple.reversed().is_v4() {
            return None;
        }
        let tcp_len = tcp::HEADER_LEN + self.options.len();
        let addresses = if is_v4 { self.put_v4(frame, tcp_len) } else { self.put_v6(frame, tcp_len) }?;
        let offset = frame.len();
        let mut header = self.header(tcp_len);
        let pseudo = u32::from(checksum::fold(addresses + u32::from(protocol::TCP) + tcp_len as u32));
        let sum = pseudo + checksum::sum(header.as_bytes()) + checksum::sum(self.options);
        header.checksum = U16::new(!checksum::fold(sum));
        frame.try_extend_from_slice(header.as_bytes()).ok()?;
        frame.try_extend_from_slice(self.options).ok()?;
        Some(offset)
    }

    fn header(&self, len: usize) -> TcpHeader {
        let mut header = TcpHeader::new_zeroed();
        header.source_port = U16::new(self.tuple.source.port);
        header.destination_port = U16::new(self.tuple.destination.port);
        header.sequence = U32::new(self.sequence);
        header.acknowledgement = U32::new(self.acknowledgement);
        header.data_offset = ((len / 4) << 4) as u8;
        header.flags = self.flags;
        header.window = U16::new(self.window);
        header
    }

    /// Writes the IP header; the sum of its addresses.
    fn put_v4(&self, frame: &mut Bytes, tcp_len: usize) -> Option<u32> {
        let octets = |address: u128| (address as u32).to_be_bytes();
        let mut header = Ipv4Header {
            version_ihl: 0x45,
            tos: 0,
            total_len: U16::new((ipv4::HEADER_LEN + tcp_len) as u16),
            identification: U16::ZERO,
            fragment: U16::new(ipv4::DONT_FRAGMENT),
            ttl: TTL,
            protocol: protocol::TCP,
            checksum: U16::ZERO,
            source: octets(self.tuple.source.address),
            destination: octets(self.tuple.destination.address),
        };
        header.fill_checksum();
        frame.try_extend_from_slice(header.as_bytes()).ok()?;
        Some(checksum::sum(&header.source) + checksum::sum(&header.destination))
    }

    fn put_v6(&self, frame: &mut Bytes, tcp_len: usize) -> Option<u32> {
        let header = Ipv6Header {
            version_class_label: U32::new(6 << 28),
            payload_len: U16::new(tcp_len as u16),
            next_header: protocol::TCP,
            hop_limit: TTL,
            source: self.tuple.source.address.to_be_bytes(),
            destination: self.tuple.destination.address.to_be_bytes(),
        };
        frame.try_extend_from_slice(header.as_bytes()).ok()?;
        Some(checksum::sum(&header.source) + checksum::sum(&header.destination))
    }
}
