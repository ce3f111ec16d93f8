//! Packets that the control side hands to a worker.

use crate::rig::{GATEWAY, PORT_0, Rig, context, syn};
use guideway_dataplane::craft::Craft;
use guideway_dataplane::drop_reason::DropReason;
use guideway_dataplane::ids::{BackendId, LinkId, PoolId, PortId};
use guideway_dataplane::memory::MemoryPacket;
use guideway_dataplane::punt::Inject;
use guideway_dataplane::wire::tcp;

/// Pools of the context by name, for [`Inject::ToBackend`].
fn pool(name: &str) -> PoolId {
    PoolId(context().pools.iter().position(|pool| pool.name == name).unwrap() as u16)
}

fn inject(rig: &Rig, injection: Inject<MemoryPacket>) {
    rig.rings.inject.push(injection).expect("room in the ring");
}

fn to_backend(frame: &[u8], pool: PoolId, index: u16, backend: u16) -> Inject<MemoryPacket> {
    Inject::ToBackend { packet: MemoryPacket::new(frame), pool, index, backend: BackendId(backend) }
}

#[test]
fn a_finished_frame_leaves_as_it_is() {
    let (mut rig, _publisher) = Rig::new(context().snapshot().unwrap());
    inject(&rig, Inject::Finished { packet: MemoryPacket::new(b"any bytes at all"), port: PortId(1) });
    assert_eq!(rig.poll(), 1);
    assert_eq!(rig.sent(1), [b"any bytes at all".to_vec()]);
    assert_eq!((rig.counters.injected.get(), rig.counters.sent.packets.get()), (1, 1));
    assert_eq!(rig.counters.received.packets.get(), 0);
}

#[test]
fn a_frame_for_a_port_that_cannot_send_it_is_a_named_drop() {
    let (mut rig, _publisher) = Rig::new(context().snapshot().unwrap());
    for port in [2, 4, 2, u16::MAX] {
        inject(&rig, Inject::Finished { packet: MemoryPacket::new(&[0; 60]), port: PortId(port) });
    }
    rig.poll();
    assert_eq!(rig.all_drops(), [(DropReason::PortDown, 2), (DropReason::StaleInjection, 2)]);
}

#[test]
fn a_probe_takes_the_way_of_traffic() {
    for (name, vip, backend) in [("l2dsr", 10, 1), ("ipip4", 11, 2), ("ipip6", 12, 3)] {
        for family in [4, 6] {
            let (mut rig, _publisher) = Rig::new(context().snapshot().unwrap());
            let probe = probe(family, vip);
            rig.receive(0, &probe.clone().macs(PORT_0, GATEWAY).frame());
            rig.poll();
            let traffic: Vec<_> = (0..3).flat_map(|port| rig.sent(port)).collect();
            // Whatever stands in the Ethernet addresses, a group address included.
            for destination in [[0; 6], [0xff; 6], [0x33, 0x33, 0, 0, 0, 1]] {
                inject(&rig, to_backend(&probe.clone().macs(destination, [0xee; 6]).frame(), pool(name), 0, backend));
                rig.poll();
                let probed: Vec<_> = (0..3).flat_map(|port| rig.sent(port)).collect();
                assert_eq!(probed, traffic, "{name}, IPv{family}");
                assert_eq!(probed.len(), 1);
            }
        }
    }
}

/// A SYN from the own address to a VIP.
fn probe(family: u8, vip: u8) -> Craft {
    let (source, destination) = match family {
        4 => ("10.0.0.1:1025".to_owned(), format!("203.0.113.{vip}:80")),
        _ => ("[fd00::1]:1025".to_owned(), format!("[2001:db8:10::{vip}]:80")),
    };
    Craft::tcp(source.parse().unwrap(), destination.parse().unwrap(), tcp::SYN)
}

#[test]
fn probes_count_for_no_vip() {
    let (mut rig, _publisher) = Rig::new(context().snapshot().unwrap());
    inject(&rig, to_backend(&probe(4, 10).frame(), pool("l2dsr"), 0, 1));
    rig.poll();
    assert_eq!(rig.sent(0).len(), 1);
    assert_eq!(rig.counters.backend(BackendId(1)).unwrap().packets.get(), 0);
}

#[test]
fn a_backend_that_is_gone_is_a_named_drop() {
    let (mut rig, _publisher) = Rig::new(context().snapshot().unwrap());
    let frame = probe(4, 10).frame();
    let stale = [
        to_backend(&frame, pool("l2dsr"), 0, 2),
        to_backend(&frame, pool("l2dsr"), 1, 1),
        to_backend(&frame, pool("empty"), 0, 1),
        to_backend(&frame, PoolId(u16::MAX), 0, 1),
    ];
    let count = stale.len() as u64;
    for injection in stale {
        inject(&rig, injection);
    }
    rig.poll();
    assert_eq!(rig.all_drops(), [(DropReason::StaleInjection, count)]);
}

#[test]
fn what_is_no_packet_goes_to_no_backend() {
    let (mut rig, _publisher) = Rig::new(context().snapshot().unwrap());
    let frame = probe(4, 10).frame();
    for len in [0, 5, 14, 33, frame.len() - 1] {
        inject(&rig, to_backend(&frame[..len], pool("ipip4"), 0, 2));
    }
    rig.poll();
    assert_eq!(rig.all_drops(), [(DropReason::StaleInjection, 5)]);
}

#[test]
fn the_reason_of_a_probe_that_cannot_leave_is_that_of_traffic() {
    let (mut rig, _publisher) = Rig::new(context().snapshot().unwrap());
    inject(&rig, to_backend(&probe(4, 20).frame(), pool("unresolved"), 0, 4));
    inject(&rig, to_backend(&probe(4, 20).frame(), pool("behind-a-port-that-is-down"), 0, 5));
    rig.poll();
    assert_eq!(rig.all_drops(), [(DropReason::UnresolvedNeighbor, 1), (DropReason::PortDown, 1)]);
}

#[test]
fn traffic_goes_on_beside_a_full_ring_of_injections() {
    let (mut rig, _publisher) = Rig::new(context().snapshot().unwrap());
    for _ in 0..1_000 {
        inject(&rig, Inject::Frame { packet: MemoryPacket::new(&[0; 60]), link: LinkId(1) });
    }
    for flow in 0..10 {
        rig.receive(0, &syn(10_000 + flow, 10).frame());
    }
    let handled = rig.poll();
    assert_eq!(rig.sent(0).len(), 10);
    assert!(handled < 1_000, "one poll does not send them all: {handled}");
    while rig.poll() > 0 {}
    assert_eq!(rig.sent(1).len(), 1_000);
}
