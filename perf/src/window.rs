//! Windows of measurement: how long the loop ran, how long it had the core, how many packets went through.

use crate::clock::Clock;
use guideway_dataplane::port::BURST;
use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Steps of the loop between two looks at the clock.
const STEPS: usize = 16;
/// Pauses of a thread that lets packets gather, as a part of a second: some 100 packets come meanwhile at 2 Mpps.
const PAUSES_A_SECOND: u64 = 20_000;

/// Where packets come from, and with it which polls of a window count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Feed {
    /// The loop makes them itself, so no poll is without any: all count.
    #[default]
    Own,
    /// A thread on another core, which may be slower than the loop. Polls that found a full burst count; after any other
    /// the loop waits, and does not count, so that packets gather.
    Generator,
    /// Whoever sends to a port. Polls that found a packet count.
    Network,
}

impl Feed {
    const fn counts(self, received: usize) -> bool {
        match self {
            Self::Own => true,
            Self::Generator => received == BURST,
            Self::Network => received > 0,
        }
    }
}

/// What one window found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Window {
    /// Ticks of the clock in the polls that count.
    pub ticks: u64,
    /// Packets in them.
    pub packets: u64,
    /// Share of the window in which the thread had the core, as the kernel accounts it; at most 1.
    pub share: f64,
    /// Polls.
    pub polls: u64,
    /// Those of them that count.
    pub counted: u64,
}

impl Window {
    /// Ticks a packet, of the time in which the thread had the core.
    #[must_use]
    pub fn cost(&self) -> f64 {
        self.ticks as f64 * self.share / self.packets.max(1) as f64
    }

    /// Runs `step`, a poll that tells how many packets it handled, for at least `ticks` of `clock`. What counts depends on
    /// where packets come from.
    #[inline]
    pub fn run(clock: &impl Clock, feed: Feed, ticks: u64, step: impl FnMut() -> usize) -> Self {
        let cpu_before = thread_time();
        let (window, elapsed) =
            if feed == Feed::Own { every_poll(clock, ticks, step) } else { some_polls(clock, feed, ticks, step) };
        let cpu = thread_time().saturating_sub(cpu_before).as_secs_f64();
        let wall = elapsed as f64 / clock.hz() as f64;
        // A few microseconds between the readings of the two clocks may make it more than 1.
        let share = if wall > 0.0 { (cpu / wall).min(1.0) } else { 1.0 };
        Self { share, ..window }
    }
}

/// A window in which all polls count, which are not looked at one by one. Also returns its length.
#[inline]
fn every_poll(clock: &impl Clock, ticks: u64, mut step: impl FnMut() -> usize) -> (Window, u64) {
    let (mut packets, mut polls) = (0, 0);
    let start = clock.ticks();
    loop {
        for _ in 0..STEPS {
            packets += step();
        }
        polls += STEPS as u64;
        let elapsed = clock.ticks().saturating_sub(start);
        if elapsed >= ticks {
            let window = Window { ticks: elapsed, packets: packets as u64, share: 1.0, polls, counted: polls };
            return (window, elapsed);
        }
    }
}

/// A window in which each poll is timed. Also returns its length, with what does not count.
#[inline]
fn some_polls(clock: &impl Clock, feed: Feed, ticks: u64, mut step: impl FnMut() -> usize) -> (Window, u64) {
    let pause = clock.hz() / PAUSES_A_SECOND;
    let mut window = Window { ticks: 0, packets: 0, share: 1.0, polls: 0, counted: 0 };
    let start = clock.ticks();
    loop {
        let before = clock.ticks();
        let received = step();
        let after = clock.ticks();
        window.polls += 1;
        if feed.counts(received) {
            window.ticks += after.saturating_sub(before);
            window.packets += received as u64;
            window.counted += 1;
        } else if feed == Feed::Generator {
            while clock.ticks().saturating_sub(after) < pause {
                std::hint::spin_loop();
            }
        }
        let elapsed = after.saturating_sub(start);
        if elapsed >= ticks {
            return (window, elapsed);
        }
    }
}

/// Processor time of the calling thread. Zero, and with it every cost, if the kernel had no such clock; Linux has.
pub(crate) fn thread_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

/// Several values of one thing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// The middle value; of an even number the mean of the two in the middle.
    pub median: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
}

impl Spread {
    /// The spread of `values`; zero without any.
    #[must_use]
    pub fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (Some(min), Some(max)) = (values.first(), values.last()) else {
            return Self::default();
        };
        let half = values.len() / 2;
        let median = f64::midpoint(values[half], values[values.len() - 1 - half]);
        Self { median, min: *min, max: *max }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Monotonic, Unit};
    use guideway_dataplane::time::Nanos;
    use std::cell::Cell;

    /// Advances by 100 ticks each time it is read.
    struct Steps(Cell<u64>);

    impl Clock for Steps {
        const UNIT: Unit = Unit::Cycles;

        fn ticks(&self) -> u64 {
            self.0.set(self.0.get() + 100);
            self.0.get()
        }

        fn hz(&self) -> u64 {
            1
        }

        fn now(&self) -> Nanos {
            Nanos(0)
        }
    }

    #[test]
    fn counts_packets_until_the_time_is_over() {
        let window = Window::run(&Steps(Cell::new(0)), Feed::Own, 250, || 2);
        assert_eq!((window.ticks, window.packets), (300, 3 * STEPS as u64 * 2));
        assert_eq!((window.polls, window.counted), (3 * STEPS as u64, 3 * STEPS as u64));
    }

    #[test]
    fn polls_that_found_too_little_do_not_count() {
        let found = [BURST, 0, 1, BURST, BURST - 1];
        // A poll takes two readings of the clock, 100 ticks apart, and a pause after it one more.
        for (feed, ticks, packets, counted) in
            [(Feed::Generator, 1_200, 2 * BURST, 2), (Feed::Network, 1_000, 3 * BURST, 4)]
        {
            let mut next = found.iter().copied().cycle();
            let window = Window::run(&Steps(Cell::new(0)), feed, ticks, || next.next().expect("endless"));
            assert_eq!((window.polls, window.counted), (5, counted), "{feed:?}");
            assert_eq!((window.packets, window.ticks), (packets as u64, counted * 100), "{feed:?}");
        }
    }

    #[test]
    fn a_generator_is_given_time_to_fill_a_burst() {
        let came = Cell::new(0);
        let clock = Monotonic::default();
        let pause = clock.hz() / PAUSES_A_SECOND;
        let mut last = None;
        let window = Window::run(&clock, Feed::Generator, 20 * pause, || {
            let now = clock.ticks();
            let waited = last.is_some_and(|last| now - last >= pause);
            last = Some(now);
            came.set(came.get() + u32::from(waited));
            if waited { BURST } else { 0 }
        });
        assert!(came.get() > 0 && window.counted == u64::from(came.get()), "{window:?}");
        assert!(window.counted < window.polls, "{window:?}");
    }

    #[test]
    fn a_sleeping_thread_is_charged_for_little_of_its_time() {
        let sleep = || {
            std::thread::sleep(Duration::from_millis(2));
            1
        };
        let window = Window::run(&Monotonic::default(), Feed::Own, 1_000_000, sleep);
        assert!(window.share < 0.5, "{window:?}");
        assert!(window.cost() < window.ticks as f64 / window.packets as f64);
    }

    #[test]
    fn spread_of_odd_even_and_no_values() {
        assert_eq!(Spread::of([3.0, 1.0, 2.0]), Spread { median: 2.0, min: 1.0, max: 3.0 });
        assert_eq!(Spread::of([4.0, 1.0, 2.0, 8.0]), Spread { median: 3.0, min: 1.0, max: 8.0 });
        assert_eq!(Spread::of([]), Spread { median: 0.0, min: 0.0, max: 0.0 });
    }
}
