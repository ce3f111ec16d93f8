//! Windows of measurement: how long the loop ran, how long it had the core, how many packets went through.

use crate::clock::Clock;
use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Steps of the loop between two looks at the clock.
const STEPS: usize = 16;

/// What one window found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Window {
    /// Ticks of the clock from start to end.
    pub ticks: u64,
    /// Packets in that time.
    pub packets: u64,
    /// Share of the time in which the thread had the core, as the kernel accounts it; at most 1.
    pub share: f64,
}

impl Window {
    /// Ticks a packet, of the time in which the thread had the core.
    #[must_use]
    pub fn cost(&self) -> f64 {
        self.ticks as f64 * self.share / self.packets.max(1) as f64
    }

    /// Runs `step`, which tells how many packets it handled, for at least `ticks` of `clock`.
    #[inline]
    pub fn run(clock: &impl Clock, ticks: u64, mut step: impl FnMut() -> usize) -> Self {
        let mut packets = 0;
        let cpu_before = thread_time();
        let start = clock.ticks();
        let elapsed = loop {
            for _ in 0..STEPS {
                packets += step();
            }
            let elapsed = clock.ticks().saturating_sub(start);
            if elapsed >= ticks {
                break elapsed;
            }
        };
        let cpu = thread_time().saturating_sub(cpu_before).as_secs_f64();
        let wall = elapsed as f64 / clock.hz() as f64;
        // A few microseconds between the readings of the two clocks may make it more than 1.
        let share = if wall > 0.0 { (cpu / wall).min(1.0) } else { 1.0 };
        Self { ticks: elapsed, packets: packets as u64, share }
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
        let window = Window::run(&Steps(Cell::new(0)), 250, || 2);
        assert_eq!((window.ticks, window.packets), (300, 3 * STEPS as u64 * 2));
    }

    #[test]
    fn a_sleeping_thread_is_charged_for_little_of_its_time() {
        let sleep = || {
            std::thread::sleep(Duration::from_millis(2));
            1
        };
        let window = Window::run(&Monotonic::default(), 1_000_000, sleep);
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
