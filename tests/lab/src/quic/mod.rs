//! Real QUIC (crate quinn) between the client and the backends: servers whose connection IDs name them
//! (draft-ietf-quic-load-balancers), and clients that change their address in the middle of a connection.
//!
//! Both ends are the program `quic_peer`; here are its two halves and the handles by which a test runs them.

mod certificate;
mod client;
mod ids;
mod message;
mod server;

pub use certificate::Certificate;
pub use client::{ClientOptions, migrate};
pub use ids::LbIds;
pub use server::{ServerOptions, serve};

use crate::backend::Backend;
use crate::helpers::helper;
use crate::namespace::Namespace;
use crate::process::{Process, wait_for};
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// The program's name.
const PROGRAM: &str = "quic_peer";
/// The line that a server prints once all of its sockets are open.
const READY: &str = "ready";
/// What a server's line about a client with another address begins with.
const MOVED: &str = "moved ";
/// How long a server may take to start.
const READY_LIMIT: Duration = Duration::from_secs(20);

/// A QUIC server on a backend; dropped means killed.
#[derive(Debug)]
pub struct QuicServer {
    process: Process,
}

impl QuicServer {
    /// Starts a server on addresses that the backend's loopback has, such as VIPs, and waits until it listens. Its
    /// connection IDs are made by `ids` in turn; without any they are opaque.
    pub fn start(backend: &Backend, listen: &[SocketAddr], certificate: &Certificate, ids: &[LbIds]) -> Result<Self> {
        let mut arguments = vec!["server".to_owned(), format!("--name={}", backend.name())];
        arguments.push(format!("--certificate={}", certificate.folder().display()));
        arguments.extend(listen.iter().map(|address| format!("--listen={address}")));
        arguments.extend(ids.iter().map(|ids| format!("--ids={ids}")));
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let log = backend.folder().join("quic.log");
        let mut process = backend.namespace().spawn(helper(PROGRAM)?, &arguments, &log)?;
        wait_for(&format!("the QUIC server on {} to listen", backend.name()), READY_LIMIT, || {
            if let Some(status) = process.try_wait()? {
                bail!("the QUIC server on {} ended: {status}\n{}", backend.name(), process.log_tail(10));
            }
            Ok(process.log_tail(usize::MAX).lines().any(|line| line == READY).then_some(()))
        })?;
        Ok(Self { process })
    }

    /// How often a client of an open connection had another address than before.
    pub fn moves(&self) -> usize {
        self.log().lines().filter(|line| line.starts_with(MOVED)).count()
    }

    /// A line for each connection, and one for each change of a client's address.
    pub fn log(&self) -> String {
        self.process.log_tail(usize::MAX)
    }
}

/// What clients shall do, all at the same time.
#[derive(Clone, Debug)]
pub struct QuicClients {
    /// Where to.
    pub target: SocketAddr,
    /// Their addresses: each connection begins with another one, and takes the next one when it moves.
    pub sources: Vec<IpAddr>,
    /// Connections.
    pub connections: usize,
    /// How often each one changes its address and port.
    pub migrations: usize,
    /// Bytes that each one downloads, during which it moves; with 0, it moves between small requests.
    pub download: usize,
    /// How long to wait for an answer before a connection counts as lost.
    pub patience: Duration,
}

impl QuicClients {
    /// Runs them in a namespace that has the addresses, to their end.
    pub fn run(&self, namespace: &Namespace, certificate: &Certificate) -> Result<QuicReport> {
        let mut arguments = vec![
            "client".to_owned(),
            format!("--target={}", self.target),
            format!("--certificate={}", certificate.folder().display()),
            format!("--connections={}", self.connections),
            format!("--migrations={}", self.migrations),
            format!("--download={}", self.download),
            format!("--patience={}", self.patience.as_millis()),
        ];
        arguments.extend(self.sources.iter().map(|source| format!("--source={source}")));
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let program = helper(PROGRAM)?;
        let text = namespace.exec(&program.to_string_lossy(), &arguments)?;
        serde_json::from_str(&text).with_context(|| format!("the QUIC clients' report is no JSON: {text}"))
    }
}

/// What became of the connections.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct QuicReport {
    /// By server: connections that were answered to the end, and always by this server.
    pub kept: BTreeMap<String, usize>,
    /// By server: connections that this server answered, and then nobody did, or somebody else.
    pub lost: BTreeMap<String, usize>,
    /// Changes of address after which the same server answered, of all connections.
    pub migrations: usize,
    /// What happened to the lost connections, and to those that never had an answer.
    pub failures: Vec<String>,
}

impl QuicReport {
    /// Connections that were answered to the end.
    pub fn total_kept(&self) -> usize {
        self.kept.values().sum()
    }

    /// Connections that were answered at first, and not to the end.
    pub fn total_lost(&self) -> usize {
        self.lost.values().sum()
    }
}
