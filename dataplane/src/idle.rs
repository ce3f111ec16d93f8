//! What a worker does that found nothing.

use crate::doorbell::Doorbell;
use crate::fragment::HOLD_TIME;
use std::sync::Arc;
use std::time::Duration;

/// How a worker passes the time between polls that found nothing.
pub trait Rest {
    /// Passes some time after `empty_polls` polls in a row found nothing.
    ///
    /// `Some` if it slept, for up to [`LONGEST_SLEEP`] and of its own will; with the time in which it was to go on and
    /// did not get its core.
    fn rest(&mut self, empty_polls: u32) -> Option<Duration>;

    /// To be told when a poll finds something after those that did not, and when there are no more polls.
    fn resume(&mut self) {}
}

/// How an idle worker passes its time, without help from its devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Idle {
    /// Polls on without pause: a core of its own, the least latency.
    Poll,
    /// Backs off: pauses first, then short sleeps. For machines that have other things to do.
    Adaptive,
}

/// Empty polls before the first sleep: some microseconds.
const SPINS: u32 = 64;
/// The first sleeps.
const SHORT: Duration = Duration::from_micros(50);
/// After this many empty polls in a row nobody is talking to us.
const QUIET: u32 = 256;
/// The longest sleep: small beside a probe's timeout and a receive ring's depth.
const LONG: Duration = Duration::from_micros(250);

impl Rest for Idle {
    #[inline]
    fn rest(&mut self, empty_polls: u32) -> Option<Duration> {
        if *self == Self::Poll || empty_polls < SPINS {
            std::hint::spin_loop();
        } else {
            std::thread::sleep(if empty_polls < QUIET { SHORT } else { LONG });
        }
        None
    }
}

/// The longest sleep of a worker that devices wake: what it looks after by the clock, above all fragments that are held, is
/// late by this much at most.
pub const LONGEST_SLEEP: Duration = HOLD_TIME.checked_div(2).expect("two is not zero");

/// A worker's sleep in the kernel, until one of its devices has something for it.
pub trait Sleeper {
    /// Makes devices end the next sleep from now on. What arrived before need not end it.
    fn arm(&mut self);

    /// Sleeps until a device or the worker's bell ends it, or until `longest` has passed. May end for no reason.
    ///
    /// Returns for how long the thread had to wait for its core after that, as far as the system tells.
    fn sleep(&mut self, longest: Duration) -> Duration;

    /// Lets devices be quiet again.
    fn disarm(&mut self);
}

/// Sleeps in the kernel until a packet comes or somebody rings. For machines whose power or cores others want.
#[derive(Debug)]
pub struct Interrupt<S> {
    sleeper: S,
    doorbell: Arc<Doorbell>,
    armed: bool,
}

impl<S: Sleeper> Interrupt<S> {
    /// Sleeps by `sleeper`, which the bell of `doorbell` ends too.
    pub fn new(sleeper: S, doorbell: Arc<Doorbell>) -> Self {
        Self { sleeper, doorbell, armed: false }
    }
}

impl<S: Sleeper> Rest for Interrupt<S> {
    /// Arms first and leaves the worker to poll once more: what came before the arming ends no sleep.
    fn rest(&mut self, empty_polls: u32) -> Option<Duration> {
        if empty_polls < QUIET {
            std::hint::spin_loop();
            return None;
        }
        if !self.armed {
            self.armed = true;
            self.sleeper.arm();
            self.doorbell.lie_down();
            return None;
        }
        let late = self.sleeper.sleep(LONGEST_SLEEP);
        self.resume();
        Some(late)
    }

    fn resume(&mut self) {
        if self.armed {
            self.armed = false;
            self.doorbell.get_up();
            self.sleeper.disarm();
        }
    }
}
