//! The datagrams under way.

use super::ranges::{Conflict, Ranges};
use super::{DatagramId, FirstFragment, MOST_HELD_OF_ONE};
use crate::drop_reason::DropReason;
use crate::parse::FragmentPlace;
use crate::time::Nanos;
use std::time::Duration;

/// Datagrams that are followed at a time.
pub const DATAGRAMS: usize = 4_096;
/// Datagrams that share the places of a set.
const WAYS: usize = 8;
/// Fragments of one datagram: 64 KiB over the smallest MTU that is met on the way, 576 bytes, and some.
pub const MOST_FRAGMENTS: u8 = 128;
/// A datagram is forgotten when none of its fragments came for this long. A receiver that reassembles waits for a minute (RFC
/// 1122, section 3.3.2): it waits for retransmissions by the sender's network too. What is spread over more than this
/// on its way here is lost anyway.
pub const LIFETIME: Duration = Duration::from_secs(2);
/// A first fragment after a pause as long as this begins a new datagram: identifications are used again.
pub const LULL: Duration = Duration::from_millis(500);

/// One datagram.
#[derive(Clone, Debug, Default)]
struct Entry {
    /// Zero: none.
    id: DatagramId,
    last: Nanos,
    first: Option<FirstFragment>,
    ranges: Ranges,
    /// The byte behind the datagram's last one, once its last fragment came.
    end: Option<u16>,
    fragments: u8,
    held: u8,
    /// Fragments contradicted each other: no more of it is let through.
    poisoned: Option<DropReason>,
    /// All of it came: what comes now is of another datagram. Kept for what of it waits in the same burst.
    complete: bool,
}

/// Bounded, set-associative.
#[derive(Debug)]
pub(super) struct Table {
    sets: Box<[[Entry; WAYS]]>,
}

/// A fragment that may go on.
pub(super) struct Admitted {
    /// What its datagram's first fragment told.
    pub(super) first: Option<FirstFragment>,
    /// Whether it is that first fragment, and others wait for it.
    pub(super) waiting: bool,
}

impl Table {
    pub(super) fn new() -> Self {
        Self { sets: (0..DATAGRAMS / WAYS).map(|_| std::array::from_fn(|_| Entry::default())).collect() }
    }

    fn set(&mut self, id: DatagramId) -> Option<&mut [Entry; WAYS]> {
        let count = self.sets.len().max(1);
        self.sets.get_mut((id as usize) % count)
    }

    fn find(&mut self, id: DatagramId) -> Option<&mut Entry> {
        self.set(id)?.iter_mut().find(|entry| entry.id == id)
    }

    /// The entry of a datagram, a new one if there is none. It takes the place of the least worth in its set.
    fn entry(&mut self, id: DatagramId, now: Nanos) -> Option<&mut Entry> {
        let set = self.set(id)?;
        let way = match set.iter().position(|entry| entry.id == id) {
            Some(way) => way,
            None => (0..WAYS).min_by_key(|way| set.get(*way).map(|entry| entry.worth(now)))?,
        };
        let entry = set.get_mut(way)?;
        if entry.id != id || entry.is_over(now) {
            *entry = Entry { id, last: now, ..Entry::default() };
        }
        Some(entry)
    }

    /// Takes note of a fragment.
    pub(super) fn admit(
        &mut self,
        id: DatagramId,
        place: &FragmentPlace,
        first: Option<FirstFragment>,
        now: Nanos,
    ) -> Result<Admitted, DropReason> {
        let entry = self.entry(id, now).ok_or(DropReason::FragmentFull)?;
        if entry.complete || (first.is_some() && now.since(entry.last) >= LULL) {
            *entry = Entry { id, ..Entry::default() };
        }
        // Not an activity: else who goes on sending would keep the identification from everybody.
        if let Some(reason) = entry.poisoned {
            return Err(reason);
        }
        entry.last = now;
        entry.note(place)?;
        let waiting = first.is_some() && entry.held > 0;
        if let Some(first) = first {
            entry.first = Some(first);
            entry.held = 0;
        }
        entry.complete = entry.first.is_some() && entry.end.is_some_and(|end| entry.ranges.is_whole(end));
        Ok(Admitted { first: entry.first, waiting })
    }

    /// Counts a fragment that is to be held; refuses it if its datagram holds enough. What its first fragment told, if that
    /// came since: with the same burst, behind it.
    pub(super) fn count_held(&mut self, id: DatagramId) -> Result<Option<FirstFragment>, DropReason> {
        let entry = self.find(id).ok_or(DropReason::FragmentFull)?;
        if entry.first.is_some() {
            return Ok(entry.first);
        }
        if usize::from(entry.held) >= MOST_HELD_OF_ONE {
            return Err(DropReason::FragmentTooMany);
        }
        entry.held += 1;
        Ok(None)
    }

    /// One fragment of this datagram is no longer held.
    pub(super) fn forget_held(&mut self, id: DatagramId) {
        if let Some(entry) = self.find(id) {
            entry.held = entry.held.saturating_sub(1);
        }
    }
}

impl Entry {
    fn is_over(&self, now: Nanos) -> bool {
        now.since(self.last) >= LIFETIME
    }

    /// Who gives way first: what is over, then what may be made up, then what is known, each by age.
    fn worth(&self, now: Nanos) -> (u8, Nanos) {
        let class = match (self.id, self.first) {
            (0, _) => 0,
            _ if self.complete || self.is_over(now) => 1,
            (_, None) => 2,
            (_, Some(_)) => 3,
        };
        (class, self.last)
    }

    /// Holds a fragment against those that came before it.
    fn note(&mut self, place: &FragmentPlace) -> Result<(), DropReason> {
        let end = place.offset.saturating_add(place.len);
        self.fragments = self.fragments.saturating_add(1);
        if self.fragments > MOST_FRAGMENTS {
            return Err(self.poison(DropReason::FragmentTooMany));
        }
        let beyond = self.end.is_some_and(|known| if place.more { end >= known } else { end != known });
        let before = !place.more && end < self.ranges.end();
        let added = self.ranges.add(place.offset, end);
        match added {
            // The network made a copy: the first one went through.
            Err(Conflict::Known) if !beyond => return Err(DropReason::FragmentOverlap),
            Err(Conflict::TooMany) => return Err(self.poison(DropReason::FragmentTooMany)),
            Err(_) => return Err(self.poison(DropReason::FragmentOverlap)),
            Ok(()) if beyond || before => return Err(self.poison(DropReason::FragmentOverlap)),
            Ok(()) => {}
        }
        if !place.more {
            self.end = Some(end);
        }
        Ok(())
    }

    fn poison(&mut self, reason: DropReason) -> DropReason {
        self.poisoned = Some(reason);
        reason
    }
}
