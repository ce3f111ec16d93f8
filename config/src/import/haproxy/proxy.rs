//! What `backend` and `listen` say of a pool beside its servers.

use super::lines::{Kind, Line, Section};
use super::{WINDOW, server};
use crate::import::model::{Forward, Found, Health, Pool};
use crate::import::time::with_unit;
use std::time::Duration;

/// Adds the pool of a section.
pub(super) fn pool(section: &Section, found: &mut Found) {
    let mut pool = Pool::new(found.pool_name(&section.name), section.line, Forward::Fullnat);
    let first = server::read(section, &mut pool, found);
    pool.health = first.map(|first| health(section, &first, found));
    unread(section, found);
    found.pools.push(pool);
}

/// The backend that a frontend names for what no rule takes.
pub(super) fn default_backend(section: &Section) -> &str {
    section.last("default_backend").map_or("", |line| line.word(1))
}

fn health(section: &Section, first: &server::Parameters, found: &mut Found) -> Health {
    if !first.check {
        found.note(section.line, section.title(), "its servers are not checked", "set `health` of the pool");
        return Health::of("none");
    }
    let kind = if section.last("option httpchk").is_some() { "http" } else { "tcp" };
    let mut health = Health {
        port: first.port,
        interval: first.inter,
        fast_interval: first.fastinter,
        timeout: section.time("timeout check"),
        rise: first.rise,
        fall: first.fall,
        ..Health::of(kind)
    };
    if kind == "http" {
        page(&mut health, section);
    }
    health
}

/// `option httpchk [METHOD] URI [VERSION]`, or `http-check send uri URI hdr Host NAME`, and `http-check expect status N`.
fn page(health: &mut Health, section: &Section) {
    health.path = section.last("option httpchk").and_then(|line| {
        let uri = if line.words.len() == 3 { line.word(2) } else { line.word(3) };
        (!uri.is_empty()).then(|| uri.to_owned())
    });
    if let Some(send) = section.last("http-check send") {
        let after = |key: &str| send.words.iter().position(|word| word == key).map(|at| at + 1);
        if let Some(at) = after("uri") {
            health.path = Some(send.word(at).to_owned());
        }
        let host = after("hdr").filter(|at| send.word(*at).eq_ignore_ascii_case("host"));
        health.host = host.map(|at| send.word(at + 1).to_owned());
    }
    health.expect_status = section.last("http-check expect status").and_then(|line| line.word(3).parse().ok());
}

/// How long a client stays on its server: by a stick table of addresses, or since its address is hashed.
pub(super) fn affinity(pool: &Section) -> Option<Duration> {
    let sticks = |line: &Line| (line.is("stick on") || line.is("stick match")) && line.word(2) == "src";
    if pool.lines.iter().any(sticks) {
        let table = pool.last("stick-table");
        let expire = table.and_then(|line| {
            let at = line.words.iter().position(|word| word == "expire")?;
            with_unit(line.word(at + 1))
        });
        return Some(expire.unwrap_or(WINDOW));
    }
    pool.last("balance").is_some_and(|line| line.word(1) == "source").then_some(WINDOW)
}

/// Names what nothing reads, once for each key of a section.
pub(super) fn unread(section: &Section, found: &mut Found) {
    let mut named: Vec<String> = Vec::new();
    for line in &section.lines {
        let key = match line.word(0) {
            "option" | "timeout" | "no" | "stick" | "tcp-request" | "http-check" => {
                format!("{} {}", line.word(0), line.word(1))
            }
            key => key.to_owned(),
        };
        if let (Some((why, instead)), false) = (reason(line, section.kind), named.contains(&key)) {
            found.note(line.number, key.clone(), why, instead);
            named.push(key);
        }
    }
}

fn reason(line: &Line, kind: Kind) -> Option<(&'static str, &'static str)> {
    let may_have_servers = kind != Kind::Frontend;
    Some(match (line.word(0), line.word(1)) {
        ("mode" | "bind" | "default_backend", _) => return None,
        ("server" | "default-server" | "server-template", _) if may_have_servers => return None,
        ("option", "httpchk") | ("timeout", "client" | "check") => return None,
        ("option", "tcp-check") | ("stick-table", _) | ("stick", "on" | "match") => return None,
        ("balance", "source" | "roundrobin" | "static-rr") => return None,
        ("http-check", "send") => return None,
        ("http-check", "expect") if line.word(2) == "status" && line.word(3).parse::<u16>().is_ok() => return None,
        ("balance", _) => (
            "Guideway chooses by consistent hashing, by weights alone",
            "give backends weights that fit their strength",
        ),
        ("use_backend" | "acl" | "use-server", _) => (
            "Guideway chooses by address and port alone",
            "give each pool a VIP of its own, or leave the choice to a layer-7 proxy behind it",
        ),
        ("tcp-check", "connect") => ("a check connects once", "set `port` in `health` if it is another one"),
        ("tcp-check" | "http-check", _) => ("the check has no such step", "see `health` in docs/configuration.md"),
        ("timeout", "server" | "connect" | "queue" | "tunnel" | "client-fin" | "server-fin") => {
            ("Guideway has no connections of its own", "nothing; see `idle_timeout`")
        }
        ("tcp-request" | "tcp-response", _) => {
            ("Guideway has no rules on connections", "filter before it, or behind it")
        }
        ("log" | "log-format" | "log-tag", _) | ("option", "tcplog" | "httplog" | "dontlognull" | "logasap") => {
            ("Guideway logs no connections", "nothing")
        }
        ("maxconn" | "fullconn" | "rate-limit", _) => {
            ("Guideway counts no connections", "let the backends limit theirs")
        }
        ("source", _) => ("the client's address is kept", "nothing"),
        ("option", _) => ("Guideway has no such option", "see docs/configuration.md"),
        _ => ("Guideway has nothing like it", "see docs/configuration.md"),
    })
}
