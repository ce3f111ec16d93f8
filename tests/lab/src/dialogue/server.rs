//! The servers: all of a lab on one thread, each with a socket in its backend's namespace.

use super::{Kind, PIECE, PIECE_PAUSE, pattern, pause, take_line};
use crate::backend::Backend;
use anyhow::{Context, Result};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

/// A server on each of some backends; dropped means stopped.
#[derive(Debug)]
pub struct DialogueServers {
    stop: Option<oneshot::Sender<()>>,
    failures: Arc<Mutex<Vec<String>>>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl DialogueServers {
    /// Starts them on all IPv4 addresses of the backends.
    pub fn start(backends: &[Backend], port: u16) -> Result<Self> {
        let open = |backend: &Backend| {
            let socket = backend.namespace().enter(|| TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)))?;
            let socket = socket.with_context(|| format!("cannot bind port {port} on {}", backend.name()))?;
            socket.set_nonblocking(true).context("cannot make a socket fit for tokio")?;
            Ok((backend.name().to_owned(), socket))
        };
        let sockets = backends.iter().map(open).collect::<Result<Vec<_>>>()?;
        let (stop, stopped) = oneshot::channel();
        let failures = Arc::new(Mutex::new(Vec::new()));
        let theirs = Arc::clone(&failures);
        let thread = std::thread::spawn(move || run(sockets, stopped, &theirs));
        Ok(Self { stop: Some(stop), failures, thread: Some(thread) })
    }

    /// Connections that broke from their point of view.
    pub fn failures(&self) -> Vec<String> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for DialogueServers {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A server that ended shows in its connections.
            let _ = thread.join();
        }
    }
}

fn run(
    sockets: Vec<(String, TcpListener)>,
    stopped: oneshot::Receiver<()>,
    failures: &Arc<Mutex<Vec<String>>>,
) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no tokio runtime")?;
    runtime.block_on(async {
        for (name, socket) in sockets {
            let socket = tokio::net::TcpListener::from_std(socket).context("cannot hand a socket to tokio")?;
            tokio::spawn(accept(name, socket, Arc::clone(failures)));
        }
        // Also when the sender is gone: that is how it is told.
        let _ = stopped.await;
        Ok(())
    })
}

async fn accept(name: String, socket: tokio::net::TcpListener, failures: Arc<Mutex<Vec<String>>>) {
    loop {
        let (name, failures) = (name.clone(), Arc::clone(&failures));
        let note = move |failure: String| failures.lock().unwrap_or_else(PoisonError::into_inner).push(failure);
        match socket.accept().await {
            Ok((stream, peer)) => drop(tokio::spawn(async move {
                if let Err(error) = converse(&name, stream).await {
                    note(format!("{name} with {peer}: {error:#}"));
                }
            })),
            Err(error) => note(format!("{name} cannot accept: {error}")),
        }
    }
}

async fn converse(name: &str, mut stream: TcpStream) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::new();
    let first = loop {
        if let Some(line) = take_line(&mut buffer)? {
            break line;
        }
        if stream.read_buf(&mut buffer).await? == 0 {
            return Ok(());
        }
    };
    let (kind, number, longest) = greeting(&first).with_context(|| format!("not a greeting: {first:?}"))?;
    stream.write_all(format!("{name}\n").as_bytes()).await?;
    let (mut said, mut sent) = (0_u64, 0_u64);
    // Another pause than the client's.
    let rest = |said: u64| if kind == Kind::Download { PIECE_PAUSE } else { pause(longest, number, !said) };
    let mut next = Instant::now() + rest(0);
    loop {
        while let Some(line) = take_line(&mut buffer)? {
            stream.write_all(format!("{name} {line}\n").as_bytes()).await?;
        }
        tokio::select! {
            read = stream.read_buf(&mut buffer) => {
                if read? == 0 {
                    return Ok(());
                }
            }
            () = sleep_until(next), if matches!(kind, Kind::Download | Kind::Both) => {
                said += 1;
                if kind == Kind::Download {
                    let piece: Vec<u8> = pattern(number, sent).take(PIECE).collect();
                    stream.write_all(&piece).await?;
                    sent += PIECE as u64;
                } else {
                    stream.write_all(format!("{name} !{said}\n").as_bytes()).await?;
                }
                next = Instant::now() + rest(said);
            }
        }
    }
}

fn greeting(line: &str) -> Option<(Kind, usize, Duration)> {
    let mut words = line.split(' ');
    let kind = Kind::named(words.next()?)?;
    Some((kind, words.next()?.parse().ok()?, Duration::from_millis(words.next()?.parse().ok()?)))
}
