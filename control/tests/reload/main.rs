//! Reload: what is a difference, what is refused, and what becomes of flows.

mod anew;
mod edits;
mod file;
mod law;
mod reference;
mod refusals;
mod scale;
mod services;
#[path = "../support/mod.rs"]
#[allow(dead_code)]
mod support;
mod ways;
