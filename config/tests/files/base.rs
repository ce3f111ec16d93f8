//! A small valid file that tests break on purpose.

/// The example of the design, with two backends. Tests count on its lines.
pub const BASE: &str = r#"[fleet]
hash_key = "000102030405060708090a0b0c0d0e0f"

[cores]
control = 0
workers = [1, 2]

[[port]]
name = "edge"
device = "net_af_packet0,iface=gw0"

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
