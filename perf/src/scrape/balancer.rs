//! The balancer under test: the parts of `guideway run`, with a worker on buffers in memory.

use super::{Enter, Error, Options, Thread};
use crate::clock::Clock;
use crate::device::{Device, Generated, Queues};
use crate::generator::Generator;
use crate::load::site::Site;
use crate::memory::{FreeList, MemoryDevice, NullPort};
use crate::mix::Spreading;
use crate::scenario::PORT_MAC;
use crate::traffic::{Frames, Traffic, service};
use guideway_config::model::Config;
use guideway_control::api::Socket;
use guideway_control::control::Control;
use guideway_control::devices::NoDevices;
use guideway_control::reconcile::reconcile;
use guideway_control::rt::Rt;
use guideway_control::runtime::{self, Parts, Runtime};
use guideway_control::state::State;
use guideway_dataplane::counters::WorkerCounters;
use guideway_dataplane::ids::{PortId, WorkerId};
use guideway_dataplane::publish;
use guideway_dataplane::punt::{ControlRings, PuntClass};
use guideway_dataplane::snapshot::{PortState, SnapshotReader};
use guideway_dataplane::transmit::TxPath;
use guideway_dataplane::worker::{Worker, WorkerParts};
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

/// The first VIP; the others follow in the last 16 bits.
const FIRST_VIP: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 0);
const FIRST_BACKEND: u32 = 0x0a00_0001;
const SERVICE_PORT: u16 = 80;
const FLOWS: u32 = 100_000;
/// Bytes of a frame without frame check sequence: the shortest.
const FRAME: usize = 60;
/// Packets between source and worker, as `bench cycles` has them.
const LEAD: usize = 1_024;
/// Secrets of nobody: frames come from the source alone.
const SECRET: [u8; 16] = [7; 16];

/// The worker's packets and queues.
pub(super) type TestPort = Generated<NullPort>;

/// A worker that nobody polls yet, and the running control side. The worker is to go first: the control side frees the
/// snapshot that it uses.
pub(super) struct Balancer {
    pub(super) worker: Worker<TestPort>,
    pub(super) counters: Arc<WorkerCounters>,
    pub(super) control: Runtime,
}

impl Balancer {
    /// Starts the control side behind a control socket at `path`.
    pub(super) fn start<C>(options: &Options, clock: &C, enter: &Enter, path: &Path) -> Result<Self, Error>
    where
        C: Clock + Clone + Send + Sync + 'static,
    {
        let config = Arc::new(config(options));
        let state = State::new(config, vec![PortState::new(PORT_MAC)], UNIX_EPOCH);
        let mut state = state.unwrap_or_else(|error| unreachable!("the benchmark's configuration is refused: {error}"));
        state.settle();
        let (publisher, mut readers) = publish::channel(reconcile(&mut state), 1);
        let rings = ControlRings::new();
        let counters = Arc::new(WorkerCounters::default());
        let queues = MemoryDevice.open()?;
        let worker = worker(options, queues, readers.remove(0), rings.clone(), &counters);
        let (sender, events) = runtime::events();
        // Not the worker's pool, whose lock nobody else is to take.
        let pool = Arc::new(FreeList::default());
        let rt = Rt::<TestPort>::new(vec![rings], vec![Arc::clone(&counters)], pool, SECRET, sender);
        let control = Control::new(state, publisher, vec![Arc::clone(&counters)], Arc::new(NoDevices));
        let enters = |thread| {
            let enter = Arc::clone(enter);
            Box::new(move || enter(thread))
        };
        let clock = clock.clone();
        let control = runtime::start(Parts {
            control,
            rt,
            events,
            socket: Some(Socket::bind(path)?),
            listener: None,
            source: None,
            exchange: None,
            clock: move || clock.now(),
            stop: Box::new(|| ()),
            enter_rt: enters(Thread::Rt),
            enter_bg: enters(Thread::Bg),
            enter_checks: enters(Thread::Checks),
            enter_exception: Box::new(|| ()),
        })?;
        Ok(Self { worker, counters, control })
    }
}

fn worker(
    options: &Options,
    queues: Queues<NullPort>,
    snapshots: SnapshotReader,
    rings: ControlRings<TestPort>,
    counters: &Arc<WorkerCounters>,
) -> Worker<TestPort> {
    let first = SocketAddr::new(FIRST_VIP.into(), SERVICE_PORT);
    let frames = Frames {
        services: options.vips,
        spreading: Spreading::Uniform,
        ..Frames::established(PORT_MAC, first, FLOWS, FRAME)
    };
    Worker::new(WorkerParts {
        id: WorkerId(0),
        rx: vec![(PortId(0), Generator::new(queues.rx, Some(Traffic::new(&frames)), LEAD))],
        tx: vec![TxPath::Queue(queues.tx)],
        snapshots,
        rings,
        pool: queues.pool,
        exception_rate: PuntClass::Exception.rate(),
        sessions: None,
        secret: SECRET,
        counters: Arc::clone(counters),
    })
}

/// Tunnels to backends behind a router, so that no next hop is asked for. Each backend has a check, and with it the series of
/// one, but at an interval at which probes cost nothing, since nobody answers them.
fn config(options: &Options) -> Config {
    let mut text = "[fleet]\nhash_key = \"000102030405060708090a0b0c0d0e0f\"\n[cores]\ncontrol = 0\nworkers = [1]\n\
                    [[port]]\nname = \"edge\"\ndevice = \"net_null0\"\nmtu = 1600\n\
                    [[interface]]\nport = \"edge\"\naddresses = [\"10.255.0.1/24\"]\n\
                    [[interface.neighbor]]\naddress = \"10.255.0.254\"\nmac = \"02:00:00:00:00:fe\"\n\
                    [[route]]\nto = \"default\"\nvia = [\"10.255.0.254\"]\n"
        .to_owned();
    for pool in 0..options.vips {
        let name = Site::pool_name(pool);
        // Writing to a string does not fail.
        let _ = write!(
            text,
            "[[pool]]\nname = \"{name}\"\nforward = \"ipip\"\n\
             health = {{ kind = \"tcp\", interval = \"1h\", fast_interval = \"1h\", timeout = \"1h\", fall = 255 }}\n"
        );
        for number in 0..options.backends_each {
            let nth = u32::from(pool) * u32::from(options.backends_each) + u32::from(number);
            let (name, address) = (Site::backend_name(pool, number), Ipv4Addr::from_bits(FIRST_BACKEND + nth));
            let _ = write!(text, "[[pool.backend]]\nname = \"{name}\"\naddress = \"{address}\"\nweight = 10\n");
        }
        let address = service(SocketAddr::new(FIRST_VIP.into(), SERVICE_PORT), pool).ip();
        let _ = write!(
            text,
            "[[vip]]\naddress = \"{address}\"\nprotocol = \"tcp\"\nport = {SERVICE_PORT}\npool = \"{name}\"\n"
        );
    }
    match guideway_config::parse(&text, None) {
        Ok(parsed) => parsed.config,
        Err(errors) => unreachable!("the benchmark's configuration is refused: {errors:?}"),
    }
}
