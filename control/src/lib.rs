//! The control side of Guideway: desired state, reconcile, health, neighbours, API.

pub mod health;
pub mod neighbor;
pub mod responder;
