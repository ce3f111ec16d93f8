//! What the benchmark measures is forwarding: every packet leaves as it should.

use guideway_dataplane::ids::BackendId;
use guideway_dataplane::parse::Family;
use guideway_dataplane::port::{BURST, Burst, Packet, Port, TxQueue};
use guideway_dataplane::time::Nanos;
use guideway_perf::device::{Device as _, Queues, Source};
use guideway_perf::memory::{Buffer, FreeList, MemoryDevice, NullRx};
use guideway_perf::scenario::{Case, Load, Slots, Treatment};
use guideway_perf::suite;
use std::collections::HashSet;
use std::sync::{Arc, Mutex};

/// Keeps a copy of every frame that leaves.
struct Tap(Arc<Mutex<Vec<Vec<u8>>>>);

impl TxQueue for Tap {
    type Packet = Buffer;

    fn transmit(&mut self, burst: &mut Burst<Buffer>) -> usize {
        let mut frames = self.0.lock().expect("a lock");
        frames.extend(burst.drain(..).map(|packet| packet.frame().to_vec()));
        burst.capacity()
    }
}

struct Tapped;

impl Port for Tapped {
    type Packet = Buffer;
    type Rx = NullRx;
    type Tx = Tap;
    type Pool = FreeList;
}

/// The frames of ten bursts of 200 flows to 3 backends.
fn forwarded(treatment: Treatment, family: Family) -> Vec<Vec<u8>> {
    let frames = Arc::new(Mutex::new(Vec::new()));
    let Queues { rx, pool, .. } = MemoryDevice.open().expect("memory");
    let queues = Queues::<Tapped> { rx, tx: Tap(Arc::clone(&frames)), pool };
    let case = Case { treatment, family, flows: 200, backends: 3, ..Case::default() };
    let source = Source { queues, traffic: Some(case.traffic()), mac: None };
    let (mut worker, counters) = case.worker(source, BURST).expect("a worker");
    for poll in 0..10 {
        assert_eq!(worker.poll(Nanos(poll), &mut ()), BURST);
    }
    assert_eq!((counters.sent.packets.get(), counters.dropped()), (10 * BURST as u64, 0));
    for backend in 0..3 {
        let sent = counters.backend(BackendId(backend)).expect("a backend").packets.get();
        assert!(sent > 100, "backend {backend} got {sent} of 640");
    }
    drop(worker);
    Arc::into_inner(frames).expect("nobody else").into_inner().expect("a lock")
}

#[test]
fn l2dsr_changes_ethernet_addresses_only() {
    for (family, ethertype, len) in [(Family::V4, [8, 0], 60), (Family::V6, [0x86, 0xdd], 74)] {
        let frames = forwarded(Treatment::L2dsr, family);
        let destinations: HashSet<&[u8]> = frames.iter().map(|frame| &frame[..6]).collect();
        assert_eq!(destinations.len(), 3);
        assert!(frames.iter().all(|frame| frame.len() == len && frame[6..12] == [2, 0, 0, 0, 0, 1]));
        assert!(frames.iter().all(|frame| frame[12..14] == ethertype));
    }
}

#[test]
fn ipip_puts_a_header_of_the_same_family_in_front() {
    let frames = forwarded(Treatment::Ipip, Family::V4);
    assert!(frames.iter().all(|frame| frame.len() == 80 && frame[23] == 4 && frame[34] == 0x45));
    assert_eq!(frames.iter().map(|frame| &frame[30..34]).collect::<HashSet<_>>().len(), 3);
    let frames = forwarded(Treatment::Ipip, Family::V6);
    assert!(frames.iter().all(|frame| frame.len() == 114 && frame[20] == 41 && frame[54] >> 4 == 6));
    assert_eq!(frames.iter().map(|frame| &frame[38..54]).collect::<HashSet<_>>().len(), 3);
}

/// After a packet of each flow every one has its pin, in a table that has room for all: what is measured then is the usual
/// packet of a pinned flow.
#[test]
fn every_flow_has_a_pin_before_anything_is_measured() {
    for slots in [Slots::Transition, Slots::Always] {
        let case = Case { slots, flows: 100_000, backends: 3, table_size: 4_099, ..Case::default() };
        let (mut worker, counters) =
            case.worker(MemoryDevice.source(case.traffic()).expect("memory"), 0).expect("a worker");
        let mut left = case.pinned_flows();
        while left > 0 {
            left = left.saturating_sub(worker.poll(Nanos(0), &mut ()) as u64);
        }
        let pins = counters.pins.inserted.get();
        // A round and the part of a burst that goes beyond it.
        assert!((99_000..=100_000).contains(&pins), "{slots:?}: {pins}");
        for _ in 0..1_000 {
            worker.poll(Nanos(0), &mut ());
        }
        assert!(counters.pins.inserted.get() < pins + 1_000, "{slots:?}");
    }
    let flood = Case { load: Load::SynFlood, slots: Slots::Always, ..Case::default() };
    assert_eq!((flood.pinned_flows(), Case::default().pinned_flows()), (0, 0));
}

/// All that a suite measures does what it says: forwards everything, or drops everything for the reason that it is about.
#[test]
fn every_case_of_the_suites_is_what_it_says() {
    for case in suite::full() {
        // The numbers only make it slow.
        let case = Case { flows: case.flows.min(1_000), pools: case.pools.min(10), table_size: 4_099, ..case };
        let source = MemoryDevice.source(case.traffic()).expect("memory");
        if case.treatment == Treatment::MacSwap {
            continue;
        }
        let (mut worker, counters) = case.worker(source, 0).expect("a worker");
        for poll in 0..20 {
            worker.poll(Nanos(poll), &mut ());
        }
        let received = counters.received.packets.get();
        let expected = case.drops().map_or(counters.sent.packets.get(), |reason| counters.drops[reason as usize].get());
        assert_eq!((received, expected), (20 * BURST as u64, received), "{case:?}");
        let pins = counters.pins.inserted.get();
        let steady = case.slots == Slots::Steady || case.load == Load::NoVip;
        assert_eq!(pins == 0, steady, "{case:?}");
    }
}
