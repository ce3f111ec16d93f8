//! VLANs, next hops and the exception path: good files, and files with one mistake each.

use crate::base::{check, check_warnings, edited};
use guideway_config::model::{Config, Exception, Vlan};
use guideway_config::parse;

fn config(edits: &[(&str, &str)]) -> Config {
    let parsed = parse(&edited(edits), None).unwrap_or_else(|errors| panic!("{edits:?}: {errors:#?}"));
    assert_eq!(parsed.warnings, [], "{edits:?}");
    parsed.config
}

/// A second interface on the same port, before the route.
fn second(lines: &str) -> String {
    format!("[[interface]]\nport = \"edge\"\n{lines}addresses = [\"10.9.0.1/24\"]\n[[route]]")
}

#[test]
fn vlans() {
    let vlan = |first: &str, lines: &str| {
        let first = format!("port = \"edge\"\n{first}");
        config(&[("port = \"edge\"\n", &first), ("[[route]]", &second(lines))])
            .interfaces
            .iter()
            .map(|interface| interface.vlan)
            .collect::<Vec<_>>()
    };
    let tag = |service, id| Some(Vlan { service, id });
    assert_eq!(vlan("", "vlan = 1\n"), [None, tag(None, 1)]);
    assert_eq!(vlan("vlan = 120\n", ""), [tag(None, 120), None]);
    assert_eq!(vlan("vlan = 120\n", "vlan = 4094\n"), [tag(None, 120), tag(None, 4094)]);
    let both = [tag(None, 120), tag(Some(100), 120)];
    assert_eq!(vlan("vlan = 120\n", "vlan = 120\nservice_vlan = 100\n"), both, "one tag is not two");
    let services = [tag(Some(1), 120), tag(Some(2), 120)];
    assert_eq!(vlan("service_vlan = 1\nvlan = 120\n", "service_vlan = 2\nvlan = 120\n"), services);
}

#[test]
fn vlans_with_mistakes() {
    let first = |line: &'static str| ("port = \"edge\"\n", line);
    check(
        &[
            (&[first("port = \"edge\"\nvlan = 0\n")], &[("14:8", "`vlan` must be an integer from 1 to 4094, not 0")]),
            (&[first("port = \"edge\"\nvlan = 4095\n")], &[("14:8", "from 1 to 4094, not 4095")]),
            (&[first("port = \"edge\"\nvlan = \"120\"\n")], &[("14:8", "not a string")]),
            (
                &[first("port = \"edge\"\nservice_vlan = 100\n")],
                &[("14:16", "`service_vlan` is the outer of two tags: the inner one, `vlan`, is missing")],
            ),
            (
                &[first("port = \"edge\"\nservice_vlan = 4095\nvlan = 1\n")],
                &[("14:16", "`service_vlan` must be an integer from 1 to 4094")],
            ),
            (
                &[("[[route]]", &second(""))],
                &[("19:1", "the port has an untagged interface already (first defined at line 12); help: put all")],
            ),
            (
                &[first("port = \"edge\"\nvlan = 7\n"), ("[[route]]", &second("vlan = 7\n"))],
                &[("20:1", "the port has an interface with `vlan` 7 already (first defined at line 12)")],
            ),
            (
                &[
                    first("port = \"edge\"\nvlan = 7\nservice_vlan = 9\n"),
                    ("[[route]]", &second("service_vlan = 9\nvlan = 7\n")),
                ],
                &[("21:1", "the port has an interface with `service_vlan` 9 and `vlan` 7 already")],
            ),
            (
                &[("[[route]]", "[[interface]]\nport = \"edge\"\nvlan = 7\naddresses = [\"10.0.0.1/24\"]\n[[route]]")],
                &[("22:14", "the address 10.0.0.1 is given twice (first given at line 14)")],
            ),
            (
                &[
                    ("mtu = 1520", "mtu = 1279"),
                    ("[[route]]", "[[interface]]\nport = \"edge\"\nvlan = 7\naddresses = [\"fd09::1/64\"]\n[[route]]"),
                ],
                &[("11:7", "carries IPv6, which needs 1280 (IPv6 address at line 14)")],
            ),
        ],
        None,
    );
}

#[test]
fn next_hops() {
    let config =
        config(&[("\"10.0.0.254\", \"fd00::fe\"", "\"fd00::fe\", \"10.0.0.254\", \"10.0.0.253\", \"fd00::fd\"")]);
    let routes: Vec<_> = config.routes.iter().map(|route| format!("{} {:?}", route.to, route.via)).collect();
    assert_eq!(routes, ["::/0 [fd00::fe, fd00::fd]", "0.0.0.0/0 [10.0.0.254, 10.0.0.253]"]);
}

#[test]
fn sixteen_next_hops_of_each_family() {
    let hops = |prefix: &str| (1..=16).map(|hop| format!("\"{prefix}{}\"", hop + 200)).collect::<Vec<_>>().join(", ");
    let via = format!("{}, {}", hops("10.0.0."), hops("fd00::"));
    let config = config(&[("\"10.0.0.254\", \"fd00::fe\"", &via)]);
    assert!(config.routes.len() == 2 && config.routes.iter().all(|route| route.via.len() == 16));
}

/// The second next hop's interface lacks an IPv6 address, which probes to an IPv6 VIP need.
#[test]
fn probes_need_a_source_on_each_way() {
    let route = |hops: &str| format!("{}to = \"10.64.0.0/10\"\nvia = [{hops}]\n[[route]]", second("vlan = 7\n") + "\n");
    let (one, both) = (route("\"10.0.0.254\""), route("\"10.0.0.254\", \"10.9.0.254\""));
    let (vip, backend) = (("203.0.113.10", "2001:db8::1"), ("\"10.0.0.11\"", "\"10.64.0.1\""));
    config(&[vip, backend, ("[[route]]", &one)]);
    check(
        &[(
            &[vip, backend, ("[[route]]", &both)],
            &[("43:11", "probes to this VIP have no IPv6 source on the way to backend 10.64.0.1 (backend at line 36)")],
        )],
        None,
    );
}

fn exception(lines: &str) -> String {
    format!("[exception]\n{lines}[cores]")
}

#[test]
fn exceptions() {
    let back = "mtu = 1520\n[[port]]\nname = \"back\"\ndevice = \"0000:3b:00.0\"\n[[interface]]\nport = \"back\"\n\
                addresses = [\"10.9.0.1/24\"]";
    let of = |lines: &str| config(&[("[cores]", &exception(lines)), ("mtu = 1520", back)]).exception.expect("given");
    let expected = |taps: &[(usize, &str)], rate| Exception {
        taps: taps.iter().map(|&(port, name)| (port, name.to_owned())).collect(),
        rate,
    };
    assert_eq!(of(""), expected(&[(0, "gw-edge"), (1, "gw-back")], 20_000));
    assert_eq!(of("ports = [\"back\"]\nrate = 100\n"), expected(&[(1, "gw-back")], 100));
    let all = "ports = [\"back\", \"edge\"]\nprefix = \"\"\nrate = 10_000_000\n";
    assert_eq!(of(all), expected(&[(1, "back"), (0, "edge")], 10_000_000));
    assert_eq!(of("prefix = \"elevenbytes\"\n"), expected(&[(0, "elevenbytesedge"), (1, "elevenbytesback")], 20_000));
    assert_eq!(config(&[]).exception, None);
}

#[test]
fn exceptions_with_mistakes() {
    let cases = [
        ("ports = []\n", "5:9", "`ports` is empty; help: remove it for all ports"),
        ("ports = \"edge\"\n", "5:9", "`ports` must be an array of port names"),
        ("ports = [\"egde\"]\n", "5:10", "there is no port \"egde\"; help: did you mean \"edge\"?"),
        ("ports = [\"edge\", \"edge\"]\n", "5:18", "the port \"edge\" is listed twice (first listed at line 5)"),
        ("prefix = \"twelve-bytes\"\n", "5:10", "the TAP device \"twelve-bytesedge\" of port \"edge\" has 16 bytes"),
        ("prefix = \"gw/\"\n", "5:10", "`prefix`: \"gw/\" contains '/'"),
        ("prefix = \"g w\"\n", "5:10", "`prefix`: \"g w\" contains ' '"),
        ("prefix = \"gw%d\"\n", "5:10", "`prefix`: \"gw%d\" contains '%'"),
        ("rate = 99\n", "5:8", "`rate` must be an integer from 100 to 10000000, not 99"),
        ("rate = 10_000_001\n", "5:8", "from 100 to 10000000"),
        ("rates = 100\n", "5:1", "unknown key \"rates\" in [exception]; help: did you mean `rate`?"),
    ];
    for (lines, position, message) in cases {
        check(&[(&[("[cores]", &exception(lines))], &[(position, message)])], None);
    }
    check(
        &[
            (
                &[("[cores]", &exception("")), ("iface=gw0", "iface=gw-edge")],
                &[("4:1", "the TAP device \"gw-edge\" of port \"edge\" is the interface of a port's device")],
            ),
            (
                &[
                    ("[cores]", &exception("")),
                    ("name = \"edge\"", "name = \"e:1\""),
                    ("port = \"edge\"", "port = \"e:1\""),
                ],
                &[("4:1", "the TAP device \"gw-e:1\" of port \"e:1\" contains ':' (port at line 10); help: give")],
            ),
        ],
        None,
    );
}

#[test]
fn devices_that_cut_frames() {
    check_warnings(&[(
        &[("net_af_xdp0", "net_af_packet0")],
        &[(
            "10:10",
            "net_af_packet reassembles fragments and cuts frames at 2048 bytes; help: fragments, jumbo frames",
        )],
    )]);
    config(&[("mtu = 1520", "mtu = 9600")]);
}
