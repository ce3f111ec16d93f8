//! Changes of a MAC, of the configuration, and of a link.

use crate::segment::{GATEWAY, LINK, ME, OTHER, Segment, gratuitous, link, unsolicited, v4, v6};
use guideway_control::neighbor::wire::{self, Arp, MAX_MESSAGE, Operation};
use guideway_control::neighbor::{Change, Link, Received, State, Static};
use guideway_dataplane::ids::LinkId;
use std::net::IpAddr;
use std::time::Duration;

fn now_at(address: IpAddr, mac: [u8; 6]) -> [Change; 1] {
    [Change { link: LINK, address, mac: Some(mac) }]
}

/// An ARP request of `address` at `mac` for our own address: the neighbour wants to talk to us.
fn question(address: IpAddr, mac: [u8; 6]) -> Vec<u8> {
    let IpAddr::V4(sender) = address else { panic!() };
    let target = "10.0.0.1".parse().unwrap();
    let arp = Arp { operation: Operation::Request, sender_mac: mac, sender, target_mac: [0; 6], target };
    wire::write_arp(&mut [0; MAX_MESSAGE], wire::BROADCAST, &arp).to_vec()
}

fn solicitation(address: IpAddr, mac: [u8; 6]) -> Vec<u8> {
    let IpAddr::V6(source) = address else { panic!() };
    let target = "fd00::1".parse().unwrap();
    wire::write_solicit(&mut [0; MAX_MESSAGE], mac, source, (ME, target), target).to_vec()
}

fn announcements(mac: [u8; 6]) -> [(IpAddr, Vec<u8>); 5] {
    [
        (v4(), gratuitous(Operation::Request, v4(), mac)),
        (v4(), gratuitous(Operation::Reply, v4(), mac)),
        (v4(), question(v4(), mac)),
        (v6(), unsolicited(v6(), mac)),
        (v6(), solicitation(v6(), mac)),
    ]
}

#[test]
fn a_new_mac_is_followed_at_once_and_then_verified() {
    for (address, frame) in announcements(OTHER) {
        let mut segment = Segment::resolved(address);
        segment.hosts.insert(address, OTHER);
        assert_eq!(segment.table.receive(segment.now, LINK, &frame), Received::Changed);
        assert_eq!(segment.table.lookup(LINK, address), Some(OTHER));
        assert_eq!(segment.changes(), now_at(address, OTHER));
        assert_eq!(segment.state(address), State::Stale);
        segment.run(Duration::from_millis(1_250));
        assert_eq!(segment.sent.len(), 1);
        assert_eq!(segment.sent[0].to, OTHER);
        assert_eq!(segment.state(address), State::Reachable);
    }
}

#[test]
fn a_made_up_mac_is_found_out_and_replaced() {
    let mut segment = Segment::resolved(v4());
    segment.table.receive(segment.now, LINK, &gratuitous(Operation::Reply, v4(), OTHER));
    segment.run(Duration::from_secs(3));
    assert_eq!(segment.table.lookup(LINK, v4()), Some(GATEWAY), "the broadcast probe finds the true owner");
}

#[test]
fn an_announcement_resolves_what_was_unresolved() {
    for (address, frame) in announcements(GATEWAY) {
        let mut segment = Segment::new(&[address]);
        assert_eq!(segment.table.receive(segment.now, LINK, &frame), Received::Changed);
        assert_eq!(segment.changes(), now_at(address, GATEWAY));
    }
}

#[test]
fn an_announcement_of_the_known_mac_proves_nothing() {
    for (address, frame) in announcements(GATEWAY) {
        let mut segment = Segment::resolved(address);
        assert_eq!(segment.table.receive(segment.now, LINK, &frame), Received::Nothing);
        assert_eq!(segment.changes(), []);
    }
}

#[test]
fn our_own_announcements_that_come_back_teach_nothing() {
    for (address, frame) in announcements(ME) {
        let mut segment = Segment::resolved(address);
        assert_eq!(segment.table.receive(segment.now, LINK, &frame), Received::Nothing);
        assert_eq!(segment.table.lookup(LINK, address), Some(GATEWAY));
    }
}

#[test]
fn an_answer_on_another_link_teaches_nothing() {
    for (address, frame) in announcements(OTHER) {
        let mut segment = Segment::resolved(address);
        let second = Link { id: LinkId(9), mac: [2, 0, 0, 0, 0, 9], addresses: link().addresses };
        segment.table.configure(segment.now, &[link(), second], &[(LINK, address)], &[]);
        assert_eq!(segment.table.receive(segment.now, LinkId(9), &frame), Received::Nothing);
        assert_eq!(segment.table.lookup(LINK, address), Some(GATEWAY));
    }
}

#[test]
fn two_owners_cannot_make_a_change_of_every_frame() {
    let mut segment = Segment::resolved(v4());
    let mut followed = 0;
    for i in 0..1_000 {
        let mac = if i % 2 == 0 { OTHER } else { GATEWAY };
        let received = segment.table.receive(segment.now, LINK, &gratuitous(Operation::Reply, v4(), mac));
        followed += usize::from(received == Received::Changed);
        segment.run(Duration::from_micros(500));
    }
    assert!((1..=6).contains(&followed), "{followed}");
    assert!(segment.table.counters().flapping > 400);
    segment.run(Duration::from_secs(5));
    assert_eq!(segment.table.lookup(LINK, v4()), Some(GATEWAY));
    assert_eq!(segment.state(v4()), State::Reachable);
}

#[test]
fn reconfiguring_keeps_what_is_known_and_drops_what_is_not_wanted() {
    let mut segment = Segment::resolved(v4());
    segment.table.configure(segment.now, &[link()], &[(LINK, v4()), (LINK, v6())], &[]);
    assert_eq!(segment.table.lookup(LINK, v4()), Some(GATEWAY));
    assert_eq!(segment.changes(), []);
    segment.run(Duration::from_millis(1));
    assert!(segment.sent.iter().all(|sent| sent.target == v6()), "only the new one is asked for");
    segment.table.configure(segment.now, &[link()], &[(LINK, v6())], &[]);
    assert_eq!(segment.changes(), [Change { link: LINK, address: v4(), mac: None }]);
    assert_eq!(segment.table.lookup(LINK, v4()), None);
    segment.sent.clear();
    segment.run(Duration::from_secs(60));
    assert!(segment.sent.iter().all(|sent| sent.target == v6()));
}

#[test]
fn a_static_neighbor_needs_no_protocol_and_ignores_it() {
    let mut segment = Segment::new(&[]);
    let fixed = Static { link: LINK, address: v4(), mac: GATEWAY };
    segment.table.configure(segment.now, &[link()], &[(LINK, v4())], &[fixed]);
    assert_eq!(segment.changes(), now_at(v4(), GATEWAY));
    assert_eq!(segment.table.next_due(segment.now), None);
    let frame = gratuitous(Operation::Reply, v4(), OTHER);
    assert_eq!(segment.table.receive(segment.now, LINK, &frame), Received::Nothing);
    segment.table.flush(segment.now, |link| link == LINK);
    assert_eq!(segment.table.lookup(LINK, v4()), Some(GATEWAY));
    // Taken out of the configuration but still a next hop: in use while it is verified.
    segment.table.configure(segment.now, &[link()], &[(LINK, v4())], &[]);
    assert_eq!(segment.table.lookup(LINK, v4()), Some(GATEWAY));
    segment.run(Duration::ZERO);
    assert_eq!(segment.sent[0].to, GATEWAY);
    assert_eq!(segment.changes(), []);
}

#[test]
fn a_static_mac_follows_the_configuration() {
    let mut segment = Segment::resolved(v4());
    let fixed = |mac| Static { link: LINK, address: v4(), mac };
    for (mac, changed) in [(GATEWAY, false), (OTHER, true), (OTHER, false)] {
        segment.table.configure(segment.now, &[link()], &[(LINK, v4()), (LINK, v4())], &[fixed(mac)]);
        assert_eq!(segment.changes(), if changed { now_at(v4(), mac).to_vec() } else { Vec::new() });
        assert_eq!(segment.state(v4()), State::Static);
        assert_eq!(segment.table.next_due(segment.now), None, "no protocol is left over");
    }
    segment.table.configure(segment.now, &[link()], &[], &[]);
    assert_eq!(segment.changes(), [Change { link: LINK, address: v4(), mac: None }]);
    assert_eq!(segment.table.status(segment.now).count(), 0);
}

#[test]
fn a_lost_link_takes_its_neighbors_with_it() {
    let mut segment = Segment::resolved(v4());
    segment.hosts.clear();
    segment.table.flush(segment.now, |link| link == LinkId(9));
    assert_eq!(segment.table.lookup(LINK, v4()), Some(GATEWAY));
    segment.table.flush(segment.now, |link| link == LINK);
    assert_eq!(segment.changes(), [Change { link: LINK, address: v4(), mac: None }]);
    segment.run(Duration::from_secs(60));
    segment.hosts.insert(v4(), GATEWAY);
    segment.table.flush(segment.now, |link| link == LINK);
    segment.run(Duration::ZERO);
    assert_eq!(segment.changes(), now_at(v4(), GATEWAY), "asked at once when the link returns");
}

#[test]
fn own_and_impossible_addresses_are_never_asked_for() {
    let bad = ["10.0.0.1", "fd00::1", "0.0.0.0", "::", "224.0.0.5", "ff02::1", "255.255.255.255"];
    let mut segment = Segment::new(&bad.map(|address| address.parse().unwrap()));
    assert_eq!(segment.table.status(segment.now).count(), 0);
    segment.run(Duration::from_secs(2));
    assert_eq!(segment.sent, []);
}

#[test]
fn without_an_own_address_of_the_family_nothing_is_sent() {
    let mut segment = Segment::new(&[]);
    let only_v4 = Link { addresses: vec!["10.0.0.1/8".parse().unwrap()], ..link() };
    segment.table.configure(segment.now, &[only_v4], &[(LINK, v6())], &[]);
    segment.run(Duration::from_secs(2));
    assert_eq!(segment.sent, []);
    assert!(segment.table.counters().no_source > 0);
}

#[test]
fn the_request_comes_from_the_subnet_of_its_target() {
    let mut segment = Segment::new(&[]);
    let addresses = ["192.0.2.1/24", "10.0.0.1/24"].map(|net| net.parse().unwrap()).to_vec();
    segment.table.configure(segment.now, &[Link { addresses, ..link() }], &[(LINK, v4())], &[]);
    segment.run(Duration::ZERO);
    assert_eq!(segment.sent[0].frame[28..32], [10, 0, 0, 1]);
}
