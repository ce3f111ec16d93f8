//! What `--at` refuses, and what it says.

use crate::support::{Capture, actions, at, config, flows_of, syn};
use guideway_control::replay::{Options, Replay, ReplayError, Timed};

#[test]
fn what_cannot_be_is_told_before_the_first_packet() {
    let config = config();
    for (action, told) in [
        ("drain nobody", "no backend has that name; give NAME or POOL/NAME"),
        ("drain web1", "several pools have a backend of that name; write one of web/web1, api/web1"),
        ("drain nopool/web1", "there is no pool \"nopool\"; the configuration has web, api"),
        ("drain web/web9", "pool \"web\" has no backend \"web9\"; it has web1, web2, web3, web4"),
        ("add nopool/new 10.0.0.15", "there is no pool \"nopool\""),
        ("add web/new 192.0.2.1", "no route leads to backend \"new\"; add a [[route]]"),
        ("down nobody", "no backend has that name"),
        ("weight web/web2 70000", "\"70000\" is no weight: 0 to 65535"),
    ] {
        let refused = |error: ReplayError| error.to_string();
        let started = at(&[("2.5s", action)]).map_err(refused).and_then(|at| {
            let options = Options { at, ..Options::default() };
            Replay::new(&config, &options).map(drop).map_err(refused)
        });
        let error = started.unwrap_err();
        assert!(error.starts_with(&format!("--at 2.5s '{action}': ")) && error.contains(told), "{action}: {error}");
    }
    let error = Timed::parse("2.5", "drain web/web3").unwrap_err().to_string();
    assert!(error.contains("--at 2.5 'drain web/web3'") && error.contains("300ms, 2.5s, 2m"), "{error}");
}

#[test]
fn one_name_in_several_pools_goes_down_in_all_of_them() {
    let mut capture = Capture::default();
    capture.add(0, syn(1));
    let outcome = capture.run(&config(), &actions(&[("0s", "down web1"), ("0s", "drain api2")]));
    assert_eq!(outcome.summary.pools["web"].states.get("web1"), Some(&"down"));
    assert_eq!(outcome.summary.pools["api"].states.get("web1"), Some(&"down"));
    assert_eq!(outcome.summary.pools["api"].states.get("api2"), Some(&"draining"));
}

#[test]
fn what_shows_on_the_way_only_ends_the_replay() {
    let config = config();
    let mut capture = Capture::default();
    capture.add(0, syn(1)).add(1_000, syn(2));
    let error = |list: &[(&str, &str)]| capture.try_run(&config, &actions(list)).err().map(|error| error.to_string());
    let last = error(&[("0s", "remove api/web1"), ("500ms", "remove api/api2")]).unwrap();
    assert!(last.starts_with("--at 500ms 'remove api/api2': ") && last.contains("is the last backend"), "{last}");
    let leaving = error(&[("0s", "remove web/web1"), ("10ms", "enable web/web1")]).unwrap();
    assert!(leaving.contains("is being removed"), "{leaving}");
    let twice = error(&[("2s", "add web/web1 10.0.0.15")]).unwrap();
    assert!(twice.contains("has a backend \"web1\" already"), "{twice}");
    assert_eq!(error(&[("0s", "add web/web5 10.0.0.15"), ("3s", "drain web5")]), None, "what was added has a name");
    assert!(error(&[("3s", "add web/web5 10.0.0.15"), ("0s", "drain web5")]).is_some(), "not before");
}

#[test]
fn a_backend_that_is_gone_may_come_again() {
    let config = config();
    let flow = flows_of(&config, "web/web3", 0, 1)[0];
    let mut capture = Capture::default();
    capture.add_flow(flow, 0, [500]).add(30_000, syn(flow));
    let outcome = capture.run(&config, &actions(&[("1s", "remove web/web3"), ("20s", "add web/web3 10.0.0.15")]));
    assert_eq!(outcome.backends(flow), ["web/web3"], "the same name, the same slots");
    let last = outcome.sent.last().unwrap();
    assert_eq!(last.1[30..34], [10, 0, 0, 15], "and another machine");
}
