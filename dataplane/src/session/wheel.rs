//! When sessions are to be looked at: a ring of lists by time, and one list of those that are not established.
//!
//! A session's deadline is a number in its record, and a packet moves it by one store. The ring only says when to look: who is
//! not due then is put where its deadline is, or as far ahead as the ring reaches. All embryonic sessions have the same time,
//! so their list is in the order of their deadlines, and its head is who gives way first.

/// What stands for nobody.
pub(super) const NONE: u32 = u32::MAX;

/// A tick in milliseconds: sessions expire as much later at most, and never earlier.
pub(super) const TICK_MILLIS: u64 = 128;
/// Ticks that the ring reaches ahead: 65 s.
const SLOTS: u32 = 512;
/// The list of embryonic sessions, behind those of the ring.
pub(super) const EMBRYONIC: u32 = SLOTS;

/// The neighbours of a session in its list, and which list that is. Packed, for its place in a record.
#[derive(Clone, Copy, Debug)]
#[repr(C, packed(2))]
pub(super) struct Links {
    previous: u32,
    next: u32,
    list: u16,
}

impl Links {
    pub(super) const FREE: Self = Self { previous: NONE, next: NONE, list: u16::MAX };

    /// Who comes after it; [`NONE`]: nobody.
    pub(super) const fn next(&self) -> u32 {
        self.next
    }

    /// Whether it is in the list of embryonic sessions.
    pub(super) const fn is_embryonic(&self) -> bool {
        self.list as u32 == EMBRYONIC
    }
}

/// First and last of a list.
#[derive(Clone, Copy, Debug)]
struct Ends {
    first: u32,
    last: u32,
}

/// The lists. Their links lie in the records.
#[derive(Debug)]
pub(super) struct Wheel {
    lists: Box<[Ends]>,
    /// The next tick to look at.
    tick: u32,
}

/// Access to the links of a session.
pub(super) trait Linked {
    fn links(&mut self, number: u32) -> Option<&mut Links>;
}

impl Wheel {
    pub(super) fn new() -> Self {
        Self { lists: vec![Ends { first: NONE, last: NONE }; SLOTS as usize + 1].into(), tick: 0 }
    }

    /// Looks from this tick on. Only while every list is empty: the past is not walked through, however long it was.
    pub(super) fn begin(&mut self, tick: u32) {
        self.tick = tick;
    }

    /// The list where a session with this deadline is looked for.
    fn slot(&self, deadline: u32) -> u32 {
        // What is due already is found at the next tick.
        let ahead = deadline.wrapping_sub(self.tick).cast_signed().clamp(0, SLOTS as i32 - 1);
        self.tick.wrapping_add(ahead.cast_unsigned()) % SLOTS
    }

    /// Puts a session where its deadline is.
    pub(super) fn arm(&mut self, records: &mut impl Linked, number: u32, deadline: u32) {
        self.append(records, number, self.slot(deadline));
    }

    /// Puts a session at the end of a list.
    pub(super) fn append(&mut self, records: &mut impl Linked, number: u32, list: u32) {
        let Some(ends) = self.lists.get_mut(list as usize) else { return };
        let previous = std::mem::replace(&mut ends.last, number);
        if previous == NONE {
            ends.first = number;
        } else if let Some(links) = records.links(previous) {
            links.next = number;
        }
        if let Some(links) = records.links(number) {
            *links = Links { previous, next: NONE, list: list as u16 };
        }
    }

    /// Takes a session out of its list.
    pub(super) fn take(&mut self, records: &mut impl Linked, number: u32) {
        let Some(links) = records.links(number) else { return };
        let Links { previous, next, list } = std::mem::replace(links, Links::FREE);
        let Some(ends) = self.lists.get_mut(usize::from(list)) else { return };
        if previous == NONE {
            ends.first = next;
        } else if let Some(links) = records.links(previous) {
            links.next = next;
        }
        if next == NONE {
            ends.last = previous;
        } else if let Some(links) = records.links(next) {
            links.previous = previous;
        }
    }

    /// Who has been embryonic for longest.
    pub(super) fn oldest_embryonic(&self) -> Option<u32> {
        self.lists.get(EMBRYONIC as usize).map(|ends| ends.first).filter(|first| *first != NONE)
    }

    /// The next session to look at, at this tick; `None`: all of the past has been looked at.
    pub(super) fn next_at(&mut self, now: u32) -> Option<u32> {
        while now.wrapping_sub(self.tick).cast_signed() >= 0 {
            let first = self.lists.get((self.tick % SLOTS) as usize).map_or(NONE, |ends| ends.first);
            if first != NONE {
                return Some(first);
            }
            self.tick = self.tick.wrapping_add(1);
        }
        None
    }

    /// The sessions of the ring that are to be looked at soonest, in that order. Returns how many there are.
    pub(super) fn soonest(&self, records: &mut impl Linked, numbers: &mut [u32]) -> usize {
        let mut places = numbers.iter_mut();
        let mut count = 0;
        for ahead in 0..SLOTS {
            let slot = self.tick.wrapping_add(ahead) % SLOTS;
            let mut number = self.lists.get(slot as usize).map_or(NONE, |ends| ends.first);
            while number != NONE {
                let Some(place) = places.next() else { return count };
                *place = number;
                count += 1;
                number = records.links(number).map_or(NONE, |links| links.next);
            }
        }
        count
    }
}
