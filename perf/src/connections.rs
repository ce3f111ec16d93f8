//! What a new connection of `fullnat` costs a worker, from its SYN to its last acknowledgement.
//!
//! The whole worker runs, between two queues in memory. Connections go through their six segments in waves: all of a wave send
//! their SYN, then all backends answer, and so on, so that a segment meets a session that left the caches meanwhile. The clock that the
//! worker sees is not the real one: it goes on as if so many connections began in each second as are asked for. So after a while as
//! many sessions end as begin, and as many ports rest as come free, though it takes less than a minute. Only the worker's polls are
//! timed, not what makes segments of its output.

pub mod flood;
mod peer;

use crate::clock::Clock;
use crate::memory::FreeList;
use crate::window::thread_time;
use guideway_config::model::Config;
use guideway_control::reconcile::reconcile;
use guideway_control::sessions::session_parts;
use guideway_control::state::State;
use guideway_dataplane::counters::WorkerCounters;
use guideway_dataplane::ids::{PortId, WorkerId};
use guideway_dataplane::port::BURST;
use guideway_dataplane::publish;
use guideway_dataplane::punt::{ControlRings, PuntClass};
use guideway_dataplane::session::{PORTS_OF_ADDRESS, REST};
use guideway_dataplane::snapshot::PortState;
use guideway_dataplane::time::Nanos;
use guideway_dataplane::transmit::TxPath;
use guideway_dataplane::worker::{Worker, WorkerParts};
use peer::{Line, LinePort, OWN, Peers, SEGMENTS};
use std::fmt;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

/// What to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Connections a second, by the worker's clock.
    pub rate: u32,
    /// Source addresses, 1 to 200.
    pub sources: u16,
    /// Backends, 1 to 200.
    pub backends: u16,
    /// Connections that go through their segments together.
    pub wave: u32,
    /// Waves before anything counts: until as many sessions end as begin.
    pub warm_up: u32,
    /// Waves that count.
    pub waves: u32,
    /// `[state] sessions`.
    pub sessions: u32,
}

impl Default for Options {
    /// A fifth of a million connections a second by the worker's clock: 4 million sessions at a time, most of them over, 500 MB.
    fn default() -> Self {
        Self { rate: 200_000, sources: 64, backends: 64, wave: 16_384, warm_up: 320, waves: 60, sessions: 6_000_000 }
    }
}

/// Why there are no figures.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The options make no configuration.
    #[error("these options make no configuration: {0}")]
    Config(String),
    /// Connections did not come through.
    #[error("of {begun} connections {lost} did not come through; {reason}")]
    Lost {
        /// Connections that began.
        begun: u64,
        /// Those of them with a segment that did not leave.
        lost: u64,
        /// What was dropped, and why.
        reason: String,
    },
}

/// What was measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The options.
    pub options: Options,
    /// Ticks a connection, the median of the waves.
    pub ticks: f64,
    /// Ticks of each of its segments, from the SYN on.
    pub segments: [f64; SEGMENTS],
    /// Ticks a second.
    pub hz: u64,
    /// The name of a tick.
    pub unit: &'static str,
    /// Sessions at the end.
    pub live: u64,
}

impl Report {
    /// Connections a second that one core gets through.
    #[must_use]
    pub fn connections(&self) -> f64 {
        self.hz as f64 / self.ticks
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { options: Options { rate, sources, backends, .. }, ticks, segments, unit, live, .. } = self;
        let each: Vec<String> = segments.iter().map(|ticks| format!("{ticks:.0}")).collect();
        writeln!(f, "{:.0} connections/s a core: {ticks:.0} {unit} each ({})", self.connections(), each.join(" + "))?;
        writeln!(f, "{live} sessions, {rate} connections/s by the worker's clock")?;
        let there = u64::from(PORTS_OF_ADDRESS) * u64::from(*sources) * u64::from(*backends);
        let rest = REST.as_secs();
        let needed = self.connections() * rest as f64;
        write!(
            f,
            "ports: {:.0}/s x {rest} s rest = {:.1} million of {PORTS_OF_ADDRESS} x {sources} sources x {backends} backends = \
             {:.1} million, {:.0} %",
            self.connections(),
            needed / 1e6,
            there as f64 / 1e6,
            100.0 * needed / there as f64,
        )
    }
}

/// `keys` are those of the pool, beside what the options say.
fn config(options: &Options, keys: &str) -> Result<Config, Error> {
    let mut text = format!(
        "[fleet]\nhash_key = \"000102030405060708090a0b0c0d0e0f\"\n[cores]\ncontrol = 0\nworkers = [1]\n\
         [state]\nsessions = {}\nconnection_rate = {}\n\
         [[port]]\nname = \"edge\"\ndevice = \"net_null0\"\n\
         [[interface]]\nport = \"edge\"\naddresses = [\"10.0.0.1/16\"]\n",
        options.sessions,
        options.rate.clamp(1_000, 10_000_000),
    );
    for number in 1..=options.backends {
        let _ = write!(
            text,
            "[[interface.neighbor]]\naddress = \"10.0.1.{number}\"\nmac = \"02:00:00:00:01:{number:02x}\"\n"
        );
    }
    let sources: Vec<String> = (1..=options.sources).map(|number| format!("\"10.0.2.{number}\"")).collect();
    let _ = write!(
        text,
        "[[pool]]\nname = \"web\"\nforward = \"fullnat\"\nhealth = {{ kind = \"none\" }}\nsource_addresses = [{}]\n{keys}\n",
        sources.join(", ")
    );
    for number in 1..=options.backends {
        let _ = write!(text, "[[pool.backend]]\nname = \"web{number}\"\naddress = \"10.0.1.{number}\"\nport = 8080\n");
    }
    let _ = write!(text, "[[vip]]\naddress = \"203.0.113.10\"\nprotocol = \"tcp\"\nport = 80\npool = \"web\"\n");
    let parsed = guideway_config::parse(&text, None).map_err(|errors| Error::Config(format!("{errors:?}")))?;
    Ok(parsed.config)
}

fn worker(
    config: &Arc<Config>,
    input: &Line,
    output: &Line,
    pool: FreeList,
    counters: &Arc<WorkerCounters>,
) -> Result<Worker<LinePort>, Error> {
    let state = State::new(Arc::clone(config), vec![PortState::new(OWN)], UNIX_EPOCH);
    let mut state = state.map_err(|error| Error::Config(format!("{error:?}")))?;
    let (_, mut readers) = publish::channel(reconcile(&mut state), 1);
    let rings = [ControlRings::new()];
    let sessions = session_parts(config, &rings);
    let [rings] = rings;
    let worker = Worker::new(WorkerParts {
        id: WorkerId(0),
        rx: vec![(PortId(0), input.clone())],
        tx: vec![TxPath::Queue(output.clone())],
        snapshots: readers.remove(0),
        rings,
        pool: Arc::new(pool),
        exception_rate: PuntClass::Exception.rate(),
        sessions,
        secret: [7; 16],
        counters: Arc::clone(counters),
    });
    // As `guideway run` does.
    #[cfg(feature = "dpdk")]
    worker.session_memory().into_iter().for_each(guideway_dpdk::prefer_huge_pages);
    Ok(worker)
}

/// Connections on their way through a worker.
struct Course {
    worker: Worker<LinePort>,
    counters: Arc<WorkerCounters>,
    peers: Peers,
    input: Line,
    output: Line,
    now: Nanos,
    /// Nanoseconds from one poll to the next.
    step: u64,
}

impl Course {
    /// `keys` are those of the pool, as in [`config`].
    fn new(options: &Options, keys: &str) -> Result<Self, Error> {
        let config = Arc::new(config(options, keys)?);
        let (input, output) = (Line::default(), Line::default());
        let counters = Arc::new(WorkerCounters::default());
        let peers = Peers::new(options.wave.next_multiple_of(BURST as u32));
        let worker = worker(&config, &input, &output, peers.pool(), &counters)?;
        let polls = u64::from(peers.len()) / BURST as u64 * SEGMENTS as u64;
        let step = u64::from(peers.len()) * 1_000_000_000 / u64::from(options.rate.max(1)) / polls;
        Ok(Self { worker, counters, peers, input, output, now: Nanos(1_000_000_000), step })
    }

    /// All connections of a wave send the same segment; `poll` polls, and does what it likes before and after.
    fn send(&mut self, segment: usize, mut poll: impl FnMut(&mut dyn FnMut() -> usize)) {
        for burst in 0..self.peers.len() as usize / BURST {
            self.peers.send(segment, burst, &self.input);
            self.now = Nanos(self.now.0 + self.step);
            poll(&mut || self.worker.poll(self.now, &mut ()));
            self.peers.receive(segment, burst, &self.output);
        }
    }

    /// An error if a segment did not leave.
    fn check(&self) -> Result<(), Error> {
        match self.peers.lost() {
            0 => Ok(()),
            lost => {
                Err(Error::Lost { begun: self.counters.sessions.created.get(), lost, reason: dropped(&self.counters) })
            }
        }
    }
}

/// Sends all waves through a worker, those of the warm-up among them. `poll` is given each poll to do. Returns how many packets there were.
///
/// # Errors
///
/// [`Error`].
pub fn walk(options: &Options, mut poll: impl FnMut(&mut dyn FnMut() -> usize)) -> Result<u64, Error> {
    let mut course = Course::new(options, "")?;
    for _ in 0..options.warm_up + options.waves {
        (0..SEGMENTS).for_each(|segment| course.send(segment, &mut poll));
        course.peers.next_wave();
    }
    course.check()?;
    Ok(course.counters.received.packets.get())
}

/// Measures on the calling thread.
///
/// # Errors
///
/// [`Error`].
pub fn run<C: Clock>(clock: &C, options: &Options) -> Result<Report, Error> {
    let mut course = Course::new(options, "")?;
    let mut waves: Vec<[f64; SEGMENTS]> = Vec::with_capacity(options.waves as usize);
    for wave in 0..options.warm_up + options.waves {
        let mut ticks = [0.0; SEGMENTS];
        for (segment, ticks) in ticks.iter_mut().enumerate() {
            let (begun, cpu_begun) = (clock.ticks(), thread_time());
            let mut spent = 0;
            course.send(segment, |poll| {
                let before = clock.ticks();
                poll();
                spent += clock.ticks().saturating_sub(before);
            });
            // Of the time in which the thread had its core.
            let cpu = thread_time().saturating_sub(cpu_begun).as_secs_f64();
            let wall = clock.ticks().saturating_sub(begun) as f64 / clock.hz() as f64;
            *ticks = spent as f64 * (cpu / wall).min(1.0);
        }
        course.peers.next_wave();
        if wave >= options.warm_up {
            waves.push(ticks.map(|ticks| ticks / f64::from(course.peers.len())));
        }
    }
    course.check()?;
    let all: Vec<f64> = waves.iter().map(|segments| segments.iter().sum()).collect();
    let segments = std::array::from_fn(|segment| median(waves.iter().map(|segments| segments[segment]).collect()));
    let live = course.counters.sessions.live.get();
    Ok(Report { options: *options, ticks: median(all), segments, hz: clock.hz(), unit: C::UNIT.label(), live })
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Reasons with their counts.
fn dropped(counters: &WorkerCounters) -> String {
    use guideway_dataplane::drop_reason::DropReason;
    let counts = DropReason::ALL.iter().map(|reason| (reason.label(), counters.drops[*reason as usize].get()));
    let counts = counts.filter(|(_, count)| *count > 0).map(|(label, count)| format!("{label}: {count}"));
    counts.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Monotonic;

    const SMALL: Options =
        Options { rate: 10_000, sources: 2, backends: 3, wave: 640, warm_up: 2, waves: 3, sessions: 100_000 };

    #[test]
    fn every_connection_comes_through() {
        let report = run(&Monotonic::default(), &SMALL).expect("figures");
        assert_eq!(report.live, 5 * 640, "each is remembered for 20 s after its end");
        assert!(report.ticks > 0.0 && report.segments.iter().all(|ticks| *ticks > 0.0), "{report}");
        assert!(report.to_string().contains("60000 x 2 sources x 3 backends = 0.4 million"), "{report}");
    }

    /// As many end as begin, and ports come again: 80 s of the worker's clock.
    #[test]
    fn it_goes_on_for_as_long_as_there_are_ports() {
        let long = Options { rate: 1_000, warm_up: 120, waves: 5, ..SMALL };
        let report = run(&Monotonic::default(), &long).expect("figures");
        assert!((20_000..23_000).contains(&report.live), "{report}");
    }

    #[test]
    fn who_has_too_few_ports_is_told() {
        let few = Options { sources: 1, backends: 1, warm_up: 100, ..SMALL };
        let error = run(&Monotonic::default(), &few).expect_err("63,000 connections with 60,000 ports");
        assert!(error.to_string().contains("source_ports"), "{error}");
    }
}
