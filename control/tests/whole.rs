//! The control side and a worker together, in virtual time: what an operator relies on.

#[path = "whole/drain.rs"]
mod drain;
#[path = "whole/reloads.rs"]
mod reloads;
mod support;

use guideway_config::model::Config;
use guideway_control::state::BackendHealth;
use guideway_dataplane::time::Nanos;
use std::time::Duration;
use support::{Behaviour, Bench, PORT_MAC, ROUTER_MAC, STEP, Segment, client_segment};

const SYN: u8 = 0x02;

/// Runs with a steady load of client packets from 50 ports: one a step. Returns how many were offered.
fn run_loaded(bench: &mut Bench, duration: Duration, rt: bool) -> usize {
    let end = bench.now + duration;
    let mut offered = 0;
    while bench.now < end {
        let port = 20_000 + (bench.now.0 / STEP.as_nanos() as u64 % 50) as u16;
        assert!(bench.offer(&client_segment(port, SYN)));
        offered += 1;
        bench.step(rt);
    }
    offered
}

fn settled(count: u8) -> Bench {
    settled_on(support::config(count), count)
}

fn settled_on(config: Config, count: u8) -> Bench {
    let mut bench = Bench::of(config, count);
    bench.run(Duration::from_millis(200), true);
    for n in 1..=count {
        assert_eq!(bench.health(n), BackendHealth::Up);
    }
    bench
}

fn last_arrival(bench: &Bench, backend: u8) -> Nanos {
    bench.arrivals.iter().filter(|a| a.backend == backend).map(|a| a.at).max().expect("the backend got packets")
}

#[test]
fn a_death_ends_traffic_within_the_budget_and_moves_nobody_else() {
    for (behaviour, offset) in
        [(Behaviour::Silent, 0), (Behaviour::Silent, 7), (Behaviour::Silent, 19), (Behaviour::Refuses, 3)]
    {
        let mut bench = settled(4);
        run_loaded(&mut bench, Duration::from_millis(100 + offset), true);
        let before = bench.arrivals.clone();
        let death = bench.now;
        bench.backends[1] = behaviour;
        let offered = run_loaded(&mut bench, Duration::from_millis(300), true);
        assert_eq!(bench.health(2), BackendHealth::Down);
        let late = last_arrival(&bench, 2).since(death);
        assert!(late <= Duration::from_millis(100), "{behaviour:?}: last packet {late:?} after the death");
        assert_eq!(bench.arrivals.len(), before.len() + offered, "every packet went to some backend");
        for arrival in &bench.arrivals[before.len()..] {
            let same = |b: &&support::Arrival| b.source_port == arrival.source_port;
            let owner = before.iter().find(same).expect("each port sent before").backend;
            assert!(arrival.backend == owner || owner == 2, "a flow of backend {owner} moved");
        }
    }
}

#[test]
fn a_recovery_restores_the_table() {
    let mut bench = settled(3);
    run_loaded(&mut bench, Duration::from_millis(50), true);
    let owners = bench.arrivals.clone();
    bench.backends[2] = Behaviour::Silent;
    run_loaded(&mut bench, Duration::from_millis(300), true);
    assert_eq!(bench.health(3), BackendHealth::Down);
    bench.backends[2] = Behaviour::Serves;
    run_loaded(&mut bench, Duration::from_millis(300), true);
    assert_eq!(bench.health(3), BackendHealth::Up);
    // Until its flows are idle for as long as the pool says, they stay where they went when it died.
    bench.run(Duration::from_millis(1_500), true);
    let restored = bench.arrivals.len();
    run_loaded(&mut bench, Duration::from_millis(50), true);
    for arrival in &bench.arrivals[restored..] {
        let owner = owners.iter().find(|before| before.source_port == arrival.source_port).expect("sent before");
        assert_eq!(arrival.backend, owner.backend);
    }
}

#[test]
fn a_control_thread_that_stops_for_a_second_changes_nothing() {
    let mut bench = settled(3);
    let generation = bench.control.generation();
    let arrived = bench.arrivals.len();
    let mut offered = run_loaded(&mut bench, Duration::from_millis(40), true);
    offered += run_loaded(&mut bench, Duration::from_secs(1), false);
    offered += run_loaded(&mut bench, Duration::from_secs(1), true);
    assert_eq!(bench.control.generation(), generation, "nothing was published");
    assert!((1..=3).all(|n| bench.health(n) == BackendHealth::Up));
    assert_eq!(bench.arrivals.len() - arrived, offered, "no packet was lost");
    let prober = bench.report().prober;
    assert_eq!(prober.timeouts, 0);
    assert!(prober.answered > 150, "probing went on: {prober:?}");
}

#[test]
fn a_worker_that_stops_for_a_second_changes_nothing() {
    let mut bench = settled(3);
    let generation = bench.control.generation();
    // The process was stopped, or the hypervisor took the core: nobody ran, time went on.
    bench.now = bench.now + Duration::from_secs(1);
    bench.run(Duration::from_millis(500), true);
    assert_eq!(bench.control.generation(), generation);
    // Only the worker: the control side goes on and gets no answers.
    let end = bench.now + Duration::from_secs(1);
    while bench.now < end {
        bench.now = bench.now + STEP;
        bench.rt.step(bench.now);
    }
    bench.run(Duration::from_millis(500), true);
    assert_eq!(bench.control.generation(), generation);
    assert!((1..=3).all(|n| bench.health(n) == BackendHealth::Up));
}

#[test]
fn a_flood_to_the_own_address_costs_no_probe() {
    let mut bench = settled(3);
    let syn = |port| {
        let to = [10, 0, 0, 1];
        Segment { from: [192, 0, 2, 9], to, ports: (port, 22), flags: SYN, sequence: 5, acknowledged: 0 }
            .frame(ROUTER_MAC, PORT_MAC)
    };
    let echo = echo_request();
    let before = bench.report().prober;
    let generation = bench.control.generation();
    let mut flooded = 0_u64;
    // 5 million a second: 500 in each step of 100 µs, half of them echo, half SYN; for half a second.
    for step in 0..5_000_u32 {
        for packet in 0..500_u32 {
            let sent = if packet % 2 == 0 { bench.offer(&echo) } else { bench.offer(&syn((step ^ packet) as u16 | 1)) };
            assert!(sent, "the queue has room for a step's flood");
            flooded += 1;
        }
        bench.step(true);
    }
    let after = bench.report().prober;
    assert_eq!(flooded, 2_500_000);
    assert_eq!(after.timeouts, before.timeouts, "no probe was lost");
    assert_eq!(after.void, before.void, "no probe was void");
    assert!(after.answered - before.answered >= 3 * (500 / 20 - 2), "probing went on: {after:?}");
    assert_eq!(bench.control.generation(), generation, "no state changed");
    let (entered, left) = bench.counters.conservation();
    assert_eq!(entered, left);
    assert!(bench.counters.dropped() > flooded * 9 / 10, "the flood was dropped in the worker, under a name");
}

fn echo_request() -> Vec<u8> {
    let mut frame =
        Segment { from: [192, 0, 2, 9], to: [10, 0, 0, 1], ports: (0x0800, 0), flags: 0, sequence: 0, acknowledged: 0 }
            .frame(ROUTER_MAC, PORT_MAC);
    frame[23] = 1;
    let mut ip = smoltcp::wire::Ipv4Packet::new_unchecked(&mut frame[14..]);
    ip.fill_checksum();
    let mut icmp = smoltcp::wire::Icmpv4Packet::new_unchecked(&mut frame[34..]);
    icmp.fill_checksum();
    frame
}

#[test]
fn all_backends_down_drops_under_a_name_and_comes_back() {
    let mut bench = settled(2);
    bench.backends = vec![Behaviour::Refuses; 2];
    bench.run(Duration::from_millis(300), true);
    assert!((1..=2).all(|n| bench.health(n) == BackendHealth::Down));
    let arrived = bench.arrivals.len();
    assert!(bench.offer(&client_segment(4_000, SYN)));
    bench.step(true);
    assert_eq!(bench.arrivals.len(), arrived);
    let no_backend = guideway_dataplane::drop_reason::DropReason::NoBackend;
    assert_eq!(bench.counters.drops[no_backend as usize].get(), 1);
    bench.backends = vec![Behaviour::Serves; 2];
    bench.run(Duration::from_millis(300), true);
    let back = bench.now;
    assert_eq!(run_loaded(&mut bench, Duration::from_millis(20), true), 200);
    assert_eq!(bench.served_since(back).len(), 2);
}
