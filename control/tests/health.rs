//! The TCP prober in virtual time, against simulated backends.

#[path = "health/judgement.rs"]
mod judgement;
#[path = "health/packets.rs"]
mod packets;
#[path = "health/robustness.rs"]
mod robustness;
#[path = "health/sim.rs"]
mod sim;
#[path = "health/stalls.rs"]
mod stalls;
#[path = "health/stray.rs"]
mod stray;
#[path = "health/targets.rs"]
mod targets;
#[path = "health/wire.rs"]
mod wire;
