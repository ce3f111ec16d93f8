//! The servers: all of them on one thread, each with a socket in its backend's namespace.

use super::{Meetings, Plan, Side, Version, header, talk};
use crate::backend::Backend;
use crate::process::wait_for;
use anyhow::{Context, Result, bail};
use std::net::{Ipv6Addr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::oneshot;

/// Servers that expect a header; dropped means stopped.
#[derive(Debug)]
pub struct StreamServers {
    stop: Option<oneshot::Sender<()>>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<Result<()>>>,
}

#[derive(Debug)]
struct Shared {
    meetings: Meetings,
    complete: AtomicUsize,
    failures: Mutex<Vec<String>>,
}

impl Shared {
    fn fail(&self, failure: String) {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).push(failure);
    }
}

impl StreamServers {
    /// Starts one on each of the backends and for each of `ports`, on all addresses of both families.
    pub fn start(backends: &[Backend], ports: &[(u16, Version)], meetings: &Meetings) -> Result<Self> {
        let open = |backend: &Backend, (port, version): (u16, Version)| {
            let socket = backend.namespace().enter(|| TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)))?;
            let socket = socket.with_context(|| format!("cannot listen at port {port} on {}", backend.name()))?;
            socket.set_nonblocking(true).context("cannot make a socket fit for tokio")?;
            Ok((socket, version))
        };
        let pairs = backends.iter().flat_map(|backend| ports.iter().map(move |port| (backend, *port)));
        let sockets = pairs.map(|(backend, port)| open(backend, port)).collect::<Result<Vec<_>>>()?;
        let shared = Shared { meetings: meetings.clone(), complete: AtomicUsize::new(0), failures: Mutex::default() };
        let shared = Arc::new(shared);
        let (stop, stopped) = oneshot::channel();
        let theirs = Arc::clone(&shared);
        let thread = std::thread::spawn(move || run(sockets, stopped, &theirs));
        Ok(Self { stop: Some(stop), shared, thread: Some(thread) })
    }

    /// Waits until `count` connections, of all since the start, are complete from the servers' point of view.
    ///
    /// # Errors
    ///
    /// When one of them is broken, or they are not complete within `limit`.
    pub fn wait_until_complete(&self, count: usize, limit: Duration) -> Result<()> {
        wait_for("all streams to be complete", limit, || {
            let failures = self.shared.failures.lock().unwrap_or_else(PoisonError::into_inner);
            if !failures.is_empty() {
                bail!("{} connections are broken: {:#?}", failures.len(), failures);
            }
            Ok((self.shared.complete.load(Relaxed) == count).then_some(()))
        })
    }
}

impl Drop for StreamServers {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A server that ended shows in its connections.
            let _ = thread.join();
        }
    }
}

fn run(sockets: Vec<(TcpListener, Version)>, stopped: oneshot::Receiver<()>, shared: &Arc<Shared>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no tokio runtime")?;
    runtime.block_on(async {
        for (socket, version) in sockets {
            let socket = tokio::net::TcpListener::from_std(socket).context("cannot hand a socket to tokio")?;
            tokio::spawn(accept(socket, version, Arc::clone(shared)));
        }
        // Also when the sender is gone: that is how it is told.
        let _ = stopped.await;
        Ok(())
    })
}

async fn accept(socket: tokio::net::TcpListener, version: Version, shared: Arc<Shared>) {
    loop {
        let shared = Arc::clone(&shared);
        match socket.accept().await {
            Ok((stream, peer)) => drop(tokio::spawn(async move {
                match serve(stream, version, &shared.meetings).await {
                    Ok(()) => drop(shared.complete.fetch_add(1, Relaxed)),
                    Err(error) => shared.fail(format!("{peer}: {error:#}")),
                }
            })),
            Err(error) => shared.fail(format!("cannot accept: {error}")),
        }
    }
}

async fn serve(mut stream: TcpStream, version: Version, meetings: &Meetings) -> Result<()> {
    let (client, vip) = header::read(&mut stream, version).await?;
    let plan = Plan::new(client, vip);
    talk::talk(stream, &plan, Side::Server, meetings).await.with_context(|| format!("{plan:?}"))
}
