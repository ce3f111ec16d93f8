//! The generator on a core of its own: sends as fast as it can, and waits where a queue is full.

use crate::device::DeviceError;
use crate::generator::Generator;
use crate::load::joint::Enter;
use crate::traffic::Traffic;
use guideway_dataplane::port::{Burst, RxQueue as _, TxQueue as _};
use guideway_dpdk::{RxQueue, TxQueue};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};

/// A thread that sends.
#[derive(Debug)]
pub(super) struct Feeder {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<TxQueue>,
}

impl Feeder {
    /// Sends `traffic` in buffers of `empty` to `tx`, on `core`.
    pub(super) fn start(
        tx: TxQueue,
        empty: RxQueue,
        traffic: Traffic,
        core: usize,
        enter: &Enter,
    ) -> Result<Self, DeviceError> {
        let (stop, enter) = (Arc::new(AtomicBool::new(false)), Arc::clone(enter));
        let (ready, begun) = mpsc::channel();
        let told = Arc::clone(&stop);
        let run = move || {
            let place = enter(core);
            let failed = place.as_ref().err().map(ToString::to_string);
            let failing = failed.is_some();
            // The other side waits for this; it is there.
            let _ = ready.send(failed);
            if failing { tx } else { send(tx, Generator::new(empty, Some(traffic), 0), &told) }
        };
        let thread = thread::Builder::new().name("generator".to_owned()).spawn(run);
        let thread = thread.map_err(|error| DeviceError(format!("no thread for the generator: {error}")))?;
        match begun.recv() {
            Ok(None) => Ok(Self { stop, thread }),
            Ok(Some(failure)) => Err(DeviceError(failure)),
            Err(_) => Err(ended()),
        }
    }

    /// Stops it, and gives its queue back.
    pub(super) fn stop(self) -> Result<TxQueue, DeviceError> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| ended())
    }
}

fn ended() -> DeviceError {
    DeviceError("the generator's thread ended; this is a bug".to_owned())
}

fn send(mut tx: TxQueue, mut source: Generator<RxQueue>, stop: &AtomicBool) -> TxQueue {
    let mut burst = Burst::new();
    while !stop.load(Ordering::Relaxed) {
        // Gives nothing while some of the last burst are left.
        source.receive(&mut burst);
        tx.transmit(&mut burst);
    }
    tx
}
