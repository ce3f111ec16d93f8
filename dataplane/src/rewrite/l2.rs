//! Direct server return on one segment: only the Ethernet addresses change.

use super::{Addresses, check_mtu};
use crate::drop_reason::DropReason;
use crate::parse::Parsed;
use crate::port::Packet;
use crate::wire::ethernet::EthernetHeader;
use zerocopy::FromBytes;

#[inline]
pub(super) fn apply<P: Packet>(
    packet: &mut P,
    parsed: &Parsed,
    mtu: u16,
    addresses: Addresses,
) -> Result<(), DropReason> {
    check_mtu(usize::from(parsed.ip_len), mtu)?;
    let (header, _) = EthernetHeader::mut_from_prefix(packet.frame_mut()).map_err(|_| DropReason::Runt)?;
    header.destination = addresses.destination;
    header.source = addresses.source;
    Ok(())
}
