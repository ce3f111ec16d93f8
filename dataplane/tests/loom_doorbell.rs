//! The doorbell of a worker that goes to sleep, under every interleaving that matters.
//!
//! ```text
//! RUSTFLAGS="--cfg loom" cargo test -p guideway-dataplane --test loom_doorbell --release
//! ```
//!
//! A worker lies down, looks once more, and sleeps if it saw nothing. Whatever was left for it before somebody rang must have
//! been seen by that look, or the bell must have rung.
#![cfg(loom)]

use guideway_dataplane::doorbell::{Bell, Doorbell};
use guideway_dataplane::publish::channel;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

/// Counts how often it rang: what a sleep that waits for it would return for.
#[derive(Clone, Debug)]
struct Count(Arc<AtomicUsize>);

impl Bell for Count {
    fn ring(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn doorbell() -> (Arc<Doorbell>, Count) {
    let count = Count(Arc::new(AtomicUsize::new(0)));
    (Arc::new(Doorbell::new(Box::new(count.clone()))), count)
}

/// Leaves one more thing for the worker, and rings.
fn leave(work: &AtomicUsize, doorbell: &Doorbell) {
    work.fetch_add(1, Ordering::Release);
    doorbell.ring();
}

#[test]
fn what_is_left_is_seen_or_wakes() {
    loom::model(|| {
        let (doorbell, rung) = doorbell();
        let work = Arc::new(AtomicUsize::new(0));
        let (bell, left) = (Arc::clone(&doorbell), Arc::clone(&work));
        let control = thread::spawn(move || leave(&left, &bell));
        doorbell.lie_down();
        let seen = work.load(Ordering::Acquire);
        control.join().unwrap();
        assert!(seen == 1 || rung.0.load(Ordering::Relaxed) == 1, "it sleeps on what was left for it");
        assert!(rung.0.load(Ordering::Relaxed) <= 1);
    });
}

#[test]
fn of_two_who_ring_one_wakes_for_both() {
    loom::model(|| {
        let (doorbell, rung) = doorbell();
        let work = Arc::new(AtomicUsize::new(0));
        let others: Vec<_> = (0..2)
            .map(|_| {
                let (bell, left) = (Arc::clone(&doorbell), Arc::clone(&work));
                thread::spawn(move || leave(&left, &bell))
            })
            .collect();
        doorbell.lie_down();
        let seen = work.load(Ordering::Acquire);
        for other in others {
            other.join().unwrap();
        }
        assert!(seen == 2 || rung.0.load(Ordering::Relaxed) == 1, "saw {seen} of 2");
        assert!(rung.0.load(Ordering::Relaxed) <= 1, "one call is enough");
    });
}

#[test]
fn a_second_sleep_is_woken_like_the_first() {
    loom::model(|| {
        let (doorbell, rung) = doorbell();
        let work = Arc::new(AtomicUsize::new(0));
        let (bell, left) = (Arc::clone(&doorbell), Arc::clone(&work));
        let control = thread::spawn(move || leave(&left, &bell));
        doorbell.lie_down();
        let first = work.load(Ordering::Acquire);
        doorbell.get_up();
        // What rang before this is read by the worker after its sleep, before it looks again.
        let heard = rung.0.load(Ordering::Relaxed);
        doorbell.lie_down();
        let second = work.load(Ordering::Acquire);
        control.join().unwrap();
        let woken = rung.0.load(Ordering::Relaxed) > heard;
        assert!(first == 1 || second == 1 || woken, "it sleeps on what was left for it");
    });
}

#[test]
fn a_publication_is_seen_or_wakes() {
    loom::model(|| {
        let (doorbell, rung) = doorbell();
        let (mut publisher, mut readers) = channel(1_u64, 1);
        let mut reader = readers.pop().unwrap();
        let bell = Arc::clone(&doorbell);
        let control = thread::spawn(move || {
            publisher.publish(2);
            bell.ring();
            publisher
        });
        doorbell.lie_down();
        let seen = *reader.load();
        control.join().unwrap();
        assert!(seen == 2 || rung.0.load(Ordering::Relaxed) == 1, "it sleeps with an old snapshot");
    });
}
