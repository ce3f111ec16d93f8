//! Any bytes, as a frame of one or several segments.
#![no_main]

use guideway_dataplane::parse::{Outcome, parse};
use guideway_dataplane::snapshot::PortState;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((first, frame)) = input.split_first_chunk::<2>() else { return };
    let port = PortState { mac: [2, 0, 0, 0, 0, 1], up: true, any_destination: first[1] & 0x80 != 0 };
    let head = &frame[..usize::from(u16::from_le_bytes(*first) & 0x7fff).min(frame.len())];
    let part = parse(head, frame.len(), &port);
    match (part, parse(frame, frame.len(), &port)) {
        (Outcome::Packet(part), Outcome::Packet(whole)) => {
            assert_eq!(part.key, whole.key);
            assert_eq!((part.ip_len, part.flags), (whole.ip_len, whole.flags));
            assert!(usize::from(whole.ip_offset) + usize::from(whole.ip_len) <= frame.len());
        }
        (Outcome::Punt(part), Outcome::Punt(whole)) => assert_eq!(part, whole),
        (Outcome::Drop(_), _) => {}
        (part, whole) => panic!("the first segment says {part:?}, the whole frame {whole:?}"),
    }
});
