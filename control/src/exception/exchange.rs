//! The end of the exception path that speaks to the kernel.

use super::LONGEST_FRAME;
use super::counters::TapCounters;
use super::ring::{FrameReceiver, FrameSender};
use super::tap::Tap;
use guideway_dataplane::punt::RateLimit;
use guideway_dataplane::time::Nanos;
use std::sync::Arc;
use tracing::error;

/// Frames of one TAP device and direction that a step handles.
const BATCH: usize = 256;

/// Reads and writes the TAP devices. Never waits.
pub struct Exchange {
    ends: Vec<End>,
    incoming: Vec<u8>,
    outgoing: Box<[u8]>,
}

/// One TAP device, and the rings to and from the real-time thread.
pub(super) struct End {
    name: String,
    tap: Box<dyn Tap>,
    from_port: FrameReceiver,
    to_port: FrameSender,
    limit: RateLimit,
    counters: Arc<TapCounters>,
    broken: bool,
}

impl End {
    pub(super) fn new(
        name: String,
        tap: Box<dyn Tap>,
        from_port: FrameReceiver,
        to_port: FrameSender,
        rate: u32,
        counters: Arc<TapCounters>,
    ) -> Self {
        Self { name, tap, from_port, to_port, limit: RateLimit::new(rate), counters, broken: false }
    }

    /// Writes what the port received. Returns whether there may be more.
    fn write(&mut self, frame: &mut Vec<u8>) -> bool {
        for _ in 0..BATCH {
            if !self.from_port.pop(frame) {
                return false;
            }
            let counter = match self.tap.send(frame) {
                Ok(()) => &self.counters.to_kernel,
                Err(_) => &self.counters.to_kernel_refused,
            };
            counter.add(1);
        }
        true
    }

    /// Reads what the kernel sends. Returns whether there may be more.
    fn read(&mut self, now: Nanos, buffer: &mut [u8]) -> bool {
        for _ in 0..BATCH {
            let frame = match self.tap.receive(buffer) {
                Ok(Some(length)) => buffer.get(..length).unwrap_or(&[]),
                Ok(None) => return false,
                Err(error) => {
                    if !std::mem::replace(&mut self.broken, true) {
                        error!(device = %self.name, %error, "the TAP device failed: was it removed? restart to have it again");
                    }
                    return false;
                }
            };
            if !self.limit.allow(now) {
                self.counters.from_kernel_rate.add(1);
            } else if !self.to_port.push(frame) {
                self.counters.from_kernel_full.add(1);
            }
        }
        true
    }
}

impl Exchange {
    pub(super) fn new(ends: Vec<End>) -> Self {
        Self { ends, incoming: Vec::new(), outgoing: vec![0; LONGEST_FRAME].into() }
    }

    /// One pass over all devices, both ways. Returns whether there may be more to do at once.
    pub fn step(&mut self, now: Nanos) -> bool {
        let mut more = false;
        for end in &mut self.ends {
            more |= end.write(&mut self.incoming);
            more |= end.read(now, &mut self.outgoing);
        }
        more
    }
}
