//! The control socket, over a real one: planned changes, their refusals, and what `status` makes of them. Time is handed
//! in, so that nothing here depends on how busy the machine is.

#[path = "api/browser.rs"]
mod browser;
#[path = "api/description.rs"]
mod description;
#[path = "api/metrics.rs"]
mod metrics;
#[path = "api/page.rs"]
mod page;
#[path = "api/reload.rs"]
mod reload;
#[path = "api/saved.rs"]
mod saved;
#[path = "api/site.rs"]
mod site;
#[path = "api/tcp.rs"]
mod tcp;

use guideway_control::api::Addition;
use guideway_control::api::client::ClientError;
use guideway_control::status::model::{BackendStatus, PoolStatus};
use serde_json::{Value, json};
use site::{ARM, IDLE, SWEEP, Site};

fn backend<'p>(pool: &'p PoolStatus, name: &str) -> &'p BackendStatus {
    pool.backends.iter().find(|backend| backend.name == name).expect("a backend of this name")
}

fn addition(name: &str, address: &str) -> Addition {
    Addition { name: name.to_owned(), address: address.to_owned(), port: None, weight: 1, priority: 0, server_id: None }
}

#[test]
fn a_drain_arms_moves_and_ends_and_enable_restores_the_table() {
    let site = Site::start();
    let before = site.pool("web");
    assert!(before.transition.settled && before.transition.waiting.is_none());
    assert_eq!((before.transition.armed, before.transition.until_seconds), (0, None));
    assert_eq!(before.transition.tracking, "transition");

    let web2 = site.client.drain("web", "web2", false).unwrap().backend.expect("it is there");
    assert_eq!((web2.state.as_str(), web2.admin.as_str(), web2.stage.as_str()), ("draining", "draining", "serving"));
    assert!(!web2.drained && !web2.forced && web2.slots > 0);
    let armed = site.pool("web");
    assert!(armed.transition.armed > 0, "it began at once: {:?}", armed.transition);
    assert_eq!((armed.transition.waiting.as_deref(), armed.transition.settled), (Some("arming"), false));

    site.run(ARM * 2);
    let moving = site.pool("web");
    assert!(moving.transition.settled, "{:?}", moving.transition);
    assert_eq!(moving.transition.transition, armed.transition.armed);
    assert_eq!(moving.transition.differing, armed.transition.armed);
    let left = moving.transition.until_seconds.expect("a deadline");
    assert!(left > 0.0 && left <= IDLE.as_secs_f64(), "{left}");
    assert_eq!((backend(&moving, "web2").slots, backend(&moving, "web2").drained), (0, false));

    site.run(IDLE + SWEEP * 3);
    let web2 = backend(&site.pool("web"), "web2").clone();
    assert!(web2.drained, "{web2:?}");
    assert_eq!((web2.state.as_str(), web2.pins), ("drained", 0));

    let web2 = site.client.enable("web", "web2").unwrap().backend.expect("it is there");
    assert_eq!((web2.state.as_str(), web2.admin.as_str(), web2.drained), ("up", "enabled", false));
    assert!(!site.pool("web").transition.settled);
    site.run(ARM * 2);
    let after = site.pool("web");
    assert!(after.transition.settled);
    assert_eq!(after.table_digest, before.table_digest);
}

#[test]
fn force_moves_at_once() {
    let site = Site::start();
    let web2 = site.client.drain("web", "web2", true).unwrap().backend.expect("it is there");
    assert!(web2.forced);
    assert_eq!(web2.slots, 0, "nothing was armed");
    site.run(IDLE + SWEEP * 3);
    assert!(backend(&site.pool("web"), "web2").drained);
}

#[test]
fn disable_ends_checks_and_enable_begins_them() {
    let site = Site::start();
    let checked = || backend(&site.pool("checked"), "10.0.0.21").check.is_some();
    assert!(checked());
    let disabled = site.client.disable("checked", "10.0.0.21").unwrap().backend.expect("it is there");
    assert_eq!((disabled.state.as_str(), disabled.admin.as_str()), ("disabled", "disabled"));
    site.run(ARM);
    assert!(!checked(), "the real-time thread was told");
    site.client.enable("checked", "10.0.0.21").unwrap();
    site.run(ARM);
    assert!(checked());
}

#[test]
fn a_weight_takes_its_share() {
    let site = Site::start();
    let slots = |name| backend(&site.pool("web"), name).slots;
    let (size, before) = (site.pool("web").table_size, slots("web1"));
    assert_eq!(site.client.weight("web", "web1", 4).unwrap().backend.map(|backend| backend.weight), Some(4));
    site.run(ARM * 2);
    assert!(slots("web1") > before * 3 / 2, "{} of {size}", slots("web1"));
    site.client.weight("web", "web1", 0).unwrap();
    // What moved before may move again, once.
    site.run(ARM * 2);
    assert_eq!(slots("web1"), 0);
}

#[test]
fn removal_is_a_drain_first() {
    let site = Site::start();
    let web3 = site.client.remove("web", "web3", false).unwrap().backend.expect("it has flows");
    assert_eq!((web3.state.as_str(), web3.stage.as_str()), ("leaving", "leaving"));
    let refused = site.client.enable("web", "web3").unwrap_err();
    assert!(matches!(refused, ClientError::Refused { status: 409, .. }), "{refused}");
    site.run(ARM * 2);
    assert_eq!(site.pool("web").backends.len(), 3, "flows may be on it");
    site.run(IDLE + SWEEP * 3);
    let names: Vec<String> = site.pool("web").backends.into_iter().map(|backend| backend.name).collect();
    assert_eq!(names, ["web1", "web2"]);

    site.client.remove("web", "web2", true).unwrap();
    site.run(ARM * 2);
    let pool = site.pool("web");
    assert_eq!((backend(&pool, "web2").slots, backend(&pool, "web1").slots), (0, pool.table_size), "at once");
    site.run(IDLE + SWEEP * 3);
    assert_eq!(site.pool("web").backends.len(), 1, "its record goes when no pin can name it");
    let last = site.client.remove("web", "web1", true).unwrap_err();
    assert!(matches!(&last, ClientError::Refused { status: 409, message } if message.contains("last")), "{last}");
    assert!(!last.is_usage());
}

#[test]
fn a_drain_of_before_does_not_shorten_a_removal() {
    let site = Site::start();
    site.client.drain("web", "web2", false).unwrap();
    site.run(ARM * 2 + IDLE + SWEEP * 3);
    assert!(backend(&site.pool("web"), "web2").drained);
    site.client.enable("web", "web2").unwrap();
    site.run(ARM * 2 + IDLE + SWEEP * 3);
    site.client.remove("web", "web2", false).unwrap();
    site.run(ARM * 2);
    assert_eq!(site.pool("web").backends.len(), 3, "flows may be on it");
}

#[test]
fn an_addition_joins_when_it_is_there_and_gives_the_table_of_its_name() {
    let site = Site::start();
    let before = site.pool("web");
    site.client.remove("web", "web1", false).unwrap();
    site.run(ARM * 2 + IDLE + SWEEP * 3);
    assert_ne!(site.pool("web").table_digest, before.table_digest);
    let added = site.client.add("web", &addition("web1", "10.0.0.11")).unwrap().backend.expect("it is there");
    assert_eq!((added.name.as_str(), added.weight), ("web1", 1));
    site.run(ARM * 2 + SWEEP);
    let after = site.pool("web");
    assert_eq!(after.backends.last().map(|last| (last.name.as_str(), last.state.as_str())), Some(("web1", "up")));
    assert_eq!(after.table_digest, before.table_digest, "its place in the pool is another one");

    // Nobody answers its checks.
    let added = site.client.add("checked", &addition("new", "10.0.0.24")).unwrap().backend.expect("it is there");
    assert_eq!((added.state.as_str(), added.stage.as_str(), added.slots), ("joining", "joining", 0));
    site.run(ARM * 2 + SWEEP);
    let pool = site.pool("checked");
    let new = backend(&pool, "new");
    assert_eq!((new.stage.as_str(), new.slots), ("joining", 0));
    assert!(new.check.is_some(), "the real-time thread was told");
}

#[test]
fn what_the_file_could_not_have_cannot_be_added() {
    let site = Site::start();
    for (name, address, part) in [
        ("", "10.0.0.14", "empty"),
        ("a/b", "10.0.0.14", "letters, digits"),
        ("web4", "10.0.0.300", "not an IPv4 or IPv6 address"),
        ("web4", "127.0.0.1", "unicast"),
        ("web4", "224.0.0.1", "unicast"),
        ("web4", "0.0.0.0", "unicast"),
        ("web4", "::ffff:10.0.0.14", "unicast"),
        ("web4", "10.0.0.1", "own address"),
        ("web4", "203.0.113.10", "203.0.113.10:80/tcp"),
        ("web4", "192.0.2.1", "same segment"),
        ("web4", "fd00::14", "family"),
    ] {
        let refused = site.client.add("web", &addition(name, address)).unwrap_err();
        let ClientError::Refused { status: 422, message } = &refused else { panic!("{name} {address}: {refused}") };
        assert!(message.contains(part) && message.contains("web"), "{name} {address}: {message}");
        assert!(refused.is_usage());
    }
    let heavy = Addition { weight: 65_536, ..addition("web4", "10.0.0.14") };
    let named = Addition { server_id: Some("0a0b".to_owned()), ..addition("web4", "10.0.0.14") };
    for (bad, part) in [(heavy, "65535"), (named, "quic_lb")] {
        let refused = site.client.add("web", &bad).unwrap_err();
        assert!(
            matches!(&refused, ClientError::Refused { status: 422, message } if message.contains(part)),
            "{refused}"
        );
    }
    let twice = site.client.add("web", &addition("web2", "10.0.0.14")).unwrap_err();
    assert!(matches!(&twice, ClientError::Refused { status: 409, message } if message.contains("web2")), "{twice}");
    assert_eq!(site.pool("web").backends.len(), 3);
}

#[test]
fn server_ids_are_checked_against_their_pool() {
    let site = Site::start();
    let with = |id: &str| Addition { server_id: Some(id.to_owned()), ..addition("quic2", "10.0.0.14") };
    for (id, part) in [("0a", "2 bytes"), ("0a0", "2 bytes"), ("0xab", "2 bytes"), ("ää", "2 bytes"), ("0A0B", "quic1")]
    {
        let refused = site.client.add("quic", &with(id)).unwrap_err();
        assert!(
            matches!(&refused, ClientError::Refused { status: 422, message } if message.contains(part)),
            "{refused}"
        );
    }
    assert!(site.client.add("quic", &with("0a0c")).unwrap().backend.is_some());
}

#[test]
fn names_that_are_not_there_are_404_and_told_with_those_that_are() {
    let site = Site::start();
    let refusals = [
        site.client.drain("wab", "web2", false).unwrap_err(),
        site.client.enable("web", "web9").unwrap_err(),
        site.client.remove("web", "a/b?c %ä", false).unwrap_err(),
        site.client.add("wab", &addition("web4", "10.0.0.14")).unwrap_err(),
        site.client.pool("a/b").unwrap_err(),
    ];
    for (refused, parts) in refusals.iter().zip([
        ["wab", "web"],
        ["web9", "web1, web2, web3"],
        ["a/b?c %ä", "web1"],
        ["wab", "web"],
        ["a/b", "web"],
    ]) {
        let ClientError::Refused { status: 404, message } = refused else { panic!("{refused}") };
        assert!(parts.iter().all(|part| message.contains(part)), "{message}");
        assert!(refused.is_usage());
    }
    assert!(site.client.drain("checked", "10.0.0.21", false).unwrap().backend.is_some());
}

#[test]
fn requests_are_read_strictly_and_bodies_may_be_absent() {
    let site = Site::start();
    let path = "/v1/pools/web/backends/web2";
    for (method, path, body, status) in [
        ("POST", format!("{path}/drain"), "{\"fource\": true}", 400),
        ("POST", format!("{path}/drain"), "true", 400),
        ("POST", format!("{path}/weight"), "", 400),
        ("POST", format!("{path}/weight"), "{\"weight\": -1}", 400),
        ("POST", format!("{path}/weight"), "{\"weight\": 65536}", 422),
        ("POST", "/v1/pools/web/backends".to_owned(), "{\"name\": \"web4\"}", 400),
        ("DELETE", format!("{path}?fource=true"), "", 400),
    ] {
        let (code, answer) = site.raw(method, &path, body);
        assert_eq!(code, status, "{method} {path}: {answer}");
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        let error = answer["error"].as_str().expect("a line");
        assert!(!error.is_empty() && !error.contains('\n') && answer["reasons"] == json!([error]), "{answer}");
    }
    let pool = site.pool("web");
    assert_eq!((backend(&pool, "web2").state.as_str(), backend(&pool, "web2").weight), ("up", 1), "nothing changed");
    assert_eq!(site.raw("GET", &format!("{path}/drain"), "").0, 405);
    let (code, answer) = site.raw("POST", &format!("{path}/drain"), "");
    assert_eq!(code, 200, "{answer}");
    let answer: Value = serde_json::from_str(&answer).expect("JSON");
    assert_eq!((&answer["backend"]["name"], &answer["backend"]["state"]), (&json!("web2"), &json!("draining")));
}

#[test]
fn crowded_pins_are_told_everywhere() {
    let site = Site::start();
    site.counters.pins.inserted.add(700);
    site.client.drain("web", "web2", false).unwrap();
    let status = site.client.status().unwrap();
    let transition = &status.pools[0].transition;
    assert_eq!((transition.waiting.as_deref(), transition.settled, transition.armed), (Some("pins"), false, 0));
    assert_eq!((status.pins.capacity, status.pins.in_use, status.pins.inserted), (1_024, 700, 700));
    assert!((status.pins.occupancy - 0.684).abs() < 0.001);
    let warning = status.warnings.iter().find(|warning| warning.contains("[state] pins")).expect("a warning");
    assert!(warning.starts_with("web: ") && warning.contains("700 of 1024") && warning.contains("60 %"), "{warning}");
    // The next walk finds that they are over.
    site.run(SWEEP * 3 + ARM * 2);
    let status = site.client.status().unwrap();
    assert_eq!((status.pins.in_use, status.pools[0].transition.waiting.as_deref()), (0, None));
    assert!(!status.warnings.iter().any(|warning| warning.contains("[state] pins")));
}

#[test]
fn status_has_its_shape() {
    let site = Site::start();
    let (code, text) = site.raw("GET", "/v1/status", "");
    assert_eq!(code, 200);
    let status: Value = serde_json::from_str(&text).expect("JSON");
    let keys = |value: &Value| -> Vec<String> { value.as_object().expect("an object").keys().cloned().collect() };
    let sorted = |names: &[&str]| -> Vec<String> {
        let mut names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        names.sort_unstable();
        names
    };
    assert_eq!(
        keys(&status["pools"][0]["transition"]),
        sorted(&[
            "armed",
            "differing",
            "folded",
            "look",
            "settled",
            "tracking",
            "transition",
            "until_seconds",
            "waiting"
        ])
    );
    assert_eq!(
        keys(&status["pins"]),
        sorted(&[
            "capacity",
            "contended",
            "evicted_confirmed",
            "evicted_embryonic",
            "evicted_single",
            "failed",
            "in_use",
            "inserted",
            "occupancy",
            "removed",
            "tick_seconds"
        ])
    );
    let web1 = &status["pools"][0]["backends"][0];
    for (key, value) in [
        ("state", json!("up")),
        ("admin", json!("enabled")),
        ("stage", json!("serving")),
        ("pins", json!(0)),
        ("drained", json!(false)),
        ("forced", json!(false)),
        ("check", json!(null)),
    ] {
        assert_eq!(web1[key], value, "{key}");
    }
    assert_eq!(status["pools"][0]["transition"]["settled"], true);
    assert_eq!(status["pools"][0]["transition"]["until_seconds"], json!(null));
    let (code, pool) = site.raw("GET", "/v1/pools/web", "");
    assert_eq!((code, serde_json::from_str::<Value>(&pool).expect("JSON")["name"].take()), (200, json!("web")));
}
