//! The device under test: the worker of `guideway run` on a thread and a core of its own.

use super::joint::Enter;
use crate::clock::Clock;
use crate::device::DeviceError;
use crate::window::thread_time;
use guideway_dataplane::port::Port;
use guideway_dataplane::worker::Worker;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

/// How far a thread's own time came: on the processor, and by the clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// Time on the processor.
    pub cpu: Duration,
    /// Ticks of the clock.
    pub ticks: u64,
}

impl Times {
    /// The calling thread's now.
    #[must_use]
    pub fn of_this_thread(clock: &impl Clock) -> Self {
        Self { cpu: thread_time(), ticks: clock.ticks() }
    }

    /// The time since `earlier` in which the thread did not have its core.
    #[must_use]
    pub fn stolen_since(self, earlier: Self, hz: u64) -> Duration {
        let wall = Duration::from_secs_f64(self.ticks.saturating_sub(earlier.ticks) as f64 / hz.max(1) as f64);
        wall.saturating_sub(self.cpu.saturating_sub(earlier.cpu))
    }
}

/// What the worker's thread and others share. `asked` and `answered` count looks at the thread's time.
#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    asked: AtomicU64,
    answered: AtomicU64,
    cpu_nanos: AtomicU64,
    ticks: AtomicU64,
}

impl Shared {
    #[cold]
    fn answer(&self, asked: u64, clock: &impl Clock) {
        let Times { cpu, ticks } = Times::of_this_thread(clock);
        self.cpu_nanos.store(u64::try_from(cpu.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.ticks.store(ticks, Ordering::Relaxed);
        self.answered.store(asked, Ordering::Release);
    }
}

/// A running worker. It stops when this is dropped.
#[derive(Debug)]
pub struct Dut {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Dut {
    /// Starts a thread that makes itself ready by `enter` on `core`, and polls.
    ///
    /// # Errors
    ///
    /// What keeps the thread from starting or from its core.
    pub fn start<P: Port, C: Clock + Send + 'static>(
        core: usize,
        enter: Enter,
        clock: C,
        worker: Worker<P>,
    ) -> Result<Self, DeviceError>
    where
        Worker<P>: Send,
    {
        let shared = Arc::new(Shared::default());
        let (ready, started) = mpsc::channel();
        let of_thread = Arc::clone(&shared);
        let run = move || {
            let mut worker = worker;
            let entered = enter(core);
            let failed = entered.as_ref().err().map(|error| DeviceError(error.0.clone()));
            let is_ready = failed.is_none();
            // Nobody waits any more only if the starter is gone, and then this ends too.
            let _ = ready.send(failed);
            if is_ready {
                poll(&mut worker, &of_thread, &clock);
            }
            // Queues and packets go before what the thread was registered by.
            drop(worker);
            drop(entered);
        };
        let thread = std::thread::Builder::new().name("gw-worker".to_owned()).spawn(run);
        let thread = thread.map_err(|error| DeviceError(format!("no thread for the worker: {error}")))?;
        match started.recv() {
            Ok(None) => Ok(Self { shared, thread: Some(thread) }),
            Ok(Some(error)) => Err(error),
            Err(_) => Err(DeviceError("the worker's thread ended before it began".to_owned())),
        }
    }

    /// How far the worker's thread came by now. `None` if it is gone, which it is only after a panic.
    #[must_use]
    pub fn times(&self) -> Option<Times> {
        let asked = self.shared.asked.load(Ordering::Relaxed) + 1;
        self.shared.asked.store(asked, Ordering::Relaxed);
        while self.shared.answered.load(Ordering::Acquire) < asked {
            if self.thread.as_ref().is_none_or(JoinHandle::is_finished) {
                return None;
            }
            // Not a pause alone: in a test both threads may share a core.
            std::thread::yield_now();
        }
        Some(Times {
            cpu: Duration::from_nanos(self.shared.cpu_nanos.load(Ordering::Relaxed)),
            ticks: self.shared.ticks.load(Ordering::Relaxed),
        })
    }
}

impl Drop for Dut {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic was shown when it happened.
            let _ = thread.join();
        }
    }
}

fn poll<P: Port>(worker: &mut Worker<P>, shared: &Shared, clock: &impl Clock) {
    let mut answered = 0;
    while !shared.stop.load(Ordering::Relaxed) {
        worker.poll(clock.now(), &mut ());
        let asked = shared.asked.load(Ordering::Relaxed);
        if asked != answered {
            shared.answer(asked, clock);
            answered = asked;
        }
    }
}
