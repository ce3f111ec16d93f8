//! Clients and servers with TCP stacks of their own (smoltcp) and a clock that tests turn, and the wires between them.

mod random;
mod side;
mod wire;

pub use random::Random;
pub use side::{Side, State, Talk};
pub use wire::Hostile;
