//! Publication between threads of the operating system: short, so that Miri can run it too.
#![cfg(not(loom))]

use guideway_dataplane::publish::{Generation, channel};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread;

const READERS: usize = 3;
const PUBLICATIONS: Generation = if cfg!(miri) { 40 } else { 20_000 };

/// Two copies of one number, on the heap, and a mark that the value exists.
struct Value {
    first: Box<Generation>,
    second: Box<Generation>,
    live: Arc<AtomicUsize>,
}

impl Value {
    fn new(generation: Generation, live: &Arc<AtomicUsize>) -> Self {
        live.fetch_add(1, SeqCst);
        Self { first: Box::new(generation), second: Box::new(generation), live: Arc::clone(live) }
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        *self.first = 0;
        self.live.fetch_sub(1, SeqCst);
    }
}

#[test]
fn readers_see_whole_values_in_order_and_nothing_leaks() {
    let live = Arc::new(AtomicUsize::new(0));
    let (mut publisher, readers) = channel(Value::new(1, &live), READERS);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for mut reader in readers {
            let done = &done;
            scope.spawn(move || {
                let mut last = 0;
                while !done.load(SeqCst) || last != PUBLICATIONS {
                    let value = reader.load();
                    assert_eq!(value.first, value.second);
                    assert!(*value.first >= last);
                    last = *value.first;
                    thread::yield_now();
                }
            });
        }
        for generation in 2..=PUBLICATIONS {
            assert_eq!(publisher.publish(Value::new(generation, &live)), generation);
            let waiting = publisher.reclaim();
            assert_eq!(live.load(SeqCst), waiting + 1);
        }
        done.store(true, SeqCst);
    });
    assert_eq!(publisher.acknowledged(), PUBLICATIONS);
    assert_eq!(publisher.reclaim(), 0);
    assert_eq!(live.load(SeqCst), 1);
    drop(publisher);
    assert_eq!(live.load(SeqCst), 0);
}

#[test]
fn without_readers_nothing_waits() {
    let live = Arc::new(AtomicUsize::new(0));
    let (mut publisher, readers) = channel(Value::new(1, &live), 0);
    assert!(readers.is_empty());
    assert_eq!(publisher.acknowledged(), 1);
    assert_eq!(publisher.publish(Value::new(2, &live)), 2);
    assert_eq!(live.load(SeqCst), 1);
}

#[test]
fn what_a_reader_holds_stays() {
    let live = Arc::new(AtomicUsize::new(0));
    let (mut publisher, mut readers) = channel(Value::new(1, &live), 1);
    let reader = &mut readers[0];
    assert!(reader.held().is_none());
    reader.load();
    assert_eq!(publisher.acknowledged(), 1);
    for generation in 2..=4 {
        publisher.publish(Value::new(generation, &live));
        let value = reader.held().unwrap();
        assert_eq!((*value.first, *value.second), (1, 1));
    }
    assert_eq!((publisher.acknowledged(), live.load(SeqCst)), (1, 4));
    assert_eq!(*reader.load().first, 4);
    assert_eq!((publisher.acknowledged(), publisher.reclaim(), live.load(SeqCst)), (4, 0, 1));
    assert_eq!(*reader.held().unwrap().first, 4);
}
