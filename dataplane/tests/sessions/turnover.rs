//! A table in long use: full and always changing, with any clock, told of sessions that are gone.

use super::{end, hasher, session, tuple};
use guideway_dataplane::port::BURST;
use guideway_dataplane::session::{Full, Looked, Sessions, Side, Tuple};
use guideway_dataplane::time::Nanos;
use std::time::Duration;

const IDLE: Duration = Duration::from_secs(60);
const START: Nanos = Nanos(1_000_000_000_000);

/// The tuples of session `number`, which keeps its client's address.
fn tuples(number: u32) -> (Tuple, Tuple) {
    let client = end(&format!("2001:db8::{:x}", number / 50_000), 1_024 + (number % 50_000) as u16);
    (tuple(client, end("2001:db8:1::10", 80)), tuple(client, end("fd00::11", 80)))
}

fn table(capacity: u32) -> Sessions {
    Sessions::new(capacity, Box::new([]), hasher())
}

/// Takes in an established session; whether there was room.
fn enter(sessions: &mut Sessions, number: u32, now: Nanos) -> bool {
    let (outside, inside) = tuples(number);
    sessions.insert(&outside, &inside, session(number as u16), (false, IDLE), now).is_ok()
}

/// A place that is free can be taken, however the keys of the others lie.
#[test]
fn a_full_table_takes_another_for_each_that_ends() {
    for (capacity, turns) in [(100, 60_000), (1_000, 20_000), (20_000, 20_000)] {
        let mut sessions = table(capacity);
        assert!((0..capacity).all(|number| enter(&mut sessions, number, START)), "{capacity}");
        let mut refused = 0;
        let mut living: std::collections::VecDeque<u32> = (0..capacity).collect();
        for number in capacity..capacity + turns {
            if living.len() as u32 == capacity {
                let oldest = living.pop_front().expect("it is full");
                let (id, side) = sessions.find(&tuples(oldest).0).expect("it lives");
                assert_eq!(side, Side::Client);
                sessions.remove(id).expect("it was found");
            }
            if enter(&mut sessions, number, START) {
                living.push_back(number);
            } else {
                refused += 1;
            }
        }
        assert_eq!(refused, 0, "of {turns} with {capacity} places");
        assert_eq!(sessions.live(), capacity);
        for number in living {
            let (outside, inside) = tuples(number);
            let found = [sessions.find(&outside), sessions.find(&inside.reversed())];
            assert!(
                matches!(found, [Some((one, Side::Client)), Some((other, Side::Backend))] if one == other),
                "{number}"
            );
        }
    }
}

/// Captures are replayed with the time since 1970, of any year.
#[test]
fn sessions_expire_by_any_clock() {
    const YEAR: u64 = 365 * 86_400 * 1_000_000_000;
    for year in [0, 9, 13, 17, 56, 200] {
        let start = Nanos(year * YEAR + 1);
        let mut sessions = table(10);
        assert_eq!(sessions.next_expired(start, &mut 10), None);
        assert!(enter(&mut sessions, 1, start));
        assert_eq!(sessions.next_expired(start + IDLE, &mut 10), None, "{year}");
        let id = sessions.next_expired(start + IDLE + Duration::from_millis(256), &mut 10);
        assert!(id.and_then(|id| sessions.remove(id)).is_some(), "{year}");
        // An empty table sleeps as long as it likes.
        let later = start + Duration::from_nanos(YEAR);
        assert!(enter(&mut sessions, 2, later));
        assert_eq!(sessions.next_expired(later, &mut 10), None, "{year}");
        assert!(sessions.next_expired(later + IDLE * 2, &mut 10).is_some(), "{year}");
    }
}

/// A place that is free stays so: the next sessions get all of them.
#[test]
fn a_session_that_is_gone_is_not_touched() {
    let mut sessions = table(3);
    assert!((0..3).all(|number| enter(&mut sessions, number, START)));
    for number in 0..3 {
        let (id, _) = sessions.find(&tuples(number).0).expect("it lives");
        sessions.remove(id).expect("it was found");
        sessions.touch(id, (false, IDLE), START);
        sessions.touch(id, (true, IDLE), START);
    }
    assert_eq!(sessions.next_expired(START + IDLE * 2, &mut 10), None);
    assert!((3..6).all(|number| enter(&mut sessions, number, START)));
    assert!((3..6).all(|number| sessions.find(&tuples(number).1.reversed()).is_some()));
}

/// Who has been silent gives way, the longest silent one of a small table first; who had a packet lately never does.
#[test]
fn the_silent_give_way_and_the_busy_never() {
    const CAPACITY: u32 = 6;
    let mut sessions = table(CAPACITY);
    let second = |count: u64| START + Duration::from_secs(count);
    for number in 0..CAPACITY {
        assert!(enter(&mut sessions, number, second(u64::from(number))));
    }
    assert_eq!(sessions.next_silent(second(9)), None, "all had a packet within ten seconds");
    let find = |sessions: &Sessions, number: u32| sessions.find(&tuples(number).0).map(|(id, _)| id);
    // Session 0 speaks; the others are silent since they began.
    let first = find(&sessions, 0).expect("it lives");
    sessions.touch(first, (false, IDLE), second(30));
    for number in 1..CAPACITY {
        let silent = sessions.next_silent(second(32)).expect("it is silent");
        assert_eq!(Some(silent), find(&sessions, number));
        sessions.remove(silent).expect("it lives");
    }
    assert_eq!(sessions.next_silent(second(32)), None);
    assert!(find(&sessions, 0).is_some());
}

/// In a table with many, whoever gives way was silent, whatever the clock and the timeouts are; busy ones are passed over, and the
/// silent one among them is found.
#[test]
fn one_silent_session_among_many_is_found() {
    const CAPACITY: u32 = 500;
    for (start, idle) in [(START, IDLE), (Nanos(1), Duration::from_secs(900)), (START, Duration::from_secs(86_400))] {
        let mut sessions = table(CAPACITY);
        for number in 0..CAPACITY {
            let (outside, inside) = tuples(number);
            let entered = sessions.insert(&outside, &inside, session(number as u16), (false, idle), start);
            assert!(entered.is_ok());
        }
        let later = start + Duration::from_secs(20);
        for number in (0..CAPACITY).filter(|number| *number != 321) {
            let (id, _) = sessions.find(&tuples(number).0).expect("it lives");
            sessions.touch(id, (false, idle), later);
        }
        let found = (0..CAPACITY).find_map(|_| sessions.next_silent(later)).expect("one is silent");
        assert_eq!(sessions.get(found).map(|session| session.vip.0), Some(321));
        sessions.remove(found);
        assert_eq!((0..CAPACITY).find_map(|_| sessions.next_silent(later)), None);
        // They keep their times all the same.
        assert_eq!(sessions.next_expired(later + (idle - Duration::from_secs(1)), &mut 100_000), None);
        let over = later + idle + Duration::from_secs(1);
        let mut gone = 0;
        while let Some(id) = sessions.next_expired(over, &mut 100_000) {
            sessions.remove(id).expect("it lives");
            gone += 1;
        }
        assert_eq!(gone, CAPACITY - 1);
    }
}

#[test]
fn as_many_are_embryonic_as_may_be() {
    let mut sessions = table(100).with_most_embryonic(7);
    let mut entered = (0..20).map(|number| {
        let (outside, inside) = tuples(number);
        sessions.insert(&outside, &inside, session(0), (true, IDLE), START).map(drop)
    });
    assert!(entered.by_ref().take(7).all(|entered| entered == Ok(())));
    assert!(entered.all(|entered| entered == Err(Full::Embryonic)));
    assert_eq!(sessions.embryonic(), 7);
    assert_eq!([0, 1, 1_000].map(|most| table(100).with_most_embryonic(most).most_embryonic()), [1, 1, 100]);
}

/// A burst is asked for without harm: tuples with a session, without one, of both families, and none.
#[test]
fn a_burst_finds_its_sessions() {
    let mut sessions = table(50);
    assert!((0..50).all(|number| enter(&mut sessions, number, START)));
    let v4 = tuple(end("192.0.2.7", 1), end("203.0.113.10", 80));
    let burst: Vec<Tuple> = (40..70).map(|number| tuples(number).0).chain([v4]).collect();
    let packets = || burst.iter().enumerate().map(|(place, tuple)| (place, *tuple, tuple.key()));
    let mut looked = [Looked::NOTHING; BURST];
    let places = sessions.look_up(packets(), &mut looked);
    sessions.prefetch_looked(&places, &mut looked);
    for (tuple, looked) in burst.iter().zip(&looked) {
        assert_eq!(sessions.find_looked(looked), sessions.find(tuple));
    }
    let found = looked.iter().filter(|looked| sessions.find_looked(looked).is_some());
    assert_eq!((found.count(), sessions.live()), (10, 50));
    // Other packets of the burst end one and begin another.
    let (id, _) = sessions.find_looked(&looked[0]).expect("it lives");
    sessions.remove(id).expect("it lives");
    assert_eq!(sessions.find_looked(&looked[0]), None);
    assert!(enter(&mut sessions, 50, START), "in the place of the one that is gone");
    assert_eq!(sessions.find_looked(&looked[0]), None);
    assert_eq!(sessions.find_looked(&looked[10]), Some((id, Side::Client)));
    // Packets that are not the first of their burst, and none.
    sessions.look_up(packets().skip(20).map(|(place, tuple, key)| (place - 10, tuple, key)), &mut looked);
    assert_eq!(looked[10].tuple, burst[20]);
    sessions.look_up(std::iter::empty(), &mut looked);
    table(0).look_up(packets(), &mut looked);
    assert_eq!(table(0).find_looked(&looked[3]), None);
}
