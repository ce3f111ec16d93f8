//! Headers that are not acknowledged yet: a slab of fixed size, with a queue for each step of the timer.

use super::header::Header;
use crate::parse::Parsed;
use crate::session::SessionId;
use crate::time::Nanos;
use arrayvec::ArrayVec;
use std::time::Duration;

/// From one sending by the timer to the next, and how often (R3 c): 200 ms, doubled, six times.
const FIRST: Duration = Duration::from_millis(200);
pub(super) const STEPS: usize = 6;

/// Ethernet, two tags, IPv6 or IPv4 with options, TCP with options.
const MOST_HEADERS: usize = 14 + 8 + 60 + 60;

const NONE: u32 = u32::MAX;

/// The headers of a segment of the client, as a frame.
pub(super) type Headers = ArrayVec<u8, MOST_HEADERS>;

/// What the rules remember of a connection until its header is acknowledged.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    /// Whose it is.
    pub session: Option<SessionId>,
    /// The header.
    pub header: Header,
    /// The highest acknowledgement of the backend (A).
    pub acknowledged: u32,
    /// The backend's initial sequence number (S), once it said so.
    pub backend_first: Option<u32>,
    /// The end of what the client has sent.
    pub highest: u32,
    /// The shift of the backend's windows.
    pub scale: u8,
    /// Whether the client has acknowledged the backend's SYN.
    pub is_client_there: bool,
    /// Whether the header was sent.
    pub is_sent: bool,
    /// The initial sequence number of another SYN of the client (C'), which the backend has not acknowledged.
    pub waiting: Option<u32>,
    /// The headers of the client's last segment, of which the header's segment is made.
    pub headers: Headers,
    /// Where the parts of these lie.
    pub parsed: Option<Parsed>,
    /// Resets that were swallowed (R6 b), and when the first of them was.
    pub swallowed: (u8, Nanos),
    /// Which queue it is in: that of the next step; [`STEPS`]: none.
    step: usize,
    due: Nanos,
    previous: u32,
    next: u32,
}

impl Pending {
    pub(super) fn new() -> Self {
        Self {
            session: None,
            header: Header::new(),
            acknowledged: 0,
            backend_first: None,
            highest: 0,
            scale: 0,
            is_client_there: false,
            is_sent: false,
            waiting: None,
            headers: Headers::new(),
            parsed: None,
            swallowed: (0, Nanos(0)),
            step: STEPS,
            due: Nanos(0),
            previous: NONE,
            next: NONE,
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Queue {
    first: u32,
    last: u32,
}

/// All of them.
pub(super) struct Slab {
    places: Box<[Pending]>,
    /// First of the free places, linked by `next`.
    free: u32,
    queues: [Queue; STEPS],
}

impl Slab {
    pub(super) fn new(capacity: u32) -> Self {
        let place =
            |number: u32| Pending { next: if number + 1 < capacity { number + 1 } else { NONE }, ..Pending::new() };
        Self {
            places: (0..capacity).map(place).collect(),
            free: if capacity > 0 { 0 } else { NONE },
            queues: [Queue { first: NONE, last: NONE }; STEPS],
        }
    }

    /// Takes a place; `None` if there is none.
    pub(super) fn take(&mut self) -> Option<u32> {
        let number = self.free;
        let place = self.places.get_mut(number as usize)?;
        self.free = place.next;
        *place = Pending::new();
        Some(number)
    }

    pub(super) fn get(&mut self, number: u32) -> Option<&mut Pending> {
        self.places.get_mut(number as usize)
    }

    /// Gives a place back.
    pub(super) fn free(&mut self, number: u32) {
        self.stop(number);
        if let Some(place) = self.places.get_mut(number as usize) {
            place.session = None;
            place.next = self.free;
            self.free = number;
        }
    }

    /// Starts the timer of a header that was sent for the first time.
    pub(super) fn start(&mut self, number: u32, now: Nanos) {
        self.queue(number, 0, now);
    }

    fn queue(&mut self, number: u32, step: usize, now: Nanos) {
        let Some(queue) = self.queues.get_mut(step) else { return };
        let previous = std::mem::replace(&mut queue.last, number);
        if previous == NONE {
            queue.first = number;
        } else if let Some(place) = self.places.get_mut(previous as usize) {
            place.next = number;
        }
        if let Some(place) = self.places.get_mut(number as usize) {
            (place.step, place.due) = (step, now + FIRST * (1 << step));
            (place.previous, place.next) = (previous, NONE);
        }
    }

    fn stop(&mut self, number: u32) {
        let Some(place) = self.places.get_mut(number as usize) else { return };
        let (previous, next) = (place.previous, place.next);
        let step = std::mem::replace(&mut place.step, STEPS);
        (place.previous, place.next) = (NONE, NONE);
        let Some(queue) = self.queues.get_mut(step) else { return };
        if previous == NONE {
            queue.first = next;
        } else if let Some(place) = self.places.get_mut(previous as usize) {
            place.next = next;
        }
        if next == NONE {
            queue.last = previous;
        } else if let Some(place) = self.places.get_mut(next as usize) {
            place.previous = previous;
        }
    }

    /// A header whose time has come; its next step begins. Every queue is in the order of its times.
    pub(super) fn next_due(&mut self, now: Nanos) -> Option<u32> {
        for step in 0..STEPS {
            let first = self.queues[step].first;
            if self.places.get(first as usize).is_some_and(|place| place.due <= now) {
                self.stop(first);
                self.queue(first, step + 1, now);
                return Some(first);
            }
        }
        None
    }
}
