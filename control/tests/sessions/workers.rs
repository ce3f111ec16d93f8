//! Which of two workers has a session, and how its packets get there.

use super::VIP;
use super::machine::{BACKEND, Left, Machine, OWN, ROUTER, config, end, pool};
use guideway_dataplane::hash::USUAL_KEY;
use guideway_dataplane::ids::WorkerId;
use guideway_dataplane::rss::{HashesPorts, Rss};
use guideway_dataplane::session::{Endpoint, Tuple};
use guideway_dataplane::snapshot::PortState;
use guideway_dataplane::vip::address_bits;
use guideway_dataplane::wire::protocol;
use guideway_dataplane::wire::tcp::{ACK, SYN};
use std::net::SocketAddr;
use std::sync::Arc;

/// Both directions, from whichever worker: a session is in one of them, and packets hop to it.
#[test]
fn full_nat_in_both_directions_at_two_workers() {
    let keys = "forward = \"fullnat\"\nsource_addresses = [\"10.0.0.100\"]";
    let mut machine = Machine::new(config(&pool(keys, "address = \"10.0.0.11\"\nport = 8080", &["203.0.113.10"])));
    for arrival in 0..2 {
        let client = format!("192.0.2.7:4000{arrival}");
        let left = machine.client(arrival, &client, VIP, SYN, (100, 0));
        let [Left { to: BACKEND, source, destination, flags: SYN }] = left[..] else { panic!("{left:?}") };
        assert_eq!((source.ip(), destination), (end("10.0.0.100:0").ip(), end("10.0.0.11:8080")));
        assert_eq!(usize::from(source.port()) % 2, arrival, "the port names the worker");
        for at in 0..2 {
            let left = machine.backend(at, destination, source, SYN | ACK, (900, 101));
            let answer = Left { to: ROUTER, source: end(VIP), destination: end(&client), flags: SYN | ACK };
            assert_eq!(left, [answer], "at worker {at}");
        }
        assert_eq!(machine.client(arrival, &client, VIP, ACK, (101, 901)).len(), 1);
    }
    let handed: u64 = machine.counters.iter().map(|counters| counters.handed_off.get()).sum();
    assert_eq!((handed, machine.live()), (2, 2), "one answer of each came to the other worker");
}

/// With a card that spreads flows, and tells how: what it brings of a session comes to one worker in both directions, and to others
/// if it does not tell.
#[test]
fn answers_come_where_their_session_is() {
    let all = HashesPorts { tcp_v4: true, udp_v4: true, tcp_v6: true, udp_v6: true };
    let card = Rss::new(&USUAL_KEY, [WorkerId(0), WorkerId(1)].repeat(64).into(), all).expect("a card");
    let worker_of = |from: SocketAddr, to: SocketAddr| {
        let end = |end: SocketAddr| Endpoint { address: address_bits(end.ip()), port: end.port() };
        card.worker_of(&Tuple { source: end(from), destination: end(to), protocol: protocol::TCP }).index()
    };
    for (backend, own) in [("10.0.0.11", "10.0.0.1"), ("fd00::11", "fd00::1")] {
        let handed = [true, false].map(|tells| {
            let pools = pool("forward = \"fullnat\"", &format!("address = \"{backend}\""), &["203.0.113.10"]);
            let rss = tells.then(|| Arc::new(card.clone()));
            let mut machine = Machine::with_port(config(&pools), PortState { rss, ..PortState::new(OWN) });
            let mut at_workers = [0; 2];
            for number in 0..200 {
                let client = format!("192.0.2.{}:{}", number % 50 + 1, 40_000 + number);
                let arrival = worker_of(end(&client), end(VIP));
                at_workers[arrival] += 1;
                let left = machine.client(arrival, &client, VIP, SYN, (100, 0));
                let [Left { source, destination, .. }] = left[..] else { panic!("{left:?}") };
                assert_eq!(source.ip().to_string(), own);
                let left = machine.backend(worker_of(destination, source), destination, source, SYN | ACK, (900, 101));
                assert_eq!(left, [Left { to: ROUTER, source: end(VIP), destination: end(&client), flags: SYN | ACK }]);
            }
            assert!(at_workers.iter().all(|count| *count > 50), "{at_workers:?}");
            machine.counters.iter().map(|counters| counters.handed_off.get()).sum::<u64>()
        });
        assert_eq!(handed[0], 0, "of {backend}");
        assert!((60..140).contains(&handed[1]), "of {backend}: {handed:?}");
    }
}

/// With the client's own address the owner follows from it, wherever its packets come in.
#[test]
fn nat_at_two_workers() {
    let mut machine = Machine::new(config(&pool("forward = \"nat\"", "address = \"10.0.0.11\"", &["203.0.113.10"])));
    for port in 40_000..40_020 {
        let client = format!("192.0.2.7:{port}");
        for at in [0, 1] {
            let left = machine.client(at, &client, VIP, SYN, (100, 0));
            let to = Left { to: BACKEND, source: end(&client), destination: end("10.0.0.11:80"), flags: SYN };
            assert_eq!(left, [to]);
            let left = machine.backend(at, end("10.0.0.11:80"), end(&client), SYN | ACK, (900, 101));
            assert_eq!(left, [Left { to: ROUTER, source: end(VIP), destination: end(&client), flags: SYN | ACK }]);
        }
    }
    assert_eq!(machine.live(), 20, "one session each");
}
