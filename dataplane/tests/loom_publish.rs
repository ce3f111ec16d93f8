//! Publication under every interleaving that matters.
//!
//! ```text
//! RUSTFLAGS="--cfg loom" cargo test -p guideway-dataplane --test loom_publish --release
//! ```
//!
//! A [`Value`] ends by writing its own cell without synchronization, which loom refuses unless every read of the cell
//! happens before: so a value that is freed while a reader may use it fails a model even if the reader was quick.
#![cfg(loom)]

use guideway_dataplane::publish::{Generation, Publisher, Reader, channel};
use loom::model::Builder;
use loom::sync::atomic::AtomicU64;
use loom::thread;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};

/// Values that exist. Not part of the model: it is read when all threads are joined.
#[derive(Clone, Default)]
struct Live(Arc<AtomicUsize>);

struct Value {
    generation: Generation,
    /// 0, and 1 when freed. An integer, since only those can be written without synchronization.
    freed: AtomicU64,
    live: Live,
}

impl Live {
    fn value(&self, generation: Generation) -> Value {
        self.0.fetch_add(1, SeqCst);
        Value { generation, freed: AtomicU64::new(0), live: self.clone() }
    }

    fn count(&self) -> usize {
        self.0.load(SeqCst)
    }
}

impl Value {
    fn check(&self) -> Generation {
        assert_eq!(self.freed.load(Relaxed), 0, "generation {} is freed and in use", self.generation);
        self.generation
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        self.freed.with_mut(|freed| assert_eq!(std::mem::replace(freed, 1), 0, "freed twice"));
        self.live.0.fetch_sub(1, SeqCst);
    }
}

/// Runs every interleaving, or those with at most this many preemptions of a thread where there are too many.
fn model(preemptions: Option<usize>, body: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = preemptions;
    builder.check(body);
}

fn start(readers: usize) -> (Live, Publisher<Value>, Vec<Reader<Value>>) {
    let live = Live::default();
    let (publisher, readers) = channel(live.value(1), readers);
    (live, publisher, readers)
}

/// Loads this often and uses each value twice: generations never go back.
fn use_values(reader: &mut Reader<Value>, loads: usize) {
    let mut last = 0;
    for _ in 0..loads {
        let value = reader.load();
        let generation = value.check();
        assert!(generation >= last, "{generation} after {last}");
        last = generation;
        thread::yield_now();
        value.check();
    }
}

#[test]
fn a_reader_never_uses_a_freed_value() {
    model(None, || {
        let (live, mut publisher, mut readers) = start(1);
        let mut reader = readers.pop().unwrap();
        let thread = thread::spawn(move || use_values(&mut reader, 3));
        assert_eq!(publisher.publish(live.value(2)), 2);
        assert_eq!(publisher.publish(live.value(3)), 3);
        thread.join().unwrap();
        publisher.reclaim();
        assert_eq!(live.count(), 1, "the reader is gone, the current value stays");
        drop(publisher);
        assert_eq!(live.count(), 0, "no leak");
    });
}

#[test]
fn two_readers_and_two_publications() {
    model(Some(3), || {
        let (live, mut publisher, readers) = start(2);
        let threads: Vec<_> =
            readers.into_iter().map(|mut reader| thread::spawn(move || use_values(&mut reader, 2))).collect();
        publisher.publish(live.value(2));
        publisher.publish(live.value(3));
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(publisher.reclaim(), 0);
        drop(publisher);
        assert_eq!(live.count(), 0);
    });
}

#[test]
fn acknowledged_is_never_ahead_of_what_a_reader_uses() {
    model(None, || {
        let (live, mut publisher, mut readers) = start(1);
        let mut reader = readers.pop().unwrap();
        let seen = loom::sync::Arc::new(AtomicU64::new(0));
        let told = loom::sync::Arc::clone(&seen);
        let thread = thread::spawn(move || {
            for _ in 0..2 {
                let generation = reader.load().check();
                assert!(told.load(Relaxed) <= generation, "acknowledged before use");
            }
            reader
        });
        publisher.publish(live.value(2));
        seen.store(publisher.acknowledged(), Relaxed);
        let mut reader = thread.join().unwrap();
        reader.load();
        assert_eq!(publisher.acknowledged(), 2);
        assert_eq!(publisher.reclaim(), 0);
        assert_eq!(live.count(), 1);
    });
}

#[test]
fn a_slow_reader_keeps_its_value_and_what_came_after() {
    model(None, || {
        let (live, mut publisher, mut readers) = start(2);
        let mut quick = readers.pop().unwrap();
        let mut slow = readers.pop().unwrap();
        slow.load();
        let thread = thread::spawn(move || use_values(&mut quick, 2));
        publisher.publish(live.value(2));
        publisher.publish(live.value(3));
        assert_eq!(publisher.reclaim(), 2, "both wait for the slow one");
        assert!(publisher.acknowledged() <= 1);
        thread.join().unwrap();
        assert_eq!(slow.load().check(), 3);
        assert_eq!(publisher.reclaim(), 0);
        assert_eq!(live.count(), 1);
    });
}

#[test]
fn a_reader_that_is_gone_delays_nobody() {
    model(None, || {
        let (live, mut publisher, mut readers) = start(2);
        // One never loads anything, one goes while a publication is under way.
        drop(readers.pop());
        let mut reader = readers.pop().unwrap();
        let thread = thread::spawn(move || {
            reader.load().check();
        });
        publisher.publish(live.value(2));
        thread.join().unwrap();
        assert_eq!(publisher.reclaim(), 0);
        assert_eq!(publisher.acknowledged(), 2);
        assert_eq!(live.count(), 1);
    });
}

#[test]
fn a_reader_outlives_its_publisher() {
    model(None, || {
        let (live, mut publisher, mut readers) = start(1);
        let mut reader = readers.pop().unwrap();
        let (second, third) = (live.value(2), live.value(3));
        let thread = thread::spawn(move || {
            publisher.publish(second);
            publisher.publish(third);
        });
        use_values(&mut reader, 2);
        thread.join().unwrap();
        assert_eq!(reader.load().check(), 3);
        drop(reader);
        assert_eq!(live.count(), 0, "no leak");
    });
}

#[test]
fn what_a_reader_holds_is_not_freed() {
    model(None, || {
        let (live, mut publisher, mut readers) = start(1);
        let mut reader = readers.pop().unwrap();
        let thread = thread::spawn(move || {
            let first = reader.load().check();
            thread::yield_now();
            assert_eq!(reader.held().map(Value::check), Some(first));
            let second = reader.load().check();
            assert!(second >= first);
            assert_eq!(reader.held().map(Value::check), Some(second));
        });
        publisher.publish(live.value(2));
        publisher.publish(live.value(3));
        thread.join().unwrap();
        publisher.reclaim();
        assert_eq!(live.count(), 1);
    });
}
