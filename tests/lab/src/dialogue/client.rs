//! The clients: all on one thread, and each compares whatever it gets with what it must be.

use super::report::Shared;
use super::{DialogueOptions, Kind, Orders, PIECE, pattern, pause, take_line};
use anyhow::{Context, Result, bail, ensure};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

/// As good as never.
const LONG: Duration = Duration::from_secs(24 * 3600);

pub(super) fn run(
    options: &Arc<DialogueOptions>,
    shared: &Arc<Shared>,
    orders: &watch::Receiver<Orders>,
) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no tokio runtime")?;
    runtime.block_on(async {
        let clients: Vec<_> = (0..options.kinds.len())
            .map(|number| tokio::spawn(one(Arc::clone(options), Arc::clone(shared), number, orders.clone())))
            .collect();
        for client in clients {
            client.await.context("a client panicked")?;
        }
        Ok(())
    })
}

async fn one(options: Arc<DialogueOptions>, shared: Arc<Shared>, number: usize, mut orders: watch::Receiver<Orders>) {
    let begin = options.opened_over.mul_f64(number as f64 / options.kinds.len() as f64);
    tokio::select! {
        () = sleep(begin) => {}
        // Told to end before it began.
        _ = orders.wait_for(|orders| orders.over) => return,
    }
    let result = converse(&options, &shared, number, orders).await;
    shared.change(number, |dialogue| match result {
        Ok(()) => dialogue.ended = true,
        Err(error) => dialogue.broken = Some((SystemTime::now(), format!("{error:#}"))),
    });
}

async fn converse(
    options: &DialogueOptions,
    shared: &Shared,
    number: usize,
    mut orders: watch::Receiver<Orders>,
) -> Result<()> {
    let kind = options.kinds[number];
    let mut asked = orders.borrow().asks;
    let stream = timeout(options.patience, connect(options, shared, number)).await.context("no connection")??;
    let mut end = End { stream, buffer: Vec::new(), number, kind, name: String::new(), told: 0, heard: 0, said: 0 };
    end.greet(options, shared).await?;
    // Since when an answer is due.
    let mut since = Instant::now();
    let mut next = since + pause(options.longest_pause, number, 0);
    let mut over = false;
    loop {
        let due = over || kind == Kind::Download || kind == Kind::Both || end.said > end.heard;
        let deadline = if due { since + options.patience + options.longest_pause } else { Instant::now() + LONG };
        let before = end.said;
        tokio::select! {
            read = timeout_at(deadline, end.stream.read_buf(&mut end.buffer)) => {
                let length = read.with_context(|| format!("no answer for {:?}", since.elapsed()))??;
                let waited = since.elapsed();
                since = Instant::now();
                if length == 0 && over && end.buffer.is_empty() {
                    return Ok(());
                }
                ensure!(length > 0, "the server closed it");
                let answers = end.check()?;
                shared.change(number, |dialogue| {
                    dialogue.answers += answers;
                    if due {
                        dialogue.longest = dialogue.longest.max(waited);
                    }
                });
            }
            changed = orders.changed(), if !over => {
                let orders = orders.borrow_and_update().clone();
                if changed.is_err() || orders.over || orders.ended.contains(&end.name) {
                    over = true;
                    end.stream.shutdown().await.context("cannot end it")?;
                } else if orders.asks > asked {
                    asked = orders.asks;
                    end.say().await?;
                }
            }
            () = sleep_until(next), if !over && matches!(kind, Kind::Asks | Kind::Both) => {
                end.say().await?;
                next = Instant::now() + pause(options.longest_pause, number, end.said);
            }
        }
        if !due && end.said > before {
            since = Instant::now();
        }
    }
}

async fn connect(options: &DialogueOptions, shared: &Shared, number: usize) -> Result<TcpStream> {
    let socket = if options.target.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    if !options.sources.is_empty() {
        socket.bind(SocketAddr::new(options.sources[number % options.sources.len()], 0))?;
    }
    let stream = socket.connect(options.target).await.context("cannot connect")?;
    stream.set_nodelay(true)?;
    let local = stream.local_addr()?;
    shared.change(number, |dialogue| dialogue.local = Some(local));
    Ok(stream)
}

/// The client's end.
struct End {
    stream: TcpStream,
    buffer: Vec<u8>,
    number: usize,
    kind: Kind,
    /// The server's.
    name: String,
    /// Of what the server said of its own accord: lines, or bytes.
    told: u64,
    /// Own lines that it repeated.
    heard: u64,
    /// Own lines.
    said: u64,
}

impl End {
    async fn greet(&mut self, options: &DialogueOptions, shared: &Shared) -> Result<()> {
        let (kind, number, pause) = (self.kind.name(), self.number, options.longest_pause.as_millis());
        self.stream.write_all(format!("{kind} {number} {pause}\n").as_bytes()).await.context("cannot greet")?;
        self.name = loop {
            if let Some(name) = take_line(&mut self.buffer)? {
                break name;
            }
            let read = timeout(options.patience, self.stream.read_buf(&mut self.buffer)).await;
            ensure!(read.context("no name")?.context("no name")? > 0, "the server closed it without a name");
        };
        self.check()?;
        shared.change(self.number, |dialogue| dialogue.backend = Some(self.name.clone()));
        Ok(())
    }

    async fn say(&mut self) -> Result<()> {
        self.said += 1;
        self.stream.write_all(format!("{}\n", self.said).as_bytes()).await.context("cannot speak")
    }

    /// Compares what came with what it must be; how many answers that are.
    fn check(&mut self) -> Result<u64> {
        if self.kind == Kind::Download {
            let length = self.buffer.len() as u64;
            let good = pattern(self.number, self.told).zip(&self.buffer).all(|(expected, byte)| expected == *byte);
            ensure!(good, "other bytes than were sent behind {}", self.told);
            self.buffer.clear();
            let pieces = |bytes: u64| bytes / PIECE as u64;
            let before = pieces(self.told);
            self.told += length;
            return Ok(pieces(self.told) - before);
        }
        let mut answers = 0;
        while let Some(line) = take_line(&mut self.buffer)? {
            let Some((name, rest)) = line.split_once(' ') else { bail!("no answer: {line:?}") };
            ensure!(name == self.name, "{name} answered in the middle of a dialogue with {}", self.name);
            let (count, own) = match rest.strip_prefix('!') {
                Some(rest) => (&mut self.told, rest),
                None => (&mut self.heard, rest),
            };
            *count += 1;
            ensure!(own == count.to_string(), "{line:?} instead of number {count}");
            answers += 1;
        }
        Ok(answers)
    }
}
