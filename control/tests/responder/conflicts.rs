//! A second owner of one of our addresses.

use crate::frames::{GATEWAY, LINK, ME_TOO, SECOND, START, ip, links, responder, vips};
use guideway_control::neighbor::wire::{self, Arp, MAX_MESSAGE, Operation};
use guideway_control::responder::{Conflict, Reason, Responder, Verdict};
use guideway_dataplane::ids::LinkId;
use guideway_dataplane::memory::MemoryPacket;
use guideway_dataplane::time::Nanos;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

const THIEF: [u8; 6] = [2, 0, 0, 0, 0, 0x66];

fn arp(operation: Operation, sender: &str, target: &str, mac: [u8; 6]) -> Vec<u8> {
    let (IpAddr::V4(sender), IpAddr::V4(target)) = (ip(sender), ip(target)) else { panic!() };
    let arp = Arp { operation, sender_mac: mac, sender, target_mac: [0; 6], target };
    wire::write_arp(&mut [0; MAX_MESSAGE], wire::BROADCAST, &arp).to_vec()
}

fn v6(text: &str) -> Ipv6Addr {
    text.parse().unwrap()
}

fn advert(target: &str, mac: [u8; 6]) -> Vec<u8> {
    let all = (wire::group_mac(wire::ALL_NODES), wire::ALL_NODES);
    wire::write_advert(&mut [0; MAX_MESSAGE], mac, v6(target), all, false).to_vec()
}

fn solicit(source: &str, target: &str, mac: [u8; 6]) -> Vec<u8> {
    let destination = (wire::group_mac(v6(target)), wire::solicited_node(v6(target)));
    wire::write_solicit(&mut [0; MAX_MESSAGE], mac, v6(source), destination, v6(target)).to_vec()
}

fn handle(responder: &mut Responder, now: Nanos, link: LinkId, frame: &[u8]) -> (Verdict, Vec<Conflict>) {
    let verdict = responder.handle(now, link, &mut MemoryPacket::new(frame));
    (verdict, responder.conflicts().collect())
}

#[test]
fn every_kind_of_claim_is_reported_and_not_answered() {
    let claims = [
        ("10.0.0.1", arp(Operation::Request, "10.0.0.1", "10.0.0.1", THIEF)),
        ("10.0.0.1", arp(Operation::Reply, "10.0.0.1", "10.0.0.1", THIEF)),
        ("10.0.0.100", arp(Operation::Request, "10.0.0.100", "10.0.0.1", THIEF)),
        ("203.0.113.10", arp(Operation::Reply, "203.0.113.10", "10.0.0.9", THIEF)),
        ("fd00::1", advert("fd00::1", THIEF)),
        ("fd00::100", advert("fd00::100", THIEF)),
        ("fd00::100", solicit("fd00::100", "fd00::1", THIEF)),
    ];
    for (address, frame) in claims {
        let expected = Conflict { link: LINK, address: ip(address), mac: THIEF };
        let got = handle(&mut responder(), START, LINK, &frame);
        assert_eq!(got, (Verdict::Ignored(Reason::Conflict), vec![expected]), "{address}");
    }
}

#[test]
fn a_report_is_repeated_after_ten_seconds_for_each_address() {
    let mut responder = responder();
    let mut reports = [0, 0];
    for i in 0..400 {
        let now = START + Duration::from_millis(100) * i;
        let frame = arp(Operation::Reply, "10.0.0.1", "10.0.0.1", THIEF);
        reports[0] += handle(&mut responder, now, LINK, &frame).1.len();
        reports[1] += handle(&mut responder, now, LINK, &advert("fd00::1", THIEF)).1.len();
    }
    assert_eq!(reports, [4, 4]);
    assert_eq!(responder.counters().conflicts, 8);
}

#[test]
fn a_reload_does_not_repeat_a_report_and_a_clock_that_goes_back_does_not_silence_it() {
    let mut responder = responder();
    let frame = arp(Operation::Reply, "10.0.0.1", "10.0.0.1", THIEF);
    assert_eq!(handle(&mut responder, START, LINK, &frame).1.len(), 1);
    responder.configure(START, &links(), &vips());
    assert_eq!(handle(&mut responder, START, LINK, &frame).1.len(), 0);
    assert_eq!(handle(&mut responder, Nanos(5), LINK, &frame).1.len(), 1);
}

#[test]
fn a_solicitation_names_its_owner_by_its_option() {
    let mut frame = solicit("fd00::100", "fd00::1", THIEF);
    frame[6..12].copy_from_slice(&GATEWAY);
    assert_eq!(handle(&mut responder(), START, LINK, &frame).1[0].mac, THIEF);
}

#[test]
fn what_is_no_conflict_is_not_reported() {
    let frames = [
        (LINK, arp(Operation::Reply, "10.0.0.1", "10.0.0.1", ME_TOO)),
        (LINK, arp(Operation::Request, "10.0.0.254", "10.0.0.1", GATEWAY)),
        (LINK, arp(Operation::Request, "0.0.0.0", "10.0.0.1", GATEWAY)),
        (LINK, arp(Operation::Reply, "10.0.0.9", "10.0.0.1", THIEF)),
        (LINK, arp(Operation::Reply, "10.0.0.101", "10.0.0.101", THIEF)),
        (LINK, arp(Operation::Reply, "203.0.113.11", "203.0.113.11", THIEF)),
        (SECOND, arp(Operation::Reply, "10.0.0.100", "10.0.0.100", THIEF)),
        (LINK, advert("fd00::9", THIEF)),
        (LINK, solicit("fd00::9", "fd00::1", THIEF)),
    ];
    for (link, frame) in frames {
        assert_eq!(handle(&mut responder(), START, link, &frame).1, []);
    }
}

#[test]
fn reports_that_nobody_takes_do_not_pile_up() {
    let mut responder = responder();
    for i in 0..3_000 {
        let frame = arp(Operation::Reply, "10.0.0.1", "10.0.0.1", THIEF);
        responder.handle(START + Duration::from_secs(11) * i, LINK, &mut MemoryPacket::new(&frame));
    }
    assert_eq!(responder.counters().conflicts, 3_000);
    assert_eq!(responder.conflicts().count(), 1_024);
}
