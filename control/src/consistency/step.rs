//! What a plan goes by from step to step, and what it waits for.

use guideway_dataplane::consistency::{Rule, Rules};
use guideway_dataplane::time::Nanos;
use std::time::Duration;

/// What a step of a plan goes by.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// The time.
    pub now: Nanos,
    /// Whether every worker uses the latest generation.
    pub acknowledged: bool,
    /// Whether so many pins are in use that no planned change may begin.
    pub crowded: bool,
    /// How long slots are armed; 0: not at all.
    pub arm_time: Duration,
    /// T of the pool.
    pub idle: Duration,
    /// Which rules hold.
    pub rules: Rules,
}

impl Step {
    /// How long slots that change now are in transition.
    pub(super) const fn transition_time(&self) -> Duration {
        if self.rules.hold(Rule::FoldAfterIdle) { self.idle } else { Duration::ZERO }
    }
}

/// Why a planned change does not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// Too many pins are in use.
    Pins,
    /// Slots are armed: SYNs that are under way may be answered.
    Arming,
    /// A worker does not use the latest snapshot yet.
    Workers,
}

impl Waiting {
    /// The word in `status`.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Pins => "pins",
            Self::Arming => "arming",
            Self::Workers => "workers",
        }
    }
}
