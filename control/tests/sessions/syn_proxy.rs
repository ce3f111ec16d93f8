//! The SYN proxy, packet by packet.

use crate::machine::{BACKEND, Left, Machine, OWN, ROUTER, config, end, pool, read};
use crate::retry::numbers_of;
use crate::{CLIENT, VIP};
use guideway_dataplane::craft::Craft;
use guideway_dataplane::drop_reason::DropReason;
use guideway_dataplane::wire::tcp::{ACK, PSH, RST, SYN};
use std::net::SocketAddr;
use std::time::Duration;

fn machine(keys: &str) -> Machine {
    let keys = format!("forward = \"fullnat\"\n{keys}");
    Machine::new(config(&pool(&keys, "address = \"10.0.0.11\"", &["203.0.113.10", "2001:db8::10"])))
}

fn cookies(machine: &Machine) -> u64 {
    machine.counters.iter().map(|counters| counters.sessions.cookies.get()).sum()
}

/// A client's SYN; the answer's sequence number.
fn ask(machine: &mut Machine, worker: usize, client: &str, vip: &str, first: u32) -> u32 {
    let frame = Craft::tcp(end(client), end(vip), SYN).numbers(first, 0).macs(OWN, ROUTER).frame();
    let left = machine.pass(worker, &frame);
    let [answer] = &left[..] else { panic!("{} frames", left.len()) };
    let said = Left { to: ROUTER, source: end(vip), destination: end(client), flags: SYN | ACK };
    assert_eq!(read(answer), said);
    let transport = if end(vip).is_ipv4() { 34 } else { 54 };
    let word = |at: usize| u32::from_be_bytes(*answer[transport + at..].first_chunk().expect("a TCP header"));
    assert_eq!(word(8), first.wrapping_add(1));
    assert_eq!(answer[transport + 14..transport + 16], [0; 2], "the window is closed");
    word(4)
}

/// A client that has proven to be there; the source and the backend of the SYN that follows.
fn prove(machine: &mut Machine, worker: usize, client: &str, cookie: u32) -> (SocketAddr, SocketAddr) {
    let left = machine.client(worker, client, VIP, ACK, (101, cookie.wrapping_add(1)));
    let [Left { to: BACKEND, source, destination, flags: SYN }] = left[..] else { panic!("{left:?}") };
    (source, destination)
}

#[test]
fn a_backend_hears_of_those_only_who_are_there() {
    let mut machine = machine("syn_proxy = \"on\"");
    let cookie = ask(&mut machine, 0, CLIENT, VIP, 100);
    assert_eq!(machine.live(), 0);
    for wrong in [cookie, cookie.wrapping_add(2), 0, 1 << 31] {
        assert_eq!(machine.client(0, CLIENT, VIP, ACK, (101, wrong)), [], "{wrong}");
    }
    assert_eq!(machine.client(0, "192.0.2.7:40001", VIP, ACK, (101, cookie.wrapping_add(1))), [], "another client");
    assert_eq!((machine.live(), machine.dropped(DropReason::SessionNone)), (0, 5));
    // Another worker than the one that made it.
    let (source, backend) = prove(&mut machine, 1, CLIENT, cookie);
    assert_eq!(machine.live(), 1);
    let frame = Craft::tcp(backend, source, SYN | ACK).numbers(900, 101).macs(OWN, BACKEND).frame();
    let frames = machine.pass(0, &frame);
    let said: Vec<_> = frames.iter().map(|frame| (read(frame), numbers_of(frame))).collect();
    let joined = Left { to: BACKEND, source, destination: backend, flags: ACK };
    let opened = Left { to: ROUTER, source: end(VIP), destination: end(CLIENT), flags: ACK };
    let next = cookie.wrapping_add(1);
    assert_eq!(said, [(joined.clone(), (101, 901)), (opened.clone(), (next, 101))]);
    // From then on numbers are shifted.
    let data = Craft::tcp(end(CLIENT), end(VIP), ACK | PSH).numbers(101, next).payload(b"hello").macs(OWN, ROUTER);
    let left = machine.pass(1, &data.frame());
    assert_eq!((read(&left[0]).flags, numbers_of(&left[0])), (ACK | PSH, (101, 901)));
    let answer = Craft::tcp(backend, source, ACK | PSH).numbers(901, 106).payload(b"hello").macs(OWN, BACKEND);
    let left = machine.pass(1, &answer.frame());
    assert_eq!((read(&left[0]).flags, numbers_of(&left[0])), (ACK | PSH, (next, 106)));
    let reset = Craft::tcp(backend, source, RST | ACK).numbers(906, 106).macs(OWN, BACKEND);
    let left = machine.pass(1, &reset.frame());
    assert_eq!((read(&left[0]).flags, numbers_of(&left[0])), (RST | ACK, (next + 5, 106)));
}

#[test]
fn ipv6_clients_prove_it_too() {
    let mut machine = machine("syn_proxy = \"on\"");
    let (client, vip) = ("[2001:db8:1::7]:40000", "[2001:db8::10]:80");
    let cookie = ask(&mut machine, 0, client, vip, u32::MAX);
    let left = machine.client(0, client, vip, ACK, (0, cookie.wrapping_add(1)));
    let [Left { to: BACKEND, destination, flags: SYN, .. }] = left[..] else { panic!("{left:?}") };
    assert_eq!(destination, end("10.0.0.11:80"));
}

#[test]
fn a_cookie_grows_stale() {
    let mut machine = machine("syn_proxy = \"on\"");
    let cookie = ask(&mut machine, 0, CLIENT, VIP, 100);
    machine.now = machine.now + Duration::from_secs(130);
    assert_eq!(machine.client(0, CLIENT, VIP, ACK, (101, cookie.wrapping_add(1))), []);
    let cookie = ask(&mut machine, 0, CLIENT, VIP, 100);
    machine.now = machine.now + Duration::from_secs(60);
    prove(&mut machine, 0, CLIENT, cookie);
}

#[test]
fn a_client_whose_backend_refuses_is_told() {
    let mut machine = machine("syn_proxy = \"on\"");
    let cookie = ask(&mut machine, 0, CLIENT, VIP, 100);
    let (source, backend) = prove(&mut machine, 0, CLIENT, cookie);
    let refusal = Craft::tcp(backend, source, RST | ACK).numbers(0, 101).macs(OWN, BACKEND).frame();
    let frames = machine.pass(0, &refusal);
    let [reset] = &frames[..] else { panic!("{} frames", frames.len()) };
    assert_eq!(read(reset), Left { to: ROUTER, source: end(VIP), destination: end(CLIENT), flags: RST | ACK });
    assert_eq!((numbers_of(reset), machine.live()), ((cookie.wrapping_add(1), 101), 0));
}

/// With the client's own address and port it is the same, and the owner of its session is who its address says.
#[test]
fn clients_that_keep_their_address_prove_it_too() {
    let text = pool("forward = \"nat\"\nsyn_proxy = \"on\"", "address = \"10.0.0.11\"", &["203.0.113.10"]);
    let mut machine = Machine::new(config(&text));
    for port in 40_000..40_010 {
        let client = format!("192.0.2.7:{port}");
        let cookie = ask(&mut machine, 0, &client, VIP, 100);
        let (source, backend) = prove(&mut machine, 1, &client, cookie);
        assert_eq!((source, backend), (end(&client), end("10.0.0.11:80")));
        let left = machine.backend(0, backend, source, SYN | ACK, (900, 101));
        assert_eq!(left.len(), 2, "{left:?}");
    }
}

/// Nobody answers: the SYN is sent again, since the client will not, and at last the client is told.
#[test]
fn a_client_whose_backend_is_silent_is_told() {
    let mut machine = machine("syn_proxy = \"on\"\nconnect_timeout = \"100ms\"");
    let cookie = ask(&mut machine, 0, CLIENT, VIP, 100);
    prove(&mut machine, 0, CLIENT, cookie);
    let mut flags = Vec::new();
    for _ in 0..100 {
        machine.now = machine.now + Duration::from_millis(100);
        flags.extend(machine.poll().iter().map(|frame| read(frame).flags));
    }
    assert_eq!((&flags[..], machine.live()), (&[SYN, SYN, SYN, RST | ACK][..], 0));
}

/// A SYN may have been lost: who was silent is asked again, before the last one is for a longer time.
#[test]
fn backends_that_are_silent_are_asked_again() {
    let other = "[[pool.backend]]\nname = \"web2\"\naddress = \"10.0.0.12\"";
    let keys = "forward = \"fullnat\"\nsyn_proxy = \"on\"\nconnect_timeout = \"100ms\"";
    let backends = format!("address = \"10.0.0.11\"\n{other}");
    let mut machine = Machine::new(config(&pool(keys, &backends, &["203.0.113.10"])));
    let cookie = ask(&mut machine, 0, CLIENT, VIP, 100);
    let mut asked = vec![prove(&mut machine, 0, CLIENT, cookie)];
    for _ in 0..150 {
        machine.now = machine.now + Duration::from_millis(100);
        let syns = machine.poll().iter().map(|frame| read(frame)).filter(|left| left.flags == SYN).collect::<Vec<_>>();
        asked.extend(syns.iter().map(|left| (left.source, left.destination)));
    }
    let [first, second] = [asked[0].1, asked[1].1];
    let backends: Vec<_> = asked.iter().map(|(_, backend)| *backend).collect();
    assert_eq!(backends[..6], [first, second].repeat(3));
    assert_eq!(backends[6..], [second; 3]);
    assert!(first != second && asked[0].0 != asked[2].0, "from another source: {asked:?}");
    assert_eq!(machine.live(), 0);
}

/// A flood of SYNs leaves nothing behind; without the proxy each is a session.
#[test]
fn a_flood_leaves_nothing_behind() {
    let mut machine = machine("syn_proxy = \"on\"");
    for number in 0..20_000_u32 {
        let [_, b, c, d] = number.to_be_bytes();
        ask(&mut machine, 0, &format!("198.{b}.{c}.{d}:5000"), VIP, number);
    }
    assert_eq!((machine.live(), cookies(&machine)), (0, 20_000));
}

#[test]
fn only_in_a_flood() {
    // Half of the rate is a worker's.
    let mut machine = machine("syn_proxy = \"auto\"\nsyn_proxy_rate = 2000");
    let second = |machine: &mut Machine, count: u32, from: u32| {
        let before = cookies(machine);
        for number in 0..count {
            machine.now = machine.now + Duration::from_secs(1) / count;
            let client = format!("198.51.{}.{}:{}", number >> 8 & 0xff, number & 0xff, from + number % 7);
            machine.client(0, &client, VIP, SYN, (number, 0));
        }
        cookies(machine) - before
    };
    assert_eq!(second(&mut machine, 900, 1_000), 0);
    let flooded = second(&mut machine, 4_000, 2_000);
    assert!((3_890..=4_000).contains(&flooded), "{flooded}: all but a tenth of a second's worth at most");
    assert_eq!(second(&mut machine, 500, 3_000), 500, "it is not over yet");
    machine.now = machine.now + Duration::from_secs(5);
    assert_eq!(second(&mut machine, 500, 4_000), 0);
}

/// Handshakes that nobody completes fill their room slowly: then too.
#[test]
fn when_handshakes_take_the_room() {
    let text = pool("forward = \"fullnat\"\nsyn_proxy = \"auto\"", "address = \"10.0.0.11\"", &["203.0.113.10"]);
    let mut machine = Machine::new(config(&format!("[state]\nsessions = 1024\n{text}")));
    for number in 0..1_000_u32 {
        machine.client(0, &format!("198.51.100.9:{}", 2_000 + number), VIP, SYN, (number, 0));
    }
    assert!((200..=256).contains(&machine.live()), "{}", machine.live());
    assert_eq!(cookies(&machine), 1_000 - machine.live());
}
