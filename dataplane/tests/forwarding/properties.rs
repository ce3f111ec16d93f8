//! Properties of the whole walk: any mixture of frames is accounted for; a rewrite touches what it should.

use crate::reader;
use crate::rig::{GATEWAY, PORT_0, Rig, VECTORS, context, syn};
use etherparse::{NetSlice, SlicedPacket};
use guideway_dataplane::craft::{Craft, MIN_FRAME};
use guideway_dataplane::drop_reason::DropReason;
use guideway_dataplane::memory::{HEADROOM, MemoryPacket};
use guideway_dataplane::pipeline::{Arrival, Decision, Trace};
use guideway_dataplane::port::Packet;
use guideway_dataplane::select::Verdict;
use guideway_dataplane::time::Nanos;
use guideway_dataplane::wire::tcp;
use proptest::collection::vec;
use proptest::prelude::*;

/// A frame of a vector, the same with damage, or noise.
pub fn frame() -> impl Strategy<Value = Vec<u8>> {
    let valid = any::<prop::sample::Index>().prop_map(|index| index.get(&VECTORS).frame.clone());
    let damage = vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    let mutated = (valid.clone(), damage, any::<prop::sample::Index>(), any::<bool>());
    let mutated = mutated.prop_map(|(mut frame, damage, end, cut)| {
        for (place, byte) in damage {
            if !frame.is_empty() {
                let place = place.index(frame.len());
                frame[place] = byte;
            }
        }
        if cut {
            frame.truncate(end.index(frame.len() + 1));
        }
        frame
    });
    prop_oneof![3 => valid, 3 => mutated, 1 => vec(any::<u8>(), 0..200)]
}

/// Ports of the context.
const PORTS: u16 = 4;

/// Counts what a trace hears of by the port that it leaves by; an answer leaves by the port that its packet came by.
#[derive(Default)]
struct Forwards {
    by_port: [usize; PORTS as usize],
    answers: usize,
}

impl Trace for Forwards {
    const ENABLED: bool = true;

    fn decided<P: Packet>(&mut self, _: usize, decision: &Decision<'_>, _: Arrival<'_>, _: &P) {
        match decision.verdict {
            Verdict::Forward { egress, .. } => self.by_port[egress.index()] += 1,
            Verdict::Reply(_) => self.answers += 1,
            _ => {}
        }
    }
}

proptest! {
    #[test]
    fn any_mixture_is_accounted_for(polls in vec(vec((frame(), 0..PORTS), 0..150), 1..4)) {
        let (mut rig, _publisher) = Rig::new(context().snapshot().unwrap());
        let mut offered = 0;
        let mut forwards = Forwards::default();
        for (step, frames) in (1..).zip(polls) {
            for (frame, port) in &frames {
                rig.receive(*port, frame);
            }
            offered += frames.len() as u64;
            while rig.worker.poll(Nanos(step * 1_000_000), &mut forwards) > 0 {
                let (entered, left) = rig.counters.conservation();
                prop_assert_eq!(entered, left);
            }
        }
        prop_assert_eq!(rig.counters.received.packets.get(), offered);
        let sent: Vec<_> = (0..PORTS).map(|port| rig.sent(port).len()).collect();
        // Port 2 is down: what is meant for it is dropped on the way out.
        let [first, second, down, last] = forwards.by_port;
        prop_assert!(sent[0] >= first && sent[1] >= second && sent[2] == 0 && sent[3] >= last);
        let lost = rig.drops(DropReason::PortDown) as usize;
        prop_assert!(lost >= down);
        prop_assert_eq!(sent.iter().sum::<usize>() + lost, forwards.by_port.iter().sum::<usize>() + forwards.answers);
        prop_assert_eq!(rig.counters.told_too_big.get(), forwards.answers as u64);
        prop_assert_eq!(rig.counters.sent.packets.get(), sent.iter().sum::<usize>() as u64);
    }

    #[test]
    fn a_rewrite_keeps_the_inner_packet(
        payload in vec(any::<u8>(), 0..1_400),
        ipv6 in any::<bool>(),
        vip in 10_u8..13,
        udp in any::<bool>(),
        port in 1_u16..,
        traffic_class in any::<u8>(),
        flow_label in 0_u32..0x10_0000,
        padding in 0_usize..100,
    ) {
        let (source, destination) = if ipv6 {
            (format!("[2001:db8::7]:{port}"), format!("[2001:db8:10::{vip}]:{}", if udp { 53 } else { 80 }))
        } else {
            (format!("192.0.2.7:{port}"), format!("203.0.113.{vip}:{}", if udp { 53 } else { 80 }))
        };
        let (source, destination) = (source.parse().unwrap(), destination.parse().unwrap());
        let craft = if udp { Craft::udp(source, destination) } else { Craft::tcp(source, destination, tcp::ACK) };
        let craft = craft.macs(PORT_0, GATEWAY).payload(&payload).traffic_class(traffic_class).flow_label(flow_label);
        let inner = craft.ip_packet();
        let frame = craft.padded_to((14 + inner.len() + padding).max(MIN_FRAME)).frame();
        let (mut rig, _publisher) = Rig::new(context().snapshot().unwrap());
        rig.receive(0, &frame);
        rig.poll();
        prop_assert_eq!(rig.all_drops(), []);
        let sent = rig.sent(if vip == 10 { 0 } else { 1 }).pop().unwrap();
        prop_assert_eq!(reader::complaints(&sent), Vec::<String>::new());
        if vip == 10 {
            prop_assert_eq!(&sent[12..], &frame[12..]);
        } else {
            check_outer(&sent, &inner, traffic_class)?;
        }
    }
}

/// Every field of the outer headers, so that no byte of the buffer's filling can stand in one.
fn check_outer(sent: &[u8], inner: &[u8], traffic_class: u8) -> Result<(), TestCaseError> {
    prop_assert_eq!(&sent[..12], &[2, 0, 0, 0, 2, 0xfe, 2, 0, 0, 0, 0, 2]);
    let number = if inner[0] >> 4 == 4 { 4 } else { 41 };
    let packet = SlicedPacket::from_ethernet(sent).unwrap();
    let header_len = match packet.net.as_ref().unwrap() {
        NetSlice::Ipv4(ip) => {
            let header = ip.header();
            prop_assert_eq!((header.dcp().value(), header.ecn().value()), (traffic_class >> 2, traffic_class & 3));
            prop_assert_eq!((header.identification(), header.dont_fragment()), (0, true));
            prop_assert_eq!((header.more_fragments(), header.fragments_offset().value()), (false, 0));
            prop_assert_eq!((header.ttl(), header.protocol().0, header.ihl()), (64, number, 5));
            prop_assert_eq!(usize::from(header.total_len()), inner.len() + 20);
            prop_assert_eq!((header.source(), header.destination()), ([10, 0, 0, 1], [10, 0, 1, 12]));
            20
        }
        NetSlice::Ipv6(ip) => {
            let header = ip.header();
            prop_assert_eq!((header.traffic_class(), header.hop_limit()), (traffic_class, 64));
            prop_assert!(header.flow_label().value() <= 0xffff, "16 bits of entropy");
            prop_assert_eq!(header.next_header().0, number);
            prop_assert_eq!(usize::from(header.payload_length()), inner.len());
            prop_assert_eq!(header.source_addr().to_string(), "fd00::1");
            prop_assert_eq!(header.destination_addr().to_string(), "fd00:1::13");
            40
        }
        NetSlice::Arp(_) => return Err(TestCaseError::fail("an ARP packet")),
    };
    prop_assert_eq!(&sent[14 + header_len..], inner);
    Ok(())
}

#[test]
fn a_buffer_without_headroom_is_a_named_drop() {
    let frame = syn(10_000, 11).frame();
    for (vip, headroom, sent) in [(11, 19, 0), (11, 20, 1), (12, 39, 0), (12, 40, 1), (10, 0, 1)] {
        let (mut rig, _publisher) = Rig::new(context().snapshot().unwrap());
        let frame = if vip == 11 { frame.clone() } else { syn(10_000, vip).frame() };
        rig.rx[0].push(packet_with_headroom(&frame, headroom)).unwrap();
        rig.poll();
        assert_eq!((0..2).map(|port| rig.sent(port).len()).sum::<usize>(), sent, "{headroom} bytes before a frame");
        assert_eq!(rig.drops(DropReason::NoHeadroom), 1 - sent as u64);
    }
}

fn packet_with_headroom(frame: &[u8], headroom: usize) -> MemoryPacket {
    let mut packet = MemoryPacket::new(&[]);
    assert!(packet.prepend(HEADROOM - headroom) && packet.resize(frame.len()));
    packet.frame_mut().copy_from_slice(frame);
    packet
}
