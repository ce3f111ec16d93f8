//! Every answer byte for byte.

use crate::frames::{GATEWAY, LINK, ME, START, ask, is_sound, responder, vector, vectors};
use guideway_control::neighbor::wire::MIN_FRAME;
use guideway_control::responder::Verdict;
use guideway_dataplane::memory::MemoryPacket;
use guideway_dataplane::port::Packet;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{Icmpv4Packet, Icmpv4Repr, Icmpv6Packet, Icmpv6Repr, Ipv4Packet, Ipv6Packet};

#[test]
fn every_vector_is_answered_as_written() {
    let vectors = vectors();
    assert_eq!(vectors.len(), 13);
    for (name, question, answer) in vectors {
        assert_eq!(ask(&mut responder(), LINK, &question), (Verdict::Reply, answer), "{name}");
    }
}

#[test]
fn every_answer_is_counted() {
    let mut responder = responder();
    for (_, question, _) in vectors() {
        ask(&mut responder, LINK, &question);
    }
    let counters = responder.counters();
    let answers = [counters.arp, counters.ndp, counters.echo, counters.resets, counters.unreachables];
    assert_eq!(answers, [2, 3, 3, 3, 2]);
}

#[test]
fn an_echo_is_answered_in_place_without_a_packet() {
    let mut responder = responder();
    for name in ["echo over ipv4", "echo to a VIP with ipv4 options", "echo over ipv6"] {
        let (mut frame, answer) = vector(name);
        assert!(responder.answer_echo(&mut frame), "{name}");
        assert_eq!(frame, answer, "{name}");
        assert!(!responder.answer_echo(&mut frame), "a reply is not answered: {name}");
        assert_eq!(frame, answer, "{name}");
    }
}

#[test]
fn every_checksum_that_an_echo_can_have_stays_right() {
    // The last two bytes of the payload run through all values, so the checksum does, 0 and 0xffff among them.
    for name in ["echo over ipv4", "echo over ipv6"] {
        let (question, _) = vector(name);
        let mut responder = responder();
        for value in 0..=u16::MAX {
            let mut frame = question.clone();
            let at = frame.len() - 3;
            frame[at..at + 2].copy_from_slice(&value.to_be_bytes());
            crate::frames::mend(&mut frame);
            assert!(responder.answer_echo(&mut frame), "{name} {value}");
            assert!(is_sound(&frame), "{name} {value}");
        }
    }
}

#[test]
fn every_ttl_leads_to_a_right_header() {
    let (question, _) = vector("echo over ipv4");
    for ttl in 0..=255 {
        let mut frame = question.clone();
        frame[22] = ttl;
        crate::frames::mend(&mut frame);
        assert!(responder().answer_echo(&mut frame));
        assert!(is_sound(&frame) && frame[22] == 64, "{ttl}");
    }
}

#[test]
fn padding_of_an_echo_does_not_matter() {
    let (mut frame, answer) = vector("echo over ipv4");
    frame.extend([0x77; 5]);
    let (verdict, bytes) = ask(&mut responder(), LINK, &frame);
    assert_eq!(verdict, Verdict::Reply);
    assert_eq!(bytes[..answer.len()], answer);
}

#[test]
fn an_answer_goes_to_the_option_of_a_solicitation_not_to_its_frame() {
    let (mut question, answer) = vector("solicitation of a VIP");
    question[6..12].copy_from_slice(&[2, 0, 0, 0, 0, 0x77]);
    assert_eq!(ask(&mut responder(), LINK, &question), (Verdict::Reply, answer));
}

#[test]
fn a_long_datagram_is_quoted_as_far_as_the_rules_allow() {
    for (name, most) in [("udp over ipv4", 576), ("udp over ipv6", 1_280)] {
        let (mut question, _) = vector(name);
        let v6 = most == 1_280;
        let header = if v6 { 40 } else { 20 };
        question.truncate(14 + header + 8);
        question.resize(14 + header + 1_408, 0x5a);
        let length = if v6 { 1_408_u16 } else { 1_428 };
        let at = if v6 { 18 } else { 16 };
        question[at..at + 2].copy_from_slice(&length.to_be_bytes());
        question[14 + header + 4..][..2].copy_from_slice(&1_408_u16.to_be_bytes());
        crate::frames::mend(&mut question);
        let (verdict, answer) = ask(&mut responder(), LINK, &question);
        assert_eq!(verdict, Verdict::Reply, "{name}");
        assert_eq!(answer.len(), 14 + most, "{name}");
        assert_eq!(answer[14 + header + 8..], question[14..][..most - header - 8], "{name}");
        assert!(is_sound(&answer), "{name}");
        assert_eq!((&answer[..6], &answer[6..12]), (&GATEWAY[..], &ME[..]));
    }
}

#[test]
fn smoltcp_reads_the_answers_too() {
    let all = ChecksumCapabilities::default();
    let (_, answer) = ask(&mut responder(), LINK, &vector("echo over ipv4").0);
    let packet = Ipv4Packet::new_checked(&answer[14..]).unwrap();
    assert!(packet.verify_checksum());
    let icmp = Icmpv4Packet::new_checked(packet.payload()).unwrap();
    assert!(matches!(Icmpv4Repr::parse(&icmp, &all), Ok(Icmpv4Repr::EchoReply { ident: 0xbeef, seq_no: 7, .. })));
    for name in ["echo over ipv6", "udp over ipv6", "duplicate check"] {
        let (_, answer) = ask(&mut responder(), LINK, &vector(name).0);
        let packet = Ipv6Packet::new_checked(&answer[14..]).unwrap();
        let icmp = Icmpv6Packet::new_checked(packet.payload()).unwrap();
        let repr = Icmpv6Repr::parse(&packet.src_addr(), &packet.dst_addr(), &icmp, &all);
        assert!(repr.is_ok(), "{name}");
    }
}

#[test]
fn an_answer_longer_than_its_question_grows_the_packet() {
    let (question, answer) = vector("unicast solicitation without option");
    assert!(question.len() < answer.len() && question.len() >= MIN_FRAME);
    let mut packet = MemoryPacket::new(&question);
    assert_eq!(responder().handle(START, LINK, &mut packet), Verdict::Reply);
    assert_eq!(packet.frame(), answer);
}
