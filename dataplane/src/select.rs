//! The second stage: whose packet is it, and which backend gets it.

use crate::drop_reason::DropReason;
use crate::hash::FlowHash;
use crate::ids::{BackendId, PortId, VipId, WorkerId};
use crate::parse::{Family, Parsed};
use crate::prefetch::prefetch;
use crate::punt::PuntClass;
use crate::rewrite::Backend;
use crate::snapshot::{Pool, Snapshot};
use crate::table::Slot;
use crate::vip::VipKey;
use crate::wire::{icmp, protocol, tcp};

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It leaves by a port.
    Forward {
        /// The port.
        egress: PortId,
        /// The backend that gets it.
        backend: BackendId,
    },
    /// It goes to the control side.
    Punt(PuntClass),
    /// It ends here.
    Drop(DropReason),
}

/// A packet that a VIP took, on its way to a backend.
#[derive(Clone, Copy)]
pub struct Selection<'s> {
    /// The VIP.
    pub vip: VipId,
    /// The flow's hash.
    pub hash: FlowHash,
    /// Index of the flow's slot in the pool's table.
    pub slot: u32,
    pool: &'s Pool,
    slots: &'s [Slot],
}

/// The lowest port that a probe answer comes back to: a probe's source port is this plus the backend's id.
pub const PROBE_PORT_BASE: u16 = 1_024;

/// The port of BGP (RFC 4271).
const BGP_PORT: u16 = 179;

/// First half: looks up the VIP, hashes the flow and asks for its slot's cache line.
///
/// # Errors
///
/// The verdict on a packet that no VIP takes.
#[inline]
pub fn locate<'s>(snapshot: &'s Snapshot, worker: WorkerId, parsed: &Parsed) -> Result<Selection<'s>, Verdict> {
    let key = VipKey::new(parsed.destination, parsed.protocol, parsed.destination_port);
    // Port 0 is the lookup's word for "any": only protocols without ports have it, and no VIP serves those.
    let found = if parsed.destination_port == 0 { None } else { snapshot.vips.lookup(key) };
    let Some(entry) = found else {
        return Err(unmatched(snapshot, parsed));
    };
    let Some(pool) = snapshot.pool(entry.pool) else {
        return Err(Verdict::Drop(DropReason::NoBackend));
    };
    let slots = pool.slots(worker);
    let hash = snapshot.hasher.hash(&parsed.key);
    let slot = hash.slot(slots.len() as u32);
    if let Some(slot) = slots.get(slot as usize) {
        prefetch(slot);
    }
    Ok(Selection { vip: entry.vip, hash, slot, pool, slots })
}

impl<'s> Selection<'s> {
    /// Second half: reads the slot. `None` if the pool has nobody to give the packet to.
    #[inline]
    #[must_use]
    pub fn backend(&self) -> Option<&'s Backend> {
        let slot = self.slots.get(self.slot as usize)?;
        self.pool.backends.get(slot.index())
    }
}

/// A packet that no VIP takes: ours, or of no use.
#[cold]
fn unmatched(snapshot: &Snapshot, parsed: &Parsed) -> Verdict {
    if snapshot.is_own(parsed.destination) {
        return Verdict::Punt(own_class(parsed));
    }
    if !snapshot.vips.has_address(parsed.destination) {
        return Verdict::Drop(DropReason::NotForUs);
    }
    match (parsed.family, parsed.protocol, parsed.flags) {
        (Family::V4, protocol::ICMP, icmp::V4_ECHO_REQUEST) | (Family::V6, protocol::ICMPV6, icmp::V6_ECHO_REQUEST) => {
            Verdict::Punt(PuntClass::Icmp)
        }
        (Family::V4, protocol::ICMP, message) if icmp::is_error_v4(message) => Verdict::Drop(DropReason::IcmpError),
        (Family::V6, protocol::ICMPV6, message) if icmp::is_error_v6(message) => Verdict::Drop(DropReason::IcmpError),
        _ => Verdict::Drop(DropReason::NoVip),
    }
}

/// The class of a packet to an own address: a flood of one must not cost another its place.
fn own_class(parsed: &Parsed) -> PuntClass {
    match parsed.protocol {
        protocol::ICMP | protocol::ICMPV6 => PuntClass::Icmp,
        protocol::TCP if parsed.source_port == BGP_PORT || parsed.destination_port == BGP_PORT => PuntClass::Bgp,
        protocol::TCP if is_probe_answer(parsed) => PuntClass::Probe,
        _ => PuntClass::Other,
    }
}

/// A probe is a SYN; what answers it is a SYN with ACK, or a reset.
fn is_probe_answer(parsed: &Parsed) -> bool {
    const SYN_ACK: u8 = tcp::SYN | tcp::ACK;
    let answers = parsed.flags & SYN_ACK == SYN_ACK || parsed.flags & tcp::RST != 0;
    answers && parsed.destination_port >= PROBE_PORT_BASE
}
