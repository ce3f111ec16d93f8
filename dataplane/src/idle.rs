//! What a worker does that found nothing.

use std::time::Duration;

/// How an idle worker passes its time.
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

impl Idle {
    /// Passes some time after `empty_polls` polls in a row found nothing.
    #[inline]
    pub fn wait(self, empty_polls: u32) {
        if self == Self::Poll || empty_polls < SPINS {
            std::hint::spin_loop();
        } else {
            std::thread::sleep(if empty_polls < QUIET { SHORT } else { LONG });
        }
    }
}
