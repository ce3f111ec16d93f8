//! UDP servers on backends that send back what they get, and say whose answer it is.

use crate::backend::Backend;
use anyhow::{Context, Result, anyhow};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long the end of a server may take.
const STOP: Duration = Duration::from_millis(100);

/// A UDP server at one address of a backend; dropped means stopped. Its answer is the backend's number, one byte, and all
/// that came.
#[derive(Debug)]
pub struct EchoServer {
    over: Arc<AtomicBool>,
    heard: Arc<Mutex<Vec<(SocketAddr, usize)>>>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl EchoServer {
    /// Starts a server at an address that the backend knows as its own.
    pub fn start(backend: &Backend, address: IpAddr, port: u16) -> Result<Self> {
        let number = backend.number();
        // An IPv6 address that is only routed to the loopback counts as foreign here, an IPv4 address does not.
        backend.namespace().sysctl(&[("net.ipv6.ip_nonlocal_bind", "1")])?;
        let socket = backend.namespace().enter(|| UdpSocket::bind((address, port)))?;
        let socket = socket.with_context(|| format!("cannot bind {address} port {port} on {}", backend.name()))?;
        socket.set_read_timeout(Some(STOP)).context("cannot set a timeout")?;
        let (over, heard) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let (theirs, list) = (Arc::clone(&over), Arc::clone(&heard));
        let thread = std::thread::spawn(move || serve(&socket, number, &theirs, &list));
        Ok(Self { over, heard, thread: Some(thread) })
    }

    /// Who sent how many bytes, a line a datagram, in the order of arrival.
    pub fn stop(mut self) -> Result<Vec<(SocketAddr, usize)>> {
        self.over.store(true, Relaxed);
        let thread = self.thread.take().context("stopped before")?;
        thread.join().map_err(|_| anyhow!("the thread of a server panicked"))??;
        Ok(self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

impl Drop for EchoServer {
    fn drop(&mut self) {
        self.over.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            // What went wrong in it is told by `stop` only.
            let _ = thread.join();
        }
    }
}

fn serve(socket: &UdpSocket, number: u8, over: &AtomicBool, heard: &Mutex<Vec<(SocketAddr, usize)>>) -> Result<()> {
    let mut buffer = vec![0; 65536];
    buffer[0] = number;
    while !over.load(Relaxed) {
        // Without a datagram until the timeout, it is time to look whether all is over.
        let Ok((length, from)) = socket.recv_from(&mut buffer[1..]) else { continue };
        heard.lock().unwrap_or_else(PoisonError::into_inner).push((from, length));
        socket.send_to(&buffer[..=length], from).with_context(|| format!("cannot answer {from}"))?;
    }
    Ok(())
}
