//! The way out: packets staged for each port during a poll, handed over in bursts.

use crate::counters::WorkerCounters;
use crate::drop_reason::DropReason;
use crate::ids::PortId;
use crate::port::{Burst, Packet, Port, TxQueue};
use crate::punt::{Inject, InjectRing};
use crate::snapshot::Snapshot;
use std::sync::Arc;

/// How one worker reaches one port.
pub enum TxPath<P: Port> {
    /// A transmit queue of its own.
    Queue(P::Tx),
    /// The device has fewer queues than there are workers: a ring to one that owns a queue.
    Worker(Arc<InjectRing<P::Packet>>),
}

struct Egress<P: Port> {
    port: PortId,
    path: TxPath<P>,
    staged: Burst<P::Packet>,
    /// Bytes of what is staged.
    bytes: u64,
}

/// All ways out of one worker.
pub(crate) struct Transmit<P: Port> {
    egresses: Vec<Egress<P>>,
}

impl<P: Port> Transmit<P> {
    pub(crate) fn new(paths: Vec<TxPath<P>>) -> Self {
        let egress = |(port, path)| Egress { port: PortId(port), path, staged: Burst::new(), bytes: 0 };
        Self { egresses: (0..).zip(paths).map(egress).collect() }
    }

    /// Puts a finished frame in line for a port; sends if the line is full.
    #[inline]
    pub(crate) fn stage(&mut self, packet: P::Packet, port: PortId, snapshot: &Snapshot, counters: &WorkerCounters) {
        let Some(egress) = self.egresses.get_mut(port.index()) else {
            return counters.count_drop(DropReason::StaleInjection);
        };
        if !snapshot.ports.get(port.index()).is_some_and(|state| state.up) {
            return counters.count_drop(DropReason::PortDown);
        }
        egress.bytes += packet.total_len() as u64;
        egress.staged.push(packet);
        if egress.staged.is_full() {
            egress.send(counters);
        }
    }

    /// Sends a burst of finished frames of `bytes` bytes by a port, behind what is in line there.
    #[inline]
    pub(crate) fn stage_burst(
        &mut self,
        burst: Burst<P::Packet>,
        port: PortId,
        bytes: u64,
        snapshot: &Snapshot,
        counters: &WorkerCounters,
    ) {
        let up = snapshot.ports.get(port.index()).is_some_and(|state| state.up);
        let Some(egress) = self.egresses.get_mut(port.index()).filter(|_| up) else {
            return burst.into_iter().for_each(|packet| self.stage(packet, port, snapshot, counters));
        };
        if !egress.staged.is_empty() {
            egress.send(counters);
        }
        egress.staged = burst;
        egress.bytes = bytes;
        egress.send(counters);
    }

    /// Sends whatever is staged.
    #[inline]
    pub(crate) fn flush(&mut self, counters: &WorkerCounters) {
        for egress in &mut self.egresses {
            if !egress.staged.is_empty() {
                egress.send(counters);
            }
        }
    }
}

impl<P: Port> Egress<P> {
    fn send(&mut self, counters: &WorkerCounters) {
        match &mut self.path {
            TxPath::Queue(queue) => {
                let offered = self.staged.len();
                let sent = queue.transmit(&mut self.staged).min(offered);
                let left: usize = self.staged.iter().map(Packet::total_len).sum();
                self.staged.clear();
                counters.sent.packets.add(sent as u64);
                counters.sent.bytes.add(self.bytes.saturating_sub(left as u64));
                counters.drops[DropReason::TxFull as usize].add((offered - sent) as u64);
            }
            TxPath::Worker(ring) => {
                for packet in self.staged.drain(..) {
                    if ring.push(Inject::Finished { packet, port: self.port }).is_ok() {
                        counters.handed_off.add(1);
                    } else {
                        counters.count_drop(DropReason::HandoffFull);
                    }
                }
            }
        }
        self.bytes = 0;
    }
}
