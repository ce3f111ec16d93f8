//! Configurations of other balancers, as a configuration of Guideway.
//!
//! Each source has a reader of its own that never fails: what it cannot carry over becomes a [`Note`]. `settle` then looks
//! at pools and VIPs together, and `write` makes TOML of them. Last, the result is checked as `guideway check` would, so
//! that nobody learns later what this version refuses.

mod haproxy;
mod ipvsadm;
mod keepalived;
mod model;
mod settle;
mod time;
mod write;

pub use model::{Forward, Note};

use crate::Diagnostic;
use model::Found;
use std::net::IpAddr;

/// Where a configuration comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// What `ipvsadm-save -n` prints.
    Ipvsadm,
    /// keepalived.conf.
    Keepalived,
    /// The TCP sections of haproxy.cfg.
    Haproxy,
}

impl Source {
    /// The name that the command line and the result use.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ipvsadm => "ipvsadm",
            Self::Keepalived => "keepalived",
            Self::Haproxy => "haproxy",
        }
    }

    /// The source that `text` looks like; `None` if it looks like none.
    pub fn guess(text: &str) -> Option<Self> {
        text.lines().find_map(|line| {
            let mut words = line.split_whitespace().skip_while(|word| word.ends_with("ipvsadm"));
            match words.next()? {
                "-A" | "-a" | "--add-service" | "--add-server" => Some(Self::Ipvsadm),
                "virtual_server" | "virtual_server_group" | "vrrp_instance" | "vrrp_sync_group" | "global_defs" => {
                    Some(Self::Keepalived)
                }
                "global" | "defaults" | "frontend" | "backend" | "listen" => Some(Self::Haproxy),
                _ => None,
            }
        })
    }
}

/// What the source leaves open.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The mode of pools whose source rewrites addresses; without it `nat` or `fullnat`, which this version refuses.
    pub forward: Option<Forward>,
    /// The addresses of a service that listens on any address.
    pub addresses: Vec<IpAddr>,
    /// A configuration whose sections, pools and VIPs aside, the result begins with.
    pub base: Option<String>,
}

/// A configuration that was imported.
#[derive(Clone, Debug)]
pub struct Imported {
    /// The configuration, with the notes as comments.
    pub toml: String,
    /// What was not carried over as it is, by line.
    pub notes: Vec<Note>,
    /// What `guideway check` refuses of [`Imported::toml`]. Without a base only pools and VIPs are looked at.
    pub refused: Vec<Diagnostic>,
    /// How many pools there are.
    pub pools: usize,
    /// How many VIPs there are.
    pub vips: usize,
    /// How many backends there are.
    pub backends: usize,
}

/// Why nothing was imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The source holds no service that could be carried over; what it holds instead.
    Nothing(Vec<Note>),
    /// The base is no TOML; where and why.
    Base(String),
}

/// Reads `text` as a configuration of `source`.
///
/// # Errors
///
/// See [`Failure`].
pub fn import(text: &str, source: Source, options: &Options) -> Result<Imported, Failure> {
    let mut found = Found::default();
    match source {
        Source::Ipvsadm => ipvsadm::read(text, &mut found),
        Source::Keepalived => keepalived::read(text, &mut found),
        Source::Haproxy => haproxy::read(text, options, &mut found),
    }
    settle::settle(&mut found, options);
    if found.pools.is_empty() {
        return Err(Failure::Nothing(found.notes));
    }
    let toml = write::write(&found, source, options.base.as_deref()).map_err(Failure::Base)?;
    let refused = match options.base {
        Some(_) => crate::parse(&toml, None).err().unwrap_or_default(),
        None => crate::refused_values(&toml),
    };
    let backends = found.pools.iter().map(|pool| pool.backends.len()).sum();
    Ok(Imported { refused, pools: found.pools.len(), vips: found.vips.len(), backends, notes: found.notes, toml })
}
