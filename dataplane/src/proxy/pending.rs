//! Headers that are not acknowledged yet: a slab of fixed size, with a queue for each step of the timer.

use super::header::Header;
use crate::segment::KeptHeaders;
use crate::session::SessionId;
use crate::time::Nanos;
use std::time::Duration;

/// From one sending by the timer to the next, and how often (R3 c): 200 ms, doubled, six times.
const FIRST: Duration = Duration::from_millis(200);
pub(super) const STEPS: usize = 6;

const NONE: u32 = u32::MAX;

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
    /// The client's last segment, like which the header's one is made.
    pub last: Option<KeptHeaders>,
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
            last: None,
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
    /// Those that were ever taken: memory that nobody needed yet is not touched. Never more than there is room for from the start.
    places: Vec<Pending>,
    capacity: usize,
    /// First of the free places, linked by `next`.
    free: u32,
    queues: [Queue; STEPS],
}

impl Slab {
    pub(super) fn new(capacity: u32) -> Self {
        Self {
            places: Vec::with_capacity(capacity as usize),
            capacity: capacity as usize,
            free: NONE,
            queues: [Queue { first: NONE, last: NONE }; STEPS],
        }
    }

    /// Takes a place; `None` if there is none.
    pub(super) fn take(&mut self) -> Option<u32> {
        if let Some(place) = self.places.get_mut(self.free as usize) {
            let number = std::mem::replace(&mut self.free, place.next);
            *place = Pending::new();
            return Some(number);
        }
        let number = self.places.len();
        (number < self.capacity).then(|| self.places.push(Pending::new()))?;
        u32::try_from(number).ok()
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

    /// Starts the timer of a header that was sent for the first time: anew, if it was one of another connection.
    pub(super) fn start(&mut self, number: u32, now: Nanos) {
        self.stop(number);
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
