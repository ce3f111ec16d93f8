//! Connection consistency: decisions against a reference straight from the table of phases, a sequence of packets for
//! every rule, the places that pins take, and the laws under legal histories.
#![cfg(not(loom))]

mod decisions;
mod eviction;
mod histories;
mod laws;

mod reference;
mod rig;
mod rules;
