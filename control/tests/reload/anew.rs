//! What breaks connections, when it is asked for: everything is made anew, and what is known of the world stays.

use crate::file::{edited, owners, plan, state};
use guideway_control::health::Reason;
use guideway_control::state::{Admin, BackendHealth, Change};
use guideway_dataplane::ids::{BackendId, LinkId};
use guideway_dataplane::time::Nanos;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

const REASON: Reason = Reason::Refused;

#[test]
fn ids_health_and_neighbours_stay_and_slots_are_steady() {
    let mut state = state(edited(&[]));
    state.set_health(BackendId(1), BackendHealth::Down, REASON, UNIX_EPOCH);
    state.change("web", "web3", Change::Drain { force: false }, Nanos(1)).unwrap();
    state.set_neighbor(LinkId(0), "10.0.0.254".parse().unwrap(), Some([2, 0, 0, 0, 0, 0xfe]));
    state.set_path_mtu("10.0.0.11".parse().unwrap(), Some(1_300));
    let edits = [
        ("table_size = 2039", "table_size = 4093"),
        ("\"web1\", address = \"10.0.0.11\"", "\"web9\", address = \"10.0.0.19\""),
    ];
    let new = edited(&edits);
    let pins = Arc::clone(&state.pins);
    let plan = plan(&state, &new, true).unwrap();
    assert!(plan.anew);
    state.renew(Arc::new(plan.target), UNIX_EPOCH).unwrap();
    assert_eq!(*state.config, new);
    let ids: Vec<BackendId> = state.pools[0].backends.iter().map(|backend| backend.id).collect();
    assert_eq!(ids, [BackendId(4), BackendId(1), BackendId(2)], "an id is a name at an address");
    assert_eq!(state.find(BackendId(4)).map(|(pool, index)| (pool.index(), index)), Some((0, 0)));
    assert_eq!(state.find(BackendId(0)), None);
    assert_eq!(state.pools[0].backends[2].admin, Admin::Drained);
    assert!(Arc::ptr_eq(&pins, &state.pins));
    assert_eq!(state.neighbors.len(), 31);
    assert_eq!(state.path_mtus.len(), 1);
    assert!(state.pools.iter().all(|pool| pool.is_stale() && pool.plan.is_quiet()), "steady, and to be published");
    assert_eq!(state.pools[0].plan.target().size(), 4_093);
    assert!(!owners(&state)["web"].contains(&"web3".to_owned()), "it drains");
    assert!(state.needs_sweeps(), "the id of what is gone rests");
}

#[test]
fn checked_backends_keep_what_is_known_of_them() {
    let checked = ("health = { kind = \"none\" }", "health = { kind = \"tcp\", port = 80 }");
    let mut state = state(edited(&[checked]));
    state.set_health(BackendId(1), BackendHealth::Down, REASON, UNIX_EPOCH);
    let new = edited(&[checked, ("table_size = 2039", "table_size = 4093")]);
    state.renew(Arc::new(new), UNIX_EPOCH).unwrap();
    let backend = &state.pools[0].backends[1];
    assert_eq!((backend.health, backend.reason, backend.counts_as_up), (BackendHealth::Down, Some(REASON), false));
    assert!(!owners(&state)["web"].contains(&"web2".to_owned()));
    state.renew(Arc::new(edited(&[])), UNIX_EPOCH).unwrap();
    assert_eq!(state.pools[0].backends[1].health, BackendHealth::Up, "nobody checks it any more");
}

#[test]
fn pins_of_another_size_or_clock_are_another_table() {
    for edit in [("pins = 1024", "pins = 2048"), ("tcp = \"1s\"", "tcp = \"10m\""), ("\"100ms\"", "\"30s\"")] {
        let mut state = state(edited(&[]));
        let before = Arc::clone(&state.pins);
        state.renew(Arc::new(edited(&[edit])), UNIX_EPOCH).unwrap();
        assert!(!Arc::ptr_eq(&before, &state.pins), "{edit:?}");
    }
}
