//! Virtual servers and their real servers.

use super::blocks::Block;
use super::{Groups, check, listens};
use crate::import::model::{Backend, Forward, Found, Health, Pool, Ports, Vip};
use crate::import::time::seconds;
use std::net::IpAddr;
use std::time::Duration;

/// Persistence without a number (keepalived.conf(5), persistence_timeout).
const PERSISTENCE: Duration = Duration::from_secs(360);
/// The window of a client whose address alone decides: the default of `affinity_window`.
const WINDOW: Duration = Duration::from_secs(900);

pub(super) fn read(block: &Block, groups: &Groups<'_>, found: &mut Found) {
    let protocol = match block.get("protocol").map_or("TCP", |line| line.word(1)) {
        "TCP" | "tcp" => "tcp",
        "UDP" | "udp" => "udp",
        other => {
            let what = format!("{} with protocol {other}", block.title());
            return found.note(block.line, what, "Guideway forwards TCP and UDP", "leave this service where it is");
        }
    };
    let listens = listens(block, groups, found);
    let mut pool = Pool::new(found.pool_name(&name(block, protocol)), block.line, Forward::Nat);
    if let Some(kind) = block.get("lb_kind").or_else(|| block.get("lvs_method")) {
        (pool.forward, pool.gue_port) = mode(kind, found);
    }
    real_servers(block, &mut pool, found);
    sorry_server(block, &mut pool, found);
    pool.health = checks(block, found);
    let affinity = affinity(block);
    let vip = |(address, ports): (IpAddr, Ports)| Vip { address, protocol, ports, pool: pool.name.clone(), affinity };
    found.vips.extend(listens.into_iter().map(vip));
    others(block, found);
    found.pools.push(pool);
}

fn name(block: &Block, protocol: &str) -> String {
    match (block.word(1), block.word(2)) {
        ("group", name) => name.to_owned(),
        ("fwmark", mark) => format!("fwmark-{mark}"),
        (address, "") => format!("{protocol}-{address}-any"),
        (address, port) => format!("{protocol}-{address}-{port}"),
    }
}

/// `DR`, `NAT`, or `TUN` with `type ipip|gue port N|gre`.
fn mode(line: &Block, found: &mut Found) -> (Forward, Option<u16>) {
    let kind = line.word(1);
    match (kind, line.word(3)) {
        ("DR", _) => (Forward::L2dsr, None),
        ("NAT", _) => (Forward::Nat, None),
        ("TUN", "gue") => (Forward::Gue, line.word(5).parse().ok()),
        ("TUN", "gre") => (Forward::Gre, None),
        ("TUN", _) => (Forward::Ipip, None),
        _ => {
            found.note(line.line, line.title(), "keepalived knows NAT, DR and TUN", "it counts as NAT, its default");
            (Forward::Nat, None)
        }
    }
}

fn real_servers(block: &Block, pool: &mut Pool, found: &mut Found) {
    let default = block.get("weight").map_or("1", |line| line.word(1));
    for server in block.inner.iter().filter(|inner| inner.key() == "real_server") {
        let Some(mut backend) = backend(server, found) else { continue };
        let weight = server.get("weight").map_or(default, |line| line.word(1));
        match weight.parse() {
            Ok(weight) => backend.weight = weight,
            Err(_) => found.note(server.line, format!("weight {weight}"), "weights are 0 to 65535", "it is 1 now"),
        }
        pool.backends.push(backend);
        for line in &server.inner {
            inside(line, pool, found);
        }
    }
}

fn backend(server: &Block, found: &mut Found) -> Option<Backend> {
    let port = match server.word(2) {
        "" | "0" => Some(None),
        port => port.parse().ok().map(Some),
    };
    let read = server.word(1).parse().ok().zip(port);
    let Some((address, port)) = read else {
        found.note(server.line, server.title(), "it is not an address and a port", "add a [[pool.backend]] by hand");
        return None;
    };
    Some(Backend { line: server.line, name: None, address, weight: 1, priority: 0, port })
}

/// A line in a real server that no check reads.
fn inside(line: &Block, pool: &Pool, found: &mut Found) {
    let (why, instead) = match line.key() {
        "weight" | "delay_loop" | "retry" | "delay_before_retry" | "connect_timeout" => return,
        key if check::is_check(key) => return,
        "inhibit_on_failure" => ("a backend that is down gets no new flows", "on_down = \"keep\" keeps its old ones"),
        "lvs_method" => {
            if mode(line, found) == (pool.forward, pool.gue_port) {
                return;
            }
            ("all backends of a pool are reached in one way", "set it up like the others, or give it a pool of its own")
        }
        "uthreshold" | "lthreshold" => {
            ("Guideway counts no connections of a backend", "let the backend limit its connections")
        }
        key => common(key),
    };
    found.note(line.line, line.title(), why, instead);
}

/// What both kinds of servers may have.
fn common(key: &str) -> (&'static str, &'static str) {
    match key {
        "notify_up" | "notify_down" | "quorum_up" | "quorum_down" | "smtp_alert" => {
            ("Guideway runs no scripts and sends no mail", "watch transitions in the log or in guideway status --json")
        }
        "virtualhost" => ("it concerns HTTP checks alone", "set `host` in `health`"),
        _ => ("Guideway has nothing like it", "see docs/configuration.md"),
    }
}

/// The server of last resort is a group of its own that serves when no other backend is up.
fn sorry_server(block: &Block, pool: &mut Pool, found: &mut Found) {
    let Some(line) = block.get("sorry_server") else { return };
    if let Some(backend) = backend(line, found) {
        pool.has_spares = !pool.backends.is_empty();
        pool.backends.push(Backend { priority: u8::from(pool.has_spares), ..backend });
        let why = "it is checked like the others, and serves when less than 1% of them are up";
        found.note(line.line, line.title(), why, "set `group_min` to another share if you like");
    }
}

/// One check for the pool: that of the first real server.
fn checks(block: &Block, found: &mut Found) -> Option<Health> {
    let mut first: Option<Health> = None;
    for server in block.inner.iter().filter(|inner| inner.key() == "real_server") {
        let health = check::of(server, block, found);
        match &first {
            None => first = Some(health),
            Some(first) if *first != health => {
                let why = "backends of a pool are checked in one way, and the first one's check differs";
                found.note(
                    server.line,
                    format!("checks of {}", server.title()),
                    why,
                    "give it a pool of its own if it matters",
                );
            }
            Some(_) => {}
        }
    }
    first
}

/// How long a client stays on its backend: by persistence, or since the scheduler hashes its address alone.
fn affinity(block: &Block) -> Option<Duration> {
    if let Some(line) = block.get("persistence_timeout") {
        return Some(seconds(line.word(1)).unwrap_or(PERSISTENCE));
    }
    let algorithm = block.get("lb_algo").or_else(|| block.get("lvs_sched"))?.word(1);
    let with_port = ["mh-port", "sh-port", "hash-port"].iter().any(|key| block.get(key).is_some());
    (matches!(algorithm, "sh" | "mh") && !with_port).then_some(WINDOW)
}

fn others(block: &Block, found: &mut Found) {
    for line in &block.inner {
        let (why, instead) = match line.key() {
            "real_server" | "sorry_server" | "protocol" | "lb_kind" | "lvs_method" | "persistence_timeout" => continue,
            "delay_loop" | "weight" | "ip_family" | "retry" | "delay_before_retry" | "connect_timeout" => continue,
            "mh-port" | "sh-port" | "hash-port" => continue,
            "lb_algo" | "lvs_sched" if matches!(line.word(1), "rr" | "wrr" | "sh" | "mh") => continue,
            "lb_algo" | "lvs_sched" => (
                "Guideway chooses by consistent hashing, by weights alone",
                "give backends weights that fit their strength",
            ),
            "persistence_granularity" => {
                ("affinity is by the client's whole address", "nothing, if clients keep their address")
            }
            "quorum" | "hysteresis" => {
                ("no announcement follows a count of backends", "see `panic_threshold` and `group_min`")
            }
            "alpha" | "omega" | "warmup" => ("a backend gets its first flows after `rise` good checks", "nothing"),
            "ops" => ("Guideway has no scheduling by packet", "nothing: flows are spread by hash"),
            key => common(key),
        };
        found.note(line.line, line.title(), why, instead);
    }
}
