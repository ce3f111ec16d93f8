//! What a session costs: to be found, by how many there are, to begin and end, and to get a source port.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use guideway_dataplane::hash::FlowHasher;
use guideway_dataplane::ids::WorkerId;
use guideway_dataplane::port::BURST;
use guideway_dataplane::session::{Endpoint, Looked, Ports, Session, Sessions, Side, Tuple, Wanted};
use guideway_dataplane::time::Nanos;
use guideway_dataplane::vip::address_bits;
use guideway_dataplane::wire::protocol;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

/// Packets that are looked up one after the other, as a burst.
const BATCH: usize = 32;
const COUNTS: [u32; 3] = [1_000, 1_000_000, 10_000_000];
const START: Nanos = Nanos(1_000_000_000);
const IDLE: Duration = Duration::from_secs(900);

fn end(address: u32, port: u16) -> Endpoint {
    Endpoint { address: address_bits(IpAddr::V4(Ipv4Addr::from_bits(address))), port }
}

/// The tuples of session `number`, outside and inside: a `nat` session, so that numbers need no source ports.
fn tuples(number: u32) -> (Tuple, Tuple) {
    let client = end(0x0a00_0000 + number / 50_000, 1_024 + (number % 50_000) as u16);
    let towards = |destination| Tuple { source: client, destination, protocol: protocol::TCP };
    (towards(end(0xcb00_710a, 443)), towards(end(0xc0a8_0000 + number % 64, 8_443)))
}

/// Takes in a session that is established.
fn enter(sessions: &mut Sessions, number: u32) {
    let (outside, inside) = tuples(number);
    let entered = sessions.insert(&outside, &inside, Session::NOTHING, (false, IDLE), START);
    entered.expect("there is room for every key until the last place is taken");
}

/// A table with every place taken.
fn full(count: u32) -> Sessions {
    let mut sessions = Sessions::new(count, Box::new([]), FlowHasher::new([7; 16]));
    (0..count).for_each(|number| enter(&mut sessions, number));
    println!("{count} sessions: {:.1} bytes each", sessions.bytes() as f64 / f64::from(count));
    sessions
}

/// Numbers below `count` in an order that no prefetcher guesses (xorshift64*).
fn random(count: u32) -> impl FnMut() -> u32 {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    move || {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        let drawn = state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32;
        ((drawn * u64::from(count)) >> 32) as u32
    }
}

/// The tuples of a burst: packets of both sides.
fn burst(random: &mut impl FnMut() -> u32) -> [Tuple; BATCH] {
    std::array::from_fn(|place| {
        let (outside, inside) = tuples(random());
        if place % 2 == 0 { outside } else { inside.reversed() }
    })
}

fn find(sessions: &Sessions, tuples: &[Tuple; BATCH]) -> usize {
    tuples.iter().filter(|tuple| matches!(sessions.find(black_box(tuple)), Some((_, Side::Client)))).count()
}

fn tables(criterion: &mut Criterion) {
    for count in COUNTS {
        let mut sessions = full(count);
        let mut group = criterion.benchmark_group("session");
        group.throughput(Throughput::Elements(BATCH as u64));
        let mut next = random(count);
        let mut looked = [Looked::NOTHING; BURST];
        group.bench_function(BenchmarkId::new("find", count), |bencher| {
            bencher.iter(|| {
                let tuples = burst(&mut next);
                assert_eq!(find(&sessions, &tuples), BATCH / 2);
            });
        });
        group.bench_function(BenchmarkId::new("look up a burst", count), |bencher| {
            bencher.iter(|| {
                let tuples = burst(&mut next);
                let packets = tuples.iter().enumerate().map(|(place, tuple)| (place, *tuple, tuple.key()));
                let places = sessions.look_up(packets, &mut looked);
                sessions.prefetch_looked(&places, &mut looked);
                let found = looked
                    .iter()
                    .take(BATCH)
                    .filter(|looked| matches!(sessions.find_looked(black_box(looked)), Some((_, Side::Client))));
                assert_eq!(found.count(), BATCH / 2);
            });
        });
        // A full table that goes on living: one ends, another begins. The keys that come are not those that went.
        group.throughput(Throughput::Elements(1));
        let mut oldest = 0;
        group.bench_function(BenchmarkId::new("remove and insert", count), |bencher| {
            bencher.iter(|| {
                let (id, _) = sessions.find(&tuples(oldest).0).expect("it is the oldest that lives");
                sessions.remove(id).expect("it was found");
                enter(&mut sessions, oldest + count);
                oldest += 1;
            });
        });
        group.finish();
    }
}

/// A connection of `fullnat` from its SYN to its end, a microsecond each, with sources whose ports suffice for it.
fn ports(criterion: &mut Criterion) {
    const ROOM: u32 = 1_000_000;
    const RATE: u32 = 1_000_000;
    const LIVING: usize = 1_024;
    let sources: Vec<u128> = (0..64).map(|number| end(0x0a01_0000 + number, 0).address).collect();
    let hasher = FlowHasher::new([7; 16]);
    let mut sessions = Sessions::new(ROOM, sources.clone().into(), hasher.clone());
    let client_hasher = hasher.clone();
    let mut ports = Ports::new((WorkerId(0), 1), RATE, hasher);
    let mut living = std::collections::VecDeque::with_capacity(LIVING);
    let (mut number, mut now) = (0, START);
    let mut group = criterion.benchmark_group("session");
    group.throughput(Throughput::Elements(1));
    group.bench_function("draw, insert, remove, free", |bencher| {
        bencher.iter(|| {
            now = now + Duration::from_micros(1);
            let (outside, Tuple { destination, .. }) = tuples(number % 500_000_000);
            number = number.wrapping_add(1);
            let is_used = |tuple: &Tuple, hash| sessions.find_hashed(tuple, hash).is_some();
            let wanted = Wanted { sources: &sources, destination, protocol: protocol::TCP, avoid: 0, rss: None };
            let drawn = ports.draw(&wanted, now, is_used).expect("a port");
            let inside = Tuple { source: drawn.source, destination, protocol: protocol::TCP };
            let life = (true, IDLE);
            let hashes = [outside.hash(&client_hasher), drawn.answer];
            let entered = sessions.insert_hashed((&outside, &inside), hashes, Session::NOTHING, life, now);
            let id = entered.expect("room");
            living.push_back(id);
            if living.len() == LIVING {
                let ended = living.pop_front().and_then(|id| sessions.remove(id)).expect("it lives");
                ports.free(ended.answer, now, now);
            }
        });
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3));
    targets = tables, ports
}
criterion_main!(benches);
