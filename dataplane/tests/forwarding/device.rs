//! A device that looks at checksums, and a pool that is empty.

use crate::rig::{GATEWAY, PORT_0, context, syn};
use crossbeam::queue::ArrayQueue;
use guideway_dataplane::counters::WorkerCounters;
use guideway_dataplane::craft::Craft;
use guideway_dataplane::drop_reason::DropReason;
use guideway_dataplane::ids::{PortId, WorkerId};
use guideway_dataplane::memory::MemoryPacket;
use guideway_dataplane::port::{Burst, Packet, PacketPool, Port, RxChecksum, RxQueue, TxQueue};
use guideway_dataplane::punt::ControlRings;
use guideway_dataplane::snapshot::Snapshot;
use guideway_dataplane::time::Nanos;
use guideway_dataplane::transmit::TxPath;
use guideway_dataplane::wire::tcp;
use guideway_dataplane::worker::{Worker, WorkerParts};
use std::sync::Arc;

/// A frame with what the device says of its checksums.
struct Judged {
    packet: MemoryPacket,
    found: RxChecksum,
}

impl Packet for Judged {
    fn frame(&self) -> &[u8] {
        self.packet.frame()
    }

    fn frame_mut(&mut self) -> &mut [u8] {
        self.packet.frame_mut()
    }

    fn total_len(&self) -> usize {
        self.packet.total_len()
    }

    fn rx_checksum(&self) -> RxChecksum {
        self.found
    }

    fn prepend(&mut self, n: usize) -> bool {
        self.packet.prepend(n)
    }

    fn trim_front(&mut self, n: usize) -> bool {
        self.packet.trim_front(n)
    }

    fn resize(&mut self, len: usize) -> bool {
        self.packet.resize(len)
    }
}

/// One queue, received from and sent to.
struct Queue(Arc<ArrayQueue<Judged>>);

impl RxQueue for Queue {
    type Packet = Judged;

    fn receive(&mut self, burst: &mut Burst<Judged>) -> usize {
        burst.extend(std::iter::from_fn(|| self.0.pop()));
        burst.len()
    }
}

impl TxQueue for Queue {
    type Packet = Judged;

    fn transmit(&mut self, burst: &mut Burst<Judged>) -> usize {
        burst.drain(..).map(|packet| self.0.push(packet)).filter(Result::is_ok).count()
    }
}

/// A pool without buffers after the first `n` packets.
struct Scarce(ArrayQueue<()>);

impl PacketPool for Scarce {
    type Packet = Judged;

    fn alloc(&self, frame: &[u8]) -> Option<Judged> {
        self.0.pop().map(|()| Judged { packet: MemoryPacket::new(frame), found: RxChecksum::Unknown })
    }
}

struct Device;

impl Port for Device {
    type Packet = Judged;
    type Rx = Queue;
    type Tx = Queue;
    type Pool = Scarce;
}

/// What a worker sent of some frames and dropped, with so many buffers in its pool.
fn run(snapshot: Snapshot, frames: Vec<Judged>, buffers: usize) -> (usize, Vec<(DropReason, u64)>) {
    let queues: Vec<_> = snapshot.ports.iter().map(|_| (ArrayQueue::new(64), ArrayQueue::new(64))).collect();
    let (rx, tx): (Vec<_>, Vec<_>) = queues.into_iter().map(|(rx, tx)| (Arc::new(rx), Arc::new(tx))).unzip();
    let (_publisher, mut readers) = guideway_dataplane::publish::channel(snapshot, 1);
    let counters = Arc::new(WorkerCounters::default());
    let pool = ArrayQueue::new(buffers.max(1));
    (0..buffers).for_each(|_| pool.push(()).unwrap());
    let mut worker = Worker::<Device>::new(WorkerParts {
        id: WorkerId(0),
        rx: (0..).zip(&rx).map(|(port, queue)| (PortId(port), Queue(Arc::clone(queue)))).collect(),
        tx: tx.iter().map(|queue| TxPath::Queue(Queue(Arc::clone(queue)))).collect(),
        snapshots: readers.pop().unwrap(),
        rings: ControlRings::new(),
        pool: Arc::new(Scarce(pool)),
        exception_rate: 20_000,
        sessions: None,
        secret: [7; 16],
        counters: Arc::clone(&counters),
    });
    for frame in frames {
        rx[0].push(frame).ok().unwrap();
    }
    worker.poll(Nanos(1_000_000_000), &mut ());
    let (entered, left) = counters.conservation();
    assert_eq!(entered, left);
    let drops = DropReason::ALL.iter().map(|reason| (*reason, counters.drops[*reason as usize].get()));
    (tx.iter().map(|queue| queue.len()).sum(), drops.filter(|(_, count)| *count > 0).collect())
}

#[test]
fn the_word_of_the_device_about_checksums_counts_where_it_looks_at_them() {
    let frames = || {
        let found = [RxChecksum::Unknown, RxChecksum::BadIp, RxChecksum::BadTransport, RxChecksum::BadTransport];
        let packet = || MemoryPacket::new(&syn(10_000, 10).frame());
        found.into_iter().map(|found| Judged { packet: packet(), found }).collect()
    };
    let mut snapshot = context().snapshot().unwrap();
    assert_eq!(run(snapshot, frames(), 0), (4, vec![]), "nobody asked it");
    snapshot = context().snapshot().unwrap();
    snapshot.ports[0].rx_checksum = true;
    let drops = vec![(DropReason::BadIpChecksum, 1), (DropReason::TransportChecksum, 2)];
    assert_eq!(run(snapshot, frames(), 0), (1, drops));
}

#[test]
fn a_packet_whose_fragments_get_no_buffers_is_a_named_drop() {
    let mut context = context().clone();
    let pool = context.pools.iter_mut().find(|pool| pool.name == "ipip4").unwrap();
    pool.fragment_outer = true;
    let big = Craft::tcp("192.0.2.7:40000".parse().unwrap(), "203.0.113.11:80".parse().unwrap(), tcp::ACK);
    let big = big.macs(PORT_0, GATEWAY).payload(&[0; 1_460]).frame();
    for (buffers, sent) in [(0, 0), (1, 0), (2, 2)] {
        let frame = Judged { packet: MemoryPacket::new(&big), found: RxChecksum::Unknown };
        let drops = if sent == 0 { vec![(DropReason::NoBuffer, 1)] } else { vec![] };
        let outcome = run(context.snapshot().unwrap(), vec![frame], buffers);
        assert_eq!(outcome, (sent, drops), "{buffers} buffers: all fragments, or none");
    }
}
