//! `POST /v1/reload`: what is applied, what is refused, and that a refusal changes nothing.

use super::backend;
use super::site::{ARM, IDLE, SWEEP, Site};
use guideway_control::api::client::ClientError;
use guideway_control::reload::run::Ask;

fn ask() -> Ask {
    Ask::default()
}

fn refused(site: &Site, ask: &Ask) -> (u16, Vec<String>) {
    match site.client.reload(ask) {
        Err(ClientError::Refused { status, message }) => (status, message.lines().map(str::to_owned).collect()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_changed_file_is_applied_as_a_difference() {
    let site = Site::start();
    let same = site.client.reload(&ask()).unwrap().outcome;
    assert!(same.applied && !same.disruptive && same.changes.is_empty(), "{same:?}");
    assert_eq!(same.config, site.file());

    site.edit(&[
        ("{ name = \"web2\", address = \"10.0.0.12\" },\n", ""),
        ("\"10.0.0.13\" }", "\"10.0.0.13\", weight = 3 }, { name = \"web4\", address = \"10.0.0.14\" }"),
    ]);
    let expected = [
        "pool web: backend web3: weight 1 -> 3",
        "pool web: backend web4 (10.0.0.14) joins",
        "pool web: backend web2 leaves",
    ];
    let dry = site.client.reload(&Ask { dry_run: true, ..ask() }).unwrap().outcome;
    assert!(!dry.applied && dry.changes == expected, "{dry:?}");
    assert_eq!(site.pool("web").backends.len(), 3, "nothing changed");
    let outcome = site.client.reload(&ask()).unwrap().outcome;
    assert!(outcome.applied && outcome.changes == expected, "{outcome:?}");
    assert!(!site.pool("web").transition.settled, "it began at once");
    site.run(ARM * 4);
    let web = site.pool("web");
    assert!(web.transition.settled);
    assert_eq!((backend(&web, "web2").stage.as_str(), backend(&web, "web4").stage.as_str()), ("leaving", "serving"));
    assert!(backend(&web, "web3").slots > 2 * backend(&web, "web4").slots);
    site.run(IDLE * 2 + SWEEP * 4);
    let names: Vec<String> = site.pool("web").backends.into_iter().map(|backend| backend.name).collect();
    assert_eq!(names, ["web1", "web3", "web4"]);
    assert!(site.client.reload(&ask()).unwrap().outcome.changes.is_empty());
}

#[test]
fn errors_of_the_file_come_with_their_places_and_change_nothing() {
    let site = Site::start();
    site.edit(&[
        ("web2\", address = \"10.0.0.12", "web2\", address = \"10.0.0.300"),
        ("pins = 1024", "pinns = 1024"),
        ("\"web3\"", "\"web33\""),
    ]);
    for dry_run in [false, true] {
        let (status, lines) = refused(&site, &Ask { dry_run, ..ask() });
        assert_eq!((status, lines.len()), (422, 2), "{lines:?}");
        let file = site.file().display().to_string();
        assert!(lines[0].starts_with(&format!("{file}:8:1: error: ")) && lines[0].contains("pinns"), "{lines:?}");
        assert!(lines[1].contains("10.0.0.300") && lines[1].starts_with(&file), "{lines:?}");
    }
    assert!(site.pool("web").backends.iter().any(|backend| backend.name == "web3"));
    let nowhere = Ask { config: Some("/nowhere/guideway.toml".into()), ..ask() };
    let (status, lines) = refused(&site, &nowhere);
    assert_eq!((status, lines.len()), (422, 1));
    assert!(lines[0].contains("/nowhere/guideway.toml") && lines[0].contains("No such file"), "{lines:?}");
}

#[test]
fn what_breaks_connections_has_to_be_asked_for() {
    let site = Site::start();
    site.counters.pins.inserted.add(100);
    site.client.drain("web", "web1", false).unwrap();
    site.edit(&[
        ("name = \"web\"", "name = \"web\"\ntable_size = 4093"),
        ("port = 80\npool = \"checked\"", "port = 80\npool = \"web\""),
        ("\"web3\", ", "\"web3\", weight = 2, "),
    ]);
    let (status, lines) = refused(&site, &ask());
    assert_eq!((status, lines.len()), (409, 2), "{lines:?}");
    assert!(lines.iter().all(|line| line.contains("guideway.toml: ") && line.contains("--disruptive")), "{lines:?}");
    assert!(lines[0].contains("pool web: its table_size changes from 2039 to 4093"), "{lines:?}");
    assert!(lines[1].contains("vip 203.0.113.11:80/tcp: its pool changes from checked to web"), "{lines:?}");
    assert_eq!((site.pool("web").table_size, backend(&site.pool("web"), "web3").weight), (2_039, 1), "all or nothing");
    let outcome = site.client.reload(&Ask { disruptive: true, ..ask() }).unwrap().outcome;
    assert!(outcome.applied && outcome.disruptive && outcome.changes.len() == 4, "{outcome:?}");
    let web = site.pool("web");
    assert_eq!((web.transition.armed, web.transition.transition, web.table_size), (0, 0, 4_093), "at once");
    assert_eq!((backend(&web, "web1").slots, backend(&web, "web1").state.as_str()), (0, "draining"));
    site.run(ARM);
    let status = site.client.status().unwrap();
    assert_eq!((status.pins.in_use, status.vips[1].pool.as_str()), (0, "web"));
    // From there on as always.
    site.client.enable("web", "web1").unwrap();
    site.run(ARM * 3 + IDLE + SWEEP * 3);
    assert!(backend(&site.pool("web"), "web1").slots > 0);
}

#[test]
fn another_file_may_be_named_and_the_body_may_be_absent() {
    let site = Site::start();
    let text = std::fs::read_to_string(site.file()).unwrap();
    let other = site.file().with_file_name("other.toml");
    std::fs::write(&other, text.replace("name = \"web1\", ", "name = \"web1\", weight = 0, ")).unwrap();
    let outcome = site.client.reload(&Ask { config: Some(other.clone()), ..ask() }).unwrap().outcome;
    assert_eq!((outcome.config, outcome.changes.len()), (other, 1));
    let (code, body) = site.raw("POST", "/v1/reload", "");
    assert!(code == 200 && body.contains("weight 0 -> 1"), "{code} {body}");
    for bad in ["{\"dryrun\": true}", "[1]", "{\"disruptive\": 1}"] {
        assert_eq!(site.raw("POST", "/v1/reload", bad).0, 400, "{bad}");
    }
    assert_eq!(site.raw("GET", "/v1/reload", "").0, 405);
}

#[test]
fn what_a_new_file_checks_is_checked() {
    let site = Site::start();
    site.edit(&[("{ address = \"10.0.0.22\" }", "{ address = \"10.0.0.22\" }, { address = \"10.0.0.23\" }")]);
    site.client.reload(&ask()).unwrap();
    site.run(ARM);
    let checked = site.pool("checked");
    let new = backend(&checked, "10.0.0.23");
    assert_eq!(new.stage, "joining");
    assert!(new.check.is_some(), "the real-time thread was told");
}
