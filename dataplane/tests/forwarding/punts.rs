//! Bounds of what goes to the control side.

use crate::rig::{GATEWAY, PORT_0, Rig, context};
use guideway_dataplane::craft::{Craft, arp};
use guideway_dataplane::drop_reason::DropReason;
use guideway_dataplane::port::BURST;
use guideway_dataplane::punt::PuntClass;
use guideway_dataplane::time::Nanos;
use guideway_dataplane::wire::arp::{ArpPacket, REQUEST};
use guideway_dataplane::wire::{icmp, tcp};
use std::time::Duration;

const START: Nanos = Nanos(1_000_000_000);

/// The port that a class is flooded by: only one has an exception path.
fn port_of(class: PuntClass) -> u16 {
    if class == PuntClass::Exception { 3 } else { 0 }
}

/// A frame of each class, for that port.
fn frame_of(class: PuntClass) -> Vec<u8> {
    let vip = |port: u16| format!("203.0.113.10:{port}").parse().unwrap();
    let own = |port: u16| format!("10.0.0.1:{port}").parse().unwrap();
    let packet = match class {
        PuntClass::Probe => Craft::tcp(vip(80), own(1_025), tcp::SYN | tcp::ACK),
        PuntClass::Bgp => Craft::tcp(vip(40_000), own(179), tcp::SYN),
        PuntClass::Icmp => Craft::icmp(vip(0).ip(), own(0).ip(), icmp::V4_ECHO_REQUEST, 0, [0; 4]),
        PuntClass::Other => Craft::udp(vip(40_000), own(9)),
        PuntClass::Exception => Craft::udp(vip(40_000), "198.51.100.1:9".parse().unwrap()),
        PuntClass::Neighbor => {
            let request = ArpPacket {
                hardware_type: 1.into(),
                protocol_type: 0x0800.into(),
                hardware_len: 6,
                protocol_len: 4,
                operation: REQUEST.into(),
                sender_mac: GATEWAY,
                sender_address: [10, 0, 0, 254],
                target_mac: [0; 6],
                target_address: [10, 0, 0, 1],
            };
            return arp([0xff; 6], GATEWAY, &request);
        }
    };
    let mac = if port_of(class) == 0 { PORT_0 } else { [2, 0, 0, 0, 0, 4] };
    packet.macs(mac, GATEWAY).frame()
}

/// Receives `count` copies at one moment, in as many bursts as that takes.
fn flood(rig: &mut Rig, class: PuntClass, count: usize, now: Nanos) {
    let frame = frame_of(class);
    for start in (0..count).step_by(BURST) {
        for _ in start..count.min(start + BURST) {
            rig.receive(port_of(class), &frame);
        }
        rig.poll_at(now);
    }
}

#[test]
fn a_class_is_limited_to_its_rate() {
    for class in PuntClass::ALL {
        let (mut rig, _publisher) = Rig::new(context().snapshot().unwrap());
        let mut punted = 0;
        // Twice the rate for so many milliseconds, the ring emptied all the while.
        let per_milli = class.rate() / 1_000;
        let millis = (10_000 / per_milli).clamp(20, 100);
        for milli in 0..millis {
            let now = START + Duration::from_millis(milli.into());
            flood(&mut rig, class, 2 * per_milli as usize, now);
            punted += rig.punted(class).len() as u32;
        }
        let (rate, burst) = (per_milli * millis, class.rate() / 100 + 32);
        assert!((rate..=rate + burst).contains(&punted), "{}: {punted} punted at {rate}", class.label());
        assert_eq!(rig.counters.punted[class as usize].get(), u64::from(punted));
        let dropped = rig.drops(DropReason::PuntRate);
        assert_eq!(u64::from(punted) + dropped, rig.counters.received.packets.get(), "{}", class.label());
    }
}

#[test]
fn a_full_ring_drops_and_says_so() {
    let (mut rig, _publisher) = Rig::new(context().snapshot().unwrap());
    let depth = PuntClass::Probe.depth();
    flood(&mut rig, PuntClass::Probe, depth + 100, START);
    assert_eq!(rig.all_drops(), [(DropReason::PuntFull, 100)]);
    assert_eq!(rig.punted(PuntClass::Probe).len(), depth);
    flood(&mut rig, PuntClass::Probe, 1, START);
    assert_eq!(rig.punted(PuntClass::Probe).len(), 1, "room again");
}

#[test]
fn a_flood_of_any_class_costs_no_other_class_its_place() {
    for flooding in PuntClass::ALL {
        let (mut rig, _publisher) = Rig::new(context().snapshot().unwrap());
        // Nobody empties the rings: the flooding class has filled its own or used up its rate.
        flood(&mut rig, flooding, 20_000, START);
        let lost = rig.counters.dropped();
        assert!(lost > 0, "{}", flooding.label());
        for other in PuntClass::ALL.into_iter().filter(|other| *other != flooding) {
            for class in [flooding, other, flooding] {
                rig.receive(port_of(class), &frame_of(class));
            }
            rig.poll_at(START);
            assert_eq!(rig.punted(other).len(), 1, "{} beside a flood of {}", other.label(), flooding.label());
        }
    }
}

#[test]
fn a_punt_says_when_and_where_it_came_in() {
    let (mut rig, _publisher) = Rig::new(context().snapshot().unwrap());
    let mut frame = frame_of(PuntClass::Probe);
    frame[..6].copy_from_slice(&[2, 0, 0, 0, 0, 2]);
    rig.receive(1, &frame);
    rig.poll_at(Nanos(77));
    let punt = rig.rings.punts.ring(PuntClass::Probe).pop().unwrap();
    assert_eq!((punt.link.0, punt.received), (1, Nanos(77)));
}
