//! The chain of IPv6 extension headers (RFC 8200, section 4).

use super::Kind;
use crate::drop_reason::DropReason;
use crate::wire::ipv6::FragmentHeader;
use crate::wire::protocol;
use zerocopy::FromBytes;

/// Headers of a chain that are walked; each is one of a kind, the destination options may stand twice.
const MOST_HEADERS: usize = 8;

/// What stands at the end of a chain.
#[derive(Clone, Copy)]
pub(crate) struct Found {
    /// IP protocol number of what follows.
    pub(crate) protocol: u8,
    /// Bytes of the chain.
    pub(crate) offset: usize,
    /// Whole, or a fragment.
    pub(crate) kind: Kind,
}

/// Whether this is the number of a header that another one follows.
#[inline]
pub(crate) const fn is_extension(number: u8) -> bool {
    matches!(
        number,
        protocol::HOP_BY_HOP
            | protocol::ROUTING
            | protocol::FRAGMENT
            | protocol::AUTHENTICATION
            | protocol::DESTINATION_OPTIONS
    )
}

/// Walks the chain that `bytes` starts with, in a packet with `len` bytes after its fixed header. Behind a fragment header
/// that is not of a first fragment nothing is read.
///
/// A first fragment holds the whole chain (RFC 7112, section 5): one that does not is as good as tiny.
#[cold]
#[inline(never)]
pub(crate) fn walk(first: u8, bytes: &[u8], len: usize) -> Result<Found, DropReason> {
    let mut found = Found { protocol: first, offset: 0, kind: Kind::Whole };
    for position in 0..MOST_HEADERS {
        if !is_extension(found.protocol) {
            return Ok(found);
        }
        // Hop-by-hop options stand first or nowhere (RFC 8200, section 4.3).
        if found.protocol == protocol::HOP_BY_HOP && position > 0 {
            return Err(DropReason::HeaderChain);
        }
        step(&mut found, bytes, len).map_err(|reason| match (reason, found.kind) {
            (DropReason::HeaderChain, Kind::FirstFragment) => DropReason::FragmentTiny,
            _ => reason,
        })?;
        if found.kind == Kind::LaterFragment {
            return Ok(found);
        }
    }
    if is_extension(found.protocol) { Err(DropReason::HeaderChain) } else { Ok(found) }
}

/// Walks past one header.
fn step(found: &mut Found, bytes: &[u8], len: usize) -> Result<(), DropReason> {
    let header = bytes.get(found.offset..).and_then(|rest| rest.first_chunk::<8>()).ok_or(DropReason::HeaderChain)?;
    let [next, extra, _, segments_left, ..] = *header;
    let header_len = match found.protocol {
        protocol::FRAGMENT => {
            let fragment = FragmentHeader::ref_from_bytes(header).map_err(|_| DropReason::HeaderChain)?;
            // A datagram in one fragment is whole (RFC 6946).
            found.kind = match (fragment.byte_offset(), fragment.more()) {
                (0, false) => found.kind,
                // One that is fragmented again inside would be two datagrams with one identification.
                _ if found.kind != Kind::Whole => return Err(DropReason::HeaderChain),
                (0, true) => Kind::FirstFragment,
                _ => Kind::LaterFragment,
            };
            8
        }
        // In 4-byte words, less two (RFC 4302, section 2.2); without its check value it is 12 bytes long.
        protocol::AUTHENTICATION if extra == 0 => return Err(DropReason::HeaderChain),
        protocol::AUTHENTICATION => (usize::from(extra) + 2) * 4,
        // Further hops would take the packet on from here (RFC 8200, section 4.4; RFC 5095).
        protocol::ROUTING if segments_left != 0 => return Err(DropReason::RoutingHeader),
        _ => (usize::from(extra) + 1) * 8,
    };
    found.protocol = next;
    found.offset += header_len;
    if found.offset > len { Err(DropReason::HeaderChain) } else { Ok(()) }
}
