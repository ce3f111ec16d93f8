//! What servers on a backend say of its health when they are asked: a gRPC health service, a DNS server, agents.

use crate::backend::Backend;
use anyhow::{Context, Result, anyhow};
use hyper::body::Bytes;
use hyper::{HeaderMap, Response};
use std::net::{IpAddr, Ipv6Addr, TcpListener, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use tokio::io::AsyncWriteExt;
use tokio::sync::oneshot;
use tokio::task::{LocalSet, spawn_local};

/// Where the gRPC health service listens, in plain text.
pub const GRPC_PORT: u16 = 50_051;
/// Where the DNS server listens (UDP).
pub const DNS_PORT: u16 = 53;
/// Where agents listen, one beside the other.
pub const AGENT_PORTS: [u16; 2] = [9_777, 9_778];

/// The only method that the gRPC service knows.
const CHECK: &str = "/grpc.health.v1.Health/Check";
/// `grpc-status` of what it does not know: UNIMPLEMENTED.
const UNIMPLEMENTED: &str = "12";

/// What the servers say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mood {
    /// Whether the gRPC service is SERVING, or NOT_SERVING.
    pub serving: bool,
    /// The response code of every DNS answer (RFC 1035, section 4.1.1).
    pub rcode: u8,
    /// The line of each agent, without its end.
    pub agents: [String; AGENT_PORTS.len()],
}

impl Default for Mood {
    /// All is well.
    fn default() -> Self {
        Self { serving: true, rcode: 0, agents: AGENT_PORTS.map(|_| "up ready 100%".to_owned()) }
    }
}

/// The servers of one backend, on a thread of this process; dropped means stopped, with all connections closed.
#[derive(Debug)]
pub struct HealthServers {
    mood: Arc<Mutex<Mood>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Sockets that listen in the namespace of a backend.
struct Sockets {
    grpc: TcpListener,
    agents: Vec<TcpListener>,
    dns: Vec<UdpSocket>,
}

impl HealthServers {
    /// Starts all of them, in the mood that all is well. TCP is served at every address of the backend, DNS at its own and at
    /// `vips`: a datagram's answer must come from where it was asked.
    pub fn start(backend: &Backend, vips: &[IpAddr]) -> Result<Self> {
        // An IPv6 address that is only routed to the loopback counts as foreign here, an IPv4 address does not.
        backend.namespace().sysctl(&[("net.ipv6.ip_nonlocal_bind", "1")])?;
        let addresses = [&[backend.v4().into(), backend.v6().into()], vips].concat();
        let sockets = backend.namespace().enter(|| Sockets::open(&addresses))??;
        let mood = Arc::new(Mutex::new(Mood::default()));
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
        let theirs = Arc::clone(&mood);
        let (ready, is_ready) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            LocalSet::new().block_on(&runtime, async {
                let served = sockets.serve(&theirs);
                let failed = served.is_err();
                // Nobody is left to hear it if the starter gave up.
                let _ = ready.send(served);
                if !failed {
                    let _ = stopped.await;
                }
            });
        });
        is_ready.recv().map_err(|_| anyhow!("the thread of a backend's servers ended"))??;
        Ok(Self { mood, stop: Some(stop), thread: Some(thread) })
    }

    /// Changes what they say from now on.
    pub fn set(&self, mood: Mood) {
        *self.mood.lock().unwrap_or_else(PoisonError::into_inner) = mood;
    }
}

impl Drop for HealthServers {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic in it was printed there; here it is only over.
            let _ = thread.join();
        }
    }
}

fn read(mood: &Mutex<Mood>) -> Mood {
    mood.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

impl Sockets {
    fn open(addresses: &[IpAddr]) -> Result<Self> {
        // Both families by one socket, as the kernel has it by default.
        let listen = |port: u16| {
            let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, port));
            let listener = listener.with_context(|| format!("cannot listen at port {port}"))?;
            listener.set_nonblocking(true)?;
            Ok::<_, anyhow::Error>(listener)
        };
        let bind = |address: &IpAddr| {
            let socket = UdpSocket::bind((*address, DNS_PORT));
            let socket = socket.with_context(|| format!("cannot bind {address} port {DNS_PORT}"))?;
            socket.set_nonblocking(true)?;
            Ok::<_, anyhow::Error>(socket)
        };
        Ok(Self {
            grpc: listen(GRPC_PORT)?,
            agents: AGENT_PORTS.into_iter().map(listen).collect::<Result<_>>()?,
            dns: addresses.iter().map(bind).collect::<Result<_>>()?,
        })
    }

    /// Serves by tasks of the runtime that this is called in.
    fn serve(self, mood: &Arc<Mutex<Mood>>) -> Result<()> {
        spawn_local(serve_grpc(tokio::net::TcpListener::from_std(self.grpc)?, Arc::clone(mood)));
        for (place, listener) in self.agents.into_iter().enumerate() {
            spawn_local(serve_agent(tokio::net::TcpListener::from_std(listener)?, place, Arc::clone(mood)));
        }
        for socket in self.dns {
            spawn_local(serve_dns(tokio::net::UdpSocket::from_std(socket)?, Arc::clone(mood)));
        }
        Ok(())
    }
}

/// Says the line to whoever connects, and closes.
async fn serve_agent(listener: tokio::net::TcpListener, place: usize, mood: Arc<Mutex<Mood>>) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let line = format!("{}\n", read(&mood).agents[place]);
        // Who asked may be gone already.
        let _ = stream.write_all(line.as_bytes()).await;
    }
}

/// Answers every question without records, with the response code of the mood.
async fn serve_dns(socket: tokio::net::UdpSocket, mood: Arc<Mutex<Mood>>) {
    let mut buffer = [0; 512];
    loop {
        // An error is that of an earlier answer, to somebody who is gone.
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else { continue };
        let [_, _, flags, more, ..] = &mut buffer[..length] else { continue };
        // QR; RA and the response code (RFC 1035, section 4.1.1).
        *flags |= 0x80;
        *more = 0x80 | read(&mood).rcode;
        let _ = socket.send_to(&buffer[..length], from).await;
    }
}

async fn serve_grpc(listener: tokio::net::TcpListener, mood: Arc<Mutex<Mood>>) {
    while let Ok((stream, _)) = listener.accept().await {
        let mood = Arc::clone(&mood);
        spawn_local(async move {
            // A client that breaks off is no fault of the server.
            let Ok(mut connection) = h2::server::handshake(stream).await else { return };
            while let Some(Ok((request, respond))) = connection.accept().await {
                let _ = answer(request.uri().path(), respond, &read(&mood));
            }
        });
    }
}

/// One call: headers, a message where the method is known, trailers with the status.
fn answer(path: &str, mut respond: h2::server::SendResponse<Bytes>, mood: &Mood) -> Result<()> {
    let known = path == CHECK;
    let head = Response::builder().header("content-type", "application/grpc").body(())?;
    let mut body = respond.send_response(head, false)?;
    if known {
        // Not compressed, two bytes: field 1 as varint, SERVING or NOT_SERVING.
        let status = if mood.serving { 1 } else { 2 };
        body.send_data(Bytes::from(vec![0, 0, 0, 0, 2, 0x08, status]), false)?;
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", if known { "0" } else { UNIMPLEMENTED }.parse()?);
    body.send_trailers(trailers)?;
    Ok(())
}
