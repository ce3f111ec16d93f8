//! The control side's threads, started and stopped together.
//!
//! - `gw-rt` runs [`Rt::step`] in a loop that stays under a millisecond.
//! - `gw-bg` runs a single-threaded tokio runtime: events → state → snapshot, link states, the control socket.
//! - `gw-health` runs the checks that are conversations.
//! - `gw-exception`, where there is an exception path, moves frames between rt and the kernel.

use crate::api::{self, Handles, Listener, Socket, Store};
use crate::audit::author::{self, Author, Peer};
use crate::checks::{self, Outlets, StackPath};
use crate::control::Control;
use crate::events::{EventReceiver, EventSender, Request};
use crate::exception::Exchange;
use crate::reload::run::{Ask, Outcome, ReloadError, Source, reload};
use crate::rt::{Report, Rt};
use crossbeam::channel::Receiver;
use guideway_dataplane::ids::PortId;
use guideway_dataplane::port::Port;
use guideway_dataplane::time::Nanos;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{debug, error};

/// How long the real-time thread rests after every step. Always: it may have real-time priority on a core that it shares,
/// and what it waits for may need that core. Rings hold what a worker punts in many times this.
const REST: Duration = Duration::from_micros(200);
/// How long the exception path's thread rests when there is nothing more to do: as long as a frame waits at most.
const EXCHANGE_REST: Duration = Duration::from_millis(1);
/// How often links are looked at, planned changes go on, and old snapshots are freed.
const TICK: Duration = Duration::from_millis(50);
/// The same while a backend returns: until workers know, packets of its idle flows go elsewhere, which resets them.
const SOON: Duration = Duration::from_millis(2);
/// How often it is looked whether the control threads came round.
const LOOK: Duration = Duration::from_millis(5);
/// How often what workers tell of connections is taken to the log.
const LOG_PAUSE: Duration = Duration::from_millis(5);
/// The name of the real-time thread, as debuggers and tests find it.
pub const RT_THREAD: &str = "gw-rt";
/// The name of the background thread.
pub const BG_THREAD: &str = "gw-bg";
/// The name of the thread of the checks.
pub const CHECKS_THREAD: &str = "gw-health";
/// The name of the thread of the exception path.
pub const EXCEPTION_THREAD: &str = "gw-exception";

/// The channel from the real-time thread to the background thread.
#[must_use]
pub fn events() -> (EventSender, EventReceiver) {
    mpsc::unbounded_channel()
}

/// What the threads are made of.
pub struct Parts<P: Port, C> {
    /// The background side.
    pub control: Control,
    /// The real-time side.
    pub rt: Rt<P>,
    /// The end of the events that `rt` sends.
    pub events: EventReceiver,
    /// The control socket; none for tests.
    pub socket: Option<Socket>,
    /// The same over TCP, if that is configured.
    pub listener: Option<Listener>,
    /// The file that a reload reads again; none for tests.
    pub source: Option<Source>,
    /// The exception path's other end, if there is one.
    pub exchange: Option<Exchange>,
    /// The clock that workers use too.
    pub clock: C,
    /// Asks the process to stop, as SIGTERM does: a drain of the machine is over.
    pub stop: Box<dyn Fn() + Send>,
    /// Run first on the real-time thread: pins it, and gives it its priority.
    pub enter_rt: Box<dyn FnOnce() + Send>,
    /// Run first on the background thread: pins it.
    pub enter_bg: Box<dyn FnOnce() + Send>,
    /// Run first on the thread of the checks: pins it.
    pub enter_checks: Box<dyn FnOnce() + Send>,
    /// Run first on the thread of the exception path: pins it.
    pub enter_exception: Box<dyn FnOnce() + Send>,
}

/// The running control side.
pub struct Runtime {
    stop: Arc<AtomicBool>,
    stop_bg: watch::Sender<bool>,
    threads: Vec<JoinHandle<()>>,
    handles: Handles,
    reloads: mpsc::UnboundedSender<Reload>,
    pings: mpsc::UnboundedSender<Ping>,
}

/// Answered by the background thread as soon as it is free.
type Ping = oneshot::Sender<()>;

/// A reload, and who asked for it.
type Reload = (Ask, oneshot::Sender<Result<Outcome, ReloadError>>);

/// Starts the threads.
///
/// # Errors
///
/// What the system says if it gives no thread.
pub fn start<P, C>(parts: Parts<P, C>) -> io::Result<Runtime>
where
    P: Port,
    C: Fn() -> Nanos + Send + Sync + Clone + 'static,
    P::Pool: Send + Sync,
{
    let Parts { control, rt, events, socket, listener, source, exchange, clock, .. } = parts;
    let (enter_rt, enter_bg, enter_checks) = (parts.enter_rt, parts.enter_bg, parts.enter_checks);
    let (enter_exception, ask_to_stop) = (parts.enter_exception, parts.stop);
    let (probe_path, stack_path) = checks::path();
    let rt = rt.with_conversations(probe_path);
    let outlets = Outlets { events: rt.events(), clock: Arc::new(clock.clone()) };
    let stop = Arc::new(AtomicBool::new(false));
    let (stop_bg, stopped) = watch::channel(false);
    let (requests, requested) = crossbeam::channel::unbounded();
    let (checks, of_checks) = mpsc::unbounded_channel();
    let state_file = control.state().config.state_file.clone();
    let handles = Handles {
        control: Arc::new(Mutex::new(control)),
        requests,
        checks,
        clock: Arc::new(clock.clone()),
        patience: api::PATIENCE,
        store: state_file.map(|path| Arc::new(Store::new(path))),
        source: source.map(Arc::new),
    };
    handles.assign(handles.control().state());
    let (reloads, asked) = mpsc::unbounded_channel();
    let (pings, pinged) = mpsc::unbounded_channel();

    let mut threads = Vec::new();
    if let Some(exchange) = exchange {
        let (clock, stop) = (clock.clone(), Arc::clone(&stop));
        threads.push(std::thread::Builder::new().name(EXCEPTION_THREAD.to_owned()).spawn(move || {
            enter_exception();
            run_exchange(exchange, clock, &stop);
        })?);
    }
    let rt_stop = Arc::clone(&stop);
    threads.push(std::thread::Builder::new().name(RT_THREAD.to_owned()).spawn(move || {
        enter_rt();
        run_rt(rt, &requested, clock, &rt_stop);
    })?);
    let checks_stopped = stopped.clone();
    threads.push(std::thread::Builder::new().name(CHECKS_THREAD.to_owned()).spawn(move || {
        enter_checks();
        run_checks(of_checks, stack_path, outlets, checks_stopped);
    })?);
    let bg_handles = handles.clone();
    threads.push(std::thread::Builder::new().name(BG_THREAD.to_owned()).spawn(move || {
        enter_bg();
        run_bg(bg_handles, events, (socket, listener), asked, pinged, stopped, ask_to_stop);
    })?);
    Ok(Runtime { stop, stop_bg, threads, handles, reloads, pings })
}

impl Runtime {
    /// The background side, for callers in the same process.
    #[must_use]
    pub fn control(&self) -> &Arc<Mutex<Control>> {
        &self.handles.control
    }

    /// What the real-time thread says of itself; `None` if it ended. Not for async callers: it waits.
    #[must_use]
    pub fn report(&self) -> Option<Report> {
        let (answer, answered) = oneshot::channel();
        self.handles.requests.send(Request::Report(answer)).ok()?;
        let report = answered.blocking_recv().ok()?;
        let (answer, answered) = oneshot::channel();
        self.handles.checks.send(checks::Request::Report(answer)).ok()?;
        Some(Report { checks: answered.blocking_recv().ok()?, ..report })
    }

    /// Waits until both control threads came round once more; `false` if one of them ended, or not within `limit`. Not for
    /// async callers.
    #[must_use]
    pub fn comes_round(&self, limit: Duration) -> bool {
        let begun = Instant::now();
        let (answer, mut pinged) = oneshot::channel();
        let (report, mut reported) = oneshot::channel();
        if self.pings.send(answer).is_err() || self.handles.requests.send(Request::Report(report)).is_err() {
            return false;
        }
        let (mut bg, mut rt) = (false, false);
        loop {
            bg |= pinged.try_recv().is_ok();
            rt |= reported.try_recv().is_ok();
            if bg && rt || begun.elapsed() >= limit {
                return bg && rt;
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Reads the configuration again and applies what changed. Not for async callers: it waits.
    ///
    /// # Errors
    ///
    /// [`ReloadError`]; nothing changed then.
    pub fn reload(&self, ask: Ask) -> Result<Outcome, ReloadError> {
        let (answer, answered) = oneshot::channel();
        self.reloads.send((ask, answer)).map_err(|_| ReloadError::Stopping)?;
        answered.blocking_recv().unwrap_or(Err(ReloadError::Stopping))
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        let _ = self.stop_bg.send(true);
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                error!("a control thread panicked; its message is above");
            }
        }
    }
}

fn run_rt<P: Port>(mut rt: Rt<P>, requests: &Receiver<Request>, clock: impl Fn() -> Nanos, stop: &AtomicBool) {
    while !stop.load(Relaxed) {
        let now = clock();
        if let Ok(request) = requests.try_recv() {
            serve_request(&mut rt, request, now);
        }
        rt.step(now);
        std::thread::sleep(REST);
    }
}

fn run_checks(
    requests: mpsc::UnboundedReceiver<checks::Request>,
    path: StackPath,
    outlets: Outlets,
    mut stopped: watch::Receiver<bool>,
) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return error!(%error, "no runtime for the thread of the checks"),
    };
    tokio::task::LocalSet::new().block_on(&runtime, async move {
        tokio::select! {
            () = checks::run(requests, path, outlets) => {}
            _ = stopped.wait_for(|stop| *stop) => {}
        }
    });
}

fn run_exchange(mut exchange: Exchange, clock: impl Fn() -> Nanos, stop: &AtomicBool) {
    while !stop.load(Relaxed) {
        if !exchange.step(clock()) {
            std::thread::sleep(EXCHANGE_REST);
        }
    }
}

fn serve_request<P: Port>(rt: &mut Rt<P>, request: Request, now: Nanos) {
    match request {
        Request::Configure(duties) => {
            if let Err(error) = rt.configure(now, *duties) {
                error!(%error, "the health checks of this configuration cannot be run");
            }
        }
        Request::Link { port, up: false } => rt.port_down(now, port),
        Request::Link { port, up: true } => rt.port_up(now, port),
        Request::History(backend, answer) => drop(answer.send(rt.history(backend, now))),
        // Who asked may have gone away meanwhile.
        Request::Report(answer) => drop(answer.send(rt.report(now))),
    }
}

fn run_bg(
    handles: Handles,
    events: EventReceiver,
    (socket, listener): (Option<Socket>, Option<Listener>),
    asked: mpsc::UnboundedReceiver<Reload>,
    pinged: mpsc::UnboundedReceiver<Ping>,
    stopped: watch::Receiver<bool>,
    stop: Box<dyn Fn() + Send>,
) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return error!(%error, "no runtime for the background thread"),
    };
    runtime.block_on(async move {
        let mut stop_api = stopped.clone();
        let api = serve_api(handles.clone(), socket);
        let tcp = serve_tcp(handles.clone(), listener);
        let reloads = serve_reloads(handles.clone(), asked);
        let log = log_connections(handles.clone());
        let follow = follow_events(handles, events, pinged, stopped, stop);
        let api = async {
            tokio::select! {
                ((), (), (), ()) = async { tokio::join!(api, tcp, reloads, log) } => {}
                _ = stop_api.wait_for(|stop| *stop) => {}
            }
        };
        tokio::join!(follow, api);
    });
    // Somebody may be reading a file that never ends.
    runtime.shutdown_background();
}

async fn serve_reloads(handles: Handles, mut asked: mpsc::UnboundedReceiver<Reload>) {
    while let Some((ask, answer)) = asked.recv().await {
        // Who asked may have gone away meanwhile.
        let _ = answer.send(author::scope(Author::Signal, reload(&handles, ask)).await);
    }
}

/// Takes what workers tell of connections to the log.
async fn log_connections(handles: Handles) {
    if handles.control().audit().tap().is_none() {
        return std::future::pending().await;
    }
    loop {
        let more = handles.control().log_connections((handles.clock)());
        // Rings hold what comes in this time, and what is more is above the rate.
        if more { tokio::task::yield_now().await } else { tokio::time::sleep(LOG_PAUSE).await }
    }
}

/// Serves the control socket until it fails; without one, forever does nothing.
async fn serve_api(handles: Handles, socket: Option<Socket>) {
    let Some(socket) = socket else { return std::future::pending().await };
    let listener = socket.listener.try_clone().and_then(tokio::net::UnixListener::from_std);
    match listener {
        Ok(listener) => {
            if let Err(error) =
                axum::serve(listener, api::router(handles).into_make_service_with_connect_info::<Peer>()).await
            {
                error!(%error, "the control socket failed");
            }
        }
        Err(error) => error!(%error, "the control socket failed"),
    }
}

/// The same over TCP.
async fn serve_tcp(handles: Handles, listener: Option<Listener>) {
    let Some(listener) = listener else { return std::future::pending().await };
    let router = listener.router(handles);
    match tokio::net::TcpListener::from_std(listener.listener) {
        Ok(listener) => {
            if let Err(error) = axum::serve(listener, router.into_make_service_with_connect_info::<Peer>()).await {
                error!(%error, "the API over TCP failed");
            }
        }
        Err(error) => error!(%error, "the API over TCP failed"),
    }
}

async fn follow_events(
    handles: Handles,
    mut events: EventReceiver,
    mut pinged: mpsc::UnboundedReceiver<Ping>,
    mut stopped: watch::Receiver<bool>,
    stop: Box<dyn Fn() + Send>,
) {
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut hurries = false;
    loop {
        tokio::select! {
            _ = stopped.wait_for(|stop| *stop) => return,
            event = events.recv() => {
                let Some(event) = event else { return };
                let mut control = handles.control();
                let mut changed = control.apply(event);
                // What came together is published together: one rebuild for a rack that died.
                while let Ok(event) = events.try_recv() {
                    changed |= control.apply(event);
                }
                if changed {
                    let generation = control.publish();
                    debug!(generation, "published");
                }
                handles.step(&mut control);
            }
            // Who asked may have gone away meanwhile.
            Some(ping) = pinged.recv() => drop(ping.send(())),
            () = tokio::time::sleep(SOON), if hurries => handles.step(&mut handles.control()),
            _ = tick.tick() => {
                on_tick(&handles);
                if handles.control().has_drained((handles.clock)()) {
                    stop();
                }
            }
        }
        hurries = handles.control().state().has_returning();
    }
}

fn on_tick(handles: &Handles) {
    let mut control = handles.control();
    let mut changed = false;
    for index in 0..control.state().ports.len() {
        let port = PortId(index as u16);
        let up = control.devices().link_up(port);
        if control.set_link(port, up) {
            changed = true;
            // A send fails only while the process stops.
            let _ = handles.requests.send(Request::Link { port, up });
        }
    }
    if changed {
        control.publish();
    }
    handles.step(&mut control);
    control.reclaim();
}
