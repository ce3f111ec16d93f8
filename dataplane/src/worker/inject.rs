//! What the control side and other workers want sent.

use super::deliver::Delivery;
use crate::drop_reason::DropReason;
use crate::ids::{BackendId, PortId};
use crate::parse::{Outcome, parse};
use crate::pipeline::Trace;
use crate::port::{Packet, Port};
use crate::punt::Inject;
use crate::snapshot::{PortState, Snapshot};
use crate::wire::ethernet;
use crate::wire::vlan::Tags;
use arrayvec::ArrayVec;

/// Packets of the control side that one poll sends: traffic goes on beside them.
const INJECTIONS: usize = 64;

/// Packets that other workers received, and where.
pub(super) type Received<Q> = ArrayVec<(PortId, Q), INJECTIONS>;

/// As what an injected packet to a backend is parsed: its Ethernet addresses are filled in later.
static ANYONE: PortState = PortState::taking_any_destination([0; 6]);

impl<P: Port> Delivery<P> {
    /// Sends what is there, up to a bound, and puts packets that other workers received into `received`; returns how many
    /// packets that were.
    #[inline]
    pub(super) fn inject<T: Trace>(
        &mut self,
        snapshot: &Snapshot,
        received: &mut Received<P::Packet>,
        trace: &mut T,
    ) -> usize {
        let mut count = 0;
        while count < INJECTIONS
            && let Some(injection) = self.rings.inject.pop()
        {
            count += 1;
            self.counters.injected.add(1);
            let injection = match injection {
                Inject::Received { packet, port } => {
                    received.push((port, packet));
                    continue;
                }
                other => other,
            };
            let backend = if T::ENABLED { backend_of(&injection) } else { None };
            match address(injection, snapshot) {
                Ok((packet, egress)) => {
                    if T::ENABLED {
                        trace.injected(&packet, egress, backend);
                    }
                    self.transmit.stage(packet, egress, snapshot, &self.counters);
                }
                Err(reason) => self.counters.count_drop(reason),
            }
        }
        count
    }
}

/// Whom an injected packet is for, if that is a backend.
fn backend_of<P>(injection: &Inject<P>) -> Option<BackendId> {
    match injection {
        Inject::ToBackend { backend, .. } => Some(*backend),
        Inject::Finished { .. } | Inject::Frame { .. } | Inject::Received { .. } => None,
    }
}

/// Makes an injected packet ready to leave.
fn address<P: Packet>(injection: Inject<P>, snapshot: &Snapshot) -> Result<(P, PortId), DropReason> {
    match injection {
        Inject::Finished { packet, port } => Ok((packet, port)),
        // The caller took it out.
        Inject::Received { .. } => Err(DropReason::StaleInjection),
        Inject::Frame { mut packet, link } => {
            let link = snapshot.links.get(link.index()).ok_or(DropReason::StaleInjection)?;
            put_tags(&mut packet, link.tags)?;
            Ok((packet, link.port))
        }
        Inject::ToBackend { mut packet, pool, index, backend } => {
            let pool = snapshot.pool(pool).ok_or(DropReason::StaleInjection)?;
            let record = pool.backends.get(usize::from(index)).filter(|record| record.id == backend);
            let record = record.ok_or(DropReason::StaleInjection)?;
            // Its Ethernet addresses are ours to fill, so whatever stands there is right.
            if let Some(destination) = packet.frame_mut().first_chunk_mut::<6>() {
                destination.fill(0);
            }
            let Outcome::Packet(parsed) = parse(packet.frame(), packet.total_len(), &ANYONE) else {
                return Err(DropReason::StaleInjection);
            };
            let hash = snapshot.hasher.hash(&parsed.key);
            let applied = record.apply(&mut packet, &parsed, hash)?;
            Ok((packet, applied.egress))
        }
    }
}

/// Puts tags behind the addresses of a frame without any.
fn put_tags<P: Packet>(packet: &mut P, tags: Tags) -> Result<(), DropReason> {
    let tags = tags.bytes();
    if tags.is_empty() {
        return Ok(());
    }
    if packet.frame().len() < ethernet::HEADER_LEN {
        return Err(DropReason::StaleInjection);
    }
    if !packet.prepend(tags.len()) {
        return Err(DropReason::NoHeadroom);
    }
    let frame = packet.frame_mut();
    frame.copy_within(tags.len()..tags.len() + ethernet::ADDRESSES_LEN, 0);
    if let Some(place) = frame.get_mut(ethernet::ADDRESSES_LEN..ethernet::ADDRESSES_LEN + tags.len()) {
        place.copy_from_slice(&tags);
    }
    Ok(())
}
