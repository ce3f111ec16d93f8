//! Sessions: what a worker knows of the flows of `nat` and `fullnat` pools, in both directions.
//!
//! One table a worker, of fixed size: no worker reads another's.

mod attempts;
mod hear;
mod index;
mod ports;
mod record;
mod rests;
mod table;
mod tcp;
mod wheel;

pub use attempts::MOST_RETRIES;
pub(crate) use attempts::{Attempt, Attempts};
pub use index::SessionKey;
pub use ports::{Drawn, Exhausted, PORTS_OF_ADDRESS, Ports, Wanted};
pub use record::{Endpoint, LastHop, Session, SessionId, SessionRoom, Side, Tuple, TupleHash};
pub use rests::REST;
pub use table::{Full, Looked, RECENT, Removed, Sessions};
pub use tcp::{EMBRYONIC, TcpState};
