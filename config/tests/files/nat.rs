//! Pools that rewrite addresses: good files, and files with one mistake each.

use crate::base::{check, edited};
use guideway_config::model::{Config, Forward, Proxy, ProxyTlvs, ProxyVersion};
use guideway_config::parse;

fn config(edits: &[(&str, &str)]) -> Config {
    let parsed = parse(&edited(edits), None).unwrap_or_else(|errors| panic!("{edits:?}: {errors:#?}"));
    assert_eq!(parsed.warnings, [], "{edits:?}");
    parsed.config
}

#[test]
fn modes() {
    let plain = config(&[("\"ipip\"", "\"nat\"")]);
    let pool = &plain.pools[0];
    assert_eq!((pool.forward, pool.proxy, pool.sources.len(), plain.sessions), (Forward::Nat, None, 0, 1 << 18));
    let full = config(&[
        (
            "\"ipip\"",
            "\"fullnat\"\nproxy_protocol = \"v2\"\nproxy_tlvs = [\"vip\", \"crc32c\"]\nsource_addresses = [\"10.0.0.100\"]",
        ),
        ("weight = 100", "port = 8080"),
    ]);
    let pool = &full.pools[0];
    let tlvs = ProxyTlvs { crc32c: true, unique_id: false, vip: true };
    assert_eq!(pool.proxy, Some(Proxy { version: ProxyVersion::V2, tlvs, first_datagram: false }));
    assert_eq!(pool.sources, ["10.0.0.100".parse::<std::net::IpAddr>().unwrap()]);
    assert_eq!(pool.backends.iter().map(|backend| backend.port).collect::<Vec<_>>(), [Some(8080), None]);
    let table = "\"fullnat\"";
    assert!(config(&[("\"ipip\"", table)]).pools[0].sources.is_empty(), "the own address on the way");
}

/// A check without a port follows the backend's.
#[test]
fn checks_go_where_traffic_goes() {
    let checks = |health: &str| config(&[("\"ipip\"", "\"nat\""), (", port = 80 }", health)]).pools.remove(0).health;
    let port = |health: &str| checks(health).first().map(|check| (check.port, check.port_of_vip));
    assert_eq!(port(" }"), Some((Some(80), true)));
    assert_eq!(port(", port = 81 }"), Some((Some(81), false)));
}

#[test]
fn mistakes() {
    let cases = [
        (
            "forward = \"ipip\"\nproxy_protocol = \"v2\"",
            "26:18",
            "`proxy_protocol` has no meaning with forward = \"ipip\"",
        ),
        ("forward = \"nat\"\nproxy_protocol = \"v3\"", "26:18", "`proxy_protocol` cannot be \"v3\""),
        ("forward = \"nat\"\nproxy_tlvs = [\"vip\"]", "26:14", "`proxy_tlvs` has no meaning without `proxy_protocol`"),
        (
            "forward = \"nat\"\nproxy_protocol = \"v1\"\nproxy_tlvs = [\"vip\"]",
            "27:14",
            "version 1 of the PROXY protocol has no TLVs; help: set proxy_protocol = \"v2\"",
        ),
        ("forward = \"nat\"\nsource_addresses = [\"10.0.0.9\"]", "26:20", "`source_addresses` has no meaning"),
        ("forward = \"fullnat\"\nsource_addresses = []", "26:20", "`source_addresses` is empty"),
        ("forward = \"fullnat\"\nsource_addresses = [\"10.0.0.0/8\"]", "26:21", "10.0.0.0/8"),
        (
            "forward = \"fullnat\"\nsource_addresses = [\"10.0.0.9\", \"10.0.0.9\"]",
            "26:33",
            "the source address 10.0.0.9 is given twice (first given at line 26)",
        ),
        (
            "forward = \"fullnat\"\nsource_addresses = [\"10.0.0.12\"]",
            "26:21",
            "the source address 10.0.0.12 is a backend's",
        ),
        (
            "forward = \"fullnat\"\nsource_addresses = [\"203.0.113.10\"]",
            "26:21",
            "the source address 203.0.113.10 is a VIP",
        ),
        (
            "forward = \"fullnat\"\nsource_addresses = [\"fd00::9\"]",
            "30:11",
            "no source address of pool \"web\" is IPv4, as this backend",
        ),
    ];
    for (lines, position, message) in cases {
        check(&[(&[("forward = \"ipip\"", lines)], &[(position, message)])], None);
    }
    check(
        &[(
            &[("weight = 100", "port = 8080")],
            &[("30:8", "`port` of a backend has no meaning with forward = \"ipip\"")],
        )],
        None,
    );
    check(
        &[(
            &[("\"ipip\"", "\"nat\"\nproxy_protocol = \"v1\""), ("protocol = \"tcp\"", "protocol = \"udp\"")],
            &[("26:18", "version 1 of the PROXY protocol knows TCP only")],
        )],
        None,
    );
    check(
        &[(
            &[("\"ipip\"", "\"nat\""), ("\"10.0.0.12\"", "\"fd00::12\"")],
            &[("33:11", "the nat backend fd00::12 is of another family than its VIP")],
        )],
        None,
    );
}
