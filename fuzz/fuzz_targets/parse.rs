//! Any bytes, as a frame of one or several segments, against another parser.
#![no_main]

use guideway_dataplane::drop_reason::DropReason;
use guideway_dataplane::ids::LinkId;
use guideway_dataplane::parse::{Kind, Outcome, Parsed, parse};
use guideway_dataplane::snapshot::{PortState, VlanKey};
use guideway_fuzz::peer;
use libfuzzer_sys::fuzz_target;

/// A port of three VLANs, one of them stacked, as the one of the packet vectors.
fn port(any_destination: bool) -> PortState {
    let mut vlans: Vec<_> = [(None, 120), (None, 130), (Some(100), 120)]
        .into_iter()
        .zip(1..)
        .map(|((service, id), link)| (VlanKey::new(service, id), LinkId(link)))
        .collect();
    vlans.sort_unstable();
    PortState { any_destination, vlans, ..PortState::new([2, 0, 0, 0, 0, 1]) }
}

/// Whoever reads the first segment alone may find it too short, but never reads anything else.
fn compare(part: &Parsed, whole: &Parsed) {
    assert_eq!((part.ip_offset, part.ip_len), (whole.ip_offset, whole.ip_len));
    match (part.kind, whole.kind) {
        (Kind::Undecidable(_), Kind::IcmpError | Kind::Undecidable(_))
        | (Kind::IcmpError, Kind::Undecidable(DropReason::IcmpChecksum)) => {}
        (part_kind, whole_kind) => assert_eq!((part.key, part.flags, part_kind), (whole.key, whole.flags, whole_kind)),
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((first, frame)) = input.split_first_chunk::<2>() else { return };
    let port = port(first[1] & 0x80 != 0);
    let head = &frame[..usize::from(u16::from_le_bytes(*first) & 0x7fff).min(frame.len())];
    let whole = parse(frame, frame.len(), &port);
    if let Outcome::Packet(parsed) = &whole {
        assert!(usize::from(parsed.ip_offset) + usize::from(parsed.ip_len) <= frame.len());
        assert_eq!(peer::difference(parsed, frame), None);
    }
    match (parse(head, frame.len(), &port), whole) {
        (Outcome::Packet(part), Outcome::Packet(whole)) => compare(&part, &whole),
        (Outcome::Punt(part), Outcome::Punt(whole)) => assert_eq!(part, whole),
        (Outcome::Drop(_), _) => {}
        (part, whole) => panic!("the first segment says {part:?}, the whole frame {whole:?}"),
    }
});
