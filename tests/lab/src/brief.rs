//! Connections of one byte each way, many of them, at a steady rate, whose server closes first and so remembers them.

use crate::backend::Backend;
use crate::namespace::Namespace;
use anyhow::{Context, Result, ensure};
use socket2::{Domain, SockAddr, Socket, Type};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

/// How often the clients begin some connections.
const TICK: Duration = Duration::from_millis(10);
/// Connections that may wait for the servers to accept them.
const BACKLOG: i32 = 4096;

/// Servers that read a byte, send it back and close; dropped means stopped. TIME_WAIT is theirs.
#[derive(Debug)]
pub struct BriefServers {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl BriefServers {
    /// Starts one on all IPv4 addresses of each backend.
    pub fn start(backends: &[Backend], port: u16) -> Result<Self> {
        let open = |backend: &Backend| {
            let socket = backend.namespace().enter(|| listen(port))?;
            socket.with_context(|| format!("cannot listen at port {port} on {}", backend.name()))
        };
        let sockets = backends.iter().map(open).collect::<Result<Vec<_>>>()?;
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || serve(sockets, stopped));
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for BriefServers {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A server that ended shows in its connections.
            let _ = thread.join();
        }
    }
}

fn listen(port: u16) -> Result<TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SockAddr::from(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port)))?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

fn serve(sockets: Vec<TcpListener>, stopped: oneshot::Receiver<()>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no tokio runtime")?;
    runtime.block_on(async {
        for socket in sockets {
            let socket = tokio::net::TcpListener::from_std(socket).context("cannot hand a socket to tokio")?;
            tokio::spawn(async move {
                // What goes wrong shows at the clients.
                while let Ok((stream, _)) = socket.accept().await {
                    tokio::spawn(answer(stream));
                }
            });
        }
        // Also when the sender is gone: that is how it is told.
        let _ = stopped.await;
        Ok(())
    })
}

async fn answer(mut stream: TcpStream) -> Result<()> {
    let byte = stream.read_u8().await?;
    stream.write_u8(byte).await?;
    Ok(())
}

/// What the clients shall do.
#[derive(Clone, Debug)]
pub struct BriefOptions {
    /// Whom they connect to.
    pub target: SocketAddr,
    /// Their addresses, which take turns; the kernel chooses ports.
    pub sources: Vec<IpAddr>,
    /// Connections in all.
    pub connections: usize,
    /// How many begin in a second; fewer on a machine that is too slow.
    pub rate: usize,
    /// After which time a connection hangs.
    pub patience: Duration,
}

/// What became of all connections.
#[derive(Clone, Debug, Default)]
pub struct BriefReport {
    /// From each call to connect to its return, of those that were answered; sorted.
    pub connects: Vec<Duration>,
    /// What happened to the others.
    pub failures: Vec<String>,
    /// The longest time that the clients were kept from running, which is in their figures too.
    pub lag: Duration,
    /// From the first connection to the end of the last one.
    pub elapsed: Duration,
}

impl BriefReport {
    /// The time within which this share of the connections, from 0 to 1, came about (nearest rank).
    pub fn percentile(&self, share: f64) -> Duration {
        let rank = (self.connects.len() as f64 * share).ceil() as usize;
        self.connects.get(rank.saturating_sub(1)).copied().unwrap_or_default()
    }
}

/// Runs all connections from a namespace to their end.
pub fn run(namespace: &Namespace, options: &BriefOptions) -> Result<BriefReport> {
    namespace.enter(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no tokio runtime")?;
        runtime.block_on(run_clients(options))
    })?
}

async fn run_clients(options: &BriefOptions) -> Result<BriefReport> {
    let (target, patience) = (options.target, options.patience);
    let mut report = BriefReport { connects: Vec::with_capacity(options.connections), ..BriefReport::default() };
    let mut clients = JoinSet::new();
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let begin = Instant::now();
    let (mut begun, mut due) = (0, 0.0);
    while begun < options.connections {
        let tick = ticks.tick().await;
        report.lag = report.lag.max(tick.elapsed());
        due += options.rate as f64 * TICK.as_secs_f64();
        while begun < options.connections && (begun as f64) < due {
            let source = options.sources.get(begun % options.sources.len().max(1)).copied();
            let source = source.context("clients without an address")?;
            clients.spawn(async move {
                let result =
                    timeout(patience, converse(SocketAddr::new(source, 0), target)).await.context("it hangs").flatten();
                result.map_err(|error| format!("{source}: {error:#}"))
            });
            begun += 1;
        }
        while let Some(client) = clients.try_join_next() {
            note(&mut report, client.context("a client panicked")?);
        }
    }
    while let Some(client) = clients.join_next().await {
        note(&mut report, client.context("a client panicked")?);
    }
    report.elapsed = begin.elapsed();
    report.connects.sort_unstable();
    Ok(report)
}

fn note(report: &mut BriefReport, result: Result<Duration, String>) {
    match result {
        Ok(connect) => report.connects.push(connect),
        Err(failure) => report.failures.push(failure),
    }
}

/// One connection; how long it took to come about.
async fn converse(client: SocketAddr, target: SocketAddr) -> Result<Duration> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(client.port() != 0)?;
    socket.bind(client)?;
    let begin = Instant::now();
    let mut stream = socket.connect(target).await.context("cannot connect")?;
    let connect = begin.elapsed();
    exchange(&mut stream).await?;
    Ok(connect)
}

/// One connection from an address and a port that may have been used before; how long it took to come about.
pub fn once(namespace: &Namespace, client: SocketAddr, target: SocketAddr) -> Result<Duration> {
    namespace.enter(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no tokio runtime")?;
        runtime.block_on(converse(client, target))
    })?
}

async fn exchange(stream: &mut TcpStream) -> Result<()> {
    stream.write_u8(b'?').await.context("cannot write")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.context("no orderly end")?;
    ensure!(answer == b"?", "{answer:?} is no answer");
    Ok(())
}

/// A counter of a namespace's kernel: one of a group in /proc/net/snmp ("Tcp", …) or /proc/net/netstat ("TcpExt", …).
pub fn kernel_count(namespace: &Namespace, group: &str, name: &str) -> Result<u64> {
    let file = if group.ends_with("Ext") { "netstat" } else { "snmp" };
    // That of the thread: the process is in another namespace.
    let text = namespace.enter(|| std::fs::read_to_string(format!("/proc/thread-self/net/{file}")))??;
    counter(&text, group, name).with_context(|| format!("the kernel has no counter {name} in {group}"))
}

/// A counter of such a file: a line of names for each group, then one of values.
fn counter(text: &str, group: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix(group)?.strip_prefix(": "));
    let (names, values) = (lines.next()?, lines.next()?);
    let at = names.split(' ').position(|own| own == name)?;
    values.split(' ').nth(at)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{BriefReport, counter};
    use std::time::Duration;

    #[test]
    fn a_counter_is_found_by_its_name() {
        let text = "TcpExt: SyncookiesSent TCPSynRetrans\nTcpExt: 3 17\nIpExt: InOctets\nIpExt: 9\n";
        assert_eq!(counter(text, "TcpExt", "TCPSynRetrans"), Some(17));
        assert_eq!(counter(text, "IpExt", "InOctets"), Some(9));
        assert_eq!(counter(text, "TcpExt", "InOctets"), None);
        assert_eq!(counter("", "TcpExt", "InOctets"), None);
    }

    #[test]
    fn a_percentile_is_the_nearest_rank() {
        let report = BriefReport { connects: (1..=200).map(Duration::from_millis).collect(), ..BriefReport::default() };
        assert_eq!(report.percentile(0.5), Duration::from_millis(100));
        assert_eq!(report.percentile(0.99), Duration::from_millis(198));
        assert_eq!(report.percentile(1.0), Duration::from_millis(200));
        assert_eq!(BriefReport::default().percentile(0.5), Duration::ZERO);
    }
}
