//! `bind` lines: what a frontend listens on.

use super::lines::{Line, Section};
use crate::import::Options;
use crate::import::model::{Found, Ports};
use std::net::IpAddr;

pub(super) fn read(section: &Section, options: &Options, found: &mut Found) -> Vec<(IpAddr, Ports)> {
    let mut listens = Vec::new();
    for line in section.all("bind") {
        for place in line.word(1).split(',') {
            listens.extend(one(place, line, options, found));
        }
        parameters(line, found);
    }
    if section.all("bind").next().is_none() {
        found.note(section.line, section.title(), "it has no bind line", "add a [[vip]] for its pool");
    }
    listens
}

/// The addresses of a place that has a family of its own, or any.
fn one(place: &str, line: &Line, options: &Options, found: &mut Found) -> Vec<(IpAddr, Ports)> {
    let Some((address, ports)) = split(place) else {
        let why = "it is not an address and a port";
        found.note(line.number, format!("bind {place}"), why, "add a [[vip]] for its pool if clients reach it by TCP");
        return Vec::new();
    };
    let of_family = |wanted: &&IpAddr| address.is_none_or(|any| any.is_ipv6() || wanted.is_ipv4());
    let addresses: Vec<IpAddr> = match address {
        Some(address) if !address.is_unspecified() => vec![address],
        _ => options.addresses.iter().filter(of_family).copied().collect(),
    };
    if addresses.is_empty() {
        let why = "it is any address, and a VIP has one of its own";
        found.note(line.number, format!("bind {place}"), why, "import with --vip ADDRESS, or add a [[vip]]");
    }
    addresses.into_iter().map(|address| (address, ports)).collect()
}

/// `[ADDRESS]:PORT[-PORT]`, with a family in front; no address is any.
fn split(place: &str) -> Option<(Option<IpAddr>, Ports)> {
    let place = ["ipv4@", "ipv6@"].iter().find_map(|family| place.strip_prefix(family)).unwrap_or(place);
    let (address, port) = place.rsplit_once(':')?;
    let ports = match port.split_once('-') {
        Some((first, last)) => Ports::Range(first.parse().ok()?, last.parse().ok()?),
        None => Ports::One(port.parse().ok()?),
    };
    let address = match address.trim_matches(['[', ']']) {
        "" | "*" => None,
        address => Some(address.parse().ok()?),
    };
    Some((address, ports))
}

fn parameters(line: &Line, found: &mut Found) {
    for word in line.rest(2) {
        let (why, instead) = match word {
            "ssl" | "crt" => ("Guideway opens no TLS", "let the backends end TLS"),
            "accept-proxy" => ("Guideway reads no payload", "let the backends see clients themselves"),
            "interface" | "transparent" | "defer-accept" | "tfo" | "mss" | "maxconn" | "backlog" | "name" => {
                ("it concerns the kernel's sockets", "nothing")
            }
            _ => continue,
        };
        found.note(line.number, format!("bind … {word}"), why, instead);
    }
}
