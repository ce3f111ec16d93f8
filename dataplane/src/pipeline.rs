//! The stage loops: parse, select and rewrite run over a whole burst one after the other, in arrays on the stack, so
//! that each stage's code and the cache lines that the next one needs are there when it starts.

use crate::drop_reason::DropReason;
use crate::ids::{PortId, VipId, WorkerId};
use crate::parse::{Outcome, Parsed, parse};
use crate::port::{BURST, Burst, Packet};
use crate::prefetch::prefetch;
use crate::rewrite::Backend;
use crate::select::{Selection, Verdict, locate};
use crate::snapshot::Snapshot;
use arrayvec::ArrayVec;

/// What was decided about one packet, and by what.
#[derive(Clone, Copy)]
pub struct Decision<'s> {
    /// What becomes of it.
    pub verdict: Verdict,
    /// Its headers, if they could be read.
    pub parsed: Option<Parsed>,
    /// The VIP that took it and its slot, if one did.
    pub selection: Option<Selection<'s>>,
}

/// The decisions about a burst, in the order of its packets.
pub type Decisions<'s> = ArrayVec<Decision<'s>, BURST>;

/// Watches decisions: `replay` and `capture` do, a worker in production does not.
pub trait Trace {
    /// Whether [`Trace::decided`] is to be called; a constant, so that the call vanishes where it is not.
    const ENABLED: bool;

    /// Tells about one packet, after its rewrite. `packet_number` counts the packets of the current burst from 0.
    fn decided(&mut self, packet_number: usize, decision: &Decision<'_>);
}

/// Watches nothing.
impl Trace for () {
    const ENABLED: bool = false;

    fn decided(&mut self, _packet_number: usize, _decision: &Decision<'_>) {}
}

/// Counts what leaves towards backends.
pub trait Tally {
    /// One packet of `bytes` bytes for `vip` goes to `backend`.
    fn forwarded(&mut self, vip: VipId, backend: &Backend, bytes: usize);
}

/// Decides about every packet of a burst that came in on `port`, and rewrites those that are forwarded. The decisions
/// are put into `decisions`, whose contents are replaced: at some 15 KiB they are written where the caller wants them.
#[inline]
pub fn process<'s, P: Packet>(
    snapshot: &'s Snapshot,
    worker: WorkerId,
    port: PortId,
    burst: &mut Burst<P>,
    decisions: &mut Decisions<'s>,
    tally: &mut impl Tally,
) {
    for packet in burst.iter() {
        prefetch(packet.frame());
    }
    decisions.clear();
    parse_burst(snapshot, port, burst, decisions);
    locate_burst(snapshot, worker, decisions);
    let chosen = choose_burst(decisions);
    rewrite_burst(burst, decisions, &chosen, tally);
}

#[inline]
fn parse_burst<P: Packet>(snapshot: &Snapshot, port: PortId, burst: &Burst<P>, decisions: &mut Decisions<'_>) {
    let Some(state) = snapshot.ports.get(port.index()) else {
        // A port that the snapshot does not know any more: control waits for this worker to leave it alone.
        return decisions.extend(burst.iter().map(|_| dropped(DropReason::PortDown)));
    };
    let decide = |packet: &P| match parse(packet.frame(), packet.total_len(), state) {
        // Until a backend took it, a packet that can be decided by is one without a backend.
        Outcome::Packet(parsed) => Decision { parsed: Some(parsed), ..dropped(DropReason::NoBackend) },
        Outcome::Punt(class) => Decision { verdict: Verdict::Punt(class), parsed: None, selection: None },
        Outcome::Drop(reason) => dropped(reason),
    };
    decisions.extend(burst.iter().map(decide));
}

const fn dropped<'s>(reason: DropReason) -> Decision<'s> {
    Decision { verdict: Verdict::Drop(reason), parsed: None, selection: None }
}

#[inline]
fn locate_burst<'s>(snapshot: &'s Snapshot, worker: WorkerId, decisions: &mut Decisions<'s>) {
    for decision in decisions.iter_mut() {
        let Some(parsed) = &decision.parsed else { continue };
        match locate(snapshot, worker, parsed) {
            Ok(selection) => decision.selection = Some(selection),
            Err(verdict) => decision.verdict = verdict,
        }
    }
}

#[inline]
fn choose_burst<'s>(decisions: &mut Decisions<'s>) -> ArrayVec<Option<&'s Backend>, BURST> {
    let choose = |decision: &mut Decision<'s>| {
        let backend = decision.selection.as_ref().and_then(Selection::backend);
        if let Some(backend) = backend {
            prefetch(backend);
        }
        backend
    };
    decisions.iter_mut().map(choose).collect()
}

#[inline]
fn rewrite_burst<P: Packet>(
    burst: &mut Burst<P>,
    decisions: &mut Decisions<'_>,
    chosen: &[Option<&Backend>],
    tally: &mut impl Tally,
) {
    for ((packet, decision), backend) in burst.iter_mut().zip(decisions).zip(chosen) {
        let (Some(backend), Some(parsed), Some(selection)) = (*backend, &decision.parsed, &decision.selection) else {
            continue;
        };
        decision.verdict = match backend.apply(packet, parsed, selection.hash) {
            Ok(egress) => {
                tally.forwarded(selection.vip, backend, packet.total_len());
                Verdict::Forward { egress, backend: backend.id }
            }
            Err(reason) => Verdict::Drop(reason),
        };
    }
}
