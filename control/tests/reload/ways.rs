//! Routes and own addresses: other ways are taken once somebody answers there.

use crate::file::{edited, reload, state};
use guideway_control::duties::duties;
use guideway_control::state::{Moment, State};
use guideway_dataplane::ids::LinkId;
use guideway_dataplane::time::Nanos;
use std::net::IpAddr;

const FAR: (&str, &str) = ("\"10.0.0.12\", weight", "\"198.51.100.7\", weight");
const OTHER: (&str, &str) = ("10.0.0.254", "10.0.0.253");
const GATEWAY: [u8; 6] = [2, 0, 0, 0, 0, 0xfe];

fn neighbors(state: &State) -> Vec<IpAddr> {
    state.pools[0].backends[1].hops.iter().map(|hop| hop.neighbor).collect()
}

fn step(state: &mut State) {
    state.step(Moment { now: Nanos(2), acknowledged: true, crowded: false });
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// `web2` is behind a gateway that is known.
fn behind_a_gateway() -> State {
    let mut state = state(edited(&[FAR]));
    state.set_neighbor(LinkId(0), address("10.0.0.254"), Some(GATEWAY));
    guideway_control::reconcile::reconcile(&mut state);
    state
}

#[test]
fn another_gateway_takes_over_when_it_answers() {
    let mut state = behind_a_gateway();
    let plan = reload(&mut state, &edited(&[FAR, OTHER]));
    assert_eq!(plan.lines, ["route 0.0.0.0/0: via 10.0.0.254 -> 10.0.0.253, once that answers"]);
    step(&mut state);
    assert_eq!(neighbors(&state), [address("10.0.0.254")], "packets go on by the one that is known");
    assert!(!state.is_stale());
    let wanted = duties(&state).wanted;
    for gateway in ["10.0.0.253", "10.0.0.254"] {
        assert!(wanted.contains(&(LinkId(0), address(gateway))), "both are asked for: {wanted:?}");
    }
    state.set_neighbor(LinkId(0), address("10.0.0.253"), Some(GATEWAY));
    step(&mut state);
    assert_eq!(neighbors(&state), [address("10.0.0.253")]);
    assert!(state.pools[0].is_stale() && !state.pools[1].is_stale());
    assert!(!duties(&state).wanted.contains(&(LinkId(0), address("10.0.0.254"))));
}

#[test]
fn back_before_it_answered_keeps_the_way() {
    let mut state = behind_a_gateway();
    reload(&mut state, &edited(&[FAR, OTHER]));
    reload(&mut state, &edited(&[FAR]));
    state.set_neighbor(LinkId(0), address("10.0.0.253"), Some(GATEWAY));
    step(&mut state);
    assert_eq!(neighbors(&state), [address("10.0.0.254")]);
    assert!(state.pools[0].backends[1].next_hops.is_empty());
}

#[test]
fn a_file_that_leads_nowhere_changes_nothing() {
    let state = behind_a_gateway();
    let mut nowhere = edited(&[FAR]);
    nowhere.routes.clear();
    let plan = crate::file::plan(&state, &nowhere, false).expect("the comparison knows no routes");
    let refusals = state.may_reload(&plan, std::time::UNIX_EPOCH).unwrap_err();
    assert!(
        refusals[0].reason.contains("no interface's subnet and no route leads to backend \"web2\""),
        "{refusals:?}"
    );
}

#[test]
fn another_own_address_is_the_source_of_tunnels_at_once() {
    let mut state = behind_a_gateway();
    let other = edited(&[FAR, ("\"10.0.0.1/24\"", "\"10.0.0.2/24\"")]);
    let plan = reload(&mut state, &other);
    assert_eq!(plan.lines, ["interface edge: addresses 10.0.0.1/24 -> 10.0.0.2/24"]);
    assert!(state.is_stale());
    let fresh = crate::file::state(other);
    for (pool, of_fresh) in state.pools.iter().zip(&fresh.pools) {
        for (backend, of_fresh) in pool.backends.iter().zip(&of_fresh.backends) {
            assert_eq!(backend.hops, of_fresh.hops);
            assert_eq!(format!("{:?}", backend.rewrite), format!("{:?}", of_fresh.rewrite));
        }
    }
    assert_eq!(duties(&state).links, duties(&fresh).links);
}
