//! `replay`: a capture through the very same dataplane and control code, with the capture's clock. Pure but for the files.
//!
//! - `capture`: the files.
//! - `actions`, `agenda`: what `--at` asks for, and when it is done.
//! - `course`: how time goes on between two frames.
//! - `lane`, `spread`, `skew`: the workers, which of them gets a frame, and how late they are.
//! - `record`, `explain`, `closing`: what is said of each packet, and of all of them.

mod actions;
mod agenda;
mod capture;
mod closing;
mod course;
mod explain;
mod lane;
mod record;
mod skew;
mod spread;

use crate::control::Control;
use crate::devices::NoDevices;
use crate::duties::duties;
use crate::exception::{User, user};
use crate::health::Reason;
use crate::reconcile::reconcile;
use crate::responder::{Responder, Verdict as Answer};
use crate::sessions::session_parts;
use crate::state::{BackendHealth, State, StateError};
pub use actions::Timed;
use agenda::Agenda;
pub use capture::{Capture, CaptureError, CaptureWriter, Frame};
pub use closing::{Applied, Pins, PoolEnd, Summary};
pub(crate) use explain::labels;
use explain::{Decided, Names};
use guideway_config::model::Config;
use guideway_dataplane::counters::WorkerCounters;
use guideway_dataplane::ids::{BackendId, LinkId, PortId, WorkerId};
use guideway_dataplane::memory::{MemoryPort, MemoryQueue, link};
use guideway_dataplane::port::Packet;
use guideway_dataplane::publish;
use guideway_dataplane::punt::{ControlRings, Inject, PuntClass};
use guideway_dataplane::snapshot::PortState;
use guideway_dataplane::time::Nanos;
use lane::Lane;
pub use record::Record;
use skew::Skew;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

/// The most workers of a replay.
pub const MOST_WORKERS: u16 = 64;

/// What a replay starts from.
#[derive(Clone, Debug)]
pub struct Options {
    /// The port where frames arrive; default: the first.
    pub port: Option<String>,
    /// Backends that are down from the first packet: `NAME` or `POOL/NAME`.
    pub down: Vec<String>,
    /// What changes on the way.
    pub at: Vec<Timed>,
    /// Workers that frames are spread over, 1 to [`MOST_WORKERS`].
    pub workers: u16,
    /// Whether workers are late with new snapshots, and the seed of their delays.
    pub skew: Option<u64>,
}

impl Default for Options {
    fn default() -> Self {
        Self { port: None, down: Vec::new(), at: Vec::new(), workers: 1, skew: None }
    }
}

/// Why a replay cannot start, or go on.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The configuration cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// No such port.
    #[error("--port {name}: there is no such port; the configuration has {known}")]
    Port {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// No such backend.
    #[error("--down {name}: no backend has that name; give NAME or POOL/NAME as in the configuration")]
    Backend {
        /// What was asked for.
        name: String,
    },
    /// An action that is none, or that cannot be done.
    #[error("--at {time} '{text}': {problem}")]
    Action {
        /// When, as it was written.
        time: String,
        /// What, as it was written.
        text: String,
        /// What is wrong, and what to do.
        problem: String,
    },
}

/// A balancer in memory that is fed frame by frame: the control side of the product, and its workers.
pub struct Replay {
    control: Control,
    lanes: Vec<Lane>,
    skew: Option<Skew>,
    agenda: Agenda,
    responder: Responder,
    outputs: Vec<MemoryQueue>,
    names: Names,
    summary: Summary,
    /// The time of the first frame.
    start: Option<Nanos>,
    /// How far time went on for the control side. It never goes back, though a capture's may.
    now: Nanos,
}

/// A replayed port's own address: locally administered, its number at the end.
fn port_mac(index: usize) -> [u8; 6] {
    [0x02, 0x67, 0x77, 0x00, (index >> 8) as u8, index as u8]
}

impl Replay {
    /// A balancer of this configuration. Every backend is up but those that `options` name; next hops are the static
    /// neighbours of the configuration.
    ///
    /// # Errors
    ///
    /// [`ReplayError`] if an option names what the configuration does not have.
    pub fn new(config: &Arc<Config>, options: &Options) -> Result<Self, ReplayError> {
        let ports = (0..config.ports.len()).map(|index| PortState::taking_any_destination(port_mac(index)));
        let mut state = State::new(Arc::clone(config), ports.collect(), UNIX_EPOCH)?;
        let input_port = find_port(config, options.port.as_deref())?;
        for name in &options.down {
            take_down(&mut state, name)?;
        }
        let agenda = Agenda::new(&state, &options.at)?;
        state.settle();
        let workers = options.workers.clamp(1, MOST_WORKERS);
        let (publisher, readers) = publish::channel(reconcile(&mut state), usize::from(workers));
        let outputs: Vec<MemoryQueue> = config.ports.iter().map(|_| link()).collect();
        let rings: Vec<ControlRings<MemoryPort>> = readers.iter().map(|_| ControlRings::new()).collect();
        let lane = |(id, (snapshots, of_lane)): (u16, (_, &ControlRings<MemoryPort>))| {
            let sessions = session_parts(config, &rings);
            Lane::new(WorkerId(id), input_port, &outputs, snapshots, of_lane.clone(), sessions)
        };
        let lanes: Vec<Lane> = (0..).zip(readers.into_iter().zip(&rings)).map(lane).collect();
        let counters = lanes.iter().map(|lane| Arc::clone(&lane.counters)).collect();
        let mut responder = Responder::new();
        let duties = duties(&state);
        responder.configure(Nanos(0), &duties.links, &duties.vips);
        let mut names = Names::default();
        names.learn(&state);
        Ok(Self {
            control: Control::new(state, publisher, counters, Arc::new(NoDevices)),
            lanes,
            skew: options.skew.map(Skew::new),
            agenda,
            responder,
            outputs,
            names,
            summary: Summary::default(),
            start: None,
            now: Nanos(0),
        })
    }

    /// Feeds one frame. `emit` gets every frame that any port would send for it. First let time go on until the frame's:
    /// [`Replay::advance`].
    ///
    /// # Errors
    ///
    /// What `emit` says.
    pub fn feed<E>(
        &mut self,
        frame: &Frame,
        mut emit: impl FnMut(PortId, &[u8]) -> Result<(), E>,
    ) -> Result<Record, E> {
        let number = spread::worker_of(&frame.bytes, self.lanes.len());
        let (latest, several) = (self.control.generation(), self.lanes.len() > 1);
        let lane = &mut self.lanes[number];
        let mut decided = Decided::new(&self.control.state().config, &self.names, self.summary.packets + 1);
        let held = lane.held();
        lane.receive(&frame.bytes);
        lane.poll(frame.at, latest, &mut decided);
        let Decided { mut record, released, .. } = decided;
        record.worker = several.then_some(number as u16);
        record.generation = lane.generation;
        if record.verdict == "hold" && lane.held() == held {
            record.refuse(self.summary.newly_dropped(self.control.counters()));
        }
        if self.answer_punts(number, frame.at) {
            record.verdict = "answer";
            record.why = Some("Answered by the control side.".to_owned());
            self.lanes[number].poll(frame.at, latest, &mut ());
        }
        self.summary.cut += u64::from(frame.cut);
        self.summary.count(&record);
        self.summary.count_released(released.into_iter().flatten());
        self.summary.take_over(self.control.counters());
        for (index, queue) in self.outputs.iter().enumerate() {
            while let Some(packet) = queue.pop() {
                emit(PortId(index as u16), packet.frame())?;
            }
        }
        Ok(record)
    }

    /// Lets the control side answer what it would answer at once. Returns whether it did.
    fn answer_punts(&mut self, number: usize, now: Nanos) -> bool {
        let mut answered = false;
        for class in PuntClass::ALL {
            while let Some(punt) = self.lanes[number].rings.punts.ring(class).pop() {
                let mut packet = punt.packet;
                if self.is_for_kernel(class, punt.link, packet.frame()) {
                    continue;
                }
                if class != PuntClass::Probe && self.responder.handle(now, punt.link, &mut packet) == Answer::Reply {
                    let frame = Inject::Frame { packet, link: punt.link };
                    answered |= self.lanes[number].rings.inject.push(frame).is_ok();
                }
            }
        }
        answered
    }

    /// Whether the kernel alone has a use for a punted packet.
    fn is_for_kernel(&self, class: PuntClass, link: LinkId, frame: &[u8]) -> bool {
        let state = self.control.state();
        let port = state.links.get(link.index()).and_then(|link| state.ports.get(link.port.index()));
        port.is_some_and(|port| port.exception)
            && user(class, frame, |source, destination| self.responder.is_of_probe(source, destination)) == User::Kernel
    }

    /// The counters of what was fed so far.
    #[must_use]
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// The workers' counters, by worker.
    #[must_use]
    pub fn counters(&self) -> &[Arc<WorkerCounters>] {
        self.control.counters()
    }
}

fn find_port(config: &Config, name: Option<&str>) -> Result<PortId, ReplayError> {
    let Some(name) = name else { return Ok(PortId(0)) };
    let unknown = || {
        let known = config.ports.iter().map(|port| port.name.as_str()).collect::<Vec<_>>().join(", ");
        ReplayError::Port { name: name.to_owned(), known }
    };
    let index = config.ports.iter().position(|port| port.name == name).ok_or_else(unknown)?;
    Ok(PortId(index as u16))
}

/// Takes down every backend of this name: in one pool as `POOL/NAME`, in all as `NAME`.
fn take_down(state: &mut State, wanted: &str) -> Result<(), ReplayError> {
    let config = Arc::clone(&state.config);
    let mut found = Vec::<BackendId>::new();
    for (pool, of_pool) in config.pools.iter().zip(&state.pools) {
        for (backend, of_backend) in pool.backends.iter().zip(&of_pool.backends) {
            if backend.name == wanted || format!("{}/{}", pool.name, backend.name) == wanted {
                found.push(of_backend.id);
            }
        }
    }
    if found.is_empty() {
        return Err(ReplayError::Backend { name: wanted.to_owned() });
    }
    for id in found {
        state.set_health(id, BackendHealth::Down, Reason::Timeout, UNIX_EPOCH);
    }
    Ok(())
}
