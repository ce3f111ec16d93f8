//! Rounds with and without scrapes, in turns.

use super::balancer::{Balancer, TestPort};
use super::report::{Phase, Report, Round};
use super::{Enter, Error, Kind, Options, Thread};
use crate::clock::Clock;
use crate::latency::{Latencies, Percentiles};
use crate::window::{Feed, Window, thread_time};
use guideway_control::api::client::Client;
use guideway_control::metrics::{Backends, Form};
use guideway_dataplane::counters::WorkerCounters;
use guideway_dataplane::drop_reason::DropReason;
use guideway_dataplane::worker::Worker;
use nix::time::{ClockId, clock_gettime};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};

/// The longest round that warms up.
const WARM_UP: Duration = Duration::from_secs(2);
/// Ticks a second in which times of scrapes are kept: a histogram of them holds more than an hour.
const MICROS: u64 = 1_000_000;

/// Measures. The calling thread becomes the client. `progress` is told how many rounds are done.
///
/// # Errors
///
/// [`Error`].
pub fn run<C>(options: &Options, clock: &C, enter: &Enter, mut progress: impl FnMut(u32)) -> Result<Report, Error>
where
    C: Clock + Clone + Send + Sync + 'static,
{
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("control.sock");
    let Balancer { worker, counters, control } = Balancer::start(options, clock, enter, &path)?;
    let (orders, ordered) = mpsc::channel();
    let (results, finished) = mpsc::channel();
    let phases = std::thread::scope(|scope| {
        let enter = &**enter;
        scope.spawn(move || {
            enter(Thread::Worker);
            poll(worker, clock, &ordered, &results);
        });
        enter(Thread::Client);
        let mut turns = Turns { options, hz: clock.hz(), client: Client::new(&path)?, orders, finished };
        turns.all(&mut progress)
    });
    let phases = phases?;
    drop(control);
    forwards_all(&counters)?;
    Ok(Report {
        vips: options.vips,
        backends: u32::from(options.vips) * u32::from(options.backends_each),
        period_ms: options.period.as_secs_f64() * 1e3,
        round_seconds: options.round.as_secs_f64(),
        cores: (options.control_core, options.worker_core, options.client_core),
        unit: C::UNIT,
        hz: clock.hz(),
        phases,
    })
}

/// Fails if the worker dropped anything.
fn forwards_all(counters: &WorkerCounters) -> Result<(), Error> {
    let (dropped, received) = (counters.dropped(), counters.received.packets.get());
    let most = DropReason::ALL.iter().max_by_key(|reason| counters.drops[**reason as usize].get());
    match most {
        Some(reason) if dropped > 0 => Err(Error::Dropped { dropped, received, reason: reason.label() }),
        _ => Ok(()),
    }
}

/// What the worker's thread says of a round.
struct Ran {
    window: Window,
    /// Processor time that the thread took since it exists.
    time: Duration,
}

/// Polls for as many ticks as it is told, as often as it is told.
fn poll(mut worker: Worker<TestPort>, clock: &impl Clock, ordered: &Receiver<u64>, results: &Sender<Ran>) {
    while let Ok(ticks) = ordered.recv() {
        let window = Window::run(clock, Feed::Own, ticks, || worker.poll(clock.now(), &mut ()));
        if results.send(Ran { window, time: thread_time() }).is_err() {
            return;
        }
    }
}

/// Processor time of the process, and of the threads in it that are not the control side's.
#[derive(Clone, Copy)]
struct Times {
    process: Duration,
    client: Duration,
    worker: Duration,
}

impl Times {
    /// Of now. The calling thread is the client; the worker's thread waits and had taken `worker`.
    fn now(worker: Duration) -> Self {
        let process = clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).map_or(Duration::ZERO, Duration::from);
        Self { process, client: thread_time(), worker }
    }

    /// What all other threads took since `earlier`: the control side's, and the one that writes the text for it.
    fn control_since(self, earlier: Self) -> Duration {
        let others = (self.client - earlier.client) + (self.worker - earlier.worker);
        (self.process - earlier.process).saturating_sub(others)
    }
}

/// What the scrapes of one kind found.
struct Scrapes {
    times: Latencies,
    bytes: u64,
    series: u64,
}

struct Turns<'o> {
    options: &'o Options,
    hz: u64,
    client: Client,
    orders: Sender<u64>,
    finished: Receiver<Ran>,
}

impl Turns<'_> {
    /// Every round, after one that warms up.
    fn all(&mut self, progress: &mut impl FnMut(u32)) -> Result<Vec<Phase>, Error> {
        let mut found = Kind::ALL.map(|kind| {
            let scrapes = Scrapes { times: Latencies::new(MICROS), bytes: 0, series: 0 };
            (kind, scrapes, Vec::new())
        });
        let mut unused = Scrapes { times: Latencies::new(MICROS), bytes: 0, series: 0 };
        let (_, mut worker) =
            self.round(Kind::Backends, WARM_UP.min(self.options.round), Duration::ZERO, &mut unused)?;
        let mut done = 0;
        for _ in 0..self.options.rounds {
            for (kind, scrapes, rounds) in &mut found {
                let (round, time) = self.round(*kind, self.options.round, worker, scrapes)?;
                worker = time;
                rounds.push(round);
                done += 1;
                progress(done);
            }
        }
        let phase = |(kind, scrapes, rounds): (Kind, Scrapes, Vec<Round>)| {
            let Scrapes { times, bytes, series } = scrapes;
            let times: Percentiles = times.percentiles();
            Phase { kind, rounds, times, bytes, series }
        };
        Ok(found.into_iter().map(phase).collect())
    }

    /// One round. `worker` is the processor time that the worker's thread had taken when it began to wait; the new one is
    /// returned.
    fn round(
        &self,
        kind: Kind,
        length: Duration,
        worker: Duration,
        scrapes: &mut Scrapes,
    ) -> Result<(Round, Duration), Error> {
        let before = Times::now(worker);
        let begun = Instant::now();
        self.orders.send((length.as_secs_f64() * self.hz as f64) as u64).map_err(|_| Error::Gone)?;
        let count = match kind.asks() {
            Some(backends) => self.scrape(backends, begun, length, scrapes)?,
            None => 0,
        };
        let Ran { window, time } = self.finished.recv().map_err(|_| Error::Gone)?;
        let wall = begun.elapsed();
        let control = Times::now(time).control_since(before);
        let seconds = wall.as_secs_f64();
        let round = Round {
            seconds,
            scrapes: count,
            control_percent: control.as_secs_f64() * 100.0 / seconds.max(f64::MIN_POSITIVE),
            cost: window.cost(),
            lost_percent: (1.0 - window.share) * 100.0,
        };
        Ok((round, time))
    }

    /// Scrapes in the middle of each period of a round. Returns how often.
    fn scrape(&self, backends: Backends, begun: Instant, length: Duration, found: &mut Scrapes) -> Result<u32, Error> {
        let mut count = 0;
        let mut due = self.options.period / 2;
        while due < length && begun.elapsed() < length {
            std::thread::sleep(due.saturating_sub(begun.elapsed()));
            let asked = Instant::now();
            let text = self.client.metrics(backends, Form::OpenMetrics)?;
            found.times.record(u32::try_from(asked.elapsed().as_micros()).unwrap_or(u32::MAX));
            found.bytes = text.len() as u64;
            found.series = series(&text);
            due += self.options.period;
            count += 1;
        }
        Ok(count)
    }
}

/// Samples of an exposition: lines but comments.
fn series(text: &[u8]) -> u64 {
    let lines = text.split(|byte| *byte == b'\n');
    lines.filter(|line| line.first().is_some_and(|first| *first != b'#')).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_empty_lines_are_no_series() {
        assert_eq!(series(b"# TYPE a gauge\na{b=\"#\"} 1\n\nc 2\n# EOF\n"), 2);
        assert_eq!(series(b""), 0);
    }

    #[test]
    fn what_client_and_worker_took_is_not_the_control_sides() {
        let times = |process, client, worker| {
            let [process, client, worker] = [process, client, worker].map(Duration::from_millis);
            Times { process, client, worker }
        };
        let took = times(1_100, 30, 1_000).control_since(times(100, 10, 40));
        assert_eq!(took, Duration::from_millis(20));
        assert_eq!(
            times(5, 9, 0).control_since(times(0, 0, 0)),
            Duration::ZERO,
            "clocks that are read one after another"
        );
    }
}
