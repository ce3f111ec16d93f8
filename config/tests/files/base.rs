//! A small valid file that tests break on purpose.

use guideway_config::{Machine, parse};

/// The example of the design, with two backends, and an MTU with room for an outer header. Tests count on its lines.
pub const BASE: &str = r#"[fleet]
hash_key = "000102030405060708090a0b0c0d0e0f"

[cores]
control = 0
workers = [1, 2]

[[port]]
name = "edge"
device = "net_af_xdp0,iface=gw0"
mtu = 1520
[[interface]]
port = "edge"
addresses = ["10.0.0.1/24", "fd00::1/64"]
[[interface.neighbor]]
address = "10.0.0.254"
mac = "02:00:00:00:00:fe"

[[route]]
to = "default"
via = ["10.0.0.254", "fd00::fe"]

[[pool]]
name = "web"
forward = "ipip"
health = { kind = "tcp", port = 80 }
[[pool.backend]]
name = "web1"
address = "10.0.0.11"
weight = 100
[[pool.backend]]
name = "web2"
address = "10.0.0.12"

[[vip]]
address = "203.0.113.10"
protocol = "tcp"
port = 80
pool = "web"
"#;

/// [`BASE`] with some text, which it holds exactly once, replaced.
pub fn edited(edits: &[(&str, &str)]) -> String {
    edits.iter().fold(BASE.to_owned(), |source, (from, to)| {
        assert_eq!(source.matches(from).count(), 1, "{from:?} is not there exactly once");
        source.replace(from, to)
    })
}

/// What to replace in the valid file, and what is then reported: `line:column`, and a part of the message.
pub type Case<'c> = (&'c [(&'c str, &'c str)], &'c [(&'c str, &'c str)]);

/// Checks what is reported for edits that are refused.
pub fn check(cases: &[Case<'_>], machine: Option<&Machine>) {
    for (edits, expected) in cases {
        let source = edited(edits);
        let errors = parse(&source, machine).expect_err(&format!("{edits:?} must be refused"));
        let shown: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(shown.len(), expected.len(), "{edits:?} gives {shown:#?}");
        for (line, (position, fragment)) in shown.iter().zip(*expected) {
            let at_place = line.starts_with(&format!("{position}: error: "));
            assert!(at_place && line.contains(fragment), "{edits:?}: {line:?} lacks {position} or {fragment:?}");
        }
    }
}

/// What is reported for edits that are accepted.
pub fn check_warnings(cases: &[Case<'_>]) {
    for (edits, expected) in cases {
        let parsed = parse(&edited(edits), None).unwrap_or_else(|errors| panic!("{edits:?}: {errors:#?}"));
        let shown: Vec<String> = parsed.warnings.iter().map(ToString::to_string).collect();
        assert_eq!(shown.len(), expected.len(), "{edits:?} gives {shown:#?}");
        for (line, (position, fragment)) in shown.iter().zip(*expected) {
            let at_place = line.starts_with(&format!("{position}: warning: "));
            assert!(at_place && line.contains(fragment), "{edits:?}: {line:?} lacks {position} or {fragment:?}");
        }
    }
}
