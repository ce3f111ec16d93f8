//! A load client that says what became of every request: for experiments that kill things under load.

use crate::namespace::Namespace;
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

/// A request that took longer was saved by a retransmission: the first one comes after a second (RFC 6298).
const SLOW: Duration = Duration::from_millis(800);
/// Longest answer whose text is taken as the backend's name.
const LONGEST_NAME: usize = 64;
/// Largest head of an answer.
const LARGEST_HEAD: usize = 16 << 10;

/// What the clients shall do.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    target: SocketAddr,
    path: String,
    clients: usize,
    rate: Option<f64>,
    timeout: Duration,
    sources: Vec<IpAddr>,
    requests_per_connection: usize,
    requests_per_client: usize,
}

impl LoadOptions {
    /// Eight clients that ask `target` for `/` as fast as answers come, a new connection for each request; a
    /// request fails for slowness only after 10 s.
    pub fn new(target: SocketAddr) -> Self {
        Self {
            target,
            path: "/".into(),
            clients: 8,
            rate: None,
            timeout: Duration::from_secs(10),
            sources: Vec::new(),
            requests_per_connection: 1,
            requests_per_client: usize::MAX,
        }
    }

    /// What to ask for.
    #[must_use]
    pub fn path(mut self, path: &str) -> Self {
        path.clone_into(&mut self.path);
        self
    }

    /// How many clients ask at the same time.
    #[must_use]
    pub fn clients(mut self, count: usize) -> Self {
        self.clients = count.max(1);
        self
    }

    /// Requests a second, all clients together; without it they do not pause.
    #[must_use]
    pub fn rate(mut self, per_second: f64) -> Self {
        self.rate = Some(per_second);
        self
    }

    /// After which time a request has failed.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Source addresses; the clients take turns.
    #[must_use]
    pub fn sources(mut self, sources: Vec<IpAddr>) -> Self {
        self.sources = sources;
        self
    }

    /// After how many requests a client is done; without it they go on until they are stopped.
    #[must_use]
    pub fn requests_per_client(mut self, count: usize) -> Self {
        self.requests_per_client = count;
        self
    }

    /// Requests on one connection before a new one is opened. A connection that changes its backend is a failure.
    #[must_use]
    pub fn requests_per_connection(mut self, count: usize) -> Self {
        self.requests_per_connection = count.max(1);
        self
    }
}

/// Why a request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// A reset in answer to the SYN.
    Refused,
    /// A reset later on.
    Reset,
    /// No complete answer in time.
    Timeout,
    /// The connection ended before the answer was complete.
    Closed,
    /// An answer that is not the expected HTTP, or an error other than the above.
    Bad,
    /// An answer of another backend than the one before on the same connection.
    Moved,
}

/// A failed request.
#[derive(Clone, Debug)]
pub struct Failure {
    /// When the request began.
    pub began: SystemTime,
    /// How long it took to fail.
    pub after: Duration,
    /// Why.
    pub reason: Reason,
    /// The client's side of the connection; `None` if none came about.
    pub local: Option<SocketAddr>,
}

/// What became of all requests so far.
#[derive(Clone, Debug, Default)]
pub struct LoadReport {
    /// Requests answered completely.
    pub good: u64,
    /// Of these, by what the answer said.
    pub by_backend: BTreeMap<String, u64>,
    /// Of these, the ones that took more than 800 ms: a lost packet was sent again.
    pub slow: u64,
    /// The longest time of a good request.
    pub longest: Duration,
    /// Requests that failed.
    pub failures: Vec<Failure>,
}

impl LoadReport {
    /// Failures by reason.
    pub fn failures_by_reason(&self) -> BTreeMap<Reason, usize> {
        let mut counts = BTreeMap::new();
        for failure in &self.failures {
            *counts.entry(failure.reason).or_default() += 1;
        }
        counts
    }
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    report: Mutex<LoadReport>,
}

impl Shared {
    fn report(&self) -> MutexGuard<'_, LoadReport> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn record(&self, result: Result<String, Reason>, began: SystemTime, after: Duration, local: Option<SocketAddr>) {
        let mut report = self.report();
        match result {
            Ok(name) => {
                report.good += 1;
                report.slow += u64::from(after > SLOW);
                report.longest = report.longest.max(after);
                *report.by_backend.entry(name).or_default() += 1;
            }
            Err(reason) => report.failures.push(Failure { began, after, reason, local }),
        }
    }
}

/// Running clients; dropped means asked to stop.
#[derive(Debug)]
pub struct Load {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<Result<Result<()>>>>,
}

impl Load {
    /// Starts the clients in a namespace.
    pub fn start(namespace: &Namespace, options: LoadOptions) -> Result<Self> {
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        let thread = namespace.enter_background(move || run_clients(&Arc::new(options), &theirs))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// What became of all requests so far.
    pub fn report(&self) -> LoadReport {
        self.shared.report().clone()
    }

    /// Starts no further request, waits for those under way, and returns what became of all.
    pub fn stop(mut self) -> Result<LoadReport> {
        self.shared.stop.store(true, Ordering::Relaxed);
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(result)) => result??,
            Some(Err(_)) => bail!("the load client panicked"),
            None => {}
        }
        Ok(self.report())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
    }
}

fn run_clients(options: &Arc<LoadOptions>, shared: &Arc<Shared>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no tokio runtime")?;
    runtime.block_on(async {
        let clients: Vec<_> = (0..options.clients)
            .map(|number| tokio::spawn(run_client(Arc::clone(options), Arc::clone(shared), number)))
            .collect();
        for client in clients {
            client.await.context("a client panicked")?;
        }
        Ok(())
    })
}

async fn run_client(options: Arc<LoadOptions>, shared: Arc<Shared>, number: usize) {
    let mut pace = options.rate.map(|rate| {
        let period = Duration::from_secs_f64(options.clients as f64 / rate);
        let first = tokio::time::Instant::now() + period.mul_f64(number as f64 / options.clients as f64);
        tokio::time::interval_at(first, period)
    });
    let source = (!options.sources.is_empty()).then(|| options.sources[number % options.sources.len()]);
    let mut connection: Option<Connection> = None;
    for _ in 0..options.requests_per_client {
        if let Some(pace) = &mut pace {
            pace.tick().await;
        }
        if shared.stop.load(Ordering::Relaxed) {
            return;
        }
        let (began, clock) = (SystemTime::now(), Instant::now());
        let mut local = connection.as_ref().map(|connection| connection.local);
        let attempt = request(&options, source, &mut connection, &mut local);
        let result = tokio::time::timeout(options.timeout, attempt).await.unwrap_or(Err(Reason::Timeout));
        let after = clock.elapsed();
        let refused = result == Err(Reason::Refused);
        if result.is_err() {
            connection = None;
        }
        shared.record(result, began, after, local);
        if refused && options.rate.is_none() {
            // Without this a refused client would spin.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

struct Connection {
    stream: TcpStream,
    local: SocketAddr,
    requests: usize,
    name: Option<String>,
    buffer: Vec<u8>,
}

/// One request, on the connection given or a new one; the backend's name.
async fn request(
    options: &LoadOptions,
    source: Option<IpAddr>,
    slot: &mut Option<Connection>,
    local: &mut Option<SocketAddr>,
) -> Result<String, Reason> {
    let mut connection = match slot.take() {
        Some(connection) => connection,
        None => connect(options.target, source).await?,
    };
    *local = Some(connection.local);
    connection.requests += 1;
    let last = connection.requests >= options.requests_per_connection;
    let name = exchange(&mut connection, &options.path, last).await?;
    if connection.name.as_ref().is_some_and(|before| *before != name) {
        return Err(Reason::Moved);
    }
    connection.name = Some(name.clone());
    if !last {
        *slot = Some(connection);
    }
    Ok(name)
}

async fn connect(target: SocketAddr, source: Option<IpAddr>) -> Result<Connection, Reason> {
    let socket = if target.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }.map_err(|_| Reason::Bad)?;
    if let Some(source) = source {
        socket.bind(SocketAddr::new(source, 0)).map_err(|_| Reason::Bad)?;
    }
    let stream = socket.connect(target).await.map_err(|error| reason(&error))?;
    let local = stream.local_addr().map_err(|_| Reason::Bad)?;
    Ok(Connection { stream, local, requests: 0, name: None, buffer: Vec::new() })
}

async fn exchange(connection: &mut Connection, path: &str, last: bool) -> Result<String, Reason> {
    let persistence = if last { "close" } else { "keep-alive" };
    let text = format!("GET {path} HTTP/1.1\r\nHost: lab\r\nConnection: {persistence}\r\n\r\n");
    connection.stream.write_all(text.as_bytes()).await.map_err(|error| reason(&error))?;
    let buffer = &mut connection.buffer;
    buffer.clear();
    let (head, length) = loop {
        if let Some(found) = head_and_length(buffer)? {
            break found;
        }
        fill(&mut connection.stream, buffer).await?;
    };
    while buffer.len() < head + length {
        fill(&mut connection.stream, buffer).await?;
    }
    let body = &buffer[head..head + length];
    Ok(if length <= LONGEST_NAME { String::from_utf8_lossy(body).trim().to_owned() } else { String::new() })
}

async fn fill(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<(), Reason> {
    match stream.read_buf(buffer).await {
        Ok(0) => Err(Reason::Closed),
        Ok(_) => Ok(()),
        Err(error) => Err(reason(&error)),
    }
}

/// Length of the head and of the body of an answer, once the head is complete.
fn head_and_length(buffer: &[u8]) -> Result<Option<(usize, usize)>, Reason> {
    let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") else {
        return if buffer.len() > LARGEST_HEAD { Err(Reason::Bad) } else { Ok(None) };
    };
    let head = std::str::from_utf8(&buffer[..end]).map_err(|_| Reason::Bad)?;
    if !head.starts_with("HTTP/1.1 200") {
        return Err(Reason::Bad);
    }
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    length.map(|length| Some((end + 4, length))).ok_or(Reason::Bad)
}

fn reason(error: &std::io::Error) -> Reason {
    match error.kind() {
        ErrorKind::ConnectionRefused => Reason::Refused,
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => Reason::Reset,
        ErrorKind::TimedOut => Reason::Timeout,
        _ => Reason::Bad,
    }
}

#[cfg(test)]
mod tests {
    use super::{Reason, head_and_length};

    #[test]
    fn an_answer_is_complete_by_its_content_length() {
        assert_eq!(head_and_length(b"HTTP/1.1 200 OK\r\ncontent-Length: 5\r\n\r\nweb1\n"), Ok(Some((38, 5))));
        assert_eq!(head_and_length(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n"), Ok(None));
    }

    #[test]
    fn another_status_or_no_length_is_bad() {
        assert_eq!(head_and_length(b"HTTP/1.1 502 Bad\r\nContent-Length: 0\r\n\r\n"), Err(Reason::Bad));
        assert_eq!(head_and_length(b"HTTP/1.1 200 OK\r\n\r\n"), Err(Reason::Bad));
        assert_eq!(head_and_length(&[b'x'; 20 << 10]), Err(Reason::Bad));
    }
}
