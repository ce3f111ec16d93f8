//! What each worker does that found nothing, as configured.

use crate::Failure;
use guideway_config::model::{Cores, Idle, Power};
use guideway_dataplane::doorbell::Doorbell;
use guideway_dataplane::idle::{self, Interrupt, Rest};
use guideway_dataplane::ids::PortId;
use guideway_dpdk::power::{Saver, Saving};
use guideway_dpdk::{EventBell, RxQueue, Sleeper, Tsc};
use std::sync::Arc;
use std::time::Duration;

/// One worker's way to rest, and the doorbell that ends it.
pub(super) enum Idling {
    /// Without help from devices and processor.
    Own(idle::Idle),
    /// Sleeps until a device or the doorbell wakes it.
    Interrupt(Interrupt<Sleeper>),
    /// Polls, and saves power in between.
    Power(Saver),
}

/// A worker's doorbell; `Some` bell only if it may sleep for long.
pub(super) struct Door {
    pub(super) bell: Option<EventBell>,
}

impl Door {
    /// As a worker with this kind of rest needs it.
    pub(super) fn of(cores: &Cores) -> Result<Self, Failure> {
        let bell = (cores.idle == Idle::Interrupt).then(EventBell::new).transpose();
        Ok(Self { bell: bell.map_err(|error| anyhow::anyhow!("no descriptor to wake a worker by: {error}"))? })
    }

    /// The doorbell that rings it.
    pub(super) fn doorbell(&self) -> Doorbell {
        self.bell.clone().map_or_else(Doorbell::silent, |bell| Doorbell::new(Box::new(bell)))
    }
}

impl Idling {
    /// Of the worker number `worker`, which polls these queues.
    pub(super) fn of(
        cores: &Cores,
        worker: usize,
        rx: &[(PortId, RxQueue)],
        door: Door,
        doorbell: &Arc<Doorbell>,
        clock: Tsc,
    ) -> Result<Self, Failure> {
        let core = cores.workers[worker];
        let save = |saving| {
            let saver = Saver::new(saving, clock, rx.iter().map(|(_, queue)| queue));
            saver.map(Self::Power).map_err(|error| Failure::Usage(format!("worker on core {core}: {error}")))
        };
        if let Some(bell) = door.bell {
            let queues = rx.iter().filter_map(|(_, queue)| queue.interrupt()).collect();
            let sleeper = Sleeper::new(bell, queues);
            let sleeper = sleeper.map_err(|error| anyhow::anyhow!("worker on core {core} cannot wait: {error}"))?;
            return Ok(Self::Interrupt(Interrupt::new(sleeper, Arc::clone(doorbell))));
        }
        match cores.power {
            Power::Pause => save(Saving::Pause),
            Power::Monitor => save(Saving::Monitor),
            Power::Off if cores.idle == Idle::Poll => Ok(Self::Own(idle::Idle::Poll)),
            Power::Off => Ok(Self::Own(idle::Idle::Adaptive)),
        }
    }
}

impl Rest for Idling {
    #[inline]
    fn rest(&mut self, empty_polls: u32) -> Option<Duration> {
        match self {
            Self::Own(idle) => idle.rest(empty_polls),
            Self::Interrupt(interrupt) => interrupt.rest(empty_polls),
            Self::Power(saver) => saver.rest(empty_polls),
        }
    }

    #[inline]
    fn resume(&mut self) {
        if let Self::Interrupt(interrupt) = self {
            interrupt.resume();
        }
    }
}
