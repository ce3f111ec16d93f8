//! What cannot be done, each by name and with what to do.

use crate::file::{FILE, edited, plan, state};
use guideway_control::reload::Remedy;
use std::fmt::Write;

/// The lines of the refusals of these edits.
fn refused(edits: &[(&str, &str)], disruptive: bool) -> Vec<(Remedy, String)> {
    let refusals = plan(&state(edited(&[])), &edited(edits), disruptive).expect_err("it is refused");
    refusals.into_iter().map(|refusal| (refusal.remedy, refusal.to_string())).collect()
}

#[test]
fn what_a_process_keeps_needs_a_restart() {
    for (from, to, part) in [
        ("control = 0", "control = 2", "[cores]"),
        ("extra_args = []", "extra_args = [\"--log-level=8\"]", "extra_args"),
        ("/run/guideway.sock", "/run/other.sock", "[api] socket"),
        ("mtu = 1500", "mtu = 1400", "[[port]]"),
        ("addresses = [\"10.0.0.1/24\"]", "vlan = 7\naddresses = [\"10.0.0.1/24\"]", "[[interface]]"),
        ("# end", "[exception]\nports = [\"edge\"]", "[exception]"),
        ("[state]\n", "[state]\nembryonic_sessions = 10\n", "embryonic_sessions"),
        ("[state]\n", "[state]\nsessions_full = \"evict\"\n", "sessions_full"),
        ("[state]\n", "[state]\nconnection_rate = 1000\n", "connection_rate"),
    ] {
        for disruptive in [false, true] {
            let refusals = refused(&[(from, to)], disruptive);
            let [(Remedy::Restart, line)] = &refusals[..] else { panic!("{from}: {refusals:?}") };
            assert!(line.contains(part) && line.contains("restart"), "{line}");
        }
    }
}

#[test]
fn what_re_keys_is_named_with_what_it_breaks() {
    const VIP: &str = "vip 203.0.113.10:80/tcp: ";
    let mut many = String::from("backend = [\n");
    for host in 12..=31 {
        writeln!(many, "{{ name = \"more{host}\", address = \"10.0.0.{host}\" }},").unwrap();
    }
    let extra = "[[vip]]\naddress = \"203.0.113.9\"\nprotocol = \"udp\"\nport = 53\npool = \"api\"";
    for (edits, parts) in [
        (
            &[("pool = \"web\"", "pool = \"api\"")][..],
            [
                VIP,
                "its pool changes from web to api, and other VIPs stay in one of them: every connection to it would break",
            ],
        ),
        (
            &[("table_size = 2039", "table_size = 4093")],
            ["pool web: its table_size changes from 2039 to 4093", "write table_size = 2039"],
        ),
        (
            &[("backend = [{ name = \"api1\"", &format!("{many}{{ name = \"api1\""))],
            [
                "pool api: its table_size changes from 2039 to 4093 (the default for 21 backends)",
                "write table_size = 2039",
            ],
        ),
        (&[("000102", "ff0102")], ["[fleet] hash_key", "every connection would break"]),
        (
            &[(
                "port = 80\npool = \"web\"",
                "port = 80\npool = \"web\"\naffinity = \"client\"\naffinity_window = \"1s\"",
            )],
            [VIP, "its affinity changes from none to client: every connection to it would break"],
        ),
        (
            &[("\"udp\"", "\"quic\"")],
            ["vip 203.0.113.0/26:any/udp: its protocol changes from udp to quic", "would break"],
        ),
        (
            &[("# end", extra)],
            ["vip 203.0.113.9:53/udp is new and takes packets of vip 203.0.113.0/26:any/udp", "would break"],
        ),
        (&[("tracking = \"transition\"", "tracking = \"always\"")], ["pool web: tracking changes", "would break"]),
        (&[("pins = 1024", "pins = 2048")], ["[state] pins changes from 1024 to 2048", "would break"]),
        (
            &[("arm_time = \"100ms\"", "arm_time = \"200ms\"")],
            ["[state] arm_time changes from 100ms to 200ms", "would break"],
        ),
        (&[("1GiB", "2GiB")], ["[state] table_memory", "anew"]),
        (&[("tcp = \"1s\"", "tcp = \"10m\"")], ["pool web: its idle time changes from 1s to 600s", "34.4s at most"]),
    ] {
        let refusals = refused(edits, false);
        let told = refusals.iter().find(|(_, line)| parts.iter().all(|part| line.contains(part)));
        let Some((Remedy::Disruptive, line)) = told else { panic!("{parts:?}: {refusals:?}") };
        assert!(line.contains("--disruptive"), "{line}");
        let plan = plan(&state(edited(&[])), &edited(edits), true).expect("it is asked for");
        let of_vips = refusals.iter().all(|(_, line)| line.starts_with("vip"));
        assert_eq!(plan.anew, !of_vips, "what concerns one VIP leaves all else alone: {parts:?}");
        assert!(plan.breaks && plan.lines.iter().any(|line| line.contains(parts[0])), "{:?}", plan.lines);
    }
    assert!(FILE.contains("table_size = 2039"), "the message is what helps");
}

#[test]
fn every_reason_is_told_and_one_is_enough() {
    let edits = [
        ("mtu = 1500", "mtu = 1400"),
        ("pool = \"web\"", "pool = \"api\""),
        ("table_size = 2039", "table_size = 4093"),
    ];
    assert_eq!(refused(&edits, false).len(), 3);
    let rest = refused(&edits, true);
    assert!(rest.len() == 1 && rest[0].0 == Remedy::Restart, "{rest:?}");
}

#[test]
fn a_wider_vip_takes_nothing_from_a_narrower_one() {
    let wider = "[[vip]]\naddress = \"203.0.113.0/24\"\nprotocol = \"udp\"\nport = \"any\"\npool = \"api\"";
    let plan = plan(&state(edited(&[])), &edited(&[("# end", wider)]), false).expect("nobody loses a packet");
    assert_eq!(plan.lines, ["vip 203.0.113.0/24:any/udp is new, served by pool api"]);
}
