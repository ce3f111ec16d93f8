//! Words: insertions, evictions, refreshes, closes, removals and sweeps of one bucket at the same time.

use super::{IDLE, NEW, OLD, everyone, find, key, model, sweep, table, tenure};
use guideway_dataplane::ids::BackendId;
use guideway_dataplane::pin::{Inserted, Pin, PinState, PinTable, Tick, WAYS};
use loom::sync::Arc;
use loom::thread;

const FLOW: u32 = 7;
const OTHER: u32 = 8;
/// Flows that only fill the bucket have tags from here on.
const FILLERS: u32 = 100;
const NOW: Tick = Tick(5);
/// Two workers take each other's claims away for as long as a scheduler stops both in the midst of that, so not every
/// interleaving ends. This many turns do within the attempts that a decision has.
const TURNS: Option<usize> = Some(6);

fn insert(table: &PinTable, pin: Pin, now: Tick) -> Inserted {
    table.insert(key(table, pin.tag()), pin, now, &tenure(), everyone)
}

/// Puts a pin in while nobody else is there.
fn put(table: &PinTable, pin: Pin) {
    assert_eq!(insert(table, pin, Tick(0)), Inserted::Done(None));
}

fn confirmed(tag: u32) -> Pin {
    Pin::single(tag, OLD, false, Tick(4)).after_packet(false, NOW)
}

/// What a worker does that wants a flow on a backend: it looks first, and looks again whenever it lost. The backend that
/// the flow's packet goes to.
fn follow_or_insert(table: &PinTable, tag: u32, backend: BackendId) -> BackendId {
    for _ in 0..8 {
        if let Some(pin) = find(table, tag) {
            return pin.backend();
        }
        if let Inserted::Done(_) = insert(table, Pin::single(tag, backend, false, NOW), NOW) {
            return backend;
        }
    }
    panic!("no end of attempts");
}

/// Changes the flow's pin until the change is written; whether it was there to be changed.
fn change(table: &PinTable, tag: u32, change: impl Fn(Pin) -> Pin) -> bool {
    for _ in 0..8 {
        let Some(found) = table.find(key(table, tag), everyone) else { return false };
        if found.replace(change(found.pin)) {
            return true;
        }
    }
    panic!("no end of attempts");
}

/// One pin of the flow is in the table, and this is its backend.
fn only(table: &PinTable, tag: u32) -> BackendId {
    let (_, pins) = sweep(table, NOW, None);
    let of_flow: Vec<_> = pins.into_iter().filter(|pin| pin.tag() == tag).collect();
    assert_eq!(of_flow.len(), 1, "{of_flow:?}");
    assert_eq!(find(table, tag), Some(of_flow[0]));
    of_flow[0].backend()
}

#[test]
fn two_workers_insert_one_flow() {
    model(TURNS, || {
        let table = Arc::new(table());
        let other = Arc::clone(&table);
        let thread = thread::spawn(move || follow_or_insert(&other, FLOW, NEW));
        let mine = follow_or_insert(&table, FLOW, OLD);
        let theirs = thread.join().unwrap();
        let pinned = only(&table, FLOW);
        assert_eq!((mine, theirs), (pinned, pinned));
    });
}

/// The way that is freed lies below the one that the first worker chose: the second worker takes it.
#[test]
fn two_workers_insert_one_flow_while_a_way_is_freed() {
    model(TURNS, || {
        let table = Arc::new(table());
        put(&table, confirmed(FILLERS));
        let other = Arc::clone(&table);
        let thread = thread::spawn(move || {
            assert!(other.find(key(&other, FILLERS), everyone).is_some_and(|found| found.remove()));
            follow_or_insert(&other, FLOW, NEW)
        });
        let mine = follow_or_insert(&table, FLOW, OLD);
        let theirs = thread.join().unwrap();
        let pinned = only(&table, FLOW);
        assert_eq!((mine, theirs), (pinned, pinned));
        assert_eq!(table.count(), 1);
    });
}

/// A third one only looks: what it follows must not be taken back.
#[test]
fn nobody_follows_an_insertion_that_is_given_up() {
    model(Some(4), || {
        let table = Arc::new(table());
        put(&table, confirmed(FILLERS));
        let (other, third) = (Arc::clone(&table), Arc::clone(&table));
        let thread = thread::spawn(move || {
            assert!(other.find(key(&other, FILLERS), everyone).is_some_and(|found| found.remove()));
            follow_or_insert(&other, FLOW, NEW)
        });
        let looker = thread::spawn(move || find(&third, FLOW).map(Pin::backend));
        follow_or_insert(&table, FLOW, OLD);
        thread.join().unwrap();
        let pinned = only(&table, FLOW);
        assert_eq!(looker.join().unwrap().unwrap_or(pinned), pinned);
    });
}

#[test]
fn two_flows_do_not_take_each_others_place() {
    model(None, || {
        let table = Arc::new(table());
        let other = Arc::clone(&table);
        let thread = thread::spawn(move || follow_or_insert(&other, OTHER, NEW));
        assert_eq!(follow_or_insert(&table, FLOW, OLD), OLD);
        assert_eq!(thread.join().unwrap(), NEW);
        assert_eq!((only(&table, FLOW), only(&table, OTHER)), (OLD, NEW));
    });
}

/// A full bucket in which one pin may be evicted: its flow sends while another one wants the place. A refresh that is a
/// plain store would put the old pin over the new one, whose flow was sent to its backend already.
#[test]
fn a_refresh_and_an_eviction() {
    model(None, || {
        let table = Arc::new(table());
        put(&table, Pin::single(FLOW, OLD, false, Tick(0)));
        (1..WAYS as u32).for_each(|filler| put(&table, confirmed(FILLERS + filler)));
        let other = Arc::clone(&table);
        let thread = thread::spawn(move || {
            let pin = Pin::single(OTHER, NEW, false, NOW);
            (0..8).map(|_| insert(&other, pin, NOW)).find(|inserted| !matches!(inserted, Inserted::Again(_)))
        });
        let refreshed = change(&table, FLOW, |pin| pin.after_packet(false, NOW));
        let inserted = thread.join().unwrap();
        let (flow, other) = (find(&table, FLOW), find(&table, OTHER));
        if refreshed {
            assert_eq!(inserted, Some(Inserted::Full), "a second packet came: nobody takes its place");
            assert_eq!((flow.map(Pin::state), other), (Some(PinState::Confirmed), None));
        } else {
            assert!(matches!(inserted, Some(Inserted::Done(Some(old))) if old.tag() == FLOW), "{inserted:?}");
            assert_eq!((flow, other.map(Pin::backend)), (None, Some(NEW)));
        }
        assert_eq!(table.count(), WAYS);
    });
}

/// Whatever comes first, FIN was seen, the tick is the latest, and a second packet came.
#[test]
fn a_close_is_not_lost() {
    model(None, || {
        let table = Arc::new(table());
        put(&table, Pin::single(FLOW, OLD, false, Tick(0)));
        let (second, third) = (Arc::clone(&table), Arc::clone(&table));
        let closing = thread::spawn(move || change(&second, FLOW, |pin| pin.after_packet(true, Tick(4))));
        let resetting = thread::spawn(move || change(&third, FLOW, Pin::closed));
        assert!(change(&table, FLOW, |pin| pin.after_packet(false, NOW)));
        assert!(closing.join().unwrap() && resetting.join().unwrap());
        let pin = find(&table, FLOW).unwrap();
        assert_eq!((pin.state(), pin.age(NOW, table.clock())), (PinState::Closing, 0));
    });
}

/// The same while the SYN is sent again: the pin does not become embryonic after the flow went on.
#[test]
fn a_promotion_is_not_lost() {
    model(None, || {
        let table = Arc::new(table());
        put(&table, Pin::embryonic(FLOW, OLD, 7, Tick(0)));
        let (second, third) = (Arc::clone(&table), Arc::clone(&table));
        let closing = thread::spawn(move || change(&second, FLOW, |pin| pin.after_packet(true, NOW)));
        let again = thread::spawn(move || change(&third, FLOW, |pin| pin.after_syn(7, Tick(4))));
        assert!(change(&table, FLOW, |pin| pin.after_packet(false, NOW)));
        assert!(closing.join().unwrap() && again.join().unwrap());
        let pin = find(&table, FLOW).unwrap();
        assert_eq!((pin.state(), pin.backend(), pin.age(NOW, table.clock())), (PinState::SingleClosing, OLD, 0));
    });
}

/// A worker whose clock is behind uses a pin that the sweep takes for expired: one of them wins, and the worker knows.
/// What nobody uses goes.
#[test]
fn a_sweep_and_a_refresh() {
    const LATE: Tick = Tick(IDLE + 5);
    model(None, || {
        let table = Arc::new(table());
        put(&table, Pin::single(OTHER, OLD, false, Tick(0)));
        put(&table, Pin::single(FLOW, OLD, false, Tick(0)));
        put(&table, Pin::single(FILLERS, OLD, false, NOW));
        let other = Arc::clone(&table);
        let thread = thread::spawn(move || change(&other, FLOW, |pin| pin.after_packet(false, Tick(IDLE))));
        let (freed, live) = sweep(&table, LATE, None);
        let refreshed = thread.join().unwrap();
        assert_eq!(find(&table, FLOW).map(|pin| pin.age(LATE, table.clock())), refreshed.then_some(5));
        assert_eq!(find(&table, OTHER), None);
        assert_eq!(live.iter().any(|pin| pin.tag() == FLOW), refreshed, "the sweep tells what stays");
        assert_eq!(freed, if refreshed { 1 } else { 2 });
    });
}

/// The sweep makes a late embryonic pin an aged one while its flow goes on.
#[test]
fn a_sweep_and_a_promotion() {
    const LATE: Tick = Tick(12);
    model(None, || {
        let table = Arc::new(table());
        put(&table, Pin::embryonic(FLOW, OLD, 7, Tick(0)));
        let other = Arc::clone(&table);
        let thread = thread::spawn(move || change(&other, FLOW, |pin| pin.after_packet(false, LATE)));
        let (freed, live) = sweep(&table, LATE, None);
        assert!(thread.join().unwrap());
        let pin = find(&table, FLOW).unwrap();
        assert_eq!((pin.state(), pin.age(LATE, table.clock())), (PinState::Single, 0));
        assert_eq!((freed, live.len()), (0, 1));
    });
}

/// A removal takes what was read, not what came to stand there: the place goes to another flow meanwhile.
#[test]
fn a_removal_and_an_eviction() {
    model(None, || {
        let table = Arc::new(table());
        put(&table, Pin::single(FLOW, OLD, false, Tick(0)));
        (1..WAYS as u32).for_each(|filler| put(&table, confirmed(FILLERS + filler)));
        let other = Arc::clone(&table);
        let thread = thread::spawn(move || follow_or_insert(&other, OTHER, NEW));
        let removed = table.find(key(&table, FLOW), everyone).is_some_and(|found| found.remove());
        assert_eq!(thread.join().unwrap(), NEW);
        assert_eq!(only(&table, OTHER), NEW);
        assert_eq!((find(&table, FLOW), table.count()), (None, WAYS), "{removed}");
    });
}

/// The same for a sweep that finds it redundant.
#[test]
fn a_sweep_and_an_eviction() {
    model(None, || {
        let table = Arc::new(table());
        put(&table, Pin::single(FLOW, OLD, false, Tick(0)));
        (1..WAYS as u32).for_each(|filler| put(&table, Pin::single(FILLERS + filler, NEW, false, NOW)));
        let other = Arc::clone(&table);
        let thread = thread::spawn(move || follow_or_insert(&other, OTHER, NEW));
        sweep(&table, NOW, Some(OLD));
        assert_eq!(thread.join().unwrap(), NEW);
        assert_eq!(only(&table, OTHER), NEW);
        assert_eq!(find(&table, FLOW), None);
    });
}

/// A removal and a refresh: one of them happens, or the removal after the refresh was seen.
#[test]
fn a_removal_and_a_refresh() {
    model(None, || {
        let table = Arc::new(table());
        put(&table, Pin::single(FLOW, OLD, false, Tick(0)));
        let other = Arc::clone(&table);
        let thread = thread::spawn(move || change(&other, FLOW, |pin| pin.after_packet(false, NOW)));
        let removed = table.find(key(&table, FLOW), everyone).is_some_and(|found| found.remove());
        let refreshed = thread.join().unwrap();
        assert!(removed || refreshed);
        assert_eq!(find(&table, FLOW).is_some(), !removed);
    });
}
