//! Whole connections through a worker, between TCP stacks, over wires that lose, repeat and delay: every byte arrives, whatever
//! stands between.
//!
//! `GUIDEWAY_CONNECTIONS` says how many connections of each kind; a test that comes often has some dozens.

use crate::machine::{Machine, config, read};
use guideway_dataplane::counters::{Counter, SessionCounters};

use guideway_stacks::{Hostile, Random, Side, Talk};
use std::net::IpAddr;
use std::time::Duration;

/// After so long a connection hangs. A lost segment comes again after a second, then two, and so on.
const PATIENCE_MILLIS: i64 = 300_000;
const VIP: [u8; 4] = [203, 0, 113, 10];
const BACKENDS: [[u8; 4]; 3] = [[10, 0, 0, 11], [10, 0, 0, 12], [10, 0, 0, 13]];

/// What the first of the backends does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum First {
    Serves,
    /// Nobody listens there.
    Refuses,
    /// Nothing comes back.
    IsSilent,
}

/// How clients and servers talk, and over what.
#[derive(Clone, Copy, Debug)]
struct Kind {
    /// Keys of the pool beside `forward = "fullnat"`.
    keys: &'static str,
    /// Whether the server reads a header first.
    has_header: bool,
    /// Bytes that the client and the server send.
    sizes: [usize; 2],
    /// Who waits for the other.
    waits: [bool; 2],
    timestamps: bool,
    percent: u64,
    first: First,
}

const PLAIN: Kind = Kind {
    keys: "",
    has_header: false,
    sizes: [3_000, 20_000],
    waits: [false, true],
    timestamps: true,
    percent: 5,
    first: First::Serves,
};

fn machine(kind: Kind) -> Machine {
    let keys = kind.keys;
    let backend = |n| format!("[[pool.backend]]\nname = \"web{n}\"\naddress = \"10.0.0.{}\"\n", 10 + n);
    let backends: String = (1..=3).map(backend).collect();
    // With as many sources as it takes to make this many connections in the time that a port rests.
    let sources: Vec<_> = (1..=60).map(|n| format!("\"10.0.0.{}\"", 100 + n)).collect();
    let text = format!(
        "[[pool]]\nname = \"web\"\nhealth = {{ kind = \"none\" }}\nforward = \"fullnat\"\nsource_addresses = [{}]\n{keys}\n{backends}\
         [[vip]]\naddress = \"203.0.113.10\"\nprotocol = \"tcp\"\nport = 80\npool = \"web\"\n",
        sources.join(", ")
    );
    Machine::new(config(&text))
}

fn counted(machine: &Machine, of: fn(&SessionCounters) -> &Counter) -> u64 {
    machine.counters.iter().map(|counters| of(&counters.sessions).get()).sum()
}

/// Who gets a frame: nobody knows of `None`.
fn receiver(frame: &[u8]) -> Option<usize> {
    let IpAddr::V4(to) = read(frame).destination.ip() else { return None };
    BACKENDS.iter().position(|backend| *backend == to.octets())
}

/// One connection, through a machine that others went through before. After how many milliseconds the client was connected, or why
/// it failed.
fn connect(machine: &mut Machine, kind: Kind, seed: u64) -> Result<i64, String> {
    let mut random = Random::new(seed);
    let [of_client, of_server] = kind.sizes.map(|len| random.bytes(len));
    let talk =
        |to_send: &[u8], waits| Talk { to_send: to_send.to_vec(), waits, buffer: 65_535, timestamps: kind.timestamps };
    let from = ([192, 0, 2, (seed / 40_000) as u8 + 1], 20_000 + (seed % 40_000) as u16);
    let mut client = Side::client(from, (VIP, 80), random.next(), talk(&of_client, kind.waits[0]));
    let mut servers = BACKENDS.map(|backend| {
        let port = if backend == BACKENDS[0] && kind.first == First::Refuses { 81 } else { 80 };
        Side::server((backend, port), random.next(), talk(&of_server, kind.waits[1]))
    });
    // From client and to client; from backends and to them.
    let mut wires: [Hostile; 4] = std::array::from_fn(|_| Hostile::default());
    let begin = machine.now;
    let mut connected = None;
    let mut send = |wire: &mut Hostile, frames, now| wire.send(frames, now, kind.percent, &mut random);
    for now in 0..PATIENCE_MILLIS {
        machine.now = begin + Duration::from_millis(now as u64);
        let arrived = wires[1].arrived(now);
        let sent = client.step(now, arrived, of_server.len());
        send(&mut wires[0], sent, now);
        connected = connected.or_else(|| client.is_connected().then_some(now));
        let [from_client, from_backend] = [0, 2].map(|wire| wires[wire].arrived(now));
        let mut left = machine.poll();
        left.extend(from_client.iter().chain(&from_backend).flat_map(|frame| machine.pass(0, frame)));
        let (to_backends, to_client): (Vec<_>, Vec<_>) = left.into_iter().partition(|frame| receiver(frame).is_some());
        send(&mut wires[1], to_client, now);
        send(&mut wires[3], to_backends, now);
        let arrived = wires[3].arrived(now);
        for (number, server) in servers.iter_mut().enumerate() {
            let own: Vec<_> = arrived.iter().filter(|frame| receiver(frame) == Some(number)).cloned().collect();
            let own = if number == 0 && kind.first == First::IsSilent { Vec::new() } else { own };
            let header = header_len(kind, &server.got);
            let sent = server.step(now, own, header.map_or(usize::MAX, |header| header + of_client.len()));
            send(&mut wires[2], sent, now);
        }
        let serving = servers.iter().find(|server| !server.got.is_empty());
        if client.is_over() && serving.is_none_or(Side::is_over) {
            break;
        }
    }
    let got = servers.iter().filter(|server| !server.got.is_empty()).map(|server| &server.got).collect::<Vec<_>>();
    let expected = &of_client[..];
    let is_exact = match got[..] {
        [one] => header_len(kind, one).is_some_and(|header| one.get(header..) == Some(expected)),
        [] => expected.is_empty() && !kind.has_header,
        _ => false,
    };
    if !is_exact {
        let lens: Vec<_> = servers.iter().map(|server| (server.got.len(), server.state())).collect();
        return Err(format!(
            "the servers got {lens:?} of {} bytes; the client is {:?}",
            expected.len(),
            client.state()
        ));
    }
    if client.got != of_server {
        return Err(format!(
            "the client got {} of {} bytes; it is {:?}",
            client.got.len(),
            of_server.len(),
            client.state()
        ));
    }
    connected.ok_or_else(|| "the client was never connected".to_owned())
}

/// Length of the header that a stream begins with, once it is there.
fn header_len(kind: Kind, got: &[u8]) -> Option<usize> {
    if !kind.has_header {
        return Some(0);
    }
    let len = u16::from_be_bytes(*got.get(14..)?.first_chunk()?);
    Some(16 + usize::from(len)).filter(|len| got.len() >= *len)
}

fn connections() -> u64 {
    std::env::var("GUIDEWAY_CONNECTIONS").map_or(24, |count| count.parse().expect("GUIDEWAY_CONNECTIONS: a number"))
}

/// As many connections as are asked for; the machine after them, and when each client was connected, sorted.
fn all(kind: Kind) -> (Machine, Vec<i64>) {
    let count = connections();
    let mut machine = machine(kind);
    let mut times = Vec::new();
    let mut failed = Vec::new();
    for seed in 1..=count {
        match connect(&mut machine, kind, seed) {
            Ok(time) => times.push(time),
            Err(why) => failed.push((seed, why)),
        }
        // Sessions that are over end by time.
        machine.now = machine.now + Duration::from_secs(1);
    }
    times.sort_unstable();
    let at = |share: usize| times.get(times.len().saturating_sub(1) * share / 1_000);
    println!(
        "{kind:?}: {count} connections, {} failed; connected after {:?} ms (p50), {:?} (p99), {:?}",
        failed.len(),
        at(500),
        at(990),
        at(1_000)
    );
    assert!(failed.is_empty(), "{kind:?}: {} of {count}, first {:?}", failed.len(), failed[0]);
    (machine, times)
}

const HEADER: &str = "proxy_protocol = \"v2\"\nproxy_tlvs = [\"crc32c\", \"unique_id\", \"vip\"]";
const GUARDED: &str = "syn_proxy = \"on\"";
const BOTH: &str = "syn_proxy = \"on\"\nproxy_protocol = \"v2\"";

/// The four ways to talk: a client that speaks first, a server that does, both at once, and a client that only listens.
const TALKS: [([usize; 2], [bool; 2]); 4] = [
    ([700, 20_000], [false, true]),
    ([500, 90], [true, false]),
    ([30_000, 30_000], [false; 2]),
    ([0, 4_000], [false; 2]),
];

fn every_talk(kind: Kind) {
    for (sizes, waits) in TALKS {
        all(Kind { sizes, waits, ..kind });
    }
}

#[test]
fn through_full_nat() {
    every_talk(PLAIN);
}

#[test]
fn with_a_header() {
    every_talk(Kind { keys: HEADER, has_header: true, ..PLAIN });
}

/// A server that speaks first needs the client's acknowledgement: if that is lost, the client waits until it has something to
/// say. So there is no loss where the client has not.
#[test]
fn behind_the_syn_proxy() {
    for timestamps in [true, false] {
        let kind = Kind { keys: GUARDED, timestamps, ..PLAIN };
        all(Kind { sizes: TALKS[0].0, waits: TALKS[0].1, ..kind });
        all(Kind { sizes: TALKS[2].0, waits: TALKS[2].1, ..kind });
        all(Kind { sizes: TALKS[1].0, waits: TALKS[1].1, percent: 0, ..kind });
        let (machine, _) = all(Kind { sizes: TALKS[3].0, waits: TALKS[3].1, percent: 0, ..kind });
        let [cookies, proven] = [counted(&machine, |of| &of.cookies), counted(&machine, |of| &of.proven)];
        assert!(cookies >= connections() && proven == connections(), "{cookies} {proven}");
    }
}

#[test]
fn behind_the_syn_proxy_with_a_header() {
    let kind = Kind { keys: BOTH, has_header: true, ..PLAIN };
    all(Kind { sizes: TALKS[0].0, waits: TALKS[0].1, ..kind });
    all(Kind { sizes: TALKS[2].0, waits: TALKS[2].1, ..kind });
    all(Kind { sizes: TALKS[1].0, waits: TALKS[1].1, percent: 0, ..kind });
}

/// One of three backends does not answer: every client is served, by another one. When each was connected.
fn every_client_is_served(kind: Kind) -> Vec<i64> {
    let (machine, times) = all(kind);
    let retried = counted(&machine, |sessions| &sessions.retried);
    assert!(retried > connections() / 5, "{kind:?}: {retried}");
    times
}

#[test]
fn a_backend_that_refuses() {
    let times = every_client_is_served(Kind { first: First::Refuses, percent: 0, ..PLAIN });
    assert!(times.iter().all(|time| *time < 100), "nobody waits for long");
}

#[test]
fn a_backend_that_is_silent() {
    let times = every_client_is_served(Kind { first: First::IsSilent, percent: 0, ..PLAIN });
    assert!(times.iter().all(|time| *time < 700), "nobody waits for longer than the backend had to answer");
}

#[test]
fn a_backend_that_does_not_answer_and_lost_packets() {
    for first in [First::Refuses, First::IsSilent] {
        for (keys, has_header) in [("", false), (HEADER, true), (GUARDED, false), (BOTH, true)] {
            every_client_is_served(Kind { keys, has_header, first, ..PLAIN });
        }
    }
}

/// Without another try a third of the clients fails.
#[test]
fn one_try_is_not_enough() {
    let kind = Kind { keys: "connect_retries = 0", first: First::Refuses, percent: 0, ..PLAIN };
    let mut machine = machine(kind);
    let failed = (1..=60).filter(|seed| connect(&mut machine, kind, *seed).is_err()).count();
    assert!((8..=34).contains(&failed), "{failed} of 60");
}
