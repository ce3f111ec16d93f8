//! What operators change at run time is kept over a restart.

use super::addition;
use super::site::Site;
use guideway_config::model::Config;
use guideway_control::saved::{LoadError, Saved};
use guideway_control::state::{Admin, State};
use guideway_dataplane::snapshot::PortState;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

fn changed() -> Site {
    let site = Site::start();
    site.client.drain("web", "web1", false).unwrap();
    site.client.weight("web", "web2", 7).unwrap();
    site.client.remove("web", "web3", false).unwrap();
    site.client.add("web", &addition("web4", "10.0.0.14")).unwrap();
    site.client.disable("checked", "10.0.0.21").unwrap();
    site
}

const LINES: [&str; 5] = [
    "checked/10.0.0.21: disabled",
    "web/web1: drained",
    "web/web2: weight 7, another one in the file",
    "web/web3: removed, still in the file",
    "web/web4: added (10.0.0.14, weight 1), not in the file",
];

/// What a start makes of the file, and what it does not take over.
fn restarted(site: &Site, config: Config) -> (State, Vec<String>) {
    let saved = Saved::load(&site.state_file()).expect("a sound file").expect("a file");
    let config = Arc::new(config);
    let mut state = State::new(Arc::clone(&config), vec![PortState::new([2, 0, 0, 0, 0, 1])], UNIX_EPOCH).unwrap();
    let untaken = saved.apply(&config, &mut state, UNIX_EPOCH);
    (state, untaken)
}

fn config(site: &Site) -> Config {
    guideway_config::parse(&std::fs::read_to_string(site.file()).unwrap(), None).unwrap().config
}

#[test]
fn a_restart_finds_what_was_changed() {
    let site = changed();
    assert_eq!(site.client.status().unwrap().differences, LINES);
    let (state, untaken) = restarted(&site, config(&site));
    assert!(untaken.is_empty(), "{untaken:?}");
    assert_eq!(Saved::of(&config(&site), &state), Saved::load(&site.state_file()).unwrap().unwrap());
    let web = state.desired().pools[0].clone();
    let backends: Vec<_> = web.backends.iter().map(|of| (of.name.as_str(), of.weight)).collect();
    assert_eq!(backends, [("web1", 1), ("web2", 7), ("web4", 1)]);
    assert_eq!(state.pools[0].backends[0].admin, Admin::Drained);
    assert_eq!(state.pools[1].backends[0].admin, Admin::Disabled);
    let owners: std::collections::BTreeSet<usize> =
        state.pools[0].plan.phases().current().iter().map(|slot| slot.index()).collect();
    assert_eq!(
        owners,
        [1].into(),
        "slots are as if it had been so from the start, and what was added joins when it is there"
    );
}

#[test]
fn another_configuration_wins_but_for_drains() {
    let site = changed();
    site.edit(&[("\"web2\", ", "\"web2\", weight = 3, ")]);
    let (state, untaken) = restarted(&site, config(&site));
    assert_eq!(untaken.len(), 3, "{untaken:?}");
    assert!(untaken.iter().all(|line| line.contains("the configuration file has changed since, and wins")));
    assert_eq!(Saved::of(&config(&site), &state).lines(), [LINES[0], LINES[1]]);
}

#[test]
fn a_reload_is_kept_too() {
    let site = changed();
    site.client.reload(&Default::default()).unwrap();
    let saved = Saved::load(&site.state_file()).unwrap().unwrap();
    assert_eq!(saved.lines(), [LINES[0], LINES[1]], "the file won, and drains are in no file");
    assert_eq!(site.client.status().unwrap().differences, saved.lines());
}

#[test]
fn a_damaged_file_is_named_and_kept_aside() {
    let site = changed();
    let path = site.state_file();
    let whole = std::fs::read_to_string(&path).unwrap();
    for damaged in [&whole[..whole.len() / 2], "", "[]", &whole.replace("\"version\": 1", "\"version\": 9")] {
        std::fs::write(&path, damaged).unwrap();
        let Err(LoadError::Damaged { aside, .. }) = Saved::load(&path) else { panic!("{damaged}") };
        assert_eq!(std::fs::read_to_string(&aside).unwrap(), damaged, "nothing is lost");
        assert!(Saved::load(&path).unwrap().is_none(), "the next start finds none");
    }
}

#[test]
fn a_file_that_cannot_be_written_is_told_and_the_change_goes_on() {
    let site = Site::start();
    std::fs::create_dir(site.state_file()).unwrap();
    let drained = site.client.drain("web", "web1", false).unwrap();
    assert_eq!(drained.backend.expect("it is there").admin, "draining");
    let warnings = site.client.status().unwrap().warnings;
    assert!(warnings.iter().any(|line| line.contains("[state] file") && line.contains("forget")), "{warnings:?}");
    std::fs::remove_dir(site.state_file()).unwrap();
    site.client.enable("web", "web1").unwrap();
    assert!(!site.client.status().unwrap().warnings.iter().any(|line| line.contains("[state] file")));
}
