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
