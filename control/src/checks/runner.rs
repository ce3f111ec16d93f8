//! Runs the checks: when each is due, how many run at once, and what becomes of their results.

use super::judged::{CheckReport, Judged};
use super::kernel;
use super::lateness::{LOOK, Lateness};
use super::path::{self, StackPath};
use super::speak::{self, Fault, Said, Trust};
use super::stack::Stack;
use super::{HistoryResult, Question, Subject};
use crate::events::{Event, EventSender};
use crate::health::{CheckNumber, HealthEvent, Reason};
use guideway_config::model::Via;
use guideway_dataplane::ids::BackendId;
use guideway_dataplane::time::Nanos;
use std::cell::RefCell;
use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, Semaphore, mpsc, oneshot};
use tokio::task::{AbortHandle, spawn_local};
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// Conversations over the stack at once: each packet passes all of its sockets.
const MOST_OF_STACK: usize = 256;
/// Conversations over ordinary sockets at once.
const MOST_OF_KERNEL: usize = 256;
/// The jitter of a probe is less than this part of its interval.
const JITTER: u32 = 16;

/// What the thread of the checks is asked for.
#[derive(Debug)]
pub enum Request {
    /// Ask these from now on.
    Configure(Vec<Subject>),
    /// Tell how things are.
    Report(oneshot::Sender<Vec<CheckReport>>),
    /// Tell the last results of a backend, check by check.
    History(BackendId, oneshot::Sender<Vec<(CheckNumber, Vec<HistoryResult>)>>),
}

/// Where results go, and the time of day of everybody.
pub struct Outlets {
    /// To the background thread.
    pub events: EventSender,
    /// The clock that workers use too.
    pub clock: Arc<dyn Fn() -> Nanos + Send + Sync>,
}

/// What all tasks share.
struct Shared {
    outlets: Outlets,
    stack: Stack,
    /// With the real-time thread.
    path: Arc<path::Shared>,
    trust: Trust,
    lateness: RefCell<Lateness>,
    of_stack: Semaphore,
    of_kernel: Semaphore,
    random: RandomState,
}

/// One subject, and the task that asks it.
struct Watched {
    subject: Subject,
    judged: Rc<RefCell<Judged>>,
    at_once: Rc<Notify>,
    task: AbortHandle,
}

/// Serves requests until nobody can send any more. To be run on a [`tokio::task::LocalSet`].
pub async fn run(mut requests: mpsc::UnboundedReceiver<Request>, path: StackPath, outlets: Outlets) {
    let now = (outlets.clock)();
    let shared = Rc::new(Shared {
        outlets,
        path: path.shared(),
        stack: Stack::new(path),
        trust: Trust::default(),
        lateness: RefCell::new(Lateness::new(now)),
        of_stack: Semaphore::new(MOST_OF_STACK),
        of_kernel: Semaphore::new(MOST_OF_KERNEL),
        random: RandomState::new(),
    });
    let driver = spawn_local({
        let shared = Rc::clone(&shared);
        async move { shared.stack.drive().await }
    });
    let mut watched: HashMap<(BackendId, CheckNumber), Watched> = HashMap::new();
    loop {
        let request = if watched.is_empty() {
            let request = requests.recv().await;
            shared.lateness.borrow_mut().rested(shared.now());
            request
        } else {
            tokio::select! {
                request = requests.recv() => request,
                () = sleep(LOOK) => {
                    shared.lateness.borrow_mut().look(shared.now());
                    doubt(&shared, &watched);
                    continue;
                }
            }
        };
        match request {
            None => break,
            Some(Request::Configure(subjects)) => configure(&shared, &mut watched, subjects),
            // Who asked may have gone away meanwhile.
            Some(Request::Report(answer)) => drop(answer.send(watched.values().map(report).collect())),
            Some(Request::History(backend, answer)) => {
                let now = shared.now();
                let of_backend = watched.iter().filter(|((id, _), _)| *id == backend);
                let mut all: Vec<_> =
                    of_backend.map(|((_, number), of)| (*number, of.judged.borrow().history(now))).collect();
                all.sort_by_key(|(number, _)| *number);
                drop(answer.send(all));
            }
        }
    }
    watched.into_values().for_each(|watched| watched.task.abort());
    driver.abort();
}

/// Has those asked out of turn that something speaks against.
fn doubt(shared: &Shared, watched: &HashMap<(BackendId, CheckNumber), Watched>) {
    while let Some(backend) = shared.path.doubted() {
        for (_, watched) in watched.iter().filter(|((id, _), _)| *id == backend) {
            watched.at_once.notify_one();
        }
    }
}

fn report(watched: &Watched) -> CheckReport {
    let judged = watched.judged.borrow();
    CheckReport {
        backend: watched.subject.backend,
        number: watched.subject.asked.number,
        status: judged.status(&watched.subject.asked.times),
        detail: judged.detail(),
    }
}

/// Makes the list of those who are asked `subjects`. Who is asked the same as before keeps what is known of it, and who is
/// new is asked at a time of its own within its interval.
fn configure(shared: &Rc<Shared>, watched: &mut HashMap<(BackendId, CheckNumber), Watched>, subjects: Vec<Subject>) {
    shared.trust.forget();
    let mut before = std::mem::take(watched);
    // A check may have another number by now.
    let mut known: HashMap<BackendId, Vec<Watched>> = HashMap::new();
    for (_, old) in before.drain() {
        known.entry(old.subject.backend).or_default().push(old);
    }
    let count = subjects.len().max(1) as u32;
    for (place, subject) in (0_u32..).zip(subjects) {
        let of_backend = known.entry(subject.backend).or_default();
        let same = of_backend.iter().position(|old| old.subject.asks_like(&subject));
        let old = same.map(|index| of_backend.swap_remove(index));
        let key = (subject.backend, subject.asked.number);
        let entry = match old {
            Some(old) if old.subject == subject => old,
            Some(old) => {
                old.task.abort();
                if old.judged.borrow().status(&old.subject.asked.times).outstanding > 0 {
                    old.judged.borrow_mut().give_up();
                }
                watch(shared, subject, Rc::clone(&old.judged), Duration::ZERO)
            }
            None => {
                let phase = subject.asked.times.interval.mul_f64(f64::from(place) / f64::from(count));
                // One that stands alone is asked at once, and nobody waits for long intervals.
                let judged = Rc::new(RefCell::new(Judged::new(shared.now())));
                watch(shared, subject, judged, phase.min(Duration::from_secs(1)))
            }
        };
        watched.insert(key, entry);
    }
    known.into_values().flatten().for_each(|gone| gone.task.abort());
}

fn watch(shared: &Rc<Shared>, subject: Subject, judged: Rc<RefCell<Judged>>, phase: Duration) -> Watched {
    let at_once = Rc::new(Notify::new());
    let task = Task {
        shared: Rc::clone(shared),
        subject: subject.clone(),
        judged: Rc::clone(&judged),
        at_once: Rc::clone(&at_once),
    };
    let task = spawn_local(task.run(Instant::now() + phase)).abort_handle();
    Watched { subject, judged, at_once, task }
}

struct Task {
    shared: Rc<Shared>,
    subject: Subject,
    judged: Rc<RefCell<Judged>>,
    /// Told when something speaks against the backend.
    at_once: Rc<Notify>,
}

impl Task {
    async fn run(self, mut due: Instant) {
        let mut round = 0_u64;
        let mut begun = Instant::now();
        loop {
            self.rest(begun, due).await;
            begun = self.round().await;
            round += 1;
            let pause = self.judged.borrow().pause(&self.subject.asked.times);
            due = begun + pause + self.shared.jitter(self.subject.backend, round, pause);
        }
    }

    /// Waits until a probe is due, or for `fast_interval` from the beginning of the last one on if something speaks against a
    /// backend that stands.
    async fn rest(&self, begun: Instant, due: Instant) {
        let early = tokio::select! {
            () = sleep_until(due) => return,
            () = self.at_once.notified() => begun + self.subject.asked.times.fast_interval,
        };
        if early < due && self.judged.borrow().stands() {
            sleep_until(early).await;
            self.shared.path.count_out_of_turn();
        } else {
            sleep_until(due).await;
        }
    }

    /// One probe. Returns when it began, which is not before there was room for it.
    async fn round(&self) -> Instant {
        let shared = &self.shared;
        let room = if self.subject.asked.via == Via::Dataplane { &shared.of_stack } else { &shared.of_kernel };
        let _room = room.acquire().await;
        let (begun, begun_at, stalled) = (Instant::now(), shared.now(), shared.stack.stalled());
        self.judged.borrow_mut().begin();
        let times = self.subject.asked.times;
        let said = timeout(times.timeout, self.speak()).await;
        let at = shared.now();
        let result = said.unwrap_or_else(|_| Err(self.silence(begun_at, at, stalled)));
        self.settle(at, begun.elapsed(), result);
        begun
    }

    async fn speak(&self) -> Result<Said, Fault> {
        let way = match self.subject.asked.via {
            Via::Dataplane => speak::Way::Stack(&self.shared.stack, &self.subject),
            Via::Kernel => speak::Way::Kernel(kernel::Sockets::new(&self.subject)),
        };
        speak::speak(&way, &self.subject, &self.shared.trust).await
    }

    /// A timeout, unless this process may be to blame.
    fn silence(&self, begun: Nanos, now: Nanos, stalled_before: Duration) -> Fault {
        let timeout = self.subject.asked.times.timeout;
        let late = self.shared.lateness.borrow().excuses(begun, now, timeout);
        let stalled = self.shared.stack.stalled() - stalled_before;
        let stalled = self.subject.asked.via == Via::Dataplane && stalled > timeout / 2;
        if late || stalled { Fault::ours(&"this process was kept from running") } else { Fault::of(Reason::Timeout) }
    }

    fn settle(&self, at: Nanos, took: Duration, result: Result<Said, Fault>) {
        let Subject { backend, asked, .. } = &self.subject;
        let (result, advice) = match result {
            Ok(Said { detail, advice }) => (Ok(detail), advice),
            Err(fault) => (Err(fault), None),
        };
        // An agent has no verdict of its own: it says one, or it says nothing.
        let transition = self.judged.borrow_mut().settle(at, took, result, &asked.times);
        // A send fails only while the process stops: then nobody needs it.
        let events = &self.shared.outlets.events;
        if *asked.question == Question::Agent {
            if let Some(advice) = advice {
                let _ = events.send(Event::Advice { backend: *backend, advice, at });
            }
            return;
        }
        if let Some((transition, reason)) = transition {
            let check = Some(asked.number);
            let _ = events.send(Event::Health(HealthEvent { backend: *backend, check, at, transition, reason }));
        }
    }
}

impl Shared {
    fn now(&self) -> Nanos {
        (self.outlets.clock)()
    }

    /// Less than a part of the interval, and different from round to round.
    fn jitter(&self, backend: BackendId, round: u64, interval: Duration) -> Duration {
        let share = self.random.hash_one((backend.0, round)) as u32;
        (interval / JITTER).mul_f64(f64::from(share) / f64::from(u32::MAX))
    }
}
