//! Generator and balancer, joined.

use super::dut::{Dut, Times};
use super::frames::{FrameSetup, Frames};
use super::generator::{Generator, GeneratorParts, Load, Refusal};
use super::joint::{Enter, Joint, Joints};
use super::receiver::Recognition;
use super::site::{Site, worker};
use super::trial::{LoadError, Measure, Trial};
use crate::clock::Clock;
use crate::device::DeviceError;
use crate::machine::CoreTime;
use guideway_dataplane::counters::WorkerCounters;
use guideway_dataplane::drop_reason::DropReason;
use guideway_dataplane::port::Port;
use guideway_dataplane::snapshot::SnapshotReader;
use std::sync::Arc;
use std::time::Duration;

/// How long a packet may take through a worker of this process.
const SETTLE: Duration = Duration::from_millis(20);
/// How long through a balancer elsewhere (RFC 2544, section 23).
const SETTLE_ELSEWHERE: Duration = Duration::from_secs(2);

/// The cores of a rig.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cores {
    /// Of the generator: the thread that calls [`Rig::trial`] must run on it.
    pub generator: usize,
    /// Of the worker; `None` for a balancer elsewhere.
    pub worker: Option<usize>,
}

/// A generator and what it loads.
pub struct Rig<P: Port, C> {
    generator: Generator<P>,
    dut: Option<(Dut, Arc<WorkerCounters>)>,
    clock: C,
    cores: Cores,
}

impl<P: Port, C: Clock + Clone + Send + 'static> Rig<P, C> {
    /// A worker of a site on the second core, joined by rings to a generator that is to run on the first one.
    ///
    /// # Errors
    ///
    /// What keeps rings or thread from starting.
    pub fn join(
        joint: Joint<P>,
        enter: Enter,
        site: &Site,
        (number, snapshots): (u16, SnapshotReader),
        (generator, core): (usize, usize),
        clock: C,
    ) -> Result<Self, DeviceError> {
        let Joint { to_dut, at_dut, from_dut, at_generator, pool } = joint;
        let (worker, counters) = worker(number, at_dut, from_dut, Arc::clone(&pool), snapshots);
        let dut = Dut::start::<P, C>(core, enter, clock.clone(), worker)?;
        let generator_parts = GeneratorParts {
            tx: to_dut,
            rx: at_generator,
            pool,
            frames: Frames::new(&site.frames()),
            recognition: site.recognition(),
            refusal: Refusal::Lost,
            settle: SETTLE,
        };
        let cores = Cores { generator, worker: Some(core) };
        Ok(Self { generator: Generator::new(generator_parts), dut: Some((dut, counters)), clock, cores })
    }

    /// A generator on `core` in front of a balancer elsewhere, over queues of real devices.
    pub fn elsewhere(
        (tx, rx, pool): (P::Tx, P::Rx, Arc<P::Pool>),
        (frames, recognition): (&FrameSetup, Recognition),
        core: usize,
        clock: C,
    ) -> Self {
        let frames = Frames::new(frames);
        let (refusal, settle) = (Refusal::NotOffered, SETTLE_ELSEWHERE);
        let parts = GeneratorParts { tx, rx, pool, frames, recognition, refusal, settle };
        let cores = Cores { generator: core, worker: None };
        Self { generator: Generator::new(parts), dut: None, clock, cores }
    }

    /// Puts a load on; `between` is called between bursts ([`Generator::run`]).
    ///
    /// # Errors
    ///
    /// [`LoadError::Gone`].
    pub fn trial(&mut self, load: &Load, between: impl FnMut(u64)) -> Result<Trial, LoadError> {
        let hz = self.clock.hz();
        let steal_before = self.steal();
        let worker_before = self.worker_times()?;
        let before = Times::of_this_thread(&self.clock);
        let run = self.generator.run(&self.clock, load, between);
        let generator_stolen = Times::of_this_thread(&self.clock).stolen_since(before, hz);
        let worker_after = self.worker_times()?;
        let stolen = worker_before.zip(worker_after).map(|(before, after)| after.stolen_since(before, hz));
        let steal = steal_before.iter().zip(self.steal());
        Ok(Trial {
            load: *load,
            seconds: run.ticks as f64 / hz.max(1) as f64,
            run,
            generator_stolen,
            worker_stolen: stolen.unwrap_or_default(),
            hypervisor: steal.into_iter().any(|(before, after)| after.steal_percent_since(*before) > 0.0),
        })
    }

    /// Whether packets come back at all, at a trickle.
    ///
    /// # Errors
    ///
    /// [`LoadError::Silent`] with a hint; [`LoadError::Gone`].
    pub fn check(&mut self) -> Result<(), LoadError> {
        let load = Load { rate: 1_000.0, duration: Duration::from_millis(50), latency: false };
        // On a busy machine the worker may not have had its core in the first ones.
        let tries = if self.dut.is_some() { 40 } else { 2 };
        let mut offered = 0;
        for _ in 0..tries {
            let trial = self.trial(&load, |_| ())?;
            if trial.run.received.packets > 0 {
                return Ok(());
            }
            offered += trial.run.offered;
        }
        Err(LoadError::Silent { offered, rate: load.rate, hint: self.hint() })
    }

    fn hint(&self) -> String {
        let Some((_, counters)) = &self.dut else {
            return "check the balancer's address and hardware address, the links, and that its backends' next hop is the \
                    generator"
                .to_owned();
        };
        let count = |reason: &DropReason| counters.drops[*reason as usize].get();
        match DropReason::ALL.iter().copied().max_by_key(count) {
            Some(reason) if counters.dropped() > 0 => format!("the worker drops them as {}", reason.label()),
            _ => format!("the worker received {}; this is a bug", counters.received.packets.get()),
        }
    }

    fn worker_times(&self) -> Result<Option<Times>, LoadError> {
        match &self.dut {
            Some((dut, _)) => dut.times().map(Some).ok_or(LoadError::Gone),
            None => Ok(None),
        }
    }

    fn steal(&self) -> Vec<CoreTime> {
        [Some(self.cores.generator), self.cores.worker].into_iter().flatten().filter_map(CoreTime::of).collect()
    }
}

impl<P: Port, C: Clock + Clone + Send + 'static> Measure for Rig<P, C> {
    fn measure(&mut self, load: &Load) -> Result<Trial, LoadError> {
        self.trial(load, |_| ())
    }
}

/// A rig of one worker of a site over new rings, the calling thread being the generator's.
///
/// # Errors
///
/// What keeps rings or threads from starting, or [`LoadError::Silent`].
pub fn single<J: Joints, C: Clock + Clone + Send + 'static>(
    joints: &mut J,
    site: &Site,
    snapshots: SnapshotReader,
    cores: (usize, usize),
    clock: C,
) -> Result<Rig<J::Port, C>, LoadError> {
    let joint = joints.open()?;
    let mut rig = Rig::join(joint, joints.enter(), site, (0, snapshots), cores, clock)?;
    rig.check()?;
    Ok(rig)
}
