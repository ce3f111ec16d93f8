//! Several links of one port: VLANs share its Ethernet address, and nothing else.

use crate::segment::{GATEWAY, LINK, ME, OTHER, START, gratuitous, unsolicited, v4, v6};
use guideway_control::neighbor::wire::{self, Message, Operation};
use guideway_control::neighbor::{Change, Link, Neighbors, Received, State, Static};
use guideway_dataplane::ids::LinkId;
use std::net::IpAddr;
use std::time::Duration;

const VLAN: LinkId = LinkId(4);

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn link(id: LinkId, addresses: &[&str]) -> Link {
    Link { id, mac: ME, addresses: addresses.iter().map(|net| net.parse().unwrap()).collect() }
}

/// The untagged link and a VLAN of one port, with overlapping subnets.
fn links() -> [Link; 2] {
    [link(LINK, &["10.0.0.1/24", "fd00::1/64"]), link(VLAN, &["10.0.0.2/24", "fd00::2/64"])]
}

fn table(wanted: &[(LinkId, IpAddr)]) -> Neighbors {
    let mut table = Neighbors::new();
    table.configure(START, &links(), wanted, &[]);
    table
}

/// Link, sender and target of each request that is due.
fn requests(table: &mut Neighbors) -> Vec<(LinkId, IpAddr, IpAddr)> {
    let mut sent = Vec::new();
    table.poll(START, &mut |link, frame| {
        let (sender, target) = match wire::parse(frame).expect("a valid request") {
            Message::Arp(arp) => (IpAddr::V4(arp.sender), IpAddr::V4(arp.target)),
            Message::Solicit(solicit) => (IpAddr::V6(solicit.source), IpAddr::V6(solicit.target)),
            Message::Advert(_) => panic!("the table never answers"),
        };
        sent.push((link, sender, target));
    });
    sent.sort();
    sent
}

#[test]
fn each_link_asks_from_its_own_address() {
    let mut table = table(&[(LINK, v4()), (VLAN, v4()), (LINK, v6()), (VLAN, v6())]);
    let expected = [
        (LINK, ip("10.0.0.1"), v4()),
        (LINK, ip("fd00::1"), v6()),
        (VLAN, ip("10.0.0.2"), v4()),
        (VLAN, ip("fd00::2"), v6()),
    ];
    assert_eq!(requests(&mut table), expected);
}

#[test]
fn one_address_on_two_links_is_two_neighbors() {
    let mut table = table(&[(LINK, v4()), (VLAN, v4()), (LINK, v6()), (VLAN, v6())]);
    for (link, mac) in [(LINK, GATEWAY), (VLAN, OTHER)] {
        for (address, frame) in [(v4(), gratuitous(Operation::Reply, v4(), mac)), (v6(), unsolicited(v6(), mac))] {
            assert_eq!(table.receive(START, link, &frame), Received::Changed);
            assert_eq!(table.changes().collect::<Vec<_>>(), [Change { link, address, mac: Some(mac) }]);
        }
    }
    for address in [v4(), v6()] {
        assert_eq!((table.lookup(LINK, address), table.lookup(VLAN, address)), (Some(GATEWAY), Some(OTHER)));
    }
}

#[test]
fn an_answer_in_the_wrong_vlan_teaches_nothing() {
    let mut table = table(&[(LINK, v4())]);
    let frame = gratuitous(Operation::Reply, v4(), OTHER);
    assert_eq!(table.receive(START, VLAN, &frame), Received::Nothing);
    assert_eq!(table.receive(START, LinkId(9), &frame), Received::Nothing, "a link without an interface");
    assert_eq!(table.lookup(LINK, v4()), None);
}

#[test]
fn an_own_address_of_one_link_may_be_a_neighbor_on_another() {
    // 10.0.0.2 is our own on the VLAN: there it is not asked for, on the untagged link it is somebody else's.
    let mut table = table(&[(LINK, ip("10.0.0.2")), (VLAN, ip("10.0.0.2"))]);
    assert_eq!(requests(&mut table), [(LINK, ip("10.0.0.1"), ip("10.0.0.2"))]);
}

#[test]
fn a_flush_takes_the_links_that_it_names() {
    let other = LinkId(5);
    let all = [links().to_vec(), vec![link(other, &["10.5.0.1/24"])]].concat();
    let mut table = Neighbors::new();
    let fixed = Static { link: VLAN, address: ip("10.0.0.9"), mac: OTHER };
    table.configure(START, &all, &[(LINK, v4()), (VLAN, v4()), (other, ip("10.5.0.9"))], &[fixed]);
    for (link, address) in [(LINK, v4()), (VLAN, v4()), (other, ip("10.5.0.9"))] {
        table.receive(START, link, &gratuitous(Operation::Reply, address, GATEWAY));
    }
    assert_eq!(table.changes().count(), 4);
    let later = START + Duration::from_secs(1);
    table.flush(later, |link| link == LINK || link == VLAN);
    let mut lost: Vec<_> = table.changes().map(|change| (change.link, change.address, change.mac)).collect();
    lost.sort();
    assert_eq!(lost, [(LINK, v4(), None), (VLAN, v4(), None)]);
    assert_eq!(table.lookup(other, ip("10.5.0.9")), Some(GATEWAY));
    let mut states: Vec<_> = table.status(later).map(|line| (line.link, line.address, line.state)).collect();
    states.sort_by_key(|line| (line.0, line.1));
    let expected = [
        (LINK, v4(), State::Unresolved),
        (VLAN, fixed.address, State::Static),
        (VLAN, v4(), State::Unresolved),
        (other, ip("10.5.0.9"), State::Stale),
    ];
    assert_eq!(states, expected);
}
