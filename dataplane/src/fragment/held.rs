//! Fragments that came before the first one of their datagram.

use super::{DatagramId, FirstFragment, Released};
use crate::drop_reason::DropReason;
use crate::ids::PortId;
use crate::port::BURST;
use crate::time::Nanos;
use std::collections::VecDeque;
use std::time::Duration;

/// Fragments that are held at a time: about what one worker gets in a millisecond of nothing else.
pub const MOST_HELD: usize = 512;
/// Fragments of one datagram that are held: all of a datagram of 24 kB over Ethernet.
pub const MOST_HELD_OF_ONE: usize = 16;
/// How long a fragment waits. Those of a datagram leave their sender together, and are as far apart as the paths that a
/// network spreads them over differ.
pub const HOLD_TIME: Duration = Duration::from_millis(100);

/// One that waits; its packet is gone once it was released.
#[derive(Debug)]
struct Waiting<P> {
    id: DatagramId,
    port: PortId,
    since: Nanos,
    packet: Option<P>,
}

/// The hold. All wait for the same time, so the oldest is the first.
#[derive(Debug)]
pub(super) struct Held<P> {
    waiting: VecDeque<Waiting<P>>,
    /// Emptied after every burst: in between it gets at most all that waited, and one for each packet of the burst.
    released: VecDeque<(DatagramId, Released<P>)>,
}

impl<P> Held<P> {
    pub(super) fn new() -> Self {
        Self { waiting: VecDeque::with_capacity(MOST_HELD), released: VecDeque::with_capacity(MOST_HELD + BURST) }
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.released.is_empty()
    }

    /// Takes a fragment that waits. If there are too many, the one that waited longest is given up.
    pub(super) fn push(&mut self, id: DatagramId, port: PortId, packet: P, now: Nanos) {
        while self.waiting.len() >= MOST_HELD
            && let Some(oldest) = self.waiting.pop_front()
        {
            if let Some(packet) = oldest.packet {
                let (port, reason) = (oldest.port, DropReason::FragmentFull);
                self.released.push_back((oldest.id, Released::Refused { packet, port, reason }));
            }
        }
        self.waiting.push_back(Waiting { id, port, since: now, packet: Some(packet) });
    }

    /// Takes a fragment that may go at once.
    pub(super) fn push_known(&mut self, id: DatagramId, port: PortId, packet: P, first: FirstFragment) {
        self.released.push_back((id, Released::Known { packet, port, first }));
    }

    /// Lets all fragments of a datagram go, in their order.
    pub(super) fn release(&mut self, id: DatagramId, first: FirstFragment) {
        for waiting in self.waiting.iter_mut().filter(|waiting| waiting.id == id) {
            if let Some(packet) = waiting.packet.take() {
                self.released.push_back((id, Released::Known { packet, port: waiting.port, first }));
            }
        }
        self.drop_gone();
    }

    /// The next one that is let go, or that has waited for too long.
    pub(super) fn next(&mut self, now: Nanos) -> Option<(DatagramId, Released<P>)> {
        if let Some(released) = self.released.pop_front() {
            return Some(released);
        }
        self.drop_gone();
        let oldest = self.waiting.front()?;
        if now.since(oldest.since) < HOLD_TIME {
            return None;
        }
        let Waiting { id, port, packet, .. } = self.waiting.pop_front()?;
        packet.map(|packet| (id, Released::Refused { packet, port, reason: DropReason::FragmentExpired }))
    }

    /// Frees the places at the front whose packets are gone.
    fn drop_gone(&mut self) {
        while self.waiting.front().is_some_and(|waiting| waiting.packet.is_none()) {
            self.waiting.pop_front();
        }
    }
}
