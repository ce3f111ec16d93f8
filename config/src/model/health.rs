//! How the backends of a pool are checked.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Checks that a pool may have.
pub const MOST_CHECKS: usize = 8;

/// One check. A backend is up if it passes all checks of its pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What is asked, and which answer is good.
    pub kind: CheckKind,
    /// Which way probes take.
    pub via: Via,
    /// Destination port of probes; `None` for kinds without ports.
    pub port: Option<u16>,
    /// Whether nobody said so, and it is the VIP's: a backend with a port of its own is asked there.
    pub port_of_vip: bool,
    /// When probes are sent, and how many results make a verdict.
    pub times: CheckTimes,
    /// For how long a backend whose probes time out keeps the flows that it has. Zero: it is dead at once.
    pub dead_after: Duration,
    /// Source of probes; default: the own address on the way to the backend, of the destination's family.
    pub probe_source: Option<IpAddr>,
}

impl Check {
    /// Whether the other check asks the same, whatever its times are: then what is known of a backend stays true.
    #[must_use]
    pub fn asks_like(&self, other: &Self) -> bool {
        let of = |check: &'_ Self| (check.via, check.port, check.port_of_vip, check.probe_source);
        self.kind == other.kind && of(self) == of(other)
    }
}

/// The times of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckTimes {
    /// From send to send while the result is steady.
    pub interval: Duration,
    /// From send to send after a first failure.
    pub fast_interval: Duration,
    /// A probe without an answer for this long has failed.
    pub timeout: Duration,
    /// Successes in a row that bring a backend up.
    pub rise: u32,
    /// Failures in a row that take it down.
    pub fall: u32,
}

/// Which way probes take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// That of traffic: addressed to the VIP, through the rewrite to the backend.
    Dataplane,
    /// Ordinary sockets of the kernel, to the backend's own address.
    Kernel,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckKind {
    /// A TCP handshake.
    Tcp,
    /// A request in HTTP/1.1.
    Http(Http),
    /// The same inside TLS.
    Https(Http, Tls),
    /// A TLS handshake.
    Tls(Tls),
    /// A datagram.
    Udp(Udp),
    /// A question over UDP.
    Dns(Dns),
    /// An echo request.
    Icmp,
    /// `grpc.health.v1.Health/Check`, over HTTP/2.
    Grpc(Grpc),
}

impl CheckKind {
    /// The word for it in a file.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Http(_) => "http",
            Self::Https(..) => "https",
            Self::Tls(_) => "tls",
            Self::Udp(_) => "udp",
            Self::Dns(_) => "dns",
            Self::Icmp => "icmp",
            Self::Grpc(_) => "grpc",
        }
    }
}

/// A request and the response that is good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http {
    /// `GET`, `HEAD` or `OPTIONS`.
    pub method: &'static str,
    /// Path and query.
    pub path: String,
    /// The `Host` header; default: the destination of the probe.
    pub host: Option<String>,
    /// Ranges of good status codes, both ends included.
    pub expect_status: Vec<(u16, u16)>,
    /// What the first 64 KiB of the body hold somewhere.
    pub expect_body: Option<String>,
}

/// A TLS handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The name that is asked for, and that the certificate must have if it is verified; `None`: none.
    pub sni: Option<String>,
    /// Whether the certificate must be valid.
    pub verify: bool,
    /// Certificates of those who may sign it, in PEM; default: those that the system trusts.
    pub ca_file: Option<PathBuf>,
}

/// A datagram and the answer that is good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Udp {
    /// What is sent.
    pub send: Vec<u8>,
    /// What the answer holds somewhere; `None`: any answer is good.
    pub expect: Option<Vec<u8>>,
}

/// A question and the answer that is good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dns {
    /// The name asked for.
    pub name: String,
    /// The type asked for (RFC 1035, section 3.2.2), as number.
    pub record_type: u16,
    /// The response code that is good (RFC 1035, section 4.1.1).
    pub expect_rcode: u8,
}

/// A question to `grpc.health.v1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grpc {
    /// The service; empty: the server as a whole.
    pub service: String,
    /// The `:authority`; default: the destination of the probe.
    pub host: Option<String>,
    /// Inside TLS; `None`: in plain text.
    pub tls: Option<Tls>,
}

/// `agent = { … }`: a program on the backend that says how much traffic it wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agent {
    /// Where it listens.
    pub port: u16,
    /// From question to question.
    pub interval: Duration,
    /// How long a question may take.
    pub timeout: Duration,
    /// Which way questions take.
    pub via: Via,
}
