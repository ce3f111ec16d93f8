//! What it costs to be scraped: a worker that is never idle on one core, the control side's own threads on another, and a
//! client of the control socket that asks for `/metrics` every second, in rounds with and without.

mod balancer;
pub mod report;
pub mod run;

use crate::device::DeviceError;
use guideway_control::api::SocketError;
use guideway_control::api::client::ClientError;
use guideway_control::metrics::Backends;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// The most VIPs, each with a pool of its own.
pub const MAX_VIPS: u16 = 1_000;
/// The most backends of all pools together.
pub const MAX_BACKENDS: u32 = 30_000;

/// What is scraped, and how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// VIPs, each with a pool of its own: 1 to [`MAX_VIPS`].
    pub vips: u16,
    /// Backends of each pool; of all together at most [`MAX_BACKENDS`].
    pub backends_each: u16,
    /// Time of a round.
    pub round: Duration,
    /// Rounds of each kind.
    pub rounds: u32,
    /// Time from scrape to scrape.
    pub period: Duration,
    /// The core of the control side.
    pub control_core: usize,
    /// The core of the worker.
    pub worker_core: usize,
    /// The core of the client; the control side's where there is no third one.
    pub client_core: usize,
}

/// What a round is with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// No scrape.
    Quiet,
    /// `/metrics`.
    Backends,
    /// `/metrics?backends=none`.
    NoBackends,
}

impl Kind {
    /// All, in the order of their rounds.
    pub const ALL: [Self; 3] = [Self::Quiet, Self::Backends, Self::NoBackends];

    /// What is asked for; `None`: nothing.
    const fn asks(self) -> Option<Backends> {
        match self {
            Self::Quiet => None,
            Self::Backends => Some(Backends::All),
            Self::NoBackends => Some(Backends::None),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Quiet => "nothing",
            Self::Backends => "/metrics",
            Self::NoBackends => "?backends=none",
        })
    }
}

/// A thread of the measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thread {
    /// Polls.
    Worker,
    /// The real-time thread of the control side.
    Rt,
    /// Its background thread, which serves the control socket.
    Bg,
    /// That of the checks.
    Checks,
    /// Scrapes: the calling one.
    Client,
}

/// Run first on each thread: gives it its core and its priority.
pub type Enter = Arc<dyn Fn(Thread) + Send + Sync>;

/// Why there are no figures.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The worker's queues did not open.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The control socket was not made.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// A scrape was not answered.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The system gave no thread, or no directory for the socket.
    #[error("cannot start the balancer under test: {0}")]
    Start(#[from] std::io::Error),
    /// The worker is gone.
    #[error("the worker under test ended in the middle of a round; its message is above")]
    Gone,
    /// Packets were dropped: the figures would be of something else.
    #[error("{dropped} of {received} packets were dropped, many of them as {reason}; this is a bug")]
    Dropped {
        /// Packets dropped.
        dropped: u64,
        /// Packets received.
        received: u64,
        /// The most frequent reason.
        reason: &'static str,
    },
}
