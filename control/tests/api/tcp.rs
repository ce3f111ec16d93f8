//! The same over TCP: who is let in, and that a change says whether workers use it.

use super::site::{Site, TOKEN, over_tcp};
use serde_json::Value;

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
