//! keepalived.conf, as keepalived.conf(5) describes it: virtual servers, their groups, real servers, checks.

mod blocks;
mod check;
mod server;

use super::model::{Found, Ports};
use blocks::Block;
use std::collections::HashMap;
use std::net::IpAddr;

/// Addresses of a group: `virtual_server_group NAME { … }`.
type Groups<'a> = HashMap<&'a str, &'a Block>;

pub(super) fn read(text: &str, found: &mut Found) {
    let blocks = blocks::read(text, found);
    let mut groups = Groups::new();
    for block in blocks.iter().filter(|block| block.key() == "virtual_server_group") {
        groups.insert(block.word(1), block);
    }
    for block in &blocks {
        match block.key() {
            "virtual_server" => server::read(block, &groups, found),
            "virtual_server_group" => {}
            key => other(key, block, found),
        }
    }
}

fn other(key: &str, block: &Block, found: &mut Found) {
    let what = block.title();
    let (why, instead) = match key {
        "vrrp_instance" | "vrrp_sync_group" | "vrrp_script" | "vrrp_track_process" | "vrrp_track_file" => {
            let instead = "let keepalived keep vrrp without the virtual servers, or announce the VIPs by anycast";
            ("Guideway has no VRRP", instead)
        }
        "include" | "includer" | "includem" | "includew" | "includeb" | "includea" => {
            ("files that others include are not read", "import that file too, or put its text here")
        }
        "global_defs" => ("it concerns keepalived itself", "nothing"),
        _ if key.starts_with('$') || key.starts_with('@') => {
            ("definitions and conditions are not expanded", "write the values out and import again")
        }
        _ => ("Guideway has nothing like it", "leave it to keepalived"),
    };
    found.note(block.line, what, why, instead);
}

/// The addresses and ports that a service listens on.
fn listens(block: &Block, groups: &Groups<'_>, found: &mut Found) -> Vec<(IpAddr, Ports)> {
    match block.word(1) {
        "fwmark" => {
            mark(block, found);
            Vec::new()
        }
        "group" => match groups.get(block.word(2)) {
            Some(group) => group.inner.iter().flat_map(|line| member(line, found)).collect(),
            None => {
                found.note(
                    block.line,
                    block.title(),
                    "there is no such virtual_server_group",
                    "define it, or add a [[vip]]",
                );
                Vec::new()
            }
        },
        _ => match address_and_port(block.word(1), block.word(2)) {
            Some(listen) => vec![listen],
            None => {
                found.note(block.line, block.title(), "it is not an address and a port", "add a [[vip]] for the pool");
                Vec::new()
            }
        },
    }
}

fn mark(block: &Block, found: &mut Found) {
    let instead = "write a [[vip]] with the pool's name for each address and port that gets the mark";
    found.note(
        block.line,
        block.title(),
        "a firewall mark names no address; the pool is there, without a VIP",
        instead,
    );
}

/// A line of a group: `ADDRESS PORT`, `FIRST-LAST PORT` (LAST is the last part of an address), or `fwmark N`.
fn member(line: &Block, found: &mut Found) -> Vec<(IpAddr, Ports)> {
    if line.key() == "fwmark" {
        mark(line, found);
        return Vec::new();
    }
    let listens: Vec<_> = addresses(line.key())
        .into_iter()
        .filter_map(|address| address_and_port(&address.to_string(), line.word(1)))
        .collect();
    if listens.is_empty() {
        found.note(line.line, line.title(), "it is not an address and a port", "add a [[vip]] for the pool");
    }
    listens
}

/// One address, or those from it to another end.
fn addresses(text: &str) -> Vec<IpAddr> {
    let Some((first, last)) = text.split_once('-') else { return text.parse().into_iter().collect() };
    match first.parse() {
        Ok(IpAddr::V4(first)) => {
            let [a, b, c, low] = first.octets();
            let high = last.parse::<u8>().unwrap_or(0);
            (low..=high).map(|part| IpAddr::from([a, b, c, part])).collect()
        }
        Ok(IpAddr::V6(first)) => {
            let [a, b, c, d, e, f, g, low] = first.segments();
            let high = u16::from_str_radix(last, 16).unwrap_or(0);
            // No more than a group of IPv4 can have.
            let parts = (low..=high).take(usize::from(u8::MAX) + 1);
            parts.map(|part| IpAddr::from([a, b, c, d, e, f, g, part])).collect()
        }
        Err(_) => Vec::new(),
    }
}

/// No port, and 0, are all ports.
fn address_and_port(address: &str, port: &str) -> Option<(IpAddr, Ports)> {
    let ports = match port {
        "" | "0" => Ports::Any,
        port => Ports::One(port.parse().ok()?),
    };
    Some((address.parse().ok()?, ports))
}
