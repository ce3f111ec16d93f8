//! What a worker tells about packets while somebody looks, and that it forwards alike.

use crate::outcome;
use crate::rig::{Rig, VECTORS, context, syn};
use guideway_dataplane::craft::Craft;
use guideway_dataplane::drop_reason::DropReason;
use guideway_dataplane::ids::{BackendId, LinkId, PoolId, PortId, VipId};
use guideway_dataplane::memory::MemoryPacket;
use guideway_dataplane::observe::{CaptureTap, ConnectionTap, Dropped, Event, Facts, Filter, Observe, Seen, Start};
use guideway_dataplane::port::BURST;
use guideway_dataplane::punt::{Inject, PuntClass};
use guideway_dataplane::select::{By, Verdict};
use guideway_dataplane::snapshot::SnapshotPublisher;
use guideway_dataplane::time::Nanos;
use guideway_dataplane::vip::Prefix;
use guideway_dataplane::wire::tcp;
use guideway_vectors::Expect;
use guideway_vectors::context::Context;
use std::sync::Arc;

/// Buffers of a capture.
const FRAMES: usize = 256;

/// A worker whose packets are captured.
struct Captured {
    rig: Rig,
    tap: Arc<CaptureTap>,
    _publisher: SnapshotPublisher,
}

impl Captured {
    fn new(context: &Context, filter: Filter) -> Self {
        Self::with(context, CaptureTap::new(filter, 1, FRAMES, 16_384))
    }

    fn with(context: &Context, tap: CaptureTap) -> Self {
        let tap = Arc::new(tap);
        let mut snapshot = context.snapshot().expect("context");
        snapshot.observe = Some(Arc::new(Observe { capture: Some(Arc::clone(&tap)), connections: None }));
        let (rig, publisher) = Rig::new(snapshot);
        Self { rig, tap, _publisher: publisher }
    }

    /// What was told since the last call; the buffers go back.
    fn told(&self) -> Vec<(Facts, PortId, bool, Vec<u8>)> {
        let ring = &self.tap.rings()[0];
        let told = |seen: Box<Seen>| {
            let told = (seen.facts.expect("facts"), seen.port, seen.leaves, seen.bytes().to_vec());
            ring.recycle(seen);
            told
        };
        std::iter::from_fn(|| ring.pop()).map(told).collect()
    }

    /// The verdicts on frames that came in.
    fn verdicts(&self) -> Vec<Verdict> {
        let came = self.told().into_iter().filter(|(_, _, leaves, _)| !leaves);
        came.filter_map(|(facts, ..)| facts.verdict).collect()
    }
}

#[test]
fn every_vector_is_told_as_it_came_and_as_it_left() {
    for vector in VECTORS.iter() {
        let name = format!("{}/{}", vector.topic, vector.name);
        let mut captured = Captured::new(&vector.context, Filter::default());
        captured.rig.receive(vector.ingress.0, &vector.frame);
        captured.rig.poll();
        let found = outcome::Observer::default().outcomes(&captured.rig);
        assert!(found == [vector.expect.clone()], "{name}: watching changes nothing");
        let told = captured.told();
        let (facts, port, leaves, bytes) = &told[0];
        assert_eq!((*port, *leaves), (vector.ingress, false), "{name}");
        assert!(*bytes == vector.frame, "{name}: as it came in");
        assert_eq!(facts.generation, 1, "{name}");
        match (&vector.expect, facts.verdict) {
            (Expect::Forward { egress, frame }, Some(Verdict::Forward { .. } | Verdict::Reply(_))) => {
                let (facts, port, leaves, bytes) = &told[1];
                assert_eq!((*port, *leaves), (*egress, true), "{name}");
                assert!(bytes == frame, "{name}: as it left");
                assert_eq!(facts.backend.is_some(), facts.by.is_some(), "{name}");
            }
            (Expect::Punt { class, .. }, Some(Verdict::Punt(told))) => assert_eq!(*class, told, "{name}"),
            (Expect::Drop(reason), Some(Verdict::Drop(told))) => assert_eq!(*reason, told, "{name}"),
            (expect, told) => panic!("{name}: {expect:?}, but {told:?} was told"),
        }
    }
}

#[test]
fn what_is_not_looked_for_is_not_told() {
    let client = |text: &str| Some(Prefix::new(text.parse().unwrap(), 32));
    let vip = |id, address: &str| Some((VipId(id), Prefix::new(address.parse().unwrap(), 32)));
    let forwarded = Filter { vip: vip(0, "203.0.113.10"), ..Filter::default() };
    let cases = [
        (Filter::default(), 8),
        (forwarded.clone(), 2),
        (Filter { client: client("192.0.2.7"), ..Filter::default() }, 6),
        (Filter { client: client("192.0.2.8"), ..Filter::default() }, 1),
        (Filter { backend: Some(BackendId(2)), ..Filter::default() }, 2),
        (Filter { backend: Some(BackendId(9)), ..Filter::default() }, 0),
        (Filter { drop: Some(Dropped::Any), ..Filter::default() }, 4),
        (Filter { drop: Some(Dropped::For(DropReason::NoVip)), ..Filter::default() }, 1),
        (Filter { port: Some(PortId(1)), ..Filter::default() }, 1),
        (Filter { port: Some(PortId(0)), ..Filter::default() }, 7),
        (Filter { comes_in: false, ..Filter::default() }, 2),
        (Filter { leaves: false, ..Filter::default() }, 6),
        (Filter { comes_in: false, ..forwarded }, 1),
    ];
    for (filter, expected) in cases {
        let mut captured = Captured::new(context(), filter.clone());
        let no_service = Craft::tcp("192.0.2.7:1".parse().unwrap(), "203.0.113.10:81".parse().unwrap(), tcp::SYN);
        let of_other = Craft::udp("192.0.2.8:1".parse().unwrap(), "203.0.113.99:1".parse().unwrap());
        let mac = |craft: Craft| craft.macs(crate::rig::PORT_0, crate::rig::GATEWAY).frame();
        for frame in [syn(10_000, 10).frame(), syn(10_000, 11).frame(), mac(no_service), mac(of_other)] {
            captured.rig.receive(0, &frame);
        }
        // Its port is down: that shows after the decision.
        let down = Craft::tcp("192.0.2.7:5".parse().unwrap(), "203.0.113.20:1003".parse().unwrap(), tcp::SYN);
        captured.rig.receive(0, &mac(down));
        captured.rig.receive(0, &syn(10_000, 10).frame()[..30]);
        captured.rig.poll();
        let told = captured.told();
        assert_eq!(told.len(), expected, "{filter:?}: {told:?}");
        assert_eq!(captured.tap.rings()[0].lost.get(), 0);
    }
}

#[test]
fn a_drop_after_the_decision_is_told_as_one() {
    let mut captured = Captured::new(context(), Filter { drop: Some(Dropped::Any), ..Filter::default() });
    let down = Craft::tcp("192.0.2.7:5".parse().unwrap(), "203.0.113.20:1003".parse().unwrap(), tcp::SYN);
    captured.rig.receive(0, &down.macs(crate::rig::PORT_0, crate::rig::GATEWAY).frame());
    captured.rig.poll();
    assert_eq!(captured.verdicts(), [Verdict::Drop(DropReason::PortDown)]);
    for _ in 0..PuntClass::Icmp.depth() + 1 {
        let echo = Craft::icmp("192.0.2.7".parse().unwrap(), "10.0.0.1".parse().unwrap(), 8, 0, [0; 4]);
        captured.rig.receive(0, &echo.macs(crate::rig::PORT_0, crate::rig::GATEWAY).frame());
        captured.rig.poll();
    }
    let told = captured.verdicts();
    assert!(matches!(told[..], [Verdict::Drop(DropReason::PuntRate | DropReason::PuntFull), ..]), "{told:?}");
    assert_eq!(told.len() as u64, captured.rig.drops(DropReason::PuntRate) + captured.rig.drops(DropReason::PuntFull));
}

#[test]
fn fragments_are_told_when_they_wait_and_when_they_go() {
    let mut captured = Captured::new(context(), Filter::default());
    let fragment = |offset: u16, more: u16| {
        let packet = Craft::udp("192.0.2.7:40000".parse().unwrap(), "203.0.113.11:53".parse().unwrap());
        let packet = packet.identification(7).payload(&[1; 16]).macs(crate::rig::PORT_0, crate::rig::GATEWAY);
        packet.fragment(more | offset).frame()
    };
    captured.rig.receive(0, &fragment(8, 0));
    captured.rig.poll();
    assert_eq!(captured.verdicts(), [Verdict::Hold]);
    captured.rig.receive(0, &fragment(0, 0x2000));
    captured.rig.poll();
    let told: Vec<_> = captured.told().into_iter().map(|(facts, _, leaves, _)| (leaves, facts.backend)).collect();
    let to = Some(BackendId(2));
    assert_eq!(told, [(false, to), (true, to), (true, to)], "the first one, and then the one that waited");
    let mut waits = fragment(8, 0);
    waits[19] = 9;
    // Another identification, so nobody comes for it; the header's checksum follows (RFC 1624).
    let sum = u16::from_be_bytes([waits[24], waits[25]]) - 2;
    waits[24..26].copy_from_slice(&sum.to_be_bytes());
    captured.rig.receive(0, &waits);
    captured.rig.poll();
    captured.rig.poll_at(Nanos(2_000_000_000));
    let expired = Verdict::Drop(DropReason::FragmentExpired);
    assert_eq!(captured.verdicts(), [Verdict::Hold, expired]);
}

#[test]
fn packets_of_the_control_side_are_told_as_they_leave() {
    let mut captured = Captured::new(context(), Filter { backend: Some(BackendId(2)), ..Filter::default() });
    let probe = |index, backend| {
        let packet = MemoryPacket::new(&syn(1_026, 11).frame());
        Inject::ToBackend { packet, pool: PoolId(1), index, backend: BackendId(backend) }
    };
    let inject = |captured: &Captured, injection| {
        assert!(captured.rig.rings.inject.push(injection).is_ok());
    };
    inject(&captured, probe(0, 2));
    inject(&captured, Inject::Frame { packet: MemoryPacket::new(&[0; 60]), link: LinkId(0) });
    captured.rig.poll();
    let told = captured.told();
    assert_eq!(told.len(), 1);
    let (facts, port, leaves, bytes) = &told[0];
    assert!(facts.verdict.is_none() && *leaves && *port == PortId(1));
    assert_eq!(*bytes, captured.rig.sent(1)[0]);
}

#[test]
fn a_reader_that_is_slow_costs_frames_of_the_capture_and_no_packets() {
    const OFFERED: usize = 10 * BURST;
    let mut captured = Captured::with(context(), CaptureTap::new(Filter::default(), 1, 100, 64));
    for _ in 0..OFFERED / BURST {
        for _ in 0..BURST {
            captured.rig.receive(0, &syn(10_000, 11).payload(&[7; 500]).frame());
        }
        captured.rig.poll();
    }
    assert_eq!(captured.rig.sent(1).len(), OFFERED);
    let lost = captured.tap.rings()[0].lost.get();
    let told = captured.told();
    assert_eq!(told.len(), 100);
    assert_eq!(told.len() as u64 + lost, 2 * OFFERED as u64, "in and out, told or counted");
    assert!(told.iter().all(|(.., bytes)| bytes.len() == 64), "as much as there is room for");
    captured.rig.receive(0, &syn(10_000, 11).frame());
    captured.rig.poll();
    assert_eq!(captured.told().len(), 2, "buffers that came back are used again");
}

#[test]
fn in_and_out_of_a_packet_are_sampled_together() {
    let mut captured = Captured::new(context(), Filter { sample: 10, ..Filter::default() });
    let (mut came, mut left) = (0, 0);
    for _ in 0..2_000 {
        captured.rig.receive(0, &syn(10_000, 10).frame());
        captured.rig.poll();
        let told = captured.told();
        came += told.iter().filter(|(_, _, leaves, _)| !leaves).count();
        left += told.iter().filter(|(_, _, leaves, _)| *leaves).count();
    }
    assert_eq!(came, left);
    assert!((120..280).contains(&came), "{came} of 2000, one in ten");
}

/// A worker whose connections are logged.
fn logged(context: &Context, sample: u32, datagrams: u32, rate: u32) -> (Rig, Arc<ConnectionTap>, SnapshotPublisher) {
    let tap = Arc::new(ConnectionTap::new(sample, datagrams, rate, 1));
    let mut snapshot = context.snapshot().expect("context");
    snapshot.observe = Some(Arc::new(Observe { capture: None, connections: Some(Arc::clone(&tap)) }));
    let (rig, publisher) = Rig::new(snapshot);
    (rig, tap, publisher)
}

fn starts(tap: &ConnectionTap) -> Vec<Start> {
    std::iter::from_fn(|| tap.rings()[0].pop()).collect()
}

/// Receives in one burst what a queue may hold.
fn pass(rig: &mut Rig, frames: impl IntoIterator<Item = Vec<u8>>, now: Nanos) {
    frames.into_iter().for_each(|frame| rig.receive(0, &frame));
    while rig.poll_at(now) > 0 {}
}

const NOW: Nanos = Nanos(1_000_000_000);

#[test]
fn a_flow_is_told_by_its_syn_and_by_nothing_else() {
    let (mut rig, tap, _publisher) = logged(context(), 1, 0, 10_000);
    let of = |flags| {
        let destination = "203.0.113.10:80".parse().unwrap();
        let packet = Craft::tcp("192.0.2.7:40000".parse().unwrap(), destination, flags);
        packet.macs(crate::rig::PORT_0, crate::rig::GATEWAY)
    };
    let flags = [tcp::SYN, tcp::ACK, tcp::ACK | tcp::FIN, tcp::RST, tcp::SYN | tcp::ACK];
    pass(&mut rig, flags.map(|flags| of(flags).frame()), NOW);
    // With options in the IP header the usual form is left.
    pass(&mut rig, [of(tcp::SYN).options(&[1; 4]).frame(), of(tcp::ACK).options(&[1; 4]).frame()], NOW);
    let told = starts(&tap);
    let events: Vec<_> = told.iter().map(|start| (start.event, start.backend, start.by)).collect();
    assert_eq!(events, [(Event::Syn, BackendId(1), By::Slot); 2]);
    assert_eq!((told[0].flow.source_port(), told[0].flow.destination_port()), (40_000, 80));
    // Nobody takes these, so no flow begins.
    let nobody = [syn(1, 99).frame(), of(tcp::SYN).frame()[..40].to_vec()];
    pass(&mut rig, nobody, NOW);
    assert!(starts(&tap).is_empty());
}

#[test]
fn of_quic_initials_are_told_and_of_datagrams_one_in_so_many() {
    let quic: Vec<_> = VECTORS.iter().filter(|vector| vector.topic == "quic").collect();
    let (mut rig, tap, _publisher) = logged(&quic[0].context, 1, 0, 1_000_000);
    pass(&mut rig, quic.iter().map(|vector| vector.frame.clone()), NOW);
    let told = starts(&tap);
    assert!(!told.is_empty());
    assert!(told.iter().all(|start| start.event == Event::Initial), "what is no Initial begins nothing: {told:?}");
    let (mut rig, tap, _publisher) = logged(context(), 1, 4, 1_000_000);
    let datagram = || {
        let packet = Craft::udp("192.0.2.7:40000".parse().unwrap(), "203.0.113.10:53".parse().unwrap());
        packet.payload(b"\xc0\0\0\0\x01").macs(crate::rig::PORT_0, crate::rig::GATEWAY).frame()
    };
    for burst in 0..100 {
        pass(&mut rig, (0..20).map(|_| datagram()), NOW + std::time::Duration::from_millis(burst));
    }
    let told = starts(&tap);
    // What only looks like an Initial is a datagram as any other.
    assert!(told.iter().all(|start| start.event == Event::Datagram), "{told:?}");
    assert!((380..620).contains(&told.len()), "{} of 2000, one in four", told.len());
    let plain = Craft::udp("192.0.2.7:40000".parse().unwrap(), "203.0.113.10:53".parse().unwrap());
    let plain = plain.payload(b"query").macs(crate::rig::PORT_0, crate::rig::GATEWAY).frame();
    for burst in 0..100 {
        pass(&mut rig, (0..20).map(|_| plain.clone()), NOW + std::time::Duration::from_millis(100 + burst));
    }
    let count = starts(&tap).len();
    assert!((380..620).contains(&count), "{count} of 2000, one in four");
}

#[test]
fn a_flood_is_told_up_to_the_rate_and_the_rest_is_counted() {
    let (mut rig, tap, _publisher) = logged(context(), 1, 0, 1_000);
    let mut told = 0;
    for ms in 0..1_000 {
        pass(&mut rig, (0..10).map(|port| syn(10_000 + port, 10).frame()), Nanos(NOW.0 + ms * 1_000_000));
        told += starts(&tap).len() as u64;
    }
    assert!((1_000..=1_100).contains(&told), "{told}");
    assert_eq!(told + tap.rings()[0].limited.get(), 10_000);
    assert_eq!(tap.rings()[0].lost.get(), 0);
}

#[test]
fn a_log_that_is_not_read_loses_entries_and_no_packets() {
    const OFFERED: u64 = 8_000;
    let (mut rig, tap, _publisher) = logged(context(), 1, 0, 1_000_000);
    let mut sent = 0;
    for burst in 0..OFFERED / 40 {
        pass(&mut rig, (0..40).map(|port| syn(10_000 + port, 10).frame()), Nanos(NOW.0 + burst * 1_000_000));
        sent += rig.sent(0).len() as u64;
    }
    assert_eq!(sent, OFFERED);
    let told = starts(&tap).len() as u64;
    assert_eq!(told + tap.rings()[0].lost.get(), OFFERED);
    assert!(told < OFFERED);
}

#[test]
fn one_connection_of_so_many_is_told() {
    let (mut rig, tap, _publisher) = logged(context(), 8, 0, 1_000_000);
    for burst in 0..100 {
        pass(&mut rig, (0..40).map(|port| syn(10_000 + port, 10).frame()), Nanos(NOW.0 + burst * 1_000_000));
    }
    let count = starts(&tap).len();
    assert!((380..620).contains(&count), "{count} of 4000, one in eight");
}

#[test]
fn looking_begins_and_ends_with_a_snapshot() {
    let (mut rig, mut publisher) = Rig::new(context().snapshot().expect("context"));
    let tap = Arc::new(CaptureTap::new(Filter::default(), 1, FRAMES, 100));
    let told = |rig: &mut Rig| {
        rig.receive(0, &syn(10_000, 10).frame());
        rig.poll();
        std::iter::from_fn(|| tap.rings()[0].pop()).filter_map(|seen| seen.facts).map(|facts| facts.generation).last()
    };
    assert_eq!(told(&mut rig), None);
    let mut snapshot = context().snapshot().expect("context");
    snapshot.observe = Some(Arc::new(Observe { capture: Some(Arc::clone(&tap)), connections: None }));
    publisher.publish(snapshot);
    assert_eq!(told(&mut rig), Some(2));
    publisher.publish(context().snapshot().expect("context"));
    assert_eq!(told(&mut rig), None);
    publisher.reclaim();
    assert_eq!(Arc::strong_count(&tap), 1, "no worker holds it any more");
}
