//! What workers tell about single packets while somebody looks: copies of frames for `capture`, beginnings of flows for the
//! connection log.
//!
//! What is looked for is part of the snapshot. A worker asks once a poll whether there is anything, and only then runs the
//! loop that tells ([`crate::worker`]); of that loop a burst without a packet that is looked for takes the usual path again.
//!
//! - `capture`: what is captured, and the buffers that carry it.
//! - `connections`: which packets begin a flow, and what is told of them.
//! - `observer`: the worker's part.
//!
//! # Lossy by design
//!
//! A worker writes into buffers that it finds, and never waits: if the control side is slow there are none, and what could not
//! be told is counted. The buffers of a capture are made before it begins, go up full and come back empty
//! (`crossbeam`'s `ArrayQueue`, as punts do), so a worker neither allocates nor frees. A ring that makes room by dropping its
//! oldest entry would free that one's memory here.

mod capture;
mod connections;
mod observer;

pub use capture::{CaptureTap, Dropped, Facts, Filter, FrameRing, Seen};
pub use connections::{ConnectionRing, ConnectionTap, Event, Start};
pub(crate) use observer::{Observed, Observer};

use std::sync::Arc;

/// All that is looked for now.
#[derive(Clone, Debug, Default)]
pub struct Observe {
    /// Packets that are captured.
    pub capture: Option<Arc<CaptureTap>>,
    /// Beginnings of flows that are logged.
    pub connections: Option<Arc<ConnectionTap>>,
}

impl Observe {
    /// Whether anything is looked for.
    #[must_use]
    pub const fn any(&self) -> bool {
        self.capture.is_some() || self.connections.is_some()
    }
}

/// Picks one packet of `n` at random: a count would meet a pattern of the traffic always at the same place.
#[derive(Clone, Copy, Debug)]
struct Sampler(u64);

impl Sampler {
    /// A sequence of its own for each number.
    const fn new(number: u16) -> Self {
        Self(0x9e37_79b9_7f4a_7c15 ^ number as u64)
    }

    /// Whether this one is picked; all are with `n` of 0 or 1.
    fn one_in(&mut self, n: u32) -> bool {
        if n <= 1 {
            return true;
        }
        // Knuth's MMIX generator; its upper bits are good.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 32) * u64::from(n)) >> 32 == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_in_n_is_picked_whatever_the_period_of_the_traffic() {
        let mut sampler = Sampler::new(3);
        for n in [2, 10, 100] {
            let tries = 100_000;
            let mut by_place = [0_u32; 4];
            for number in 0..tries {
                by_place[number % 4] += u32::from(sampler.one_in(n));
            }
            let expected = tries as u32 / n / 4;
            let near = |count: &u32| count.abs_diff(expected) < expected / 5 + 40;
            assert!(by_place.iter().all(near), "one in {n}: {by_place:?}");
        }
        assert!((0..100).all(|_| sampler.one_in(1) && sampler.one_in(0)));
    }
}
