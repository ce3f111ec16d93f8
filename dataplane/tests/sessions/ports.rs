//! Source ports: whose they are, when they come again.

use super::{end, hasher, tuple};
use guideway_dataplane::ids::WorkerId;
use guideway_dataplane::session::{Endpoint, Exhausted, Ports, Tuple};
use guideway_dataplane::time::Nanos;
use guideway_dataplane::wire::protocol;
use std::collections::{HashMap, HashSet};
use std::time::Duration;

const START: Nanos = Nanos(7_000_000_000);
const REST: Duration = Duration::from_secs(60);

fn draw(ports: &mut Ports, sources: &[u128], used: &HashSet<Tuple>, now: Nanos) -> Result<Endpoint, Exhausted> {
    ports.draw(sources, end("10.0.0.11", 80), (protocol::TCP, 2_000), now, |tuple| used.contains(tuple))
}

/// Each worker has ports of its own, all of which it finds, save the one that it must not take.
#[test]
fn workers_share_the_ports() {
    let sources = [end("10.0.0.1", 0).address];
    let mut owners: HashMap<u16, u16> = HashMap::new();
    for worker in 0..3 {
        let mut ports = Ports::new((WorkerId(worker), 3), 1 << 16, hasher());
        for _ in 0..400_000 {
            let drawn = draw(&mut ports, &sources, &HashSet::new(), START).expect("a port");
            assert_eq!(*owners.entry(drawn.port).or_insert(worker), worker, "{}", drawn.port);
        }
    }
    let (lowest, highest) = (owners.keys().min(), owners.keys().max());
    assert!(*lowest.unwrap() >= 1_024 && *highest.unwrap() < 61_024, "{lowest:?} {highest:?}");
    assert!(!owners.contains_key(&2_000));
    assert!(owners.len() > 59_900, "{}", owners.len());
}

#[test]
fn a_port_rests_and_none_is_used_twice() {
    let sources = [end("10.0.0.1", 0).address, end("10.0.0.2", 0).address];
    let mut ports = Ports::new((WorkerId(0), 1), 1 << 18, hasher());
    let mut used = HashSet::new();
    let mut freed: HashMap<Tuple, Nanos> = HashMap::new();
    let mut now = START;
    for round in 0..200_000_u64 {
        now = now + Duration::from_millis(1);
        let source = draw(&mut ports, &sources, &used, now).expect("a port");
        let drawn = tuple(source, end("10.0.0.11", 80));
        assert!(used.insert(drawn), "{drawn:?} is in use");
        if let Some(at) = freed.get(&drawn) {
            assert!(now.since(*at) >= REST - Duration::from_secs(1), "{drawn:?} rested for {:?}", now.since(*at));
        }
        // Every second one ends at once, the others later.
        if round % 2 == 0 {
            used.remove(&drawn);
            ports.free(&drawn, now);
            freed.insert(drawn, now);
        }
        if used.len() > 20_000 {
            for tuple in used.drain() {
                ports.free(&tuple, now);
                freed.insert(tuple, now);
            }
        }
    }
}

#[test]
fn who_has_no_port_left_says_so() {
    let sources = [end("10.0.0.1", 0).address];
    let mut ports = Ports::new((WorkerId(0), 1), 64, hasher());
    let drawn = ports.draw(&sources, end("10.0.0.11", 80), (protocol::TCP, 0), START, |_| true);
    assert_eq!(drawn, Err(Exhausted));
    assert_eq!(draw(&mut ports, &[], &HashSet::new(), START), Err(Exhausted));
}
