//! `server` lines.

use super::lines::{Line, Section};
use crate::import::model::{Backend, Found, Pool};
use crate::import::time::with_unit;
use std::time::Duration;

/// What `server` and `default-server` say of one server.
#[derive(Clone, Debug, Default)]
pub(super) struct Parameters {
    pub(super) check: bool,
    pub(super) port: Option<u16>,
    pub(super) inter: Option<Duration>,
    pub(super) fastinter: Option<Duration>,
    pub(super) rise: Option<u8>,
    pub(super) fall: Option<u8>,
    weight: Option<u16>,
    backup: bool,
    disabled: bool,
    proxy: Option<&'static str>,
}

/// Adds the servers of a section to its pool; how the first one is checked.
pub(super) fn read(section: &Section, pool: &mut Pool, found: &mut Found) -> Option<Parameters> {
    let mut defaults = Parameters::default();
    let mut first = None;
    for line in section.defaults.iter().chain(&section.lines) {
        match line.word(0) {
            "default-server" => defaults.read(line, 1, found),
            "server" => {
                let mut parameters = defaults.clone();
                parameters.read(line, 3, found);
                if backend(line, &parameters, pool, found) {
                    first.get_or_insert(parameters);
                }
            }
            "server-template" => {
                let why = "its servers come from DNS, and Guideway takes addresses";
                found.note(
                    line.number,
                    format!("server-template {}", line.word(1)),
                    why,
                    "add a [[pool.backend]] for each",
                );
            }
            _ => {}
        }
    }
    first
}

/// Whether the line is a server that can be carried over.
fn backend(line: &Line, parameters: &Parameters, pool: &mut Pool, found: &mut Found) -> bool {
    let (name, place) = (line.word(1), line.word(2));
    let Some((address, port)) = address(place) else {
        let why = "it is not an address: Guideway asks no name server";
        found.note(line.number, format!("server {name} {place}"), why, "add a [[pool.backend]] with its address");
        return false;
    };
    if parameters.disabled {
        let why = "its server is in maintenance";
        found.note(line.number, format!("server {name} disabled"), why, "it has weight 0: set one when it is back");
    }
    let weight = if parameters.disabled { 0 } else { parameters.weight.unwrap_or(1) };
    let priority = u8::from(parameters.backup);
    pool.has_spares |= parameters.backup;
    pool.proxy_protocol = pool.proxy_protocol.or(parameters.proxy);
    pool.backends.push(Backend { line: line.number, name: Some(name.to_owned()), address, weight, priority, port });
    true
}

/// `ADDRESS:PORT`, or an address alone.
fn address(place: &str) -> Option<(std::net::IpAddr, Option<u16>)> {
    let place = ["ipv4@", "ipv6@"].iter().find_map(|family| place.strip_prefix(family)).unwrap_or(place);
    if let Ok(address) = place.trim_matches(['[', ']']).parse() {
        return Some((address, None));
    }
    let (address, port) = place.rsplit_once(':')?;
    Some((address.trim_matches(['[', ']']).parse().ok()?, Some(port.parse().ok()?)))
}

impl Parameters {
    fn read(&mut self, line: &Line, from: usize, found: &mut Found) {
        let mut words = line.rest(from).peekable();
        while let Some(word) = words.next() {
            match word {
                "check" => self.check = true,
                "no-check" => self.check = false,
                "backup" => self.backup = true,
                "no-backup" => self.backup = false,
                "disabled" => self.disabled = true,
                "enabled" => self.disabled = false,
                "send-proxy" => self.proxy = Some("v1"),
                "send-proxy-v2" | "send-proxy-v2-ssl" | "send-proxy-v2-ssl-cn" => self.proxy = Some("v2"),
                "port" => self.port = words.next().and_then(|word| word.parse().ok()),
                "weight" => self.weight = words.next().and_then(|word| word.parse().ok()),
                "inter" => self.inter = words.next().and_then(with_unit),
                "fastinter" => self.fastinter = words.next().and_then(with_unit),
                "rise" => self.rise = words.next().and_then(|word| word.parse().ok()),
                "fall" => self.fall = words.next().and_then(|word| word.parse().ok()),
                // Not of its own use here: how often a server that is down is asked.
                "downinter" | "cookie" | "id" | "on-error" | "error-limit" | "observe" | "slowstart" | "maxconn"
                | "minconn" | "maxqueue" | "on-marked-down" | "on-marked-up" | "source" | "addr" | "check-sni"
                | "sni" | "ca-file" | "crt" | "verify" | "resolvers" | "init-addr" | "resolve-prefer" | "track"
                | "agent-port" | "agent-inter" | "agent-addr" | "proto" | "alpn" | "check-alpn" | "check-proto"
                | "tcp-ut" | "pool-max-conn" | "interface" | "namespace" => {
                    words.next();
                    unread(word, line, found);
                }
                _ => unread(word, line, found),
            }
        }
    }
}

fn unread(word: &str, line: &Line, found: &mut Found) {
    let (why, instead) = match word {
        "maxconn" | "minconn" | "maxqueue" => {
            ("Guideway counts no connections of a backend", "let the backend limit its connections")
        }
        "ssl" | "check-ssl" | "verify" | "ca-file" | "crt" | "sni" | "check-sni" => {
            ("Guideway opens no TLS to backends", "let clients and backends speak TLS with each other")
        }
        "slowstart" => ("a backend that returns gets its share at once", "nothing, if it can bear that"),
        "on-marked-down" => ("connections of a backend that is down move", "see `on_down`"),
        "addr" => ("a check goes to the backend itself", "see `health`"),
        "downinter" => ("a backend that is down is checked every `interval`", "nothing"),
        _ => ("Guideway has nothing like it", "see docs/configuration.md"),
    };
    found.note(line.number, format!("server … {word}"), why, instead);
}
