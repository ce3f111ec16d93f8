//! Several rigs under one load.

use super::report::Row;
use crate::clock::Clock;
use crate::load::generator::Load;
use crate::load::joint::{Enter, Joints};
use crate::load::rig::Rig;
use crate::load::site::Site;
use crate::load::trial::{LoadError, Measure, Trial};
use crate::ndr::run::{Found, Options, find};
use guideway_dataplane::port::Port;
use guideway_dataplane::snapshot::SnapshotReader;

/// The goal that workers are compared by: the first one of the options.
fn first_goal(options: &Options) -> &str {
    options.goals.first().map_or("", |(name, _)| name)
}

/// Rigs that share a load evenly, each generator on a thread and a core of its own.
struct Fleet<P: Port, C> {
    rigs: Vec<(Rig<P, C>, usize)>,
    enter: Enter,
}

impl<P: Port, C: Clock + Clone + Send + 'static> Measure for Fleet<P, C> {
    fn measure(&mut self, load: &Load) -> Result<Trial, LoadError> {
        let share = Load { rate: load.rate / self.rigs.len().max(1) as f64, ..*load };
        let enter = &self.enter;
        let trials = std::thread::scope(|scope| {
            let run = |(rig, core): &mut (Rig<P, C>, usize)| {
                let _entered = enter(*core)?;
                rig.trial(&share, |_| ())
            };
            let threads: Vec<_> = self.rigs.iter_mut().map(|pair| scope.spawn(move || run(pair))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap_or(Err(LoadError::Gone))).collect::<Vec<_>>()
        });
        let mut sum: Option<Trial> = None;
        for trial in trials {
            let trial = trial?;
            sum = Some(match sum {
                Some(sum) => add(sum, &trial),
                None => trial,
            });
        }
        sum.map(|sum| Trial { load: *load, ..sum }).ok_or(LoadError::Gone)
    }
}

/// Both trials as one that happened at the same time. Latencies are not kept.
fn add(a: Trial, b: &Trial) -> Trial {
    let (mut run, mut received) = (a.run, b.run.received);
    received.packets += run.received.packets;
    received.reordered += run.received.reordered;
    received.duplicated += run.received.duplicated;
    received.late += run.received.late;
    received.foreign += run.received.foreign;
    run.intended += b.run.intended;
    run.offered += b.run.offered;
    (run.received, run.latencies) = (received, None);
    Trial {
        load: a.load,
        run,
        seconds: a.seconds.max(b.seconds),
        generator_stolen: a.generator_stolen.max(b.generator_stolen),
        worker_stolen: a.worker_stolen.max(b.worker_stolen),
        hypervisor: a.hypervisor || b.hypervisor,
    }
}

/// Searches the rate of `workers` workers. `pairs` are the cores of generators and workers: with fewer pairs than workers,
/// each worker is searched alone, one after another on the first pair, and the sum counts.
///
/// # Errors
///
/// [`LoadError`].
pub fn measure<J: Joints, C: Clock + Clone + Send + 'static>(
    joints: &mut J,
    site: &Site,
    workers: u16,
    pairs: &[(usize, usize)],
    clock: &C,
    options: &Options,
    mut progress: impl FnMut(f64),
) -> Result<Row, LoadError> {
    // The publisher frees snapshots when it goes, so it stays until the workers are gone.
    let (_state, _publisher, readers) = site.start(usize::from(workers.max(1)));
    let together = pairs.len() >= readers.len();
    let goal = first_goal(options);
    let found = if together {
        vec![at_once(joints, site, readers, pairs, clock, options, &mut progress)?]
    } else {
        let Some(&pair) = pairs.first() else { return Err(LoadError::Gone) };
        let mut found = Vec::new();
        for (number, snapshots) in (0..).zip(readers) {
            let joint = joints.open()?;
            let mut rig = Rig::join(joint, joints.enter(), site, (number, snapshots), pair, clock.clone())?;
            rig.check()?;
            found.push(find(&mut rig, options, |trial| progress(trial.load))?);
        }
        found
    };
    let rates: Option<Vec<f64>> = found.iter().map(|found| found.lower(goal)).collect();
    Ok(Row {
        workers,
        simulated: !together,
        rate: rates.map(|rates| rates.iter().sum()),
        generator_limited: found.iter().any(|found| found.generator_limit.is_some()),
        voided: found.iter().map(|found| found.voided).sum(),
        disturbed: found.iter().map(|found| found.disturbed).sum(),
    })
}

fn at_once<J: Joints, C: Clock + Clone + Send + 'static>(
    joints: &mut J,
    site: &Site,
    readers: Vec<SnapshotReader>,
    pairs: &[(usize, usize)],
    clock: &C,
    options: &Options,
    mut progress: impl FnMut(f64),
) -> Result<Found, LoadError> {
    let mut rigs = Vec::with_capacity(readers.len());
    let workers = readers.len() as f64;
    for ((number, snapshots), &pair) in (0..).zip(readers).zip(pairs) {
        let joint = joints.open()?;
        let rig = Rig::join(joint, joints.enter(), site, (number, snapshots), pair, clock.clone())?;
        rigs.push((rig, pair.0));
    }
    let mut fleet = Fleet { rigs, enter: joints.enter() };
    let (min_rate, max_rate) = (options.min_rate * workers, options.max_rate * workers);
    let options = Options { min_rate, max_rate, ..options.clone() };
    find(&mut fleet, &options, |trial| progress(trial.load))
}
