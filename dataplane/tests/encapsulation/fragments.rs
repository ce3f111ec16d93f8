//! Outer packets in fragments: put together again, they are what was split.

use crate::naive::checksum;
use crate::packet::{Case, PORT, case, parsed};
use guideway_dataplane::hash::FlowHash;
use guideway_dataplane::memory::MemoryPacket;
use guideway_dataplane::port::Packet;
use guideway_dataplane::rewrite::fragment::fragments;
use guideway_dataplane::rewrite::{Encapsulation, Refusal, Split};
use guideway_dataplane::wire::ipv4;
use proptest::prelude::*;

/// The frames that a frame is sent as.
fn sent(frame: &[u8], split: Split, identification: u32) -> Vec<Vec<u8>> {
    let fragments = fragments(frame, split, identification).expect("fragments");
    fragments.map(|fragment| [&fragment.header, &frame[fragment.payload]].concat()).collect()
}

/// Reads the fragments of an IPv4 packet, checks their headers against the one of the whole, and joins their payload.
fn join_v4(whole: &[u8], frames: &[Vec<u8>], ip: usize, identification: u32) -> Result<Vec<u8>, TestCaseError> {
    let mut payload = Vec::new();
    for (number, frame) in frames.iter().enumerate() {
        let header = &frame[ip..ip + 20];
        prop_assert_eq!(&frame[..ip + 2], &whole[..ip + 2]);
        prop_assert_eq!(usize::from(u16::from_be_bytes([header[2], header[3]])), frame.len() - ip);
        prop_assert_eq!(u16::from_be_bytes([header[4], header[5]]), identification as u16);
        let fragment = u16::from_be_bytes([header[6], header[7]]);
        prop_assert_eq!(fragment & 0xc000, 0, "reserved and don't fragment");
        prop_assert_eq!(fragment & 0x2000 != 0, number + 1 < frames.len(), "more fragments");
        prop_assert_eq!(usize::from(fragment & 0x1fff) * 8, payload.len());
        prop_assert_eq!(checksum(&[header]), 0);
        prop_assert_eq!((&header[8..10], &header[12..]), (&whole[ip + 8..ip + 10], &whole[ip + 12..ip + 20]));
        payload.extend_from_slice(&frame[ip + 20..]);
    }
    Ok(payload)
}

/// The same for IPv6.
fn join_v6(whole: &[u8], frames: &[Vec<u8>], ip: usize, identification: u32) -> Result<Vec<u8>, TestCaseError> {
    let mut payload = Vec::new();
    for (number, frame) in frames.iter().enumerate() {
        let (header, fragment) = (&frame[ip..ip + 40], &frame[ip + 40..ip + 48]);
        prop_assert_eq!(&frame[..ip + 4], &whole[..ip + 4]);
        prop_assert_eq!(usize::from(u16::from_be_bytes([header[4], header[5]])), frame.len() - ip - 40);
        prop_assert_eq!((header[6], &header[7..]), (44, &whole[ip + 7..ip + 40]));
        prop_assert_eq!((fragment[0], fragment[1]), (whole[ip + 6], 0));
        let offset = u16::from_be_bytes([fragment[2], fragment[3]]);
        prop_assert_eq!((offset & 1 != 0, offset & 6), (number + 1 < frames.len(), 0));
        prop_assert_eq!(usize::from(offset & 0xfff8), payload.len());
        prop_assert_eq!(&fragment[4..], &identification.to_be_bytes());
        payload.extend_from_slice(&frame[ip + 48..]);
    }
    Ok(payload)
}

proptest! {
    #[test]
    fn fragments_join_to_what_was_split(case in case(), mtu in 68_u16..1_500, identification in any::<u32>()) {
        let case = Case { inner_v6: false, ..case };
        let (frame, parsed) = case.frame();
        let backend = case.backend(mtu, case.tunnel().fragment_outer(true));
        let mut packet = MemoryPacket::new(&frame);
        let applied = backend.apply(&mut packet, &parsed, FlowHash(u128::from(case.entropy) << 64)).unwrap();
        // In its whole length the frame is that of a link without such a limit.
        let whole = case.expected();
        prop_assert_eq!(packet.frame(), &whole);
        let ip = 14 + case.tags.len();
        let fits = whole.len() - ip <= usize::from(mtu);
        prop_assert_eq!(applied.split, (!fits).then_some(Split { ip_offset: ip as u16, mtu }));
        let Some(split) = applied.split else { return Ok(()) };
        let frames = sent(&whole, split, identification);
        prop_assert!(frames.len() > 1);
        let headers = if case.outer_v6 { 48 } else { 20 };
        for (number, frame) in frames.iter().enumerate() {
            let room = usize::from(mtu) - (frame.len() - ip);
            // All but the last are as long as they may be.
            prop_assert!(number + 1 == frames.len() || room < 8);
            prop_assert!(number + 1 == frames.len() || (frame.len() - ip - headers).is_multiple_of(8));
        }
        let (payload, header) = match case.outer_v6 {
            true => (join_v6(&whole, &frames, ip, identification)?, 40),
            false => (join_v4(&whole, &frames, ip, identification)?, 20),
        };
        prop_assert_eq!(payload, &whole[ip + header..]);
    }
}

#[test]
fn only_what_a_router_may_fragment_is_split() {
    let refused = Err(Refusal::TooBig { mtu: 380 });
    let apply = |case: &Case, fragment: u16, on: bool| {
        let (frame, parsed) = parsed(&case.craft().fragment(fragment));
        let mut packet = MemoryPacket::new(&frame);
        let backend = case.backend(400, case.tunnel().fragment_outer(on));
        let applied = backend.apply(&mut packet, &parsed, FlowHash(0));
        assert_eq!(applied.is_err(), packet.frame() == frame);
        applied.map(|applied| applied.split.is_some())
    };
    let v4 = Case::plain(Encapsulation::Ipip, false, false, &[1; 1_000]);
    let v6 = Case::plain(Encapsulation::Ipip, false, true, &[1; 1_000]);
    assert_eq!(apply(&v4, 0, true), Ok(true));
    assert_eq!(apply(&v4, ipv4::DONT_FRAGMENT, true), refused);
    assert_eq!(apply(&v4, 0, false), refused);
    assert_eq!(apply(&v6, 0, true), refused);
}

#[test]
fn a_packet_that_no_length_field_could_tell_is_refused() {
    let case = Case::plain(Encapsulation::Gre, true, false, &[1; 65_535 - 40 - 43]);
    let (frame, parsed) = case.frame();
    assert_eq!(parsed.ip_len, 65_535 - 43);
    let applied = case.backend(1_500, case.tunnel().fragment_outer(true)).apply(
        &mut MemoryPacket::new(&frame),
        &parsed,
        FlowHash(0),
    );
    assert_eq!(applied, Err(Refusal::TooBig { mtu: 1_456 }));
}

#[test]
fn what_is_no_such_frame_has_no_fragments() {
    let case = Case::plain(Encapsulation::Ipip, false, false, &[1; 100]);
    let frame = case.expected();
    let split = Split { ip_offset: 14, mtu: 68 };
    assert!(fragments(&frame, split, 0).is_some());
    assert!(fragments(&frame[..frame.len() - 1], split, 0).is_none(), "shorter than its length says");
    assert!(fragments(&frame, Split { mtu: 27, ..split }, 0).is_none(), "no room for 8 bytes");
    assert!(fragments(&frame, Split { ip_offset: 15, ..split }, 0).is_none(), "no EtherType there");
    assert!(fragments(&PORT, split, 0).is_none(), "no header");
}
