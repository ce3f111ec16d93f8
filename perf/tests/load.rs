//! From end to end over queues in memory: the commands' runs with durations that show that they work, not how fast.

use guideway_dataplane::publish;
use guideway_perf::clock::{Clock, Monotonic};
use guideway_perf::load::frames::FrameSize;
use guideway_perf::load::generator::Load;
use guideway_perf::load::joint::{Joints, MemoryJoints, pin};
use guideway_perf::load::rig::{Rig, single};
use guideway_perf::load::site::{Mode, Site};
use guideway_perf::ndr::goal::Goal;
use guideway_perf::ndr::run::{Options, find, latencies};
use guideway_perf::reconfig::changes::{Changes, Kind};
use guideway_perf::reconfig::pusher::{Pusher, Source};
use guideway_perf::reconfig::run::{self, Place};
use guideway_perf::scale::fleet;
use std::time::Duration;

/// The cores of generator and worker: one and the same where there is only one, which is slow, but goes.
fn pair() -> (usize, usize) {
    let cores: Vec<usize> = core_affinity::get_core_ids().expect("cores").iter().map(|core| core.id).collect();
    let (first, last) = (cores[0], cores[cores.len() - 1]);
    pin(first).expect("a core of ours");
    (first, last)
}

fn site(mode: Mode, pools: u16) -> Site {
    Site { mode, v6: false, pools, backends: 4, flows: 1_000, size: FrameSize::Imix }
}

fn options() -> Options {
    let goal = |loss_ratio| Goal {
        loss_ratio,
        exceed_ratio: 0.5,
        initial_trial: 0.01,
        final_trial: 0.02,
        duration_sum: 0.02,
        width: 0.3,
    };
    let goals = vec![("NDR".to_owned(), goal(0.0)), ("PDR".to_owned(), goal(0.005))];
    Options { goals, min_rate: 1_000.0, max_rate: 100_000.0, retries: 2 }
}

#[test]
fn a_load_goes_through_a_worker_and_comes_back_in_order() {
    for mode in [Mode::L2dsr, Mode::Ipip, Mode::Gue] {
        let site = site(mode, 3);
        let (_state, _publisher, mut readers) = site.start(1);
        let mut rig = single(&mut MemoryJoints, &site, readers.remove(0), pair(), Monotonic::default()).expect("a rig");
        let load = Load { rate: 20_000.0, duration: Duration::from_millis(100), latency: true };
        let trial = rig.trial(&load, |_| ()).expect("a trial");
        assert_eq!(trial.run.intended, 2_000);
        let received = trial.run.received;
        assert!(received.packets > 0 && received.packets <= trial.run.offered, "{trial:?}");
        assert_eq!((received.reordered, received.duplicated, received.foreign), (0, 0, 0), "{mode}");
        let latency = trial.latencies().expect("asked for").percentiles();
        assert_eq!(latency.samples, received.packets);
        assert!(latency.p50 > 0.0 && latency.max >= latency.p999);
    }
}

#[test]
fn rates_and_latencies_are_found() {
    let site = site(Mode::L2dsr, 1);
    let (_state, _publisher, mut readers) = site.start(1);
    let mut rig = single(&mut MemoryJoints, &site, readers.remove(0), pair(), Monotonic::default()).expect("a rig");
    let mut told = 0;
    let found = find(&mut rig, &options(), |_| told += 1).expect("figures");
    assert_eq!((found.goals.len(), found.trials), (2, told));
    let loads = [("trickle".to_owned(), 1_000.0), ("more".to_owned(), 5_000.0)];
    let latencies = latencies(&mut rig, &loads, Duration::from_millis(50), 1).expect("latencies");
    assert!(latencies.iter().all(|report| report.latency.samples > 0), "{latencies:?}");
}

#[test]
fn pushes_reach_the_worker_from_either_place() {
    for on_a_core in [false, true] {
        let site = site(Mode::Ipip, 20);
        let clock = Monotonic::default();
        let (state, publisher, mut readers) = site.start(1);
        let cores = pair();
        let mut rig: Rig<_, Monotonic> =
            single(&mut MemoryJoints, &site, readers.remove(0), cores, clock).expect("a rig");
        let period = Duration::from_millis(5);
        let options = run::Options { rate: 5_000.0, pushes: 6, round: 3, period, retries: 0 };
        let ticks = (period.as_secs_f64() * clock.hz() as f64) as u64;
        let changes = Changes::new(site, state, &Kind::ALL);
        let mut told = 0;
        let outcome = if on_a_core {
            let mut pusher = Pusher::new(publisher, Source::Live(Box::new(changes)), clock, ticks, None);
            let place = Place::Core(&mut pusher, cores.0, MemoryJoints.enter());
            run::run(&mut rig, &clock, &options, place, |done| told = done)
        } else {
            let source = Source::ahead(changes, 4);
            let mut state = site.state(1);
            let (decoy, mut decoys) = publish::channel(guideway_control::reconcile::reconcile(&mut state), 1);
            let mut decoy = Pusher::new(decoy, source.share(), clock, ticks, Some(decoys.remove(0)));
            let mut pusher = Pusher::new(publisher, source, clock, ticks, None);
            run::run(&mut rig, &clock, &options, Place::Generator(&mut pusher, &mut decoy), |done| told = done)
        };
        let outcome = outcome.expect("figures");
        assert_eq!(told, 6);
        assert_eq!((outcome.with.rounds, outcome.without.rounds), (2, 2));
        assert!(outcome.pushed.pushes > 0 && outcome.pushed.visible.percentiles().samples == outcome.pushed.pushes);
        assert!(outcome.with.latency.samples > 0 && outcome.without.latency.samples > 0);
    }
}

#[test]
fn workers_are_searched_together_or_one_by_one() {
    let (site, clock) = (site(Mode::L2dsr, 1), Monotonic::default());
    let cores = pair();
    for (pairs, simulated) in [(vec![cores], true), (vec![cores, (cores.1, cores.0)], false)] {
        let row = fleet::measure(&mut MemoryJoints, &site, 2, &pairs, &clock, &options(), |_| ()).expect("a row");
        assert_eq!((row.workers, row.simulated), (2, simulated));
    }
}
