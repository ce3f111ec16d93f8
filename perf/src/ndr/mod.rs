//! How much a balancer carries: non-drop and partial-drop rates, and the latency below them.

pub mod goal;
pub mod report;
pub mod run;
pub mod search;
#[cfg(test)]
mod search_tests;
