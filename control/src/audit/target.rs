//! Where entries go.

use super::ipfix::Exporter;
use super::syslog;
use guideway_config::model::LogTarget;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Owner writes, group reads: a log names clients.
const MODE: u32 = 0o640;
/// Where the machine's own daemon listens.
const DEV_LOG: &str = "/dev/log";
/// How long a daemon may take for a message: the end of the process must not wait for it.
const SEND_LIMIT: Duration = Duration::from_millis(200);

/// Why a log cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// The file cannot be opened.
    #[error("{path}: cannot open the log: {source}; make its folder, or set another `path` in [audit]")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// No socket.
    #[error("cannot reach {target}: {source}; set another `address` in [audit]")]
    Socket {
        /// What cannot be reached.
        target: String,
        /// What the system says.
        source: io::Error,
    },
    /// No thread.
    #[error("cannot start the thread of the logs: {0}")]
    Thread(io::Error),
}

/// An open log.
pub(super) enum Target {
    File { path: PathBuf, file: File },
    Stdout,
    Syslog { socket: Daemon, host: String },
    Ipfix { socket: UdpSocket, exporter: Exporter },
}

/// A syslog daemon.
pub(super) enum Daemon {
    Local(UnixDatagram),
    Remote(UdpSocket),
}

/// One entry, to be written as a line or as a message.
pub(super) struct Line {
    pub kind: syslog::Kind,
    pub at: SystemTime,
    pub json: String,
}

impl Target {
    pub(super) fn open(to: &LogTarget) -> Result<Self, TargetError> {
        Ok(match to {
            LogTarget::File(path) => Self::File { path: path.clone(), file: open(path)? },
            LogTarget::Stdout => Self::Stdout,
            LogTarget::Syslog(address) => {
                let socket = match address {
                    Some(address) => Daemon::Remote(connected(*address)?),
                    None => Daemon::Local(local_socket()?),
                };
                Self::Syslog { socket, host: syslog::host() }
            }
            LogTarget::Ipfix(address) => Self::Ipfix { socket: connected(*address)?, exporter: Exporter::default() },
        })
    }

    /// Opens a file again: the one of before may have been moved away.
    pub(super) fn reopen(&mut self) -> Result<(), TargetError> {
        if let Self::File { path, file } = self {
            *file = open(path)?;
        }
        Ok(())
    }

    /// Writes entries, in their order.
    pub(super) fn write(&mut self, lines: &[Line]) -> io::Result<()> {
        match self {
            Self::File { file, .. } => file.write_all(text(lines).as_bytes()),
            Self::Stdout => {
                let mut out = io::stdout().lock();
                out.write_all(text(lines).as_bytes())?;
                out.flush()
            }
            Self::Syslog { socket, host } => lines.iter().try_for_each(|line| {
                let message = syslog::message(line.at, host, line.kind, &line.json);
                socket.send(message.as_bytes())
            }),
            // Connections go there as records; a collector has no use for the rest.
            Self::Ipfix { .. } => Ok(()),
        }
    }
}

impl Daemon {
    fn send(&self, message: &[u8]) -> io::Result<()> {
        match self {
            Self::Local(socket) => socket.send_to(message, DEV_LOG).map(drop),
            Self::Remote(socket) => socket.send(message).map(drop),
        }
    }
}

/// Appended to only, so that a file that is cut at its front by somebody else (logrotate's `copytruncate`) goes on at its end.
fn open(path: &Path) -> Result<File, TargetError> {
    let opened = OpenOptions::new().append(true).create(true).mode(MODE).open(path);
    opened.map_err(|source| TargetError::File { path: path.to_owned(), source })
}

fn text(lines: &[Line]) -> String {
    let mut text = String::new();
    for line in lines {
        text.push_str(&line.json);
        text.push('\n');
    }
    text
}

fn local_socket() -> Result<UnixDatagram, TargetError> {
    let made = UnixDatagram::unbound().and_then(|socket| {
        socket.set_write_timeout(Some(SEND_LIMIT))?;
        Ok(socket)
    });
    made.map_err(|source| TargetError::Socket { target: DEV_LOG.to_owned(), source })
}

fn connected(address: SocketAddr) -> Result<UdpSocket, TargetError> {
    let any: SocketAddr = match address {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let made = UdpSocket::bind(any).and_then(|socket| {
        socket.connect(address)?;
        socket.set_write_timeout(Some(SEND_LIMIT))?;
        Ok(socket)
    });
    made.map_err(|source| TargetError::Socket { target: address.to_string(), source })
}
