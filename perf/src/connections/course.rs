//! Connections on their way: from the peers through the card to workers, and back.

use super::peer::{Line, LinePort, Peers, SEGMENTS};
use super::{Error, Options, setup};
use guideway_dataplane::counters::WorkerCounters;
use guideway_dataplane::ids::WorkerId;
use guideway_dataplane::port::BURST;
use guideway_dataplane::rss::Rss;
use guideway_dataplane::time::Nanos;
use guideway_dataplane::worker::Worker;
use std::sync::Arc;

/// Connections on their way through a worker.
pub(super) struct Course {
    pub(super) worker: Worker<LinePort>,
    pub(super) counters: Arc<WorkerCounters>,
    pub(super) peers: Peers,
    pub(super) input: Line,
    pub(super) output: Line,
    pub(super) now: Nanos,
    /// Nanoseconds from one poll to the next.
    pub(super) step: u64,
    /// The other workers.
    others: Vec<Other>,
    card: Option<Rss>,
}

/// A worker that answers may come to first.
struct Other {
    worker: Worker<LinePort>,
    counters: Arc<WorkerCounters>,
    input: Line,
}

impl Course {
    /// `keys` are those of the pool, as in [`setup::config`].
    pub(super) fn new(options: &Options, keys: &str) -> Result<Self, Error> {
        let config = Arc::new(setup::config(options, keys)?);
        let output = Line::default();
        let inputs: Vec<Line> = (0..options.workers).map(|_| Line::default()).collect();
        let counters: Vec<Arc<WorkerCounters>> = (0..options.workers).map(|_| Arc::default()).collect();
        let peers = Peers::new(options.wave.next_multiple_of(BURST as u32));
        let card = setup::card(options.workers).filter(|_| options.workers > 1);
        let known = card.clone().filter(|_| options.rss);
        let workers = setup::workers(&config, &inputs, &output, (&peers.pool(), known), &counters)?;
        let all = workers.into_iter().zip(counters).zip(inputs);
        let mut all = all.map(|((worker, counters), input)| Other { worker, counters, input });
        let first = all.next().ok_or_else(|| Error::Config("there are no workers".into()))?;
        let (Other { worker, counters, input }, others) = (first, all.collect());
        let polls = u64::from(peers.len()) / BURST as u64 * SEGMENTS as u64;
        let step = u64::from(peers.len()) * 1_000_000_000 / u64::from(options.rate.max(1)) / polls;
        Ok(Self { worker, counters, peers, input, output, now: Nanos(1_000_000_000), step, others, card })
    }

    /// All connections of a wave send the same segment; `poll` polls, and does what it likes before and after.
    pub(super) fn send(&mut self, segment: usize, mut poll: impl FnMut(&mut dyn FnMut() -> usize)) {
        for burst in 0..self.peers.len() as usize / BURST {
            self.peers.send(segment, burst, &self.input);
            self.spread();
            self.now = Nanos(self.now.0 + self.step);
            let (now, worker, others) = (self.now, &mut self.worker, &mut self.others);
            poll(&mut || {
                let hopping: usize = others.iter_mut().map(|other| other.worker.poll(now, &mut ())).sum();
                hopping + worker.poll(now, &mut ())
            });
            self.peers.receive(segment, burst, &self.output);
        }
    }

    /// Brings backends' packets where the card would.
    fn spread(&self) {
        let Some(card) = &self.card else { return };
        self.input.deal(|tuple| match card.worker_of(tuple) {
            WorkerId(0) => None,
            WorkerId(other) => self.others.get(usize::from(other) - 1).map(|other| &other.input),
        });
    }

    /// Packets that hopped so far.
    pub(super) fn hops(&self) -> u64 {
        self.others.iter().map(|other| other.counters.handed_off.get()).sum()
    }

    /// An error if a segment did not leave.
    pub(super) fn check(&self) -> Result<(), Error> {
        match self.peers.lost() {
            0 => Ok(()),
            lost => {
                Err(Error::Lost { begun: self.counters.sessions.created.get(), lost, reason: dropped(&self.counters) })
            }
        }
    }
}

/// Reasons with their counts.
fn dropped(counters: &WorkerCounters) -> String {
    use guideway_dataplane::drop_reason::DropReason;
    let counts = DropReason::ALL.iter().map(|reason| (reason.label(), counters.drops[*reason as usize].get()));
    let counts = counts.filter(|(_, count)| *count > 0).map(|(label, count)| format!("{label}: {count}"));
    counts.collect::<Vec<_>>().join(", ")
}
