//! What the fuzz targets and their seeds share: topics of packet vectors, and how frames are written in an input.

pub mod answer;
#[path = "../../dataplane/tests/forwarding/peer.rs"]
pub mod peer;

use anyhow::Result;
use guideway_dataplane::consistency::{Member, Parts, Phase, Side};
use guideway_dataplane::pin::PinTable;
use guideway_dataplane::snapshot::{Pool, Snapshot};
use guideway_dataplane::table::{Slot, Table};
use guideway_vectors::context::Context;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A frame of an input.
#[derive(Clone, Copy, Debug)]
pub struct Record<'i> {
    /// The port where it comes in.
    pub port: u8,
    /// Whether the worker polls, and [`PAUSE_MILLIS`] pass, before it comes.
    pub pause: bool,
    /// The frame.
    pub frame: &'i [u8],
}

/// Time that passes before a frame that is not of the same burst as the one before it. Five of them are more than a
/// fragment is held.
pub const PAUSE_MILLIS: u64 = 25;

impl<'i> Record<'i> {
    /// The first record of an input, and what follows it: a byte with the port and, in its high bit, the pause; the length,
    /// low byte first; the frame, which may be cut off.
    #[must_use]
    pub fn read(input: &'i [u8]) -> Option<(Self, &'i [u8])> {
        let (&[first, low, high], rest) = input.split_first_chunk::<3>()?;
        let len = usize::from(u16::from_le_bytes([low, high])).min(rest.len());
        let (frame, rest) = rest.split_at(len);
        Some((Self { port: first & 0x7f, pause: first & 0x80 != 0, frame }, rest))
    }

    /// Writes the record to the end of an input.
    pub fn write(&self, input: &mut Vec<u8>) {
        input.push(self.port | if self.pause { 0x80 } else { 0 });
        input.extend((self.frame.len() as u16).to_le_bytes());
        input.extend(self.frame);
    }
}

/// The contexts of the vectors by topic. The first byte of an input is the place of one here.
pub fn contexts() -> Result<BTreeMap<String, Arc<Context>>> {
    let vectors = guideway_vectors::load()?.into_iter().map(|vector| (vector.topic, vector.context));
    let sequences = guideway_vectors::load_sequences()?.into_iter().map(|sequence| (sequence.topic, sequence.context));
    Ok(vectors.chain(sequences).collect())
}

/// The same snapshot in the middle of changes: every slot is special, in phases that take turns, with another base than its
/// owner where the phase allows that; one backend in four is not eligible.
#[must_use]
pub fn in_change(snapshot: Snapshot) -> Snapshot {
    let pools = snapshot.pools.iter().map(|pool| Arc::new(pool_in_change(pool))).collect();
    Snapshot { pools, pins: Arc::new(PinTable::smallest()), ..snapshot }
}

fn pool_in_change(pool: &Pool) -> Pool {
    const PHASES: [Phase; 5] = [Phase::Armed, Phase::Transition, Phase::Folded, Phase::Look, Phase::Transition];
    let count = pool.backends.len().max(1);
    let slots = pool.tables().first().map_or(&[][..], |table| table.slots());
    let side = |(slot, phase): (&Slot, &Phase)| {
        let moves = usize::from(*phase == Phase::Transition);
        Side { base: ((slot.index() + moves) % count) as u16, phase: *phase }
    };
    let member = |(number, id)| Member { id, eligible: number % 4 != 3, as_base: number % 4 != 3 };
    let parts = Parts {
        size: slots.len() as u32,
        sides: slots.iter().zip(PHASES.iter().cycle()).map(side).collect(),
        members: (0..).zip(pool.backends.iter().map(|backend| backend.id)).map(member).collect(),
        idle: 4,
        longest_idle: 4,
        ..Parts::default()
    };
    let marked: Box<[Slot]> = slots.iter().map(|slot| slot.with_special(true)).collect();
    let pool_in_change = Pool::new([Table::from(marked)].into(), Arc::clone(&pool.backends));
    pool_in_change.with_server_ids(pool.server_ids.clone()).with_special(Some(parts.into()))
}
