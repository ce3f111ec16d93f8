//! Simulates flows while backends come and go, in virtual time, and counts those that leave a backend that is up.
//!
//! It drives the product's own selection, pins, phases and control code, with workers that adopt snapshots at random
//! delays, and holds where each packet went against a truth of its own: where the flow's packets went before. Flows have
//! heavy tails and idle gaps of up to 0.9 T; first packets are repeated and copied, tuples used again, SYNs made up.
//! Backends are drained, weighed, removed, added, and die for moments or for long, one change on top of the other.
//!
//! What is not counted as a violation: a flow whose backend is down, or whose return not every worker knows yet; packets
//! on their way to a backend that has just died; a copy of a SYN within the first 2^18 bytes of its flow (a named
//! exposure).

mod balancer;
mod change;
mod flow;
mod judge;
mod outcome;
mod packet;
mod random;
pub mod report;
pub mod rules;
mod setup;
mod truth;
mod world;

pub use outcome::{Outcome, Violation};
pub use setup::{Flood, Setup};

/// Runs one simulation. `progress` is told how much of it is done, from 0 to 1.
#[must_use]
pub fn run(setup: &Setup, progress: impl FnMut(f64)) -> Outcome {
    world::World::new(setup).run(progress)
}
