//! The second stage: whose packet is it, and which backend gets it.

use crate::consistency::{Flow, Phase, Role, decide};
use crate::counters::PinCounters;
use crate::drop_reason::DropReason;
use crate::hash::FlowHash;
use crate::ids::{BackendId, MAX_BACKENDS, PoolId, PortId, VipId, WorkerId};
use crate::parse::{Family, Kind, Parsed};
use crate::pin::PinTable;
use crate::prefetch::prefetch;
use crate::punt::PuntClass;
use crate::rewrite::{Backend, Split};
use crate::snapshot::{Pool, Snapshot};
use crate::table::Slot;
use crate::time::Nanos;
use crate::vip::{Steering, VipKey, address_bits};
use crate::wire::{icmp, protocol, tcp, udp};

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing yet: it can be decided by, and no stage has.
    Undecided,
    /// It leaves by a port.
    Forward {
        /// The port.
        egress: PortId,
        /// The backend that gets it.
        backend: BackendId,
    },
    /// It leaves by a port, in fragments.
    Split {
        /// The port.
        egress: PortId,
        /// The backend that gets it.
        backend: BackendId,
        /// How it is split.
        split: Split,
    },
    /// It goes to the control side.
    Punt(PuntClass),
    /// Its session is another worker's, which gets it as it came.
    HandOff(WorkerId),
    /// It waits for the first fragment of its datagram.
    Hold,
    /// It became an answer to its sender, and leaves by the port that it came in on.
    Reply(Reply),
    /// It ends here.
    Drop(DropReason),
}

/// What a sender is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Its packet is too big for the way to the backend: an ICMP error says what fits.
    TooBig,
    /// Its SYN has an answer of the SYN proxy.
    Cookie,
}

impl Reply {
    /// In a sentence or two.
    #[must_use]
    pub const fn help(self) -> &'static str {
        match self {
            Self::TooBig => {
                "Too big for the way to its backend, and not to be fragmented: its sender is told what fits."
            }
            Self::Cookie => {
                "The SYN proxy answers it; its backend hears of the client once that has acknowledged the answer."
            }
        }
    }
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
    steering: Steering,
    pool: &'s Pool,
    pool_id: PoolId,
    place: Option<&'s Slot>,
    /// Who gets the packet: once that was looked up, or at once if the packet itself says so.
    pub(crate) chosen: Option<&'s Backend>,
}

/// What the second half of selection found.
pub(crate) enum Choice<'s> {
    /// Who gets the packet.
    Backend(&'s Backend),
    /// The slot is special: its pin decides.
    Special,
    /// The pool has nobody to give the packet to.
    Nobody,
}

/// What decided who gets a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// Its slot.
    Slot,
    /// The packet itself: a QUIC connection ID.
    Name,
    /// Its slot in this phase: it goes where new flows go.
    Current(Phase),
    /// Its slot in this phase: it goes where flows from before are.
    Base(Phase),
    /// Its pin, in a slot of this phase.
    Pin(Phase),
}

/// The lowest port that a probe answer comes back to: a probe's source port is this plus the backend's id.
pub const PROBE_PORT_BASE: u16 = 1_024;

/// The lowest port of checks that are conversations: those above the prober's.
pub const CONVERSATION_PORT_BASE: u16 = PROBE_PORT_BASE + MAX_BACKENDS as u16;

/// The port of BGP (RFC 4271).
const BGP_PORT: u16 = 179;

/// Why a packet has no backend yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotLocated {
    /// No VIP takes it. It may be for an own address.
    NoVip,
    /// Its VIP has no pool.
    NoPool,
}

impl NotLocated {
    /// What becomes of the packet.
    pub(crate) fn verdict(self, snapshot: &Snapshot, parsed: &Parsed) -> Verdict {
        match self {
            Self::NoVip => unmatched(snapshot, parsed),
            Self::NoPool => Verdict::Drop(DropReason::NoBackend),
        }
    }
}

/// First half: looks up the VIP, hashes the flow and asks for its slot's cache line.
///
/// # Errors
///
/// Why nobody gets the packet.
#[inline(always)]
pub fn locate<'s>(
    snapshot: &'s Snapshot,
    worker: WorkerId,
    parsed: &Parsed,
    frame: &[u8],
) -> Result<Selection<'s>, NotLocated> {
    let key = VipKey::new(parsed.destination, parsed.protocol, parsed.destination_port);
    // Port 0 is the lookup's word for "any": only protocols without ports have it, and no VIP serves those.
    let found = if parsed.destination_port == 0 { None } else { snapshot.vips.lookup(key) };
    let entry = found.ok_or(NotLocated::NoVip)?;
    let pool = snapshot.pool(entry.pool).ok_or(NotLocated::NoPool)?;
    let slots = pool.slots(worker);
    let (hash, chosen) = if entry.steering == Steering::Flow {
        (snapshot.hasher.hash(&parsed.key), None)
    } else {
        steer(snapshot, entry.steering, pool, parsed, frame)
    };
    let slot = hash.slot(slots.len() as u32);
    let place = slots.get(slot as usize);
    if let Some(place) = place {
        prefetch(place);
    }
    Ok(Selection { vip: entry.vip, hash, slot, steering: entry.steering, pool, pool_id: entry.pool, place, chosen })
}

/// The hash of a flow, and the backend that the packet names, where not the flow alone decides.
#[inline(never)]
fn steer<'s>(
    snapshot: &Snapshot,
    steering: Steering,
    pool: &'s Pool,
    parsed: &Parsed,
    frame: &[u8],
) -> (FlowHash, Option<&'s Backend>) {
    match steering {
        Steering::Client | Steering::Session { by_client: true } => (snapshot.hasher.hash(&parsed.key.client()), None),
        Steering::Flow | Steering::Session { by_client: false } => (snapshot.hasher.hash(&parsed.key), None),
        Steering::Quic => (snapshot.hasher.hash(&parsed.key), named_by_connection_id(pool, parsed, frame)),
    }
}

/// The backend whose server id is in the connection ID of a QUIC packet. Fragments go by their ports, all alike: only the
/// first one has a connection ID, and QUIC sends none (RFC 9000, section 14).
fn named_by_connection_id<'s>(pool: &'s Pool, parsed: &Parsed, frame: &[u8]) -> Option<&'s Backend> {
    if parsed.kind != Kind::Whole {
        return None;
    }
    // Not into the padding of a short frame; and as much of it as the first segment holds.
    let end = usize::from(parsed.ip_offset) + usize::from(parsed.ip_len);
    let packet = frame.get(..end).unwrap_or(frame);
    let datagram = packet.get(usize::from(parsed.transport_offset) + udp::HEADER_LEN..)?;
    let index = pool.server_ids.as_deref()?.lookup_packet(datagram)?;
    pool.backends.get(usize::from(index))
}

/// Both halves for one packet: what the stages do with a burst, for simulations.
///
/// # Errors
///
/// The verdict on a packet that no VIP takes, or that its pool has nobody for.
pub fn select<'s>(
    snapshot: &'s Snapshot,
    worker: WorkerId,
    parsed: &Parsed,
    frame: &[u8],
    now: Nanos,
    counters: &PinCounters,
) -> Result<Selection<'s>, Verdict> {
    let located = locate(snapshot, worker, parsed, frame);
    let mut selection = located.map_err(|why| why.verdict(snapshot, parsed))?;
    let chosen = match selection.choose() {
        Choice::Backend(backend) => Some(backend),
        Choice::Special => selection.choose_special(snapshot, parsed, frame, now, counters),
        Choice::Nobody => None,
    };
    chosen.map(|_| selection).ok_or(Verdict::Drop(DropReason::NoBackend))
}

impl<'s> Selection<'s> {
    /// What the fast path found out about a packet of this VIP, hash and slot.
    pub(crate) fn of_usual(
        vip: VipId,
        hash: FlowHash,
        slot: u32,
        (pool_id, pool, worker): (PoolId, &'s Pool, WorkerId),
        chosen: Option<&'s Backend>,
    ) -> Self {
        let place = pool.slots(worker).get(slot as usize);
        Self { vip, hash, slot, steering: Steering::Flow, pool, pool_id, place, chosen }
    }

    /// Who gets the packet, once that was decided.
    #[must_use]
    pub fn backend(&self) -> Option<&'s Backend> {
        self.chosen
    }

    /// Whether it goes by sessions.
    pub(crate) const fn has_session(&self) -> bool {
        matches!(self.steering, Steering::Session { .. })
    }

    /// The pool of the VIP.
    pub(crate) const fn pool(&self) -> &'s Pool {
        self.pool
    }

    /// Its number in the snapshot.
    pub(crate) const fn pool_id(&self) -> PoolId {
        self.pool_id
    }

    /// The backend that new flows of the slot get, by its place in the pool.
    pub(crate) fn current(&self) -> Option<u16> {
        let index = self.place?.index();
        u16::try_from(index).ok().filter(|index| usize::from(*index) < self.pool.backends.len())
    }

    /// Second half: reads the slot.
    #[inline(always)]
    pub(crate) fn choose(&mut self) -> Choice<'s> {
        if self.chosen.is_none() {
            let Some(place) = self.place else { return Choice::Nobody };
            if place.is_special() {
                return Choice::Special;
            }
            self.chosen = self.pool.backends.get(place.index());
        }
        self.chosen.map_or(Choice::Nobody, Choice::Backend)
    }

    /// Asks for the cache line with the pin of a flow whose slot is special.
    pub(crate) fn prefetch_pin(&self, pins: &PinTable) {
        if let Some(special) = &self.pool.special {
            pins.prefetch(pins.key(self.hash, special.salt(), special.rules()));
        }
    }

    /// The second half for a special slot: looks for the flow's pin, and writes one where there must be one.
    #[cold]
    #[inline(never)]
    pub(crate) fn choose_special(
        &mut self,
        snapshot: &Snapshot,
        parsed: &Parsed,
        frame: &[u8],
        now: Nanos,
        counters: &PinCounters,
    ) -> Option<&'s Backend> {
        let (special, current) = (self.pool.special.as_deref()?, *self.place?);
        let role = Role::of(parsed, frame, self.steering, special.rules());
        let flow = Flow { hash: self.hash, slot: self.slot, current, role };
        let index = decide(special, &flow, &snapshot.pins, now, counters)?;
        self.chosen = self.pool.backends.get(usize::from(index));
        self.chosen
    }

    /// What decided, once the second half is done.
    #[must_use]
    pub fn by(&self) -> By {
        let Some(place) = self.place else { return By::Slot };
        let current = self.pool.backends.get(place.index()).map(|backend| backend.id);
        let chosen = self.chosen.map(|backend| backend.id);
        let Some(special) = self.pool.special.as_deref().filter(|_| place.is_special()) else {
            return if chosen == current { By::Slot } else { By::Name };
        };
        let side = special.side(self.slot);
        let base = self.pool.backends.get(usize::from(side.base)).map(|backend| backend.id);
        match chosen {
            _ if chosen == base && base != current => By::Base(side.phase),
            _ if chosen == current => By::Current(side.phase),
            _ => By::Pin(side.phase),
        }
    }
}

/// A packet that no VIP takes: ours, or of no use.
#[cold]
fn unmatched(snapshot: &Snapshot, parsed: &Parsed) -> Verdict {
    if snapshot.is_own(parsed.destination) {
        return Verdict::Punt(own_class(snapshot, parsed));
    }
    if !snapshot.vips.has_address(parsed.destination) {
        return Verdict::Drop(DropReason::NotForUs);
    }
    match (parsed.kind, parsed.family, parsed.protocol, parsed.flags) {
        (Kind::Undecidable(reason), ..) => Verdict::Drop(reason),
        (Kind::Whole, Family::V4, protocol::ICMP, icmp::V4_ECHO_REQUEST)
        | (Kind::Whole, Family::V6, protocol::ICMPV6, icmp::V6_ECHO_REQUEST) => Verdict::Punt(PuntClass::Icmp),
        _ => Verdict::Drop(DropReason::NoVip),
    }
}

/// The class of a packet to an own address: a flood of one must not cost another its place.
fn own_class(snapshot: &Snapshot, parsed: &Parsed) -> PuntClass {
    match parsed.protocol {
        _ if matches!(parsed.kind, Kind::IcmpError | Kind::Undecidable(_)) => PuntClass::Icmp,
        _ if parsed.kind != Kind::Whole => PuntClass::Other,
        protocol::ICMP | protocol::ICMPV6 => PuntClass::Icmp,
        protocol::TCP if parsed.source_port == BGP_PORT || parsed.destination_port == BGP_PORT => PuntClass::Bgp,
        protocol::TCP if is_probe_answer(parsed) => PuntClass::Probe,
        protocol::TCP | protocol::UDP if is_of_conversation(snapshot, parsed) => PuntClass::Probe,
        _ => PuntClass::Other,
    }
}

/// Checks that are conversations get data too, on ports of their own. They are held with VIPs, with backends whose packets
/// have their addresses rewritten, and with nobody else.
fn is_of_conversation(snapshot: &Snapshot, parsed: &Parsed) -> bool {
    let source = || address_bits(parsed.key.source());
    let is_asked = || snapshot.vips.has_address(source()) || snapshot.is_nat_backend(source());
    parsed.destination_port >= CONVERSATION_PORT_BASE && is_asked()
}

/// A probe is a SYN; what answers it is a SYN with ACK, or a reset.
fn is_probe_answer(parsed: &Parsed) -> bool {
    const SYN_ACK: u8 = tcp::SYN | tcp::ACK;
    let answers = parsed.flags & SYN_ACK == SYN_ACK || parsed.flags & tcp::RST != 0;
    answers && parsed.destination_port >= PROBE_PORT_BASE
}
