//! Configurations of other balancers become good configurations of Guideway, and what they lose is named.

use guideway_config::import::{Failure, Forward, Imported, Options, Source, import};
use guideway_config::model::{Affinity, CheckKind, Config, PortMatch, Protocol};
use guideway_config::parse;
use proptest::prelude::*;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Set, it makes the tests write the expected results instead of comparing them.
const WRITE: &str = "GUIDEWAY_WRITE_GOLDEN";
const EXAMPLES: [(&str, Source); 3] =
    [("ipvsadm.txt", Source::Ipvsadm), ("keepalived.conf", Source::Keepalived), ("haproxy.cfg", Source::Haproxy)];

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/import").join(name)
}

fn file(name: &str) -> String {
    std::fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn on_a_machine(forward: Option<Forward>) -> Options {
    let addresses = vec!["203.0.113.50".parse().expect("an address")];
    Options { forward, addresses, base: Some(file("base.toml")) }
}

fn imported(name: &str, options: &Options) -> Imported {
    let (_, source) = EXAMPLES.into_iter().find(|(example, _)| *example == name).expect("an example");
    import(&file(name), source, options).unwrap_or_else(|failure| panic!("{name}: {failure:?}"))
}

/// The result, without the checks that this version does not build.
fn config(name: &str) -> Config {
    let imported = imported(name, &on_a_machine(Some(Forward::Ipip)));
    let none = "health = { kind = \"none\" }";
    let text: String =
        imported.toml.lines().map(|line| if unbuilt(line) { none } else { line }.to_owned() + "\n").collect();
    parse(&text, None).unwrap_or_else(|errors| panic!("{name}: {errors:#?}\n{text}")).config
}

fn unbuilt(line: &str) -> bool {
    ["http", "https", "icmp"].iter().any(|kind| line.starts_with(&format!("health = {{ kind = \"{kind}\"")))
}

#[test]
fn results_are_as_expected() {
    for (name, source) in EXAMPLES {
        let result = imported(name, &on_a_machine(None)).toml;
        let golden = path(&format!("{name}.toml"));
        if std::env::var_os(WRITE).is_some() {
            std::fs::write(&golden, &result).expect("a golden file");
        }
        assert_eq!(result, std::fs::read_to_string(&golden).expect("a golden file"), "{name} as {source:?}");
    }
}

#[test]
fn sources_are_known_by_their_looks() {
    for (name, source) in EXAMPLES {
        assert_eq!(Source::guess(&file(name)), Some(source), "{name}");
    }
    assert_eq!(Source::guess("ipvsadm -A -t 192.0.2.1:80\n"), Some(Source::Ipvsadm));
    assert_eq!(Source::guess(&file("base.toml")), None);
}

/// Whatever a later version builds: what `check` refuses of a result is nothing but that.
#[test]
fn nothing_is_refused_but_what_is_not_built() {
    for (name, _) in EXAMPLES {
        for options in [on_a_machine(None), on_a_machine(Some(Forward::Ipip)), Options::default()] {
            let Ok(imported) = import(&file(name), Source::guess(&file(name)).expect("a source"), &options) else {
                panic!("{name}: nothing");
            };
            for error in &imported.refused {
                let known = error.message.ends_with("is not built yet") || error.message.contains("in health");
                assert!(known, "{name}: {error}");
            }
        }
    }
    assert_eq!(imported("ipvsadm.txt", &on_a_machine(None)).refused, []);
}

/// The head of comments, filled in, is a configuration.
#[test]
fn the_head_is_what_a_user_fills_in() {
    let imported = imported("ipvsadm.txt", &Options::default());
    assert_eq!(imported.refused, []);
    let head = imported.toml.split("# What the source cannot say").nth(1).expect("a head");
    let filled: String =
        head.lines().skip(1).map(|line| line.strip_prefix("# ").unwrap_or(line).to_owned() + "\n").collect();
    let filled = filled
        .replace("hash_key = \"\"", "hash_key = \"000102030405060708090a0b0c0d0e0f\"")
        .replace("\"10.0.0.1/24\"", "\"10.0.0.1/16\", \"fd00::1/64\"")
        .replace("\"10.0.0.254\"", "\"10.0.0.254\", \"fd00::fe\"");
    parse(&filled, None).unwrap_or_else(|errors| panic!("{errors:#?}\n{filled}"));
}

#[test]
fn services_of_ipvsadm() {
    let config = config("ipvsadm.txt");
    let web = &config.pools[0];
    assert_eq!(web.backends.iter().map(|backend| backend.weight).collect::<Vec<_>>(), [100, 50, 0]);
    let words: Vec<String> = config.pools.iter().map(|pool| pool.forward.to_string()).collect();
    assert_eq!(words, ["l2dsr", "ipip", "gue", "l2dsr", "l2dsr"]);
    let vips: Vec<_> = config.vips.iter().map(|vip| (vip.protocol, vip.port)).collect();
    let exact = PortMatch::Exact;
    assert_eq!(vips[..3], [(Protocol::Tcp, exact(80)), (Protocol::Tcp, exact(443)), (Protocol::Udp, exact(53))]);
    assert_eq!(vips[3..], [(Protocol::Tcp, PortMatch::Any)]);
    let windows: Vec<_> = config.vips.iter().map(|vip| vip.affinity_window).collect();
    let client = |seconds| Some(Duration::from_secs(seconds));
    assert_eq!(windows, [client(600), client(900), None, None], "mh without ports goes by client");
}

#[test]
fn servers_of_keepalived() {
    let config = config("keepalived.conf");
    let web = &config.pools[0];
    let backends: Vec<_> = web.backends.iter().map(|backend| (backend.weight, backend.priority)).collect();
    assert_eq!(backends, [(3, 0), (1, 0), (1, 1)], "the sorry server is a group of its own");
    let [tcp] = &web.health[..] else { panic!("{:?}", web.health) };
    assert_eq!(tcp.kind, CheckKind::Tcp);
    let times = (tcp.times.interval.as_secs(), tcp.times.fast_interval.as_secs(), tcp.times.timeout.as_secs());
    assert_eq!((tcp.port, times, tcp.times.fall), (Some(80), (6, 1, 3), 3), "two retries are three failures");
    assert_eq!(config.vips.iter().filter(|vip| vip.pool == 1).count(), 4, "the group");
    let smtp = config.pools.last().expect("pools");
    let [tcp] = &smtp.health[..] else { panic!("{:?}", smtp.health) };
    assert_eq!(tcp.kind, CheckKind::Tcp);
    assert_eq!(tcp.port, Some(25), "the VIP's, since nobody rewrites it");
}

#[test]
fn proxies_of_haproxy() {
    let config = config("haproxy.cfg");
    let names: Vec<_> = config.pools.iter().map(|pool| pool.name.as_str()).collect();
    assert_eq!(names, ["pg-nodes", "smtp", "web"]);
    let postgres = &config.pools[0];
    let [tcp] = &postgres.health[..] else { panic!("{:?}", postgres.health) };
    assert_eq!(tcp.kind, CheckKind::Tcp);
    let times = &tcp.times;
    let seconds = (times.interval.as_secs(), times.timeout.as_secs());
    assert_eq!((seconds, times.rise, times.fall), ((2, 1), 2, 3), "default-server");
    assert_eq!(postgres.backends.iter().map(|backend| backend.priority).collect::<Vec<_>>(), [0, 0, 1]);
    let mail: Vec<_> =
        config.vips.iter().filter(|vip| vip.pool == 1).map(|vip| (vip.address.to_string(), vip.port)).collect();
    let port = PortMatch::Exact;
    assert_eq!(mail, [("203.0.113.50/32".to_owned(), port(25)), ("203.0.113.50/32".to_owned(), port(587))]);
    assert_eq!(config.pools[1].backends.iter().map(|backend| backend.weight).collect::<Vec<_>>(), [1, 0], "disabled");
    let web = config.vips.iter().find(|vip| vip.pool == 2).expect("web");
    assert_eq!(web.port, PortMatch::Range(8000, 8099));
    assert_eq!((web.affinity, web.affinity_window), (Affinity::Client, Some(Duration::from_secs(1_800))));
    assert_eq!(config.pools[2].backends[0].name, "web-1");
}

#[test]
fn what_is_lost_is_named_with_its_line() {
    let expected = [
        ("ipvsadm.txt", 8, "-o"),
        ("ipvsadm.txt", 12, "fwmark service 7"),
        ("ipvsadm.txt", 14, "sctp service"),
        ("keepalived.conf", 9, "vrrp_instance VI_1"),
        ("keepalived.conf", 64, "digest"),
        ("keepalived.conf", 70, "MISC_CHECK"),
        ("haproxy.cfg", 8, "option tcplog"),
        ("haproxy.cfg", 31, "server mx2 mx2.example.com"),
        ("haproxy.cfg", 45, "frontend www in mode http"),
    ];
    for (name, line, what) in expected {
        let imported = imported(name, &on_a_machine(None));
        let note = imported.notes.iter().find(|note| note.line == Some(line) && note.what.starts_with(what));
        let note = note.unwrap_or_else(|| panic!("{name} lacks {what} in line {line}: {:#?}", imported.notes));
        assert!(!note.why.is_empty() && !note.instead.is_empty());
        assert!(imported.toml.contains(&format!("#   {note}\n")), "{note}");
    }
}

#[test]
fn a_source_without_services_is_refused() {
    for (text, source) in
        [("", Source::Ipvsadm), ("vrrp_instance A {\n}\n", Source::Keepalived), ("global\n", Source::Haproxy)]
    {
        let Err(Failure::Nothing(notes)) = import(text, source, &Options::default()) else { panic!("{text}") };
        assert_eq!(notes.is_empty(), text.is_empty());
    }
    let options = Options { base: Some("[fleet".to_owned()), ..Options::default() };
    let refused = import(&file("ipvsadm.txt"), Source::Ipvsadm, &options);
    assert!(matches!(refused, Err(Failure::Base(why)) if why.contains("line 1")));
}

/// Lines of an example, some of them changed, doubled, cut or gone.
fn damaged() -> impl Strategy<Value = (String, Source)> {
    let edit = (any::<prop::sample::Index>(), 0u8..6, any::<prop::sample::Index>(), "[ -~\u{e9}\u{0}{}\"'\\\\]{0,6}");
    (0..EXAMPLES.len(), prop::collection::vec(edit, 1..12)).prop_map(|(example, edits)| {
        let (name, source) = EXAMPLES[example];
        let mut lines: Vec<String> = file(name).lines().map(str::to_owned).collect();
        for (line, how, place, text) in edits {
            let at = line.index(lines.len());
            let chars = lines[at].chars().count();
            let place =
                lines[at].char_indices().map(|(at, _)| at).nth(place.index(chars + 1)).unwrap_or(lines[at].len());
            match how {
                0 => lines[at].truncate(place),
                1 => lines[at].insert_str(place, &text),
                2 => lines[at] = text,
                3 if lines.len() > 1 => drop(lines.remove(at)),
                4 => lines.insert(at, lines[at].clone()),
                _ => lines.swap(at, 0),
            }
        }
        (lines.join("\n"), source)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever the source holds, the result is TOML whose keys and values Guideway takes, save what is not built.
    #[test]
    fn damaged_sources_never_break_the_result((text, source) in damaged()) {
        if let Ok(imported) = import(&text, source, &on_a_machine(Some(Forward::Ipip))) {
            let syntax = imported.refused.iter().find(|error| error.message.starts_with("TOML syntax"));
            prop_assert!(syntax.is_none(), "{}\n{}", imported.toml, imported.refused[0]);
            let bare = import(&text, source, &Options { base: None, ..on_a_machine(Some(Forward::Ipip)) });
            for error in bare.into_iter().flat_map(|imported| imported.refused) {
                let known =
                    ["not built yet", "in health", "must be", "is not a unicast", "range", "the same port", "`path`"];
                prop_assert!(known.iter().any(|known| error.message.contains(known)), "{error}\n{text}");
            }
        }
    }

    #[test]
    fn any_text_is_read(text in "\\PC{0,400}|[ -~\n]{0,400}") {
        for source in [Source::Ipvsadm, Source::Keepalived, Source::Haproxy] {
            let _ = import(&text, source, &Options::default());
        }
        Source::guess(&text);
    }
}
