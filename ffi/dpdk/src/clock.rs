//! The clock of the workers: the time stamp counter.

use guideway_dataplane::time::Nanos;
use std::time::{Duration, Instant};

/// Converts the time stamp counter to nanoseconds. All copies of one calibration agree, on every core.
#[derive(Clone, Copy, Debug)]
pub struct Tsc {
    hz: u64,
    start: u64,
    /// Nanoseconds a tick, times 2^32.
    scale: u64,
}

impl Tsc {
    /// Takes the frequency from DPDK when the EAL runs (no wait), else measures it against the monotonic clock for
    /// 20 ms.
    #[must_use]
    pub fn calibrate() -> Self {
        // SAFETY: reads an integer; 0 before the EAL has started.
        let known = unsafe { dpdk_sys::rte_get_tsc_hz() };
        let hz = if known > 0 { known } else { measure() };
        Self::with_frequency(hz, cycles())
    }

    fn with_frequency(hz: u64, start: u64) -> Self {
        let hz = hz.max(1);
        let scale = (1_000_000_000_u128 << 32) / u128::from(hz);
        Self { hz, start, scale: u64::try_from(scale).unwrap_or(u64::MAX) }
    }

    /// Time since calibration. One `rdtsc` and one multiplication: read it once a burst.
    #[inline]
    #[must_use]
    pub fn now(&self) -> Nanos {
        self.at(cycles())
    }

    /// The moment of a raw counter value; values from before calibration are the moment 0.
    #[inline]
    #[must_use]
    pub fn at(&self, cycles: u64) -> Nanos {
        let ticks = u128::from(cycles.saturating_sub(self.start));
        // 2^64 ticks are centuries; the product fits u128 and the result u64.
        Nanos(((ticks * u128::from(self.scale)) >> 32) as u64)
    }

    /// The raw counter.
    #[inline]
    #[must_use]
    pub fn cycles(&self) -> u64 {
        cycles()
    }

    /// Ticks a second.
    #[must_use]
    pub fn hz(&self) -> u64 {
        self.hz
    }
}

#[cfg(target_arch = "x86_64")]
#[inline]
fn cycles() -> u64 {
    // SAFETY: every x86-64 processor has the instruction.
    unsafe { std::arch::x86_64::_rdtsc() }
}

#[cfg(target_arch = "aarch64")]
#[inline]
fn cycles() -> u64 {
    let value: u64;
    // SAFETY: Linux lets user space read the virtual counter.
    unsafe { std::arch::asm!("mrs {}, cntvct_el0", out(reg) value, options(nomem, nostack)) };
    value
}

fn measure() -> u64 {
    let (clock, counter) = (Instant::now(), cycles());
    std::thread::sleep(Duration::from_millis(20));
    let ticks = u128::from(cycles().saturating_sub(counter));
    let nanos = clock.elapsed().as_nanos().max(1);
    u64::try_from(ticks * 1_000_000_000 / nanos).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn converts_without_drift() {
        for hz in [1_000_000_000_u64, 2_100_000_000, 3_000_000_007, 24_000_000] {
            let tsc = Tsc::with_frequency(hz, 1_000);
            assert_eq!(tsc.at(999), Nanos(0));
            let day = 86_400 * 1_000_000_000_u64;
            let nanos = tsc.at(1_000 + 86_400 * hz).0;
            // 2^-32 ns a tick is lost to rounding, at most.
            let lost = ((86_400 * hz) >> 32) + 1;
            assert!(nanos <= day && day - nanos <= lost, "{hz}: {nanos}");
        }
    }

    #[test]
    fn follows_the_monotonic_clock() {
        let tsc = Tsc::calibrate();
        let (before, clock) = (tsc.now(), Instant::now());
        std::thread::sleep(Duration::from_millis(50));
        let (by_tsc, by_clock) = (tsc.now().since(before), clock.elapsed());
        assert!(by_tsc > Duration::from_millis(25) && by_tsc < by_clock * 2, "{by_tsc:?} {by_clock:?}");
    }
}
