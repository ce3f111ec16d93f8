//! A worker that sleeps: nothing is left lying, and time asleep is neither work nor a stall.

use crate::rig::{Rig, context, syn};
use guideway_dataplane::counters::STALL;
use guideway_dataplane::doorbell::{Bell, Doorbell};
use guideway_dataplane::idle::{Interrupt, LONGEST_SLEEP, Rest, Sleeper};
use guideway_dataplane::ids::{LinkId, WorkerId};
use guideway_dataplane::memory::{LINK_DEPTH, MemoryPacket, MemoryQueue};
use guideway_dataplane::publish;
use guideway_dataplane::punt::{ControlRings, Inject};
use guideway_dataplane::time::Nanos;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// For whatever must come sooner or later on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A bell that a sleeper of the same kind waits for, however long it takes.
#[derive(Clone, Debug, Default)]
struct Alarm(Arc<(Mutex<bool>, Condvar)>);

impl Bell for Alarm {
    fn ring(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_one();
    }
}

/// Sleeps until the alarm, and only until then: a wake-up that is lost is a worker that hangs.
struct Deep {
    alarm: Alarm,
    sleeps: Arc<AtomicUsize>,
}

impl Sleeper for Deep {
    fn arm(&mut self) {}

    fn sleep(&mut self, _longest: Duration) -> Duration {
        self.sleeps.fetch_add(1, SeqCst);
        let (rung, signal) = &*self.alarm.0;
        let (mut rung, timeout) = signal.wait_timeout_while(rung.lock().unwrap(), PATIENCE, |rung| !*rung).unwrap();
        assert!(!timeout.timed_out(), "nobody woke the worker");
        *rung = false;
        Duration::ZERO
    }

    fn disarm(&mut self) {}
}

fn rig_with_doorbell(doorbell: Doorbell) -> (Rig, guideway_dataplane::snapshot::SnapshotPublisher) {
    let snapshot = context().snapshot().unwrap();
    let ports = snapshot.ports.len();
    let (publisher, mut readers) = publish::channel(snapshot, 1);
    let tx: Vec<MemoryQueue> = (0..ports).map(|_| crate::rig::queue(LINK_DEPTH)).collect();
    let rings = ControlRings::with_doorbell(doorbell);
    (Rig::with_tx(WorkerId(0), readers.pop().unwrap(), rings, tx, &[]), publisher)
}

fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_micros(100));
    }
}

#[test]
fn injections_snapshots_and_the_end_wake_a_worker_that_sleeps() {
    let alarm = Alarm::default();
    let (rig, mut publisher) = rig_with_doorbell(Doorbell::new(Box::new(alarm.clone())));
    let Rig { mut worker, rings, counters, .. } = rig;
    let (stop, sleeps) = (AtomicBool::new(false), Arc::new(AtomicUsize::new(0)));
    let doorbell = Arc::clone(rings.inject.doorbell());
    let sleeper = Deep { alarm, sleeps: Arc::clone(&sleeps) };
    let idle = Interrupt::new(sleeper, Arc::clone(&doorbell));
    let start = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| worker.run(&stop, idle, || Nanos(1 + start.elapsed().as_nanos() as u64)));
        for round in 1..=50 {
            let before = sleeps.load(SeqCst);
            wait_for("it does not go to sleep", || sleeps.load(SeqCst) > before || doorbell.is_asleep());
            let packet = MemoryPacket::new(&syn(10_000, 10).frame());
            rings.inject.push(Inject::Frame { packet, link: LinkId(0) }).unwrap();
            wait_for("an injection lies there", || counters.injected.get() == round);
            let generation = publisher.publish(context().snapshot().unwrap());
            doorbell.ring();
            wait_for("a snapshot lies there", || publisher.acknowledged() == generation);
        }
        wait_for("it does not go to sleep", || doorbell.is_asleep());
        stop.store(true, SeqCst);
        doorbell.ring();
    });
    assert!(counters.sleeps.get() > 0);
    assert!(!doorbell.is_asleep(), "it is gone, not asleep");
}

/// A device whose packet arrives at the worst of times: after the last poll that found nothing, before it is armed.
struct Late {
    rx: MemoryQueue,
    packets: usize,
    slept: Vec<usize>,
}

impl Sleeper for &mut Late {
    fn arm(&mut self) {
        if self.packets > 0 {
            self.packets -= 1;
            self.rx.push(MemoryPacket::new(&syn(10_000, 10).frame())).unwrap();
        }
    }

    fn sleep(&mut self, _longest: Duration) -> Duration {
        let waiting = self.rx.len();
        self.slept.push(waiting);
        Duration::ZERO
    }

    fn disarm(&mut self) {}
}

#[test]
fn what_arrived_before_the_device_was_armed_is_handled_before_the_sleep() {
    let (rig, _publisher) = rig_with_doorbell(Doorbell::silent());
    let Rig { mut worker, rings, counters, rx, .. } = rig;
    let mut device = Late { rx: Arc::clone(&rx[0]), packets: 3, slept: Vec::new() };
    let idle = Interrupt::new(&mut device, Arc::clone(rings.inject.doorbell()));
    let (stop, mut polls) = (AtomicBool::new(false), 0_u64);
    worker.run(&stop, idle, || {
        polls += 1;
        stop.store(polls == 5_000, SeqCst);
        Nanos(polls)
    });
    assert_eq!(counters.received.packets.get(), 3);
    assert!(!device.slept.is_empty());
    assert!(device.slept.iter().all(|waiting| *waiting == 0), "{:?}", device.slept);
}

/// Sleeps as long as it may, on a clock of its own.
struct Timed<'c> {
    clock: &'c std::cell::Cell<u64>,
    late: Duration,
}

impl Sleeper for Timed<'_> {
    fn arm(&mut self) {}

    fn sleep(&mut self, longest: Duration) -> Duration {
        self.clock.set(self.clock.get() + (longest + self.late).as_nanos() as u64);
        self.late
    }

    fn disarm(&mut self) {}
}

/// Runs a worker for a second, in which each poll takes a microsecond and a packet comes after every `gap` polls.
fn second_of(late: Duration, gap: Option<u64>) -> Rig {
    let (mut rig, _publisher) = rig_with_doorbell(Doorbell::silent());
    let clock = std::cell::Cell::new(1);
    let stop = AtomicBool::new(false);
    let idle = Interrupt::new(Timed { clock: &clock, late }, Arc::clone(rig.rings.inject.doorbell()));
    let (rx, mut polls) = (Arc::clone(&rig.rx[0]), 0_u64);
    rig.worker.run(&stop, idle, || {
        clock.set(clock.get() + 1_000);
        polls += 1;
        if gap.is_some_and(|gap| polls.is_multiple_of(gap)) {
            rx.push(MemoryPacket::new(&syn(10_000, 10).frame())).unwrap();
        }
        stop.store(clock.get() > 1_000_000_000, SeqCst);
        Nanos(clock.get())
    });
    rig
}

fn busy_share(rig: &Rig) -> f64 {
    rig.counters.busy_nanos.get() as f64 / rig.counters.total_nanos.get() as f64
}

#[test]
fn time_asleep_is_idle_and_no_stall() {
    let rig = second_of(Duration::ZERO, None);
    assert!((15..=21).contains(&rig.counters.sleeps.get()), "{}", rig.counters.sleeps.get());
    assert_eq!((rig.counters.stalls.get(), rig.counters.busy_nanos.get()), (0, 0));
    let total = rig.counters.total_nanos.get();
    assert!((1_000_000_000..1_000_000_000 + 2 * LONGEST_SLEEP.as_nanos() as u64).contains(&total), "{total}");
}

#[test]
fn a_sleep_that_was_prolonged_is_a_stall() {
    let rig = second_of(STALL + Duration::from_millis(1), None);
    assert_eq!(rig.counters.stalls.get(), rig.counters.sleeps.get());
    assert!(rig.counters.stalls.get() > 10);
    let rig = second_of(STALL / 2, None);
    assert_eq!(rig.counters.stalls.get(), 0);
}

#[test]
fn the_busy_share_is_right_at_low_and_at_high_load() {
    let idle = busy_share(&second_of(Duration::ZERO, Some(260)));
    assert!(idle > 0.0 && idle < 0.001, "{idle}: time asleep after work is no work");
    let half = second_of(Duration::ZERO, Some(2));
    assert_eq!(half.counters.sleeps.get(), 0, "too busy to sleep");
    assert!((busy_share(&half) - 0.5).abs() < 0.01, "{}", busy_share(&half));
    let full = busy_share(&second_of(Duration::ZERO, Some(1)));
    assert!(full > 0.99, "{full}");
}

#[test]
fn a_worker_asleep_is_not_taken_for_one_that_was_kept_from_polling() {
    let (mut rig, _publisher) = Rig::new(context().snapshot().unwrap());
    let start = Nanos(1_000_000_000);
    rig.poll_at(start);
    let stalled = |after: Duration, asleep: Duration| {
        rig.counters.stalled_until(start + after, Some(start + asleep)) == Some(start + after)
    };
    let ms = Duration::from_millis;
    assert!(!stalled(ms(40), ms(40)), "asleep now");
    assert!(!stalled(ms(40), ms(35)), "it was woken 5 ms ago");
    assert!(stalled(ms(46), ms(35)), "it was woken 11 ms ago and does not poll");
    assert!(stalled(LONGEST_SLEEP + STALL + ms(1), LONGEST_SLEEP + STALL + ms(1)), "nobody sleeps for that long");
}

#[test]
fn rest_is_short_while_packets_may_still_come() {
    let clock = std::cell::Cell::new(0);
    let mut idle = Interrupt::new(Timed { clock: &clock, late: Duration::ZERO }, Arc::default());
    for empty_polls in 1..100 {
        assert_eq!(idle.rest(empty_polls), None);
    }
    assert_eq!(clock.get(), 0, "no sleep so soon after work");
    assert!((100..2_000).any(|empty_polls| idle.rest(empty_polls).is_some()));
}
