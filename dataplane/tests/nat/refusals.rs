//! What is not translated, and what has no checksum.

use crate::rig::{Flow, check, hop, parsed, settings, translated};
use guideway_dataplane::drop_reason::DropReason;
use guideway_dataplane::memory::MemoryPacket;
use guideway_dataplane::nat::{Settings, forward, translate};
use guideway_dataplane::parse::Parsed;
use guideway_dataplane::port::Packet;
use guideway_dataplane::rewrite::fragment::fragments;
use guideway_dataplane::rewrite::{NextHop, Refusal};
use guideway_dataplane::wire::vlan::Tags;
use guideway_dataplane::wire::{checksum, ipv4};

const V4: [&str; 2] = ["192.0.2.7:40000", "203.0.113.10:80"];
const V6: [&str; 2] = ["[2001:db8::7]:40000", "[2001:db8:10::10]:80"];

fn flow(ends: [&str; 2], tcp: bool) -> Flow {
    Flow::new(ends[0], ends[1], tcp)
}

/// A frame whose header is summed up anew.
fn resummed(mut frame: Vec<u8>) -> Vec<u8> {
    let len = usize::from(frame[14] & 0xf) * 4;
    frame[24..26].fill(0);
    let sum = checksum::of(&frame[14..14 + len]);
    frame[24..26].copy_from_slice(&sum.to_be_bytes());
    frame
}

#[test]
fn the_last_hop_is_not_taken() {
    for (from, to) in [(V4, V4), (V4, V6), (V6, V4), (V6, V6)] {
        let frame = flow(from, true).craft().ttl(1).frame();
        let refused = translated(&frame, &parsed(&frame), &flow(to, true), &settings());
        assert_eq!(refused.unwrap_err(), DropReason::TtlExpired.into());
    }
}

#[test]
fn what_does_not_fit_is_told_in_the_senders_terms() {
    // 1,420 bytes of IPv4, 1,440 of IPv6.
    let payload = [7; 1_380];
    for (from, to, mtu, told) in
        [(V4, V4, 1_419, 1_419), (V4, V6, 1_439, 1_419), (V6, V4, 1_419, 1_439), (V6, V6, 1_439, 1_439)]
    {
        let frame = flow(from, true).craft().fragment(ipv4::DONT_FRAGMENT).payload(&payload).frame();
        let with = |mtu| translated(&frame, &parsed(&frame), &flow(to, true), &Settings { mtu, ..settings() });
        assert_eq!(with(mtu).unwrap_err(), Refusal::TooBig { mtu: told });
        check(&with(mtu + 1).unwrap().0, 0);
    }
    // A fragment grows by its header, too.
    let frame = flow(V4, false).craft().fragment(ipv4::MORE_FRAGMENTS | ipv4::DONT_FRAGMENT).payload(&payload).frame();
    let refused = translated(&frame, &parsed(&frame), &flow(V6, false), &Settings { mtu: 1_300, ..settings() });
    assert_eq!(refused.unwrap_err(), Refusal::TooBig { mtu: 1_272 });
    // That options are left out does not help the next packet.
    let frame = flow(V4, true).craft().fragment(ipv4::DONT_FRAGMENT).options(&[1; 8]).payload(&payload).frame();
    let refused = translated(&frame, &parsed(&frame), &flow(V6, true), &Settings { mtu: 1_300, ..settings() });
    assert_eq!(refused.unwrap_err(), Refusal::TooBig { mtu: 1_280 });
}

#[test]
fn a_packet_that_may_be_fragmented_is_to_be_split() {
    for to in [V4, V6] {
        let payload: Vec<_> = (0..1_400_u32).map(|i| i as u8).collect();
        let frame = flow(V4, true).craft().payload(&payload).frame();
        let mut packet = MemoryPacket::new(&frame);
        let hop = hop(900, Tags::customer(7));
        let applied = forward(&mut packet, &parsed(&frame), &flow(to, true).tuple(), &settings(), &hop).unwrap();
        let split = applied.split.unwrap();
        assert_eq!((split.ip_offset, split.mtu), (18, 900));
        let parts: Vec<_> = fragments(packet.frame(), split, 5).unwrap().collect();
        assert_eq!(parts.len(), 2);
        assert!(parts.iter().all(|part| part.header.len() - 18 + part.payload.len() <= 900));
        let data: Vec<_> = parts.iter().flat_map(|part| packet.frame()[part.payload.clone()].to_vec()).collect();
        assert_eq!(data[20..], payload);
    }
}

#[test]
fn udp_without_checksum_keeps_none_in_ipv4_and_gets_one_in_ipv6() {
    for payload in [&b"odd"[..], b"even", b"", &[0xff; 1_001]] {
        let mut frame = flow(V4, false).craft().payload(payload).frame();
        frame[40..42].fill(0);
        let to = Flow::new("10.0.0.1:7", "10.0.0.2:9", false);
        let (result, _) = translated(&frame, &parsed(&frame), &to, &settings()).unwrap();
        assert_eq!(
            (&result[26..34], &result[34..42]),
            (&[10, 0, 0, 1, 10, 0, 0, 2][..], &[0, 7, 0, 9, frame[38], frame[39], 0, 0][..])
        );
        assert_eq!(&result[42..], payload);
        let (result, _) = translated(&frame, &parsed(&frame), &flow(V6, false), &settings()).unwrap();
        check(&result, 0);
        assert_eq!(&result[62..], payload);
    }
}

/// A packet whose last bytes lie in another segment.
struct Two(MemoryPacket, Vec<u8>);

impl Packet for Two {
    fn frame(&self) -> &[u8] {
        self.0.frame()
    }
    fn frame_mut(&mut self) -> &mut [u8] {
        self.0.frame_mut()
    }
    fn total_len(&self) -> usize {
        self.0.total_len() + self.1.len()
    }
    fn prepend(&mut self, n: usize) -> bool {
        self.0.prepend(n)
    }
    fn trim_front(&mut self, n: usize) -> bool {
        self.0.trim_front(n)
    }
    fn resize(&mut self, _: usize) -> bool {
        false
    }
}

#[test]
fn segments_change_nothing_but_where_all_bytes_are_needed() {
    for (from, to) in [(V4, V4), (V4, V6), (V6, V4), (V6, V6)] {
        for tcp in [true, false] {
            let frame = flow(from, tcp).craft().payload(&[0x31; 400]).frame();
            let (head, tail) = frame.split_at(101);
            let mut packet = Two(MemoryPacket::new(head), tail.to_vec());
            translate(&mut packet, &parsed(&frame), &flow(to, tcp).tuple(), &settings()).unwrap();
            let (whole, _) = translated(&frame, &parsed(&frame), &flow(to, tcp), &settings()).unwrap();
            assert_eq!([packet.0.frame(), &packet.1].concat(), whole);
        }
    }
    let mut frame = flow(V4, false).craft().payload(&[0x31; 400]).frame();
    frame[40..42].fill(0);
    let mut packet = Two(MemoryPacket::new(&frame[..101]), frame[101..].to_vec());
    let refused = translate(&mut packet, &parsed(&frame), &flow(V6, false).tuple(), &settings());
    assert_eq!(refused.unwrap_err(), DropReason::NatUdpChecksum.into());
    assert_eq!(packet.frame(), &frame[..101]);
    // The first fragment has not all that the checksum covers.
    frame[20] = 0x20;
    let frame = resummed(frame);
    let refused = translated(&frame, &parsed(&frame), &flow(V6, false), &settings());
    assert_eq!(refused.unwrap_err(), DropReason::NatUdpChecksum.into());
}

#[test]
fn without_headroom_a_frame_stays_as_it_was() {
    let frame = flow(V4, true).craft().frame();
    let mut packet = MemoryPacket::new(&[]);
    assert!(packet.prepend(128 - 19) && packet.resize(frame.len()));
    packet.frame_mut().copy_from_slice(&frame);
    let refused = translate(&mut packet, &parsed(&frame), &flow(V6, true).tuple(), &settings());
    assert_eq!(refused.unwrap_err(), DropReason::NoHeadroom.into());
    assert_eq!(packet.frame(), frame);
}

#[test]
fn a_hop_that_is_not_known_gets_nothing() {
    let frame = flow(V4, true).craft().frame();
    let mut packet = MemoryPacket::new(&frame);
    let hop = NextHop { destination: None, ..hop(1_500, Tags::NONE) };
    let refused = forward(&mut packet, &parsed(&frame), &flow(V6, true).tuple(), &settings(), &hop);
    assert_eq!(refused.unwrap_err(), DropReason::UnresolvedNeighbor.into());
    assert_eq!(packet.frame(), frame);
}

#[test]
fn a_route_of_the_senders_own_is_refused_between_versions_until_it_is_over() {
    // Loose and strict, behind padding, of one address; the pointer is at it or behind it.
    for (kind, pointer, over) in [(131, 4, false), (137, 4, false), (131, 8, true), (7, 4, true)] {
        let options = [1, kind, 7, pointer, 10, 0, 0, 1];
        let frame = flow(V4, true).craft().options(&options).frame();
        let result = translated(&frame, &parsed(&frame), &flow(V6, true), &settings());
        assert_eq!(result.is_ok(), over, "{kind} {pointer}");
        let same = translated(&frame, &parsed(&frame), &Flow::new("10.0.0.1:7", "10.0.0.2:9", true), &settings());
        assert_eq!(&same.unwrap().0[34..42], &options);
    }
}

#[test]
fn ends_of_two_versions_and_other_protocols_are_refused() {
    let frame = flow(V4, true).craft().frame();
    let refused = |parsed: &Parsed, to: &Flow| translated(&frame, parsed, to, &settings()).unwrap_err();
    let mixed = Flow { source: V6[0].parse().unwrap(), ..flow(V4, true) };
    assert_eq!(refused(&parsed(&frame), &mixed), DropReason::NatUntranslatable.into());
    let gre = Parsed { protocol: 47, ..parsed(&frame) };
    assert_eq!(refused(&gre, &flow(V4, true)), DropReason::NatUntranslatable.into());
}
