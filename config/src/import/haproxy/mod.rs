//! The TCP sections of haproxy.cfg, as the configuration manual of HAProxy describes them: `listen`, `frontend` with its
//! `backend`, and the `defaults` before them.

mod bind;
mod lines;
mod proxy;
mod server;

use super::Options;
use super::model::{Found, Vip};
use lines::{Kind, Section};
use std::time::Duration;

pub(super) fn read(text: &str, options: &Options, found: &mut Found) {
    let sections = lines::read(text, found);
    for section in &sections {
        match section.kind {
            Kind::Listen | Kind::Backend if section.mode() == "tcp" => proxy::pool(section, found),
            Kind::Listen | Kind::Backend | Kind::Frontend if section.mode() != "tcp" => {
                let what = format!("{} in mode {}", section.title(), section.mode());
                found.note(
                    section.line,
                    what,
                    "Guideway reads nothing above TCP",
                    "leave it to HAProxy, as a backend of Guideway",
                );
            }
            Kind::Other => {
                found.note(
                    section.line,
                    section.title(),
                    "it concerns HAProxy itself",
                    "nothing, or leave it to HAProxy",
                );
            }
            Kind::Defaults => proxy::unread(section, found),
            Kind::Frontend | Kind::Listen | Kind::Backend => {}
        }
    }
    // VIPs last: a frontend may stand before its backend.
    for section in sections.iter().filter(|section| section.mode() == "tcp") {
        let pool = match section.kind {
            Kind::Listen => section.name.as_str(),
            Kind::Frontend => proxy::default_backend(section),
            Kind::Backend | Kind::Defaults | Kind::Other => continue,
        };
        if section.kind == Kind::Frontend {
            proxy::unread(section, found);
        }
        vips(section, pool, &sections, options, found);
    }
}

fn vips(section: &Section, pool: &str, sections: &[Section], options: &Options, found: &mut Found) {
    let served = sections.iter().find(|other| {
        matches!(other.kind, Kind::Backend | Kind::Listen) && other.name == pool && other.mode() == "tcp"
    });
    let Some(pool) = served.and_then(|served| found.pools.iter().position(|pool| pool.line == served.line)) else {
        let why = "it names no default_backend in mode tcp, and Guideway chooses by address and port alone";
        return found.note(
            section.line,
            section.title(),
            why,
            "add a [[vip]] for each pool, with an address or port of its own",
        );
    };
    let affinity = served.and_then(proxy::affinity);
    if let Some(idle) = section.time("timeout client") {
        let of_pool = &mut found.pools[pool].idle;
        *of_pool = (*of_pool).max(Some(idle));
    }
    let name = found.pools[pool].name.clone();
    for (address, ports) in bind::read(section, options, found) {
        found.vips.push(Vip { address, protocol: "tcp", ports, pool: name.clone(), affinity });
    }
}

/// The window of a client whose address alone decides: the default of `affinity_window`.
const WINDOW: Duration = Duration::from_secs(900);
