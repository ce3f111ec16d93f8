//! QUIC: which server a packet belongs to, by the connection ID that the server chose (RFC 8999;
//! draft-ietf-quic-load-balancers-21, "QUIC-LB").
//!
//! A server writes its ID into every connection ID that it gives out, in the clear or encrypted. The balancer reads it from
//! each packet and keeps no state, so a client that changes its address stays on its server.

mod codec;
mod encode;
mod halves;
mod header;
mod lb;

pub use encode::{EncodeError, encode, encode_with_bits};
pub use header::{Header, MAX_CONNECTION_ID, parse};
pub use lb::{LbConfig, ServerIds};
