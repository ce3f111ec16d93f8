//! `[audit]`: what is written down, and where.

use std::net::SocketAddr;
use std::path::PathBuf;

/// What is written down. Nothing unless configured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Audit {
    /// Beginnings of connections.
    pub connections: Option<ConnectionLog>,
    /// Changes of what the balancer does; the latest are in memory anyway.
    pub changes: Option<LogTarget>,
}

/// `connections`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionLog {
    /// Where to.
    pub to: LogTarget,
    /// One TCP flow or QUIC connection of so many, at random; at least 1.
    pub sample: u32,
    /// One datagram of so many, at random; 0: none.
    pub datagram_sample: u32,
    /// Entries a second at most, all workers together; at least 1.
    pub rate: u32,
}

/// Where entries go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogTarget {
    /// Appended to a file, a line of JSON each.
    File(PathBuf),
    /// To standard output, a line of JSON each.
    Stdout,
    /// To a syslog daemon by UDP, or to `/dev/log`, in JSON (RFC 5424).
    Syslog(Option<SocketAddr>),
    /// To an IPFIX collector by UDP (RFC 7011); connections only.
    Ipfix(SocketAddr),
}
