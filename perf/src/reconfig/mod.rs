//! What a change of the configuration does to traffic: packets lost, latency, and how soon every worker knows of it.
//!
//! [`changes`] makes snapshots by the control side's own code, [`pusher`] publishes them, [`run`] holds a load meanwhile,
//! in turns with the same load without pushes.

pub mod changes;
pub mod pusher;
pub mod report;
pub mod run;
