//! Source ports: whose they are, when they come again, and that nobody can guess them.

use super::{end, hasher, tuple};
use guideway_dataplane::hash::{FlowHasher, KEY_BYTES, USUAL_KEY};
use guideway_dataplane::ids::WorkerId;
use guideway_dataplane::rss::{HashesPorts, Rss};
use guideway_dataplane::session::{Drawn, Endpoint, Exhausted, PORTS_OF_ADDRESS, Ports, REST, Tuple, Wanted};
use guideway_dataplane::time::Nanos;
use guideway_dataplane::wire::protocol;
use std::collections::{HashMap, HashSet};
use std::time::Duration;

const START: Nanos = Nanos(7_000_000_000);
const BACKEND: &str = "10.0.0.11";

/// Draws a source of tuples to the backend that are not in `used`.
fn draw(ports: &mut Ports, sources: &[u128], used: &HashSet<Tuple>, now: Nanos) -> Result<Drawn, Exhausted> {
    let is_used = |answer: &Tuple, _| used.contains(&answer.reversed());
    ports.draw(&Wanted { avoid: 2_000, ..wanted(sources) }, now, is_used)
}

/// For sessions with the backend.
fn wanted(sources: &[u128]) -> Wanted<'_> {
    Wanted { sources, destination: end(BACKEND, 80), protocol: protocol::TCP, avoid: 0, rss: None }
}

fn drawn_tuple(source: Endpoint) -> Tuple {
    tuple(source, end(BACKEND, 80))
}

/// Each worker has ports of its own, all of which it finds, save the one that it must not take.
#[test]
fn workers_share_the_ports() {
    let sources = [end("10.0.0.1", 0).address];
    let mut owners: HashMap<u16, u16> = HashMap::new();
    for worker in 0..3 {
        let mut ports = Ports::new((WorkerId(worker), 3), 1_000, hasher());
        for _ in 0..400_000 {
            let port = draw(&mut ports, &sources, &HashSet::new(), START).expect("a port").source.port;
            assert_eq!(*owners.entry(port).or_insert(worker), worker, "{port}");
        }
    }
    let (lowest, highest) = (owners.keys().min(), owners.keys().max());
    assert!(*lowest.unwrap() >= 1_024 && *highest.unwrap() < 61_024, "{lowest:?} {highest:?}");
    assert!(!owners.contains_key(&2_000));
    assert!(owners.len() > 59_900 && owners.len() <= PORTS_OF_ADDRESS as usize, "{}", owners.len());
}

/// One draw after the other, with a clock that goes on, and at a rate far above the one that the filter is made for.
#[test]
fn a_port_rests_and_none_is_used_twice() {
    let sources = ["10.0.0.1", "10.0.0.2", "10.0.0.3"].map(|address| end(address, 0).address);
    for rate in [1_000, 700] {
        let mut ports = Ports::new((WorkerId(0), 1), rate, hasher());
        let mut used = HashSet::new();
        let mut freed: HashMap<Tuple, Nanos> = HashMap::new();
        let mut again = 0;
        let mut now = START;
        for round in 0..200_000_u64 {
            now = now + Duration::from_millis(1);
            let Drawn { source, answer } = draw(&mut ports, &sources, &used, now).expect("a port");
            let drawn = drawn_tuple(source);
            assert_eq!(answer, drawn.reversed().hash(&hasher()));
            assert!(used.insert(drawn), "{drawn:?} is in use");
            if let Some(at) = freed.get(&drawn) {
                assert!(now.since(*at) >= REST, "{drawn:?} rested for {:?}", now.since(*at));
                again += 1;
            }
            // Every second one ends at once, the others later.
            if round % 2 == 0 {
                used.remove(&drawn);
                ports.free(answer, now, now);
                freed.insert(drawn, now);
            }
            if used.len() > 20_000 {
                for tuple in used.drain() {
                    ports.free(tuple.reversed().hash(&hasher()), now, now);
                    freed.insert(tuple, now);
                }
            }
        }
        assert!(again > 10_000, "{again} ports came again");
    }
}

/// A rest is over after five spans at most, also where nobody looked for years.
#[test]
fn a_port_comes_again() {
    const YEAR: u64 = 365 * 86_400 * 1_000_000_000;
    let sources = [end("10.0.0.1", 0).address];
    for start in [0, 1, 59_999_999_999, 56 * YEAR, 200 * YEAR].map(Nanos) {
        let mut ports = Ports::new((WorkerId(0), 1), 1_000, hasher());
        let drawn = draw(&mut ports, &sources, &HashSet::new(), start).expect("a port");
        // All others are taken.
        let only = |ports: &mut Ports, now| {
            let is_used = |answer: &Tuple, _| answer.destination != drawn.source;
            (0..5_000).find_map(|_| ports.draw(&wanted(&sources), now, is_used).ok())
        };
        assert_eq!(only(&mut ports, start), Some(drawn));
        ports.free(drawn.answer, start, start);
        for seconds in [0, 1, 30, 60, 68] {
            assert_eq!(only(&mut ports, start + Duration::from_secs(seconds)), None, "{seconds} s after {start:?}");
        }
        for later in [85, 86, 100, 1_000, 86_400 * 365] {
            assert_eq!(only(&mut ports, start + Duration::from_secs(later)), Some(drawn), "{later} s after {start:?}");
        }
        // Who has been silent for a while before has a part of its rest behind it.
        let (since, later) = (start + Duration::from_secs(200), start + Duration::from_secs(220));
        ports.free(drawn.answer, since, later);
        for seconds in [220, 240, 268] {
            assert_eq!(only(&mut ports, start + Duration::from_secs(seconds)), None, "{seconds} s after {start:?}");
        }
        assert_eq!(only(&mut ports, start + Duration::from_secs(285)), Some(drawn));
        ports.free(drawn.answer, start + Duration::from_secs(200), start + Duration::from_secs(290));
        assert_eq!(only(&mut ports, start + Duration::from_secs(290)), Some(drawn));
        // Another that rests in the same line does not bring it back.
        let later = start + Duration::from_secs(400);
        ports.free(drawn_tuple(end("10.0.0.1", 5)).reversed().hash(&hasher()), later, later);
        assert_eq!(only(&mut ports, later), Some(drawn));
    }
}

/// With as many resting as it is made for, a draw of twenty fails for them, or thereabouts; with three times as many a port is
/// found all the same.
#[test]
fn what_rests_costs_a_draw_of_twenty() {
    const RATE: u32 = 10_000;
    let sources: Vec<u128> = (1..200).map(|number| end(&format!("10.0.1.{number}"), 0).address).collect();
    for (rate, most) in [(RATE, 0.10), (RATE / 3, 0.70)] {
        let mut ports = Ports::new((WorkerId(0), 1), rate, hasher());
        let mut now = START;
        for _ in 0..85 * RATE {
            now = now + Duration::from_micros(100);
            let drawn = draw(&mut ports, &sources, &HashSet::new(), now).expect("a port");
            ports.free(drawn.answer, now, now);
        }
        let draws = std::cell::Cell::new(0);
        let mut fresh = 0;
        // Of other backends nothing rests.
        for number in 0..20_000_u16 {
            let other = Wanted { destination: end("10.0.0.12", number), ..wanted(&sources) };
            let is_used = |_: &Tuple, _| {
                draws.set(draws.get() + 1);
                true
            };
            assert_eq!(ports.draw(&other, now, is_used), Err(Exhausted));
            fresh += 64;
        }
        let refused = 1.0 - f64::from(draws.get()) / f64::from(fresh);
        println!("rate {rate}: {:.1} % seem to rest, {:.1} MB", refused * 100.0, ports.bytes() as f64 / 1e6);
        assert!(refused < most, "{refused}");
    }
}

/// Who has no key, or another one, draws something else; each worker has a sequence of its own, and none is repeated.
#[test]
fn ports_are_a_matter_of_the_key() {
    let sources = [end("10.0.0.1", 0).address, end("10.0.0.2", 0).address];
    let sequence = |hasher: FlowHasher, worker| {
        let mut ports = Ports::new((WorkerId(worker), 1), 1_000, hasher);
        let mut next = || draw(&mut ports, &sources, &HashSet::new(), START).expect("a port").source;
        (0..64).map(|_| next()).collect::<Vec<Endpoint>>()
    };
    let known = sequence(hasher(), 0);
    assert_eq!(sequence(FlowHasher::software([5; 16]), 0), known);
    let alike = |other: &[Endpoint]| known.iter().zip(other).filter(|(one, other)| one == other).count();
    assert!(alike(&sequence(FlowHasher::new([6; 16]), 0)) < 3);
    let ports: HashSet<u16> = known.iter().map(|source| source.port).collect();
    assert!(ports.len() > 55, "{ports:?}");
}

/// Draws over sources and ports are even: as many in each cell of a grid as chance would have it.
#[test]
fn draws_are_even() {
    const CELLS: usize = 4 * 16;
    const EACH: u32 = 4_000;
    let sources: Vec<u128> = (1..5).map(|number| end(&format!("10.0.0.{number}"), 0).address).collect();
    let mut ports = Ports::new((WorkerId(0), 1), 1_000, hasher());
    let mut counts = [0_u32; CELLS];
    for _ in 0..EACH * CELLS as u32 {
        let source = draw(&mut ports, &sources, &HashSet::new(), START).expect("a port").source;
        let place = sources.iter().position(|address| *address == source.address).expect("one of them");
        counts[place * 16 + usize::from(source.port - 1_024) * 16 / 60_000] += 1;
    }
    let chi: f64 = counts.iter().map(|count| (f64::from(*count) - f64::from(EACH)).powi(2) / f64::from(EACH)).sum();
    // 63 degrees of freedom: above 120 once in 100,000 keys, and the key is fixed.
    assert!(chi < 120.0, "{chi}");
}

#[test]
fn who_has_no_port_left_says_so() {
    let sources = [end("10.0.0.1", 0).address];
    let mut ports = Ports::new((WorkerId(0), 1), 64, hasher());
    let drawn = ports.draw(&wanted(&sources), START, |_, _| true);
    assert_eq!(drawn, Err(Exhausted));
    assert_eq!(draw(&mut ports, &[], &HashSet::new(), START), Err(Exhausted));
}

/// A card with a table of so many entries, which names workers in turn.
fn card(key: &[u8; KEY_BYTES], entries: u16, workers: u16) -> Rss {
    let table = (0..entries).map(|entry| WorkerId(entry % workers)).collect();
    let all = HashesPorts { tcp_v4: true, udp_v4: true, tcp_v6: true, udp_v6: true };
    Rss::new(key, table, all).expect("a power of two")
}

/// A key like those that drivers make up.
fn made_up(number: u16) -> [u8; KEY_BYTES] {
    let block =
        |at| FlowHasher::new([9; 16]).hash(&tuple(end(BACKEND, at), end("10.0.0.1", number)).key()).0.to_le_bytes();
    let mut key = [0; KEY_BYTES];
    key.iter_mut().zip((0..3).flat_map(block)).for_each(|(byte, random)| *byte = random);
    key
}

/// Answers come to the worker that drew the port, by whatever key and table, nearly always.
#[test]
fn answers_come_back_to_the_worker_that_drew_the_port() {
    for workers in [2, 3, 4, 7, 8, 16] {
        let mut strays = 0;
        let mut draws = 0;
        for (key, entries) in (0..4).map(|key| (made_up(10 * workers + key), 128 << key)).chain([(USUAL_KEY, 64)]) {
            let rss = card(&key, entries, workers);
            for worker in (0..workers).map(WorkerId) {
                let mut ports = Ports::new((worker, workers), 1_000, hasher());
                for flow in 0..200_u16 {
                    let (source, backend) =
                        if flow % 2 == 0 { ("10.0.0.1", BACKEND) } else { ("fd00::1", "fd00:7::11") };
                    let (sources, destination) = ([end(source, 0).address], end(backend, 80 + flow / 8));
                    let wanted = Wanted { destination, rss: Some(&rss), ..wanted(&sources) };
                    let drawn = ports.draw(&wanted, START, |_, _| false).expect("a port");
                    assert_eq!(drawn.source.port % workers, worker.0);
                    let answer = Tuple { source: destination, destination: drawn.source, protocol: protocol::TCP };
                    strays += u32::from(rss.worker_of(&answer) != worker);
                    draws += 1;
                }
            }
        }
        println!("{workers} workers: {strays} of {draws} astray");
        assert!(strays * 50 <= draws, "{workers} workers: {strays} of {draws}");
    }
}

/// Where the port decides nothing, or no port decides for this worker, ports are drawn as if nobody knew.
#[test]
fn a_card_that_is_no_help_does_no_harm() {
    let sources = [end("10.0.0.1", 0).address];
    let sequence = |rss: Option<&Rss>| {
        let mut ports = Ports::new((WorkerId(1), 2), 1_000, hasher());
        let wanted = Wanted { rss, ..wanted(&sources) };
        (0..100).map(|_| ports.draw(&wanted, START, |_, _| false).expect("a port")).collect::<Vec<_>>()
    };
    let by_addresses = Rss::new(&USUAL_KEY, [WorkerId(0), WorkerId(1)].into(), HashesPorts::default());
    let of_others = card(&USUAL_KEY, 128, 1);
    assert_eq!(sequence(by_addresses.as_ref()), sequence(None));
    assert_eq!(sequence(Some(&of_others)), sequence(None));
    assert_ne!(sequence(Some(&card(&USUAL_KEY, 128, 2))), sequence(None));
}

/// A backend has as many sessions as without: when the ports are used up whose answers come here, others are taken.
#[test]
fn ports_whose_answers_come_elsewhere_are_the_last() {
    let sources = [end("10.0.0.1", 0).address];
    let workers = 4;
    let rss = card(&USUAL_KEY, 128, workers);
    let fill = |rss: Option<&Rss>| {
        let mut ports = Ports::new((WorkerId(2), workers), 1_000, hasher());
        let mut used = HashSet::new();
        let wanted = Wanted { rss, ..wanted(&sources) };
        while let Ok(drawn) = ports.draw(&wanted, START, |answer, _| used.contains(&answer.destination)) {
            assert!(used.insert(drawn.source));
        }
        used.len()
    };
    let (with, without) = (fill(Some(&rss)), fill(None));
    println!("{with} sessions, {without} without");
    let all = PORTS_OF_ADDRESS as usize / usize::from(workers);
    // The first draw that finds none is one of thousands: below eight of ten it is in one of 10,000 runs.
    assert!(with > all * 8 / 10 && without > all * 8 / 10, "{with} and {without} of {all}");
}

/// Ports whose answers come here are as likely one as the other: with half of them taken, half of the first draws fail, no more.
#[test]
fn ports_whose_answers_come_here_are_drawn_evenly() {
    let sources = [end("10.0.0.1", 0).address];
    for workers in [2, 4, 8] {
        let rss = card(&USUAL_KEY, 128, workers);
        let wanted = Wanted { rss: Some(&rss), ..wanted(&sources) };
        let mut ports = Ports::new((WorkerId(1), workers), 1_000, hasher());
        let mut counts: HashMap<u16, u32> = HashMap::new();
        let fitting = PORTS_OF_ADDRESS / u32::from(workers) / u32::from(workers);
        for _ in 0..40 * fitting {
            let drawn = ports.draw(&wanted, START, |_, _| false).expect("a port");
            *counts.entry(drawn.source.port).or_default() += 1;
        }
        let cells = counts.len() as f64;
        let each = 40.0 * f64::from(fitting) / cells;
        let chi: f64 = counts.values().map(|count| (f64::from(*count) - each).powi(2) / each).sum();
        println!("{workers} workers: {cells} ports of {fitting}, chi square {chi:.0}");
        assert!((0.9..1.1).contains(&(cells / f64::from(fitting))), "{workers} workers: {cells} of {fitting}");
        // As many degrees of freedom as ports: its deviation is the root of twice of them.
        assert!(chi < cells + 6.0 * (2.0 * cells).sqrt(), "{workers} workers: {chi} of {cells}");
    }
}
