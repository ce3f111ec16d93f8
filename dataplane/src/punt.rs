//! Packets between a worker and the control side: punts up, injections down, both by bounded rings.

use crate::doorbell::Doorbell;
use crate::ids::{BackendId, LinkId, PoolId, PortId};
use crate::port::Port;
use crate::time::Nanos;
use crossbeam::queue::ArrayQueue;
use std::sync::Arc;

/// Classes of punted packets, in the order in which the control side serves them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum PuntClass {
    /// Answers to health probes.
    Probe,
    /// ARP and NDP.
    Neighbor,
    /// BGP sessions.
    Bgp,
    /// ICMP to own addresses and echo to VIPs.
    Icmp,
    /// Everything else that is addressed to the balancer itself, where there is no exception path.
    Other,
    /// What the kernel may have a use for, where there is an exception path: what is addressed to the balancer itself and
    /// of no class above, and what is for nobody here.
    Exception,
}

impl PuntClass {
    /// Every class, in the order of service.
    pub const ALL: [Self; 6] = [Self::Probe, Self::Neighbor, Self::Bgp, Self::Icmp, Self::Other, Self::Exception];
    /// How many classes there are.
    pub const COUNT: usize = Self::ALL.len();

    /// The name in metrics, `status` and `replay --json`.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Probe => "probe",
            Self::Neighbor => "neighbor",
            Self::Bgp => "bgp",
            Self::Icmp => "icmp",
            Self::Other => "other",
            Self::Exception => "exception",
        }
    }

    /// Packets that the ring of this class holds.
    #[must_use]
    pub const fn depth(self) -> usize {
        match self {
            // 500,000 answers a second (10,000 backends every 20 ms) for 8 ms.
            Self::Probe => 4_096,
            Self::Neighbor | Self::Bgp | Self::Exception => 512,
            Self::Icmp | Self::Other => 128,
        }
    }

    /// Packets a second that one worker punts at most.
    #[must_use]
    pub const fn rate(self) -> u32 {
        match self {
            Self::Probe => 1_000_000,
            Self::Neighbor => 50_000,
            Self::Bgp => 100_000,
            Self::Icmp => 10_000,
            Self::Exception => 20_000,
            Self::Other => 2_000,
        }
    }
}

/// A packet on its way up.
#[derive(Debug)]
pub struct Punt<P> {
    /// The frame as it was received, without its VLAN tags.
    pub packet: P,
    /// Where it came in.
    pub link: LinkId,
    /// When the worker received it: answers are judged by this, not by when somebody looks at them.
    pub received: Nanos,
}

/// One worker's rings to the control side, one a class.
#[derive(Debug)]
pub struct PuntRings<P> {
    rings: [ArrayQueue<Punt<P>>; PuntClass::COUNT],
    silent: ArrayQueue<BackendId>,
}

/// Backends that the ring of those that do not answer holds: what is lost of them is found out by their probes.
const SILENT_DEPTH: usize = 256;

impl<P> Default for PuntRings<P> {
    fn default() -> Self {
        let rings = PuntClass::ALL.map(|class| ArrayQueue::new(class.depth()));
        Self { rings, silent: ArrayQueue::new(SILENT_DEPTH) }
    }
}

impl<P> PuntRings<P> {
    /// The ring of a class.
    #[inline]
    #[must_use]
    pub fn ring(&self, class: PuntClass) -> &ArrayQueue<Punt<P>> {
        &self.rings[class as usize]
    }

    /// Backends that did not answer a client: to be asked at once.
    #[inline]
    #[must_use]
    pub fn silent(&self) -> &ArrayQueue<BackendId> {
        &self.silent
    }
}

/// A packet on its way down.
#[derive(Debug)]
pub enum Inject<P> {
    /// A frame for a link, whose VLAN tags are put in.
    Frame {
        /// The frame, Ethernet header included, without tags.
        packet: P,
        /// Where it leaves.
        link: LinkId,
    },
    /// A finished frame, to leave by this port as it is: of a worker that has no transmit queue there, or of the kernel.
    Finished {
        /// The frame.
        packet: P,
        /// Where it leaves.
        port: PortId,
    },
    /// A frame as another worker received it, which found that its session is this worker's.
    Received {
        /// The frame.
        packet: P,
        /// Where it came in.
        port: PortId,
    },
    /// A packet that takes the way of traffic to one backend: its Ethernet header is filled in and its rewrite done as
    /// for a packet of the pool that selection gave to that backend.
    ToBackend {
        /// The frame; of its Ethernet header only the type matters.
        packet: P,
        /// The pool, and the backend's place in it.
        pool: PoolId,
        /// Pool-local index.
        index: u16,
        /// Who is meant: the packet is dropped if somebody else has that place now.
        backend: BackendId,
    },
}

/// One worker's ring from the control side, and from workers that have no transmit queue of their own. Wakes the worker.
#[derive(Debug)]
pub struct InjectRing<P> {
    ring: ArrayQueue<Inject<P>>,
    doorbell: Arc<Doorbell>,
}

impl<P> InjectRing<P> {
    /// An empty ring for `capacity` packets of the worker with this doorbell.
    ///
    /// # Panics
    ///
    /// If the capacity is zero.
    #[must_use]
    pub fn new(capacity: usize, doorbell: Arc<Doorbell>) -> Self {
        Self { ring: ArrayQueue::new(capacity), doorbell }
    }

    /// Puts a packet in line, and wakes the worker if it sleeps.
    ///
    /// # Errors
    ///
    /// The packet, if the ring is full.
    #[inline]
    pub fn push(&self, injection: Inject<P>) -> Result<(), Inject<P>> {
        self.ring.push(injection)?;
        self.doorbell.ring();
        Ok(())
    }

    /// The packet that waits longest.
    #[inline]
    #[must_use]
    pub fn pop(&self) -> Option<Inject<P>> {
        self.ring.pop()
    }

    /// Packets that wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ring.len()
    }

    /// Whether no packet waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ring.is_empty()
    }

    /// Packets that it holds at most.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.ring.capacity()
    }

    /// The worker's doorbell.
    #[must_use]
    pub fn doorbell(&self) -> &Arc<Doorbell> {
        &self.doorbell
    }
}

/// Packets that an inject ring holds.
pub const INJECT_DEPTH: usize = 4_096;

/// A worker's ends of its rings, as the control side sees them.
#[derive(Debug)]
pub struct ControlRings<P: Port> {
    /// Punted packets.
    pub punts: Arc<PuntRings<P::Packet>>,
    /// Packets to send.
    pub inject: Arc<InjectRing<P::Packet>>,
}

impl<P: Port> ControlRings<P> {
    /// Empty rings of a worker that never sleeps for long.
    #[must_use]
    pub fn new() -> Self {
        Self::with_doorbell(Doorbell::silent())
    }

    /// Empty rings of a worker that is woken by this doorbell.
    #[must_use]
    pub fn with_doorbell(doorbell: Doorbell) -> Self {
        let inject = InjectRing::new(INJECT_DEPTH, Arc::new(doorbell));
        Self { punts: Arc::new(PuntRings::default()), inject: Arc::new(inject) }
    }
}

impl<P: Port> Default for ControlRings<P> {
    fn default() -> Self {
        Self::new()
    }
}

impl<P: Port> Clone for ControlRings<P> {
    fn clone(&self) -> Self {
        Self { punts: Arc::clone(&self.punts), inject: Arc::clone(&self.inject) }
    }
}

/// A token bucket: bounds what one class may cost the control side. Holds a hundredth of a second's worth, at least 32.
#[derive(Clone, Copy, Debug)]
pub struct RateLimit {
    rate: u64,
    depth: u64,
    // In units of 1e-9 packets, so that a refill is one multiplication and no division.
    tokens: u64,
    refilled: Nanos,
}

/// Units of [`RateLimit::tokens`] in a packet.
const PACKET: u64 = 1_000_000_000;

impl RateLimit {
    /// A full bucket for `rate` packets a second.
    #[must_use]
    pub fn new(rate: u32) -> Self {
        let rate = u64::from(rate);
        let depth = (rate / 100).max(32) * PACKET;
        Self { rate, depth, tokens: depth, refilled: Nanos(0) }
    }

    /// Whether there is a token.
    #[inline]
    pub fn is_ready(&mut self, now: Nanos) -> bool {
        let elapsed = now.0.saturating_sub(self.refilled.0);
        self.refilled = now;
        self.tokens = self.tokens.saturating_add(elapsed.saturating_mul(self.rate)).min(self.depth);
        self.tokens >= PACKET
    }

    /// Takes a token if there is one.
    #[inline]
    pub fn allow(&mut self, now: Nanos) -> bool {
        let allowed = self.is_ready(now);
        if allowed {
            self.tokens -= PACKET;
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_limit_allows_its_rate_and_no_more() {
        let mut limit = RateLimit::new(1_000);
        // Two offers a microsecond over one second, far above the rate.
        let allowed = (0..1_000_000_u64).filter(|step| limit.allow(Nanos(step * 1_000))).count();
        assert!((1_000..=1_000 + 32).contains(&allowed), "{allowed}");
    }

    #[test]
    fn a_clock_that_steps_back_gives_no_tokens() {
        let mut limit = RateLimit::new(1_000);
        let start = Nanos(10_000_000_000);
        while limit.allow(start) {}
        assert!(!limit.allow(Nanos(1_000)));
    }
}
