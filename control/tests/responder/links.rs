//! Several links of one port: each answers for its own addresses and no others.

use crate::frames::{GATEWAY, LINK, ME, START, ask, ip, net};
use guideway_config::model::Announce;
use guideway_control::neighbor::Link;
use guideway_control::neighbor::wire::{self, Arp, MAX_MESSAGE, Message, Operation};
use guideway_control::responder::{Conflict, Reason, Responder, Verdict};
use guideway_dataplane::ids::LinkId;
use std::net::IpAddr;
use std::time::Duration;

const VLAN: LinkId = LinkId(2);

/// The untagged link and a VLAN of one port, whose MAC both have; a VIP in the subnet of each, one on all links, and a
/// prefix that lies across both subnets.
fn responder() -> Responder {
    let link = |id, nets: &[&str]| Link { id, mac: ME, addresses: nets.iter().map(|text| net(text)).collect() };
    let links = [link(LINK, &["10.0.0.1/24", "fd00::1/64"]), link(VLAN, &["10.0.1.1/24", "fd01::1/64"])];
    let vips = [
        (net("10.0.0.100"), Announce::Auto),
        (net("fd01::100"), Announce::Auto),
        (net("203.0.113.10"), Announce::Arp),
        (net("10.0.0.128/25"), Announce::Auto),
        (net("10.0.1.128/25"), Announce::Auto),
    ];
    let mut responder = Responder::new();
    responder.configure(START, &links, &vips);
    responder
}

fn question(target: &str, sender: &str) -> Vec<u8> {
    match (ip(target), ip(sender)) {
        (IpAddr::V4(target), IpAddr::V4(sender)) => {
            let arp = Arp { operation: Operation::Request, sender_mac: GATEWAY, sender, target_mac: [0; 6], target };
            wire::write_arp(&mut [0; MAX_MESSAGE], wire::BROADCAST, &arp).to_vec()
        }
        (IpAddr::V6(target), IpAddr::V6(source)) => {
            let group = wire::solicited_node(target);
            wire::write_solicit(&mut [0; MAX_MESSAGE], GATEWAY, source, (wire::group_mac(group), group), target)
                .to_vec()
        }
        _ => panic!("one family"),
    }
}

#[test]
fn a_link_answers_for_its_own_addresses_only() {
    let cases = [
        ("10.0.0.1", true, false),
        ("10.0.1.1", false, true),
        ("fd00::1", true, false),
        ("fd01::1", false, true),
        ("10.0.0.100", true, false),
        ("fd01::100", false, true),
        ("203.0.113.10", true, true),
        ("10.0.0.200", true, false),
        ("10.0.1.200", false, true),
    ];
    for (target, untagged, vlan) in cases {
        let sender = if ip(target).is_ipv4() { "172.16.0.1" } else { "fe80::fe" };
        for (link, answered) in [(LINK, untagged), (VLAN, vlan), (LinkId(1), false)] {
            let (verdict, frame) = ask(&mut responder(), link, &question(target, sender));
            let expected = if answered { Verdict::Reply } else { Verdict::Ignored(Reason::NotOurs) };
            assert_eq!(verdict, expected, "{target} on {link:?}");
            if answered {
                assert_eq!((&frame[..6], &frame[6..12]), (&GATEWAY[..], &ME[..]));
            }
        }
    }
}

#[test]
fn a_second_owner_is_one_on_the_link_of_the_address() {
    for (address, link, elsewhere) in [("10.0.0.1", LINK, VLAN), ("10.0.1.1", VLAN, LINK), ("10.0.1.200", VLAN, LINK)] {
        let mut responder = responder();
        let claim = question("10.0.0.250", address);
        let (verdict, _) = ask(&mut responder, elsewhere, &claim);
        assert_ne!(verdict, Verdict::Ignored(Reason::Conflict), "{address}");
        assert_eq!(responder.conflicts().count(), 0);
        assert_eq!(ask(&mut responder, link, &claim).0, Verdict::Ignored(Reason::Conflict));
        let expected = Conflict { link, address: ip(address), mac: GATEWAY };
        assert_eq!(responder.conflicts().collect::<Vec<_>>(), [expected]);
    }
}

#[test]
fn each_link_announces_what_it_answers_for() {
    let mut responder = responder();
    let mut sent = Vec::new();
    responder.poll(START, &mut |link, frame| {
        let address = match wire::parse(frame).expect("a valid message") {
            Message::Arp(arp) => IpAddr::V4(arp.sender),
            Message::Advert(advert) => IpAddr::V6(advert.target),
            Message::Solicit(_) => panic!("an announcement asks nothing"),
        };
        sent.push((link, address));
    });
    sent.sort();
    let of = |link, addresses: [&str; 4]| addresses.map(|address| (link, ip(address)));
    let untagged = of(LINK, ["10.0.0.1", "10.0.0.100", "203.0.113.10", "fd00::1"]);
    let vlan = of(VLAN, ["10.0.1.1", "203.0.113.10", "fd01::1", "fd01::100"]);
    assert_eq!(sent, [untagged, vlan].concat());
    assert!(
        responder.next_due(START).is_some_and(|due| due >= START + Duration::from_secs(1)),
        "only repeats are left"
    );
}
