//! Paces: how many packets are due now.

/// Packets that may be made up for at once. What is older than that was not offered in its time and is not sent late: a
/// burst of it would be another load than the one asked for.
const MOST_OWED: u64 = 256;

/// Counts packets against the ticks of a clock.
#[derive(Clone, Copy, Debug)]
pub struct Pacer {
    start: u64,
    /// Ticks of the whole trial, and packets in it.
    length: u64,
    packets: u64,
    /// Packets a tick, with 64 binary places, rounded up: a division at each look would cost a tenth of the generator.
    per_tick: u128,
    /// Packets asked for so far: sent, or given up.
    done: u64,
    missed: u64,
}

impl Pacer {
    /// `packets` packets in `length` ticks from `start` on, evenly.
    #[must_use]
    pub const fn new(start: u64, length: u64, packets: u64) -> Self {
        let length = if length == 0 { 1 } else { length };
        let per_tick = ((packets as u128) << 64) / length as u128 + 1;
        Self { start, length, packets, per_tick, done: 0, missed: 0 }
    }

    /// Packets to send at `now`, at most `most`. The first one is due at the start.
    #[inline]
    pub fn due(&mut self, now: u64, most: u64) -> u64 {
        let elapsed = now.saturating_sub(self.start);
        let by_now = if elapsed >= self.length {
            self.packets
        } else {
            // Below `packets` << 64, since less than all of the time has passed.
            ((u128::from(elapsed) * self.per_tick) >> 64) as u64 + 1
        };
        let mut owed = by_now.min(self.packets).saturating_sub(self.done);
        if owed > MOST_OWED {
            self.missed += owed - MOST_OWED;
            self.done += owed - MOST_OWED;
            owed = MOST_OWED;
        }
        let now = owed.min(most);
        self.done += now;
        now
    }

    /// Whether the time is over and nothing is owed.
    #[inline]
    #[must_use]
    pub const fn is_over(&self, now: u64) -> bool {
        now.saturating_sub(self.start) >= self.length && self.done == self.packets
    }

    /// Packets that were due while the generator was late by more than it may make up for.
    #[must_use]
    pub const fn missed(&self) -> u64 {
        self.missed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_spread_evenly_over_the_time() {
        let mut pacer = Pacer::new(1_000, 1_000, 100);
        let mut at = Vec::new();
        for now in 1_000..=2_000 {
            for _ in 0..pacer.due(now, 64) {
                at.push(now);
            }
        }
        assert_eq!(at, (0..100).map(|n| 1_000 + n * 10).collect::<Vec<_>>());
        assert!(pacer.is_over(2_000) && !pacer.is_over(1_999));
        assert_eq!((pacer.due(9_000, 64), pacer.missed()), (0, 0));
    }

    #[test]
    fn a_short_delay_is_made_up_for_and_a_long_one_is_not() {
        let mut pacer = Pacer::new(0, 10_000, 10_000);
        assert_eq!(pacer.due(0, 64), 1);
        assert_eq!((pacer.due(100, 64), pacer.due(100, 64), pacer.due(100, 64)), (64, 36, 0));
        assert_eq!(pacer.missed(), 0);
        let owed: u64 = (0..10).map(|_| pacer.due(5_000, 64)).sum();
        assert_eq!((owed, pacer.missed()), (MOST_OWED, 4_900 - MOST_OWED));
        let rest: u64 = (5_001..=10_000).map(|now| pacer.due(now, 64)).sum();
        assert_eq!((rest, pacer.is_over(10_000)), (4_999, true));
    }

    #[test]
    fn all_packets_are_sent_or_missed_whatever_the_rate() {
        for (length, packets) in [(1, 1), (7, 1_000_000), (1_000_000, 7), (999_983, 1_000_003)] {
            let mut pacer = Pacer::new(5, length, packets);
            let mut sent = 0;
            for step in 0..=1_000 {
                sent += pacer.due(5 + length * step / 1_000, 64);
            }
            while !pacer.is_over(5 + length) {
                sent += pacer.due(5 + length, 64);
            }
            assert_eq!(sent + pacer.missed(), packets, "{length} {packets}");
        }
    }
}
