//! The worker over ports in memory: ways out, snapshots, counters, time.

use crate::rig::{GATEWAY, PORT_0, Rig, context, queue, syn};
use guideway_dataplane::counters::STALL;
use guideway_dataplane::drop_reason::DropReason;
use guideway_dataplane::idle::Idle;
use guideway_dataplane::ids::{BackendId, PortId, VipId, WorkerId};
use guideway_dataplane::memory::MemoryPacket;
use guideway_dataplane::pipeline::{Arrival, Decision, Trace};
use guideway_dataplane::port::{BURST, Packet};
use guideway_dataplane::punt::{ControlRings, InjectRing};
use guideway_dataplane::select::Verdict;
use guideway_dataplane::time::Nanos;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

#[test]
fn traffic_crosses_from_port_to_port_in_order() {
    let (mut rig, _publisher) = Rig::new(context().snapshot().unwrap());
    let frames: Vec<_> = (0..200).map(|flow| syn(10_000 + flow, 11).frame()).collect();
    for frame in &frames {
        rig.receive(0, frame);
    }
    let handled: usize = std::iter::repeat_with(|| rig.poll()).take_while(|handled| *handled > 0).sum();
    assert_eq!(handled, frames.len());
    assert_eq!(rig.counters.bursts.get(), frames.len().div_ceil(BURST) as u64);
    let sent = rig.sent(1);
    assert!(sent.iter().map(|frame| &frame[34..]).eq(frames.iter().map(|frame| &frame[14..])));
    assert!(rig.sent(0).is_empty());
    let bytes = |frames: &[Vec<u8>]| frames.iter().map(Vec::len).sum::<usize>() as u64;
    assert_eq!(rig.counters.received.bytes.get(), bytes(&frames));
    assert_eq!(rig.counters.sent.bytes.get(), bytes(&sent));
}

#[test]
fn counters_of_vip_and_backend_count_what_goes_to_them() {
    let context = context();
    let (mut rig, _publisher) = Rig::new(context.snapshot().unwrap());
    for flow in 0..5 {
        rig.receive(0, &syn(10_000 + flow, 10).frame());
    }
    rig.receive(0, &syn(10_000, 11).frame());
    rig.receive(0, &syn(0, 11).frame());
    rig.poll();
    let traffic = |vip: u16, backend: u16| {
        let (vip, backend) = (rig.counters.vip(VipId(vip)).unwrap(), rig.counters.backend(BackendId(backend)).unwrap());
        [vip.packets.get(), vip.bytes.get(), backend.packets.get(), backend.bytes.get()]
    };
    assert_eq!(traffic(0, 1), [5, 5 * 54, 5, 5 * 54]);
    let ipip = context.vips.iter().position(|vip| vip.pool == "ipip4").unwrap();
    assert_eq!(traffic(ipip as u16, 2), [1, 74, 1, 74], "the frame as it leaves; a drop counts for nobody");
    assert_eq!(traffic(1, 3), [0; 4]);
}

#[test]
fn a_full_transmit_queue_drops_what_it_does_not_take() {
    let (_publisher, mut readers) = guideway_dataplane::publish::channel(context().snapshot().unwrap(), 1);
    let tx = vec![queue(8), queue(100), queue(8)];
    let mut rig = Rig::with_tx(WorkerId(0), readers.pop().unwrap(), ControlRings::new(), tx, &[]);
    for flow in 0..20 {
        rig.receive(0, &syn(10_000 + flow, 10).frame());
        rig.receive(0, &syn(10_000 + flow, 11).frame());
    }
    rig.poll();
    assert_eq!(rig.all_drops(), [(DropReason::TxFull, 12)]);
    assert_eq!(rig.counters.sent.packets.get(), 8 + 20);
    assert_eq!(rig.counters.sent.bytes.get(), 8 * 54 + 20 * 74);
    let sent = rig.sent(0);
    assert_eq!(sent.len(), 8);
    assert_eq!(sent[7][34..36], 10_007_u16.to_be_bytes(), "the queue took the first ones");
    // With room again everything goes.
    rig.receive(0, &syn(10_000, 10).frame());
    rig.poll();
    assert_eq!(rig.sent(0).len(), 1);
    assert_eq!(rig.drops(DropReason::TxFull), 12);
}

#[test]
fn a_port_whose_link_is_down_gets_nothing_until_it_is_up_again() {
    let mut context = context().clone();
    let (mut rig, mut publisher) = Rig::new(context.snapshot().unwrap());
    let frame = syn(10_000, 11).frame();
    for (up, sent) in [(true, 1), (false, 0), (true, 1)] {
        context.ports[1].up = up;
        publisher.publish(context.snapshot().unwrap());
        rig.receive(0, &frame);
        rig.poll();
        assert_eq!(rig.sent(1).len(), sent, "up: {up}");
    }
    assert_eq!(rig.all_drops(), [(DropReason::PortDown, 1)]);
}

#[test]
fn frames_of_a_port_that_the_snapshot_lost_are_dropped() {
    let mut context = context().clone();
    let (mut rig, mut publisher) = Rig::new(context.snapshot().unwrap());
    context.ports.truncate(1);
    context.pools.retain(|pool| pool.name == "l2dsr");
    context.vips.retain(|vip| vip.pool == "l2dsr");
    publisher.publish(context.snapshot().unwrap());
    rig.receive(1, &syn(10_000, 10).macs([2, 0, 0, 0, 0, 2], GATEWAY).frame());
    rig.receive(0, &syn(10_000, 10).frame());
    rig.poll();
    assert_eq!(rig.all_drops(), [(DropReason::PortDown, 1)]);
    assert_eq!(rig.sent(0).len(), 1);
}

/// Two workers; the first reaches port 1 only through the second.
fn pair(handoff: &ControlRings<guideway_dataplane::memory::MemoryPort>) -> (Rig, Rig) {
    let (_publisher, readers) = guideway_dataplane::publish::channel(context().snapshot().unwrap(), 2);
    let [first, second] = <[_; 2]>::try_from(readers).ok().unwrap();
    let tx = || vec![queue(512), queue(512), queue(512)];
    let first = Rig::with_tx(WorkerId(0), first, ControlRings::new(), tx(), &[(PortId(1), handoff)]);
    (first, Rig::with_tx(WorkerId(1), second, handoff.clone(), tx(), &[]))
}

#[test]
fn a_worker_without_a_queue_hands_over_to_the_one_that_has_it() {
    let (mut first, mut second) = pair(&ControlRings::new());
    for flow in 0..100 {
        first.receive(0, &syn(10_000 + flow, 11).frame());
        first.receive(0, &syn(10_000 + flow, 10).frame());
    }
    while first.poll() > 0 {}
    assert_eq!(first.counters.handed_off.get(), 100);
    assert_eq!(first.counters.sent.packets.get(), 100);
    assert!(first.sent(1).is_empty() && second.sent(1).is_empty());
    while second.poll() > 0 {}
    assert_eq!(second.counters.injected.get(), 100);
    assert_eq!(second.counters.sent.packets.get(), 100);
    let ports = second.sent(1).into_iter().map(|frame| u16::from_be_bytes([frame[54], frame[55]]));
    assert!(ports.eq(10_000..10_100), "in order");
    assert!(first.all_drops().is_empty() && second.all_drops().is_empty());
}

#[test]
fn a_full_ring_to_another_worker_drops() {
    let mut small = ControlRings::new();
    small.inject = Arc::new(InjectRing::new(4, Arc::default()));
    let (mut first, mut second) = pair(&small);
    for flow in 0..10 {
        first.receive(0, &syn(10_000 + flow, 11).frame());
    }
    first.poll();
    assert_eq!(first.counters.handed_off.get(), 4);
    assert_eq!(first.all_drops(), [(DropReason::HandoffFull, 6)]);
    second.poll();
    assert_eq!(second.sent(1).len(), 4);
}

#[test]
fn a_new_snapshot_takes_effect_at_the_next_poll_and_is_acknowledged_by_it() {
    let mut context = context().clone();
    let first = context.snapshot().unwrap();
    let pool = Arc::downgrade(&first.pools[0]);
    let (mut rig, mut publisher) = Rig::new(first);
    let frame = syn(10_000, 10).frame();
    let destination = |rig: &mut Rig| {
        rig.receive(0, &frame);
        rig.poll();
        rig.sent(0).pop().map(|frame| frame[..6].to_vec())
    };
    assert_eq!(publisher.acknowledged(), 0);
    assert_eq!(destination(&mut rig), Some(vec![2, 0, 0, 0, 1, 0x0b]));
    assert_eq!(publisher.acknowledged(), 1);

    context.pools[0].backends[0].mac = Some([2, 0, 0, 0, 1, 0x0c]);
    assert_eq!(publisher.publish(context.snapshot().unwrap()), 2);
    assert_eq!(publisher.acknowledged(), 1);
    assert_eq!(publisher.reclaim(), 1, "the worker may still use the first");
    assert!(pool.upgrade().is_some());

    assert_eq!(destination(&mut rig), Some(vec![2, 0, 0, 0, 1, 0x0c]));
    assert_eq!(publisher.acknowledged(), 2);
    assert_eq!(publisher.reclaim(), 0);
    assert!(pool.upgrade().is_none(), "freed");
}

#[test]
fn a_poll_without_packets_acknowledges_too() {
    let (mut rig, mut publisher) = Rig::new(context().snapshot().unwrap());
    publisher.publish(context().snapshot().unwrap());
    assert_eq!(rig.poll(), 0);
    assert_eq!(publisher.acknowledged(), 2);
}

#[test]
fn time_is_busy_after_a_poll_that_found_something() {
    let (mut rig, _publisher) = Rig::new(context().snapshot().unwrap());
    let at = |micros: u64| Nanos(1_000_000_000 + micros * 1_000);
    rig.receive(0, &syn(10_000, 10).frame());
    rig.poll_at(at(0));
    rig.poll_at(at(3));
    rig.poll_at(at(10));
    assert_eq!(rig.counters.polls.get(), 3);
    assert_eq!(rig.counters.total_nanos.get(), 10_000);
    assert_eq!(rig.counters.busy_nanos.get(), 3_000);
    assert_eq!(rig.counters.last_poll.get(), at(10).0);
    // A clock that steps back adds nothing.
    rig.poll_at(at(5));
    assert_eq!(rig.counters.total_nanos.get(), 10_000);
}

#[test]
fn a_worker_that_was_kept_from_polling_says_until_when() {
    let (mut rig, _publisher) = Rig::new(context().snapshot().unwrap());
    let start = Nanos(1_000_000_000);
    assert_eq!(rig.counters.stalled_until(start, None), None, "it has not begun");
    rig.poll_at(start);
    let in_time = start + STALL;
    assert_eq!(rig.counters.stalled_until(in_time, None), None);
    rig.poll_at(in_time);
    assert_eq!((rig.counters.stalls.get(), rig.counters.stalled_until(in_time, None)), (0, None));

    let late = in_time + STALL + Duration::from_nanos(1);
    assert_eq!(rig.counters.stalled_until(late, None), Some(late), "it still does not poll");
    rig.poll_at(late);
    let later = late + Duration::from_millis(1);
    rig.poll_at(later);
    assert_eq!(rig.counters.stalls.get(), 1);
    assert_eq!(rig.counters.stalled_until(later, None), Some(late), "the end of the stall, not the time now");
}

#[derive(Default)]
struct Verdicts(Vec<(usize, Verdict, bool)>);

impl Trace for Verdicts {
    const ENABLED: bool = true;

    fn decided<P: Packet>(&mut self, packet_number: usize, decision: &Decision<'_>, _: Arrival<'_>, _: &P) {
        self.0.push((packet_number, decision.verdict, decision.selection.is_some()));
    }
}

#[test]
fn a_trace_hears_of_every_packet_of_a_burst() {
    let (mut rig, _publisher) = Rig::new(context().snapshot().unwrap());
    rig.receive(0, &syn(10_000, 11).frame());
    rig.receive(0, &syn(10_000, 99).frame());
    rig.receive(0, &syn(10_000, 10).frame()[..60 - 47]);
    let mut verdicts = Verdicts::default();
    rig.worker.poll(Nanos(1), &mut verdicts);
    let forward = Verdict::Forward { egress: PortId(1), backend: BackendId(2) };
    let not_for_us = Verdict::Drop(DropReason::NotForUs);
    assert_eq!(verdicts.0, [(0, forward, true), (1, not_for_us, false), (2, Verdict::Drop(DropReason::Runt), false)]);
}

#[test]
fn run_polls_until_it_is_told_to_stop() {
    let (mut rig, _publisher) = Rig::new(context().snapshot().unwrap());
    rig.receive(0, &syn(10_000, 10).frame());
    let stop = AtomicBool::new(false);
    let mut now = Nanos(0);
    rig.worker.run(&stop, Idle::Poll, || {
        now = now + Duration::from_micros(1);
        stop.store(now.0 >= 100_000, Relaxed);
        now
    });
    assert_eq!(rig.counters.polls.get(), 100);
    assert_eq!(rig.sent(0).len(), 1);
    assert_eq!(rig.counters.last_poll.get(), 100_000);
}

#[test]
fn a_frame_is_not_copied_between_ports() {
    let (mut rig, _publisher) = Rig::new(context().snapshot().unwrap());
    let packet = MemoryPacket::new(&syn(10_000, 10).macs(PORT_0, GATEWAY).frame());
    let address = packet.frame().as_ptr();
    rig.rx[0].push(packet).unwrap();
    rig.poll();
    assert_eq!(rig.tx[0].pop().unwrap().frame().as_ptr(), address);
}
