//! GRE, GUE, QUIC-LB, and warnings of packets that do not fit: good files, and files with one mistake each.

use crate::base::{check, check_warnings, edited};
use guideway_config::model::{Forward, Gue, Pool, QuicLb};
use guideway_config::parse;

const KEY: &str = "000102030405060708090a0b0c0d0e0f";

fn pool(edits: &[(&str, &str)]) -> Pool {
    let parsed = parse(&edited(edits), None).unwrap_or_else(|errors| panic!("{edits:?}: {errors:#?}"));
    assert_eq!(parsed.warnings, [], "{edits:?}");
    parsed.config.pools.into_iter().next().expect("a pool")
}

/// The base's pool with another mode and more keys.
fn forward(lines: &str) -> [(&str, &str); 2] {
    [("forward = \"ipip\"", lines), ("mtu = 1520", "mtu = 1600")]
}

#[test]
fn modes() {
    let gre = pool(&forward("forward = \"gre\""));
    assert_eq!(
        (gre.forward, gre.gue, gre.encap_source, gre.fragment_outer),
        (Forward::Gre, Gue::default(), None, false)
    );
    let gue = pool(&forward("forward = \"gue\""));
    assert_eq!((gue.forward, gue.gue), (Forward::Gue, Gue { port: 6080, variant: 0, checksum: true }));
    let gue = pool(&forward("forward = \"gue\"\ngue_port = 65535\ngue_variant = 1\nudp_checksum = false"));
    assert_eq!(gue.gue, Gue { port: 65535, variant: 1, checksum: false });
    assert!(pool(&forward("forward = \"gue\"\nfragment_outer = true")).fragment_outer);
    for (source, net) in [
        ("10.0.0.1", "10.0.0.1/32"),
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("10.99.0.1/32", "10.99.0.1/32"),
        ("172.16.0.0/12", "172.16.0.0/12"),
    ] {
        let pool = pool(&forward(&format!("forward = \"ipip\"\nencap_source = \"{source}\"")));
        assert_eq!(pool.encap_source.map(|source| source.to_string()).as_deref(), Some(net));
    }
}

#[test]
fn modes_with_mistakes() {
    let cases = [
        ("forward = \"ipip\"\ngue_port = 6080", "26:12", "`gue_port` has no meaning with forward = \"ipip\""),
        ("forward = \"gre\"\ngue_variant = 0", "26:15", "`gue_variant` has no meaning with forward = \"gre\""),
        ("forward = \"l2dsr\"\nudp_checksum = true", "26:16", "`udp_checksum` has no meaning with forward = \"l2dsr\""),
        ("forward = \"l2dsr\"\nfragment_outer = false", "26:18", "`fragment_outer` has no meaning"),
        ("forward = \"gue\"\ngue_port = 0", "26:12", "`gue_port` must be an integer from 1 to 65535, not 0"),
        ("forward = \"gue\"\ngue_variant = 2", "26:15", "`gue_variant` must be an integer from 0 to 1, not 2"),
        ("forward = \"gue\"\nudp_checksum = 0", "26:16", "`udp_checksum` must be true or false, not an integer"),
        (
            "forward = \"gue\"\nfragment_outer = \"yes\"",
            "26:18",
            "`fragment_outer` must be true or false, not a string",
        ),
        ("forward = \"gre\"\nencap_source = \"10.0.0.0/7\"", "26:16", "IPv4 prefix must be from 8 to 32 here"),
        ("forward = \"gre\"\nencap_source = \"fd00::/31\"", "26:16", "IPv6 prefix must be from 32 to 128 here"),
        ("forward = \"gre\"\nencap_source = \"10.0.0.1/16\"", "26:16", "help: write \"10.0.0.0/16\""),
        (
            "forward = \"gre\"\nencap_source = \"fd00::/32\"",
            "26:16",
            "`encap_source` fd00::/32 is of another family than 10.0.0.11 (backend at line 30)",
        ),
    ];
    for (lines, position, message) in cases {
        check(&[(&[("forward = \"ipip\"", lines)], &[(position, message)])], None);
    }
}

/// The base with a QUIC VIP, with entries of `quic_lb` before the first backend, and server IDs of both backends.
fn quic(entries: &str, first: &str, second: &str) -> String {
    edited(&[
        ("protocol = \"tcp\"", "protocol = \"quic\""),
        ("port = 80 }\n", &format!("port = 80 }}\n{entries}")),
        ("weight = 100\n", &format!("weight = 100\n{first}")),
        ("\"10.0.0.12\"\n", &format!("\"10.0.0.12\"\n{second}")),
    ])
}

fn entry(config_id: u8, server_id_len: u8, nonce_len: u8) -> String {
    format!("[[pool.quic_lb]]\nconfig_id = {config_id}\nserver_id_len = {server_id_len}\nnonce_len = {nonce_len}\n")
}

#[test]
fn quic_lb() {
    let entries = format!("{}key = \"{KEY}\"\n{}", entry(6, 1, 18), entry(0, 1, 4));
    let source = quic(&entries, "server_id = \"0a\"\n", "server_id = \"0B\"\n");
    let parsed = parse(&source, None).unwrap_or_else(|errors| panic!("{errors:#?}"));
    assert_eq!(parsed.warnings, []);
    let pool = &parsed.config.pools[0];
    let key = Some([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
    assert_eq!(
        pool.quic_lb,
        [
            QuicLb { config_id: 6, server_id_len: 1, nonce_len: 18, key },
            QuicLb { config_id: 0, server_id_len: 1, nonce_len: 4, key: None },
        ]
    );
    let ids: Vec<_> = pool.backends.iter().map(|backend| backend.server_id.as_deref()).collect();
    assert_eq!(ids, [Some(&[10][..]), Some(&[11][..])]);
    let seven: String = (0..7).map(|id| entry(id, 15, 4)).collect();
    let id = |last: &str| format!("server_id = \"0102030405060708090a0b0c0d0e{last}\"\n");
    let parsed = parse(&quic(&seven, &id("0f"), &id("10")), None).unwrap_or_else(|errors| panic!("{errors:#?}"));
    assert_eq!(parsed.config.pools[0].quic_lb.len(), 7);
}

#[test]
fn quic_lb_with_mistakes() {
    let (a, b) = ("server_id = \"0a0a\"\n", "server_id = \"0b0b\"\n");
    let two = |first: (u8, u8, u8), second: (u8, u8, u8)| {
        entry(first.0, first.1, first.2) + &entry(second.0, second.1, second.2)
    };
    let cases = [
        (entry(7, 2, 4), a, b, "28:13: error: `config_id` must be an integer from 0 to 6, not 7"),
        (entry(0, 0, 4), a, b, "29:17: error: `server_id_len` must be an integer from 1 to 15, not 0"),
        (entry(0, 16, 4), a, b, "29:17: error: `server_id_len` must be an integer from 1 to 15, not 16"),
        (entry(0, 2, 3), a, b, "30:13: error: `nonce_len` must be an integer from 4 to 18, not 3"),
        (entry(0, 2, 18), a, b, "30:13: error: `server_id_len` and `nonce_len` are 20 bytes together, more than 19"),
        (entry(0, 2, 4) + "key = \"00\"\n", a, b, "31:7: error: `key`: needs 32 hexadecimal digits (128 bits), has 2"),
        (entry(0, 2, 4) + "kye = \"00\"\n", a, b, "31:1: error: unknown key \"kye\" in [[pool.quic_lb]]"),
        ("[[pool.quic_lb]]\nconfig_id = 0\nserver_id_len = 2\n".into(), a, b, "27:1: error: [[pool.quic_lb]] lacks"),
        ("quic_lb = 7\n".into(), a, b, "27:11: error: `quic_lb` must be a list of tables: write [[pool.quic_lb]]"),
        (two((1, 2, 4), (1, 2, 6)), a, b, "32:13: error: `config_id` 1 is given twice in this pool (first at line 28)"),
        (
            two((1, 2, 4), (2, 3, 6)),
            a,
            b,
            "33:17: error: `server_id_len` differs within this pool (first given at line 29)",
        ),
        (entry(0, 2, 4), "", "", "27:1: error: no backend of pool \"web\" has a `server_id`"),
        (
            entry(0, 2, 4),
            a,
            a,
            "39:13: error: two backends of this pool have this `server_id` (first given at line 35)",
        ),
        (
            entry(0, 2, 4),
            a,
            "server_id = \"0b\"\n",
            "39:13: error: `server_id` has 1 bytes, not `server_id_len` 2 (given at line 29)",
        ),
        (entry(0, 2, 4), a, "server_id = \"0b0\"\n", "39:13: error: `server_id`: needs an even number of hexadecimal"),
        (entry(0, 2, 4), a, "server_id = \"\"\n", "39:13: error: `server_id`: needs an even number of hexadecimal"),
        (entry(0, 2, 4), a, "server_id = \"0x0b\"\n", "39:13: error: `server_id`: 'x' is not a hexadecimal digit"),
        (String::new(), a, "", "31:13: error: `server_id` has no meaning in a pool without [[pool.quic_lb]]"),
    ];
    for (entries, first, second, expected) in cases {
        let errors = parse(&quic(&entries, first, second), None).expect_err(expected);
        let shown: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert!(shown.len() == 1 && shown[0].starts_with(expected), "{shown:#?} is not {expected:?}");
    }
}

#[test]
fn quic_lb_warnings() {
    let id = "server_id = \"0a0a\"\n";
    let some = parse(&quic(&entry(0, 2, 4), id, ""), None).expect("good").warnings;
    let shown: Vec<String> = some.iter().map(ToString::to_string).collect();
    assert!(shown[0].starts_with("27:1: warning: 1 of 2 backends of pool \"web\" have no `server_id`; help: their"));
    assert_eq!(shown.len(), 1, "{shown:?}");
    let tcp = quic(&entry(0, 2, 4), id, "server_id = \"0b0b\"\n").replace("\"quic\"", "\"tcp\"");
    let unused = parse(&tcp, None).expect("good").warnings;
    let shown: Vec<String> = unused.iter().map(ToString::to_string).collect();
    assert!(shown[0].starts_with("27:1: warning: [[pool.quic_lb]] has no effect: no VIP with protocol = \"quic\""));
    assert_eq!(shown.len(), 1, "{shown:?}");
}

/// A second port, on which nothing but clients is.
const OUTSIDE: &str = "[[port]]\nname = \"out\"\ndevice = \"0000:3b:00.0\"\nmtu = 9000\n[[interface]]\nport = \"out\"\n\
                       addresses = [\"198.51.100.2/24\"]\n[[interface]]\n";

#[test]
fn packets_that_do_not_fit() {
    let does_not = |full: u16, mode: &str, inner: u16, help: &str| {
        format!(
            "packets of {full} bytes do not fit in the tunnels of pool \"web\": port \"edge\" carries 1500, and {mode} \
             toward 10.0.0.11 leaves {inner} of them; help: {help}"
        )
    };
    let raise = "raise the `mtu` of port \"edge\" (and the network's) to";
    let ipip = does_not(1500, "ipip", 1480, &format!("{raise} 1520, or have backends announce an MSS of at most 1440"));
    let gue = does_not(1500, "gue", 1468, &format!("{raise} 1532, or have backends announce an MSS of at most 1428"));
    let v6 = does_not(1500, "ipip", 1480, &format!("{raise} 1520, or have backends announce an MSS of at most 1420"));
    let udp = does_not(1500, "ipip", 1480, &format!("{raise} 1520"));
    let jumbo = does_not(9000, "ipip", 1480, &format!("{raise} 9020, or have"));
    let small = ("mtu = 1520", "mtu = 1500");
    check_warnings(&[
        (&[small], &[("23:1", &ipip)]),
        (&[small, ("forward = \"ipip\"", "forward = \"gue\"")], &[("23:1", &gue)]),
        (&[small, ("203.0.113.10", "2001:db8::1")], &[("23:1", &v6)]),
        (&[small, ("protocol = \"tcp\"", "protocol = \"udp\"")], &[("23:1", &udp)]),
        (&[small, ("forward = \"ipip\"", "forward = \"l2dsr\"")], &[]),
        (&[small, ("[[interface]]\n", OUTSIDE)], &[("30:1", &jumbo)]),
        (&[("mtu = 1520", "mtu = 9020"), ("[[interface]]\n", OUTSIDE)], &[]),
        (
            &[("mtu = 1520", "mtu = 9600"), ("[[interface]]\n", &OUTSIDE.replace("9000", "9600"))],
            &[(
                "30:1",
                "port \"edge\" carries 9600, and ipip toward 10.0.0.11 leaves 9580 of them; help: have backends announce an \
             MSS of at most 9540",
            )],
        ),
    ]);
}

/// The backend whose outer headers are the longest decides, and a pool is named once.
#[test]
fn the_tightest_backend_decides() {
    check_warnings(&[(
        &[("\"10.0.0.12\"", "\"fd00::12\"")],
        &[(
            "23:1",
            "toward fd00::12 leaves 1480 of them; help: raise the `mtu` of port \"edge\" (and the network's) to 1540",
        )],
    )]);
}
