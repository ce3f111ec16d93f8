//! Path MTU of tunnels: which ICMP errors are believed, and for how long.

#[path = "support/quotes.rs"]
mod quotes;

use guideway_control::path_mtu::{LIFETIME, Learned, PathMtus};
use guideway_dataplane::time::Nanos;
use proptest::prelude::*;
use quotes::{BACKEND_V4, BACKEND_V6, OWN_V4, OWN_V6, Tunnel, VIP_V4, VIP_V6, error, inner, ip, is_vip, packet};
use smoltcp::wire::Icmpv4Packet;
use std::collections::HashSet;
use std::net::IpAddr;
use std::time::Duration;

const START: Nanos = Nanos(1_000_000_000_000);
fn path_mtus() -> PathMtus {
    let mut path_mtus = PathMtus::new();
    path_mtus.configure(&[BACKEND_V4, BACKEND_V6].map(ip).into());
    path_mtus
}

/// An error about a tunnel's packet of 1,500 bytes to the IPv4 backend, with a TCP packet to the IPv4 VIP inside.
fn plain(mtu: u32) -> Vec<u8> {
    let (protocol, payload) = Tunnel::Ip.wrap(VIP_V4);
    error(OWN_V4, mtu, &packet(OWN_V4, BACKEND_V4, protocol, 1_500, &payload))
}

/// The same in IPv6.
fn plain_v6(mtu: u32) -> Vec<u8> {
    let (protocol, payload) = Tunnel::Ip.wrap(VIP_V6);
    error(OWN_V6, mtu, &packet(OWN_V6, BACKEND_V6, protocol, 1_500, &payload))
}

fn learned(backend: &str, mtu: u16) -> Option<Learned> {
    Some(Learned { backend_address: ip(backend), mtu })
}

fn receive(frame: &[u8]) -> Option<Learned> {
    path_mtus().receive(START, frame, is_vip)
}

#[test]
fn every_tunnel_of_both_families_teaches() {
    for (own, backend) in [(OWN_V4, BACKEND_V4), (OWN_V6, BACKEND_V6)] {
        for vip in [VIP_V4, VIP_V6] {
            for tunnel in Tunnel::ALL {
                let (protocol, payload) = tunnel.wrap(vip);
                let quoted = packet(own, backend, protocol, 1_500, &payload);
                assert_eq!(receive(&error(own, 1_400, &quoted)), learned(backend, 1_400), "{tunnel:?} {own} {vip}");
            }
        }
    }
}

#[test]
fn the_first_fragment_of_an_outer_packet_teaches_and_later_ones_do_not() {
    let (protocol, payload) = Tunnel::Gue0.wrap(VIP_V4);
    for (offset, expected) in [(0_u16, learned(BACKEND_V6, 1_400)), (1_448, None)] {
        let [high, low] = (offset | 1).to_be_bytes();
        let fragment = [&[protocol, 0, high, low, 0, 0, 0, 9][..], &payload].concat();
        assert_eq!(receive(&error(OWN_V6, 1_400, &packet(OWN_V6, BACKEND_V6, 44, 1_496, &fragment))), expected);
    }
    let mut quoted = packet(OWN_V4, BACKEND_V4, 4, 1_500, &inner(VIP_V4).1);
    quoted[7] = 100;
    assert_eq!(receive(&error(OWN_V4, 1_400, &quoted)), None);
}

#[test]
fn a_stranger_who_does_not_know_us_teaches_nothing() {
    let (protocol, payload) = Tunnel::Ip.wrap(VIP_V4);
    let quoted = |source, destination| packet(source, destination, protocol, 1_500, &payload);
    let to_backend = quoted(OWN_V4, BACKEND_V4);
    assert!(receive(&error(OWN_V4, 1_400, &to_backend)).is_some());
    assert_eq!(receive(&error("10.0.0.2", 1_400, &to_backend)), None, "to somebody else than the quoted source");
    assert_eq!(receive(&error(OWN_V4, 1_400, &quoted("10.0.0.2", BACKEND_V4))), None);
    assert_eq!(receive(&error(OWN_V4, 1_400, &quoted(OWN_V4, "10.9.0.12"))), None, "no backend");
    let (protocol, payload) = Tunnel::Ip.wrap("203.0.113.99");
    let no_vip = packet(OWN_V4, BACKEND_V4, protocol, 1_500, &payload);
    assert_eq!(receive(&error(OWN_V4, 1_400, &no_vip)), None, "the packet inside is not for a VIP");
    for protocol in [1, 6, 50, 58] {
        let other = packet(OWN_V4, BACKEND_V4, protocol, 1_500, &inner(VIP_V4).1);
        assert_eq!(receive(&error(OWN_V4, 1_400, &other)), None, "protocol {protocol} is no tunnel of ours");
    }
}

#[test]
fn damaged_and_other_messages_teach_nothing() {
    for (good, icmp) in [(plain(1_400), 34), (plain_v6(1_400), 54)] {
        assert!(receive(&good).is_some());
        for at in [icmp + 2, icmp + 7, good.len() - 1] {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert_eq!(receive(&bad), None, "a wrong checksum by byte {at}");
        }
        for len in 0..good.len() {
            assert_eq!(receive(&good[..len]), None, "cut to {len}");
        }
    }
    for (kind, code) in [(3, 3), (11, 0), (5, 4), (0, 4)] {
        let mut frame = plain(1_400);
        (frame[34], frame[35]) = (kind, code);
        Icmpv4Packet::new_unchecked(&mut frame[34..]).fill_checksum();
        assert_eq!(receive(&frame), None, "type {kind}, code {code}");
    }
}

#[test]
fn a_short_quote_is_believed_in_ipv4_as_far_as_rfc_792_asks_for_it() {
    for tunnel in Tunnel::ALL {
        for (vip, needed) in [(VIP_V4, 20), (VIP_V6, 40)] {
            let (protocol, payload) = tunnel.wrap(vip);
            let needed = needed + payload.len() - inner(vip).1.len();
            for len in 0..payload.len() {
                let v4 = error(OWN_V4, 1_400, &packet(OWN_V4, BACKEND_V4, protocol, 1_500, &payload[..len]));
                assert_eq!(receive(&v4).is_some(), len < 28 || len >= needed, "{tunnel:?} {vip} {len}");
                let v6 = error(OWN_V6, 1_400, &packet(OWN_V6, BACKEND_V6, protocol, 1_500, &payload[..len]));
                assert_eq!(receive(&v6).is_some(), len >= needed, "{tunnel:?} {vip} {len}");
            }
        }
    }
    let stranger = error(OWN_V4, 1_400, &packet(OWN_V4, "10.9.0.12", 4, 1_500, &[0x45; 8]));
    assert_eq!(receive(&stranger), None);
}

#[test]
fn sizes_keep_within_the_bounds_of_the_family() {
    let cases = [
        (1_499, Some(1_499)),
        (1_500, None),
        (9_000, None),
        (577, Some(577)),
        (575, Some(576)),
        (1, Some(576)),
        // A router from before RFC 1191: the next smaller common size.
        (0, Some(1_492)),
    ];
    for (told, expected) in cases {
        assert_eq!(receive(&plain(told)).map(|learned| learned.mtu), expected, "IPv4, {told}");
    }
    let cases =
        [(1_499, Some(1_499)), (1_500, None), (1_280, Some(1_280)), (1_279, None), (0, None), (1 << 16 | 1_400, None)];
    for (told, expected) in cases {
        assert_eq!(receive(&plain_v6(told)).map(|learned| learned.mtu), expected, "IPv6, {told}");
    }
    // The upper half of the field means nothing in ICMPv4 (RFC 1191 section 4).
    assert_eq!(receive(&plain(1 << 16 | 1_400)), learned(BACKEND_V4, 1_400));
}

#[test]
fn a_message_never_raises_and_time_forgets() {
    let mut path_mtus = path_mtus();
    let mut at = |seconds, mtu| {
        let now = START + Duration::from_secs(seconds);
        let learned = path_mtus.receive(now, &plain(mtu), is_vip).map(|learned| learned.mtu);
        (learned, path_mtus.lookup(ip(BACKEND_V4)), path_mtus.forget_next(now))
    };
    assert_eq!(at(0, 1_400), (Some(1_400), Some(1_400), None));
    assert_eq!(at(1, 1_450), (None, Some(1_400), None));
    assert_eq!(at(2, 1_400), (None, Some(1_400), None));
    assert_eq!(at(100, 1_300), (Some(1_300), Some(1_300), None));
    assert_eq!(at(600, 1_400), (None, Some(1_300), None), "the smaller one counts from when it came");
    assert_eq!(at(699, 1_300), (None, Some(1_300), None), "to hear the same again prolongs nothing");
    assert_eq!(at(700, 1_400), (None, Some(1_300), Some(ip(BACKEND_V4))));
    assert_eq!(at(701, 1_450), (Some(1_450), Some(1_450), None));
    assert_eq!(LIFETIME, Duration::from_secs(600));
}

#[test]
fn what_is_known_of_a_backend_that_goes_is_forgotten_and_the_rest_kept() {
    let mut path_mtus = path_mtus();
    assert!(path_mtus.receive(START, &plain(1_400), is_vip).is_some());
    assert!(path_mtus.receive(START, &plain_v6(1_300), is_vip).is_some());
    path_mtus.configure(&HashSet::from([ip(BACKEND_V6)]));
    assert_eq!(path_mtus.forget_next(START), Some(ip(BACKEND_V4)));
    assert_eq!(path_mtus.forget_next(START), None);
    assert_eq!((path_mtus.lookup(ip(BACKEND_V4)), path_mtus.lookup(ip(BACKEND_V6))), (None, Some(1_300)));
    assert_eq!(path_mtus.receive(START, &plain(1_300), is_vip), None, "it is no backend any more");
}

#[test]
fn changes_are_limited_and_what_is_refused_leaves_no_trace() {
    let mut path_mtus = PathMtus::new();
    let backend = |i: u32| IpAddr::from((0x0a09_0000 + i).to_be_bytes());
    path_mtus.configure(&(0..1_000).map(backend).collect());
    let frame = |i| {
        let (protocol, payload) = Tunnel::Ip.wrap(VIP_V4);
        error(OWN_V4, 1_400, &packet(OWN_V4, &backend(i).to_string(), protocol, 1_500, &payload))
    };
    let mut flood = |now| (0..1_000).filter(|i| path_mtus.receive(now, &frame(*i), is_vip).is_some()).count();
    assert_eq!(flood(START), 100);
    assert_eq!(flood(START), 0);
    assert_eq!(flood(START + Duration::from_secs(1)), 100);
    assert_eq!((0..1_000).filter(|i| path_mtus.lookup(backend(*i)).is_some()).count(), 200);
    let end = START + Duration::from_secs(601);
    let forgotten = std::iter::from_fn(|| path_mtus.forget_next(end)).collect::<HashSet<_>>();
    assert_eq!(forgotten.len(), 200);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn whatever_arrives_teaches_only_sizes_in_bounds_about_backends(
        tunnel in prop::sample::select(Tunnel::ALL.to_vec()),
        v6 in any::<bool>(),
        mtu in 0_u32..2_000,
        damage in prop::collection::vec((0_usize..140, any::<u8>()), 0..4),
        length in 0_usize..200,
    ) {
        let (own, backend, vip) = if v6 { (OWN_V6, BACKEND_V6, VIP_V6) } else { (OWN_V4, BACKEND_V4, VIP_V4) };
        let (protocol, payload) = tunnel.wrap(vip);
        let mut quoted = packet(own, backend, protocol, 1_500, &payload);
        for (at, byte) in damage {
            if let Some(place) = quoted.get_mut(at) {
                *place = byte;
            }
        }
        quoted.truncate(length);
        let mut path_mtus = path_mtus();
        if let Some(Learned { backend_address, mtu }) = path_mtus.receive(START, &error(own, mtu, &quoted), is_vip) {
            prop_assert_eq!(backend_address, ip(backend));
            let least = if v6 { 1_280 } else { 576 };
            prop_assert!(mtu >= least);
            prop_assert_eq!(path_mtus.lookup(backend_address), Some(mtu));
        }
    }

    #[test]
    fn any_bytes_are_survived(frame in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert_eq!(receive(&frame), None);
    }
}
