//! How long a client waits for the first byte over TLS, by the way that its connection takes: what balancers are in it, and who
//! ends TLS.
//!
//! `perf/examples/first_byte` measures, in a laboratory of `tests/lab`; `scripts/first-byte` starts it. Ways are taken in turns,
//! round after round, so that what else the machine does meets all of them.

pub mod interval;
pub mod report;

use crate::latency::{Latencies, Percentiles};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The SYN-ACK came.
    Connect,
    /// The client's side of the TLS handshake is done.
    Handshake,
    /// The first byte of the answer is decrypted.
    FirstByte,
}

impl Step {
    /// Every one, in the order of time.
    pub const ALL: [Self; 3] = [Self::Connect, Self::Handshake, Self::FirstByte];

    /// In a few words.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Connect => "TCP connected",
            Self::Handshake => "TLS handshake done",
            Self::FirstByte => "first byte",
        }
    }
}

/// What one round of one way found: of each step the distribution of its time since the client began to connect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Round {
    /// Connections that failed; the others are in the distributions.
    pub failed: u64,
    /// Whether the cores had other work just before or just after.
    pub disturbed: bool,
    /// [`Step::Connect`].
    pub connect: Percentiles,
    /// [`Step::Handshake`].
    pub handshake: Percentiles,
    /// [`Step::FirstByte`].
    pub first_byte: Percentiles,
}

impl Round {
    /// Of these connections, with the times of [`Step::ALL`] each, and `failed` others.
    #[must_use]
    pub fn new(connections: impl IntoIterator<Item = [Duration; 3]>, failed: u64) -> Self {
        let mut steps = Step::ALL.map(|_| Latencies::new(1_000_000_000));
        for times in connections {
            for (step, time) in steps.iter_mut().zip(times) {
                // Four seconds and more are recorded as the longest that there is.
                step.record(u32::try_from(time.as_nanos()).unwrap_or(u32::MAX));
            }
        }
        let [connect, handshake, first_byte] = steps.map(|step| step.percentiles());
        Self { failed, disturbed: false, connect, handshake, first_byte }
    }

    /// The distribution of a step.
    #[must_use]
    pub const fn step(&self, step: Step) -> &Percentiles {
        match step {
            Step::Connect => &self.connect,
            Step::Handshake => &self.handshake,
            Step::FirstByte => &self.first_byte,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_keeps_its_steps_apart() {
        let millis = |of: [u64; 3]| of.map(Duration::from_millis);
        let round = Round::new([millis([1, 3, 4]), millis([1, 3, 5]), millis([1, 3, 9_000])], 2);
        let near = |value: f64, expected: f64| (value / expected - 1.0).abs() < 2e-3;
        assert!(near(round.step(Step::Connect).p50, 1e6), "{round:?}");
        assert!(near(round.step(Step::Handshake).p99, 3e6), "{round:?}");
        assert!(near(round.step(Step::FirstByte).p50, 5e6), "{round:?}");
        assert!(near(round.first_byte.max, f64::from(u32::MAX)), "{round:?}");
        assert_eq!((round.failed, round.first_byte.samples), (2, 3));
    }
}
