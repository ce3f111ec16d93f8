//! Connections that a backend does not answer, packet by packet.

use crate::machine::{BACKEND, Left, Machine, OWN, ROUTER, config, end};
use crate::{CLIENT, VIP};
use guideway_dataplane::craft::Craft;
use guideway_dataplane::drop_reason::DropReason;
use guideway_dataplane::wire::tcp::{ACK, RST, SYN};
use std::net::SocketAddr;
use std::time::Duration;

/// A pool of two backends.
fn machine(keys: &str) -> Machine {
    let backend = |n| format!("[[pool.backend]]\nname = \"web{n}\"\naddress = \"10.0.0.{}\"\n", 10 + n);
    let text = format!(
        "[[pool]]\nname = \"web\"\nhealth = {{ kind = \"none\" }}\n{keys}\n{}{}\
         [[vip]]\naddress = \"203.0.113.10\"\nprotocol = \"tcp\"\nport = 80\npool = \"web\"\n",
        backend(1),
        backend(2)
    );
    Machine::new(config(&text))
}

/// A client begins; the source and the backend of its SYN.
fn begin(machine: &mut Machine) -> (SocketAddr, SocketAddr) {
    let left = machine.client(0, CLIENT, VIP, SYN, (100, 0));
    let [Left { to: BACKEND, source, destination, flags: SYN }] = left[..] else { panic!("{left:?}") };
    (source, destination)
}

/// What leaves after this time.
fn later(machine: &mut Machine, millis: u64) -> Vec<Left> {
    machine.now = machine.now + Duration::from_millis(millis);
    machine.poll().iter().map(|frame| crate::machine::read(frame)).collect()
}

#[test]
fn a_refusal_goes_to_another_backend() {
    for keys in ["forward = \"fullnat\"", "forward = \"nat\""] {
        let mut machine = machine(keys);
        let (source, first) = begin(&mut machine);
        // One who does not know the number says nothing.
        let forged = machine.backend(0, first, source, RST | ACK, (0, 5_000));
        assert!(forged.iter().all(|left| left.flags != SYN), "{forged:?}");
        let mut machine = self::machine(keys);
        let (source, first) = begin(&mut machine);
        let left = machine.backend(0, first, source, RST | ACK, (0, 101));
        let [Left { to: BACKEND, source: again, destination: second, flags: SYN }] = left[..] else {
            panic!("{left:?}")
        };
        assert_ne!(first, second);
        assert_eq!(machine.dropped(DropReason::ConnectRetried), 1);
        let silent: Vec<_> = machine.rings.iter().filter_map(|rings| rings.punts.silent().pop()).collect();
        assert_eq!(silent.len(), 1, "who refused is probed at once");
        let left = machine.backend(0, second, again, SYN | ACK, (900, 101));
        assert_eq!(left, [Left { to: ROUTER, source: end(VIP), destination: end(CLIENT), flags: SYN | ACK }]);
        // Once a client has an answer, it stays.
        let left = machine.backend(0, second, again, RST | ACK, (901, 101));
        assert_eq!(left, [Left { to: ROUTER, source: end(VIP), destination: end(CLIENT), flags: RST | ACK }]);
    }
}

#[test]
fn silence_goes_to_another_backend_whose_predecessor_is_told() {
    for keys in ["forward = \"fullnat\"", "forward = \"nat\""] {
        let mut machine = machine(&format!("{keys}\nconnect_timeout = \"200ms\""));
        let (source, first) = begin(&mut machine);
        assert_eq!(later(&mut machine, 190), []);
        let left = later(&mut machine, 30);
        let [Left { source: again, destination: second, flags: SYN, .. }] = left[..] else { panic!("{left:?}") };
        assert!(first != second && (again != source || keys.contains("\"nat\"")));
        let left = machine.backend(0, first, source, SYN | ACK, (500, 101));
        assert_eq!(left, [Left { to: BACKEND, source, destination: first, flags: RST }], "{keys}: it came too late");
        assert_eq!(machine.dropped(DropReason::ConnectLate), 1);
        assert_eq!(machine.backend(0, second, again, SYN | ACK, (900, 101)).len(), 1);
        assert_eq!(machine.live(), 1);
        assert_eq!(later(&mut machine, 5_000), [], "nobody else is asked");
    }
}

#[test]
fn a_router_that_finds_nobody_refuses_too() {
    let mut machine = machine("forward = \"fullnat\"");
    let (source, first) = begin(&mut machine);
    let syn = Craft::tcp(source, first, SYN).numbers(100, 0);
    let error = |code: u8| {
        let router = "10.0.0.250".parse().expect("an address");
        Craft::icmp(router, source.ip(), 3, code, [0; 4]).payload(&syn.ip_packet()).macs(OWN, BACKEND).frame()
    };
    let left = machine.offer(0, &error(1));
    assert!(matches!(left[..], [Left { flags: SYN, destination, .. }] if destination != first), "{left:?}");
}

#[test]
fn when_nobody_is_left_the_client_learns_of_it() {
    let mut machine = machine("forward = \"fullnat\"");
    let (source, first) = begin(&mut machine);
    let left = machine.backend(0, first, source, RST | ACK, (0, 101));
    let [Left { source: again, destination: second, .. }] = left[..] else { panic!("{left:?}") };
    let left = machine.backend(0, second, again, RST | ACK, (0, 101));
    assert_eq!(left, [Left { to: ROUTER, source: end(VIP), destination: end(CLIENT), flags: RST | ACK }]);
}

/// Both sides of a connection that was silent for too long learn that it is over.
#[test]
fn silence_resets_both_sides() {
    let mut machine = machine("forward = \"fullnat\"\nidle_timeout = { tcp = \"10s\" }");
    let (source, backend) = begin(&mut machine);
    machine.backend(0, backend, source, SYN | ACK, (900, 101));
    machine.client(0, CLIENT, VIP, ACK, (101, 901));
    machine.backend(0, backend, source, ACK, (901, 151));
    assert_eq!(later(&mut machine, 9_900), []);
    machine.now = machine.now + Duration::from_millis(500);
    let frames = machine.poll();
    let numbers: Vec<_> = frames.iter().map(|frame| (crate::machine::read(frame), numbers_of(frame))).collect();
    let to_backend = Left { to: BACKEND, source, destination: backend, flags: RST | ACK };
    let to_client = Left { to: [2, 0, 0, 0, 0, 0xfe], source: end(VIP), destination: end(CLIENT), flags: RST | ACK };
    assert_eq!(numbers, [(to_backend, (151, 901)), (to_client, (901, 151))]);
    assert_eq!(machine.live(), 0);
}

/// Sequence number and acknowledgement of an IPv4 segment.
pub fn numbers_of(frame: &[u8]) -> (u32, u32) {
    let at = |offset: usize| u32::from_be_bytes(*frame[offset..].first_chunk().expect("a TCP header"));
    (at(38), at(42))
}

/// A backend answers for as long as it hears nothing: the client's acknowledgement of the last answer still makes a connection.
#[test]
fn who_answers_again_and_again_is_not_forgotten() {
    let mut machine = machine("forward = \"fullnat\"");
    let (source, backend) = begin(&mut machine);
    // When Linux does, with each gap an eighth longer than it should be.
    for gap in [0_u64, 1_125, 2_250, 4_500, 9_000, 18_000, 36_000] {
        later(&mut machine, gap);
        let left = machine.backend(0, backend, source, SYN | ACK, (900, 101));
        assert_eq!(left, [Left { to: ROUTER, source: end(VIP), destination: end(CLIENT), flags: SYN | ACK }], "{gap}");
    }
    let left = machine.client(0, CLIENT, VIP, ACK, (101, 901));
    assert_eq!(left, [Left { to: BACKEND, source, destination: backend, flags: ACK }]);
    // A client that never acknowledges is forgotten a while after the last answer.
    let mut machine = self::machine("forward = \"fullnat\"");
    let (source, backend) = begin(&mut machine);
    machine.backend(0, backend, source, SYN | ACK, (900, 101));
    later(&mut machine, 30_000);
    machine.backend(0, backend, source, SYN | ACK, (900, 101));
    later(&mut machine, 39_000);
    assert_eq!(machine.live(), 1);
    later(&mut machine, 2_000);
    assert_eq!(machine.live(), 0);
}
