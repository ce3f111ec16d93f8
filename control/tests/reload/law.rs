//! The law over reloads: no live flow whose backend stays eligible changes backend. A worker, checks and a network in
//! virtual time.

use crate::support::{Behaviour, Bench, client_segment};
use guideway_config::model::Config;
use guideway_control::reload::diff;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const SYN: u8 = 0x02;
const ACK: u8 = 0x10;
/// Flows that live on through the whole test.
const FLOWS: u16 = 40;
/// Backends in the network.
const COUNT: u8 = 5;

/// A file of these backends: name, number in the network, weight.
fn file(backends: &[(&str, u8, u32)], keys: &str) -> Config {
    crate::file::parsed(&text(backends, keys))
}

/// Its text, which ends with pool `web` and its VIP.
pub fn text(backends: &[(&str, u8, u32)], keys: &str) -> String {
    let neighbors: String = (1..=COUNT)
        .map(|n| format!("[[interface.neighbor]]\naddress = \"10.0.0.{}\"\nmac = \"02:00:00:00:01:0{n}\"\n", 10 + n))
        .collect();
    let backends: String = backends
        .iter()
        .map(|(name, n, weight)| {
            format!("[[pool.backend]]\nname = \"{name}\"\naddress = \"10.0.0.{}\"\nweight = {weight}\n", 10 + n)
        })
        .collect();
    format!(
        "[fleet]\nhash_key = \"000102030405060708090a0b0c0d0e0f\"\n[cores]\ncontrol = 0\nworkers = [1]\n\
         [[port]]\nname = \"edge\"\ndevice = \"net_null0\"\n\
         [[interface]]\nport = \"edge\"\naddresses = [\"10.0.0.1/24\"]\n{neighbors}\
         [state]\narm_time = \"100ms\"\npins = 4096\n\
         [[pool]]\nname = \"web\"\nforward = \"l2dsr\"\nidle_timeout = {{ tcp = \"500ms\" }}\n{keys}\n{backends}\
         [[vip]]\naddress = \"203.0.113.10\"\nprotocol = \"tcp\"\nport = 80\npool = \"web\"\n"
    )
}

pub struct Flows {
    pub bench: Bench,
    turn: u16,
    fresh: u16,
}

impl Flows {
    /// Flows on the three backends of the first file.
    pub fn start() -> Self {
        Self::start_with(file(&FIRST, ""))
    }

    /// The same on another file that has them.
    pub fn start_with(file: Config) -> Self {
        let mut bench = Bench::of(file, COUNT);
        bench.run(Duration::from_millis(200), true);
        for flow in 0..FLOWS {
            assert!(bench.offer(&client_segment(20_000 + flow, SYN)));
            bench.step(true);
        }
        Self { bench, turn: 0, fresh: 30_000 }
    }

    pub fn reload(&mut self, new: &Config, disruptive: bool) -> Vec<String> {
        let (state, now) = (self.bench.control.state(), self.bench.now);
        let plan = diff(&state.desired(), new, state.pins.clock(), disruptive).expect("a plan");
        self.bench.control.reload(&plan, now).expect("nothing stands against it");
        plan.lines
    }

    /// Lets time pass in which every flow sends.
    pub fn run(&mut self, duration: Duration) {
        let end = self.bench.now + duration;
        while self.bench.now < end {
            self.turn += 1;
            if self.turn.is_multiple_of(4) {
                assert!(self.bench.offer(&client_segment(20_000 + self.turn / 4 % FLOWS, ACK)));
            }
            if self.turn.is_multiple_of(1_000) {
                self.turn = 0;
            }
            self.bench.step(true);
        }
    }

    /// How many of some new connections each backend of the network got.
    pub fn begin(&mut self, count: u16) -> BTreeMap<u8, usize> {
        let from = self.bench.arrivals.len();
        for _ in 0..count {
            self.fresh += 1;
            assert!(self.bench.offer(&client_segment(self.fresh, SYN)));
            self.bench.step(true);
        }
        let fresh = self.bench.arrivals[from..].iter().filter(|arrival| arrival.source_port > 30_000);
        fresh.fold(BTreeMap::new(), |mut counts, arrival| {
            *counts.entry(arrival.backend).or_default() += 1;
            counts
        })
    }

    /// Which backends the flows were on.
    pub fn backends(&self) -> BTreeSet<u8> {
        let mut of: BTreeMap<u16, BTreeSet<u8>> = BTreeMap::new();
        for arrival in self.bench.arrivals.iter().filter(|arrival| arrival.source_port < 30_000) {
            of.entry(arrival.source_port).or_default().insert(arrival.backend);
        }
        assert_eq!(of.len(), usize::from(FLOWS));
        for (flow, backends) in &of {
            assert_eq!(backends.len(), 1, "flow {flow} moved: {backends:?}");
        }
        of.into_values().flatten().collect()
    }

    fn names(&self) -> Vec<&str> {
        self.bench.control.state().config.pools[0].backends.iter().map(|backend| backend.name.as_str()).collect()
    }
}

pub const FIRST: [(&str, u8, u32); 3] = [("web1", 1, 1), ("web2", 2, 1), ("web3", 3, 1)];

#[test]
fn adding_removing_and_weighing_move_nobody() {
    let mut flows = Flows::start();
    flows.run(Duration::from_millis(50));
    let lines =
        flows.reload(&file(&[("web4", 4, 1), ("web1", 1, 3), ("web2", 2, 1)], "panic_threshold = \"30%\""), false);
    assert_eq!(lines.len(), 4, "{lines:?}");
    flows.run(Duration::from_millis(900));
    let fresh = flows.begin(300);
    assert!(!fresh.contains_key(&3) && fresh[&4] > 30 && fresh[&1] > fresh[&2] * 2, "{fresh:?}");
    assert_eq!(flows.backends(), [1, 2, 3].into(), "there were flows on all");
    assert_eq!(flows.names(), ["web1", "web2", "web3", "web4"], "flows are on web3 to their end");
    // And back, while the first change is in transition.
    flows.reload(&file(&FIRST, ""), false);
    flows.run(Duration::from_millis(900));
    assert_eq!(flows.backends(), [1, 2, 3].into());
    let fresh = flows.begin(300);
    assert!(!fresh.contains_key(&4) && fresh.len() == 3, "{fresh:?}");
}

#[test]
fn another_address_gets_what_is_new_and_the_old_one_keeps_what_it_has() {
    let mut flows = Flows::start();
    flows.bench.backends[4] = Behaviour::Silent;
    let moved = [("web1", 1, 1), ("web2", 5, 1), ("web3", 3, 1)];
    flows.reload(&file(&moved, ""), false);
    flows.run(Duration::from_millis(400));
    let fresh = flows.begin(200);
    assert!(fresh[&2] > 30 && !fresh.contains_key(&5), "nobody answers there yet: {fresh:?}");
    flows.bench.backends[4] = Behaviour::Serves;
    flows.run(Duration::from_millis(400));
    let fresh = flows.begin(200);
    assert!(fresh[&5] > 30 && !fresh.contains_key(&2), "{fresh:?}");
    flows.run(Duration::from_millis(1_200));
    assert_eq!(flows.backends(), [1, 2, 3].into());
    assert_eq!(flows.names(), ["web1", "web2", "web3", "web2"], "somebody is on the old one");
    flows.bench.run(Duration::from_millis(2_500), true);
    assert_eq!(flows.names(), ["web1", "web3", "web2"], "nobody is");
}

#[test]
fn the_death_of_the_old_one_does_not_wait() {
    let mut flows = Flows::start();
    flows.reload(&file(&[("web1", 1, 1), ("web2", 5, 1), ("web3", 3, 1)], ""), false);
    flows.run(Duration::from_millis(400));
    flows.bench.backends[1] = Behaviour::Silent;
    flows.run(Duration::from_millis(200));
    let from = flows.bench.now;
    flows.run(Duration::from_millis(100));
    let first = |flow: u16| flows.bench.arrivals.iter().find(|arrival| arrival.source_port == flow).unwrap().backend;
    for arrival in flows.bench.arrivals.iter().filter(|arrival| arrival.at >= from) {
        let before = first(arrival.source_port);
        assert_eq!(
            arrival.backend,
            if before == 2 { 5 } else { before },
            "the slots of web2 are those of its successor"
        );
    }
}

#[test]
fn what_breaks_connections_leaves_a_balancer_that_works() {
    let mut flows = Flows::start();
    flows.reload(&file(&[("web1", 1, 1), ("web2", 2, 1)], ""), false);
    flows.run(Duration::from_millis(300));
    let lines = flows.reload(&file(&FIRST, "table_size = 4093"), true);
    assert!(lines[0].contains("table_size"), "{lines:?}");
    flows.run(Duration::from_millis(200));
    let state = flows.bench.control.state();
    assert_eq!(state.pools[0].plan.target().size(), 4_093);
    assert!(state.pools[0].plan.is_quiet());
    let fresh = flows.begin(300);
    assert_eq!(fresh.len(), 3, "{fresh:?}");
    assert_eq!(flows.bench.control.pins_in_use(), 0);
    // Changes go on from there as always.
    let from = flows.bench.now;
    flows.run(Duration::from_millis(50));
    let on: BTreeMap<u16, u8> =
        flows.bench.arrivals.iter().filter(|a| a.at >= from).map(|a| (a.source_port, a.backend)).collect();
    let from = flows.bench.now;
    flows.reload(&file(&[("web1", 1, 5), ("web2", 2, 1), ("web4", 4, 1)], "table_size = 4093"), false);
    flows.run(Duration::from_millis(1_500));
    for arrival in flows.bench.arrivals.iter().filter(|a| a.at >= from) {
        assert_eq!(on.get(&arrival.source_port), Some(&arrival.backend), "{arrival:?}");
    }
}
