//! What is captured, and the buffers that carry it to the control side.

use crate::counters::Counter;
use crate::drop_reason::DropReason;
use crate::hash::FlowKey;
use crate::ids::{BackendId, PortId, VipId, WorkerId};
use crate::parse::Parsed;
use crate::pipeline::Decision;
use crate::port::Packet;
use crate::publish::Generation;
use crate::select::{By, Verdict};
use crate::snapshot::Snapshot;
use crate::time::Nanos;
use crate::vip::{Prefix, VipKey, address_bits};
use crate::wire::ethernet::{self, EthernetHeader};
use crate::wire::ipv4::Ipv4Header;
use crate::wire::ipv6::Ipv6Header;
use crossbeam::queue::ArrayQueue;
use zerocopy::FromBytes;

/// Which drops are captured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// All.
    Any,
    /// Those of a reason.
    For(DropReason),
}

impl Dropped {
    /// Whether a verdict is such a drop.
    fn matches(self, verdict: Verdict) -> bool {
        match (self, verdict) {
            (Self::Any, Verdict::Drop(_)) => true,
            (Self::For(wanted), Verdict::Drop(reason)) => wanted == reason,
            _ => false,
        }
    }
}

/// Which packets are captured: those that meet all that is asked for.
#[derive(Clone, Debug)]
pub struct Filter {
    /// Those that this VIP takes. What cannot be read as far as its ports is of every VIP of its destination.
    pub vip: Option<(VipId, Prefix)>,
    /// Those of these clients.
    pub client: Option<Prefix>,
    /// Those that go to this backend, health probes among them.
    pub backend: Option<BackendId>,
    /// Those that are dropped.
    pub drop: Option<Dropped>,
    /// Frames that come in by this port, or leave by it.
    pub port: Option<PortId>,
    /// Whether frames are captured as they come in.
    pub comes_in: bool,
    /// Whether frames are captured as they leave.
    pub leaves: bool,
    /// One packet of so many.
    pub sample: u32,
}

impl Default for Filter {
    /// Every packet, both ways.
    fn default() -> Self {
        let (vip, client, backend, drop, port) = Default::default();
        Self { vip, client, backend, drop, port, comes_in: true, leaves: true, sample: 1 }
    }
}

impl Filter {
    fn is_of_port(&self, port: PortId) -> bool {
        self.port.is_none_or(|wanted| wanted == port)
    }

    /// Whether frames are captured as they come in by this port.
    pub(super) fn takes_in(&self, port: PortId) -> bool {
        self.comes_in && self.is_of_port(port)
    }

    /// Whether frames are captured as they leave by this port.
    pub(super) fn takes_out(&self, port: PortId) -> bool {
        self.leaves && self.drop.is_none() && self.is_of_port(port)
    }

    /// Whether a packet may be captured, as far as its own bytes tell. `parsed` is `None` if it cannot be read.
    pub(super) fn may_take(&self, snapshot: &Snapshot, frame: &[u8], parsed: Option<&Parsed>) -> bool {
        if self.vip.is_none() && self.client.is_none() {
            return true;
        }
        let addresses = addresses(frame);
        let of_client = |client: Prefix| {
            let of_flow = parsed.is_some_and(|parsed| client.contains(address_bits(parsed.key.source())));
            of_flow || addresses.is_some_and(|(source, _)| client.contains(source))
        };
        let of_vip = |(vip, addresses_of_vip): (VipId, Prefix)| match parsed {
            Some(parsed) => {
                let key = VipKey::new(parsed.destination, parsed.protocol, parsed.destination_port);
                let found = if parsed.destination_port == 0 { None } else { snapshot.vips.lookup(key) };
                let unknown = parsed.destination_port == 0 && addresses_of_vip.contains(parsed.destination);
                unknown || found.is_some_and(|entry| entry.vip == vip)
            }
            None => addresses.is_some_and(|(_, destination)| addresses_of_vip.contains(destination)),
        };
        self.client.is_none_or(of_client) && self.vip.is_none_or(of_vip)
    }

    /// Whether a packet is captured of which that is known, after [`Filter::may_take`].
    pub(super) fn takes(&self, facts: &Facts) -> bool {
        let verdict = facts.verdict.unwrap_or(Verdict::Undecided);
        self.drop.is_none_or(|dropped| dropped.matches(verdict))
            && self.backend.is_none_or(|backend| facts.backend == Some(backend))
    }

    /// Whether a packet of the control side is captured.
    pub(super) fn takes_injected(&self, backend: Option<BackendId>) -> bool {
        let of_traffic = self.vip.is_some() || self.client.is_some() || self.drop.is_some();
        !of_traffic && self.backend.is_none_or(|wanted| backend == Some(wanted))
    }
}

/// Source and destination of an IP packet, as [`address_bits`], whatever is wrong with the rest of it.
fn addresses(frame: &[u8]) -> Option<(u128, u128)> {
    let (header, mut rest) = EthernetHeader::ref_from_prefix(frame).ok()?;
    let mut ethertype = header.ethertype.get();
    while ethertype == ethernet::TYPE_VLAN || ethertype == ethernet::TYPE_QINQ {
        let (tag, behind) = rest.split_first_chunk::<4>()?;
        (ethertype, rest) = (u16::from_be_bytes([tag[2], tag[3]]), behind);
    }
    match ethertype {
        ethernet::TYPE_IPV4 => {
            let (ip, _) = Ipv4Header::ref_from_prefix(rest).ok()?;
            Some((address_bits(ip.source.into()), address_bits(ip.destination.into())))
        }
        ethernet::TYPE_IPV6 => {
            let (ip, _) = Ipv6Header::ref_from_prefix(rest).ok()?;
            Some((address_bits(ip.source.into()), address_bits(ip.destination.into())))
        }
        _ => None,
    }
}

/// What is known of a captured packet.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// The time of the poll.
    pub at: Nanos,
    /// Who decided.
    pub worker: WorkerId,
    /// By which snapshot.
    pub generation: Generation,
    /// What became of it; `None`: the control side sent it.
    pub verdict: Option<Verdict>,
    /// Its flow, if it could be read.
    pub flow: Option<FlowKey>,
    /// The VIP that took it, and its slot.
    pub vip: Option<(VipId, u32)>,
    /// The backend that it goes to, and for a packet of a VIP what decided that.
    pub backend: Option<BackendId>,
    /// What decided that.
    pub by: Option<By>,
}

impl Facts {
    pub(super) fn new(at: Nanos, worker: WorkerId, generation: Generation, decision: &Decision<'_>) -> Self {
        let (backend, by) = match decision.verdict {
            Verdict::Forward { backend, .. } | Verdict::Split { backend, .. } => {
                (Some(backend), decision.selection.map(|selection| selection.by()))
            }
            _ => (None, None),
        };
        Self {
            at,
            worker,
            generation,
            verdict: Some(decision.verdict),
            flow: decision.parsed.map(|parsed| parsed.key),
            vip: decision.selection.map(|selection| (selection.vip, selection.slot)),
            backend,
            by,
        }
    }

    /// What is known of a packet of which nothing was decided: the control side sent it, or it was given up.
    pub(super) const fn bare(
        at: Nanos,
        worker: WorkerId,
        generation: Generation,
        verdict: Option<Verdict>,
        backend: Option<BackendId>,
    ) -> Self {
        Self { at, worker, generation, verdict, flow: None, vip: None, backend, by: None }
    }
}

/// A captured frame, in a buffer that is used again.
#[derive(Debug)]
pub struct Seen {
    /// What is known of it; `None` only while the buffer is empty.
    pub facts: Option<Facts>,
    /// Where it came in, or leaves.
    pub port: PortId,
    /// Whether it leaves.
    pub leaves: bool,
    /// Its length in bytes, of which the buffer may hold fewer.
    pub len: usize,
    held: usize,
    buffer: Box<[u8]>,
}

impl Seen {
    fn new(room: usize) -> Self {
        Self { facts: None, port: PortId(0), leaves: false, len: 0, held: 0, buffer: vec![0; room].into() }
    }

    /// The first bytes of the frame, as many as are captured.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.buffer.get(..self.held).unwrap_or(&[])
    }

    /// Copies as much of a frame as there is room for.
    pub(super) fn fill<P: Packet>(&mut self, packet: &P, port: PortId, leaves: bool) {
        (self.port, self.leaves, self.len, self.held) = (port, leaves, packet.total_len(), 0);
        let Self { buffer, held, .. } = self;
        packet.for_each_segment(&mut |segment| {
            let room = buffer.get_mut(*held..).unwrap_or(&mut []);
            let count = segment.len().min(room.len());
            room[..count].copy_from_slice(&segment[..count]);
            *held += count;
        });
    }
}

/// The buffers of one worker.
#[derive(Debug)]
pub struct FrameRing {
    pub(super) free: ArrayQueue<Box<Seen>>,
    full: ArrayQueue<Box<Seen>>,
    /// Frames that found no buffer. Written by the worker.
    pub lost: Counter,
}

impl FrameRing {
    fn new(frames: usize, room: usize) -> Self {
        let free = ArrayQueue::new(frames);
        for _ in 0..frames {
            // As many as it has room for.
            let _ = free.push(Box::new(Seen::new(room)));
        }
        Self { free, full: ArrayQueue::new(frames), lost: Counter::default() }
    }

    /// The frame that waits longest.
    #[must_use]
    pub fn pop(&self) -> Option<Box<Seen>> {
        self.full.pop()
    }

    /// Gives a buffer back that [`FrameRing::pop`] returned.
    pub fn recycle(&self, seen: Box<Seen>) {
        // Each queue has room for all buffers that there are.
        let _ = self.free.push(seen);
    }

    pub(super) fn push(&self, mut seen: Box<Seen>, facts: Facts) {
        seen.facts = Some(facts);
        // As above.
        let _ = self.full.push(seen);
    }
}

/// A capture, for all workers.
#[derive(Debug)]
pub struct CaptureTap {
    filter: Filter,
    rings: Box<[FrameRing]>,
}

impl CaptureTap {
    /// A capture by `workers` workers, each with buffers for `frames` frames of at most `room` bytes.
    ///
    /// # Panics
    ///
    /// If `frames` is zero.
    #[must_use]
    pub fn new(filter: Filter, workers: usize, frames: usize, room: usize) -> Self {
        Self { filter, rings: (0..workers).map(|_| FrameRing::new(frames, room)).collect() }
    }

    /// What is captured.
    #[must_use]
    pub fn filter(&self) -> &Filter {
        &self.filter
    }

    /// The buffers, by worker.
    #[must_use]
    pub fn rings(&self) -> &[FrameRing] {
        &self.rings
    }

    pub(super) fn ring(&self, worker: WorkerId) -> Option<&FrameRing> {
        self.rings.get(worker.index())
    }
}
