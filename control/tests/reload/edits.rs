//! What is a difference: applied, it makes the state what the file says.

use crate::file::{edited, owners, parsed, pass, plan, reload, sorted, state};
use guideway_config::model::{Config, Forward, OnDown};
use guideway_control::reload::Remedy;
use guideway_control::state::{BackendHealth, Change, Stage, State};
use guideway_dataplane::ids::BackendId;
use guideway_dataplane::time::Nanos;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

/// After everything that was planned the state is what a start with the file would give.
fn follows(state: &mut State, new: &Config) {
    pass(state);
    assert_eq!(sorted(state.desired()), sorted(new.clone()));
    let (now, then) = (sorted(Config::clone(&state.config)), sorted(new.clone()));
    assert_eq!(now.pools[0].backends, then.pools[0].backends, "nothing is left behind");
    assert!(now == then);
    assert_eq!(owners(state), owners(&self::state(new.clone())));
}

fn ids(state: &State, name: &str) -> Vec<BackendId> {
    let both = state.config.pools[0].backends.iter().zip(&state.pools[0].backends);
    both.filter(|(of, _)| of.name == name).map(|(_, backend)| backend.id).collect()
}

fn stage(state: &State, id: BackendId) -> Stage {
    let (pool, index) = state.find(id).expect("it is there");
    state.pools[pool.index()].backends[index].stage
}

#[test]
fn the_same_file_changes_nothing() {
    let mut state = state(edited(&[]));
    let plan = reload(&mut state, &edited(&[]));
    assert!(plan.lines.is_empty() && !plan.anew && !state.is_stale());
    let swapped = [
        ("\"web1\", address = \"10.0.0.11\"", "\"web3\", address = \"10.0.0.13\""),
        ("{ name = \"web3\", address = \"10.0.0.13\" },\n]", "{ name = \"web1\", address = \"10.0.0.11\" },\n]"),
    ];
    assert!(reload(&mut state, &edited(&swapped)).lines.is_empty(), "the order of backends is of no account");
    assert!(!state.is_stale());
}

#[test]
fn settings_are_told_and_taken_over() {
    let keys = "panic_threshold = \"50%\"\ngroup_min = \"60%\"\non_down = \"keep\"\ndrain_timeout = \"5m\"\n\
        encap_source = \"10.0.0.77\"\nfragment_outer = true";
    let edits = [("# web", keys), ("tcp = \"1s\"", "tcp = \"500ms\""), ("weight = 2", "weight = 7, priority = 0")];
    let new = edited(&edits);
    let mut state = state(edited(&[]));
    let before = state.pools[1].built.clone();
    let plan = reload(&mut state, &new);
    for part in [
        "panic_threshold none -> 50%",
        "-> 60%",
        "on_down move -> keep",
        "drain_timeout none -> 300s",
        "encap_source none -> 10.0.0.77/32",
        "fragment_outer false -> true",
        "idle_timeout.tcp 1s -> 500ms",
        "backend web2: weight 2 -> 7",
    ] {
        assert!(
            plan.lines.iter().any(|line| line.starts_with("pool web: ") && line.contains(part)),
            "{part}: {:?}",
            plan.lines
        );
    }
    assert_eq!(plan.lines.len(), 8);
    assert_eq!(state.config.pools[0].on_down, OnDown::Keep);
    follows(&mut state, &new);
    assert!(!std::sync::Arc::ptr_eq(&before, &state.pools[1].built), "it knows the longest idle time");
    assert_eq!(ids(&state, "web2"), [BackendId(1)], "nobody is another one");
}

#[test]
fn other_pools_are_shared() {
    let mut state = state(edited(&[]));
    reload(&mut state, &edited(&[("weight = 2", "weight = 3")]));
    assert!(state.pools[0].is_stale() && !state.pools[1].is_stale());
}

#[test]
fn what_was_changed_at_run_time_is_made_true_again() {
    let file = edited(&[]);
    let mut state = state(file.clone());
    state.change("web", "web1", Change::Weight(9), Nanos(1)).unwrap();
    state.change("web", "web3", Change::Remove { force: false }, Nanos(1)).unwrap();
    state.change("web", "web2", Change::Drain { force: false }, Nanos(1)).unwrap();
    let added = guideway_config::model::Backend {
        name: "web4".into(),
        address: [10, 0, 0, 14].into(),
        ..file.pools[0].backends[0].clone()
    };
    state.add("web", added, UNIX_EPOCH).unwrap();
    let plan = reload(&mut state, &file);
    assert_eq!(
        plan.lines,
        [
            "pool web: backend web1: weight 9 -> 1",
            "pool web: backend web3 (10.0.0.13) joins",
            "pool web: backend web4 leaves"
        ]
    );
    assert_eq!(stage(&state, BackendId(2)), Stage::Serving, "it had not left yet");
    assert!(state.pools[0].backends[1].is_draining(), "a drain is in no file");
    state.change("web", "web2", Change::Enable, Nanos(1)).unwrap();
    follows(&mut state, &file);
    assert_eq!(ids(&state, "web3"), [BackendId(2)]);
}

#[test]
fn another_address_is_another_backend_that_takes_over_when_it_is_ready() {
    let moved = |host: u8| edited(&[("web2\", address = \"10.0.0.12", &format!("web2\", address = \"10.0.0.{host}"))]);
    let mut state = state(edited(&[]));
    let before = owners(&state);
    // Its next hop is not known.
    let plan = reload(&mut state, &moved(99));
    assert!(plan.lines[0].contains("moves from 10.0.0.12 to 10.0.0.99"), "{:?}", plan.lines);
    assert_eq!(ids(&state, "web2").len(), 2);
    pass(&mut state);
    let [old, lost] = ids(&state, "web2")[..] else { panic!("two") };
    assert_eq!((stage(&state, old), stage(&state, lost)), (Stage::Serving, Stage::Joining));
    assert_eq!(owners(&state), before);
    assert!(reload(&mut state, &moved(99)).lines.is_empty(), "it is under way");
    // Another thought: what waited is gone, what is there goes on until the other one is ready.
    let new = moved(15);
    reload(&mut state, &new);
    follows(&mut state, &new);
    assert_ne!(ids(&state, "web2"), [old]);
    assert_eq!(owners(&state), before, "the slots of the name are the same");
    assert_eq!(state.find(old), None);
    assert_eq!(state.find(lost), None);
}

#[test]
fn back_before_it_took_over_keeps_what_was() {
    let file = edited(&[]);
    let mut state = state(file.clone());
    reload(&mut state, &edited(&[("web2\", address = \"10.0.0.12", "web2\", address = \"10.0.0.99")]));
    pass(&mut state);
    reload(&mut state, &file);
    follows(&mut state, &file);
    assert_eq!(ids(&state, "web2"), [BackendId(1)]);
}

#[test]
fn another_mode_replaces_each_backend_by_itself() {
    let new = edited(&[("name = \"web\"\nforward = \"ipip\"", "name = \"web\"\nforward = \"gue\"")]);
    let mut state = state(edited(&[]));
    reload(&mut state, &new);
    let modes: Vec<Forward> = state.pools[0].backends.iter().map(|backend| backend.forward).collect();
    assert_eq!(modes, [Forward::Ipip, Forward::Ipip, Forward::Ipip, Forward::Gue, Forward::Gue, Forward::Gue]);
    follows(&mut state, &new);
    assert!(state.pools[0].backends.iter().all(|backend| backend.forward == Forward::Gue));
}

#[test]
fn a_drain_is_of_the_name() {
    let mut state = state(edited(&[]));
    state.change("web", "web2", Change::Drain { force: false }, Nanos(1)).unwrap();
    let new = edited(&[("web2\", address = \"10.0.0.12", "web2\", address = \"10.0.0.15")]);
    reload(&mut state, &new);
    pass(&mut state);
    assert_eq!(ids(&state, "web2").len(), 1);
    assert!(!owners(&state)["web"].contains(&"web2".to_owned()), "it drains, too");
    state.change("web", "web2", Change::Enable, Nanos(1)).unwrap();
    follows(&mut state, &new);
}

#[test]
fn an_operator_means_both_of_one_name() {
    let mut state = state(edited(&[]));
    reload(&mut state, &edited(&[("web2\", address = \"10.0.0.12", "web2\", address = \"10.0.0.99")]));
    state.change("web", "web2", Change::Weight(5), Nanos(1)).unwrap();
    assert_eq!(state.config.pools[0].backends.iter().filter(|backend| backend.weight == 5).count(), 2);
    state.change("web", "web2", Change::Remove { force: false }, Nanos(1)).unwrap();
    pass(&mut state);
    assert!(ids(&state, "web2").is_empty());
    assert_eq!(state.config.pools[0].backends.len(), 2);
}

#[test]
fn checks_that_end_make_everybody_up() {
    let with = edited(&[("health = { kind = \"none\" }", "health = { kind = \"tcp\", port = 80 }")]);
    let mut state = state(with.clone());
    state.set_health(BackendId(1), BackendHealth::Down, guideway_control::health::Reason::Refused, UNIX_EPOCH);
    let without = edited(&[]);
    assert_eq!(reload(&mut state, &without).lines, ["pool web: health checks end, all its backends count as up"]);
    follows(&mut state, &without);
    assert_eq!(reload(&mut state, &with).lines, ["pool web: health checks begin"]);
    assert!(
        state.pools[0].backends.iter().all(|backend| backend.health == BackendHealth::Unknown && backend.counts_as_up)
    );
    assert!(state.take_duties_stale());
}

#[test]
fn a_server_id_is_of_one_machine_at_a_time() {
    let quic = |host: u8, id: &str| {
        let backends = format!("backend = [{{ name = \"q1\", address = \"10.0.0.{host}\", server_id = \"{id}\" }}]");
        edited(&[
            (
                "backend = [{ name = \"api1\", address = \"10.0.0.21\" }]",
                &format!("{backends}\n[[pool.quic_lb]]\nconfig_id = 0\nserver_id_len = 2\nnonce_len = 6"),
            ),
            ("\"udp\"", "\"quic\""),
            (
                "name = \"api\"\nforward = \"ipip\"\nhealth = { kind = \"none\" }\nidle_timeout = { tcp",
                "name = \"api\"\nforward = \"ipip\"\nhealth = { kind = \"none\" }\nidle_timeout = { quic",
            ),
        ])
    };
    let mut state = state(quic(21, "0a0b"));
    let plan = plan(&state, &quic(22, "0a0b"), false).unwrap();
    let refusals = state.reload(&plan, Nanos(1), UNIX_EPOCH).unwrap_err();
    assert!(refusals[0].remedy == Remedy::Other && refusals[0].reason.contains("server_id"), "{refusals:?}");
    assert_eq!(state.desired(), quic(21, "0a0b"));
    assert!(!state.is_stale());
    let new = quic(22, "0a0c");
    reload(&mut state, &new);
    follows(&mut state, &new);
}

/// A file of some backends of pool `web`: number, host, weight and priority each.
fn file(backends: &BTreeMap<u8, (u8, u32, u8)>, idle: u64, panic: bool) -> Config {
    let list = backends.iter().map(|(name, (host, weight, priority))| {
        format!(
            "{{ name = \"web{name}\", address = \"10.0.0.{}\", weight = {weight}, priority = {priority} }},\n",
            11 + host
        )
    });
    let whole = edited(&[]);
    let panic = if panic { "panic_threshold = \"50%\"" } else { "" };
    let mut text = crate::file::FILE.to_owned();
    let (from, to) = (text.find("# web").unwrap(), text.find("[[pool]]\nname = \"api\"").unwrap());
    text.replace_range(from..to, &format!("{panic}\nbackend = [\n{}]\n", list.collect::<String>()));
    let text = text.replace("NEIGHBORS", "").replacen("tcp = \"1s\"", &format!("tcp = \"{idle}ms\""), 1);
    let mut config = parsed(&text);
    config.interfaces = whole.interfaces;
    config
}

prop_compose! {
    fn files()(
        backends in prop::collection::btree_map(0_u8..6, (0_u8..12, 1_u32..5, 0_u8..2), 1..6),
        idle in 300_u64..1_000,
        panic in any::<bool>(),
    ) -> Config {
        file(&backends, idle, panic)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Any file after any other, also before what the one before asked for is done.
    #[test]
    fn any_file_is_followed(first in files(), then in prop::collection::vec((files(), 0_u64..30), 1..4)) {
        let mut state = state(first);
        for (new, steps) in &then {
            reload(&mut state, new);
            prop_assert_eq!(sorted(state.desired()), sorted(new.clone()));
            prop_assert!(plan(&state, new, false).unwrap().lines.is_empty(), "asked twice, nothing is new");
            for generation in 1..=*steps {
                guideway_control::reconcile::reconcile(&mut state);
                state.published(generation);
                let now = Nanos(1) + Duration::from_millis(100) * generation as u32;
                state.acknowledge(generation, now);
                state.step(guideway_control::state::Moment { now, acknowledged: true, crowded: false });
            }
        }
        follows(&mut state, &then.last().unwrap().0);
    }
}
