//! The same over TCP: who is let in, and that a change says whether workers use it.

use super::site::{Site, TOKEN, over_tcp};
use guideway_control::audit::Author;
use guideway_control::drain::Ask;
use serde_json::{Value, json};
use std::net::{IpAddr, Ipv4Addr};

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

#[test]
fn the_log_of_changes_names_the_address_and_the_token() {
    let site = Site::start();
    let drain = "POST /v1/pools/web/backends/web2/drain";
    for with_token in [true, false] {
        let address = site.serve_tcp(with_token);
        let shown = if with_token { format!("Authorization: Bearer {TOKEN}\r\n") } else { String::new() };
        assert_eq!(over_tcp(address, drain, "Host: example.com\r\nAuthorization: Bearer wrong\r\n").0 / 100, 4);
        assert_eq!(over_tcp(address, drain, &format!("Host: {address}\r\n{shown}")).0, 200);
        let changes = site.client.changes().unwrap();
        let Author::Tcp { address: from, token } = changes.last().unwrap().by else { panic!("{changes:?}") };
        assert_eq!((from.ip(), token), (IpAddr::V4(Ipv4Addr::LOCALHOST), with_token));
        assert_ne!(from.port(), address.port(), "the other end");
    }
    assert_eq!(site.client.changes().unwrap().len(), 2, "what was refused is none");
}

#[test]
fn the_drain_of_the_machine_is_in_the_log_of_changes() {
    let site = Site::start();
    let ask = |quiet_seconds, limit_seconds| Ask { quiet_seconds, limit_seconds };
    site.client.cancel_drain().unwrap_err();
    site.client.drain_node(&ask(-1.0, None)).unwrap_err();
    site.client.drain_node(&ask(10.0, None)).unwrap();
    site.client.drain_node(&ask(5.0, Some(60.0))).unwrap();
    site.client.cancel_drain().unwrap();
    let changes = site.client.changes().unwrap();
    let told: Vec<_> =
        changes.iter().map(|change| (change.what.as_str(), change.change.as_str(), &change.from, &change.to)).collect();
    let (long, short) = (json!({ "quiet_seconds": 10.0 }), json!({ "quiet_seconds": 5.0, "limit_seconds": 60.0 }));
    let expected = [
        ("node", "drain", &Value::Null, &long),
        ("node", "drain", &long, &short),
        ("node", "cancel drain", &short, &Value::Null),
    ];
    assert_eq!(told, expected, "what was refused is none");
    assert!(changes.iter().all(|change| matches!(change.by, Author::Api { uid: Some(_), .. })), "{changes:?}");
}
