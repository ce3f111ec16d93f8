//! Connections that stay open for long and notice at once when somebody harms them: downloads that trickle, and both sides
//! saying a little now and then, as over a websocket.
//!
//! A connection begins with a line of the client, `KIND NUMBER PAUSE`, and the server's name in a line. Then either the
//! server sends pieces of a pattern that belongs to the connection, or lines go both ways: the client's are numbers from
//! 1, the server repeats each behind its name; what it says of its own accord is numbered too, behind a `!`.

mod client;
mod report;
mod server;

pub use report::{Broken, Dialogue, DialogueReport};
pub use server::DialogueServers;

use crate::namespace::Namespace;
use crate::process::wait_for;
use anyhow::{Context, Result, anyhow, bail};
use report::Shared;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::watch;

/// Bytes that a download gets at a time.
const PIECE: usize = 4096;
/// The pause between them.
const PIECE_PAUSE: Duration = Duration::from_millis(200);
/// The longest line of either side.
const LONGEST_LINE: usize = 200;

/// Who says something, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The server, a piece at a time, without an end.
    Download,
    /// The client, after pauses; the server repeats it.
    Asks,
    /// Both sides, each after pauses of its own.
    Both,
    /// Nobody, until [`Dialogues::ask`].
    Quiet,
}

impl Kind {
    const NAMES: [(&'static str, Self); 4] =
        [("download", Self::Download), ("asks", Self::Asks), ("both", Self::Both), ("quiet", Self::Quiet)];

    fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }

    fn named(text: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(name, _)| *name == text).map(|(_, kind)| *kind)
    }
}

/// What the clients shall do.
#[derive(Clone, Debug)]
pub struct DialogueOptions {
    target: SocketAddr,
    kinds: Vec<Kind>,
    sources: Vec<IpAddr>,
    longest_pause: Duration,
    opened_over: Duration,
    patience: Duration,
}

impl DialogueOptions {
    /// One connection to `target` of each of these kinds, with pauses up to a second; it is broken after 30 s without an
    /// answer.
    pub fn new(target: SocketAddr, kinds: Vec<Kind>) -> Self {
        let seconds = Duration::from_secs;
        let (longest_pause, opened_over, patience) = (seconds(1), seconds(1), seconds(30));
        Self { target, kinds, sources: Vec::new(), longest_pause, opened_over, patience }
    }

    /// Source addresses; the connections take turns.
    #[must_use]
    pub fn sources(mut self, sources: Vec<IpAddr>) -> Self {
        self.sources = sources;
        self
    }

    /// The longest silence of either side that is meant.
    #[must_use]
    pub fn longest_pause(mut self, pause: Duration) -> Self {
        self.longest_pause = pause;
        self
    }

    /// Over which time they begin, one after the other.
    #[must_use]
    pub fn opened_over(mut self, time: Duration) -> Self {
        self.opened_over = time;
        self
    }

    /// After which time without an answer a connection is broken.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }
}

/// What the clients are told meanwhile.
#[derive(Clone, Debug, Default)]
struct Orders {
    /// How often all were asked to say something.
    asks: u64,
    /// Backends whose connections shall end.
    ended: Vec<String>,
    /// Whether all shall end.
    over: bool,
}

/// Running clients; dropped means asked to end.
#[derive(Debug)]
pub struct Dialogues {
    orders: watch::Sender<Orders>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<Result<Result<()>>>>,
}

impl Dialogues {
    /// Starts the clients in a namespace.
    pub fn start(namespace: &Namespace, options: DialogueOptions) -> Result<Self> {
        let (orders, heard) = watch::channel(Orders::default());
        let shared = Arc::new(Shared::new(&options.kinds));
        let theirs = Arc::clone(&shared);
        let thread = namespace.enter_background(move || client::run(&Arc::new(options), &theirs, &heard))?;
        Ok(Self { orders, shared, thread: Some(thread) })
    }

    /// What became of all connections so far.
    pub fn report(&self) -> DialogueReport {
        self.shared.report()
    }

    /// Waits until a server has answered each connection.
    pub fn wait_until_open(&self, limit: Duration) -> Result<()> {
        wait_for("all connections to be open", limit, || {
            let report = self.report();
            if let Some(broken) = report.broken().next() {
                bail!("{broken}");
            }
            Ok((report.open() == report.connections.len()).then_some(()))
        })
    }

    /// Has each connection say something, and waits until all have been answered.
    pub fn ask(&self, limit: Duration) -> Result<()> {
        let before = self.report();
        self.orders.send_modify(|orders| orders.asks += 1);
        wait_for("all connections to be answered", limit, || {
            let report = self.report();
            if let Some(broken) = report.broken().next() {
                bail!("{broken}");
            }
            let mut both = before.connections.iter().zip(&report.connections);
            Ok(both.all(|(before, now)| now.answers > before.answers).then_some(()))
        })
    }

    /// Ends the connections with one backend.
    pub fn end(&self, backend: &str) {
        self.orders.send_modify(|orders| orders.ended.push(backend.to_owned()));
    }

    /// Ends all connections and says what became of them.
    pub fn finish(mut self) -> Result<DialogueReport> {
        self.orders.send_modify(|orders| orders.over = true);
        let thread = self.thread.take().context("finished before")?;
        thread.join().map_err(|_| anyhow!("the thread of the clients panicked"))???;
        Ok(self.report())
    }
}

impl Drop for Dialogues {
    fn drop(&mut self) {
        self.orders.send_modify(|orders| orders.over = true);
    }
}

/// Bytes `from..` of the download of connection `number`: no two neighbours have the same, and no shift by less than 251
/// leaves it as it is.
fn pattern(number: usize, from: u64) -> impl Iterator<Item = u8> {
    (from..).map(move |index| ((index + number as u64 * 7) % 251) as u8)
}

/// The `count`th pause of a side of connection `number`: up to `longest`, at random, the same in each run.
fn pause(longest: Duration, number: usize, count: u64) -> Duration {
    // The finalizer of SplitMix64.
    let mut mixed = (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ count.wrapping_mul(0xd1b5_4a32_d192_ed03);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    longest.mul_f64(0.05 + 0.95 * ((mixed >> 40) as f64 / (1_u64 << 24) as f64))
}

/// Takes the first line out of a buffer, once it is complete.
fn take_line(buffer: &mut Vec<u8>) -> Result<Option<String>> {
    let Some(end) = buffer.iter().position(|byte| *byte == b'\n') else {
        return if buffer.len() > LONGEST_LINE { Err(anyhow!("a line without an end")) } else { Ok(None) };
    };
    let line: Vec<u8> = buffer.drain(..=end).collect();
    Ok(Some(String::from_utf8(line).context("a line that is no text")?.trim_end().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_between_a_twentieth_and_the_longest() {
        let pauses: Vec<_> = (0..1000).map(|count| pause(Duration::from_secs(1), 3, count)).collect();
        assert!(pauses.iter().all(|pause| (0.05..=1.0).contains(&pause.as_secs_f64())), "{pauses:?}");
        assert!(pauses.iter().any(|pause| pause.as_secs_f64() > 0.9) && pauses.iter().any(|p| p.as_secs_f64() < 0.1));
    }

    #[test]
    fn lines_are_taken_when_they_are_complete() {
        let mut buffer = b"web1 1\nweb1".to_vec();
        assert_eq!(take_line(&mut buffer).expect("text"), Some("web1 1".to_owned()));
        assert_eq!(take_line(&mut buffer).expect("text"), None);
        assert!(take_line(&mut vec![b'x'; 300]).is_err());
    }
}
