//! The clients: each has one connection, asks for things over it, and meanwhile changes its address.

use super::QuicReport;
use super::certificate::{Certificate, SERVER_NAME};
use super::message::{MAX_TEXT, pattern, request};
use anyhow::{Context, Result, anyhow, bail, ensure};
use quinn::{ClientConfig, Connection, Endpoint, RecvStream};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Bytes that are read at once.
const PIECE: usize = 16 << 10;

/// Options of the clients.
#[derive(Clone, Debug, clap::Args)]
pub struct ClientOptions {
    /// Address and port of the server.
    #[arg(long)]
    pub target: SocketAddr,
    /// Folder of the certificate to trust.
    #[arg(long)]
    pub certificate: PathBuf,
    /// An own address; several times.
    #[arg(long, required = true)]
    pub source: Vec<IpAddr>,
    /// Connections, all at the same time.
    #[arg(long)]
    pub connections: usize,
    /// How often each one moves to the next own address and another port.
    #[arg(long)]
    pub migrations: usize,
    /// Bytes to download while moving; with 0, small requests follow each move.
    #[arg(long)]
    pub download: usize,
    /// Milliseconds to wait for an answer.
    #[arg(long)]
    pub patience: u64,
}

/// Runs all connections to their end.
pub fn migrate(options: &ClientOptions) -> Result<QuicReport> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
    let roots = Certificate::in_folder(&options.certificate).roots()?;
    let config = ClientConfig::with_root_certificates(Arc::new(roots)).context("no TLS")?;
    runtime.block_on(async {
        let mut sessions = JoinSet::new();
        for number in 0..options.connections {
            sessions.spawn(run(options.clone(), config.clone(), number));
        }
        let mut report = QuicReport::default();
        while let Some(outcome) = sessions.join_next().await {
            note(&mut report, outcome.context("a connection's task failed")?);
        }
        Ok(report)
    })
}

/// What became of a connection.
struct Outcome {
    number: usize,
    /// Who answered first, if anybody did.
    server: Option<String>,
    /// Changes of address that the connection is known to have survived.
    survived: usize,
    end: Result<()>,
}

fn note(report: &mut QuicReport, outcome: Outcome) {
    report.migrations += outcome.survived;
    let (number, survived) = (outcome.number, outcome.survived);
    let fate = match &outcome.end {
        Ok(()) => &mut report.kept,
        Err(error) => {
            report.failures.push(format!("connection {number}, {survived} moves survived: {error:#}"));
            &mut report.lost
        }
    };
    if let Some(server) = outcome.server {
        *fate.entry(server).or_default() += 1;
    }
}

async fn run(options: ClientOptions, config: ClientConfig, number: usize) -> Outcome {
    let patience = Duration::from_millis(options.patience);
    let mut outcome = Outcome { number, server: None, survived: 0, end: Ok(()) };
    let started = timeout(patience, Session::start(&options, config, number)).await;
    match started.unwrap_or_else(|_| Err(anyhow!("no answer to the first request"))) {
        Ok((mut session, server)) => {
            outcome.server = Some(server.clone());
            outcome.end = session.go(&server, patience, &mut outcome.survived).await;
        }
        Err(error) => outcome.end = Err(error),
    }
    outcome
}

/// One connection, and the socket that it has at the moment.
struct Session<'o> {
    options: &'o ClientOptions,
    number: usize,
    endpoint: Endpoint,
    connection: Connection,
    moves: usize,
}

impl<'o> Session<'o> {
    /// Connects and asks once; the name of who answered.
    async fn start(options: &'o ClientOptions, config: ClientConfig, number: usize) -> Result<(Self, String)> {
        let mut endpoint = Endpoint::client(source(options, number)).context("cannot open an endpoint")?;
        endpoint.set_default_client_config(config);
        let connection = endpoint.connect(options.target, SERVER_NAME).context("cannot connect")?.await?;
        let mut session = Self { options, number, endpoint, connection, moves: 0 };
        let server = session.exchange(0, 0).await?;
        Ok((session, server))
    }

    /// All moves, and what is asked between them or meanwhile; `server` must answer, and each time within `patience`.
    async fn go(&mut self, server: &str, patience: Duration, survived: &mut usize) -> Result<()> {
        let (migrations, download) = (self.options.migrations, self.options.download);
        if download > 0 {
            self.ask(server, patience, download, migrations).await?;
            *survived = self.moves;
            return self.ask(server, patience, 0, 0).await;
        }
        for _ in 0..migrations {
            self.change_address()?;
            self.ask(server, patience, 0, 0).await?;
            *survived = self.moves;
        }
        self.ask(server, patience, 0, 0).await
    }

    async fn ask(&mut self, server: &str, patience: Duration, bytes: usize, moves: usize) -> Result<()> {
        let answer = timeout(patience, self.exchange(bytes, moves)).await;
        let name = answer.with_context(|| format!("no answer from {server} any more"))??;
        ensure!(name == server, "{name} answers for {server}");
        Ok(())
    }

    /// A new socket on the next address, with a port that the kernel chooses, for the connection as it is.
    fn change_address(&mut self) -> Result<()> {
        self.moves += 1;
        let address = source(self.options, self.number + self.moves);
        let socket = UdpSocket::bind(address).with_context(|| format!("cannot bind {address}"))?;
        self.endpoint.rebind(socket).context("cannot change the socket")
    }

    /// A request for so many bytes, during whose answer the address changes `moves` times; who answered.
    async fn exchange(&mut self, bytes: usize, moves: usize) -> Result<String> {
        let text = format!("connection {} after {} moves", self.number, self.moves);
        let (mut ask, mut answer) = self.connection.open_bi().await.context("cannot open a stream")?;
        ask.write_all(request(bytes, &text).as_bytes()).await.context("a request")?;
        ask.finish()?;
        let line = read_line(&mut answer).await?;
        let (name, echo) = line.split_once(' ').with_context(|| format!("not an answer: {line:?}"))?;
        ensure!(echo == text, "{name} answers {echo:?} to {text:?}");
        let mut buffer = vec![0; PIECE];
        let (mut received, mut moved) = (0, 0);
        while let Some(length) = answer.read(&mut buffer).await.context("an answer")? {
            ensure!(buffer[..length] == pattern(received, received + length), "other bytes behind {received}");
            received += length;
            // The moves divide the download into equal parts.
            if moved < moves && received * (moves + 1) > bytes * (moved + 1) {
                moved += 1;
                self.change_address()?;
            }
        }
        ensure!(received == bytes && moved == moves, "{received} bytes instead of {bytes}, {moved} moves");
        Ok(name.to_owned())
    }
}

/// Own address `number`, round and round, and any port.
fn source(options: &ClientOptions, number: usize) -> SocketAddr {
    SocketAddr::new(options.source[number % options.source.len()], 0)
}

async fn read_line(stream: &mut RecvStream) -> Result<String> {
    let mut line = Vec::new();
    let mut byte = [0];
    while line.len() < MAX_TEXT {
        stream.read_exact(&mut byte).await.context("the line of an answer")?;
        if byte == *b"\n" {
            return Ok(String::from_utf8_lossy(&line).into_owned());
        }
        line.extend(byte);
    }
    bail!("a line without an end: {}", String::from_utf8_lossy(&line))
}
