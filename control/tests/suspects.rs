//! Passive detection: which ICMP errors speak of a backend, and what becomes of them.

#[path = "support/quotes.rs"]
mod quotes;
#[expect(dead_code, reason = "other tests offer packets of clients and look at where they arrive")]
mod support;

use guideway_control::state::BackendHealth;
use guideway_control::suspects::Suspects;
use guideway_dataplane::ids::BackendId;
use guideway_dataplane::time::Nanos;
use proptest::prelude::*;
use quotes::{BACKEND_V4, BACKEND_V6, OWN_V4, OWN_V6, Tunnel, VIP_V4, VIP_V6, error, icmp, ip, is_vip, packet};
use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;
use support::{Behaviour, Bench};

/// "Host unreachable" and "no route": type and code.
const UNREACHABLE_V4: [u8; 2] = [3, 1];
const UNREACHABLE_V6: [u8; 2] = [1, 0];

fn suspects() -> Suspects {
    let mut suspects = Suspects::default();
    suspects.configure(&HashMap::from([(ip(BACKEND_V4), vec![BackendId(4)]), (ip(BACKEND_V6), vec![BackendId(6)])]));
    suspects
}

fn receive(frame: &[u8]) -> Option<BackendId> {
    suspects().receive(frame, is_vip)
}

/// A tunnel's packet from `own` to `backend` with one to `vip` inside.
fn quoted(tunnel: Tunnel, own: &str, backend: &str, vip: &str) -> Vec<u8> {
    let (protocol, payload) = tunnel.wrap(vip);
    packet(own, backend, protocol, 1_400, &payload)
}

#[test]
fn every_tunnel_of_both_families_names_its_backend() {
    for vip in [VIP_V4, VIP_V6] {
        for tunnel in Tunnel::ALL {
            for code in [0, 1, 2, 3, 13] {
                let v4 = icmp(OWN_V4, [3, code], 0, &quoted(tunnel, OWN_V4, BACKEND_V4, vip));
                assert_eq!(receive(&v4), Some(BackendId(4)), "{tunnel:?} {vip} code {code}");
            }
            for code in [0, 1, 3, 4] {
                let v6 = icmp(OWN_V6, [1, code], 0, &quoted(tunnel, OWN_V6, BACKEND_V6, vip));
                assert_eq!(receive(&v6), Some(BackendId(6)), "{tunnel:?} {vip} code {code}");
            }
        }
    }
}

#[test]
fn what_does_not_quote_a_packet_of_ours_names_nobody() {
    let good = quoted(Tunnel::Ip, OWN_V4, BACKEND_V4, VIP_V4);
    assert!(receive(&icmp(OWN_V4, UNREACHABLE_V4, 0, &good)).is_some());
    assert_eq!(receive(&icmp("10.0.0.2", UNREACHABLE_V4, 0, &good)), None, "to another address than the quoted source");
    let strange = quoted(Tunnel::Ip, OWN_V4, "10.9.0.12", VIP_V4);
    assert_eq!(receive(&icmp(OWN_V4, UNREACHABLE_V4, 0, &strange)), None, "no backend");
    let no_vip = quoted(Tunnel::Ip, OWN_V4, BACKEND_V4, "203.0.113.99");
    assert_eq!(receive(&icmp(OWN_V4, UNREACHABLE_V4, 0, &no_vip)), None, "no VIP inside");
    for len in 0..40 {
        assert_eq!(receive(&icmp(OWN_V4, UNREACHABLE_V4, 0, &good[..len])), None, "cut to {len}: the VIP is not there");
    }
    let mut damaged = icmp(OWN_V4, UNREACHABLE_V4, 0, &good);
    damaged[36] ^= 1;
    assert_eq!(receive(&damaged), None, "a wrong checksum");
}

#[test]
fn other_messages_name_nobody() {
    let v4 = quoted(Tunnel::Ip, OWN_V4, BACKEND_V4, VIP_V4);
    assert_eq!(receive(&error(OWN_V4, 1_200, &v4)), None, "too big");
    for message in [[11, 0], [5, 1], [8, 0], [4, 0]] {
        assert_eq!(receive(&icmp(OWN_V4, message, 0, &v4)), None, "{message:?}");
    }
    let v6 = quoted(Tunnel::Ip, OWN_V6, BACKEND_V6, VIP_V6);
    for message in [[2, 0], [3, 0], [128, 0]] {
        assert_eq!(receive(&icmp(OWN_V6, message, 1_400, &v6)), None, "{message:?}");
    }
}

#[test]
fn an_error_names_one_backend_and_those_of_an_address_take_turns() {
    let mut suspects = Suspects::default();
    suspects.configure(&HashMap::from([(ip(BACKEND_V4), [1, 2, 3].map(BackendId).to_vec())]));
    let frame = icmp(OWN_V4, UNREACHABLE_V4, 0, &quoted(Tunnel::Gre, OWN_V4, BACKEND_V4, VIP_V4));
    let named: Vec<_> = (0..6).filter_map(|_| suspects.receive(&frame, is_vip)).map(|id| id.0).collect();
    assert_eq!(named, [1, 2, 3, 1, 2, 3]);
}

proptest! {
    #[test]
    fn any_damage_names_no_stranger(damage in prop::collection::vec((0_usize..80, any::<u8>()), 0..4), length in 0_usize..120) {
        let mut bytes = quoted(Tunnel::Gue0, OWN_V6, BACKEND_V6, VIP_V6);
        for (at, byte) in damage {
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
        }
        bytes.truncate(length);
        let named = receive(&icmp(OWN_V6, UNREACHABLE_V6, 0, &bytes));
        prop_assert!(named.is_none_or(|id| id == BackendId(6)));
    }
}

/// A router's "host unreachable" about a client's packet in a tunnel to backend `n` of [`slow`].
fn unreachable(n: u8) -> Vec<u8> {
    let (protocol, payload) = Tunnel::Ip.wrap(VIP_V4);
    let backend = IpAddr::from([10, 0, 0, 10 + n]).to_string();
    icmp("10.0.0.1", UNREACHABLE_V4, 0, &packet("10.0.0.1", &backend, protocol, 1_400, &payload))
}

/// A balancer that probes its two backends every ten seconds, through tunnels, and finds both up. Neither is due within the
/// next two seconds.
fn slow() -> Bench {
    let times = "interval = \"10s\", fast_interval = \"500ms\", timeout = \"200ms\"";
    let pool = format!("forward = \"ipip\"\nhealth = {{ kind = \"tcp\", {times} }}");
    let mut bench = Bench::of(support::config_with(2, &pool), 2);
    bench.run(Duration::from_secs(18), true);
    assert_eq!([1, 2].map(|n| bench.health(n)), [BackendHealth::Up; 2]);
    bench
}

fn sent(bench: &Bench) -> (u64, u64) {
    let report = bench.report();
    (report.prober.sent, report.out_of_turn)
}

#[test]
fn an_unreachable_leads_to_a_probe_before_its_turn_and_judges_nothing() {
    let mut bench = slow();
    let (before, _) = sent(&bench);
    assert!(bench.offer(&unreachable(1)));
    bench.run(Duration::from_millis(5), true);
    assert_eq!(sent(&bench), (before + 1, 1));
    assert_eq!(bench.health(1), BackendHealth::Up, "it answered");
    assert_eq!(bench.report().prober.answered, before + 1);
}

#[test]
fn a_flood_of_errors_causes_one_probe_in_a_fast_interval() {
    let mut bench = slow();
    let (before, _) = sent(&bench);
    let end = bench.now + Duration::from_millis(1_050);
    while bench.now < end {
        assert!(bench.offer(&unreachable(1)));
        bench.step(true);
    }
    let (after, out_of_turn) = sent(&bench);
    // At once, and each 500 ms afterwards.
    assert_eq!((after - before, out_of_turn), (3, 3));
    assert!(bench.report().suspicions > 500, "all were read");
    assert_eq!(bench.health(1), BackendHealth::Up);
}

#[test]
fn a_death_that_a_router_tells_of_is_known_long_before_the_next_turn() {
    let death = |told: bool| {
        let mut bench = slow();
        bench.backends[1] = Behaviour::Silent;
        let begun = bench.now;
        if told {
            assert!(bench.offer(&unreachable(2)));
        }
        while bench.health(2) == BackendHealth::Up {
            bench.run(Duration::from_millis(10), true);
            assert!(bench.now < Nanos(begun.0) + Duration::from_secs(20), "it is never found");
        }
        assert_eq!(bench.health(1), BackendHealth::Up);
        bench.now.since(begun)
    };
    let (told, untold) = (death(true), death(false));
    assert!(told < Duration::from_secs(2) && untold > Duration::from_secs(3), "{told:?} {untold:?}");
}

#[test]
fn errors_about_a_backend_that_is_down_cause_no_probes() {
    let mut bench = slow();
    bench.backends[0] = Behaviour::Silent;
    bench.run(Duration::from_secs(15), true);
    assert_eq!(bench.health(1), BackendHealth::Down);
    let (_, before) = sent(&bench);
    for _ in 0..100 {
        assert!(bench.offer(&unreachable(1)));
        bench.step(true);
    }
    assert_eq!(sent(&bench).1, before);
}
