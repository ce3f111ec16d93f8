//! Rounds of load with and without pushes, in turns.

use super::pusher::{Pushed, Pusher};
use super::report::Phase;
use crate::clock::Clock;
use crate::device::DeviceError;
use crate::latency::Latencies;
use crate::load::generator::Load;
use crate::load::joint::Enter;
use crate::load::rig::Rig;
use crate::load::trial::{LoadError, Trial};
use guideway_dataplane::port::Port;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;

/// How to push.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// Packets a second.
    pub rate: f64,
    /// Pushes in all.
    pub pushes: u64,
    /// Pushes of a round.
    pub round: u64,
    /// Time from push to push.
    pub period: Duration,
    /// How often a round is repeated in which a thread was without its core and packets were lost.
    pub retries: u32,
}

/// Where the pusher runs.
pub enum Place<'p, C> {
    /// On the generator's core, between bursts. The second pusher does the same with a decoy, in the rounds without pushes.
    Generator(&'p mut Pusher<C>, &'p mut Pusher<C>),
    /// On a core of its own.
    Core(&'p mut Pusher<C>, usize, Enter),
}

/// What was found.
pub struct Outcome {
    /// Rounds without pushes.
    pub without: Phase,
    /// Rounds with pushes.
    pub with: Phase,
    /// Pushes of the rounds whose losses count.
    pub pushes: u64,
    /// The pushes of quiet rounds; of all, if none was quiet.
    pub pushed: Pushed,
}

/// Sums of rounds of one kind.
struct Sums {
    phase: Phase,
    quiet: Latencies,
    all: Latencies,
}

impl Sums {
    fn new(hz: u64) -> Self {
        Self { phase: Phase::default(), quiet: Latencies::new(hz), all: Latencies::new(hz) }
    }

    fn add(&mut self, trial: &Trial, voided: u32) {
        let phase = &mut self.phase;
        phase.rounds += 1;
        phase.voided += voided;
        phase.disturbed += u32::from(trial.is_void());
        phase.quiet += u32::from(!trial.is_disturbed());
        if !trial.is_void() {
            phase.offered += trial.run.offered;
            phase.lost += trial.lost();
            phase.reordered += trial.run.received.reordered;
        }
        let Some(latencies) = trial.latencies() else { return };
        self.all.add(latencies);
        if !trial.is_disturbed() {
            self.quiet.add(latencies);
        }
    }

    /// Latencies of quiet rounds count alone if there are some.
    fn finish(self) -> Phase {
        let latencies = if self.phase.quiet > 0 { self.quiet } else { self.all };
        Phase { latency: latencies.percentiles(), ..self.phase }
    }
}

/// Pushes. `progress` is told how many pushes are done.
///
/// # Errors
///
/// [`LoadError`].
pub fn run<P: Port, C: Clock + Clone + Send + 'static>(
    rig: &mut Rig<P, C>,
    clock: &C,
    options: &Options,
    mut place: Place<'_, C>,
    mut progress: impl FnMut(u64),
) -> Result<Outcome, LoadError> {
    let hz = clock.hz();
    let (mut without, mut with) = (Sums::new(hz), Sums::new(hz));
    let (mut quiet, mut all) = (Pushed::new(hz), Pushed::new(hz));
    let (mut pushes, mut done) = (0, 0);
    while done < options.pushes {
        let round = options.round.clamp(1, options.pushes - done);
        let (trial, voided) = attempt(options, || quiet_round(rig, options, round, &mut place))?;
        without.add(&trial, voided);
        let (trial, voided) = attempt(options, || pushing_round(rig, options, round, &mut place))?;
        with.add(&trial, voided);
        let of_round = place.pusher().pushed();
        all.add(of_round);
        if !trial.is_disturbed() {
            quiet.add(of_round);
        }
        pushes += if trial.is_void() { 0 } else { of_round.pushes };
        done += round;
        progress(done);
    }
    let pushed = if quiet.pushes > 0 { quiet } else { all };
    Ok(Outcome { without: without.finish(), with: with.finish(), pushes, pushed })
}

/// Repeats a round that is void; returns the last one, and how many were void before it.
fn attempt(options: &Options, mut round: impl FnMut() -> Result<Trial, LoadError>) -> Result<(Trial, u32), LoadError> {
    let mut voided = 0;
    loop {
        let trial = round()?;
        if !trial.is_void() || voided == options.retries {
            return Ok((trial, voided));
        }
        voided += 1;
    }
}

impl<C> Place<'_, C> {
    fn pusher(&mut self) -> &mut Pusher<C> {
        match self {
            Self::Generator(pusher, _) | Self::Core(pusher, ..) => pusher,
        }
    }
}

/// The load of a round: a period more than its pushes take, so that the last one is under load, too.
fn load(options: &Options, round: u64) -> Load {
    let duration = options.period.mul_f64(round as f64 + 1.0);
    Load { rate: options.rate, duration, latency: true }
}

fn quiet_round<P: Port, C: Clock + Clone + Send + 'static>(
    rig: &mut Rig<P, C>,
    options: &Options,
    round: u64,
    place: &mut Place<'_, C>,
) -> Result<Trial, LoadError> {
    match place {
        Place::Generator(_, decoy) => beside_generator(rig, options, round, decoy),
        Place::Core(..) => rig.trial(&load(options, round), |_| ()),
    }
}

fn pushing_round<P: Port, C: Clock + Clone + Send + 'static>(
    rig: &mut Rig<P, C>,
    options: &Options,
    round: u64,
    place: &mut Place<'_, C>,
) -> Result<Trial, LoadError> {
    match place {
        Place::Generator(pusher, _) => beside_generator(rig, options, round, pusher),
        Place::Core(pusher, core, enter) => {
            pusher.begin(round);
            on_core(rig, &load(options, round), pusher, *core, enter)
        }
    }
}

fn beside_generator<P: Port, C: Clock + Clone + Send + 'static>(
    rig: &mut Rig<P, C>,
    options: &Options,
    round: u64,
    pusher: &mut Pusher<C>,
) -> Result<Trial, LoadError> {
    pusher.begin(round);
    let trial = rig.trial(&load(options, round), |now| pusher.step(now));
    pusher.end();
    trial
}

fn on_core<P: Port, C: Clock + Clone + Send + 'static>(
    rig: &mut Rig<P, C>,
    load: &Load,
    pusher: &mut Pusher<C>,
    core: usize,
    enter: &Enter,
) -> Result<Trial, LoadError> {
    let stop = AtomicBool::new(false);
    let (ready, started) = mpsc::channel();
    std::thread::scope(|scope| {
        let stop = &stop;
        scope.spawn(move || {
            let entered = enter(core);
            let failed = entered.as_ref().err().map(|error| DeviceError(error.0.clone()));
            // The receiver waits for it.
            let _ = ready.send(failed);
            while entered.is_ok() && !stop.load(Ordering::Relaxed) {
                pusher.tick();
            }
            pusher.end();
        });
        let trial = match started.recv() {
            Ok(None) => rig.trial(load, |_| ()),
            Ok(Some(error)) => Err(error.into()),
            Err(_) => Err(DeviceError("the pusher's thread ended before it began".to_owned()).into()),
        };
        stop.store(true, Ordering::Relaxed);
        trial
    })
}
