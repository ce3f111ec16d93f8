//! What the fuzz targets and their seeds share: topics of packet vectors, and how frames are written in an input.

#[path = "../../dataplane/tests/forwarding/peer.rs"]
pub mod peer;

use anyhow::Result;
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
