//! `[audit]`: good files, and files with one mistake each.

use crate::base::{check, edited};
use guideway_config::model::{Audit, ConnectionLog, LogTarget};
use guideway_config::parse;

fn audit(lines: &str) -> String {
    format!("[audit]\n{lines}[cores]")
}

#[test]
fn logs() {
    let of = |lines: &str| {
        let parsed = parse(&edited(&[("[cores]", &audit(lines))]), None);
        parsed.unwrap_or_else(|errors| panic!("{lines}: {errors:#?}")).config.audit
    };
    assert_eq!(parse(&edited(&[]), None).expect("the base").config.audit, Audit::default());
    assert_eq!(of(""), Audit::default());
    let file = LogTarget::File("/var/log/c.json".into());
    let usual = ConnectionLog { to: file.clone(), sample: 1, datagram_sample: 1_000, rate: 10_000 };
    let found = of("connections = { to = \"file\", path = \"/var/log/c.json\" }\n");
    assert_eq!(found, Audit { connections: Some(usual.clone()), changes: None });
    let numbers = "sample = 100, datagram_sample = 0, rate = 5";
    let found = of(&format!("connections = {{ to = \"ipfix\", address = \"192.0.2.9:4739\", {numbers} }}\n"));
    let to = LogTarget::Ipfix("192.0.2.9:4739".parse().unwrap());
    let connections = Some(ConnectionLog { to, sample: 100, datagram_sample: 0, rate: 5 });
    assert_eq!(found, Audit { connections, changes: None });
    let changes = |line: &str| of(&format!("changes = {line}\n")).changes;
    assert_eq!(changes("{ to = \"stdout\" }"), Some(LogTarget::Stdout));
    assert_eq!(changes("{ to = \"syslog\" }"), Some(LogTarget::Syslog(None)));
    let remote = LogTarget::Syslog(Some("[2001:db8::9]:514".parse().unwrap()));
    assert_eq!(changes("{ to = \"syslog\", address = \"[2001:db8::9]:514\" }"), Some(remote));
    assert_eq!(changes("{ to = \"file\", path = \"/var/log/c.json\" }"), Some(file));
}

#[test]
fn logs_with_mistakes() {
    let cases = [
        ("connections = \"file\"\n", "5:15", "`connections` must be a table, not a string"),
        ("connections = { path = \"/a\" }\n", "5:15", "connections lacks the key `to`"),
        ("connections = { to = \"fil\", path = \"/a\" }\n", "5:22", "did you mean \"file\"?"),
        ("connections = { to = \"file\" }\n", "5:15", "connections lacks the key `path`; help: write for example path"),
        ("connections = { to = \"file\", path = \"a\" }\n", "5:37", "`path`: needs the absolute path of a file"),
        (
            "connections = { to = \"stdout\", path = \"/a\" }\n",
            "5:39",
            "`path` of connections belongs to to = \"file\"",
        ),
        ("connections = { to = \"ipfix\" }\n", "5:15", "connections lacks the key `address`; help: write for example"),
        ("changes = { to = \"ipfix\" }\n", "5:18", "`to` cannot be \"ipfix\""),
        ("changes = { to = \"syslog\", address = \"log\" }\n", "5:38", "`address`: needs an address and a UDP port"),
        ("changes = { to = \"stdout\", address = \"192.0.2.9:514\" }\n", "5:38", "`address` of changes belongs to"),
        ("connections = { to = \"stdout\", rate = 0 }\n", "5:39", "`rate` must be an integer from 1 to 1000000, not 0"),
        ("connections = { to = \"stdout\", sample = 0 }\n", "5:41", "`sample` must be an integer from 1 to 4294967295"),
        ("changes = { to = \"stdout\", rate = 1 }\n", "5:28", "unknown key \"rate\" in changes"),
        ("connection = { to = \"stdout\" }\n", "5:1", "unknown key \"connection\" in [audit]; help: did you mean"),
    ];
    for (lines, position, message) in cases {
        check(&[(&[("[cores]", &audit(lines))], &[(position, message)])], None);
    }
}
