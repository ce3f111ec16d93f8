//! What is not answered, and why.

use crate::frames::{GATEWAY, LINK, ME_TOO, SECOND, START, ask, hex, ip, links, mend, responder, vector};
use guideway_control::neighbor::Link;
use guideway_control::neighbor::wire::{self, Arp, MAX_MESSAGE, Operation};
use guideway_control::responder::{Reason, Responder, Verdict};
use guideway_dataplane::ids::LinkId;
use guideway_dataplane::memory::MemoryPacket;
use guideway_dataplane::port::Packet;
use guideway_dataplane::time::Nanos;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

const SOURCE: usize = 26;
const DESTINATION: usize = 30;

/// Asserts that the frame is ignored for that reason and left as it is.
fn ignored(frame: &[u8], reason: Reason, what: &str) {
    assert_eq!(ask(&mut responder(), LINK, frame), (Verdict::Ignored(reason), frame.to_vec()), "{what}");
}

fn altered(name: &str, alter: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut frame = vector(name).0;
    alter(&mut frame);
    mend(&mut frame);
    frame
}

fn who_has(target: &str) -> Vec<u8> {
    let IpAddr::V4(target) = ip(target) else { panic!() };
    let sender = Ipv4Addr::new(10, 0, 0, 254);
    let arp = Arp { operation: Operation::Request, sender_mac: GATEWAY, sender, target_mac: [0; 6], target };
    wire::write_arp(&mut [0; MAX_MESSAGE], wire::BROADCAST, &arp).to_vec()
}

#[test]
fn arp_is_answered_where_the_announcement_says() {
    let cases = [
        (LINK, "10.0.0.1", true),
        (SECOND, "10.0.0.1", false),
        (LINK, "10.0.0.100", true),
        (SECOND, "10.0.0.100", false),
        (LINK, "203.0.113.10", true),
        (SECOND, "203.0.113.10", true),
        (LINK, "203.0.113.11", false),
        (LINK, "10.0.0.101", false),
        (LINK, "10.0.0.7", false),
        (LINK, "10.0.0.254", false),
        (LinkId(7), "10.0.0.1", false),
    ];
    for (link, target, answered) in cases {
        let (verdict, frame) = ask(&mut responder(), link, &who_has(target));
        assert_eq!(verdict == Verdict::Reply, answered, "{target} on {link:?}");
        if answered {
            assert_eq!(frame[22..28], links()[link.index()].mac);
        } else {
            assert_eq!(verdict, Verdict::Ignored(Reason::NotOurs), "{target} on {link:?}");
        }
    }
}

#[test]
fn a_vip_that_nobody_announces_still_answers_echo() {
    for address in [[10, 0, 0, 101], [203, 0, 113, 11], [10, 1, 0, 1]] {
        let frame = altered("echo over ipv4", |f| f[DESTINATION..DESTINATION + 4].copy_from_slice(&address));
        assert_eq!(ask(&mut responder(), LINK, &frame).0, Verdict::Reply);
    }
}

#[test]
fn sources_that_are_no_single_host_get_no_answer() {
    let sources = [[224, 0, 0, 1], [255, 255, 255, 255], [0, 0, 0, 0], [127, 0, 0, 1], [240, 0, 0, 1], [10, 0, 0, 255]];
    let own = [[10, 0, 0, 1], [203, 0, 113, 10]];
    for name in ["echo over ipv4", "syn with data over ipv4", "udp over ipv4"] {
        for source in sources.iter().chain(&own) {
            let frame = altered(name, |f| f[SOURCE..SOURCE + 4].copy_from_slice(source));
            ignored(&frame, Reason::Refused, &format!("{name} from {source:?}"));
        }
    }
    let sources = ["ff02::1", "::", "::1", "fd00::1", "fd00::100"];
    for name in ["echo over ipv6", "syn over ipv6", "udp over ipv6"] {
        for source in sources {
            let IpAddr::V6(address) = ip(source) else { panic!() };
            let frame = altered(name, |f| f[22..38].copy_from_slice(&address.octets()));
            ignored(&frame, Reason::Refused, &format!("{name} from {source}"));
        }
    }
}

#[test]
fn the_far_end_of_a_subnet_of_two_is_a_host() {
    let mut responder = Responder::new();
    let link = Link { addresses: vec!["10.9.0.0/31".parse().unwrap()], ..links()[0].clone() };
    responder.configure(START, &[link], &[]);
    let frame = altered("echo over ipv4", |f| {
        f[SOURCE..SOURCE + 4].copy_from_slice(&[10, 9, 0, 1]);
        f[DESTINATION..DESTINATION + 4].copy_from_slice(&[10, 9, 0, 0]);
    });
    assert_eq!(ask(&mut responder, LINK, &frame).0, Verdict::Reply);
}

#[test]
fn group_and_foreign_destinations_get_no_answer() {
    for name in ["echo over ipv4", "syn with data over ipv4", "udp over ipv4"] {
        for address in [[224, 0, 0, 1], [255, 255, 255, 255], [10, 0, 0, 255], [10, 0, 0, 2], [198, 51, 100, 1]] {
            let frame = altered(name, |f| f[DESTINATION..DESTINATION + 4].copy_from_slice(&address));
            ignored(&frame, Reason::NotOurs, &format!("{name} to {address:?}"));
        }
        let frame = altered(name, |f| f[..6].fill(0xff));
        ignored(&frame, Reason::Refused, &format!("{name} to everybody's MAC"));
        let frame = altered(name, |f| f[6] |= 1);
        ignored(&frame, Reason::Refused, &format!("{name} from a group's MAC"));
    }
}

#[test]
fn fragments_get_no_answer() {
    for name in ["echo over ipv4", "syn with data over ipv4", "udp over ipv4"] {
        ignored(&altered(name, |f| f[20] = 0x20), Reason::Refused, &format!("{name}, first fragment"));
        ignored(&altered(name, |f| f[21] = 3), Reason::Refused, &format!("{name}, later fragment"));
    }
    let fragment = altered("echo over ipv6", |f| f[20] = 44);
    ignored(&fragment, Reason::Other, "IPv6 fragment header");
}

#[test]
fn wrong_checksums_and_lengths_get_no_answer() {
    let names = ["echo over ipv4", "echo over ipv6", "syn with data over ipv4", "udp over ipv4", "udp over ipv6"];
    for name in names {
        let mut frame = vector(name).0;
        let body = if frame[12] == 8 { 34 } else { 54 };
        frame[body + 4] ^= 1;
        ignored(&frame, Reason::Malformed, &format!("{name}, body"));
        for cut in [15, 30, body, body + 3] {
            ignored(&vector(name).0[..cut], Reason::Malformed, &format!("{name}, cut to {cut}"));
        }
    }
    let mut header = vector("echo over ipv4").0;
    header[22] += 1;
    ignored(&header, Reason::Malformed, "header checksum");
    let mut none = vector("udp over ipv6").0;
    none[60..62].fill(0);
    ignored(&none, Reason::Malformed, "UDP over IPv6 without a checksum");
    ignored(&altered("echo over ipv4", |f| f[14] = 0x44), Reason::Malformed, "header of 16 bytes");
    ignored(&altered("echo over ipv4", |f| f[14] = 0x55), Reason::Malformed, "version 5");
}

#[test]
fn udp_over_ipv4_may_do_without_a_checksum() {
    let mut frame = vector("udp over ipv4").0;
    frame[40..42].fill(0);
    assert_eq!(ask(&mut responder(), LINK, &frame).0, Verdict::Reply);
}

#[test]
fn what_is_no_question_gets_no_answer() {
    let reset = "0200000000010200000000fe0800450000280001000039064d94c63364070a0000019c40005100000005000000005004\
                 0000df0e0000000000000000";
    ignored(&hex(reset), Reason::Refused, "reset");
    ignored(&altered("echo over ipv4", |f| f[34] = 0), Reason::Other, "echo reply");
    ignored(&altered("echo over ipv4", |f| f[35] = 1), Reason::Other, "echo of code 1");
    ignored(&altered("echo over ipv4", |f| f[34] = 13), Reason::Other, "timestamp");
    ignored(&altered("echo over ipv6", |f| f[54] = 129), Reason::Other, "echo reply, IPv6");
    ignored(&altered("echo over ipv4", |f| f[23] = 132), Reason::Other, "SCTP");
    ignored(&vector("arp request for a VIP").1, Reason::Other, "our own ARP reply");
    ignored(&altered("solicitation of a VIP", |f| f[21] = 254), Reason::Malformed, "hop limit 254");
}

#[test]
fn connections_to_a_vip_are_not_ours_to_refuse() {
    for name in ["syn with data over ipv4", "udp over ipv4"] {
        let frame = altered(name, |f| f[DESTINATION..DESTINATION + 4].copy_from_slice(&[10, 0, 0, 100]));
        ignored(&frame, Reason::Other, name);
    }
}

#[test]
fn our_own_questions_that_come_back_get_no_answer() {
    let mut frame = who_has("10.0.0.1");
    frame[6..12].copy_from_slice(&ME_TOO);
    frame[22..28].copy_from_slice(&ME_TOO);
    ignored(&frame, Reason::Other, "the other link asks");
}

/// How many of `count` packets, evenly over `time`, are answered.
fn answered(responder: &mut Responder, frame: &[u8], start: Nanos, count: u32, time: Duration) -> u32 {
    let mut answered = 0;
    for i in 0..count {
        let now = start + time * i / count;
        let verdict = responder.handle(now, LINK, &mut MemoryPacket::new(frame));
        assert!(matches!(verdict, Verdict::Reply | Verdict::Ignored(Reason::Limited)));
        answered += u32::from(verdict == Verdict::Reply);
    }
    answered
}

#[test]
fn resets_and_unreachables_are_limited_each_on_its_own() {
    let mut responder = responder();
    let (syn, udp) = (vector("syn with data over ipv4").0, vector("udp over ipv4").0);
    assert_eq!(answered(&mut responder, &syn, START, 5_000, Duration::ZERO), 100);
    assert_eq!(answered(&mut responder, &udp, START, 5_000, Duration::ZERO), 100);
    let later = START + Duration::from_secs(1);
    let flood = answered(&mut responder, &syn, later, 20_000, Duration::from_secs(1));
    assert!((1_000..=1_101).contains(&flood), "{flood}");
    let (echo, reply) = vector("echo over ipv4");
    assert_eq!(ask(&mut responder, LINK, &echo), (Verdict::Reply, reply), "echo does not share the limit");
    assert_eq!(u64::from(flood) + 100, responder.counters().resets);
}

/// A packet whose buffer is full, or that has a second segment.
struct Tight {
    first: Vec<u8>,
    more: usize,
}

impl Packet for Tight {
    fn frame(&self) -> &[u8] {
        &self.first
    }
    fn frame_mut(&mut self) -> &mut [u8] {
        &mut self.first
    }
    fn total_len(&self) -> usize {
        self.first.len() + self.more
    }
    fn prepend(&mut self, _: usize) -> bool {
        false
    }
    fn trim_front(&mut self, _: usize) -> bool {
        false
    }
    fn resize(&mut self, len: usize) -> bool {
        let fits = len <= self.first.len() && self.more == 0;
        if fits {
            self.first.truncate(len);
        }
        fits
    }
}

#[test]
fn an_answer_without_room_is_counted() {
    let (question, _) = vector("unicast solicitation without option");
    let mut packet = Tight { first: question.clone(), more: 0 };
    let mut responder = responder();
    assert_eq!(responder.handle(START, LINK, &mut packet), Verdict::Ignored(Reason::NoRoom));
    assert_eq!(packet.first, question);
    assert_eq!((responder.counters().no_room, responder.counters().ndp), (1, 0));
    let (question, answer) = vector("echo over ipv6");
    let mut packet = Tight { first: question, more: 0 };
    assert_eq!(responder.handle(START, LINK, &mut packet), Verdict::Reply, "an echo needs no room");
    assert_eq!(packet.first, answer);
}

#[test]
fn a_packet_of_several_segments_is_refused() {
    let mut packet = Tight { first: vector("echo over ipv4").0, more: 100 };
    assert_eq!(responder().handle(START, LINK, &mut packet), Verdict::Ignored(Reason::Refused));
}
