//! The clients: all on one thread, some at a time.

use super::{Meetings, Plan, Side, talk};
use crate::namespace::Namespace;
use anyhow::{Context, Result};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpSocket;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// What the clients shall do.
#[derive(Clone, Debug)]
pub struct StreamOptions {
    /// The VIP.
    pub target: SocketAddr,
    /// A connection from each of these, in this order.
    pub clients: Vec<SocketAddr>,
    /// How many of them are open at the same time.
    pub at_once: usize,
    /// After which time a connection hangs.
    pub patience: Duration,
}

/// What became of all connections.
#[derive(Clone, Debug, Default)]
pub struct StreamReport {
    /// Those of which each byte in both directions was the right one, to an orderly end.
    pub exact: usize,
    /// Bytes of these, both directions together.
    pub bytes: usize,
    /// The longest time that one of these took.
    pub longest: Duration,
    /// Of these times, the longest one until a connection came about.
    pub longest_connect: Duration,
    /// All others: what they were to do, and what happened.
    pub failures: Vec<String>,
}

/// Runs all connections from a namespace to their end.
pub fn run(namespace: &Namespace, options: &StreamOptions, meetings: &Meetings) -> Result<StreamReport> {
    namespace.enter(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no tokio runtime")?;
        runtime.block_on(run_clients(options, meetings))
    })?
}

async fn run_clients(options: &StreamOptions, meetings: &Meetings) -> Result<StreamReport> {
    let places = Arc::new(Semaphore::new(options.at_once));
    let (target, patience) = (options.target, options.patience);
    let mut clients = JoinSet::new();
    for client in &options.clients {
        let (plan, places, meetings) = (Plan::new(*client, target), Arc::clone(&places), meetings.clone());
        clients.spawn(async move {
            let _place = places.acquire().await;
            let begin = Instant::now();
            let result = timeout(patience, converse(&plan, &meetings)).await;
            (plan, begin.elapsed(), result.context("it hangs").flatten())
        });
    }
    let mut report = StreamReport::default();
    while let Some(client) = clients.join_next().await {
        let (plan, time, result) = client.context("a client panicked")?;
        match result {
            Ok(connect) => {
                report.exact += 1;
                report.longest_connect = report.longest_connect.max(connect);
                report.bytes += plan.length();
                report.longest = report.longest.max(time);
            }
            Err(error) => report.failures.push(format!("{plan:?} after {time:.1?}: {error:#}")),
        }
    }
    Ok(report)
}

/// One connection; how long it took to come about.
async fn converse(plan: &Plan, meetings: &Meetings) -> Result<Duration> {
    let socket = if plan.vip.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.bind(plan.client).with_context(|| format!("cannot bind {}", plan.client))?;
    let begin = Instant::now();
    let stream = socket.connect(plan.vip).await.context("cannot connect")?;
    let connect = begin.elapsed();
    talk::talk(stream, plan, Side::Client, meetings).await?;
    Ok(connect)
}
