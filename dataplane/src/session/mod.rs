//! Sessions: what a worker knows of the flows of `nat` and `fullnat` pools, in both directions.
//!
//! One table a worker, of fixed size: no worker reads another's.

mod hear;
mod index;
mod ports;
mod record;
mod table;
mod tcp;
mod wheel;

pub use index::SessionKey;
pub use ports::{Exhausted, Ports};
pub use record::{Endpoint, LastHop, Session, SessionId, Side, Tuple};
pub use table::{Full, Sessions};
pub use tcp::{EMBRYONIC, TcpState};
