//! The server: answers with its name, and notes when a client comes from another address.

use super::certificate::Certificate;
use super::ids::{Generator, LbIds};
use super::message::{MAX_TEXT, pattern, read_request};
use super::{MOVED, READY};
use anyhow::{Context, Result, bail};
use quinn::{Connection, Endpoint, EndpointConfig, Incoming, RecvStream, SendStream, TokioRuntime, TransportConfig};
use socket2::{Domain, Socket, Type};
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::task::JoinSet;

/// Bytes of a download that are written at once.
const PIECE: usize = 16 << 10;
/// Bytes that a connection has under way at most: the server shall not be done with a download before its client is.
const SEND_WINDOW: u64 = 256 << 10;

/// Options of a server.
#[derive(Clone, Debug, clap::Args)]
pub struct ServerOptions {
    /// What it answers.
    #[arg(long)]
    pub name: String,
    /// Address and port; several times for several sockets.
    #[arg(long, required = true)]
    pub listen: Vec<SocketAddr>,
    /// Folder of certificate and key.
    #[arg(long)]
    pub certificate: PathBuf,
    /// Connection IDs that name it, `config_id:server_id:nonce_len:key`; several times to take turns. Without any they
    /// are opaque.
    #[arg(long)]
    pub ids: Vec<LbIds>,
}

/// Serves until it is killed. Its standard output is the log: `connected NAME ADDRESS`, `moved NAME ADDRESS ADDRESS`.
pub fn serve(options: &ServerOptions) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
    runtime.block_on(async {
        let mut endpoints = JoinSet::new();
        for address in &options.listen {
            endpoints.spawn(accept(open(options, *address)?, options.name.clone()));
        }
        println!("{READY}");
        match endpoints.join_next().await {
            Some(Ok(())) => bail!("a socket ended"),
            Some(Err(error)) => Err(error).context("a socket failed"),
            None => bail!("no socket"),
        }
    })
}

fn open(options: &ServerOptions, address: SocketAddr) -> Result<Endpoint> {
    let mut endpoint = EndpointConfig::default();
    if !options.ids.is_empty() {
        let ids = options.ids.clone();
        Generator::new(&ids)?;
        endpoint.cid_generator(move || Box::new(Generator::new(&ids).expect("one was made before")));
    }
    let (certificate, key) = Certificate::in_folder(&options.certificate).identity()?;
    let mut server = quinn::ServerConfig::with_single_cert(certificate, key).context("an unusable certificate")?;
    let mut transport = TransportConfig::default();
    transport.send_window(SEND_WINDOW);
    server.transport_config(Arc::new(transport));
    let socket = bind(address).with_context(|| format!("cannot bind {address}"))?;
    Endpoint::new(endpoint, Some(server), socket, Arc::new(TokioRuntime)).context("cannot open an endpoint")
}

/// A socket on an address that may be local by a route alone, as a backend's VIPs are.
fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, None)?;
    if address.is_ipv6() {
        // In IPv4 such a route is enough.
        socket.set_freebind_v6(true)?;
    }
    socket.bind(&address.into())?;
    Ok(socket.into())
}

async fn accept(endpoint: Endpoint, name: String) {
    for number in 0.. {
        let Some(incoming) = endpoint.accept().await else { return };
        let label = format!("{name}#{number}");
        tokio::spawn(converse(incoming, name.clone(), label));
    }
}

/// A connection, to its end.
async fn converse(incoming: Incoming, name: String, label: String) {
    let connection = match incoming.await {
        Ok(connection) => connection,
        Err(error) => return println!("failed {label} {error}"),
    };
    let client = Arc::new(Client::new(&connection, label));
    while let Ok((answer, request)) = connection.accept_bi().await {
        let (client, name) = (Arc::clone(&client), name.clone());
        tokio::spawn(async move {
            if let Err(error) = reply(&client, &name, answer, request).await {
                println!("failed {} {error:#}", client.label);
            }
        });
    }
}

async fn reply(client: &Client, name: &str, mut answer: SendStream, mut request: RecvStream) -> Result<()> {
    let (bytes, text) = read_request(&request.read_to_end(MAX_TEXT).await.context("a request")?)?;
    client.look();
    answer.write_all(format!("{name} {text}\n").as_bytes()).await?;
    for start in (0..bytes).step_by(PIECE) {
        answer.write_all(&pattern(start, bytes.min(start + PIECE))).await?;
        client.look();
    }
    answer.finish()?;
    Ok(())
}

/// The other end of a connection.
struct Client {
    connection: Connection,
    label: String,
    address: Mutex<SocketAddr>,
}

impl Client {
    fn new(connection: &Connection, label: String) -> Self {
        let address = connection.remote_address();
        println!("connected {label} {address}");
        Self { connection: connection.clone(), label, address: Mutex::new(address) }
    }

    /// Notes where it is now, if that is elsewhere.
    fn look(&self) {
        let now = self.connection.remote_address();
        let mut address = self.address.lock().unwrap_or_else(PoisonError::into_inner);
        if *address != now {
            println!("{MOVED}{} {address} {now}", self.label);
            *address = now;
        }
    }
}
