//! A configuration file that tests edit.

use guideway_config::model::Config;
use guideway_control::consistency::sweeper::Sweeper;
use guideway_control::reconcile::reconcile;
use guideway_control::reload::{Plan, Refusal, diff};
use guideway_control::state::{Moment, State};
use guideway_dataplane::snapshot::PortState;
use guideway_dataplane::time::Nanos;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

/// Pools `web` (web1 to web3) and `api`; no checks, next hops of 10.0.0.11 to .40 known.
pub const FILE: &str = r#"
[fleet]
hash_key = "000102030405060708090a0b0c0d0e0f"
[cores]
control = 0
workers = [1]
[api]
socket = "/run/guideway.sock"
[state]
pins = 1024
arm_time = "100ms"
table_memory = "1GiB"
[dpdk]
extra_args = []
[[port]]
name = "edge"
device = "net_null0"
mtu = 1500
[[interface]]
port = "edge"
addresses = ["10.0.0.1/24"]
NEIGHBORS
[[route]]
to = "default"
via = ["10.0.0.254"]
[[pool]]
name = "web"
forward = "ipip"
health = { kind = "none" }
idle_timeout = { tcp = "1s" }
tracking = "transition"
table_size = 2039
# web
backend = [
  { name = "web1", address = "10.0.0.11" },
  { name = "web2", address = "10.0.0.12", weight = 2 },
  { name = "web3", address = "10.0.0.13" },
]
[[pool]]
name = "api"
forward = "ipip"
health = { kind = "none" }
idle_timeout = { tcp = "1s" }
backend = [{ name = "api1", address = "10.0.0.21" }]
[[vip]]
address = "203.0.113.10"
protocol = "tcp"
port = 80
pool = "web"
[[vip]]
address = "203.0.113.0/26"
protocol = "udp"
port = "any"
pool = "api"
# end
"#;

/// The file with these edits.
pub fn edited(edits: &[(&str, &str)]) -> Config {
    let neighbors = (11..=40).map(|host| {
        format!("[[interface.neighbor]]\naddress = \"10.0.0.{host}\"\nmac = \"02:00:00:00:00:{host:02x}\"\n")
    });
    let mut text = FILE.replace("NEIGHBORS", &neighbors.collect::<String>());
    for (from, to) in edits {
        assert!(text.contains(from), "{from}");
        text = text.replacen(from, to, 1);
    }
    parsed(&text)
}

pub fn parsed(text: &str) -> Config {
    guideway_config::parse(text, None).unwrap_or_else(|errors| panic!("{errors:#?}\n{text}")).config
}

pub fn state(config: Config) -> State {
    let mut state =
        State::new(Arc::new(config), vec![PortState::new([2, 0, 0, 0, 0, 1])], UNIX_EPOCH).expect("a state");
    reconcile(&mut state);
    state
}

/// What a reload of this file would do.
pub fn plan(state: &State, new: &Config, disruptive: bool) -> Result<Plan, Vec<Refusal>> {
    diff(&state.desired(), new, state.pins.clock(), disruptive)
}

pub fn reload(state: &mut State, new: &Config) -> Plan {
    let plan = plan(state, new, false).unwrap_or_else(|refusals| panic!("{refusals:#?}"));
    state.reload(&plan, Nanos(1), UNIX_EPOCH).expect("nothing stands against it");
    plan
}

/// Lets time pass in which workers use every snapshot at once, until nothing is left to do.
pub fn pass(state: &mut State) {
    let mut sweeper = Sweeper::default();
    let mut now = Nanos(1);
    for generation in 1..=200 {
        reconcile(state);
        state.published(generation);
        state.acknowledge(generation, now);
        if sweeper.step(state, now) {
            state.swept(&sweeper, |_| 0);
        }
        now = now + Duration::from_millis(100);
        state.step(Moment { now, acknowledged: true, crowded: false });
    }
    reconcile(state);
    assert!(state.pools.iter().all(|pool| pool.plan.is_quiet()), "nothing is left to do");
}

/// The names of slots' owners, by pool.
pub fn owners(state: &State) -> BTreeMap<String, Vec<String>> {
    let of_pool = |(pool, of): (&guideway_control::state::PoolState, &guideway_config::model::Pool)| {
        let name = |slot: &guideway_dataplane::table::Slot| {
            of.backends.get(slot.index()).map_or_else(String::new, |backend| backend.name.clone())
        };
        (of.name.clone(), pool.plan.phases().current().iter().map(name).collect())
    };
    state.pools.iter().zip(&state.config.pools).map(of_pool).collect()
}

/// The same whatever the order of backends is.
pub fn sorted(mut config: Config) -> Config {
    config.pools.iter_mut().for_each(|pool| pool.backends.sort_by(|a, b| a.name.cmp(&b.name)));
    config
}
