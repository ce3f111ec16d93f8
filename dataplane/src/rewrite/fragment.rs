//! Splitting the outer packet of a tunnel that its link cannot carry (RFC 791, section 3.2; RFC 8200, section 4.5).
//!
//! Nothing is copied here but headers: a [`Fragment`] is its headers and a range of the frame.

use super::Split;
use crate::wire::ethernet;
use crate::wire::ipv4::{self, Ipv4Header};
use crate::wire::ipv6::{self, FragmentHeader, Ipv6Header};
use crate::wire::{protocol, vlan};
use arrayvec::ArrayVec;
use std::ops::Range;
use zerocopy::network_endian::{U16, U32};
use zerocopy::{FromBytes, IntoBytes};

/// The most bytes that stand before the payload of a fragment.
pub const MAX_HEADER: usize = ethernet::HEADER_LEN + vlan::MAX_LEN + ipv6::HEADER_LEN + ipv6::FRAGMENT_LEN;

/// One fragment of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// Its bytes up to the payload: Ethernet header, tags, IP header, fragment header.
    pub header: ArrayVec<u8, MAX_HEADER>,
    /// Where in the frame its payload lies.
    pub payload: Range<usize>,
}

/// The fragments of a frame, in order.
#[derive(Clone, Debug)]
pub struct Fragments<'f> {
    link: &'f [u8],
    ip: Outer,
    /// Where the payload begins in the frame.
    start: usize,
    /// Payload bytes, and those that fragments before took.
    len: usize,
    done: usize,
    /// Payload bytes of every fragment but the last: a multiple of 8.
    step: usize,
}

#[derive(Clone, Copy, Debug)]
enum Outer {
    V4(Ipv4Header),
    V6(Ipv6Header, FragmentHeader),
}

/// The fragments of an encapsulated frame that [`super::Backend::apply`] said to split: contiguous, its outer IP header
/// without options or extension headers.
///
/// `identification` must differ from that of other datagrams between the same addresses for as long as their fragments
/// may be under way (RFC 6864, section 4.2; RFC 8200, section 4.5); IPv4 takes its low 16 bits. IPv4 fragments have
/// "don't fragment" clear.
///
/// `None` if the frame is no such frame, or the link too small for any fragment.
#[must_use]
pub fn fragments(frame: &[u8], split: Split, identification: u32) -> Option<Fragments<'_>> {
    let ip_offset = usize::from(split.ip_offset);
    let (link, packet) = frame.split_at_checked(ip_offset)?;
    let ethertype = u16::from_be_bytes(*link.last_chunk()?);
    let (ip, header_len, added, len) = match ethertype {
        ethernet::TYPE_IPV4 => {
            let (header, _) = Ipv4Header::ref_from_prefix(packet).ok()?;
            let len = usize::from(header.total_len.get()).checked_sub(ipv4::HEADER_LEN)?;
            let header = Ipv4Header { identification: U16::new(identification as u16), ..*header };
            (Outer::V4(header), ipv4::HEADER_LEN, 0, len)
        }
        ethernet::TYPE_IPV6 => {
            let (header, _) = Ipv6Header::ref_from_prefix(packet).ok()?;
            let fragment = FragmentHeader {
                next_header: header.next_header,
                reserved: 0,
                offset: U16::ZERO,
                identification: U32::new(identification),
            };
            let ip = Outer::V6(Ipv6Header { next_header: protocol::FRAGMENT, ..*header }, fragment);
            (ip, ipv6::HEADER_LEN, ipv6::FRAGMENT_LEN, usize::from(header.payload_len.get()))
        }
        _ => return None,
    };
    let step = usize::from(split.mtu).checked_sub(header_len + added)? & !7;
    let start = ip_offset + header_len;
    let possible = step > 0 && link.len() <= ethernet::HEADER_LEN + vlan::MAX_LEN && start + len <= frame.len();
    possible.then_some(Fragments { link, ip, start, len, done: 0, step })
}

impl Iterator for Fragments<'_> {
    type Item = Fragment;

    fn next(&mut self) -> Option<Fragment> {
        let offset = self.done;
        let len = self.step.min(self.len.checked_sub(offset).filter(|left| *left > 0)?);
        self.done += len;
        let more = self.done < self.len;
        let payload = self.start + offset..self.start + self.done;
        // Lengths and offsets fit: the packet's own length was 16 bits.
        let header = match self.ip {
            Outer::V4(header) => {
                header_of(&[self.link, fragment_v4(header, offset as u16, len as u16, more).as_bytes()])
            }
            Outer::V6(header, fragment) => {
                let header = Ipv6Header { payload_len: U16::new((len + ipv6::FRAGMENT_LEN) as u16), ..header };
                let flags = if more { ipv6::MORE_FRAGMENTS } else { 0 };
                let fragment = FragmentHeader { offset: U16::new(offset as u16 | flags), ..fragment };
                header_of(&[self.link, header.as_bytes(), fragment.as_bytes()])
            }
        };
        Some(Fragment { header: header?, payload })
    }
}

fn fragment_v4(mut header: Ipv4Header, offset: u16, len: u16, more: bool) -> Ipv4Header {
    header.total_len = U16::new(ipv4::HEADER_LEN as u16 + len);
    header.fragment = U16::new((offset / 8) | if more { ipv4::MORE_FRAGMENTS } else { 0 });
    header.fill_checksum();
    header
}

fn header_of(parts: &[&[u8]]) -> Option<ArrayVec<u8, MAX_HEADER>> {
    let mut header = ArrayVec::new();
    for part in parts {
        header.try_extend_from_slice(part).ok()?;
    }
    Some(header)
}
