//! Health checks: which backends answer, and when that changes.
//!
//! [`Prober`] is the TCP prober: the first half of a handshake, without sockets. It is pure: time and packets are
//! handed in, packets and [`HealthEvent`]s come out, and nothing is read from a clock. The caller owns the I/O:
//!
//! 1. read the clock (`now`);
//! 2. drain the rings of the workers into [`Prober::receive`], each packet with the worker's receive time;
//! 3. call [`Prober::poll`] with `now`, which expires what is overdue and sends what is due;
//! 4. take the events with [`Prober::next_event`].
//!
//! The order matters: an answer that a worker received in time but that waits in a ring must be judged before
//! anything expires. The loop should run at least once a millisecond.
//!
//! What a TCP check shows: the path through the dataplane, the backend's kernel and its listening socket. A process
//! that hangs with its port open still has its SYNs answered by the kernel and counts as up.

pub(crate) mod answer;
mod check;
mod cookie;
pub mod dampen;
mod expiry;
mod hold_down;
mod probe_packet;
mod prober;
mod report;
mod results;
mod rounds;
mod schedule;
mod table;
mod targets;
mod tick;
mod verdicts;

pub use hold_down::{HoldDown, LONGEST_HOLD, SHORTEST_HOLD, STABLE_AFTER};
pub use prober::Prober;
pub use report::{Counters, HealthEvent, Ignored, Probe, Reason, Received, State, Status, Transition};
pub use rounds::GRACE;
pub use targets::{FIRST_PROBE_PORT, Target, TargetError};
pub use verdicts::{AGENT, CheckNumber, Together, Verdicts};
