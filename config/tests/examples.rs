//! The example files parse without a warning, mean what their comments say, and load from disk.

use guideway_config::memory::Memory;
use guideway_config::model::{
    Affinity, Announce, CheckKind, Config, Exception, Forward, Gue, Idle, PortMatch, Protocol, Vlan,
};
use guideway_config::{Machine, load, parse};
use std::path::{Path, PathBuf};
use std::time::Duration;

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name)
}

fn config(name: &str) -> Config {
    let parsed = load(&example(name), None).unwrap_or_else(|failure| panic!("{failure}"));
    assert_eq!(parsed.warnings, [], "{name}");
    parsed.config
}

#[test]
fn every_example_parses_without_a_warning() {
    let mut count = 0;
    for entry in std::fs::read_dir(example("")).expect("examples") {
        let name = entry.expect("entry").file_name().into_string().expect("name");
        config(&name);
        count += 1;
    }
    assert!(count >= 5);
}

#[test]
fn one_armed_dsr() {
    let config = config("one-armed-dsr.toml");
    assert_eq!(config.hash_key[..3], [0x8f, 0x1d, 0x6a]);
    assert_eq!((config.cores.control, config.cores.workers.as_slice()), (0, &[1][..]));
    assert_eq!(config.cores.idle, Idle::Poll);
    assert_eq!(config.socket, Path::new("/run/guideway.sock"));
    assert_eq!(config.table_memory, 1 << 30);
    assert_eq!(config.extra_args, Vec::<String>::new());
    let pool = &config.pools[0];
    assert_eq!(pool.forward, Forward::L2dsr);
    assert_eq!(pool.table_size, 2039);
    assert_eq!(pool.panic_threshold, None);
    let weights: Vec<_> = pool.backends.iter().map(|backend| (backend.name.as_str(), backend.weight)).collect();
    assert_eq!(weights, [("web1", 100), ("web2", 100), ("web3", 50)]);
    let tcp = &pool.health[0];
    assert_eq!((pool.health.len(), &tcp.kind, tcp.port), (1, &CheckKind::Tcp, Some(443)));
    assert_eq!(tcp.times.fast_interval, Duration::from_millis(10));
    assert_eq!(config.vips[0].announce, Announce::Auto);
    assert_eq!(config.routes[0].to.to_string(), "0.0.0.0/0");
}

#[test]
fn two_ports() {
    let config = config("two-ports.toml");
    assert_eq!(config.cores.idle, Idle::Adaptive);
    assert_eq!(config.extra_args, ["--log-level=lib.eal:warning"]);
    assert_eq!((config.table_memory, config.pins), (256 << 20, 1 << 18));
    let workers: Vec<_> = config.ports.iter().map(|port| port.workers.clone()).collect();
    assert_eq!(workers, [vec![0], vec![1]], "indices into the workers, not cores");
    assert_eq!(config.ports[0].mtu, 1500);
    assert_eq!(config.interfaces[0].neighbors[0].mac, [2, 0, 0x5e, 0x10, 0, 1]);
    assert_eq!(config.pools[0].panic_threshold, Some(0.5));
    assert_eq!((config.idle_time(0), config.idle_time(1)), (Duration::from_secs(300), Duration::from_secs(30)));
    let drains: Vec<_> = config.pools.iter().map(|pool| pool.drain_timeout).collect();
    assert_eq!(drains, [Some(Duration::from_secs(3600)), None]);
    assert_eq!(config.pools[0].encap_source, Some("10.1.0.2/32".parse().expect("address")));
    assert_eq!(config.pools[1].health, []);
    assert_eq!(config.pools[1].backends[0].name, "10.2.1.53");
    assert_eq!(config.pools[1].backends[0].weight, 1);
    assert_eq!((config.vips[0].port, config.vips[0].pool), (PortMatch::Any, 0));
    assert_eq!((config.vips[1].port, config.vips[1].protocol), (PortMatch::Exact(53), Protocol::Udp));
}

#[test]
fn ipv6() {
    let config = config("ipv6.toml");
    let routes: Vec<_> = config.routes.iter().map(|route| format!("{} {:?}", route.to, route.via)).collect();
    assert_eq!(routes, ["::/0 [2001:db8:0:1::1]", "0.0.0.0/0 [198.51.100.1]", "fd00:10::/32 [2001:db8:0:1::9]"]);
    let tcp = &config.pools[1].health[0];
    assert_eq!((tcp.port, tcp.times.rise, tcp.times.fall), (Some(443), 2, 2));
    let priorities: Vec<_> = config.pools[1].backends.iter().map(|backend| backend.priority).collect();
    assert_eq!((priorities.as_slice(), config.pools[1].group_min), (&[0, 0, 1][..], 0.5));
}

#[test]
fn vlans_gue_quic() {
    let config = config("vlans-gue-quic.toml");
    let vlans: Vec<_> = config.interfaces.iter().map(|interface| (interface.port, interface.vlan)).collect();
    let tag = |service, id| Some(Vlan { service, id });
    assert_eq!(vlans, [(0, tag(None, 10)), (0, tag(None, 20)), (0, tag(Some(100), 7))]);
    let hops: Vec<_> = config.routes[2].via.iter().map(ToString::to_string).collect();
    assert_eq!(hops, ["10.20.0.253", "10.20.0.254"]);
    let [web, customers] = &config.pools[..] else { panic!("two pools") };
    assert_eq!((web.forward, web.gue), (Forward::Gue, Gue { port: 6080, variant: 0, checksum: false }));
    assert_eq!(web.encap_source, Some("10.99.0.0/16".parse().expect("prefix")));
    assert!(web.fragment_outer);
    let ids: Vec<_> = web.quic_lb.iter().map(|lb| (lb.config_id, lb.server_id_len, lb.nonce_len)).collect();
    assert_eq!(ids, [(0, 2, 6), (1, 2, 6)]);
    assert_eq!(web.quic_lb[0].key.map(|key| (key[0], key[15])), Some((0x8f, 0x7f)));
    let ids: Vec<_> = web.backends.iter().map(|backend| backend.server_id.as_deref()).collect();
    assert_eq!(ids, [Some(&[0, 1][..]), Some(&[0, 2][..])]);
    assert_eq!((customers.forward, customers.gue), (Forward::Gre, Gue::default()));
    assert_eq!((customers.encap_source, customers.fragment_outer), (None, false));
    let shown: Vec<String> = config.vips.iter().map(ToString::to_string).collect();
    let expected =
        ["203.0.113.10:443/tcp", "203.0.113.10:443/quic", "203.0.113.64/26:8000-8099/tcp", "203.0.113.70:8080/tcp"];
    assert_eq!(shown, expected);
    let affinities: Vec<_> = config.vips.iter().map(|vip| vip.affinity).collect();
    assert_eq!(affinities, [Affinity::None, Affinity::None, Affinity::Client, Affinity::None]);
    let windows: Vec<_> = config.vips.iter().map(|vip| vip.affinity_window).collect();
    assert_eq!(windows, [None, None, Some(Duration::from_secs(3600)), None]);
    assert_eq!(config.exception, Some(Exception { taps: vec![(0, "gw-trunk".to_owned())], rate: 10_000 }));
}

#[test]
fn bare_metal_is_for_a_larger_machine() {
    let config = config("bare-metal-8-workers.toml");
    assert_eq!(config.ports[1].workers, [4, 5, 6, 7]);
    let memory = Memory::of(&config);
    assert_eq!((memory.copies, memory.total(), memory.pins), (8, 8 * 2 * 65537, 8 << 20));
    let path = example("bare-metal-8-workers.toml");
    assert!(load(&path, Some(&Machine::with_cores(9))).is_ok());
    let failure = load(&path, Some(&Machine::with_cores(2))).expect_err("8 workers on 2 cores");
    let shown = failure.to_string();
    assert!(shown.contains("bare-metal-8-workers.toml:11:11: error: `workers` lists 8 cores"), "{shown}");
    let failure = load(&path, Some(&Machine::with_cores(8))).expect_err("core 8 is the ninth");
    assert_eq!(failure.errors.len(), 1);
    assert!(failure.to_string().contains("core 8 does not exist: this machine has cores 0 to 7"));
}

#[test]
fn tables_that_do_not_fit_a_copy_each_are_shared() {
    let mut config = config("bare-metal-8-workers.toml");
    config.table_memory = 8 * 2 * 65537 - 1;
    let memory = Memory::of(&config);
    assert_eq!((memory.copies, memory.total()), (1, 2 * 65537));
    assert!(memory.to_string().contains("shared by 8 workers"), "{memory}");
    config.table_memory += 1;
    assert_eq!(Memory::of(&config).copies, 8);
}

#[test]
fn a_byte_order_mark_is_no_part_of_the_text() {
    let source = std::fs::read_to_string(example("ipv6.toml")).expect("example");
    assert_eq!(parse(&format!("\u{feff}{source}"), None), parse(&source, None));
    let errors = parse("\u{feff}x = 1", None).expect_err("unknown key");
    assert!(errors.iter().any(|error| error.to_string().starts_with("1:1: error: unknown key \"x\"")));
}
