//! `replay`: a capture through the very same dataplane code, with the capture's clock. Pure but for the files.

mod capture;
mod record;

use crate::duties::duties;
use crate::health::Reason;
use crate::reconcile::reconcile;
use crate::responder::{Responder, Verdict as Answer};
use crate::state::{BackendHealth, State, StateError};
pub use capture::{Capture, CaptureError, CaptureWriter, Frame};
use guideway_config::model::Config;
use guideway_dataplane::counters::WorkerCounters;
use guideway_dataplane::ids::{BackendId, PortId, WorkerId};
use guideway_dataplane::memory::{MemoryPacket, MemoryPort, MemoryQueue, MemoryRx, MemoryTx, link};
use guideway_dataplane::pipeline::{Decision, Trace};
use guideway_dataplane::port::Packet;
use guideway_dataplane::publish;
use guideway_dataplane::punt::{ControlRings, Inject, PuntClass};
use guideway_dataplane::select::Verdict;
use guideway_dataplane::snapshot::PortState;
use guideway_dataplane::time::Nanos;
use guideway_dataplane::transmit::TxPath;
use guideway_dataplane::worker::{Worker, WorkerParts};
pub use record::{Record, Summary};
use std::net::SocketAddr;
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
    input_port: PortId,
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
        let ports =
            (0..config.ports.len()).map(|index| PortState { mac: port_mac(index), up: true, any_destination: true });
        let mut state = State::new(Arc::clone(config), ports.collect(), UNIX_EPOCH)?;
        let input_port = find_port(config, options.port.as_deref())?;
        for name in &options.down {
            take_down(&mut state, name)?;
        }
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
                counters: Arc::clone(&counters),
            })
        };
        let workers = readers.into_iter().map(worker).collect();
        let mut responder = Responder::new();
        let duties = duties(&state);
        responder.configure(Nanos(0), &duties.links, &duties.vips);
        let summary = Summary::default();
        let _publisher = publisher;
        Ok(Self { state, workers, rings, responder, input, input_port, outputs, counters, summary, _publisher })
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
        let mut decided = Decided { state: &self.state, record: Record::undecided(self.summary.packets + 1) };
        // The queue was emptied by the poll before: it takes the packet.
        let _ = self.input.push(MemoryPacket::new(&frame.bytes));
        for worker in &mut self.workers {
            worker.poll(frame.at, &mut decided);
        }
        let mut record = decided.record;
        if self.answer_punts(frame.at) {
            record.verdict = "answer";
            for worker in &mut self.workers {
                worker.poll(frame.at, &mut ());
            }
        }
        self.summary.cut += u64::from(frame.cut);
        self.summary.count(&record);
        for (index, queue) in self.outputs.iter().enumerate() {
            while let Some(packet) = queue.pop() {
                emit(PortId(index as u16), packet.frame())?;
            }
        }
        Ok(record)
    }

    /// Lets the control side answer what it would answer at once. Returns whether it did.
    fn answer_punts(&mut self, now: Nanos) -> bool {
        let mut answered = false;
        for class in PuntClass::ALL {
            while let Some(punt) = self.rings.punts.ring(class).pop() {
                let mut packet = punt.packet;
                if class != PuntClass::Probe && self.responder.handle(now, punt.port, &mut packet) == Answer::Reply {
                    let frame = Inject::Frame { packet, port: self.input_port };
                    answered |= self.rings.inject.push(frame).is_ok();
                }
            }
        }
        answered
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

/// Takes down what was decided about the one packet of a poll.
struct Decided<'s> {
    state: &'s State,
    record: Record,
}

impl Trace for Decided<'_> {
    const ENABLED: bool = true;

    fn decided(&mut self, _packet_number: usize, decision: &Decision<'_>) {
        let (verdict, reason, backend) = match decision.verdict {
            Verdict::Forward { backend, .. } => ("forward", None, Some(backend_name(self.state, backend))),
            Verdict::Punt(class) => ("punt", Some(class.label()), None),
            Verdict::Drop(reason) => ("drop", Some(reason.label()), None),
        };
        let flow = decision.parsed.as_ref().map(|parsed| {
            let key = &parsed.key;
            let source = SocketAddr::new(key.source(), key.source_port());
            let destination = SocketAddr::new(key.destination(), key.destination_port());
            format!("{source} > {destination} {}", protocol_name(key.protocol()))
        });
        let selection = decision.selection.as_ref();
        self.record = Record {
            number: self.record.number,
            verdict,
            reason,
            vip: selection.map(|selection| self.state.config.vips[selection.vip.index()].to_string()),
            flow,
            hash: selection.map(|selection| format!("{:032x}", selection.hash.0)),
            slot: selection.map(|selection| selection.slot),
            backend,
        };
    }
}

fn backend_name(state: &State, id: BackendId) -> String {
    let Some((pool, index)) = state.find(id) else { return format!("#{}", id.0) };
    let pool = &state.config.pools[pool.index()];
    format!("{}/{}", pool.name, pool.backends[index].name)
}

fn protocol_name(number: u8) -> String {
    match number {
        1 => "icmp".to_owned(),
        6 => "tcp".to_owned(),
        17 => "udp".to_owned(),
        58 => "icmpv6".to_owned(),
        other => format!("protocol {other}"),
    }
}
