//! What comes back: counted, put into order, timed.

use super::stamp::{self, Stamp};
use crate::latency::Latencies;

/// Packets in which a copy of an earlier one is recognised as such.
const WINDOW: usize = 1 << 14;
const WORDS: usize = WINDOW / 64;

/// How stamped packets are recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recognition {
    /// The port of the services.
    pub port: u16,
    /// The port that GUE goes to.
    pub gue_port: u16,
}

/// Counts the packets of one trial.
#[derive(Debug)]
pub struct Receiver {
    recognition: Recognition,
    trial: u16,
    /// Where the last packet had its TCP header: where the next one has it too, mostly.
    offset: usize,
    /// One more than the highest number so far.
    next: u32,
    seen: Box<[u64; WORDS]>,
    counts: Received,
    latencies: Option<Latencies>,
}

/// What a receiver counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// Packets of the trial, copies apart.
    pub packets: u64,
    /// Of these: came after one with a higher number (RFC 4737).
    pub reordered: u64,
    /// Copies of packets that had come before.
    pub duplicated: u64,
    /// Packets of an earlier trial.
    pub late: u64,
    /// Packets without a stamp: not of the generator.
    pub foreign: u64,
}

impl Receiver {
    /// For packets of `trial`; with `latencies` these are taken from each packet.
    #[must_use]
    pub fn new(recognition: Recognition, trial: u16, latencies: Option<Latencies>) -> Self {
        let seen = Box::new([0; WORDS]);
        Self { recognition, trial, offset: 0, next: 0, seen, counts: Received::default(), latencies }
    }

    /// Counts a frame that came at `now`.
    #[inline]
    pub fn take(&mut self, frame: &[u8], now: u64) {
        if self.offset == 0 || !stamp::is_to(frame, self.offset, self.recognition.port) {
            match stamp::find(frame, self.recognition.port, self.recognition.gue_port) {
                Some(offset) => self.offset = offset,
                None => {
                    self.counts.foreign += 1;
                    return;
                }
            }
        }
        match frame.get(self.offset..).and_then(Stamp::read) {
            Some(stamp) if stamp.trial == self.trial => self.count(stamp, now),
            Some(_) => self.counts.late += 1,
            None => self.counts.foreign += 1,
        }
    }

    #[inline]
    fn count(&mut self, stamp: Stamp, now: u64) {
        // Numbers wrap, so the higher one of two is the one that is ahead by less than half of them.
        let ahead = stamp.sequence.wrapping_sub(self.next);
        if ahead < 1 << 31 {
            self.advance(stamp.sequence);
            self.mark(stamp.sequence);
        } else if self.is_copy(stamp.sequence) {
            self.counts.duplicated += 1;
            return;
        } else {
            self.counts.reordered += 1;
            self.mark(stamp.sequence);
        }
        self.counts.packets += 1;
        if let Some(latencies) = &mut self.latencies {
            latencies.record((now as u32).wrapping_sub(stamp.ticks));
        }
    }

    /// Makes `sequence` the highest number so far, and forgets what leaves the window.
    #[inline]
    fn advance(&mut self, sequence: u32) {
        let next = sequence.wrapping_add(1);
        let step = next.wrapping_sub(self.next) as usize;
        if step >= WINDOW {
            self.seen.fill(0);
        } else if step == 1 {
            self.unmark(sequence);
        } else {
            (0..step as u32).for_each(|n| self.unmark(self.next.wrapping_add(n)));
        }
        self.next = next;
    }

    /// Whether a number below the highest came before; `false` for one that left the window.
    fn is_copy(&self, sequence: u32) -> bool {
        let (word, bit) = place(sequence);
        (self.next.wrapping_sub(sequence) as usize) <= WINDOW && self.seen[word] & bit != 0
    }

    #[inline]
    fn mark(&mut self, sequence: u32) {
        let (word, bit) = place(sequence);
        if (self.next.wrapping_sub(sequence) as usize) <= WINDOW {
            self.seen[word] |= bit;
        }
    }

    #[inline]
    fn unmark(&mut self, sequence: u32) {
        let (word, bit) = place(sequence);
        self.seen[word] &= !bit;
    }

    /// What was counted so far.
    #[inline]
    #[must_use]
    pub fn counts(&self) -> Received {
        self.counts
    }

    /// What was counted in all, and the latencies if they were taken.
    #[must_use]
    pub fn finish(self) -> (Received, Option<Latencies>) {
        (self.counts, self.latencies)
    }
}

#[inline]
const fn place(sequence: u32) -> (usize, u64) {
    (sequence as usize / 64 % WORDS, 1 << (sequence % 64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use guideway_dataplane::craft::Craft;
    use guideway_dataplane::wire::tcp;

    const RECOGNITION: Recognition = Recognition { port: 80, gue_port: 6_080 };

    fn frame(stamp: Stamp) -> Vec<u8> {
        let service = "198.19.0.1:80".parse().expect("an address");
        let mut frame = Craft::tcp("198.18.0.1:99".parse().expect("an address"), service, tcp::ACK).frame();
        stamp.write(&mut frame[34..]);
        frame
    }

    fn received(sequences: &[u32]) -> Received {
        let mut receiver = Receiver::new(RECOGNITION, 7, None);
        for &sequence in sequences {
            receiver.take(&frame(Stamp { trial: 7, sequence, ticks: 0 }), 0);
        }
        receiver.counts()
    }

    fn counts(packets: u64, reordered: u64, duplicated: u64) -> Received {
        Received { packets, reordered, duplicated, ..Received::default() }
    }

    #[test]
    fn order_and_copies_are_told_apart() {
        assert_eq!(received(&[0, 1, 2, 5, 6]), counts(5, 0, 0));
        assert_eq!(received(&[0, 2, 1, 3]), counts(4, 1, 0));
        assert_eq!(received(&[0, 1, 1, 0, 2, 2]), counts(3, 0, 3));
        assert_eq!(received(&[3, 1, 1, 2, 0]), counts(4, 3, 1));
        assert_eq!(received(&[70_000, 3, 3]), counts(3, 2, 0), "beyond the window nobody knows");
    }

    #[test]
    fn numbers_wrap_and_places_are_used_again() {
        let mut receiver = Receiver::new(RECOGNITION, 7, None);
        receiver.next = u32::MAX - 1;
        for sequence in [u32::MAX - 1, u32::MAX, 0, 1, u32::MAX] {
            receiver.take(&frame(Stamp { trial: 7, sequence, ticks: 0 }), 0);
        }
        assert_eq!(receiver.counts(), counts(4, 0, 1));
        let long: Vec<u32> = (0..3 * WINDOW as u32).collect();
        assert_eq!(received(&long), counts(long.len() as u64, 0, 0));
    }

    #[test]
    fn what_is_not_of_this_trial_is_not_counted_as_received() {
        let mut receiver = Receiver::new(RECOGNITION, 7, Some(Latencies::new(1_000_000_000)));
        receiver.take(&frame(Stamp { trial: 7, sequence: 0, ticks: u32::MAX - 9 }), 1 << 32 | 90);
        receiver.take(&frame(Stamp { trial: 6, sequence: 1, ticks: 0 }), 0);
        receiver.take(&[0xff; 60], 0);
        receiver.take(&[], 0);
        let (counts, latencies) = receiver.finish();
        assert_eq!(counts, Received { packets: 1, late: 1, foreign: 2, ..Received::default() });
        let latencies = latencies.expect("they were asked for").percentiles();
        assert_eq!((latencies.samples, latencies.max), (1, 100.0), "the low halves of ticks wrap");
    }
}
