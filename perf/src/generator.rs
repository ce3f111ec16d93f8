//! A traffic source in front of a queue of empty buffers.

use crate::traffic::Traffic;
use guideway_dataplane::port::{BURST, Burst, RxQueue};

/// Writes traffic into the empty buffers that a queue gives; or hands on what a queue gives that has packets itself.
///
/// Frames are written `lead` packets before they are handed out, as a NIC's are that wait in its descriptor ring: the
/// worker does not find them in its first-level cache.
#[derive(Debug)]
pub struct Generator<R: RxQueue> {
    queue: R,
    traffic: Option<Traffic>,
    waiting: Vec<Burst<R::Packet>>,
    next: usize,
}

impl<R: RxQueue> Generator<R> {
    /// A source on top of `queue`, with `lead` packets, rounded down to whole bursts, waiting at any time.
    pub fn new(queue: R, traffic: Option<Traffic>, lead: usize) -> Self {
        let mut generator = Self { queue, traffic, waiting: Vec::new(), next: 0 };
        for _ in 0..lead / BURST {
            let mut burst = Burst::new();
            generator.fill(&mut burst);
            generator.waiting.push(burst);
        }
        generator
    }

    #[inline]
    fn fill(&mut self, burst: &mut Burst<R::Packet>) {
        self.queue.receive(burst);
        if let Some(traffic) = &mut self.traffic {
            for packet in burst {
                // Too small a buffer leaves a frame that the dataplane drops as a runt, which the benchmark reports.
                traffic.write(packet);
            }
        }
    }
}

impl<R: RxQueue> RxQueue for Generator<R> {
    type Packet = R::Packet;

    #[inline]
    fn receive(&mut self, burst: &mut Burst<R::Packet>) -> usize {
        // Bursts are whole: what would go behind others stays for the next call.
        if !burst.is_empty() {
            return 0;
        }
        self.fill(burst);
        if let Some(oldest) = self.waiting.get_mut(self.next) {
            std::mem::swap(oldest, burst);
            self.next = if self.next + 1 == self.waiting.len() { 0 } else { self.next + 1 };
        }
        burst.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::{Device as _, Queues};
    use crate::memory::MemoryDevice;
    use crate::traffic::Frames;
    use guideway_dataplane::port::{Packet as _, TxQueue as _};

    #[test]
    fn packets_come_in_order_whatever_the_lead() {
        let frames = Frames::established([2, 0, 0, 0, 0, 1], "203.0.113.10:80".parse().expect("an address"), 100, 60);
        let written = |count: usize| {
            let mut traffic = Traffic::new(&frames);
            let packet = |_| {
                let mut packet = guideway_dataplane::memory::MemoryPacket::new(&[]);
                assert!(traffic.write(&mut packet));
                packet.frame().to_vec()
            };
            (0..count).map(packet).collect::<Vec<_>>()
        };
        for lead in [0, BURST, 5 * BURST] {
            let Queues { rx, mut tx, .. } = MemoryDevice.open().expect("memory");
            let mut generator = Generator::new(rx, Some(Traffic::new(&frames)), lead);
            let mut came = Vec::new();
            for _ in 0..10 {
                let mut burst = Burst::new();
                assert_eq!(generator.receive(&mut burst), BURST);
                assert_eq!(generator.receive(&mut burst), 0, "a full burst");
                came.extend(burst.iter().map(|packet| packet.frame().to_vec()));
                tx.transmit(&mut burst);
            }
            assert_eq!(came, written(10 * BURST), "{lead}");
        }
    }
}
