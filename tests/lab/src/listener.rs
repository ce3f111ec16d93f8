//! TCP servers that cost nothing: the kernel accepts for them, nobody answers.

use crate::backend::Backend;
use anyhow::{Context, Result};
use std::net::{Ipv4Addr, TcpListener};

/// A listening socket on a backend; dropped means closed, and from then on the kernel refuses.
///
/// A check of kind `tcp` asks for no more than the handshake, which is the kernel's. So a lab of hundreds of backends
/// needs no process and no thread for them.
#[derive(Debug)]
pub struct Listener {
    _socket: TcpListener,
}

impl Listener {
    /// Listens at every IPv4 address of a backend.
    pub fn start(backend: &Backend, port: u16) -> Result<Self> {
        let socket = backend.namespace().enter(|| TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)))?;
        let socket = socket.with_context(|| format!("cannot listen at port {port} on {}", backend.name()))?;
        Ok(Self { _socket: socket })
    }
}
