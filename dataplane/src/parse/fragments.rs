//! Fragments: which datagram they are part of, and where in it (RFC 791; RFC 8200, section 4.5).

use super::transport::{self, Transport};
use super::{Family, Flow, Kind, Parsed};
use crate::drop_reason::DropReason;
use crate::wire::ipv4::{self, Ipv4Header};
use crate::wire::ipv6::{FragmentHeader, Ipv6Header};
use crate::wire::protocol;
use zerocopy::FromBytes;

/// What a fragment says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FragmentPlace {
    /// Names the datagram among those of the same addresses; 16 bits in IPv4.
    pub identification: u32,
    /// Where in the datagram its bytes begin.
    pub offset: u16,
    /// How many there are.
    pub len: u16,
    /// Whether more follow.
    pub more: bool,
}

/// Reads where in its datagram a fragment lies. `None` if the packet, as parsed from this frame, is none.
#[cold]
#[must_use]
pub fn fragment_place(frame: &[u8], parsed: &Parsed) -> Option<FragmentPlace> {
    if !matches!(parsed.kind, Kind::FirstFragment | Kind::LaterFragment) {
        return None;
    }
    let packet = frame.get(usize::from(parsed.ip_offset)..)?;
    match parsed.family {
        Family::V4 => {
            let (header, _) = Ipv4Header::ref_from_prefix(packet).ok()?;
            let field = header.fragment.get();
            Some(FragmentPlace {
                identification: u32::from(header.identification.get()),
                offset: (field & ipv4::OFFSET_MASK) << 3,
                len: parsed.ip_len.checked_sub(header.header_len() as u16)?,
                more: field & ipv4::MORE_FRAGMENTS != 0,
            })
        }
        Family::V6 => {
            let (header, chain) = Ipv6Header::ref_from_prefix(packet).ok()?;
            let (extension, end) = fragment_extension(header.next_header, chain)?;
            Some(FragmentPlace {
                identification: extension.identification.get(),
                offset: extension.byte_offset(),
                len: header.payload_len.get().checked_sub(end as u16)?,
                more: extension.more(),
            })
        }
    }
}

/// The fragment header in a chain that was walked before, and where it ends in the chain.
pub(crate) fn fragment_extension(mut number: u8, chain: &[u8]) -> Option<(&FragmentHeader, usize)> {
    let mut offset = 0;
    loop {
        let header = chain.get(offset..)?.first_chunk::<8>()?;
        let end = offset + 8;
        let atomic = match number {
            protocol::FRAGMENT => {
                let extension = FragmentHeader::ref_from_bytes(header).ok()?;
                if extension.byte_offset() != 0 || extension.more() {
                    return Some((extension, end));
                }
                true
            }
            _ => false,
        };
        offset = match number {
            _ if atomic => end,
            protocol::AUTHENTICATION => offset + (usize::from(header[1]) + 2) * 4,
            _ => offset + (usize::from(header[1]) + 1) * 8,
        };
        number = header[0];
    }
}

/// Reads an IPv4 header that is not that of a whole datagram, with `len` bytes after it.
#[cold]
#[inline(never)]
pub(super) fn first_or_later_v4(header: &Ipv4Header, rest: &[u8], len: usize) -> Result<Flow<[u8; 4]>, DropReason> {
    let field = header.fragment.get();
    if field & ipv4::RESERVED != 0 {
        return Err(DropReason::ReservedFlag);
    }
    if field & ipv4::OFFSET_MASK != 0 {
        let flow = Flow::new(header.source, header.protocol, Transport::NONE);
        return Ok(Flow { kind: Kind::LaterFragment, ..flow });
    }
    let transport = whole_header(Family::V4, header.protocol, rest, len)?;
    Ok(Flow { kind: Kind::FirstFragment, ..Flow::new(header.source, header.protocol, transport) })
}

/// The transport header of a first fragment, which must hold all of it: who cuts it hides from whoever looks at ports
/// and flags (RFC 1858, RFC 7112).
#[cold]
pub(super) fn whole_header(family: Family, number: u8, bytes: &[u8], len: usize) -> Result<Transport, DropReason> {
    transport::parse_first(family, number, bytes, len).map_err(|reason| match reason {
        DropReason::TransportTruncated | DropReason::BadTcpHeader => DropReason::FragmentTiny,
        reason => reason,
    })
}
