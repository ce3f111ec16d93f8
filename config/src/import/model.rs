//! What importers find in a configuration of another balancer, before it is written as TOML.

use std::net::IpAddr;
use std::time::Duration;

/// Something of the source that the result does not say, or says in another way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Line of the source, from 1; `None` if it concerns the whole source.
    pub line: Option<usize>,
    /// What was written there.
    pub what: String,
    /// Why it was not carried over as it is.
    pub why: String,
    /// What to do instead.
    pub instead: String,
}

/// `line N: what: why; instead`, or without a line.
impl std::fmt::Display for Note {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        write!(f, "{}: {}; {}", self.what, self.why, self.instead)
    }
}

/// Pools, VIPs and notes, in the order of the source.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) pools: Vec<Pool>,
    pub(super) vips: Vec<Vip>,
    pub(super) notes: Vec<Note>,
}

impl Found {
    /// Names something that is not carried over.
    pub(super) fn note(
        &mut self,
        line: usize,
        what: impl Into<String>,
        why: impl Into<String>,
        instead: impl Into<String>,
    ) {
        let (what, why, instead) = (plain(&what.into()), plain(&why.into()), plain(&instead.into()));
        let note = Note { line: Some(line), what, why, instead };
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// A name for a pool, made of `wanted`, that no other pool has.
    pub(super) fn pool_name(&self, wanted: &str) -> String {
        unique(wanted, |name| self.pools.iter().any(|pool| pool.name == name))
    }
}

/// One line without control characters, whatever the source held, and no longer than a reader wants.
fn plain(text: &str) -> String {
    const LONGEST: usize = 160;
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// Longest name that leaves room for a number behind it (`scalar::name` allows 64 bytes).
const NAME_LENGTH: usize = 56;

/// `wanted` in the characters of a name; with a number behind it where `taken` says so.
pub(super) fn unique(wanted: &str, taken: impl Fn(&str) -> bool) -> String {
    let good = |c: char| if c.is_ascii_alphanumeric() || "-_.:".contains(c) { c } else { '-' };
    let name: String = wanted.chars().take(NAME_LENGTH).map(good).collect();
    let name = if name.is_empty() { "unnamed".to_owned() } else { name };
    if !taken(&name) {
        return name;
    }
    let numbered = (2..).map(|number: usize| format!("{name}-{number}"));
    numbered.into_iter().find(|name| !taken(name)).unwrap_or(name)
}

/// How packets reach the backends of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forward {
    /// By their MAC address.
    L2dsr,
    /// In IP.
    Ipip,
    /// In GRE.
    Gre,
    /// In GUE.
    Gue,
    /// With another destination address.
    Nat,
    /// With other addresses of both sides.
    Fullnat,
}

impl Forward {
    /// As the file writes it.
    pub fn word(self) -> &'static str {
        match self {
            Self::L2dsr => "l2dsr",
            Self::Ipip => "ipip",
            Self::Gre => "gre",
            Self::Gue => "gue",
            Self::Nat => "nat",
            Self::Fullnat => "fullnat",
        }
    }

    /// Whether a backend sees another destination than the VIP, and so may have a port of its own.
    pub(super) fn rewrites(self) -> bool {
        matches!(self, Self::Nat | Self::Fullnat)
    }
}

/// A pool of the result.
#[derive(Debug)]
pub(super) struct Pool {
    pub(super) name: String,
    /// Where the source defines it.
    pub(super) line: usize,
    pub(super) forward: Forward,
    pub(super) gue_port: Option<u16>,
    pub(super) health: Option<Health>,
    /// Serve from the first group while any of it is up.
    pub(super) has_spares: bool,
    pub(super) idle: Option<Duration>,
    /// `"v1"` or `"v2"`.
    pub(super) proxy_protocol: Option<&'static str>,
    pub(super) backends: Vec<Backend>,
}

impl Pool {
    pub(super) fn new(name: String, line: usize, forward: Forward) -> Self {
        Self {
            name,
            line,
            forward,
            gue_port: None,
            health: None,
            has_spares: false,
            idle: None,
            proxy_protocol: None,
            backends: Vec::new(),
        }
    }
}

/// A backend of the result.
#[derive(Debug)]
pub(super) struct Backend {
    pub(super) line: usize,
    pub(super) name: Option<String>,
    pub(super) address: IpAddr,
    pub(super) weight: u16,
    pub(super) priority: u8,
    /// Its port where the source names one.
    pub(super) port: Option<u16>,
}

/// How backends are checked; what is `None` is left to Guideway.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Health {
    pub(super) kind: &'static str,
    pub(super) port: Option<u16>,
    pub(super) path: Option<String>,
    pub(super) host: Option<String>,
    pub(super) expect_status: Option<u16>,
    pub(super) interval: Option<Duration>,
    pub(super) fast_interval: Option<Duration>,
    pub(super) timeout: Option<Duration>,
    pub(super) rise: Option<u8>,
    pub(super) fall: Option<u8>,
}

impl Health {
    pub(super) fn of(kind: &'static str) -> Self {
        Self { kind, ..Self::default() }
    }
}

/// The ports of a VIP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ports {
    One(u16),
    Range(u16, u16),
    Any,
}

/// A VIP of the result.
#[derive(Clone, Debug)]
pub(super) struct Vip {
    pub(super) address: IpAddr,
    /// `"tcp"` or `"udp"`.
    pub(super) protocol: &'static str,
    pub(super) ports: Ports,
    pub(super) pool: String,
    /// All flows of a client go to one backend, for this long after its last packet.
    pub(super) affinity: Option<Duration>,
}
