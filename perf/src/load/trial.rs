//! One trial: a load, what became of it, and whether it may count.

use super::generator::{Load, Run};
use crate::device::DeviceError;
use crate::latency::Latencies;
use std::time::Duration;

/// A thread that was without its core for longer than this may have lost packets by it. What is shorter, a timer of the
/// kernel takes too, and a ring of a thousand packets bridges it.
const TOLERATED: Duration = Duration::from_micros(50);
/// The share of a load that the generator may fail to offer.
const SHORT: f64 = 0.001;

/// Something that loads can be put on.
pub trait Measure {
    /// Puts a load on it.
    ///
    /// # Errors
    ///
    /// [`LoadError`].
    fn measure(&mut self, load: &Load) -> Result<Trial, LoadError>;
}

/// Why there are no figures.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A device did not open, or a thread did not start.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The worker is gone.
    #[error("the worker under test ended in the middle of a trial; its message is above")]
    Gone,
    /// Nothing comes back.
    #[error("of {offered} packets at {rate:.0} a second none came back: {hint}")]
    Silent {
        /// Packets offered.
        offered: u64,
        /// Packets a second.
        rate: f64,
        /// Where to look.
        hint: String,
    },
}

/// What became of a load.
#[derive(Clone, Debug)]
pub struct Trial {
    /// What was asked for.
    pub load: Load,
    /// Packets, and latencies.
    pub run: Run,
    /// How long packets were sent, in seconds.
    pub seconds: f64,
    /// How long the generator's thread did not have its core.
    pub generator_stolen: Duration,
    /// The same of the worker's; the longest of several. Zero for a balancer elsewhere, of which nobody knows.
    pub worker_stolen: Duration,
    /// Whether the kernel says that the hypervisor took one of the cores.
    pub hypervisor: bool,
}

impl Trial {
    /// Packets offered that did not come back.
    #[must_use]
    pub const fn lost(&self) -> u64 {
        self.run.offered.saturating_sub(self.run.received.packets)
    }

    /// The share of the offered packets that was lost; of none, all.
    #[must_use]
    pub fn loss_ratio(&self) -> f64 {
        if self.run.offered == 0 { 1.0 } else { self.lost() as f64 / self.run.offered as f64 }
    }

    /// The share of the load that did not come back, be it lost or never offered.
    #[must_use]
    pub fn missing_ratio(&self) -> f64 {
        1.0 - self.run.received.packets.min(self.run.intended) as f64 / self.run.intended.max(1) as f64
    }

    /// Packets a second that were offered.
    #[must_use]
    pub fn offered_rate(&self) -> f64 {
        self.run.offered as f64 / self.seconds.max(f64::MIN_POSITIVE)
    }

    /// Whether the generator could not offer the load.
    #[must_use]
    pub fn is_short(&self) -> bool {
        (self.run.offered as f64) < self.run.intended as f64 * (1.0 - SHORT)
    }

    /// Whether it must not count: something is missing, and a thread was without its core. Where nothing is missing, it
    /// would not have been without that either.
    #[must_use]
    pub fn is_void(&self) -> bool {
        (self.lost() > 0 || self.is_short()) && self.is_disturbed()
    }

    /// Whether a thread was without its core for so long that it may have mattered.
    #[must_use]
    pub fn is_disturbed(&self) -> bool {
        self.generator_stolen > TOLERATED || self.worker_stolen > TOLERATED || self.hypervisor
    }

    /// Latencies, if they were taken.
    #[must_use]
    pub const fn latencies(&self) -> Option<&Latencies> {
        self.run.latencies.as_ref()
    }
}

/// A trial, and how it came about.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// The last try.
    pub trial: Trial,
    /// Tries before it that were void.
    pub voided: u32,
}

/// Tries until a trial is not void, `retries` times more at most; the last one counts whatever it is, and
/// [`Trial::is_void`] still says what it is.
///
/// # Errors
///
/// [`LoadError`].
pub fn attempt(dut: &mut impl Measure, load: &Load, retries: u32) -> Result<Attempt, LoadError> {
    let mut voided = 0;
    loop {
        let trial = dut.measure(load)?;
        if !trial.is_void() || voided == retries {
            return Ok(Attempt { trial, voided });
        }
        voided += 1;
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::load::receiver::Received;

    /// A trial in which everything but what is said went well.
    pub(crate) fn trial(load: Load, offered: u64, packets: u64) -> Trial {
        let intended = (load.rate * load.duration.as_secs_f64()).round() as u64;
        let received = Received { packets, ..Received::default() };
        let run = Run { intended, offered, ticks: 0, received, latencies: None };
        let (seconds, stolen) = (load.duration.as_secs_f64(), Duration::ZERO);
        Trial { load, run, seconds, generator_stolen: stolen, worker_stolen: stolen, hypervisor: false }
    }

    const LOAD: Load = Load { rate: 1e6, duration: Duration::from_secs(1), latency: false };

    #[test]
    fn loss_counts_unless_a_thread_was_without_its_core() {
        let good = trial(LOAD, 1_000_000, 1_000_000);
        assert!(!good.is_void() && !good.is_short() && good.loss_ratio() == 0.0);
        let bad = trial(LOAD, 1_000_000, 999_000);
        assert!(!bad.is_void() && (bad.loss_ratio() - 0.001).abs() < 1e-12);
        let stolen = Duration::from_millis(1);
        for disturbed in [
            Trial { generator_stolen: stolen, ..bad.clone() },
            Trial { worker_stolen: stolen, ..bad.clone() },
            Trial { hypervisor: true, ..bad },
        ] {
            assert!(disturbed.is_void());
        }
        assert!(!Trial { worker_stolen: stolen, ..good }.is_void(), "nothing was lost all the same");
    }

    #[test]
    fn a_load_that_was_not_offered_is_short() {
        let short = trial(LOAD, 900_000, 900_000);
        assert!(short.is_short() && !short.is_void() && short.loss_ratio() == 0.0);
        assert!((short.missing_ratio() - 0.1).abs() < 1e-12 && (short.offered_rate() - 9e5).abs() < 1.0);
        assert!(Trial { generator_stolen: Duration::from_millis(1), ..short }.is_void());
    }

    #[test]
    fn void_trials_are_repeated_a_number_of_times() {
        struct Disturbed(u32);
        impl Measure for Disturbed {
            fn measure(&mut self, load: &Load) -> Result<Trial, LoadError> {
                let void = self.0 > 0;
                self.0 = self.0.saturating_sub(1);
                Ok(Trial { hypervisor: void, ..trial(*load, 1_000_000, 1_000_000 - u64::from(void)) })
            }
        }
        let found = attempt(&mut Disturbed(3), &LOAD, 5).expect("a trial");
        assert_eq!((found.voided, found.trial.is_void()), (3, false));
        let found = attempt(&mut Disturbed(9), &LOAD, 5).expect("a trial");
        assert_eq!((found.voided, found.trial.is_void()), (5, true));
    }
}
