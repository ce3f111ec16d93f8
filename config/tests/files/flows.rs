//! What keeps flows where they are: pins, idle times, drains, groups, affinity. Good files, and files with mistakes.

use crate::base::{BASE, check, check_warnings, edited};
use guideway_config::memory::Memory;
use guideway_config::model::{Affinity, Config, IdleTimeout, OnDown, Pool, SessionsFull, Tracking};
use guideway_config::parse;
use std::time::Duration;

fn config(edits: &[(&str, &str)]) -> Config {
    let parsed = parse(&edited(edits), None).unwrap_or_else(|errors| panic!("{edits:?}: {errors:#?}"));
    assert_eq!(parsed.warnings, [], "{edits:?}");
    parsed.config
}

/// Edits that add a line to a section of the base.
fn state(line: &str) -> (&'static str, String) {
    ("workers = [1, 2]", format!("workers = [1, 2]\n[state]\n{line}"))
}

fn pool(line: &str) -> (&'static str, String) {
    ("forward = \"ipip\"", format!("forward = \"ipip\"\n{line}"))
}

fn vip(line: &str) -> (&'static str, String) {
    ("pool = \"web\"", format!("pool = \"web\"\n{line}"))
}

fn with(edit: &(&'static str, String)) -> Config {
    config(&[(edit.0, &edit.1)])
}

fn pool_with(line: &str) -> Pool {
    with(&pool(line)).pools.remove(0)
}

/// Each edit gives this one error.
#[track_caller]
fn refused(edit: &(&'static str, String), expected: &str) {
    let errors = parse(&edited(&[(edit.0, &edit.1)]), None).expect_err(expected);
    let shown: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert!(shown.len() == 1 && shown[0].starts_with(expected), "{shown:#?} lacks {expected:?}");
}

/// A VIP after that of the base, on the same pool unless said otherwise.
fn second(protocol: &str, lines: &str) -> String {
    format!("[[vip]]\naddress = \"203.0.113.11\"\nprotocol = \"{protocol}\"\nport = 443\npool = \"web\"\n{lines}")
}

const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

#[test]
fn defaults() {
    let config = config(&[]);
    assert_eq!((config.pins, config.arm_time), (1_048_576, seconds(3)));
    let pool = &config.pools[0];
    assert_eq!((pool.tracking, pool.on_down, pool.drain_timeout), (Tracking::Transition, OnDown::Move, None));
    assert_eq!(pool.idle_timeout, IdleTimeout { tcp: seconds(900), udp: seconds(30), quic: seconds(60) });
    assert_eq!((pool.group_min, pool.panic_threshold), (0.5, None));
    assert!(pool.backends.iter().all(|backend| backend.priority == 0));
    assert_eq!((config.vips[0].affinity, config.vips[0].affinity_window), (Affinity::None, None));
}

#[test]
fn pins() {
    for (pins, bytes) in [(8, 64), (9, 128), (1_000_000, 8_000_000), (268_435_456, 2 << 30)] {
        let config = with(&state(&format!("pins = {pins}")));
        assert_eq!((config.pins, Memory::of(&config).pins), (pins, bytes));
    }
    let both = with(&state("pins = 4096\ntable_memory = \"1MiB\""));
    assert_eq!((both.pins, both.table_memory, both.arm_time), (4096, 1 << 20, seconds(3)));
    for bad in ["7", "0", "-1", "268435457"] {
        let expected = format!("8:8: error: `pins` must be an integer from 8 to 268435456, not {bad}");
        refused(&state(&format!("pins = {bad}")), &expected);
    }
    refused(&state("pins = \"8MiB\""), "8:8: error: `pins` must be an integer from 8 to 268435456, not a string");
}

#[test]
fn arm_time() {
    for (text, time) in [("0s", seconds(0)), ("250ms", Duration::from_millis(250)), ("1m", seconds(60))] {
        assert_eq!(with(&state(&format!("arm_time = \"{text}\""))).arm_time, time, "{text}");
    }
    refused(&state("arm_time = \"61s\""), "8:12: error: `arm_time`: \"61s\" is not between 0s and 60s");
    refused(&state("arm_time = \"3\""), "8:12: error: `arm_time`: \"3\" is not a duration; help: write a number");
    refused(&state("arm_time = 3"), "8:12: error: `arm_time` must be a string in quotes, not an integer");
}

#[test]
fn memory_says_what_pins_need() {
    let of = |edit: &(&'static str, String)| Memory::of(&with(edit)).to_string();
    let lines = of(&state("pins = 1000"));
    let lines: Vec<&str> = lines.lines().collect();
    let [tables, pins] = lines[..] else { panic!("{lines:?}") };
    assert!(tables.starts_with("tables: 8.0 KiB, 4.0 KiB a copy, "), "{tables}");
    assert_eq!(pins, "pins: 7.8 KiB, shared by all workers");
    assert!(of(&pool("tracking = \"always\"")).ends_with("\npins: 8 MiB, shared by all workers"));
}

#[test]
fn tracking() {
    assert_eq!(pool_with("tracking = \"transition\"").tracking, Tracking::Transition);
    assert_eq!(pool_with("tracking = \"always\"").tracking, Tracking::Always);
    refused(
        &pool("tracking = \"never\""),
        "26:12: error: `tracking` cannot be \"never\"; help: use one of \"transition\", \"always\"",
    );
    refused(&pool("tracking = true"), "26:12: error: `tracking` must be a string in quotes, not a boolean");
}

#[test]
fn idle_timeout() {
    let default = IdleTimeout::default();
    let of = |text: &str| pool_with(&format!("idle_timeout = {text}")).idle_timeout;
    assert_eq!(of("{}"), default);
    assert_eq!(of("{ tcp = \"24h\" }"), IdleTimeout { tcp: seconds(86_400), ..default });
    assert_eq!(of("{ udp = \"100ms\" }"), IdleTimeout { udp: Duration::from_millis(100), ..default });
    let all = "{ quic = \"3m\", udp = \"2m\", tcp = \"1m\" }";
    assert_eq!(of(all), IdleTimeout { tcp: seconds(60), udp: seconds(120), quic: seconds(180) });
    let table =
        ("[[pool.backend]]\nname = \"web1\"", "[pool.idle_timeout]\nudp = \"5s\"\n[[pool.backend]]\nname = \"web1\"");
    assert_eq!(config(&[table]).pools[0].idle_timeout, IdleTimeout { udp: seconds(5), ..default });
    for (text, expected) in [
        ("{ tcp = \"99ms\" }", "26:24: error: `tcp`: \"99ms\" is not between 100ms and 24h"),
        ("{ udp = \"25h\" }", "26:24: error: `udp`: \"25h\" is not between 100ms and 24h"),
        ("{ quic = 60 }", "26:25: error: `quic` must be a string in quotes, not an integer"),
        ("{ tpc = \"60s\" }", "26:18: error: unknown key \"tpc\" in idle_timeout; help: did you mean `tcp`?"),
        (
            "{ everything = \"60s\" }",
            "26:18: error: unknown key \"everything\" in idle_timeout; help: idle_timeout knows `tcp`, `udp`, `quic`",
        ),
        ("\"900s\"", "26:16: error: `idle_timeout` must be a table, not a string; help: write { tcp = \"900s\" }"),
        ("900", "26:16: error: `idle_timeout` must be a table, not an integer"),
    ] {
        refused(&pool(&format!("idle_timeout = {text}")), expected);
    }
}

#[test]
fn drain_timeout() {
    for (text, time) in [("60s", seconds(60)), ("1us", Duration::from_micros(1)), ("720h", seconds(30 * 86_400))] {
        assert_eq!(pool_with(&format!("drain_timeout = \"{text}\"")).drain_timeout, Some(time), "{text}");
    }
    for bad in ["0s", "721h"] {
        let expected = format!("26:17: error: `drain_timeout`: \"{bad}\" is not between 1us and 720h");
        refused(&pool(&format!("drain_timeout = \"{bad}\"")), &expected);
    }
    refused(&pool("drain_timeout = \"30d\""), "26:17: error: `drain_timeout`: \"30d\" is not a duration");
}

#[test]
fn on_down() {
    assert_eq!(pool_with("on_down = \"move\"").on_down, OnDown::Move);
    assert_eq!(pool_with("on_down = \"keep\"").on_down, OnDown::Keep);
    refused(
        &pool("on_down = \"drop\""),
        "26:11: error: `on_down` cannot be \"drop\"; help: use one of \"move\", \"keep\"",
    );
}

#[test]
fn groups() {
    let standby = |min: &str| {
        let min = format!("forward = \"ipip\"\ngroup_min = {min}");
        let config = config(&[("forward = \"ipip\"", &min), ("weight = 100", "weight = 100\npriority = 255")]);
        let pool = &config.pools[0];
        assert_eq!(pool.backends.iter().map(|backend| backend.priority).collect::<Vec<_>>(), [255, 0]);
        pool.group_min
    };
    assert_eq!(standby("0.25"), 0.25);
    assert_eq!(standby("1"), 1.0);
    assert_eq!(standby("\"30%\""), 0.3);
    for (min, expected) in [
        ("0", "`group_min` must be above 0; help: write the share"),
        ("\"0%\"", "`group_min` must be above 0"),
        ("1.5", "`group_min` must be from 0 to 1, or from \"0%\" to \"100%\""),
        ("50", "`group_min` must be from 0 to 1, or from \"0%\" to \"100%\"; help: write \"50%\""),
        ("nan", "`group_min` must be from 0 to 1"),
        ("\"half\"", "`group_min`: \"half\" is not a percentage"),
        ("true", "`group_min` must be a number from 0 to 1, or a string such as \"50%\", not a boolean"),
    ] {
        refused(&pool(&format!("group_min = {min}")), &format!("26:13: error: {expected}"));
    }
    for bad in ["-1", "256"] {
        let edit = ("weight = 100", format!("priority = {bad}"));
        refused(&edit, &format!("30:12: error: `priority` must be an integer from 0 to 255, not {bad}"));
    }
}

#[test]
fn groups_of_one() {
    let min = ("forward = \"ipip\"", "forward = \"ipip\"\ngroup_min = 0.3");
    let expected = &[("26:13", "`group_min` has no effect: all backends of pool \"web\" are one group; help: give")];
    check_warnings(&[
        (&[min], expected),
        (&[min, ("weight = 100", "priority = 7"), ("\"10.0.0.12\"", "\"10.0.0.12\"\npriority = 7")], expected),
        (&[min, ("weight = 100", "priority = 7")], &[]),
    ]);
    let edits = [min, ("weight = 100", "priority = 300")];
    check(&[(&edits, &[("31:12", "`priority` must be")])], None);
}

/// A table holds one group, so weights are compared within it.
#[test]
fn weights_count_within_their_group() {
    let light = ("\"10.0.0.12\"", "\"10.0.0.12\"\nweight = 1");
    let starved = &[("23:1", "1 of its backends get less than one of 2039 slots")];
    check_warnings(&[
        (&[("weight = 100", "weight = 65535"), light], starved),
        (&[("weight = 100", "weight = 65535\npriority = 1"), light], &[]),
    ]);
}

#[test]
fn affinity_window() {
    let of = |lines: &str| with(&vip(lines)).vips[0].affinity_window;
    assert_eq!(of("affinity = \"client\""), Some(seconds(900)));
    assert_eq!(of("affinity = \"client\"\naffinity_window = \"24h\""), Some(seconds(86_400)));
    assert_eq!(of("affinity_window = \"100ms\"\naffinity = \"client\""), Some(Duration::from_millis(100)));
    assert_eq!(of("affinity = \"none\""), None);
    let meaningless = "`affinity_window` has no meaning with affinity = \"none\"; help: set affinity = \"client\", or";
    refused(&vip("affinity_window = \"1h\""), &format!("40:19: error: {meaningless}"));
    refused(&vip("affinity = \"none\"\naffinity_window = \"1h\""), &format!("41:19: error: {meaningless}"));
    for bad in ["99ms", "25h"] {
        let lines = format!("affinity = \"client\"\naffinity_window = \"{bad}\"");
        let expected = format!("41:19: error: `affinity_window`: \"{bad}\" is not between 100ms and 24h");
        refused(&vip(&lines), &expected);
    }
    refused(&vip("affinity = \"clients\"\naffinity_window = \"1h\""), "40:12: error: `affinity` cannot be \"clients\"");
}

#[test]
fn affinity_of_quic() {
    let quic = |line: &str| format!("pool = \"web\"\n{}", second("quic", line));
    check(
        &[(
            &[("pool = \"web\"\n", &quic("affinity = \"client\"\naffinity_window = \"1h\"\n"))],
            &[("45:12", "affinity = \"client\" has no meaning with protocol = \"quic\"; help: remove it")],
        )],
        None,
    );
    config(&[("pool = \"web\"\n", &quic("affinity = \"none\"\n"))]);
}

#[test]
fn vips_of_one_pool_agree_in_affinity() {
    let client = "affinity = \"client\"\n";
    let pair = |first: &str, protocol: &str, other: &str| format!("pool = \"web\"\n{first}{}", second(protocol, other));
    let help = "; help: give the other VIP a pool of its own";
    let plain_second = format!(
        "the VIP 203.0.113.11:443/udp has affinity \"none\" and shares pool \"web\" with the VIP 203.0.113.10:80/tcp, \
         which has \"client\" (defined at line 35){help}"
    );
    let client_second = format!(
        "the VIP 203.0.113.11:443/tcp has affinity \"client\" and shares pool \"web\" with the VIP \
         203.0.113.10:80/tcp, which has \"none\" (defined at line 35){help}"
    );
    check(
        &[
            (&[("pool = \"web\"\n", &pair(client, "udp", ""))], &[("41:1", &plain_second)]),
            (&[("pool = \"web\"\n", &pair(client, "udp", "affinity = \"none\"\n"))], &[("46:12", &plain_second)]),
            (&[("pool = \"web\"\n", &pair("", "tcp", client))], &[("45:12", &client_second)]),
            (
                &[("pool = \"web\"\n", &pair(client, "quic", ""))],
                &[("41:1", "the VIP 203.0.113.11:443/quic has affinity \"none\" and shares pool \"web\"")],
            ),
        ],
        None,
    );
    let windows = pair(client, "udp", &format!("{client}affinity_window = \"2h\"\n"));
    let windows = config(&[("pool = \"web\"\n", &windows)]);
    let windows: Vec<_> = windows.vips.iter().map(|vip| vip.affinity_window).collect();
    assert_eq!(windows, [Some(seconds(900)), Some(seconds(7200))]);
    let other = "[[pool]]\nname = \"other\"\nforward = \"ipip\"\nhealth = { kind = \"none\" }\n[[pool.backend]]\n\
                 address = \"10.0.0.13\"\n[[vip]]\naddress = \"203.0.113.12\"\nprotocol = \"tcp\"\nport = 80\n\
                 pool = \"other\"\n";
    config(&[("pool = \"web\"\n", &format!("pool = \"web\"\n{client}{other}"))]);
}

/// One error a pool, however many VIPs it has.
#[test]
fn many_vips_that_differ_give_one_error() {
    let vips: String = (0..100)
        .map(|port| {
            format!("[[vip]]\naddress = \"203.0.113.10\"\nprotocol = \"udp\"\nport = {}\npool = \"web\"\n", port + 1)
        })
        .collect();
    let errors = parse(&format!("{BASE}affinity = \"client\"\n{vips}"), None).expect_err("they differ");
    assert_eq!(errors.len(), 1, "{errors:#?}");
}

#[test]
fn idle_time_is_the_longest_of_what_a_pool_serves() {
    let of = |vips: &str| {
        let timeouts = "forward = \"ipip\"\nidle_timeout = { tcp = \"9s\", udp = \"3s\", quic = \"6s\" }";
        config(&[("forward = \"ipip\"", timeouts), ("pool = \"web\"\n", &format!("pool = \"web\"\n{vips}"))])
            .idle_time(0)
    };
    let udp = |lines: &str| second("udp", lines).replace("port = 443", "port = 53");
    assert_eq!(of(""), seconds(9));
    assert_eq!(of(&second("quic", "")), seconds(9));
    assert_eq!(of("affinity = \"client\"\naffinity_window = \"20s\"\n"), seconds(20));
    assert_eq!(of("affinity = \"client\"\naffinity_window = \"2s\"\n"), seconds(9), "the protocol's counts too");
    let longest = udp("affinity = \"client\"\naffinity_window = \"30s\"\n");
    assert_eq!(of(&format!("affinity = \"client\"\naffinity_window = \"20s\"\n{longest}")), seconds(30));
}

#[test]
fn idle_time_of_each_protocol() {
    let of = |protocol: &str| {
        let timeouts = "forward = \"ipip\"\nidle_timeout = { tcp = \"3s\", udp = \"9s\", quic = \"6s\" }";
        let protocol = format!("protocol = \"{protocol}\"");
        config(&[("forward = \"ipip\"", timeouts), ("protocol = \"tcp\"", &protocol)]).idle_time(0)
    };
    assert_eq!(of("tcp"), seconds(3));
    assert_eq!(of("udp"), seconds(9));
    assert_eq!(of("quic"), seconds(6), "it is UDP on the wire, and known better");
}

#[test]
fn idle_time_without_vips_is_the_longest_of_all() {
    for (timeouts, longest) in
        [("{}", 900), ("{ tcp = \"1s\" }", 60), ("{ tcp = \"1s\", quic = \"1s\" }", 30), ("{ quic = \"1h\" }", 3600)]
    {
        let idle = format!(
            "[[pool]]\nname = \"idle\"\nforward = \"ipip\"\nidle_timeout = {timeouts}\n[[pool.backend]]\n\
             address = \"10.0.0.13\"\n[[vip]]"
        );
        let parsed = parse(&edited(&[("[[vip]]", &idle)]), None).unwrap_or_else(|errors| panic!("{errors:#?}"));
        assert_eq!(parsed.config.idle_time(1), seconds(longest), "{timeouts}");
        assert_eq!(parsed.config.idle_time(0), seconds(900), "VIPs of other pools do not count");
    }
}

#[test]
fn limits_of_sessions() {
    let limits = |config: &Config| (config.embryonic_sessions, config.sessions_full, config.connection_rate);
    assert_eq!(limits(&config(&[])), (25, SessionsFull::Drop, 100_000));
    let lines = "embryonic_sessions = 100\nsessions_full = \"evict\"\nconnection_rate = 1000000";
    assert_eq!(limits(&with(&state(lines))), (100, SessionsFull::Evict, 1_000_000));
    for (line, expected) in [
        ("embryonic_sessions = 0", "8:22: error: `embryonic_sessions` must be an integer from 1 to 100"),
        ("embryonic_sessions = 101", "8:22: error: `embryonic_sessions`"),
        ("connection_rate = 999", "8:19: error: `connection_rate` must be an integer from 1000 to 10000000"),
        ("sessions_full = \"evcit\"", "8:17: error: `sessions_full` cannot be \"evcit\""),
    ] {
        refused(&state(line), expected);
    }
}
