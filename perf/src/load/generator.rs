//! The generator: sends at a rate and receives what comes back, on one thread.

use super::frames::Frames;
use super::pacer::Pacer;
use super::receiver::{Received, Receiver, Recognition};
use super::stamp::Stamp;
use crate::clock::Clock;
use crate::latency::Latencies;
use guideway_dataplane::port::{BURST, Burst, Packet as _, PacketPool, Port, RxQueue, TxQueue};
use std::sync::Arc;
use std::time::Duration;

/// What it means that a queue does not take a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The queue is the balancer's receive ring, and it was too slow: the packet was offered, and is lost.
    Lost,
    /// The queue is the generator's own device, which was too slow: the packet was not offered.
    NotOffered,
}

/// What the generator needs.
pub struct GeneratorParts<P: Port> {
    /// Where packets go.
    pub tx: P::Tx,
    /// Where they come back.
    pub rx: P::Rx,
    /// Where buffers come from.
    pub pool: Arc<P::Pool>,
    /// What is sent.
    pub frames: Frames,
    /// How it is recognised.
    pub recognition: Recognition,
    /// What a full transmit queue means.
    pub refusal: Refusal,
    /// How long to wait for a packet that does not come.
    pub settle: Duration,
}

/// Sends and receives.
pub struct Generator<P: Port> {
    parts: GeneratorParts<P>,
    trial: u16,
}

/// How to load.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Load {
    /// Packets a second.
    pub rate: f64,
    /// How long packets are sent.
    pub duration: Duration,
    /// Whether latencies are taken: it costs the receiver a little.
    pub latency: bool,
}

/// What became of a load.
#[derive(Clone, Debug)]
pub struct Run {
    /// Packets that the rate asks for.
    pub intended: u64,
    /// Packets that were offered to the balancer.
    pub offered: u64,
    /// Ticks from the first packet to the end of sending.
    pub ticks: u64,
    /// What came back.
    pub received: Received,
    /// Latencies, if they were taken.
    pub latencies: Option<Latencies>,
}

impl<P: Port> Generator<P> {
    /// A generator that has not sent yet.
    #[must_use]
    pub fn new(parts: GeneratorParts<P>) -> Self {
        Self { parts, trial: 0 }
    }

    /// Sends and receives until everything came back or nothing comes any more. `between` is called with the clock's
    /// ticks between bursts: short work may be done there.
    pub fn run(&mut self, clock: &impl Clock, load: &Load, mut between: impl FnMut(u64)) -> Run {
        self.trial = self.trial.wrapping_add(1);
        self.discard();
        let latencies = load.latency.then(|| Latencies::new(clock.hz()));
        let mut receiver = Receiver::new(self.parts.recognition, self.trial, latencies);
        let ticks = |duration: Duration| (duration.as_secs_f64() * clock.hz() as f64) as u64;
        let intended = (load.rate * load.duration.as_secs_f64()).round().max(1.0) as u64;
        let start = clock.ticks();
        let mut pacer = Pacer::new(start, ticks(load.duration), intended);
        let (mut sequence, mut offered) = (0, 0);
        let mut now = start;
        while !pacer.is_over(now) {
            let due = pacer.due(now, BURST as u64) as usize;
            if due > 0 {
                offered += self.send(due, clock, &mut sequence);
            }
            self.receive(&mut receiver, clock);
            between(now);
            now = clock.ticks();
        }
        let ended = now;
        let mut last_came = now;
        while receiver.counts().packets < offered && now.saturating_sub(last_came) < ticks(self.parts.settle) {
            if self.receive(&mut receiver, clock) {
                last_came = now;
            }
            between(now);
            now = clock.ticks();
        }
        let (received, latencies) = receiver.finish();
        Run { intended, offered, ticks: ended - start, received, latencies }
    }

    /// Sends packets; returns how many were offered.
    #[inline]
    fn send(&mut self, due: usize, clock: &impl Clock, sequence: &mut u32) -> u64 {
        let GeneratorParts { tx, pool, frames, refusal, .. } = &mut self.parts;
        let ticks = clock.ticks() as u32;
        let mut burst = Burst::new();
        while burst.len() < due
            && let Some(mut packet) = pool.alloc(&[])
        {
            if !frames.write(&mut packet, Stamp { trial: self.trial, sequence: *sequence, ticks }) {
                break;
            }
            *sequence = sequence.wrapping_add(1);
            burst.push(packet);
        }
        let made = burst.len();
        let taken = tx.transmit(&mut burst);
        match refusal {
            Refusal::Lost => made as u64,
            Refusal::NotOffered => taken as u64,
        }
    }

    /// Takes what came; returns whether there was something.
    #[inline]
    fn receive(&mut self, receiver: &mut Receiver, clock: &impl Clock) -> bool {
        let mut burst = Burst::new();
        if self.parts.rx.receive(&mut burst) == 0 {
            return false;
        }
        let now = clock.ticks();
        for packet in &burst {
            receiver.take(packet.frame(), now);
        }
        true
    }

    /// Throws away what came between trials.
    fn discard(&mut self) {
        let mut burst = Burst::new();
        // Bounded: on a busy network something comes all the time.
        for _ in 0..1_024 {
            if self.parts.rx.receive(&mut burst) == 0 {
                break;
            }
            burst.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Unit;
    use crate::load::frames::{FrameSetup, FrameSize};
    use guideway_dataplane::memory::{LINK_DEPTH, MemoryPool, MemoryPort, MemoryQueue, MemoryRx, MemoryTx, link};
    use guideway_dataplane::time::Nanos;
    use std::cell::Cell;

    /// A microsecond passes each time that it is read.
    struct Steps(Cell<u64>);

    impl Clock for Steps {
        const UNIT: Unit = Unit::Ns;

        fn ticks(&self) -> u64 {
            self.0.set(self.0.get() + 1_000);
            self.0.get()
        }

        fn hz(&self) -> u64 {
            1_000_000_000
        }

        fn now(&self) -> Nanos {
            Nanos(self.0.get())
        }
    }

    fn generator(there: MemoryQueue, back: MemoryQueue, refusal: Refusal) -> Generator<MemoryPort> {
        let setup = FrameSetup {
            destination: [2; 6],
            source: [4; 6],
            service: "198.19.0.1:80".parse().expect("an address"),
            services: 1,
            flows: 10,
            size: FrameSize::Fixed(64),
        };
        Generator::new(GeneratorParts {
            tx: MemoryTx(there),
            rx: MemoryRx(back),
            pool: Arc::new(MemoryPool),
            frames: Frames::new(&setup),
            recognition: Recognition { port: 80, gue_port: 6_080 },
            refusal,
            settle: Duration::from_millis(1),
        })
    }

    const LOAD: Load = Load { rate: 100_000.0, duration: Duration::from_millis(100), latency: true };

    #[test]
    fn the_rate_is_kept_and_each_packet_is_timed() {
        let wire = link();
        let mut generator = generator(Arc::clone(&wire), wire, Refusal::Lost);
        let clock = Steps(Cell::new(0));
        for _ in 0..3 {
            let mut looks = 0_u64;
            let run = generator.run(&clock, &LOAD, |_| looks += 1);
            assert_eq!((run.intended, run.offered, run.received.packets), (10_000, 10_000, 10_000));
            assert_eq!((run.received.late, run.received.foreign), (0, 0));
            assert!((100_000_000..101_000_000).contains(&run.ticks), "{}", run.ticks);
            assert!(looks >= 10_000, "{looks}");
            let latency = run.latencies.expect("asked for").percentiles();
            assert_eq!((latency.samples, latency.p50.round()), (10_000, 1_000.0), "one step of the clock");
        }
    }

    #[test]
    fn what_a_full_queue_refuses_is_lost_or_was_never_offered() {
        for (refusal, offered) in [(Refusal::Lost, 10_000), (Refusal::NotOffered, LINK_DEPTH as u64)] {
            let run = generator(link(), link(), refusal).run(&Steps(Cell::new(0)), &LOAD, |_| ());
            assert_eq!((run.intended, run.offered, run.received.packets), (10_000, offered, 0));
        }
    }

    #[test]
    fn packets_of_an_earlier_trial_are_thrown_away() {
        let wire = link();
        let mut generator = generator(Arc::clone(&wire), Arc::clone(&wire), Refusal::Lost);
        let clock = Steps(Cell::new(0));
        generator.run(&clock, &LOAD, |_| ());
        let (mut sequence, before) = (0, wire.len());
        generator.send(5, &clock, &mut sequence);
        assert_eq!((before, wire.len()), (0, 5));
        let run = generator.run(&clock, &LOAD, |_| ());
        assert_eq!((run.received.packets, run.received.late), (10_000, 0));
    }
}
