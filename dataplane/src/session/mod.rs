//! Sessions: what a worker knows of the flows of `nat` and `fullnat` pools, in both directions.
//!
//! One table a worker, of fixed size: no worker reads another's.

mod record;

pub use record::{Endpoint, LastHop, Session, SessionId, Side, Tuple};
