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
    /// This machine's, by the name of its socket for each message: it may be started again.
    Local {
        socket: UnixDatagram,
        path: PathBuf,
    },
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
                    None => Daemon::local(DEV_LOG.into())?,
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
    fn local(path: PathBuf) -> Result<Self, TargetError> {
        let made = UnixDatagram::unbound().and_then(|socket| {
            socket.set_write_timeout(Some(SEND_LIMIT))?;
            Ok(socket)
        });
        let socket = made.map_err(|source| TargetError::Socket { target: path.display().to_string(), source })?;
        Ok(Self::Local { socket, path })
    }

    fn send(&self, message: &[u8]) -> io::Result<()> {
        match self {
            Self::Local { socket, path } => socket.send_to(message, path).map(drop),
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::UNIX_EPOCH;

    fn line(json: &str) -> Line {
        Line { kind: syslog::Kind::Change, at: UNIX_EPOCH, json: json.to_owned() }
    }

    fn received(daemon: &UnixDatagram) -> String {
        let mut buffer = [0; 2_000];
        daemon.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let len = daemon.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..len].to_vec()).unwrap()
    }

    #[test]
    fn the_daemon_of_the_machine_gets_a_datagram_for_each_entry_and_again_after_its_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut target = Target::Syslog { socket: Daemon::local(path.clone()).unwrap(), host: "edge1".to_owned() };
        assert!(target.write(&[line("{}")]).is_err(), "nobody is there");
        let daemon = UnixDatagram::bind(&path).unwrap();
        target.write(&[line(r#"{"weight":5}"#), line(r#"{"weight":6}"#)]).unwrap();
        for json in [r#"{"weight":5}"#, r#"{"weight":6}"#] {
            let message = received(&daemon);
            assert!(message.starts_with("<134>1 1970-01-01T00:00:00.000000Z edge1 guideway "), "{message}");
            assert!(message.ends_with(&format!(" change - {json}")), "{message}");
        }
        drop(daemon);
        std::fs::remove_file(&path).unwrap();
        assert!(target.write(&[line("{}")]).is_err());
        let daemon = UnixDatagram::bind(&path).unwrap();
        target.write(&[line(r#"{"weight":7}"#)]).unwrap();
        assert!(received(&daemon).ends_with(r#"{"weight":7}"#));
    }

    #[test]
    fn a_daemon_that_does_not_read_holds_nobody_up_for_long() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let _daemon = UnixDatagram::bind(&path).unwrap();
        let mut target = Target::Syslog { socket: Daemon::local(path.clone()).unwrap(), host: "edge1".to_owned() };
        // Its queue is full sooner or later.
        let written = (0..100_000).find_map(|_| target.write(&[line("{}")]).err());
        assert_eq!(written.map(|error| error.kind()), Some(io::ErrorKind::WouldBlock));
    }

    #[test]
    fn a_file_that_is_copied_and_cut_goes_on_at_its_front() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("changes.json");
        let mut target = Target::open(&LogTarget::File(path.clone())).unwrap();
        target.write(&[line(r#"{"weight":5}"#), line(r#"{"weight":6}"#)]).unwrap();
        // As logrotate's `copytruncate` does it.
        let copy = folder.path().join("changes.json.1");
        std::fs::copy(&path, &copy).unwrap();
        OpenOptions::new().write(true).open(&path).unwrap().set_len(0).unwrap();
        target.write(&[line(r#"{"weight":7}"#)]).unwrap();
        assert_eq!(std::fs::read_to_string(&copy).unwrap(), "{\"weight\":5}\n{\"weight\":6}\n");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\"weight\":7}\n", "no hole where the old lines were");
    }

    #[test]
    fn a_file_that_was_moved_away_is_made_anew_when_it_is_opened_again() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let (path, moved) = (folder.path().join("changes.json"), folder.path().join("changes.json.1"));
        let mut target = Target::open(&LogTarget::File(path.clone())).unwrap();
        std::fs::rename(&path, &moved).unwrap();
        target.write(&[line("1")]).unwrap();
        target.reopen().unwrap();
        target.write(&[line("2")]).unwrap();
        assert_eq!(std::fs::read_to_string(&moved).unwrap(), "1\n", "until then it is the old one");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "2\n");
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o137, 0, "a log names clients: not for everybody");
        std::fs::remove_dir_all(folder.path()).unwrap();
        let error = target.reopen().unwrap_err().to_string();
        assert!(error.contains("changes.json") && error.contains("make its folder"), "{error}");
    }
}
