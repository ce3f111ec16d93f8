//! What workers tell of packets, from their queues to files: everything but the card.

mod audit;
mod balancer;
mod capture;
#[path = "../support/mod.rs"]
#[allow(dead_code)]
mod support;
