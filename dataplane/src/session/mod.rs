//! Sessions: what a worker knows of the flows of `nat` and `fullnat` pools, in both directions.
//!
//! One table a worker, of fixed size: no worker reads another's.

mod attempts;
mod hear;
mod index;
mod ports;
mod record;
mod table;
mod tcp;
mod wheel;

pub use attempts::MOST_RETRIES;
pub(crate) use attempts::{Attempt, Attempts};
pub use index::SessionKey;
pub use ports::{Exhausted, Ports};
pub use record::{Endpoint, LastHop, Session, SessionId, Side, Tuple};
pub use table::{Full, Sessions};
pub use tcp::{EMBRYONIC, TcpState};
