//! Whatever a file holds: no panic, errors inside the file, sorted, one line each; and the same answer every time.

use crate::base::BASE;
use guideway_config::model::{Affinity, Protocol, Vip};
use guideway_config::schema::{FILE, SECTIONS};
use guideway_config::{Diagnostic, Machine, load, parse};
use proptest::prelude::*;
use std::io::Write;
use std::time::Duration;

/// Values of all types, good and bad ones for every key.
const VALUES: &[&str] = &[
    "0",
    "1",
    "2",
    "80",
    "1500",
    "65537",
    "-1",
    "0x10",
    "99999999999999999999",
    "0.5",
    "nan",
    "inf",
    "true",
    "\"\"",
    "\"edge\"",
    "\"web\"",
    "\"web1\"",
    "\"tcp\"",
    "\"udp\"",
    "\"any\"",
    "\"none\"",
    "\"ipip\"",
    "\"l2dsr\"",
    "\"auto\"",
    "\"default\"",
    "\"poll\"",
    "\"adaptive\"",
    "\"10.0.0.1\"",
    "\"10.0.0.1/24\"",
    "\"fd00::1\"",
    "\"fd00::1/64\"",
    "\"203.0.113.10\"",
    "\"20ms\"",
    "\"1GiB\"",
    "\"50%\"",
    "\"ä\\u0000\\n\"",
    "\"02:00:00:00:00:fe\"",
    "[]",
    "[1]",
    "[1, 1]",
    "[\"10.0.0.1/24\"]",
    "[\"10.0.0.254\", \"fd00::fe\"]",
    "{}",
    "{ kind = \"tcp\" }",
    "{ kind = \"none\", port = 1 }",
    "[{}]",
    "[{ address = \"10.0.0.9\" }]",
    "[[], {}]",
    "1979-05-27",
    "\"0000:3b:00.0\"",
    "\"net_null0\"",
    "\"000102030405060708090a0b0c0d0e0f\"",
    "\"gre\"",
    "\"gue\"",
    "\"quic\"",
    "\"client\"",
    "\"10.0.0.0/16\"",
    "\"2001:db8::/32\"",
    "\"8000-8099\"",
    "\"0a0b\"",
    "[\"edge\"]",
    "[{ config_id = 0, server_id_len = 2, nonce_len = 4 }]",
    "false",
    "8",
    "255",
    "\"15m\"",
    "\"0s\"",
    "\"transition\"",
    "\"always\"",
    "\"move\"",
    "\"keep\"",
    "{ tcp = \"1h\", quic = \"100ms\" }",
];

fn check_diagnostics(source: &str, diagnostics: &[Diagnostic]) {
    let lines: Vec<&str> = source.strip_prefix('\u{feff}').unwrap_or(source).split('\n').collect();
    let mut last = None;
    for diagnostic in diagnostics {
        let position = diagnostic.position.expect("a place");
        for position in
            [Some(position), diagnostic.related.as_ref().map(|related| related.position)].into_iter().flatten()
        {
            let line = lines.get(position.line.wrapping_sub(1)).expect("a line of the file");
            assert!((1..=line.chars().count() + 1).contains(&position.column), "{position:?} in {line:?}");
        }
        assert!(last <= Some(position), "sorted");
        last = Some(position);
        assert!(!diagnostic.to_string().contains(char::is_control), "one line: {diagnostic}");
    }
}

fn check(source: &str) {
    let result = parse(source, None);
    assert_eq!(result, parse(source, None));
    match result {
        Ok(parsed) => {
            check_diagnostics(source, &parsed.warnings);
            let config = parsed.config;
            assert!(config.ports.iter().all(|port| port.workers.iter().all(|&w| w < config.cores.workers.len())));
            assert!(config.interfaces.iter().all(|interface| interface.port < config.ports.len()));
            assert!(config.vips.iter().all(|vip| vip.pool < config.pools.len()));
            assert!(config.pools.iter().all(|pool| !pool.backends.is_empty()));
            assert!(config.routes.iter().all(|route| (1..=16).contains(&route.via.len())));
            assert!(config.vips.iter().all(|vip| vip.address == vip.address.trunc()));
            let client = |vip: &Vip| vip.affinity == Affinity::Client && vip.protocol != Protocol::Quic;
            assert!(config.vips.iter().all(|vip| client(vip) == vip.affinity_window.is_some()));
            let taps = config.exception.iter().flat_map(|exception| &exception.taps);
            assert!(taps.into_iter().all(|(port, name)| *port < config.ports.len() && name.len() <= 15));
            assert!((8..=1 << 28).contains(&config.pins) && config.arm_time <= Duration::from_secs(60));
            for (index, pool) in config.pools.iter().enumerate() {
                let times = Duration::from_millis(100)..=Duration::from_secs(86_400);
                assert!(times.contains(&config.idle_time(index)));
                assert!(pool.group_min > 0.0 && pool.group_min <= 1.0);
                assert!(pool.drain_timeout.is_none_or(|time| !time.is_zero()));
                let mut vips = config.vips.iter().filter(|vip| vip.pool == index);
                let first = vips.next().map(|vip| vip.affinity);
                assert!(vips.all(|vip| Some(vip.affinity) == first));
                let ids = pool.backends.iter().filter_map(|backend| backend.server_id.as_ref());
                let fit = |id: &[u8]| pool.quic_lb.iter().all(|lb| usize::from(lb.server_id_len) == id.len());
                assert!(ids.into_iter().all(|id| fit(id)));
            }
        }
        Err(errors) => {
            assert!(!errors.is_empty());
            assert!(!errors.iter().any(|error| error.message.contains("did not name")), "{errors:?}");
            check_diagnostics(source, &errors);
        }
    }
    assert!(parse(source, Some(&Machine::with_cores(0))).is_err(), "nothing runs on a machine without cores");
}

/// Lines of TOML made of the schema's keys and of [`VALUES`].
fn schema_like() -> impl Strategy<Value = String> {
    let keys: Vec<&str> = SECTIONS.iter().flat_map(|section| section.keys).map(|key| key.name).collect();
    let tables: Vec<&str> = FILE.keys.iter().map(|key| key.name).collect();
    let key_value =
        (prop::sample::select(keys), prop::sample::select(VALUES)).prop_map(|(k, v)| format!("{k} = {v}\n"));
    let header = (prop::sample::select(tables), 0..5).prop_map(|(table, form)| match form {
        0 => format!("[{table}]\n"),
        1 => format!("[[{table}.backend]]\n"),
        2 => format!("[[{table}.neighbor]]\n"),
        3 => format!("[[{table}.quic_lb]]\n"),
        _ => format!("[[{table}]]\n"),
    });
    let line = prop_oneof![3 => key_value, 1 => header];
    prop::collection::vec(line, 0..40).prop_map(|lines| lines.concat())
}

/// The base with some of its values replaced by others.
fn other_values() -> impl Strategy<Value = String> {
    let count = BASE.lines().count();
    prop::collection::vec((0..count, prop::sample::select(VALUES)), 1..6).prop_map(|changes| {
        let mut lines: Vec<String> = BASE.lines().map(str::to_owned).collect();
        for (index, value) in changes {
            if let Some((key, _)) = lines[index].split_once(" = ") {
                lines[index] = format!("{key} = {value}");
            }
        }
        lines.join("\n")
    })
}

/// The base with some lines taken out, doubled or moved.
fn other_lines() -> impl Strategy<Value = String> {
    let count = BASE.lines().count();
    prop::collection::vec((0..count, 0..count, 0..3), 1..8).prop_map(|changes| {
        let mut lines: Vec<&str> = BASE.lines().collect();
        for (from, to, form) in changes {
            let (from, to) = (from % lines.len(), to % lines.len());
            match form {
                0 => lines.swap(from, to),
                1 => lines.insert(to, lines[from]),
                _ if lines.len() > 1 => drop(lines.remove(from)),
                _ => {}
            }
        }
        lines.join("\n")
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn any_string(source in any::<String>()) {
        check(&source);
    }

    #[test]
    fn strings_of_toml_like_characters(source in "[\\[\\]{}=.,\"'#\na-c0-9 \u{e4}\\\\-]{0,80}") {
        check(&source);
    }

    #[test]
    fn spliced(at in 0..BASE.len(), cut in 0usize..40, text in "[\\[\\]{}=.,\"'#\na-z0-9 \u{feff}\u{0}\u{e4}]{0,12}") {
        let end = (at + cut).min(BASE.len());
        check(&format!("{}{text}{}", &BASE[..at], &BASE[end..]));
    }

    #[test]
    fn values(source in other_values()) {
        check(&source);
    }

    #[test]
    fn lines(source in other_lines()) {
        check(&source);
    }

    #[test]
    fn keys_of_the_schema(source in schema_like()) {
        check(&source);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_in_a_file(bytes in prop::collection::vec(any::<u8>(), 0..200), at in 0..BASE.len()) {
        let spliced = [&BASE.as_bytes()[..at], &bytes, &BASE.as_bytes()[at..]].concat();
        for bytes in [bytes, spliced] {
            let mut file = tempfile::NamedTempFile::new().expect("file");
            file.write_all(&bytes).expect("write");
            let loaded = load(file.path(), None);
            match std::str::from_utf8(&bytes) {
                Ok(source) => prop_assert_eq!(loaded.map_err(|failure| failure.errors), parse(source, None)),
                Err(_) => prop_assert_eq!(loaded.map_err(|failure| failure.errors.len()), Err(1)),
            }
        }
    }
}
