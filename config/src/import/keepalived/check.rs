//! Checks of real servers.

use super::blocks::Block;
use crate::import::model::{Found, Health};
use crate::import::time::seconds;

/// Kinds of checks, and what Guideway calls them. Scripts, files and BFD are nothing that Guideway does.
const KINDS: [(&str, Option<&str>); 10] = [
    ("TCP_CHECK", Some("tcp")),
    ("HTTP_GET", Some("http")),
    ("SSL_GET", Some("https")),
    ("SMTP_CHECK", Some("tcp")),
    ("DNS_CHECK", Some("dns")),
    ("UDP_CHECK", Some("udp")),
    ("PING_CHECK", Some("icmp")),
    ("MISC_CHECK", None),
    ("BFD_CHECK", None),
    ("FILE_CHECK", None),
];

pub(super) fn is_check(key: &str) -> bool {
    KINDS.iter().any(|(name, _)| *name == key)
}

/// The check of a real server: its first one that Guideway has, with what the virtual server says for all.
pub(super) fn of(server: &Block, service: &Block, found: &mut Found) -> Health {
    let mut health = None;
    let mut any = false;
    for check in &server.inner {
        let Some((_, kind)) = KINDS.iter().find(|(name, _)| *name == check.key()) else { continue };
        any = true;
        match kind {
            Some(kind) if health.is_none() => health = Some(read(kind, check, server, service, found)),
            Some(_) => {
                found.note(
                    check.line,
                    check.key(),
                    "a pool has one check, and there is one before",
                    "keep the stricter one",
                );
            }
            None => script(check, found),
        }
    }
    match (health, any) {
        (Some(health), _) => health,
        // A check of the port is nearer to a script than no check.
        (None, true) => times(Health::of("tcp"), &[server, service]),
        (None, false) => {
            found.note(server.line, server.title(), "it has no check: it counts as up", "set `health` of the pool");
            Health::of("none")
        }
    }
}

fn script(check: &Block, found: &mut Found) {
    let why = "Guideway runs no scripts and reads no such state; the port is checked instead";
    found.note(check.line, check.key(), why, "let the script's work be done by an http check of the backend");
}

fn read(kind: &'static str, check: &Block, server: &Block, service: &Block, found: &mut Found) -> Health {
    let mut health = times(Health::of(kind), &[check, server, service]);
    health.port = check.get("connect_port").and_then(|line| line.word(1).parse().ok());
    if health.port.is_none() && kind == "tcp" {
        health.port = server.word(2).parse().ok().filter(|port| *port != 0);
    }
    if matches!(kind, "http" | "https") {
        pages(&mut health, check, server, service, found);
    }
    if check.key() == "SMTP_CHECK" {
        found.note(check.line, check.key(), "Guideway speaks no SMTP; the port is checked instead", "nothing");
    }
    for line in &check.inner {
        unread(line, kind, found);
    }
    health
}

/// The first page that is asked for, and the answer that is wanted.
fn pages(health: &mut Health, check: &Block, server: &Block, service: &Block, found: &mut Found) {
    let mut urls = check.inner.iter().filter(|line| line.key() == "url");
    let url = urls.next();
    if let Some(url) = url {
        let text = |key: &str| url.get(key).map(|line| line.word(1).to_owned());
        health.path = text("path");
        health.host = text("virtualhost");
        health.expect_status = text("status_code").and_then(|status| status.parse().ok());
        if let Some(line) = url.get("status_code").filter(|_| health.expect_status.is_none()) {
            found.note(line.line, line.title(), "it is not one status", "set `expect_status` in `health`");
        }
        for line in &url.inner {
            if !matches!(line.key(), "path" | "virtualhost" | "status_code") {
                let why = "the body of the answer is not compared so";
                found.note(line.line, line.title(), why, "let the page answer with a status, and set `expect_status`");
            }
        }
    }
    let outer = || [check, server, service].into_iter().find_map(|block| block.get("virtualhost"));
    health.host = health.host.take().or_else(|| outer().map(|line| line.word(1).to_owned()));
    for url in urls {
        found.note(url.line, "a second url", "a check asks for one page", "let one page stand for all");
    }
}

/// Times of checks, each from the innermost block that has it.
fn times(health: Health, blocks: &[&Block]) -> Health {
    let line = |key: &str| blocks.iter().find_map(|block| block.get(key));
    let time = |key: &str| line(key).and_then(|line| seconds(line.word(1)));
    let retries = line("retry").or_else(|| line("nb_get_retry"));
    let retries: Option<u8> = retries.and_then(|line| line.word(1).parse().ok());
    Health {
        interval: time("delay_loop"),
        fast_interval: time("delay_before_retry"),
        timeout: time("connect_timeout").or_else(|| time("misc_timeout")),
        // The first failure is not a retry.
        fall: retries.map(|retries| retries.saturating_add(1)),
        ..health
    }
}

fn unread(line: &Block, kind: &str, found: &mut Found) {
    let (why, instead) = match line.key() {
        "connect_port" | "connect_timeout" | "retry" | "nb_get_retry" | "delay_before_retry" | "delay_loop" => return,
        "url" | "virtualhost" if kind.starts_with("http") => return,
        "connect_ip" | "bindto" | "bind_if" | "bind_port" | "fwmark" => {
            ("checks take the path of the traffic", "see `probe_source`")
        }
        "warmup" => ("checks of backends are spread in time anyway", "nothing"),
        _ => ("Guideway's check has nothing like it", "see `health` in docs/configuration.md"),
    };
    found.note(line.line, line.title(), why, instead);
}
