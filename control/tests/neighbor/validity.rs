//! What the table believes: the validity rules of RFC 826 and RFC 4861, and any bytes at all.

use crate::segment::{GATEWAY, LINK, ME, OTHER, Segment, gratuitous, unsolicited, v4, v6};
use guideway_control::neighbor::wire::Operation;
use guideway_control::neighbor::{Received, State, is_unicast};
use proptest::prelude::*;
use std::net::IpAddr;

const ICMP: usize = 14 + 40;
const FLAGS: usize = ICMP + 4;
const OPTION: usize = ICMP + 24;
const HOP_LIMIT: usize = 14 + 7;
const SOURCE: usize = 14 + 8;
const DESTINATION: usize = 14 + 24;

/// The checksum of RFC 1071 over the ICMPv6 message and its pseudo header, the plain way.
fn fix_checksum(frame: &mut [u8]) {
    frame[ICMP + 2..ICMP + 4].fill(0);
    let length = frame.len() - ICMP;
    let mut bytes = frame[SOURCE..ICMP].to_vec();
    bytes.extend([0, 0, (length >> 8) as u8, length as u8, 0, 0, 0, 58]);
    bytes.extend(&frame[ICMP..]);
    let mut sum: u64 =
        bytes.chunks(2).map(|pair| u64::from(pair[0]) << 8 | u64::from(*pair.get(1).unwrap_or(&0))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    frame[ICMP + 2..ICMP + 4].copy_from_slice(&(!(sum as u16)).to_be_bytes());
}

/// An advertisement of another MAC, altered, with its checksum right again.
fn advertisement(alter: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut frame = unsolicited(v6(), OTHER);
    alter(&mut frame);
    let length = (frame.len() - ICMP) as u16;
    frame[18..20].copy_from_slice(&length.to_be_bytes());
    fix_checksum(&mut frame);
    frame
}

fn verdict(address: IpAddr, frame: &[u8]) -> (Received, Option<[u8; 6]>, State) {
    let mut segment = Segment::resolved(address);
    let received = segment.table.receive(segment.now, LINK, frame);
    assert_eq!(segment.table.counters().malformed, u64::from(received == Received::Malformed));
    (received, segment.table.lookup(LINK, address), segment.state(address))
}

#[test]
fn the_unaltered_advertisement_is_believed() {
    assert_eq!(verdict(v6(), &advertisement(|_| ())), (Received::Changed, Some(OTHER), State::Stale));
}

#[test]
fn a_padded_advertisement_is_believed() {
    let mut frame = advertisement(|_| ());
    frame.extend([0x55; 10]);
    assert_eq!(verdict(v6(), &frame).0, Received::Changed);
}

#[test]
fn invalid_advertisements_are_ignored_and_counted() {
    type Alter = fn(&mut Vec<u8>);
    let cases: [(&str, Alter); 11] = [
        ("hop limit 254: it crossed a router", |f| f[HOP_LIMIT] = 254),
        ("code 1", |f| f[ICMP + 1] = 1),
        ("solicited, yet to all nodes", |f| f[FLAGS] |= 0x40),
        ("target is a group", |f| f[ICMP + 8] = 0xff),
        ("source is unspecified", |f| f[SOURCE..DESTINATION].fill(0)),
        ("source is a group", |f| f[SOURCE] = 0xff),
        ("frame from a group", |f| f[6] |= 1),
        ("option of length zero", |f| f[OPTION + 1] = 0),
        ("option longer than the message", |f| f[OPTION + 1] = 2),
        ("group MAC in the option", |f| f[OPTION + 2] |= 1),
        ("cut option", |f| f.truncate(OPTION + 4)),
    ];
    for (name, alter) in cases {
        let expected = (Received::Malformed, Some(GATEWAY), State::Reachable);
        assert_eq!(verdict(v6(), &advertisement(alter)), expected, "{name}");
    }
    let mut wrong_sum = advertisement(|_| ());
    wrong_sum[ICMP + 3] ^= 1;
    assert_eq!(verdict(v6(), &wrong_sum).0, Received::Malformed);
    let zero = advertisement(|f| f[OPTION + 2..OPTION + 8].fill(0));
    assert_eq!(verdict(v6(), &zero).0, Received::Malformed);
}

#[test]
fn an_advertisement_without_override_raises_doubt_only() {
    let frame = advertisement(|f| f[FLAGS] &= !0x20);
    assert_eq!(verdict(v6(), &frame), (Received::Nothing, Some(GATEWAY), State::Stale));
}

#[test]
fn only_an_answer_to_us_proves_a_neighbor() {
    let answer = |destination: &'static str| {
        let IpAddr::V6(to) = destination.parse().unwrap() else { panic!() };
        advertisement(|f| {
            f[FLAGS] |= 0x40;
            f[DESTINATION..ICMP].copy_from_slice(&to.octets());
        })
    };
    assert_eq!(verdict(v6(), &answer("fd00::1")), (Received::Changed, Some(OTHER), State::Reachable));
    assert_eq!(verdict(v6(), &answer("fd00::2")), (Received::Changed, Some(OTHER), State::Stale));
}

#[test]
fn an_advertisement_without_an_address_changes_nothing() {
    let frame = advertisement(|f| f.truncate(OPTION));
    assert_eq!(verdict(v6(), &frame), (Received::Nothing, Some(GATEWAY), State::Reachable));
}

#[test]
fn a_duplicate_check_teaches_nothing_and_must_be_well_formed() {
    let solicitation = |alter: fn(&mut Vec<u8>)| {
        advertisement(|f| {
            f[ICMP] = 135;
            f[OPTION] = 1;
            f[FLAGS] = 0;
            f[SOURCE..DESTINATION].fill(0);
            f[DESTINATION..ICMP].copy_from_slice(&[0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0, 0, 0xfe]);
            alter(f);
        })
    };
    assert_eq!(verdict(v6(), &solicitation(|f| f.truncate(OPTION))).0, Received::Nothing);
    assert_eq!(verdict(v6(), &solicitation(|_| ())).0, Received::Malformed, "source option from ::");
    let to_all = solicitation(|f| {
        f.truncate(OPTION);
        f[DESTINATION + 11..ICMP].copy_from_slice(&[0, 0, 0, 0, 1]);
    });
    assert_eq!(verdict(v6(), &to_all).0, Received::Malformed, "from ::, not to a solicited-node group");
}

#[test]
fn invalid_arp_is_ignored() {
    let arp = |alter: fn(&mut Vec<u8>)| {
        let mut frame = gratuitous(Operation::Reply, v4(), OTHER);
        alter(&mut frame);
        verdict(v4(), &frame)
    };
    let ignored = |received| (received, Some(GATEWAY), State::Reachable);
    assert_eq!(arp(|_| ()), (Received::Changed, Some(OTHER), State::Stale));
    assert_eq!(arp(|f| f[15] = 6), ignored(Received::Malformed), "hardware type");
    assert_eq!(arp(|f| f[16] = 9), ignored(Received::Malformed), "protocol type");
    assert_eq!(arp(|f| f[18] = 7), ignored(Received::Malformed), "hardware length");
    assert_eq!(arp(|f| f[19] = 16), ignored(Received::Malformed), "protocol length");
    assert_eq!(arp(|f| f.truncate(41)), ignored(Received::Malformed), "cut");
    assert_eq!(arp(|f| f[22] |= 1), ignored(Received::Malformed), "group sender");
    assert_eq!(arp(|f| f[22..28].fill(0)), ignored(Received::Malformed), "zero sender");
    assert_eq!(arp(|f| f[28] = 224), ignored(Received::Malformed), "sender is a group");
    assert_eq!(arp(|f| f[28..32].fill(0xff)), ignored(Received::Malformed), "sender is everybody");
    assert_eq!(arp(|f| f[21] = 3), ignored(Received::Other), "reverse ARP");
    assert_eq!(arp(|f| f[28..32].fill(0)), ignored(Received::Nothing), "a probe claims nothing");
}

fn some_message() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(gratuitous(Operation::Request, v4(), OTHER)),
        Just(gratuitous(Operation::Reply, v4(), ME)),
        Just(unsolicited(v6(), OTHER)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_bytes_are_survived(frame in prop::collection::vec(any::<u8>(), 0..200)) {
        verdict(v6(), &frame);
    }

    #[test]
    fn damaged_messages_never_teach_an_impossible_mac(
        mut frame in some_message(),
        damage in prop::collection::vec((0_usize..90, any::<u8>()), 0..4),
        length in 0_usize..100,
        mend in any::<bool>(),
    ) {
        for (at, byte) in damage {
            if let Some(place) = frame.get_mut(at) {
                *place = byte;
            }
        }
        frame.truncate(length);
        if mend && frame.len() > ICMP + 4 && frame[12..14] == [0x86, 0xdd] {
            fix_checksum(&mut frame);
        }
        for address in [v4(), v6()] {
            let (received, mac, _) = verdict(address, &frame);
            let mac = mac.unwrap();
            prop_assert!(is_unicast(mac) && mac != ME);
            prop_assert!(received == Received::Changed || mac == GATEWAY);
        }
    }
}
