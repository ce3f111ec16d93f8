//! The socket's file: made, replaced when its owner is gone, removed at the end.

use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// Owner and group may read and write.
const MODE: u32 = 0o660;

/// Why there is no control socket.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Another process answers on it.
    #[error("{0}: another guideway answers on this control socket; stop it, or set another `[api] socket`")]
    InUse(PathBuf),
    /// Something else is there.
    #[error("{0}: is not a socket; remove it, or set another `[api] socket`")]
    NotASocket(PathBuf),
    /// The system refuses.
    #[error("{path}: cannot make the control socket: {source}; set another `[api] socket`")]
    Io {
        /// Where.
        path: PathBuf,
        /// What it says.
        source: io::Error,
    },
}

/// A bound control socket; its file is removed when this is dropped.
#[derive(Debug)]
pub struct Socket {
    path: PathBuf,
    /// The listener, non-blocking.
    pub listener: UnixListener,
    /// Whether a socket that a dead process left was replaced.
    pub replaced: bool,
}

impl Socket {
    /// Binds the socket. A left-over of a process that is gone is replaced.
    ///
    /// # Errors
    ///
    /// [`SocketError`] if a living process has it, or the file cannot be made.
    pub fn bind(path: &Path) -> Result<Self, SocketError> {
        let failed = |source| SocketError::Io { path: path.to_owned(), source };
        let replaced = match std::fs::symlink_metadata(path) {
            Ok(found) if !found.file_type().is_socket() => return Err(SocketError::NotASocket(path.to_owned())),
            Ok(_) if UnixStream::connect(path).is_ok() => return Err(SocketError::InUse(path.to_owned())),
            Ok(_) => {
                std::fs::remove_file(path).map_err(failed)?;
                true
            }
            Err(_) => false,
        };
        let listener = UnixListener::bind(path).map_err(failed)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(MODE)).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        Ok(Self { path: path.to_owned(), listener, replaced })
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // Nobody listens any more; if the file is gone already, that is what was wanted.
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn left_over_is_replaced_and_living_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("control.sock");
        let first = Socket::bind(&path).unwrap();
        assert!(!first.replaced);
        assert!(matches!(Socket::bind(&path), Err(SocketError::InUse(_))));
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, MODE);
        drop(first);
        assert!(!path.exists());
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "a listener that is dropped without care leaves its file");
        assert!(Socket::bind(&path).unwrap().replaced);
    }

    #[test]
    fn a_file_that_is_no_socket_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("precious");
        std::fs::write(&path, "data").unwrap();
        assert!(matches!(Socket::bind(&path), Err(SocketError::NotASocket(_))));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "data");
    }
}
