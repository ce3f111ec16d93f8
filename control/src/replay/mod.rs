//! `replay`: a capture through the very same dataplane code, with the capture's clock. Pure but for the files.

mod capture;
mod explain;
mod record;

use crate::duties::duties;
use crate::exception::{User, user};
use crate::health::Reason;
use crate::reconcile::reconcile;
use crate::responder::{Responder, Verdict as Answer};
use crate::state::{BackendHealth, State, StateError};
pub use capture::{Capture, CaptureError, CaptureWriter, Frame};
use explain::Decided;
use guideway_config::model::Config;
use guideway_dataplane::counters::WorkerCounters;
use guideway_dataplane::fragment::HOLD_TIME;
use guideway_dataplane::ids::{BackendId, LinkId, PortId, WorkerId};
use guideway_dataplane::memory::{MemoryPacket, MemoryPool, MemoryPort, MemoryQueue, MemoryRx, MemoryTx, link};
use guideway_dataplane::port::Packet;
use guideway_dataplane::publish;
use guideway_dataplane::punt::{ControlRings, Inject, PuntClass};
use guideway_dataplane::snapshot::PortState;
use guideway_dataplane::time::Nanos;
use guideway_dataplane::transmit::TxPath;
use guideway_dataplane::worker::{Worker, WorkerParts};
pub use record::{Record, Summary};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

/// What a replay starts from.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The port where frames arrive; default: the first.
    pub port: Option<String>,
    /// Backends that are down from the first packet: `NAME` or `POOL/NAME`.
    pub down: Vec<String>,
}

/// Why a replay cannot start.
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
}

/// A balancer in memory, with one worker, that is fed frame by frame.
pub struct Replay {
    state: State,
    workers: Vec<Worker<MemoryPort>>,
    rings: ControlRings<MemoryPort>,
    responder: Responder,
    input: MemoryQueue,
    outputs: Vec<MemoryQueue>,
    counters: Arc<WorkerCounters>,
    summary: Summary,
    // Kept: readers use what it published.
    _publisher: publish::Publisher<guideway_dataplane::snapshot::Snapshot>,
}

/// Workers of a replay.
const WORKERS: usize = 1;

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
        state.settle();
        let snapshot = reconcile(&mut state);
        let (publisher, readers) = publish::channel(snapshot, WORKERS);
        let rings = ControlRings::new();
        let (input, outputs) = (link(), config.ports.iter().map(|_| link()).collect::<Vec<_>>());
        let counters = Arc::new(WorkerCounters::default());
        let worker = |snapshots| {
            Worker::new(WorkerParts {
                id: WorkerId(0),
                rx: vec![(input_port, MemoryRx(Arc::clone(&input)))],
                tx: outputs.iter().map(|queue| TxPath::Queue(MemoryTx(Arc::clone(queue)))).collect(),
                snapshots,
                rings: rings.clone(),
                pool: Arc::new(MemoryPool),
                exception_rate: PuntClass::Exception.rate(),
                secret: [0; 16],
                counters: Arc::clone(&counters),
            })
        };
        let workers = readers.into_iter().map(worker).collect();
        let mut responder = Responder::new();
        let duties = duties(&state);
        responder.configure(Nanos(0), &duties.links, &duties.vips);
        let summary = Summary::default();
        let _publisher = publisher;
        Ok(Self { state, workers, rings, responder, input, outputs, counters, summary, _publisher })
    }

    /// Feeds one frame. `emit` gets every frame that any port would send for it.
    ///
    /// # Errors
    ///
    /// What `emit` says.
    pub fn feed<E>(
        &mut self,
        frame: &Frame,
        mut emit: impl FnMut(PortId, &[u8]) -> Result<(), E>,
    ) -> Result<Record, E> {
        let mut decided = Decided::new(&self.state, self.summary.packets + 1);
        // The queue was emptied by the poll before: it takes the packet.
        let _ = self.input.push(MemoryPacket::new(&frame.bytes));
        let held = self.counters.held.get();
        for worker in &mut self.workers {
            worker.poll(frame.at, &mut decided);
        }
        let Decided { mut record, released, .. } = decided;
        if record.verdict == "hold" && self.counters.held.get() == held {
            record.refuse(self.summary.newly_dropped(&self.counters));
        }
        if self.answer_punts(frame.at) {
            record.verdict = "answer";
            record.why = Some("Answered by the control side.".to_owned());
            for worker in &mut self.workers {
                worker.poll(frame.at, &mut ());
            }
        }
        self.summary.cut += u64::from(frame.cut);
        self.summary.count(&record);
        self.summary.count_released(released.into_iter().flatten());
        self.summary.take_over(&self.counters);
        for (index, queue) in self.outputs.iter().enumerate() {
            while let Some(packet) = queue.pop() {
                emit(PortId(index as u16), packet.frame())?;
            }
        }
        Ok(record)
    }

    /// Lets the time go on after the last frame until no fragment is held any more.
    pub fn finish(&mut self, last: Nanos) {
        let mut decided = Decided::new(&self.state, self.summary.packets);
        for worker in &mut self.workers {
            worker.poll(last + HOLD_TIME, &mut decided);
        }
        let Decided { released, .. } = decided;
        self.summary.count_released(released.into_iter().flatten());
        self.summary.take_over(&self.counters);
    }

    /// Lets the control side answer what it would answer at once. Returns whether it did.
    fn answer_punts(&mut self, now: Nanos) -> bool {
        let mut answered = false;
        for class in PuntClass::ALL {
            while let Some(punt) = self.rings.punts.ring(class).pop() {
                let mut packet = punt.packet;
                if self.is_for_kernel(class, punt.link, packet.frame()) {
                    continue;
                }
                if class != PuntClass::Probe && self.responder.handle(now, punt.link, &mut packet) == Answer::Reply {
                    let frame = Inject::Frame { packet, link: punt.link };
                    answered |= self.rings.inject.push(frame).is_ok();
                }
            }
        }
        answered
    }

    /// Whether the kernel alone has a use for a punted packet.
    fn is_for_kernel(&self, class: PuntClass, link: LinkId, frame: &[u8]) -> bool {
        let port = self.state.links.get(link.index()).and_then(|link| self.state.ports.get(link.port.index()));
        port.is_some_and(|port| port.exception)
            && user(class, frame, |source, destination| self.responder.is_of_probe(source, destination)) == User::Kernel
    }

    /// The counters of what was fed so far.
    #[must_use]
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// The worker's counters.
    #[must_use]
    pub fn counters(&self) -> &Arc<WorkerCounters> {
        &self.counters
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
