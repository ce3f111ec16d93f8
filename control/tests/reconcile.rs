//! State → snapshot: what is rebuilt, what is shared, who is eligible.

use guideway_control::consistency::sweeper::Sweeper;
use guideway_control::health::Reason;
use guideway_control::reconcile::reconcile;
use guideway_control::state::{BackendHealth, Moment, State};
use guideway_dataplane::ids::{BackendId, LinkId, PoolId};
use guideway_dataplane::snapshot::{PortState, Snapshot};
use guideway_dataplane::time::Nanos;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

/// Two pools: `a` with three backends (ids 0 to 2), `b` with two (3 and 4), and a panic threshold on `b`.
fn state(workers: &str) -> State {
    let text = format!(
        r#"
[fleet]
hash_key = "000102030405060708090a0b0c0d0e0f"
[cores]
control = 0
workers = {workers}
[[port]]
name = "edge"
device = "net_null0"
[[interface]]
port = "edge"
addresses = ["10.0.0.1/24"]
[[pool]]
name = "a"
forward = "l2dsr"
[[pool.backend]]
name = "a1"
address = "10.0.0.11"
[[pool.backend]]
name = "a2"
address = "10.0.0.12"
[[pool.backend]]
name = "a3"
address = "10.0.0.13"
[[pool]]
name = "b"
forward = "ipip"
panic_threshold = "60%"
[[pool.backend]]
name = "b1"
address = "10.0.0.21"
[[pool.backend]]
name = "b2"
address = "10.0.0.22"
[[vip]]
address = "203.0.113.1"
protocol = "tcp"
port = 80
pool = "a"
[[vip]]
address = "203.0.113.2"
protocol = "tcp"
port = 80
pool = "b"
"#
    );
    let config = guideway_config::parse(&text, None).expect("a valid configuration").config;
    let port = PortState::new([2, 0, 0, 0, 0, 1]);
    State::new(Arc::new(config), vec![port], UNIX_EPOCH).expect("a usable configuration")
}

fn down(state: &mut State, id: u16) -> bool {
    state.set_health(BackendId(id), BackendHealth::Down, Reason::Refused, UNIX_EPOCH)
}

fn up(state: &mut State, id: u16) -> bool {
    state.set_health(BackendId(id), BackendHealth::Up, Reason::Answered, UNIX_EPOCH)
}

/// Lets an hour pass in which workers use every snapshot at once. The snapshot at its end.
fn after_an_hour(state: &mut State) -> Snapshot {
    let mut sweeper = Sweeper::default();
    let mut now = Nanos(1);
    let mut snapshot = reconcile(state);
    for generation in 1..=3_600 {
        state.published(generation);
        state.acknowledge(generation, now);
        if sweeper.step(state, now) {
            state.swept(&sweeper, |_| 0);
        }
        now = now + Duration::from_secs(1);
        state.step(Moment { now, acknowledged: true, crowded: false });
        snapshot = reconcile(state);
    }
    assert!(state.pools.iter().all(|pool| pool.plan.is_quiet()), "nothing is left to do");
    snapshot
}

fn eligible(state: &State, pool: usize) -> Vec<bool> {
    (0..state.pools[pool].backends.len()).map(|backend| state.member(pool, backend).eligible).collect()
}

fn owners(snapshot: &Snapshot, pool: usize) -> Vec<usize> {
    snapshot.pools[pool].tables()[0].slots().iter().map(|slot| slot.index()).collect()
}

#[test]
fn ids_lead_back_to_their_backends() {
    let state = state("[1]");
    assert_eq!(state.find(BackendId(0)), Some((PoolId(0), 0)));
    assert_eq!(state.find(BackendId(2)), Some((PoolId(0), 2)));
    assert_eq!(state.find(BackendId(3)), Some((PoolId(1), 0)));
    assert_eq!(state.find(BackendId(4)), Some((PoolId(1), 1)));
    assert_eq!(state.find(BackendId(5)), None);
}

#[test]
fn a_health_event_rebuilds_its_pool_alone() {
    let mut state = state("[1]");
    let first = reconcile(&mut state);
    assert!(down(&mut state, 1));
    assert!(!down(&mut state, 1), "the same again is no change");
    let second = reconcile(&mut state);
    assert!(!Arc::ptr_eq(&first.pools[0], &second.pools[0]));
    assert!(Arc::ptr_eq(&first.pools[1], &second.pools[1]), "the other pool is the same");
    for (before, after) in owners(&first, 0).into_iter().zip(owners(&second, 0)) {
        assert!(after != 1 && (before == after || before == 1), "{before} became {after}");
    }
    assert!(up(&mut state, 1));
    assert_eq!(owners(&reconcile(&mut state), 0), owners(&second, 0), "a recovery is planned");
    assert_eq!(owners(&after_an_hour(&mut state), 0), owners(&first, 0), "restored exactly");
}

#[test]
fn first_judgement_of_a_living_backend_moves_nothing() {
    let mut state = state("[1]");
    let first = reconcile(&mut state);
    assert!(up(&mut state, 0), "unknown became up");
    let second = reconcile(&mut state);
    assert!(Arc::ptr_eq(&first.pools[0], &second.pools[0]), "unknown counted as up already");
}

#[test]
fn a_next_hop_changes_backends_and_keeps_tables() {
    let mut state = state("[1]");
    let first = reconcile(&mut state);
    let (address, mac) = ("10.0.0.12".parse().unwrap(), [2, 0, 0, 0, 0, 12]);
    assert!(state.set_neighbor(LinkId(0), address, Some(mac)));
    assert!(!state.set_neighbor(LinkId(0), address, Some(mac)));
    let second = reconcile(&mut state);
    assert!(Arc::ptr_eq(first.pools[0].tables(), second.pools[0].tables()), "the tables are shared");
    assert_eq!(first.pools[0].backends[1].hops.as_slice()[0].destination, None);
    assert_eq!(second.pools[0].backends[1].hops.as_slice()[0].destination, Some(mac));
    assert!(Arc::ptr_eq(&first.pools[1], &second.pools[1]));
    assert!(state.set_neighbor(LinkId(0), address, None));
    assert_eq!(reconcile(&mut state).pools[0].backends[1].hops.as_slice()[0].destination, None);
}

#[test]
fn below_the_panic_threshold_everybody_is_eligible() {
    let mut state = state("[1]");
    down(&mut state, 3);
    assert_eq!(eligible(&state, 1), [true, true], "1 of 2 is below 60 %");
    down(&mut state, 0);
    down(&mut state, 1);
    assert_eq!(eligible(&state, 0), [false, false, true], "no threshold, no panic");
    down(&mut state, 2);
    let slots = owners(&reconcile(&mut state), 0);
    assert!(slots.iter().all(|slot| *slot >= 3), "nobody is left: every slot is empty");
}

#[test]
fn each_worker_has_a_copy_of_its_own() {
    let snapshot = reconcile(&mut state("[1, 2, 3]"));
    let tables = snapshot.pools[0].tables();
    assert_eq!(tables.len(), 3);
    assert!(tables.windows(2).all(|pair| pair[0].slots() == pair[1].slots()));
    assert!(tables.windows(2).all(|pair| !std::ptr::eq(pair[0].slots(), pair[1].slots())));
}
