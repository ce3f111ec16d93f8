//! VIPs that are prefixes: answered when asked, never announced.

use crate::frames::{GATEWAY, LINK, SECOND, START, ask, ip, links, mend, net, vector, vips};
use guideway_config::model::Announce;
use guideway_control::neighbor::wire::{self, Arp, MAX_MESSAGE, Message, Operation};
use guideway_control::responder::{Conflict, Reason, Responder, Verdict};
use guideway_dataplane::ids::LinkId;
use guideway_dataplane::memory::MemoryPacket;
use ipnet::IpNet;
use proptest::prelude::*;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

const THIEF: [u8; 6] = [2, 0, 0, 0, 0, 0x66];

/// Prefixes of every kind, on links of the subnets 10.0.0.0/24 and fd00::/64 (first) and 10.1.0.0/24 (second).
fn prefixes() -> Vec<(IpNet, Announce)> {
    vec![
        (net("10.0.0.64/26"), Announce::Auto),
        (net("fd00::1:0/112"), Announce::Auto),
        (net("10.0.0.128/25"), Announce::Auto),
        (net("10.0.0.128/28"), Announce::None),
        (net("100.64.0.0/16"), Announce::None),
        (net("100.64.100.0/24"), Announce::Arp),
        (net("3fff:1::/32"), Announce::Arp),
    ]
}

fn responder() -> Responder {
    let mut responder = Responder::new();
    responder.configure(START, &links(), &prefixes());
    responder
}

fn arp(operation: Operation, sender: IpAddr, target: IpAddr, mac: [u8; 6]) -> Vec<u8> {
    let (IpAddr::V4(sender), IpAddr::V4(target)) = (sender, target) else { panic!("ARP is IPv4") };
    let arp = Arp { operation, sender_mac: mac, sender, target_mac: [0; 6], target };
    wire::write_arp(&mut [0; MAX_MESSAGE], wire::BROADCAST, &arp).to_vec()
}

fn question(target: IpAddr) -> Vec<u8> {
    match target {
        IpAddr::V4(_) => arp(Operation::Request, ip("172.16.0.1"), target, GATEWAY),
        IpAddr::V6(target) => {
            let group = wire::solicited_node(target);
            let (mac, source) = (wire::group_mac(group), "fe80::fe".parse().unwrap());
            wire::write_solicit(&mut [0; MAX_MESSAGE], GATEWAY, source, (mac, group), target).to_vec()
        }
    }
}

/// An echo request to an IPv4 address.
fn echo(destination: Ipv4Addr) -> Vec<u8> {
    let mut frame = vector("echo over ipv4").0;
    frame[30..34].copy_from_slice(&destination.octets());
    mend(&mut frame);
    frame
}

#[test]
fn every_address_of_a_prefix_is_answered_where_the_announcement_says() {
    let cases = [
        ("10.0.0.63", false, false),
        ("10.0.0.64", true, false),
        ("10.0.0.127", true, false),
        ("fd00::1:0", true, false),
        ("fd00::1:ffff", true, false),
        ("fd00::2:0", false, false),
        ("10.0.0.200", true, false),
        // In a prefix that is silent, within one that is not: the most talkative counts.
        ("10.0.0.130", true, false),
        ("100.64.99.1", false, false),
        ("100.64.100.0", true, true),
        ("100.64.100.255", true, true),
        ("3fff:1:ffff::9", true, true),
        ("3fff:2::", false, false),
    ];
    for (target, first, second) in cases {
        for (link, answered) in [(LINK, first), (SECOND, second), (LinkId(7), false)] {
            let (verdict, frame) = ask(&mut responder(), link, &question(ip(target)));
            let expected = if answered { Verdict::Reply } else { Verdict::Ignored(Reason::NotOurs) };
            assert_eq!(verdict, expected, "{target} on {link:?}");
            if answered {
                let said = match wire::parse(&frame).expect("a valid answer") {
                    Message::Arp(arp) => (IpAddr::V4(arp.sender), arp.sender_mac),
                    Message::Advert(advert) => (IpAddr::V6(advert.target), advert.option.unwrap()),
                    Message::Solicit(_) => panic!("a question is no answer"),
                };
                assert_eq!(said, (ip(target), links()[link.index()].mac));
            }
        }
    }
}

#[test]
fn prefixes_are_not_announced() {
    let mut announced = Vec::new();
    let mut responder = Responder::new();
    responder.configure(START, &links(), &[prefixes(), vips()].concat());
    responder.announce_all(START);
    responder.announce(START, |_| true);
    let mut now = START;
    while let Some(next) = responder.next_due(now) {
        now = next;
        responder.poll(now, &mut |_, frame| announced.push(wire::parse(frame).expect("a valid message")));
    }
    // Three times each: own addresses and single VIPs, as without the prefixes.
    assert_eq!(announced.len(), 21);
    let address = |message: &Message| match message {
        Message::Arp(arp) => IpAddr::V4(arp.sender),
        Message::Advert(advert) => IpAddr::V6(advert.target),
        Message::Solicit(solicit) => IpAddr::V6(solicit.target),
    };
    assert!(announced.iter().all(|message| !ip("100.64.100.1").eq(&address(message))));
    assert_eq!(announced.iter().filter(|message| address(message) == ip("10.0.0.100")).count(), 3);
}

#[test]
fn echo_is_answered_in_every_prefix_whoever_announces_it() {
    for address in ["10.0.0.99", "100.64.7.7", "100.64.100.9"] {
        let IpAddr::V4(address) = ip(address) else { panic!() };
        assert_eq!(ask(&mut responder(), LINK, &echo(address)).0, Verdict::Reply, "{address}");
    }
    let outside = echo(Ipv4Addr::new(100, 65, 0, 1));
    assert_eq!(ask(&mut responder(), LINK, &outside).0, Verdict::Ignored(Reason::NotOurs));
    let mut frame = vector("echo over ipv6").0;
    frame[38..54].copy_from_slice(&"3fff:1:5::5".parse::<Ipv6Addr>().unwrap().octets());
    mend(&mut frame);
    assert_eq!(ask(&mut responder(), LINK, &frame).0, Verdict::Reply);
}

#[test]
fn a_broadcast_address_of_ours_is_in_no_prefix() {
    let broadcast = Ipv4Addr::new(10, 0, 0, 255);
    assert_eq!(ask(&mut responder(), LINK, &echo(broadcast)).0, Verdict::Ignored(Reason::NotOurs));
    assert_eq!(ask(&mut responder(), LINK, &question(broadcast.into())).0, Verdict::Ignored(Reason::NotOurs));
    let last_of_a_foreign_subnet = Ipv4Addr::new(100, 64, 100, 255);
    assert_eq!(ask(&mut responder(), LINK, &echo(last_of_a_foreign_subnet)).0, Verdict::Reply);
}

#[test]
fn connections_to_a_prefix_are_not_ours_to_refuse_and_nobody_speaks_from_it() {
    let mut syn = vector("syn with data over ipv4").0;
    syn[30..34].copy_from_slice(&[100, 64, 100, 7]);
    mend(&mut syn);
    assert_eq!(ask(&mut responder(), LINK, &syn).0, Verdict::Ignored(Reason::Other));
    let mut frame = echo(Ipv4Addr::new(10, 0, 0, 1));
    frame[26..30].copy_from_slice(&[100, 64, 100, 7]);
    mend(&mut frame);
    assert_eq!(ask(&mut responder(), LINK, &frame).0, Verdict::Ignored(Reason::Refused));
}

fn claim(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(_) => arp(Operation::Reply, address, address, THIEF),
        IpAddr::V6(address) => {
            let all = (wire::group_mac(wire::ALL_NODES), wire::ALL_NODES);
            wire::write_advert(&mut [0; MAX_MESSAGE], THIEF, address, all, false).to_vec()
        }
    }
}

#[test]
fn a_second_owner_in_a_prefix_is_reported() {
    for address in ["10.0.0.99", "100.64.100.9", "fd00::1:7", "3fff:1::7"] {
        let mut responder = responder();
        let address = ip(address);
        assert_eq!(ask(&mut responder, LINK, &claim(address)).0, Verdict::Ignored(Reason::Conflict));
        assert_eq!(ask(&mut responder, LINK, &claim(address)).0, Verdict::Ignored(Reason::Conflict));
        let expected = Conflict { link: LINK, address, mac: THIEF };
        assert_eq!(responder.conflicts().collect::<Vec<_>>(), [expected], "once in ten seconds");
        let later = START + Duration::from_secs(10);
        responder.handle(later, LINK, &mut MemoryPacket::new(&claim(address)));
        assert_eq!(responder.conflicts().collect::<Vec<_>>(), [expected], "and then again");
    }
    let mut silent = responder();
    ask(&mut silent, LINK, &claim(ip("100.64.99.9")));
    ask(&mut silent, SECOND, &claim(ip("10.0.0.99")));
    assert_eq!(silent.conflicts().count(), 0, "nobody answers for these there");
}

#[test]
fn a_claim_of_a_whole_prefix_is_reported_in_part() {
    let mut responder = Responder::new();
    responder.configure(
        START,
        &links(),
        &[(net("100.64.0.0/16"), Announce::Arp), (net("203.0.113.10"), Announce::Arp)],
    );
    let mut reported = 0;
    for i in 0..40_000_u32 {
        // Over 20 seconds.
        let now = START + Duration::from_micros(500) * i;
        let address = IpAddr::from((0x6440_0000 + i % 10_000).to_be_bytes());
        responder.handle(now, LINK, &mut MemoryPacket::new(&claim(address)));
        reported += responder.conflicts().count();
    }
    assert_eq!(reported, 128, "64 in ten seconds");
    responder.handle(START, LINK, &mut MemoryPacket::new(&claim(ip("203.0.113.10"))));
    assert_eq!(responder.conflicts().count(), 1, "a single address is reported all the same");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// The tables against a walk over all VIPs.
    #[test]
    fn answers_agree_with_a_walk_over_all_vips(
        vips in prop::collection::vec((any::<u32>(), 8_u8..=32, 0_u8..3), 0..30),
        targets in prop::collection::vec(any::<u32>(), 1..20),
    ) {
        // Few distinct bits, so that prefixes nest and hit; within 10.0.0.0/8 and outside.
        let address = |bits: u32| Ipv4Addr::from(0x0a00_0000 | bits & 0x0100_00ff);
        let announce = |n| [Announce::Auto, Announce::Arp, Announce::None][usize::from(n)];
        let vips: Vec<(IpNet, Announce)> = vips
            .iter()
            .map(|&(bits, len, n)| (IpNet::new(address(bits).into(), len).unwrap().trunc(), announce(n)))
            .collect();
        let mut responder = Responder::new();
        responder.configure(START, &links(), &vips);
        for target in targets {
            let target = address(target);
            let own = links().iter().flat_map(|link| link.addresses.clone()).any(|net| net.addr() == target);
            let ours = vips.iter().any(|(net, _)| net.contains(&IpAddr::V4(target)));
            let broadcast = [[10, 0, 0, 255], [10, 1, 0, 255]].contains(&target.octets());
            let alone = vips.iter().any(|(net, _)| *net == IpNet::from(IpAddr::V4(target)));
            prop_assert_eq!(responder.is_vip(target.into()), ours && !own && (alone || !broadcast));
            for link in links() {
                let talks = vips.iter().any(|(net, announce)| {
                    net.contains(&IpAddr::V4(target))
                        && (*announce == Announce::Arp || *announce == Announce::Auto && link.covers(target.into()))
                });
                if own || broadcast {
                    continue;
                }
                let verdict = ask(&mut responder, link.id, &question(target.into())).0;
                prop_assert_eq!(verdict == Verdict::Reply, talks, "{} on {:?}", target, link.id);
            }
        }
    }
}
