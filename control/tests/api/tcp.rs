//! The same over TCP: who is let in, and that a change says whether workers use it.

use super::site::{Site, TOKEN, over_tcp};
use guideway_control::audit::Author;
use serde_json::{Value, json};

#[test]
fn whoever_shows_the_token_is_let_in_and_nobody_else() {
    let site = Site::start();
    let address = site.serve_tcp(true);
    let ask = |headers: &str| over_tcp(address, "GET /v1/status", headers);
    let good = format!("Host: {address}\r\nAuthorization: Bearer {TOKEN}\r\n");
    let (code, body) = ask(&good);
    let status: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!((code, status["pools"][0]["name"].as_str()), (200, Some("web")));
    for bad in [String::new(), "Authorization: Bearer wrong\r\n".to_owned(), good.replace("0123", "0124")] {
        let (code, body) = ask(&format!("Host: {address}\r\n{}", bad.replace(&format!("Host: {address}\r\n"), "")));
        let refused: Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!(code, 401, "{bad}");
        assert!(refused["error"].as_str().is_some_and(|error| error.contains("token_file")), "{refused}");
    }
    let drain = "POST /v1/pools/web/backends/web2/drain";
    assert_eq!(over_tcp(address, drain, "").0, 401);
    assert_eq!(super::backend(&site.pool("web"), "web2").admin, "enabled", "who is not let in changes nothing");
    assert_eq!(over_tcp(address, drain, &good).0, 200);
    assert_eq!(super::backend(&site.pool("web"), "web2").admin, "draining");
    assert_eq!(over_tcp(address, "GET /v1/nothing", "").0, 401, "not even what there is");
}

#[test]
fn without_a_token_programs_of_this_machine_are_let_in_and_foreign_pages_are_not() {
    let site = Site::start();
    let address = site.serve_tcp(false);
    let drain = "POST /v1/pools/web/backends/web2/drain";
    for foreign in ["Host: example.com\r\n".to_owned(), format!("Host: {address}\r\nOrigin: http://example.com\r\n")] {
        assert_eq!(over_tcp(address, drain, &foreign).0, 403, "{foreign}");
    }
    assert_eq!(super::backend(&site.pool("web"), "web2").admin, "enabled");
    assert_eq!(over_tcp(address, drain, &format!("Host: {address}\r\n")).0, 200);
}

#[test]
fn the_log_of_changes_names_the_peer_and_the_token_but_not_its_secret() {
    let site = Site::start();
    let good = format!("Authorization: Bearer {TOKEN}\r\n");
    let (with, without) = (site.serve_tcp(true), site.serve_tcp(false));
    let drain = "POST /v1/pools/web/backends/web2/drain";
    assert_eq!(over_tcp(with, drain, "Authorization: Bearer wrong\r\n").0, 401);
    assert!(site.client.changes().unwrap().is_empty(), "who is not let in changes nothing");
    assert_eq!(over_tcp(with, drain, &good).0, 200);
    let enable = "POST /v1/pools/web/backends/web2/enable";
    assert_eq!(over_tcp(without, enable, &format!("Host: {without}\r\n")).0, 200);
    let changes = site.client.changes().unwrap();
    let [drained, enabled] = &changes[..] else { panic!("{changes:?}") };
    for (change, label, name) in [(drained, "drain", Some("token")), (enabled, "enable", None)] {
        let Author::Api { uid: None, pid: None, peer: Some(peer), token } = &change.by else { panic!("{change:?}") };
        assert!(peer.ip().is_loopback() && peer.port() > 0, "{peer}");
        assert_eq!((change.change.as_str(), token.as_deref()), (label, name));
    }
    let (code, shown) = over_tcp(with, "GET /v1/changes", &good);
    assert!(code == 200 && shown.contains("\"peer\"") && !shown.contains(TOKEN), "{shown}");
}

#[test]
fn the_log_of_changes_knows_the_drain_of_the_machine() {
    let site = Site::start();
    assert_eq!(site.raw("POST", "/v1/drain", r#"{"limit_seconds": 60}"#).0, 200);
    assert_eq!(site.raw("POST", "/v1/drain", r#"{"limit_seconds": -1}"#).0, 422);
    assert_eq!(site.raw("DELETE", "/v1/drain", "").0, 200);
    assert_eq!(site.raw("DELETE", "/v1/drain", "").0, 409);
    let changes = site.client.changes().unwrap();
    let [drained, enabled] = &changes[..] else { panic!("{changes:?}") };
    let draining = json!({ "admin": "draining", "quiet_seconds": 10.0, "limit_seconds": 60.0 });
    let serving = json!({ "admin": "enabled" });
    assert_eq!((drained.what.as_str(), drained.change.as_str()), ("node", "drain"));
    assert_eq!((&drained.from, &drained.to), (&serving, &draining));
    assert_eq!((enabled.what.as_str(), enabled.change.as_str()), ("node", "enable"));
    assert_eq!((&enabled.from, &enabled.to), (&draining, &serving));
    let Author::Api { uid: Some(_), pid: Some(_), peer: None, token: None } = drained.by else { panic!("{drained:?}") };
}

#[test]
fn a_change_says_whether_every_worker_uses_it() {
    let site = Site::start();
    let drained = site.client.drain("web", "web2", false).unwrap().in_use;
    assert!(drained.is_late(), "the worker did not look: {drained:?}");
    let enabled = site.with_worker(|| site.client.enable("web", "web2").unwrap().in_use);
    assert!(!enabled.is_late() && enabled.generation > drained.generation, "{enabled:?}");
    site.edit(&[("\"web3\", ", "\"web3\", weight = 2, ")]);
    let reloaded = site.with_worker(|| site.client.reload(&Default::default()).unwrap());
    assert!(!reloaded.in_use.is_late() && reloaded.in_use.generation > enabled.generation, "{reloaded:?}");
}
