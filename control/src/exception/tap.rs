//! TAP devices: Ethernet interfaces of the kernel whose other end is this process.

use std::io::{self, ErrorKind};
use thiserror::Error;
use tun_rs::{DeviceBuilder, Layer, SyncDevice};

/// One end of an Ethernet link to the kernel. No operation waits.
pub trait Tap: Send {
    /// Takes the next frame that the kernel sent into `buffer`, and returns its length; `None` if there is none now.
    ///
    /// # Errors
    ///
    /// What the system says if the device is gone.
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>>;

    /// Lets the kernel receive a frame.
    ///
    /// # Errors
    ///
    /// What the system says if the device does not take it: it is down or gone.
    fn send(&mut self, frame: &[u8]) -> io::Result<()>;
}

/// A TAP device of Linux. It vanishes with this value, unless somebody made it persistent before.
pub struct TapDevice(SyncDevice);

/// Why there is no TAP device.
#[derive(Debug, Error)]
pub enum TapError {
    /// The name is taken.
    #[error(
        "[exception]: cannot create the TAP device {0:?}: an interface of that name exists and is no free TAP device; \
         remove it (`ip link del {0}`), or choose another `prefix`"
    )]
    Exists(String),
    /// The right to create one is missing.
    #[error(
        "[exception]: no permission to create the TAP device {0:?}; run as root or with CAP_NET_ADMIN and access to \
         /dev/net/tun"
    )]
    Permission(String),
    /// The kernel has no TAP devices.
    #[error("[exception]: cannot create the TAP device {0:?}: the kernel has no TAP devices; `modprobe tun`")]
    NoDriver(String),
    /// Something else.
    #[error("[exception]: cannot create the TAP device {name:?}: {source}")]
    Other {
        /// The device's name.
        name: String,
        /// What the system says.
        source: io::Error,
    },
}

impl TapDevice {
    /// Creates the device with the hardware address and the MTU (in bytes of IP) of its port, and brings it up. A
    /// persistent TAP device of that name which nobody uses is taken over, with the addresses that it has.
    ///
    /// # Errors
    ///
    /// [`TapError`]: what, where, and what to do.
    pub fn open(name: &str, mac: [u8; 6], mtu: u16) -> Result<Self, TapError> {
        let builder = DeviceBuilder::new().name(name).layer(Layer::L2).mac_addr(mac).mtu(mtu);
        let opened = builder.build_sync().and_then(|device| device.set_nonblocking(true).map(|()| device));
        opened.map(Self).map_err(|source| explain(name.to_owned(), source))
    }
}

fn explain(name: String, source: io::Error) -> TapError {
    match source.kind() {
        // TUNSETIFF: EBUSY if somebody has the other end, EINVAL if it is another kind of interface.
        ErrorKind::ResourceBusy | ErrorKind::InvalidInput | ErrorKind::AlreadyExists => TapError::Exists(name),
        ErrorKind::PermissionDenied => TapError::Permission(name),
        ErrorKind::NotFound => TapError::NoDriver(name),
        _ => TapError::Other { name, source },
    }
}

impl Tap for TapDevice {
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        match self.0.recv(buffer) {
            Ok(length) => Ok(Some(length)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn send(&mut self, frame: &[u8]) -> io::Result<()> {
        self.0.send(frame).map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_say_what_to_do() {
        let text = |kind: ErrorKind| explain("gw-edge".to_owned(), kind.into()).to_string();
        for (kind, advice) in [
            (ErrorKind::ResourceBusy, "ip link del gw-edge"),
            (ErrorKind::InvalidInput, "another `prefix`"),
            (ErrorKind::PermissionDenied, "CAP_NET_ADMIN"),
            (ErrorKind::NotFound, "modprobe tun"),
        ] {
            let text = text(kind);
            assert!(text.contains(advice) && text.contains("\"gw-edge\""), "{text}");
        }
    }
}
