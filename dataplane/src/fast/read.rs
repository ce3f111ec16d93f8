//! Reads the usual packet: an untagged frame in one segment, with IPv4 without options and fragments or IPv6 without
//! extension headers, and TCP or UDP with nothing wrong about it.
//!
//! Every word is loaded once and judged as a whole. What is not usual is not judged here: the slow path finds out
//! what is the matter with it. So there is nothing to be said about a packet but yes or no, and
//! `dataplane/tests/forwarding` holds that whatever is read here is read by [`crate::parse`] alike.

use crate::consistency;
use crate::hash::FlowKey;
use crate::parse::{Family, are_tcp_flags_valid};
use crate::snapshot::PortState;
use crate::vip::exact::{KeyV4, KeyV6, service_bits};
use crate::wire::{ethernet, ipv4, ipv6, protocol, tcp, udp};

/// Bytes that every usual IPv4 frame has: Ethernet pads it to more.
const V4_LEN: usize = ethernet::HEADER_LEN + ipv4::HEADER_LEN + tcp::HEADER_LEN;
/// Bytes that every usual IPv6 frame has, of which the last 12 are read for TCP only.
const V6_LEN: usize = ethernet::HEADER_LEN + ipv6::HEADER_LEN + udp::HEADER_LEN;
const V6_TCP_LEN: usize = ethernet::HEADER_LEN + ipv6::HEADER_LEN + tcp::HEADER_LEN;

/// What is remembered of an IP header: bits 0..8 DSCP and ECN, 8..24 the length of the packet with the bytes as they stand in
/// IPv4; what is above them means nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Header(u32);

impl Header {
    /// DSCP and ECN.
    #[inline(always)]
    pub const fn traffic_class(self) -> u8 {
        self.0 as u8
    }

    /// Length of the IP packet in bytes.
    #[inline(always)]
    pub const fn len(self) -> u16 {
        ((self.0 >> 8) as u16).swap_bytes()
    }
}

/// A usual IPv4 packet.
pub(super) struct V4 {
    /// The block of its [`FlowKey`].
    pub block: u128,
    /// The service that it is for.
    pub service: KeyV4,
    pub header: Header,
}

/// A usual IPv6 packet.
pub(super) struct V6 {
    /// The blocks of its [`FlowKey`].
    pub blocks: [u128; 3],
    /// The service that it is for.
    pub service: KeyV6,
    pub header: Header,
}

/// The number at a place in a header, its first byte the least significant one. `at` is a constant: no check remains.
macro_rules! load {
    ($number:ty, $bytes:expr, $at:expr) => {
        <$number>::from_le_bytes(*$bytes.get($at..)?.first_chunk()?)
    };
}

/// Where the IP header begins.
const IP: usize = ethernet::HEADER_LEN;
/// Bits of bytes 12..20 of a frame that say that it is IPv4 without options: type, version and header length.
const V4_MASK: u64 = 0xff_ffff;
const V4_BEGINS: u64 = ethernet::TYPE_IPV4.swap_bytes() as u64 | 0x45 << 16;
/// The same of IPv6, whose version shares its byte with the traffic class.
const V6_MASK: u64 = 0xf0_ffff;
const V6_BEGINS: u64 = ethernet::TYPE_IPV6.swap_bytes() as u64 | 0x60 << 16;
/// Bits of bytes 20..28 of a frame of IPv4 that make it a fragment, and its protocol.
const V4_WHOLE_MASK: u64 = (!ipv4::DONT_FRAGMENT).swap_bytes() as u64 | 0xff << 24;
const V4_TCP: u64 = (protocol::TCP as u64) << 24;
const V4_UDP: u64 = (protocol::UDP as u64) << 24;
/// The byte of these with the hops that are left.
const V4_TTL: u64 = 0xff << 16;

/// Whose frames are read: bits of the first eight bytes, and their values.
#[derive(Clone, Copy)]
pub(super) struct Receiver {
    mask: u64,
    mac: u64,
}

impl Receiver {
    /// That of a port; `None` if it takes no untagged frames.
    pub fn new(port: &PortState) -> Option<Self> {
        let [a, b, c, d, e, f] = port.mac;
        let one = Self { mask: (1 << 48) - 1, mac: u64::from_le_bytes([a, b, c, d, e, f, 0, 0]) };
        // Any unicast address: the lowest bit of the first byte is that of groups.
        let any = Self { mask: 1, mac: 0 };
        port.untagged.then_some(if port.any_destination { any } else { one })
    }

    #[inline(always)]
    const fn is_meant(self, first: u64) -> bool {
        first & self.mask == self.mac
    }
}

/// The frame's packet if it is a usual one of IPv4 for this receiver.
#[inline(always)]
pub(super) fn v4(frame: &[u8], receiver: Receiver) -> Option<V4> {
    let head: &[u8; V4_LEN] = frame.first_chunk()?;
    // Type, version, traffic class, length, identification. Then flags and offset, hops, protocol, checksum, half of the
    // source; from there on with the other half.
    let (first, second, third) = (load!(u64, head, 12), load!(u64, head, 20), load!(u64, head, 28));
    if !receiver.is_meant(load!(u64, head, 0)) || first & V4_MASK != V4_BEGINS {
        return None;
    }
    let len = i32::from(u16::from_be((first >> 32) as u16));
    if len as usize > frame.len() - IP || second & V4_TTL == 0 || !is_sum_right(first, second, third) {
        return None;
    }
    let source = load!(u32, head, IP + 12);
    let destination_ports = load!(u64, head, IP + 16);
    if source == destination_ports as u32 || !may_be_source(source as u8) || (destination_ports >> 32) as u16 == 0 {
        return None;
    }
    let rest = len - ipv4::HEADER_LEN as i32;
    let (block, protocol) = if second & V4_WHOLE_MASK == V4_TCP {
        if !is_valid_tcp(load!(u16, head, IP + 20 + 12), rest) {
            return None;
        }
        (FlowKey::block_v4(protocol::TCP, source, destination_ports), protocol::TCP)
    } else if second & V4_WHOLE_MASK == V4_UDP {
        if !is_udp_len_right(load!(u16, head, IP + 20 + 4), rest) {
            return None;
        }
        (FlowKey::block_v4(protocol::UDP, source, destination_ports), protocol::UDP)
    } else {
        return None;
    };
    let service = destination_ports & 0xffff_0000_ffff_ffff | service_bits(protocol, 0);
    Some(V4 { block, service: KeyV4(service), header: Header((first >> 24) as u32) })
}

/// The frame's packet if it is a usual one of IPv6 for this receiver.
#[inline(always)]
pub(super) fn v6(frame: &[u8], receiver: Receiver) -> Option<V6> {
    let head: &[u8; V6_LEN] = frame.first_chunk()?;
    if !receiver.is_meant(load!(u64, head, 0)) || load!(u64, head, 12) & V6_MASK != V6_BEGINS {
        return None;
    }
    let first = load!(u64, head, IP);
    let [class_high, class_low, _, _, len_high, len_low, next_header, hop_limit] = first.to_le_bytes();
    let rest = usize::from(u16::from_be_bytes([len_high, len_low]));
    let (source, destination) = (load!(u128, head, IP + 8), load!(u128, head, IP + 24));
    let ports = load!(u32, head, IP + 40);
    if hop_limit == 0 || rest + ipv6::HEADER_LEN > (frame.len() - IP).min(usize::from(u16::MAX)) {
        return None;
    }
    if !may_be_between(source, destination) || ports as u16 == 0 {
        return None;
    }
    match next_header {
        protocol::TCP => {
            let head: &[u8; V6_TCP_LEN] = frame.first_chunk()?;
            if !is_valid_tcp(load!(u16, head, IP + 40 + 12), rest as i32) {
                return None;
            }
        }
        protocol::UDP => {
            // Length and checksum; of these zero is no checksum, which IPv6 does not allow.
            let length_checksum = load!(u32, head, IP + 40 + 4);
            if length_checksum >> 16 == 0 || !is_udp_len_right(length_checksum as u16, rest as i32) {
                return None;
            }
        }
        _ => return None,
    }
    let service = service_bits(next_header, u64::from(ports >> 16) << 48);
    Some(V6 {
        blocks: [FlowKey::first_block_v6(next_header, ports), source, destination],
        service: KeyV6([destination as u64, (destination >> 64) as u64, service]),
        header: Header(
            u32::from(class_high << 4 | class_low >> 4)
                | u32::from(((rest + ipv6::HEADER_LEN) as u16).swap_bytes()) << 8,
        ),
    })
}

/// The transport header of a usual packet.
pub(super) struct Transport<'p> {
    /// IP protocol number.
    pub protocol: u8,
    /// TCP flags; 0 for UDP.
    pub flags: u8,
    /// The header and what follows it.
    pub header: &'p [u8],
}

/// The transport header of a packet that was read as usual.
pub(super) fn transport(frame: &[u8], family: Family) -> Transport<'_> {
    let (place, offset) = match family {
        Family::V4 => (IP + 9, IP + ipv4::HEADER_LEN),
        Family::V6 => (IP + 6, IP + ipv6::HEADER_LEN),
    };
    let number = frame.get(place).copied().unwrap_or(0);
    let header = frame.get(offset..).unwrap_or(&[]);
    let flags = if number == protocol::TCP { header.get(13).copied().unwrap_or(0) } else { 0 };
    Transport { protocol: number, flags, header }
}

/// Whether a packet that was read as usual is in the middle of its flow.
#[inline(always)]
pub(super) fn is_in_the_middle(frame: &[u8], family: Family) -> bool {
    // Protocol and flags, at places that are constant for each family: TCP's headers are in the frame whole.
    let [number, flags] = match family {
        Family::V4 => frame.first_chunk::<V4_LEN>().map_or([0; 2], |head| [head[IP + 9], head[IP + 20 + 13]]),
        Family::V6 => match frame.first_chunk::<V6_TCP_LEN>() {
            Some(head) => [head[IP + 6], head[IP + 40 + 13]],
            // Too short for TCP.
            None => [protocol::UDP, 0],
        },
    };
    consistency::is_in_the_middle(number, flags)
}

/// Whether the checksum of an IPv4 header without options is right, by bytes 12..36 of a frame: the type, which is known, the
/// header, and two bytes that do not count.
///
/// The sum in one's complement is a multiple of 0xffff then (RFC 1071), in words of 64 bits as of 16, and no header is all
/// zeros.
#[inline(always)]
const fn is_sum_right(first: u64, second: u64, third: u64) -> bool {
    /// What the type adds, taken away modulo 0xffff.
    const TYPE: u64 = 0xffff - ethernet::TYPE_IPV4.swap_bytes() as u64;
    let (sum, carry) = first.overflowing_add(second);
    let (sum, carry_again) = sum.overflowing_add(third << 16);
    // The halves, so that no carry is lost.
    let sum = (sum >> 32) + (sum & 0xffff_ffff) + carry as u64 + carry_again as u64 + TYPE;
    sum.is_multiple_of(0xffff)
}

/// RFC 1122, section 3.2.1.3: 0/8, 127/8 and 224/3 are no sources.
#[inline(always)]
const fn may_be_source(first_byte: u8) -> bool {
    first_byte.wrapping_sub(1) < 223 && first_byte != 127
}

/// Whether these are addresses of hosts apart from each other. In ::/64 lie those that no packet carries (RFC 4291, sections
/// 2.5.2, 2.5.3 and 2.5.5.2); what else lies there is not usual. A source in ff00::/8 would be multicast.
#[inline(always)]
const fn may_be_between(source: u128, destination: u128) -> bool {
    source as u64 != 0 && destination as u64 != 0 && source as u8 != 0xff && source != destination
}

/// Whether a TCP header with these two bytes at its offset 12 is right, if the IP header leaves `rest` bytes for it.
#[inline(always)]
const fn is_valid_tcp(offset_flags: u16, rest: i32) -> bool {
    let header_len = (offset_flags as i32 >> 2) & 0x3c;
    header_len >= tcp::HEADER_LEN as i32 && header_len <= rest && are_tcp_flags_valid((offset_flags >> 8) as u8)
}

/// Whether the length in a UDP header, as it stands there, fits what the IP header leaves for it.
#[inline(always)]
const fn is_udp_len_right(field: u16, rest: i32) -> bool {
    let claimed = field.swap_bytes() as i32;
    claimed >= udp::HEADER_LEN as i32 && claimed <= rest
}
