//! Checks that are conversations: every kind but the TCP prober's own, and the questions to agents.
//!
//! They run on a thread of their own, `gw-health`, each as a task of a single-threaded runtime. What is said is written
//! once (`speak`) over connections and datagrams that come from one of two places: ordinary sockets (`kernel`), or a small
//! TCP/IP stack (`stack`) whose packets take the way of traffic to one backend:
//!
//! ```text
//! stack ── frame ring ──> rt ── inject ring ──> worker ──> rewrite ──> backend
//! stack <── frame ring ── rt <── punt ring ── worker <── VIP → own address
//! ```
//!
//! Results go through the same dampening as the prober's. A result that this process may be to blame for, since it was
//! late, is counted and judges nothing.

mod history;
mod judged;
mod kernel;
mod lateness;
mod path;
mod runner;
pub mod speak;
mod stack;
mod subject;

pub use history::{History, KEPT, Result as HistoryResult};
pub use judged::CheckReport;
pub use path::{ProbePath, StackPath};
pub use runner::{Outlets, Request, run};
pub use subject::{Asked, Question, Subject};

use crate::exception::ring;
use std::sync::Arc;

/// Bytes of packets that wait in one direction at most: some 800 full ones.
const RING_BYTES: usize = 1 << 20;

/// Both ends of the way of the stack's packets: that of the real-time thread, and that of the thread of the checks.
#[must_use]
pub fn path() -> (ProbePath, StackPath) {
    let (up, from_rt) = ring::frames(RING_BYTES);
    let (to_rt, down) = ring::frames(RING_BYTES);
    let shared = Arc::default();
    (ProbePath::new(up, down, Arc::clone(&shared)), StackPath::new(from_rt, to_rt, shared))
}
