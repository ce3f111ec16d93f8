//! A slow download: an established connection that shows, at any moment, whether somebody harmed it.

use crate::setup::PATIENCE;
use anyhow::{Context, Result, anyhow, bail, ensure};
use guideway_lab::nginx::BIG_BYTES;
use guideway_lab::{Lab, Namespace};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread::{JoinHandle, sleep};
use std::time::Duration;

/// Bytes that a slow download reads before it pauses: 8 MiB last for more than 40 s.
const SIP: usize = 4096;
/// The pause.
const PAUSE: Duration = Duration::from_millis(20);
/// Attempts to reach every backend, each of which takes one of three or so at random.
const ATTEMPTS: usize = 200;

/// A download of `/big` that takes its time until it is told to finish; dropped means given up.
pub struct Download {
    hurry: Arc<AtomicBool>,
    received: Arc<AtomicUsize>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Download {
    /// Begins a download; the name of the backend that serves it.
    fn start(client: &Namespace, target: SocketAddr) -> Result<(String, Self)> {
        let mut stream = client.enter(|| TcpStream::connect_timeout(&target, PATIENCE))?.context("connect")?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"GET /big HTTP/1.1\r\nHost: lab\r\nConnection: close\r\n\r\n")?;
        let head = read_head(&mut stream)?;
        let backend = head.lines().find_map(|line| line.strip_prefix("Backend: "));
        let backend = backend.with_context(|| format!("no backend in {head:?}"))?.to_owned();
        let (hurry, received) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (theirs, count) = (Arc::clone(&hurry), Arc::clone(&received));
        let thread = std::thread::spawn(move || read_body(&mut stream, &theirs, &count));
        Ok((backend, Self { hurry, received, thread: Some(thread) }))
    }

    /// Begins a download from every backend of a lab.
    pub fn from_each(lab: &Lab, target: SocketAddr) -> Result<BTreeMap<String, Self>> {
        let mut downloads = BTreeMap::new();
        for _ in 0..ATTEMPTS {
            let (backend, download) = Self::start(lab.client(), target)?;
            downloads.entry(backend).or_insert(download);
            if downloads.len() == lab.backends().len() {
                return Ok(downloads);
            }
        }
        bail!("{ATTEMPTS} connections reached only {:?}", downloads.keys());
    }

    /// Whether bytes are still to come.
    pub fn is_under_way(&self) -> bool {
        self.received.load(Relaxed) < BIG_BYTES
    }

    /// Takes the rest at full speed; all bytes must be as they were sent.
    pub fn finish(mut self) -> Result<()> {
        self.hurry.store(true, Relaxed);
        let thread = self.thread.take().context("finished before")?;
        thread.join().map_err(|_| anyhow!("the thread of a download panicked"))?
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        self.hurry.store(true, Relaxed);
    }
}

fn read_head(stream: &mut TcpStream) -> Result<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).context("the head of an answer")?;
        head.push(byte[0]);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

fn read_body(stream: &mut TcpStream, hurry: &AtomicBool, received: &AtomicUsize) -> Result<()> {
    let mut buffer = [0; SIP];
    loop {
        let before = received.load(Relaxed);
        let length = stream.read(&mut buffer).with_context(|| format!("after {before} bytes"))?;
        if length == 0 {
            ensure!(before == BIG_BYTES, "the connection ended after {before} bytes");
            return Ok(());
        }
        let expected = (before..).map(|index| b"0123456789abcdef"[index % 16]);
        ensure!(buffer[..length].iter().copied().eq(expected.take(length)), "other bytes behind {before}");
        received.store(before + length, Relaxed);
        if !hurry.load(Relaxed) {
            sleep(PAUSE);
        }
    }
}
