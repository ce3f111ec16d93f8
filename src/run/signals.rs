//! SIGTERM and SIGINT stop, SIGHUP reloads.

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::{iterator, low_level};
use std::cell::RefCell;
use std::io;
use tracing::error;

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Request {
    /// Leave cleanly.
    Stop,
    /// Read the configuration again.
    Reload,
}

/// Asks this process to leave cleanly, as SIGTERM does.
pub(super) fn stop() {
    if let Err(error) = low_level::raise(SIGTERM) {
        error!(%error, "this process cannot stop itself; send it SIGTERM");
    }
}

/// The signals that this process follows.
pub(super) struct Signals(RefCell<iterator::Signals>);

impl Signals {
    /// From now on these signals wait for [`Signals::wait`].
    pub(super) fn install() -> io::Result<Self> {
        Ok(Self(RefCell::new(iterator::Signals::new([SIGTERM, SIGINT, SIGHUP])?)))
    }

    /// Waits for the next request.
    pub(super) fn wait(&self) -> Request {
        match self.0.borrow_mut().forever().next() {
            Some(SIGHUP) => Request::Reload,
            _ => Request::Stop,
        }
    }
}
