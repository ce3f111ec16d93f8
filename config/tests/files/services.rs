//! VIPs as prefixes and ranges, QUIC, affinity: good files, and files with one mistake each.

use crate::base::{check, edited};
use guideway_config::model::{Affinity, Announce, PortMatch, Protocol, Vip};
use guideway_config::parse;

/// A VIP after that of the base.
fn vip(address: &str, protocol: &str, port: &str) -> String {
    format!("[[vip]]\naddress = \"{address}\"\nprotocol = \"{protocol}\"\nport = {port}\npool = \"web\"\n")
}

/// The base with these VIPs after its own.
fn with(vips: &[(&str, &str, &str)]) -> String {
    let vips: String = vips.iter().map(|(address, protocol, port)| vip(address, protocol, port)).collect();
    edited(&[("pool = \"web\"\n", &format!("pool = \"web\"\n{vips}"))])
}

fn accepted(vips: &[(&str, &str, &str)]) -> Vec<Vip> {
    let parsed = parse(&with(vips), None).unwrap_or_else(|errors| panic!("{vips:?}: {errors:#?}"));
    assert_eq!(parsed.warnings, [], "{vips:?}");
    parsed.config.vips[1..].to_vec()
}

/// The one error that these VIPs give.
#[track_caller]
fn refused(vips: &[(&str, &str, &str)], expected: &str) {
    let errors = parse(&with(vips), None).expect_err(expected);
    let shown: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert!(shown.len() == 1 && shown[0].contains(expected), "{shown:#?} lacks {expected:?}");
}

#[test]
fn as_they_are_shown() {
    let vips = accepted(&[
        ("203.0.113.0/24", "tcp", "80"),
        ("2001:db8:1::/64", "tcp", "80"),
        ("2001:db8:2::9", "udp", "\"8000-8099\""),
        ("203.0.113.9/32", "quic", "443"),
        ("198.18.0.0/15", "udp", "\"any\""),
    ]);
    let shown: Vec<String> = vips.iter().map(ToString::to_string).collect();
    let expected = [
        "203.0.113.0/24:80/tcp",
        "[2001:db8:1::/64]:80/tcp",
        "[2001:db8:2::9]:8000-8099/udp",
        "203.0.113.9:443/quic",
        "198.18.0.0/15:any/udp",
    ];
    assert_eq!(shown, expected);
    assert_eq!(vips[2].port, PortMatch::Range(8000, 8099));
    assert_eq!((vips[3].address.prefix_len(), vips[3].protocol), (32, Protocol::Quic));
    assert!(vips.iter().all(|vip| vip.affinity == Affinity::None && vip.announce == Announce::Auto));
}

#[test]
fn affinity() {
    let of = |word: &str| {
        let source = edited(&[("pool = \"web\"", &format!("pool = \"web\"\naffinity = \"{word}\""))]);
        parse(&source, None).map(|parsed| parsed.config.vips[0].affinity)
    };
    assert_eq!(of("client"), Ok(Affinity::Client));
    assert_eq!(of("none"), Ok(Affinity::None));
    let errors = of("clients").expect_err("no such word");
    assert!(errors[0].to_string().contains("did you mean \"client\"?"), "{errors:?}");
}

/// The most specific one goes first, so these live together.
#[test]
fn more_and_less_specific_ones() {
    let vips = [
        ("203.0.113.10", "tcp", "\"any\""),
        ("203.0.113.10", "tcp", "\"80-90\""),
        ("203.0.113.10", "tcp", "\"91-100\""),
        ("203.0.113.10", "tcp", "85"),
        ("203.0.113.10", "udp", "\"80-90\""),
        ("203.0.113.0/24", "tcp", "\"80-90\""),
        ("203.0.113.0/24", "tcp", "80"),
        ("203.0.0.0/16", "tcp", "\"85-95\""),
        ("203.0.113.10", "quic", "85"),
    ];
    assert_eq!(accepted(&vips).len(), vips.len());
}

#[test]
fn the_same_service_twice() {
    refused(&[("203.0.113.10/32", "tcp", "80")], "the VIP 203.0.113.10 with this protocol and port is given twice");
    let prefix = ("203.0.113.0/24", "tcp", "\"80-90\"");
    refused(&[prefix, prefix], "45:1: error: the VIP 203.0.113.0/24 with this protocol and port is given twice");
    let (udp, quic) = (("203.0.113.9", "udp", "443"), ("203.0.113.9", "quic", "443"));
    refused(
        &[udp, quic],
        "the VIP 203.0.113.9 with this port is given as udp and as quic (first defined at line 40); help: both are UDP",
    );
    refused(&[quic, udp], "given as quic and as udp");
}

#[test]
fn ranges_that_overlap() {
    let with_range = |protocol, range| ("203.0.113.9", protocol, range);
    for range in ["\"8050-8099\"", "\"8099-8100\"", "\"7000-8000\"", "\"8001-8002\"", "\"7000-9000\""] {
        let overlap = format!(
            "48:8: error: the ports {} of the VIP 203.0.113.9 overlap with 8000-8099 of another VIP",
            range.trim_matches('"')
        );
        let vips = [with_range("tcp", "\"8000-8099\""), with_range("tcp", range)];
        refused(&vips, &overlap);
    }
    refused(&[with_range("udp", "\"80-90\""), with_range("quic", "\"90-99\"")], "overlap with 80-90");
    refused(&[("10.8.0.0/16", "tcp", "\"80-90\""), ("10.8.0.0/16", "tcp", "\"9-99\"")], "the VIP 10.8.0.0/16 overlap");
    accepted(&[with_range("tcp", "\"80-90\""), with_range("tcp", "\"91-99\""), with_range("tcp", "\"1-79\"")]);
}

#[test]
fn addresses_and_ports_with_mistakes() {
    for (address, expected) in [
        ("203.0.113.10/24", "203.0.113.10/24 has bits set after its prefix; help: write \"203.0.113.0/24\""),
        ("2001:db8::1/64", "2001:db8::1/64 has bits set after its prefix; help: write \"2001:db8::/64\""),
        ("10.0.0.0/7", "the length of an IPv4 prefix must be from 8 to 32 here"),
        ("2000::/15", "the length of an IPv6 prefix must be from 16 to 128 here"),
        ("224.0.0.0/8", "224.0.0.0 is a multicast address"),
        ("203.0.113.0/99", "\"203.0.113.0/99\" is not an address or a prefix"),
    ] {
        refused(&[(address, "tcp", "80")], &format!("41:11: error: `address`: {expected}"));
    }
    for (port, expected) in [
        ("\"8099-8000\"", "`port`: the range \"8099-8000\" must begin below its end; help: write \"8000-8099\""),
        ("\"80-80\"", "must begin below its end; help: write 80 without quotes"),
        ("\"0-80\"", "`port`: the range \"0-80\" is not within 1 to 65535"),
        ("\"80-65536\"", "is not within 1 to 65535"),
        ("\"80-99999999999999999999\"", "is not within 1 to 65535"),
        ("\"80 - 90\"", "or \"any\", not \"80 - 90\""),
        ("\"80-\"", "or \"any\", not \"80-\""),
        ("\"+80-90\"", "or \"any\", not \"+80-90\""),
        ("\"all\"", "`port` must be a port number, a range such as \"8000-8099\", or \"any\", not \"all\""),
    ] {
        refused(&[("203.0.113.9", "tcp", port)], expected);
    }
}

/// Whoever answers for all addresses of a prefix must not be one of those that packets are sent to.
#[test]
fn machines_inside_a_prefix() {
    check(
        &[
            (
                &[("203.0.113.10", "10.0.0.0/16")],
                &[
                    ("16:11", "10.0.0.254 is in the VIP prefix 10.0.0.0/16 (defined at line 36)"),
                    ("21:8", "10.0.0.254 is in the VIP prefix 10.0.0.0/16"),
                    ("29:11", "the backend 10.0.0.11 is in the VIP prefix 10.0.0.0/16 (given at line 36)"),
                    ("33:11", "the backend 10.0.0.12 is in the VIP prefix"),
                    (
                        "36:11",
                        "the VIP 10.0.0.0/16 contains 10.0.0.1, an own address of an interface (given at line 14)",
                    ),
                ],
            ),
            (
                &[("203.0.113.10", "10.0.0.8/29"), ("\"10.0.0.12\"", "\"10.0.0.22\"")],
                &[("29:11", "the backend 10.0.0.11 is in the VIP prefix 10.0.0.8/29")],
            ),
            (
                &[("203.0.113.10", "10.0.9.0/24"), ("port = 80 }", "port = 80, probe_source = \"10.0.9.9\" }")],
                &[("26:52", "`probe_source` 10.0.9.9 is in the VIP prefix 10.0.9.0/24")],
            ),
        ],
        None,
    );
}

#[test]
fn probes_of_ranges_and_quic_need_a_port() {
    check(
        &[
            (
                &[("{ kind = \"tcp\", port = 80 }", "{ kind = \"tcp\" }"), ("port = 80\n", "port = \"80-90\"\n")],
                &[("26:10", "the pool's tcp health check has no port: its VIP takes a range of ports")],
            ),
            (
                &[("\"tcp\", port = 80", "\"tcp\""), ("protocol = \"tcp\"", "protocol = \"quic\"")],
                &[("26:10", "health check has no port: its VIP is QUIC (VIP at line 35)")],
            ),
        ],
        None,
    );
}

/// A prefix has a family, as an address has.
#[test]
fn l2dsr_carries_one_family() {
    check(
        &[
            (
                &[("\"ipip\"", "\"l2dsr\""), ("203.0.113.10", "2001:db8::/32")],
                &[
                    ("29:11", "the l2dsr backend 10.0.0.11 is of another family than its VIP (VIP at line 36)"),
                    ("33:11", "the l2dsr backend 10.0.0.12 is of another family"),
                ],
            ),
            (
                &[
                    ("\"ipip\"", "\"l2dsr\""),
                    ("pool = \"web\"\n", &format!("pool = \"web\"\n{}", vip("2001:db8::/32", "tcp", "80"))),
                ],
                &[("41:11", "pool \"web\" (l2dsr) serves IPv4 VIPs already (first VIP at line 36)")],
            ),
        ],
        None,
    );
}
