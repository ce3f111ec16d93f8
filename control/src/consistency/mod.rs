//! Planned changes without a broken connection: the control side of [`guideway_dataplane::consistency`].
//!
//! - [`placement`]: facts about backends → the table, by groups, panic threshold and drains. No history.
//! - [`phases`]: the phase, base and deadline of each slot of a pool.
//! - [`plan`]: from the facts that are applied to those that are desired. A death at once, everything else armed first.
//! - [`sweeper`]: walks the pin table, and tells which slots have pins left.
//! - [`ids`]: gives out ids of backends, none again while a pin may name it.
//!
//! Nothing here reads a clock. Times count from the moment when all workers acknowledged a generation, as the caller saw
//! it: a little later than it happened, never earlier.

pub mod ids;
pub mod phases;
pub mod placement;
pub mod plan;
mod step;
pub mod sweeper;
mod unruled;
