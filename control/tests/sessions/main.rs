//! Sessions from a configuration to frames: two workers, their rings, and what becomes of packets of pools that rewrite
//! addresses.

mod adversary;
mod machine;
mod retry;
mod syn_proxy;
mod workers;

use guideway_control::source_ports::PortUse;
use guideway_control::state::Change;
use guideway_dataplane::craft::Craft;
use guideway_dataplane::drop_reason::DropReason;
use guideway_dataplane::time::Nanos;
use guideway_dataplane::wire::tcp::{ACK, FIN, RST, SYN};
use machine::{BACKEND, Left, Machine, OWN, ROUTER, config, end, pool};
use std::time::Duration;

const CLIENT: &str = "192.0.2.7:40000";
const VIP: &str = "203.0.113.10:80";

/// A VIP of one family, backends of the other.
#[test]
fn between_families() {
    let pools = pool("forward = \"fullnat\"", "address = \"fd00::11\"", &["203.0.113.10"]);
    let mut machine = Machine::new(config(&pools));
    let left = machine.client(0, CLIENT, VIP, SYN, (1, 0));
    let [Left { source, destination, .. }] = left[..] else { panic!("{left:?}") };
    assert_eq!((source.ip(), destination), (end("[fd00::1]:0").ip(), end("[fd00::11]:80")));
    let left = machine.backend(0, destination, source, SYN | ACK, (5, 2));
    assert_eq!(left, [Left { to: ROUTER, source: end(VIP), destination: end(CLIENT), flags: SYN | ACK }]);
}

/// A backend is a client of its own VIP: of another one and of itself.
#[test]
fn backends_are_clients_too() {
    let backend = "address = \"10.0.0.11\"\n[[pool.backend]]\nname = \"web2\"\naddress = \"10.0.0.12\"";
    let mut machine = Machine::new(config(&pool("forward = \"fullnat\"", backend, &["203.0.113.10"])));
    let mut servers = std::collections::BTreeSet::new();
    for port in 40_000..40_040 {
        let client = format!("10.0.0.11:{port}");
        let left = machine.client(0, &client, VIP, SYN, (100, 0));
        let [Left { to: BACKEND, source, destination, flags: SYN }] = left[..] else { panic!("{left:?}") };
        assert_eq!(source.ip(), end("10.0.0.1:0").ip());
        servers.insert(destination.ip());
        let left = machine.backend(0, destination, source, SYN | ACK, (900, 101));
        assert_eq!(left, [Left { to: ROUTER, source: end(VIP), destination: end(&client), flags: SYN | ACK }]);
    }
    assert_eq!(servers.len(), 2);
}

/// Each datagram has a header, or the first one of a flow.
#[test]
fn headers_of_datagrams() {
    for (keys, lens) in [("", [28, 28, 28]), ("proxy_datagrams = \"first\"", [28, 0, 0])] {
        let keys = format!("forward = \"fullnat\"\nproxy_protocol = \"v2\"\n{keys}");
        let pools = pool(&keys, "address = \"10.0.0.11\"", &["203.0.113.10"]).replace("\"tcp\"", "\"udp\"");
        let mut machine = Machine::new(config(&pools));
        let datagram = Craft::udp(end(CLIENT), end(VIP)).payload(&[7; 100]).macs(OWN, ROUTER).frame();
        let longer = lens.map(|_| machine.pass(0, &datagram)[0].len() - datagram.len());
        assert_eq!(longer, lens, "{keys}");
    }
}

#[test]
fn what_begins_nothing_is_dropped() {
    let mut machine =
        Machine::new(config(&pool("forward = \"fullnat\"", "address = \"10.0.0.11\"", &["203.0.113.10"])));
    for flags in [ACK, RST, FIN | ACK, SYN | ACK] {
        assert_eq!(machine.client(0, CLIENT, VIP, flags, (7, 8)), []);
    }
    assert_eq!((machine.dropped(DropReason::SessionNone), machine.live()), (4, 0));
}

/// Two VIPs with one backend, and a client that uses one port towards both: its packets would be one flow.
#[test]
fn a_tuple_is_one_sessions() {
    let vips = ["203.0.113.10", "203.0.113.11"];
    let mut machine = Machine::new(config(&pool("forward = \"nat\"", "address = \"10.0.0.11\"", &vips)));
    assert_eq!(machine.client(0, CLIENT, VIP, SYN, (1, 0)).len(), 1);
    assert_eq!(machine.client(0, CLIENT, "203.0.113.11:80", SYN, (1, 0)).len(), 0);
    assert_eq!(machine.dropped(DropReason::SessionTaken), 1);
}

/// A flood of SYNs takes no place from who is established; once all are, there is no room.
#[test]
fn room_is_for_those_who_are_there() {
    let keys = "forward = \"fullnat\"\n[state]\nsessions = 1024";
    let pools = pool("forward = \"fullnat\"", "address = \"10.0.0.11\"", &["203.0.113.10"]);
    let state = keys.split_once('\n').map_or("", |(_, state)| state);
    let mut machine = Machine::new(config(&format!("{state}\n{pools}")));
    let first = machine.connect(CLIENT, VIP);
    for port in 1_024..6_000 {
        assert_eq!(machine.client(0, &format!("198.51.100.9:{port}"), VIP, SYN, (1, 0)).len(), 1, "{port}");
    }
    assert!(machine.live() <= 1_024 / 4 + 1, "{}", machine.live());
    let left = machine.backend(0, end("10.0.0.11:80"), first, ACK, (901, 101));
    assert_eq!(left.len(), 1, "who is established is");
    for port in 10_000..11_023 {
        machine.connect(&format!("198.51.100.8:{port}"), VIP);
    }
    assert_eq!(machine.live(), 1_024);
    assert_eq!(machine.client(0, "198.51.100.7:5000", VIP, SYN, (1, 0)), []);
    assert_eq!(machine.dropped(DropReason::SessionsFull), 1);
}

/// A backend has some 60,000 ports of one source; the half of them is a worker's.
#[test]
fn source_ports_run_out() {
    let pools = pool("forward = \"fullnat\"", "address = \"10.0.0.11\"", &["203.0.113.10"]);
    let mut machine = Machine::new(config(&format!("[state]\nsessions = 40000\n{pools}")));
    let mut opened = 0;
    while machine.dropped(DropReason::SourcePorts) == 0 && opened < 31_000 {
        let from = format!("198.51.{}.9:{}", opened >> 8, 10_000 + (opened & 0xff));
        let left = machine.client(0, &from, VIP, SYN, (100, 0));
        if let [Left { source, destination, .. }] = left[..] {
            machine.backend(0, destination, source, SYN | ACK, (900, 101));
            machine.client(0, &from, VIP, ACK, (101, 901));
            opened += 1;
        }
    }
    assert!((27_000..=30_000).contains(&opened), "{opened} connections, then exhausted");
}

/// Operators are told before there is none left, and no longer than that lasts. What rests counts, for a minute.
#[test]
fn source_ports_are_counted_and_warned_of() {
    let pools = pool("forward = \"fullnat\"", "address = \"10.0.0.11\"", &["203.0.113.10"]);
    let mut machine = Machine::new(config(&format!("[state]\nsessions = 40000\n{pools}")));
    let used = |machine: &Machine| {
        let state = machine.control.state();
        let (pool, backend) = (&state.config.pools[0], &state.config.pools[0].backends[0]);
        machine.control.source_ports_of(pool, backend.address, state.pools[0].backends[0].id).expect("it is fullnat")
    };
    machine.control.step(machine.now);
    assert_eq!(used(&machine), PortUse { in_use: 0, resting: 0, total: 60_000 });
    // Each worker has the half of the ports.
    let client = |number: u32| format!("198.51.{}.9:{}", number >> 8, 10_000 + (number & 0xff));
    for number in 0..49_000_u32 {
        let (at, from) = (number as usize % 2, client(number));
        let left = machine.client(at, &from, VIP, SYN, (100, 0));
        let [Left { source, destination, .. }] = left[..] else { panic!("{number}: {left:?}") };
        machine.backend(at, destination, source, SYN | ACK, (900, 101));
        machine.client(at, &from, VIP, ACK, (101, 901));
        // A third of them are reset at once.
        if number % 3 == 0 {
            machine.client(at, &from, VIP, RST | ACK, (101, 901));
        }
    }
    let after = |seconds: u64, machine: &mut Machine| {
        for _ in 0..seconds {
            machine.now = machine.now + Duration::from_secs(1);
            (0..600).for_each(|_| machine.idle());
            machine.control.step(machine.now);
        }
        machine.control.crowded_source_ports()
    };
    let warnings = after(6, &mut machine);
    assert_eq!(used(&machine), PortUse { in_use: 49_000, resting: 0, total: 60_000 });
    assert!(
        matches!(&warnings[..], [one] if one.starts_with("web/web1: 49000 source ports are in use")),
        "{warnings:?}"
    );
    // Those that were reset are forgotten after 20 s, and their ports rest.
    let warnings = after(24, &mut machine);
    assert_eq!(used(&machine), PortUse { in_use: 49_000 - 16_334, resting: 16_334, total: 60_000 });
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    let warnings = after(85, &mut machine);
    assert_eq!(used(&machine), PortUse { in_use: 49_000 - 16_334, resting: 0, total: 60_000 });
    assert_eq!(warnings, Vec::<String>::new());
}

/// With `sessions_full = "evict"` a new flow takes the place of one that is silent, and of no other.
#[test]
fn silent_sessions_give_way_where_they_may() {
    for (full, gives_way) in [("drop", false), ("evict", true)] {
        let pools = pool("forward = \"fullnat\"", "address = \"10.0.0.11\"", &["203.0.113.10"]);
        let state = format!("[state]\nsessions = 1024\nsessions_full = \"{full}\"\nembryonic_sessions = 10\n{pools}");
        let mut machine = Machine::new(config(&state));
        let client = |number: u32| format!("198.51.100.8:{}", 10_000 + number);
        for number in 0..1_024 {
            machine.connect(&client(number), VIP);
        }
        assert_eq!(machine.client(0, CLIENT, VIP, SYN, (1, 0)), [], "nobody has been silent for long");
        machine.now = machine.now + Duration::from_secs(30);
        // All but the last ten speak.
        for number in 0..1_014 {
            assert_eq!(machine.client(0, &client(number), VIP, ACK, (101, 901)).len(), 1);
        }
        let (mut entered, mut told) = (0, 0);
        // Who asks again and again gets a place: a look is at eight sessions, and passes over those that speak.
        for attempt in 0..400 {
            let left = machine.client(0, &format!("198.51.100.9:{}", 1_024 + attempt), VIP, SYN, (1, 0));
            let resets = left.iter().filter(|left| left.flags == RST | ACK).count();
            let syns = left.iter().filter(|left| left.flags == SYN).count();
            assert!(resets == 0 || (resets, syns) == (2, 1), "who gives way is told, on both sides: {left:?}");
            (entered, told) = (entered + syns, told + resets / 2);
        }
        let speak = (0..1_014).filter(|number| machine.client(0, &client(*number), VIP, ACK, (101, 901)).len() == 1);
        assert_eq!(speak.count(), 1_014, "who speaks keeps his place");
        let silent =
            (1_014..1_024).filter(|number| machine.client(0, &client(*number), VIP, ACK, (101, 901)).len() == 1);
        if gives_way {
            let gone = 10 - silent.count();
            assert!(
                entered >= gone && (gone, gone > 0) == (told, true),
                "{entered} entered, {gone} gave way, {told} were told"
            );
        } else {
            assert_eq!((entered, silent.count()), (0, 10));
        }
    }
}

/// A client whose backend was taken out by force is told with its next segment, once its backend's record is gone.
#[test]
fn a_backend_that_is_gone_serves_no_session() {
    let other = "[[pool.backend]]\nname = \"web2\"\naddress = \"fd00::11\"\nweight = 0";
    let backend = format!("address = \"10.0.0.11\"\n{other}");
    let keys = "forward = \"fullnat\"\nidle_timeout = { tcp = \"1s\" }";
    let mut machine = Machine::new(config(&pool(keys, &backend, &["203.0.113.10"])));
    machine.connect(CLIENT, VIP);
    machine.control.change("web", "web1", Change::Remove { force: true }, machine.now).expect("it is there");
    // It never is silent for long.
    let told = (0..200).find_map(|_| {
        machine.now = machine.now + Duration::from_millis(100);
        machine.control.step(machine.now);
        let left = machine.client(0, CLIENT, VIP, ACK, (101, 901));
        left.iter().all(|left| left.to != BACKEND).then_some(left)
    });
    let reset = Left { to: ROUTER, source: end(VIP), destination: end(CLIENT), flags: RST | ACK };
    assert_eq!(told, Some(vec![reset]));
    assert_eq!((machine.dropped(DropReason::SessionBackend), machine.live()), (1, 0));
    assert_eq!(machine.client(0, CLIENT, VIP, ACK, (101, 901)), []);
}

/// The silence that ends a session depends on how far its connection is.
#[test]
fn sessions_end_in_their_time() {
    let pools =
        pool("forward = \"fullnat\"\nidle_timeout = { tcp = \"100s\" }", "address = \"10.0.0.11\"", &["203.0.113.10"]);
    let mut machine = Machine::new(config(&pools));
    machine.client(0, "192.0.2.7:1001", VIP, SYN, (1, 0));
    machine.connect("192.0.2.7:1002", VIP);
    let source = machine.connect("192.0.2.7:1003", VIP);
    machine.client(0, "192.0.2.7:1003", VIP, FIN | ACK, (101, 901));
    machine.backend(0, end("10.0.0.11:80"), source, FIN | ACK, (901, 102));
    machine.client(0, "192.0.2.7:1003", VIP, ACK, (102, 902));
    let mut at = |seconds: u64| {
        machine.now = Nanos((1 + seconds) * 1_000_000_000);
        machine.idle();
        machine.live()
    };
    assert_eq!([at(19), at(21), at(39), at(41), at(99), at(101)], [3, 2, 2, 1, 1, 0]);
}
