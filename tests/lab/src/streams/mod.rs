//! Connections of which both sides know every byte beforehand, behind a balancer that speaks the PROXY protocol.
//!
//! What a connection does follows from the client's and the VIP's address and port alone (`plan`), and the server has
//! these from the header. So a header that is wrong, not the first, or not the only one, and a byte that is lost, doubled or at
//! another place, breaks the connection's plan, which both sides notice.

mod client;
mod header;
mod plan;
mod server;
mod talk;

pub use client::{StreamOptions, StreamReport, run};
pub use header::Version;
pub use server::StreamServers;
pub use talk::Meetings;

use plan::{Plan, Side};
