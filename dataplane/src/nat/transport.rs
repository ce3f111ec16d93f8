//! Ports, and the checksum over them and the addresses.

use super::ends;
use crate::drop_reason::DropReason;
use crate::session::Tuple;
use crate::wire::tcp::{self, TcpHeader};
use crate::wire::udp::{self, UdpHeader};
use crate::wire::{checksum, protocol};
use zerocopy::FromBytes;
use zerocopy::network_endian::{U16, U32};

/// Where the checksum of TCP begins in its header.
const TCP_CHECKSUM: usize = 16;
/// That of UDP.
const UDP_CHECKSUM: usize = 6;

/// Whether `bytes` begin with the whole header of this protocol.
pub(super) const fn is_whole(number: u8, bytes: &[u8]) -> bool {
    bytes.len() >= if number == protocol::TCP { tcp::HEADER_LEN } else { udp::HEADER_LEN }
}

/// Rewrites the ports of a transport header of this protocol, and its checksum by how they and the addresses differ, which add
/// `difference` to it before and after.
#[inline]
pub(super) fn translate(bytes: &mut [u8], number: u8, to: &Tuple, difference: (u32, u32)) {
    let ports = [to.source.port, to.destination.port].map(U16::new);
    let with_ports = |old: [U16; 2]| {
        let [before, after] = [old, ports].map(|[source, destination]| u32::from(source) + u32::from(destination));
        (difference.0 + before, difference.1 + after)
    };
    match number {
        protocol::TCP => {
            if let Ok((header, _)) = TcpHeader::mut_from_prefix(bytes) {
                let difference = with_ports([header.source_port, header.destination_port]);
                [header.source_port, header.destination_port] = ports;
                header.checksum = updated(header.checksum, difference);
            }
        }
        _ => {
            if let Ok((header, _)) = UdpHeader::mut_from_prefix(bytes) {
                let difference = with_ports([header.source_port, header.destination_port]);
                [header.source_port, header.destination_port] = ports;
                header.checksum = updated_udp(header.checksum, difference);
            }
        }
    }
}

/// The same of a quoted header, of which at least 8 bytes are there, and the number of its first byte if there is a new one.
pub(super) fn translate_quoted(bytes: &mut [u8], from: &Tuple, to: &Tuple, sequence: Option<u32>) {
    let mut difference = (sum(from), sum(to));
    if let (protocol::TCP, Some(new)) = (from.protocol, sequence)
        && let Some(old) = quoted_sequence(bytes).and_then(|_| bytes.get_mut(4..8))
    {
        difference.0 += checksum::sum(old);
        old.copy_from_slice(&new.to_be_bytes());
        difference.1 += checksum::sum(old);
    }
    if let Some((ports, _)) = bytes.split_first_chunk_mut::<4>() {
        let ([s0, s1], [d0, d1]) = (to.source.port.to_be_bytes(), to.destination.port.to_be_bytes());
        *ports = [s0, s1, d0, d1];
    }
    let at = if from.protocol == protocol::TCP { TCP_CHECKSUM } else { UDP_CHECKSUM };
    if let Some(field) = bytes.get_mut(at..).and_then(|rest| rest.first_chunk_mut::<2>()) {
        let old = U16::from(*field);
        let update = if from.protocol == protocol::TCP { updated } else { updated_udp };
        *field = update(old, difference).to_bytes();
    }
}

/// The sequence number in the beginning of a TCP header.
pub(super) fn quoted_sequence(bytes: &[u8]) -> Option<u32> {
    let (number, _) = U32::ref_from_prefix(bytes.get(4..)?).ok()?;
    Some(number.get())
}

/// The checksum of a UDP datagram of `to` that has none, over all of it: `bytes` are its header and payload.
pub(super) fn compute_udp(bytes: &[u8], to: &Tuple) -> Result<U16, DropReason> {
    let (header, _) = UdpHeader::ref_from_prefix(bytes).map_err(|_| DropReason::NatUdpChecksum)?;
    let len = header.len.get();
    let datagram = bytes.get(..usize::from(len)).ok_or(DropReason::NatUdpChecksum)?;
    // The ports in the bytes are the old ones: they are taken away again.
    let old = u32::from(!header.source_port.get()) + u32::from(!header.destination_port.get());
    let pseudo = sum(to) + u32::from(protocol::UDP) + u32::from(len);
    Ok(non_zero(U16::new(!checksum::fold(pseudo + old + checksum::sum(datagram)))))
}

/// What a tuple adds to a transport checksum.
#[inline]
fn sum(tuple: &Tuple) -> u32 {
    let ports = u32::from(tuple.source.port) + u32::from(tuple.destination.port);
    ends::sum(tuple.source.address, tuple.destination.address) + ports
}

#[inline]
fn updated(field: U16, (removed, added): (u32, u32)) -> U16 {
    U16::new(checksum::updated(field.get(), removed, added))
}

/// Zero means that there is none, and stays so (RFC 768).
#[inline]
fn updated_udp(field: U16, difference: (u32, u32)) -> U16 {
    if field.get() == 0 { field } else { non_zero(updated(field, difference)) }
}

/// Its complement says the same sum (RFC 768).
#[inline]
fn non_zero(field: U16) -> U16 {
    if field.get() == 0 { U16::new(u16::MAX) } else { field }
}
