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
    /// Of this machine, at this path.
    Local(UnixDatagram, PathBuf),
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
                    None => Daemon::local(Path::new(DEV_LOG))?,
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
    /// The daemon at this path. It need not be there yet, and may be started again.
    fn local(path: &Path) -> Result<Self, TargetError> {
        let made = UnixDatagram::unbound().and_then(|socket| {
            socket.set_write_timeout(Some(SEND_LIMIT))?;
            Ok(socket)
        });
        let socket = made.map_err(|source| TargetError::Socket { target: path.display().to_string(), source })?;
        Ok(Self::Local(socket, path.to_owned()))
    }

    fn send(&self, message: &[u8]) -> io::Result<()> {
        match self {
            Self::Local(socket, path) => socket.send_to(message, path).map(drop),
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
    use std::fs::{read_to_string, rename};
    use std::os::unix::fs::PermissionsExt;
    use std::time::UNIX_EPOCH;

    fn lines(texts: &[&str]) -> Vec<Line> {
        let line = |text: &&str| Line { kind: syslog::Kind::Change, at: UNIX_EPOCH, json: (*text).to_owned() };
        texts.iter().map(line).collect()
    }

    fn in_folder() -> (tempfile::TempDir, PathBuf, Target) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("changes.json");
        let target = Target::open(&LogTarget::File(path.clone())).unwrap();
        (folder, path, target)
    }

    #[test]
    fn a_file_that_is_cut_goes_on_at_its_front() {
        let (_folder, path, mut target) = in_folder();
        target.write(&lines(&["1", "2"])).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, MODE);
        // As logrotate's `copytruncate`.
        let copy = path.with_extension("1");
        std::fs::copy(&path, &copy).unwrap();
        OpenOptions::new().write(true).open(&path).unwrap().set_len(0).unwrap();
        target.write(&lines(&["3"])).unwrap();
        assert_eq!(
            (read_to_string(&copy).unwrap().as_str(), read_to_string(&path).unwrap().as_str()),
            ("1\n2\n", "3\n")
        );
    }

    #[test]
    fn a_file_that_is_moved_is_written_until_it_is_opened_again() {
        let (_folder, path, mut target) = in_folder();
        let moved = path.with_extension("1");
        rename(&path, &moved).unwrap();
        target.write(&lines(&["1"])).unwrap();
        assert!(!path.exists());
        target.reopen().unwrap();
        target.write(&lines(&["2"])).unwrap();
        assert_eq!((read_to_string(&moved).unwrap().as_str(), read_to_string(&path).unwrap().as_str()), ("1\n", "2\n"));
    }

    #[test]
    fn a_folder_that_is_gone_keeps_the_open_file() {
        let (folder, path, mut target) = in_folder();
        let moved = folder.path().with_extension("moved");
        rename(folder.path(), &moved).unwrap();
        assert!(matches!(target.reopen(), Err(TargetError::File { path: of, .. }) if of == path));
        target.write(&lines(&["1"])).unwrap();
        assert_eq!(read_to_string(moved.join("changes.json")).unwrap(), "1\n");
        rename(&moved, folder.path()).unwrap();
    }

    #[test]
    fn a_daemon_gets_a_datagram_an_entry_and_may_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut target = Target::Syslog { socket: Daemon::local(&path).unwrap(), host: "edge1".to_owned() };
        assert!(target.write(&lines(&["0"])).is_err(), "nobody is there yet");
        let mut received = [0; 256];
        for turn in ["1", "2"] {
            let daemon = UnixDatagram::bind(&path).unwrap();
            daemon.set_nonblocking(true).unwrap();
            target.write(&lines(&[turn, "more"])).unwrap();
            for expected in [turn, "more"] {
                let length = daemon.recv(&mut received).unwrap();
                let wanted = syslog::message(UNIX_EPOCH, "edge1", syslog::Kind::Change, expected);
                assert_eq!(std::str::from_utf8(&received[..length]), Ok(wanted.as_str()));
            }
            drop(daemon);
            std::fs::remove_file(&path).unwrap();
        }
    }
}
