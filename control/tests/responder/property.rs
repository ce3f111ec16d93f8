//! Whatever arrives: no panic, no answer for a foreign address, every answer sound.

use crate::frames::{LINK, ask, ip, is_sound, mend, responder, vectors};
use guideway_control::neighbor::wire::{self, Message};
use guideway_control::responder::Verdict;
use proptest::prelude::*;
use std::net::{IpAddr, Ipv6Addr};

fn v6(bytes: &[u8]) -> IpAddr {
    IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).unwrap()))
}

fn v4(bytes: &[u8]) -> IpAddr {
    IpAddr::from(<[u8; 4]>::try_from(bytes).unwrap())
}

/// What ARP and NDP answer for on the first link.
fn announced() -> Vec<IpAddr> {
    ["10.0.0.1", "10.0.0.100", "203.0.113.10", "fd00::1", "fd00::100"].map(ip).to_vec()
}

/// What echo answers for.
fn ours() -> Vec<IpAddr> {
    let mut ours = announced();
    ours.extend(["10.1.0.1", "10.0.0.101", "203.0.113.11"].map(ip));
    ours
}

/// Checks an answer to `question`, whatever it is.
fn check(question: &[u8], answer: &[u8]) {
    assert!(answer.len() >= 42);
    match wire::parse(answer) {
        Ok(Message::Arp(arp)) => {
            assert!(announced().contains(&IpAddr::V4(arp.sender)));
            assert_eq!(v4(&question[38..42]), IpAddr::V4(arp.sender));
            assert_eq!(answer[..6], question[22..28]);
        }
        Ok(Message::Advert(advert)) => {
            assert!(announced().contains(&IpAddr::V6(advert.target)));
            assert_eq!(v6(&question[62..78]), IpAddr::V6(advert.target));
        }
        Ok(Message::Solicit(_)) => panic!("a question is no answer"),
        Err(_) => {
            let four = answer[12..14] == [8, 0];
            let source = if four { v4(&answer[26..30]) } else { v6(&answer[22..38]) };
            let asked = if four { v4(&question[30..34]) } else { v6(&question[38..54]) };
            assert!(ours().contains(&source), "{source}");
            assert_eq!(source, asked);
            assert_eq!((&answer[..6], &answer[6..12]), (&question[6..12], &question[..6]));
            assert!(is_sound(answer));
        }
    }
}

fn try_frame(frame: &[u8]) -> Verdict {
    let (verdict, answer) = ask(&mut responder(), LINK, frame);
    if verdict == Verdict::Reply {
        check(frame, &answer);
    } else {
        assert_eq!(answer, frame, "an ignored packet stays as it is");
    }
    verdict
}

fn some_address_v4() -> impl Strategy<Value = [u8; 4]> {
    let listed = prop::sample::select(vec![
        [10, 0, 0, 1],
        [10, 0, 0, 100],
        [10, 0, 0, 101],
        [203, 0, 113, 10],
        [203, 0, 113, 11],
        [10, 1, 0, 1],
        [10, 0, 0, 255],
    ]);
    prop_oneof![listed, any::<[u8; 4]>()]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn any_bytes_are_survived(frame in prop::collection::vec(any::<u8>(), 0..200)) {
        try_frame(&frame);
    }

    #[test]
    fn damaged_questions_are_survived(
        which in 0_usize..13,
        damage in prop::collection::vec((0_usize..120, any::<u8>()), 0..4),
        length in 0_usize..160,
        mended in any::<bool>(),
    ) {
        let mut frame = vectors().swap_remove(which).1;
        for (at, byte) in damage {
            if let Some(place) = frame.get_mut(at) {
                *place = byte;
            }
        }
        // Mending needs a packet whose lengths are those of the vector.
        let ip = |frame: &[u8]| frame[12..14] == [8, 0] || frame[12..14] == [0x86, 0xdd];
        let original = vectors().swap_remove(which).1;
        if mended && ip(&original) {
            frame[12..20].copy_from_slice(&original[12..20]);
            frame[20] = original[20];
            frame[23] = original[23];
            mend(&mut frame);
        }
        frame.truncate(length);
        try_frame(&frame);
    }

    #[test]
    fn echo_is_answered_for_our_addresses_and_no_others(destination in some_address_v4()) {
        let mut frame = vectors().into_iter().find(|vector| vector.0 == "echo over ipv4").unwrap().1;
        frame[30..34].copy_from_slice(&destination);
        mend(&mut frame);
        let answered = try_frame(&frame) == Verdict::Reply;
        prop_assert_eq!(answered, ours().contains(&IpAddr::from(destination)));
    }

    #[test]
    fn arp_is_answered_for_what_is_announced_and_no_others(target in some_address_v4()) {
        let mut frame = vectors().into_iter().find(|vector| vector.0 == "arp request for a VIP").unwrap().1;
        frame[38..42].copy_from_slice(&target);
        let answered = try_frame(&frame) == Verdict::Reply;
        prop_assert_eq!(answered, announced().contains(&IpAddr::from(target)));
    }
}
