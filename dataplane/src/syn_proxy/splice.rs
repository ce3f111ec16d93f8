//! How numbers of backend and client differ in a connection whose SYN was answered here.
//!
//! The client's own sequence numbers are the same on both sides. What the backend counts is shifted by the difference of its
//! initial sequence number and the cookie, its clock by that of the timestamps, and its windows are told in the scale that the
//! client was told.

use super::WINDOW_SCALE;
use crate::port::Packet;
use crate::segment::Segment;
use crate::session::SessionId;
use crate::wire::tcp::{ACK, SYN};

/// Of one session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Splice {
    /// What the client counts from less what the backend counts from.
    pub sequence: u32,
    /// The clock that the client sees less the backend's.
    pub clock: u32,
    /// The shift of the backend's windows.
    pub backend_scale: u8,
    /// Whether the client was told a scale.
    pub is_scaled: bool,
    /// By how much the client shifts its windows, which the backend does not know of; 0: it does.
    pub client_scale: u8,
    /// Whether the backend has answered: before, `sequence` is the cookie and `clock` the timestamp that went with it.
    pub is_joined: bool,
}

const JOINED: u32 = 1 << 31;
const SCALED: u32 = 1 << 30;

/// Those of all sessions, by their number.
pub(crate) struct Splices(Box<[[u32; 3]]>);

impl Splices {
    /// Room for `capacity` sessions: 12 bytes for each that ever had one.
    pub(crate) fn new(capacity: u32) -> Self {
        Self(vec![[0; 3]; capacity as usize].into())
    }

    pub(crate) fn get(&self, id: SessionId) -> Option<Splice> {
        let [sequence, clock, rest] = *self.0.get(id.index())?;
        let [backend_scale, client_scale, ..] = rest.to_le_bytes();
        let (is_scaled, is_joined) = (rest & SCALED != 0, rest & JOINED != 0);
        Some(Splice { sequence, clock, backend_scale, client_scale, is_scaled, is_joined })
    }

    pub(crate) fn set(&mut self, id: SessionId, splice: Splice) {
        let Splice { sequence, clock, backend_scale, client_scale, is_scaled, is_joined } = splice;
        let flag = |is: bool, flag: u32| if is { flag } else { 0 };
        let scales = u32::from_le_bytes([backend_scale, client_scale, 0, 0]);
        if let Some(place) = self.0.get_mut(id.index()) {
            *place = [sequence, clock, scales | flag(is_scaled, SCALED) | flag(is_joined, JOINED)];
        }
    }
}

impl Splice {
    /// A window of the backend as the client is to read it.
    #[must_use]
    pub fn window(&self, window: u16) -> u16 {
        let bytes = u32::from(window) << self.backend_scale.min(14);
        let scale = if self.is_scaled { WINDOW_SCALE } else { 0 };
        (bytes >> scale).min(u16::MAX.into()) as u16
    }

    /// Makes a client's segment one that the backend understands.
    pub(crate) fn for_backend<P: Packet>(&self, segment: &mut Segment<'_, P>) {
        if !segment.has(ACK) {
            return;
        }
        if self.client_scale > 0 {
            let bytes = u32::from(segment.header.window.get()) << self.client_scale.min(14);
            segment.set_window(bytes.min(u16::MAX.into()) as u16);
        }
        let acknowledged = segment.header.acknowledgement.get();
        segment.set_acknowledgement(acknowledged.wrapping_sub(self.sequence));
        segment.shift_sack(self.sequence.wrapping_neg());
        if let Some((own, echo)) = segment.timestamps() {
            let echo = u32::from_be_bytes(echo).wrapping_sub(self.clock);
            segment.set_timestamps((own, echo.to_be_bytes()));
        }
    }

    /// Makes a backend's segment one that the client understands.
    pub(crate) fn for_client<P: Packet>(&self, segment: &mut Segment<'_, P>) {
        let sequence = segment.header.sequence.get();
        segment.set_sequence(sequence.wrapping_add(self.sequence));
        if let Some((own, echo)) = segment.timestamps() {
            let own = u32::from_be_bytes(own).wrapping_add(self.clock);
            segment.set_timestamps((own.to_be_bytes(), echo));
        }
        // The window of a SYN has no scale.
        if !segment.has(SYN) {
            let window = self.window(segment.header.window.get());
            segment.set_window(window);
        }
    }
}
