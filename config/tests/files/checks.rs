//! Kinds of health checks: what each asks, which keys it knows, and what is refused.

use crate::base::{Case, check, check_warnings, edited};
use guideway_config::model::{
    Agent, Check, CheckKind, CheckTimes, Dns, Grpc, Http, PortMatch, Protocol, Tls, Udp, Via,
};
use guideway_config::{Machine, parse};
use std::time::Duration;

const LINE: &str = "health = { kind = \"tcp\", port = 80 }";

fn checks(health: &str) -> Vec<Check> {
    let parsed = parse(&edited(&[(LINE, health)]), None).unwrap_or_else(|errors| panic!("{health}: {errors:#?}"));
    assert_eq!(parsed.warnings, [], "{health}");
    parsed.config.pools[0].health.clone()
}

fn one(options: &str) -> Check {
    let checks = checks(&format!("health = {{ {options} }}"));
    assert_eq!(checks.len(), 1);
    checks.into_iter().next().expect("one")
}

/// One edit of the line with `health`, and the errors that it brings.
fn refused(health: &str, expected: &[(&str, &str)]) {
    let edits = [(LINE, health)];
    let case: Case<'_> = (&edits, expected);
    check(&[case], None);
}

#[test]
fn each_kind_has_its_question() {
    let tls = |sni: Option<&str>| Tls { sni: sni.map(str::to_owned), verify: false, ca_file: None };
    let http = |path: &str| Http {
        method: "GET",
        path: path.to_owned(),
        host: None,
        expect_status: vec![(200, 399)],
        expect_body: None,
    };
    assert_eq!(one("kind = \"tcp\"").kind, CheckKind::Tcp);
    assert_eq!(one("kind = \"http\"").kind, CheckKind::Http(http("/")));
    let full = "kind = \"http\", path = \"/health?full=1\", host = \"shop.example:8080\", method = \"OPTIONS\", \
                expect_status = [200, \"300-310\"], expect_body = \"ok\"";
    let expected = Http {
        method: "OPTIONS",
        path: "/health?full=1".to_owned(),
        host: Some("shop.example:8080".to_owned()),
        expect_status: vec![(200, 200), (300, 310)],
        expect_body: Some("ok".to_owned()),
    };
    assert_eq!(one(full).kind, CheckKind::Http(expected));
    let named = "kind = \"https\", host = \"shop.example:8443\"";
    let request = Http { host: Some("shop.example:8443".to_owned()), ..http("/") };
    assert_eq!(one(named).kind, CheckKind::Https(request, tls(Some("shop.example"))), "the host is the name asked for");
    let verified = Tls { verify: true, ca_file: Some("/etc/ca.pem".into()), ..tls(Some("shop.example")) };
    let kind = "kind = \"tls\", sni = \"shop.example\", ca_file = \"/etc/ca.pem\"";
    assert_eq!(one(kind).kind, CheckKind::Tls(verified), "who names a CA wants it used");
    let udp = "kind = \"udp\", port = 53, send_hex = \"0aff\", expect = \"pong\"";
    assert_eq!(one(udp).kind, CheckKind::Udp(Udp { send: vec![10, 255], expect: Some(b"pong".to_vec()) }));
    let dns = "kind = \"dns\", port = 53, name = \"example.com\", type = \"SOA\", expect_rcode = \"REFUSED\"";
    assert_eq!(one(dns).kind, CheckKind::Dns(Dns { name: "example.com".into(), record_type: 6, expect_rcode: 5 }));
    assert_eq!((one("kind = \"icmp\"").kind, one("kind = \"icmp\"").port), (CheckKind::Icmp, None));
    let grpc = "kind = \"grpc\", service = \"shop.Cart\", tls = true, sni = \"shop.example\"";
    let expected = Grpc { service: "shop.Cart".to_owned(), host: None, tls: Some(tls(Some("shop.example"))) };
    assert_eq!(one(grpc).kind, CheckKind::Grpc(expected));
}

#[test]
fn times_have_defaults_by_what_a_probe_costs() {
    let times = |interval, fast, timeout| CheckTimes {
        interval: Duration::from_millis(interval),
        fast_interval: Duration::from_millis(fast),
        timeout: Duration::from_millis(timeout),
        rise: 2,
        fall: 3,
    };
    assert_eq!(one("kind = \"tcp\"").times, times(20, 10, 20));
    assert_eq!(one("kind = \"tcp\", via = \"kernel\"").times, times(1_000, 250, 1_000));
    assert_eq!(one("kind = \"http\"").times, times(1_000, 250, 1_000));
    assert_eq!(one("kind = \"http\", interval = \"100ms\"").times, times(100, 100, 1_000));
    let slow = one("kind = \"icmp\", via = \"kernel\", dead_after = \"5s\"");
    assert_eq!((slow.via, slow.dead_after), (Via::Kernel, Duration::from_secs(5)));
}

#[test]
fn a_pool_may_have_several_checks() {
    let two = checks("health = [{ kind = \"tcp\" }, { kind = \"http\", port = 8080 }]");
    let seen: Vec<_> = two.iter().map(|check| (check.kind.word(), check.port)).collect();
    assert_eq!(seen, [("tcp", Some(80)), ("http", Some(8080))]);
    assert_eq!(checks("health = { kind = \"none\" }"), []);
    let table = "[[pool.health]]\nkind = \"icmp\"\n[[pool.health]]\nkind = \"tcp\"\n";
    assert_eq!(checks(table).len(), 2);
    refused("health = []", &[("26:10", "`health` is empty")]);
    refused("health = [{ kind = \"none\" }, { kind = \"tcp\" }]", &[("26:11", "kind = \"none\" stands alone")]);
    let many = ["{ kind = \"icmp\", interval = \"1s\" }"; 9].join(", ");
    let errors = parse(&edited(&[(LINE, &format!("health = [{many}]"))]), None).expect_err("nine");
    assert!(errors[0].message.contains("at most 8 checks"), "{errors:?}");
    let twice = "health = [{ kind = \"icmp\" }, { kind = \"icmp\" }]";
    check_warnings(&[(&[(LINE, twice)], &[("26:30", "another check of this pool asks the same")])]);
}

#[test]
fn what_cannot_be_meant_is_refused_at_its_place() {
    refused("health = { kind = \"tcp\", path = \"/\" }", &[("26:33", "`path` has no meaning with kind = \"tcp\"")]);
    refused("health = { kind = \"icmp\", port = 80 }", &[("26:34", "`port` has no meaning with kind = \"icmp\"")]);
    refused(
        "health = { kind = \"http\", path = \"x\" }",
        &[("26:34", "\"x\" does not begin with '/'; help: write \"/x\"")],
    );
    refused("health = { kind = \"http\", path = \"/a b\" }", &[("26:34", "contains ' '")]);
    refused("health = { kind = \"http\", host = \"a/b\" }", &[("26:34", "contains '/'")]);
    refused("health = { kind = \"http\", method = \"POST\" }", &[("26:36", "`method` cannot be \"POST\"")]);
    for (status, position) in [("99", "26:43"), ("\"300-200\"", "26:43"), ("[200, 600]", "26:49"), ("[]", "26:43")] {
        refused(&format!("health = {{ kind = \"http\", expect_status = {status} }}"), &[(position, "")]);
    }
    refused(
        "health = { kind = \"http\", method = \"HEAD\", expect_body = \"ok\" }",
        &[("26:58", "`expect_body` cannot be met")],
    );
    refused(
        "health = { kind = \"tls\", verify = true }",
        &[("26:35", "a certificate is to be verified, and there is no name for it")],
    );
    refused("health = { kind = \"tls\", sni = \"a..b\" }", &[("26:32", "is no name")]);
    refused("health = { kind = \"tls\", ca_file = \"ca.pem\", sni = \"a\" }", &[("26:36", "is no absolute path")]);
    refused("health = { kind = \"udp\", port = 53 }", &[("26:10", "lacks the key `send`")]);
    refused(
        "health = { kind = \"udp\", port = 53, send = \"a\", send_hex = \"0a\" }",
        &[("26:60", "`send` says this already")],
    );
    refused("health = { kind = \"udp\", port = 53, send_hex = \"0\" }", &[("26:48", "an even number")]);
    refused("health = { kind = \"udp\", port = 53, send = \"\" }", &[("26:44", "is empty")]);
    refused("health = { kind = \"udp\", send = \"a\" }", &[("26:10", "udp health check has no port: its VIP is TCP")]);
    refused("health = { kind = \"dns\", port = 53 }", &[("26:10", "lacks the key `name`")]);
    refused("health = { kind = \"dns\", port = 53, name = \"a..b\" }", &[("26:44", "is no name")]);
    refused(
        "health = { kind = \"dns\", port = 53, name = \"a\", type = \"ANY\" }",
        &[("26:56", "`type` cannot be \"ANY\"")],
    );
    refused("health = { kind = \"grpc\", sni = \"a\" }", &[("26:33", "`sni` has no meaning without tls = true")]);
    refused("health = { kind = \"http\", dead_after = \"2h\" }", &[("26:40", "is not between 0s and 1h")]);
    refused(
        "health = { kind = \"tcp\", via = \"kernel\", probe_source = \"fd00::9\" }",
        &[("26:57", "is of another family than the backend 10.0.0.11")],
    );
}

#[test]
fn a_file_of_certificates_must_be_there_when_it_is_needed() {
    let line = "health = { kind = \"tls\", sni = \"a\", ca_file = \"/nonexistent/ca.pem\" }";
    let source = edited(&[(LINE, line)]);
    assert!(parse(&source, None).is_ok(), "on another machine nobody knows");
    let machine = Machine::with_cores(8);
    let errors = parse(&source, Some(&machine)).expect_err("it is not there");
    assert_eq!(errors.len(), 1);
    assert!(errors[0].to_string().starts_with("26:47: error: `ca_file` cannot be read"), "{}", errors[0]);
}

#[test]
fn datagrams_take_the_port_of_a_udp_vip() {
    let source = edited(&[
        (LINE, "health = { kind = \"dns\", name = \"example.com\" }"),
        ("protocol = \"tcp\"\nport = 80", "protocol = \"udp\"\nport = 53"),
    ]);
    let config = parse(&source, None).expect("good").config;
    assert_eq!((config.vips[0].protocol, config.vips[0].port), (Protocol::Udp, PortMatch::Exact(53)));
    assert_eq!(config.pools[0].health[0].port, Some(53));
}

#[test]
fn agents_and_slow_start() {
    let with = |line: &str| edited(&[("forward = \"ipip\"", &format!("forward = \"ipip\"\n{line}"))]);
    let pool = |line: &str| parse(&with(line), None).expect(line).config.pools[0].clone();
    let agent =
        Agent { port: 9777, interval: Duration::from_secs(2), timeout: Duration::from_secs(1), via: Via::Dataplane };
    assert_eq!(pool("agent = { port = 9777 }").agent, Some(agent));
    let kernel = Agent { via: Via::Kernel, interval: Duration::from_millis(500), ..agent };
    assert_eq!(pool("agent = { port = 9777, via = \"kernel\", interval = \"500ms\" }").agent, Some(kernel));
    assert_eq!(pool("slow_start = \"30s\"").slow_start, Some(Duration::from_secs(30)));
    for (line, position, message) in [
        ("agent = {}", "26:9", "agent lacks the key `port`"),
        ("agent = { port = 1, send = \"x\" }", "26:21", "unknown key \"send\" in agent"),
        ("slow_start = \"100ms\"", "26:14", "is not between 1s and 1h"),
    ] {
        let errors = parse(&with(line), None).expect_err(line);
        let shown = errors[0].to_string();
        assert!(shown.starts_with(position) && shown.contains(message), "{line}: {shown}");
    }
}
