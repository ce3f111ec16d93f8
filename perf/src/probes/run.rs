//! One measurement after the other: both threads, started and stopped.

use super::report::{CaseReport, Figures};
use super::{Options, config, network};
use crate::clock::Clock;
use crate::window::thread_time;
use guideway_control::duties::duties;
use guideway_control::events::{Event, EventReceiver};
use guideway_control::health::{Counters, State as HealthState, Transition};
use guideway_control::reconcile::reconcile;
use guideway_control::rt::Rt;
use guideway_control::runtime::events;
use guideway_control::state::State;
use guideway_dataplane::counters::WorkerCounters;
use guideway_dataplane::ids::{PortId, WorkerId};
use guideway_dataplane::memory::{MemoryPool, MemoryPort, MemoryQueue, MemoryRx, MemoryTx, link};
use guideway_dataplane::publish;
use guideway_dataplane::punt::{ControlRings, PuntClass};
use guideway_dataplane::snapshot::PortState;
use guideway_dataplane::transmit::TxPath;
use guideway_dataplane::worker::{Worker, WorkerParts};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant, UNIX_EPOCH};

/// How long the real-time thread rests after every step, as in the process.
const REST: Duration = Duration::from_micros(200);
/// Until everybody is up.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why there are no figures.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration is refused.
    #[error("a configuration with {backends} backends is refused: {why}")]
    Config {
        /// How many.
        backends: u32,
        /// What the loader says.
        why: String,
    },
    /// The backends did not come up.
    #[error("{up} of {backends} backends were up after {} s: the machine is too slow for this interval", PATIENCE.as_secs())]
    NotUp {
        /// Those that were.
        up: usize,
        /// How many there are.
        backends: u32,
    },
    /// A thread ended before its time.
    #[error("the worker panicked")]
    Panicked,
}

/// What the worker's thread tells of itself.
#[derive(Debug, Default)]
struct Told {
    stop: AtomicBool,
    /// Nanoseconds in polls that handled something.
    busy: AtomicU64,
    /// Answers that found no room on the wire.
    lost: AtomicU64,
}

/// Everything but the worker.
struct Bench {
    rt: Rt<MemoryPort>,
    events: EventReceiver,
    backends: u32,
}

/// What is known at one moment.
struct Moment {
    at: Instant,
    control: Duration,
    busy: u64,
    lost: u64,
    prober: Counters,
    no_room: u64,
}

/// Measures so many backends. `enter` is run first on each thread, with its core.
///
/// # Errors
///
/// [`Error`].
pub fn run<C: Clock + Sync>(
    options: &Options,
    backends: u32,
    clock: &C,
    enter: impl Fn(usize) + Sync,
) -> Result<CaseReport, Error> {
    let (input, output) = (link(), link());
    let (mut bench, worker) = build(options, backends, clock, (&input, &output))?;
    let told = Told::default();
    std::thread::scope(|scope| {
        let polling = scope.spawn(|| {
            enter(options.worker_core);
            poll(worker, (&input, &output), clock, &told);
        });
        let control = scope.spawn(|| {
            enter(options.control_core);
            let figures = bench.measure(options, clock, &told);
            told.stop.store(true, Relaxed);
            figures
        });
        let figures = control.join();
        // Also after a panic of the other one.
        told.stop.store(true, Relaxed);
        polling.join().map_err(|_| Error::Panicked)?;
        Ok(CaseReport::new(backends, &figures.map_err(|_| Error::Panicked)??))
    })
}

fn build(
    options: &Options,
    backends: u32,
    clock: &impl Clock,
    (input, output): (&MemoryQueue, &MemoryQueue),
) -> Result<(Bench, Worker<MemoryPort>), Error> {
    let refused = |why: String| Error::Config { backends, why };
    let config = guideway_config::parse(&config(backends, options.interval), None)
        .map_err(|found| refused(found.iter().map(|one| one.message.as_str()).collect::<Vec<_>>().join("; ")))?
        .config;
    let ports = vec![PortState::new([2, 0, 0, 0, 0, 1])];
    let mut state = State::new(Arc::new(config), ports, UNIX_EPOCH).map_err(|error| refused(error.to_string()))?;
    let duties = duties(&state);
    let (_publisher, readers) = publish::channel(reconcile(&mut state), 1);
    let counters = Arc::new(WorkerCounters::default());
    let rings = ControlRings::new();
    let worker = |snapshots| {
        Worker::new(WorkerParts {
            id: WorkerId(0),
            rx: vec![(PortId(0), MemoryRx(Arc::clone(input)))],
            tx: vec![TxPath::Queue(MemoryTx(Arc::clone(output)))],
            snapshots,
            rings: rings.clone(),
            pool: Arc::new(MemoryPool),
            exception_rate: PuntClass::Exception.rate(),
            sessions: None,
            secret: [9; 16],
            counters: Arc::clone(&counters),
        })
    };
    let worker = readers.into_iter().map(worker).next().ok_or(Error::Panicked)?;
    let (sender, events) = events();
    let mut rt = Rt::new(vec![rings], vec![counters], Arc::new(MemoryPool), [7; 16], sender);
    rt.configure(clock.now(), duties).map_err(|error| refused(error.to_string()))?;
    Ok((Bench { rt, events, backends }, worker))
}

/// The worker's thread.
fn poll(
    mut worker: Worker<MemoryPort>,
    (input, output): (&MemoryQueue, &MemoryQueue),
    clock: &impl Clock,
    told: &Told,
) {
    while !told.stop.load(Relaxed) {
        let begun = clock.now();
        if worker.poll(begun, &mut ()) > 0 {
            let took = clock.now().since(begun).as_nanos() as u64;
            told.busy.fetch_add(took, Relaxed);
            told.lost.fetch_add(network::answer_all(output, input), Relaxed);
        }
    }
}

impl Bench {
    /// The control thread: waits until all are up, then measures.
    fn measure(&mut self, options: &Options, clock: &impl Clock, told: &Told) -> Result<Figures, Error> {
        let limit = Instant::now() + PATIENCE;
        let mut up = 0;
        while up < self.backends as usize {
            if Instant::now() > limit {
                return Err(Error::NotUp { up, backends: self.backends });
            }
            self.steps(options.interval.min(PATIENCE), clock);
            let health = self.rt.report(clock.now()).health;
            up = health.iter().filter(|(_, status)| status.state == HealthState::Up).count();
        }
        while self.events.try_recv().is_ok() {}
        let before = self.moment(clock, told);
        self.steps(options.seconds, clock);
        let after = self.moment(clock, told);
        let mut removals = 0;
        while let Ok(event) = self.events.try_recv() {
            removals += u64::from(matches!(event, Event::Health(event) if event.transition == Transition::Down));
        }
        Ok(Figures {
            elapsed: after.at - before.at,
            control: after.control - before.control,
            busy: Duration::from_nanos(after.busy - before.busy),
            sent: after.prober.sent - before.prober.sent,
            answered: after.prober.answered - before.prober.answered,
            timed_out: after.prober.timeouts - before.prober.timeouts,
            late: after.prober.late - before.prober.late,
            skipped: after.prober.skipped - before.prober.skipped,
            void: after.prober.void - before.prober.void,
            lost: after.lost - before.lost + after.no_room - before.no_room,
            removals,
        })
    }

    /// What the real-time thread does, for this long.
    fn steps(&mut self, duration: Duration, clock: &impl Clock) {
        let end = Instant::now() + duration;
        while Instant::now() < end {
            self.rt.step(clock.now());
            std::thread::sleep(REST);
        }
    }

    fn moment(&self, clock: &impl Clock, told: &Told) -> Moment {
        let report = self.rt.report(clock.now());
        Moment {
            at: Instant::now(),
            control: thread_time(),
            busy: told.busy.load(Relaxed),
            lost: told.lost.load(Relaxed),
            prober: report.prober,
            no_room: report.inject_full + report.no_buffer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Monotonic;

    #[test]
    fn all_backends_come_up_and_are_probed_over_and_over() {
        let options = Options {
            interval: Duration::from_secs(1),
            seconds: Duration::from_secs(2),
            worker_core: 0,
            control_core: 0,
        };
        let case = run(&options, 700, &Monotonic::default(), |_| {}).expect("figures");
        assert!(case.sent >= 700 && case.answered > 0, "{case:?}");
        assert_eq!((case.lost, case.removals), (0, 0), "{case:?}");
        assert!(case.worker_percent > 0.0 && case.control_percent > 0.0, "{case:?}");
    }
}
