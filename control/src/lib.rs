//! The control side of Guideway: desired state, reconcile, health, neighbours, API.
//!
//! The walk of a change: an [`events::Event`] → [`state::State`] → [`reconcile::reconcile`] → a snapshot that
//! [`control::Control`] publishes to the workers. Nothing here touches a device: [`rt::Rt`] speaks to workers by rings,
//! [`devices::Devices`] is implemented by whoever owns the ports.

pub mod api;
pub mod audit;
pub mod capture;
pub mod checks;
pub mod consistency;
pub mod control;
pub mod devices;
pub mod drain;
pub mod duties;
pub mod events;
pub mod exception;
pub mod health;
pub mod metrics;
pub mod neighbor;
pub mod path_mtu;
mod quote;
pub mod reconcile;
pub mod reload;
pub mod replay;
pub mod responder;
pub mod rt;
pub mod runtime;
pub mod saved;
pub mod sessions;
pub mod source_ports;
pub mod state;
pub mod status;
pub mod suspects;
mod templates;
pub mod topology;
mod traffic;
mod watch;
