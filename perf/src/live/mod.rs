//! Packets that come from elsewhere: from a generator on another core, by a ring or by shared memory, or from a port.
//!
//! The loop that is measured has one receive queue, which baseline and case poll in turns, and `net_null` as a sink. What a
//! generator sends may not suffice: how it is told which polls were not starved is [`Feed`].

mod feeder;
mod shared;

pub use shared::{LivePort, SharedRx};

use crate::device::{Device, DeviceError, Queues, Source};
use crate::load::dpdk::Buffers;
use crate::load::joint::Joints as _;
use crate::traffic::Traffic;
use crate::window::Feed;
use feeder::Feeder;
use guideway_dataplane::port::{Burst, RxQueue as _};
use guideway_dataplane::wire::ethernet::Mac;
use guideway_dpdk::{Mbuf, Port, TxQueue};
use std::thread;
use std::time::{Duration, Instant};

/// Pairs of rings that the pool has buffers for: the ring, the sources, and what a driver keeps.
const PAIRS: usize = 2;
/// Bytes of a buffer in a memif's shared memory, unless frames are longer.
const MEMIF_BUFFER: usize = 2_048;
/// How long the two ends of a memif may take to find each other.
const CONNECT: Duration = Duration::from_secs(5);

/// A receive queue that somebody else fills.
#[derive(Debug)]
pub struct LiveDevice {
    rx: SharedRx,
    /// Stopped before its queue goes.
    filled: Filled,
    mac: Option<Mac>,
    what: String,
    /// The socket by which a memif's ends find each other.
    _directory: Option<tempfile::TempDir>,
    buffers: Buffers,
}

/// Who fills the queue.
#[derive(Debug)]
enum Filled {
    /// A generator, on this core.
    Here { core: usize, generator: Generator },
    /// Whoever sends to the port.
    Elsewhere,
}

/// The generator: between two cases it waits for its next traffic.
#[derive(Debug)]
enum Generator {
    Waits(TxQueue),
    Sends(Feeder),
    /// Its thread ended badly.
    Gone,
}

impl LiveDevice {
    /// A ring of `net_ring`: the generator on core `generator` sends mbufs, which the calling thread, pinned to `core`,
    /// receives. `longest`: the longest frame on the wire.
    ///
    /// # Errors
    ///
    /// What keeps DPDK from starting or the ring from opening, in words for an operator.
    pub fn ring(core: usize, generator: usize, longest: usize) -> Result<Self, DeviceError> {
        let mut buffers = Buffers::start(core, PAIRS, longest, false)?;
        let (tx, rx) = buffers.ring()?;
        let what = format!("{}, filled by core {generator}", buffers.describe());
        let filled = Filled::Here { core: generator, generator: Generator::Waits(tx) };
        Ok(Self { rx: SharedRx::new(rx), filled, mac: None, what, _directory: None, buffers })
    }

    /// A pair of `net_memif` devices in this process, over a socket in a directory of their own: the generator on core
    /// `generator` copies packets into shared memory, from where the calling thread copies them into mbufs.
    ///
    /// # Errors
    ///
    /// As for [`LiveDevice::ring`], and if the two ends do not connect.
    pub fn memif(core: usize, generator: usize, longest: usize) -> Result<Self, DeviceError> {
        let mut buffers = Buffers::start(core, PAIRS, longest, false)?;
        let directory =
            tempfile::tempdir().map_err(|error| DeviceError(format!("no directory for memif's socket: {error}")))?;
        let socket = directory.path().join("memif.sock");
        // A frame in several buffers is taken apart where the shared ring is full, so each frame gets one.
        let buffer = longest.next_multiple_of(64).max(MEMIF_BUFFER);
        let device = |number: u8, role: &str| {
            let socket = socket.display();
            format!("net_memif{number},role={role},id=0,bsize={buffer},socket={socket},socket-abstract=no")
        };
        let (server, _, rx) = buffers.port(&device(0, "server"), longest)?;
        let (client, tx, _) = buffers.port(&device(1, "client"), longest)?;
        let ends = [server, client];
        connect(&ends)?;
        // Never closed: when one end closes in the process of the other, DPDK's interrupt thread may be in the middle of telling
        // that other one, and reads what was freed (seen with 22.11). The process ends soon.
        std::mem::forget(ends);
        let what = format!("net_memif of {}, filled by core {generator}", buffers.version());
        let filled = Filled::Here { core: generator, generator: Generator::Waits(tx) };
        Ok(Self { rx: SharedRx::new(rx), filled, mac: None, what, _directory: Some(directory), buffers })
    }

    /// A port: a device as in the configuration, or a PCI address. Whatever arrives there is received by the calling thread,
    /// pinned to `core`, and nothing is sent. `longest`: the longest frame on the wire.
    ///
    /// # Errors
    ///
    /// What keeps DPDK from starting or the device from opening, in words for an operator.
    pub fn port(core: usize, device: &str, longest: usize) -> Result<Self, DeviceError> {
        let mut buffers = Buffers::start(core, PAIRS, longest, !device.starts_with("net_"))?;
        let (_, rx, mac) = buffers.attach(device, longest)?;
        let what = format!("{device} of {}", buffers.version());
        let rx = SharedRx::new(rx);
        Ok(Self { rx, filled: Filled::Elsewhere, mac: Some(mac), what, _directory: None, buffers })
    }
}

/// Waits for all links: of a memif they come up when its ends have found each other, which a client looks for whenever it
/// is asked.
fn connect(ports: &[Port]) -> Result<(), DeviceError> {
    let begun = Instant::now();
    while !ports.iter().all(|port| port.link().up) {
        if begun.elapsed() > CONNECT {
            return Err(DeviceError(format!("net_memif: its two ends did not connect within {CONNECT:?}")));
        }
        thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

impl Device for LiveDevice {
    type Port = LivePort;

    /// A queue that gives what is left of the last traffic, and a sink.
    fn open(&mut self) -> Result<Queues<LivePort>, DeviceError> {
        let (tx, _) = self.buffers.null(false)?;
        Ok(Queues { rx: self.rx.clone(), tx, pool: self.buffers.pool() })
    }

    fn source(&mut self, traffic: Traffic) -> Result<Source<LivePort>, DeviceError> {
        if let Filled::Here { core, generator } = &mut self.filled {
            let tx = generator.stop()?;
            drain(&mut self.rx);
            let (_, empty) = self.buffers.null(true)?;
            *generator = Generator::Sends(Feeder::start(tx, empty, traffic, *core, &self.buffers.enter())?);
        }
        Ok(Source { queues: self.open()?, traffic: None, mac: self.mac })
    }

    fn feed(&self) -> Feed {
        match self.filled {
            Filled::Here { .. } => Feed::Generator,
            Filled::Elsewhere => Feed::Network,
        }
    }

    fn describe(&self) -> String {
        self.what.clone()
    }
}

impl Generator {
    fn stop(&mut self) -> Result<TxQueue, DeviceError> {
        match std::mem::replace(self, Self::Gone) {
            Self::Waits(tx) => Ok(tx),
            Self::Sends(feeder) => feeder.stop(),
            Self::Gone => Err(DeviceError("the generator has ended".to_owned())),
        }
    }
}

impl Drop for LiveDevice {
    /// Every buffer goes back, so that the pool can be freed.
    fn drop(&mut self) {
        if let Filled::Here { generator, .. } = &mut self.filled {
            // Whatever it says, nothing sends any more.
            drop(generator.stop());
        }
        drain(&mut self.rx);
    }
}

/// Throws away what waits in a queue, as much as a second brings of what somebody else goes on to send.
fn drain(rx: &mut SharedRx) {
    let begun = Instant::now();
    let mut burst = Burst::<Mbuf>::new();
    while rx.receive(&mut burst) > 0 && begun.elapsed() < Duration::from_secs(1) {
        burst.clear();
    }
}
