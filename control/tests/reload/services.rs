//! VIPs and pools that come and go, and VIPs that go to other pools: what stays does not notice.

use crate::file::{owners, parsed};
use crate::law::{FIRST, Flows, text};
use crate::support::segment_to;
use guideway_config::model::Config;
use guideway_control::reload::diff;
use guideway_control::state::State;
use guideway_dataplane::snapshot::PortState;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

const SYN: u8 = 0x02;

/// A pool of one backend, before or after the pool of the flows.
fn pool(name: &str, number: u8) -> String {
    format!(
        "[[pool]]\nname = \"{name}\"\nforward = \"l2dsr\"\nidle_timeout = {{ tcp = \"500ms\" }}\n\
         [[pool.backend]]\nname = \"{name}1\"\naddress = \"10.0.0.{}\"\n",
        10 + number
    )
}

fn vip(host: u8, pool: &str) -> String {
    format!("[[vip]]\naddress = \"203.0.113.{host}\"\nprotocol = \"tcp\"\nport = 80\npool = \"{pool}\"\n")
}

/// The file of the flows with another pool before theirs.
fn with_pool_before(backends: &[(&str, u8, u32)], more: &str) -> String {
    text(backends, "").replacen("[[pool]]", &format!("{more}[[pool]]"), 1)
}

impl Flows {
    /// Whether a packet to this VIP arrives at some backend.
    fn serves(&mut self, host: u8) -> bool {
        let from = self.bench.arrivals.len();
        assert!(self.bench.offer(&segment_to([203, 0, 113, host], 29_999, SYN)));
        self.bench.step(true);
        self.bench.arrivals.drain(from..).any(|arrival| arrival.source_port == 29_999)
    }

    /// Packets sent for the VIP at this place of the configuration.
    fn packets(&self, place: usize) -> u64 {
        let control = &self.bench.control;
        control.vip_traffic(control.state().vip_ids[place]).packets
    }
}

#[test]
fn others_come_and_go_while_slots_are_in_transition() {
    let before = with_pool_before(&FIRST, &pool("other", 4)) + &vip(20, "other");
    let mut flows = Flows::start_with(parsed(&before));
    assert!(flows.serves(20));
    let heavier = [("web1", 1, 9), ("web2", 2, 1), ("web3", 3, 1)];
    flows.reload(&parsed(&(with_pool_before(&heavier, &pool("other", 4)) + &vip(20, "other"))), false);
    flows.run(Duration::from_millis(300));
    // Flows have pins now; the pool of the flows takes the place of the one that ends.
    let lines = flows.reload(&parsed(&text(&heavier, "")), false);
    assert_eq!(lines, ["pool other ends", "vip 203.0.113.20:80/tcp is gone: its connections end"]);
    flows.run(Duration::from_millis(300));
    assert!(!flows.serves(20));
    let lines = flows.reload(&parsed(&(with_pool_before(&heavier, &pool("new", 5)) + &vip(21, "new"))), false);
    assert_eq!(lines, ["pool new is new, with 1 backends", "vip 203.0.113.21:80/tcp is new, served by pool new"]);
    flows.run(Duration::from_millis(900));
    assert!(flows.serves(21) && !flows.serves(20));
    assert_eq!(flows.backends(), [1, 2, 3].into(), "there were flows on all");
    assert!(flows.bench.counters.drops.iter().map(|drop| drop.get()).sum::<u64>() <= 3, "those to a VIP that was gone");
}

#[test]
fn who_gets_an_id_of_another_one_does_not_get_what_that_one_counted() {
    let mut flows = Flows::start_with(parsed(&(text(&FIRST, "") + &vip(20, "web"))));
    for _ in 0..7 {
        assert!(flows.serves(20));
    }
    let (id, first) = (flows.bench.control.state().vip_ids[1], flows.packets(0));
    assert_eq!(flows.packets(1), 7);
    flows.reload(&parsed(&text(&FIRST, "")), false);
    flows.run(Duration::from_millis(5));
    flows.reload(&parsed(&(text(&FIRST, "") + &vip(21, "web"))), false);
    flows.run(Duration::from_millis(5));
    assert_eq!(flows.bench.control.state().vip_ids[1], id, "it has the id of the one before");
    assert_eq!(flows.packets(1), 0);
    assert!(flows.serves(21));
    assert_eq!(flows.packets(1), 1);
    assert!(flows.packets(0) > first, "what stays counts on");
    // Also if what stays comes last in the file.
    let order = text(&FIRST, "").replacen("[[vip]]", &(vip(21, "web") + "[[vip]]"), 1);
    let stays = flows.packets(0);
    flows.reload(&parsed(&order), false);
    flows.run(Duration::from_millis(5));
    assert_eq!(flows.packets(1), 1);
    assert!(flows.packets(0) >= stays);
}

#[test]
fn a_vip_takes_its_slots_along_to_another_pool() {
    let mut flows = Flows::start();
    let green = [("web2", 2, 1), ("web4", 4, 1), ("web5", 5, 1)];
    let lines = flows.reload(&parsed(&text(&green, "").replace("\"web\"", "\"green\"")), false);
    assert!(lines[0].starts_with("pool web goes on as green: "), "{lines:?}");
    flows.run(Duration::from_millis(900));
    let fresh = flows.begin(300);
    assert_eq!(fresh.keys().copied().collect::<Vec<_>>(), [2, 4, 5], "what begins goes to the other pool: {fresh:?}");
    assert_eq!(flows.backends(), [1, 2, 3].into(), "what was there stays to its end");
    assert_eq!(flows.bench.control.state().config.pools[0].name, "green");
}

#[test]
fn the_old_pool_may_stay_in_the_file_without_the_vip() {
    let both = |to: &str| {
        let text = text(&FIRST, "").replace("pool = \"web\"", &format!("pool = \"{to}\""));
        parsed(&text.replacen("[[vip]]", &(pool("green", 4) + "[[vip]]"), 1))
    };
    let mut flows = Flows::start_with(both("web"));
    flows.reload(&both("green"), false);
    flows.run(Duration::from_millis(900));
    let fresh = flows.begin(50);
    assert_eq!(fresh.keys().copied().collect::<Vec<_>>(), [4]);
    // And back.
    flows.reload(&both("web"), false);
    flows.run(Duration::from_millis(1_200));
    assert_eq!(flows.begin(100).len(), 3);
    assert_eq!(flows.backends(), [1, 2, 3].into());
}

#[test]
fn a_vip_that_joins_others_breaks_alone() {
    let before = with_pool_before(&FIRST, &pool("other", 4)) + &vip(20, "other");
    let mut flows = Flows::start_with(parsed(&before));
    flows.run(Duration::from_millis(50));
    let joined = parsed(&(with_pool_before(&FIRST, &pool("other", 4)) + &vip(20, "web")));
    let state = flows.bench.control.state();
    let refusals = diff(&state.desired(), &joined, state.pins.clock(), false).unwrap_err();
    assert!(refusals.len() == 1 && refusals[0].to_string().contains("--disruptive"), "{refusals:?}");
    let plan = diff(&state.desired(), &joined, state.pins.clock(), true).unwrap();
    assert!(plan.breaks && !plan.anew);
    flows.reload(&joined, true);
    flows.run(Duration::from_millis(100));
    assert!(flows.serves(20));
    assert_eq!(flows.bench.arrivals.iter().filter(|arrival| arrival.backend == 4).count(), 0);
    assert_eq!(flows.backends(), [1, 2, 3].into());
}

#[test]
fn announcements_follow_the_file() {
    let mut flows = Flows::start();
    let text = text(&FIRST, "").replace("port = 80\n", "port = 80\nannounce = \"arp\"\n");
    assert_eq!(flows.reload(&parsed(&text), false), ["vip 203.0.113.10:80/tcp: announce auto -> arp"]);
    assert!(flows.bench.control.take_duties_stale(), "the real-time thread is told");
    let duties = guideway_control::duties::duties(flows.bench.control.state());
    assert_eq!(duties.vips[0].1, guideway_config::model::Announce::Arp);
}

/// Pools by name, VIPs with the names of their pools: the same whatever the order is.
fn normal(config: &Config) -> (BTreeMap<String, String>, BTreeMap<String, String>) {
    let pool = |pool: &guideway_config::model::Pool| {
        let mut pool = pool.clone();
        pool.backends.sort_by(|a, b| a.name.cmp(&b.name));
        (pool.name.clone(), format!("{pool:?}"))
    };
    let vip = |vip: &guideway_config::model::Vip| (vip.to_string(), config.pools[vip.pool].name.clone());
    (config.pools.iter().map(pool).collect(), config.vips.iter().map(vip).collect())
}

prop_compose! {
    /// VIPs 0 to 5 in some of four pools, each with some of five backends, and pools without VIPs.
    fn files()(
        pools in prop::collection::btree_map(0_u8..4, prop::collection::btree_set(1_u8..6, 1..4), 1..4),
        vips in prop::collection::btree_map(0_u8..6, any::<prop::sample::Index>(), 1..6),
    ) -> Config {
        let mut text = text(&FIRST, "");
        text.truncate(text.find("[[pool]]").expect("a pool"));
        for (name, backends) in &pools {
            text += &format!("[[pool]]\nname = \"p{name}\"\nforward = \"l2dsr\"\nhealth = {{ kind = \"none\" }}\n");
            text += "idle_timeout = { tcp = \"500ms\", udp = \"500ms\", quic = \"500ms\" }\n";
            for backend in backends {
                text += &format!("[[pool.backend]]\naddress = \"10.0.0.{}\"\n", 10 + backend);
            }
        }
        let names: Vec<u8> = pools.keys().copied().collect();
        for (host, pool) in &vips {
            text += &vip(*host, &format!("p{}", pool.get(&names)));
        }
        parsed(&text)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Any file after any other, also before what the one before asked for is done, leads to what a start with it gives.
    #[test]
    fn any_file_is_followed(first in files(), then in prop::collection::vec(files(), 1..4)) {
        let made = |config: Config| crate::file::state(config);
        let mut state: State = made(first);
        for new in &then {
            let ids = vips_by_name(&state);
            let plan = diff(&state.desired(), new, state.pins.clock(), true).expect("no restart");
            prop_assert!(!plan.anew);
            state.reload(&plan, guideway_dataplane::time::Nanos(1), UNIX_EPOCH).expect("nothing stands against it");
            prop_assert_eq!(normal(&state.desired()), normal(new));
            prop_assert!(diff(&state.desired(), new, state.pins.clock(), false).expect("a plan").lines.is_empty());
            for (vip, id) in vips_by_name(&state) {
                prop_assert!(ids.get(&vip).is_none_or(|before| *before == id), "{} counts on", vip);
            }
            guideway_control::reconcile::reconcile(&mut state);
        }
        crate::file::pass(&mut state);
        let last = then.last().expect("at least one");
        prop_assert_eq!(normal(&state.config), normal(last));
        let fresh = State::new(Arc::new(last.clone()), vec![PortState::new([2, 0, 0, 0, 0, 1])], UNIX_EPOCH);
        prop_assert_eq!(owners(&state), owners(&fresh.expect("a state")));
        for (number, pool) in state.pools.iter().enumerate() {
            for (index, backend) in pool.backends.iter().enumerate() {
                prop_assert_eq!(state.find(backend.id).map(|(pool, at)| (pool.index(), at)), Some((number, index)));
            }
        }
    }
}

fn vips_by_name(state: &State) -> BTreeMap<String, guideway_dataplane::ids::VipId> {
    state.config.vips.iter().map(ToString::to_string).zip(state.vip_ids.iter().copied()).collect()
}
