//! A table in long use: full and always changing, with any clock, told of sessions that are gone.

use super::{end, hasher, session, tuple};
use guideway_dataplane::session::{Sessions, Side, Tuple};
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
        sessions.touch(id, IDLE, START);
        sessions.establish(id, IDLE, START);
    }
    assert_eq!(sessions.next_expired(START + IDLE * 2, &mut 10), None);
    assert!((3..6).all(|number| enter(&mut sessions, number, START)));
    assert!((3..6).all(|number| sessions.find(&tuples(number).1.reversed()).is_some()));
}
