//! The table: both directions, room, time.

use super::{end, hasher, session, tuple};
use guideway_dataplane::session::{EMBRYONIC, Full, Removed, SessionId, Sessions, Side, Tuple};
use guideway_dataplane::time::Nanos;
use proptest::prelude::*;
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

const SOURCE: &str = "10.0.0.1";
const IDLE: Duration = Duration::from_secs(60);
const START: Nanos = Nanos(1_000_000_000_000);

/// The tuples of session `number`: of IPv4, of IPv6 with the client's own address, or of both families.
fn tuples(number: u16) -> (Tuple, Tuple) {
    let port = 10_000 + number;
    match number % 3 {
        0 => (tuple(end("192.0.2.7", port), end("203.0.113.10", 80)), tuple(end(SOURCE, port), end("10.0.0.11", 8080))),
        1 => (
            tuple(end("2001:db8::7", port), end("2001:db8:1::10", 80)),
            tuple(end("2001:db8::7", port), end("fd00::11", 80)),
        ),
        _ => {
            (tuple(end("2001:db8::7", port), end("2001:db8:1::10", 80)), tuple(end(SOURCE, port), end("10.0.0.11", 80)))
        }
    }
}

fn table(capacity: u32) -> Sessions {
    Sessions::new(capacity, Box::new([end(SOURCE, 0).address]), hasher())
}

fn enter(sessions: &mut Sessions, number: u16, embryonic: bool, now: Nanos) -> Result<SessionId, Full> {
    let (outside, inside) = tuples(number);
    let timeout = if embryonic { EMBRYONIC } else { IDLE };
    sessions.insert(&outside, &inside, session(number), (embryonic, timeout), now)
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Enter(u16, bool),
    Remove(u16),
    Touch(u16),
    Renew(u16),
    Establish(u16),
    Wait(u16),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..40_u16, any::<bool>()).prop_map(|(number, embryonic)| Step::Enter(number, embryonic)),
        1 => (0..40_u16).prop_map(Step::Remove),
        2 => (0..40_u16).prop_map(Step::Touch),
        2 => (0..40_u16).prop_map(Step::Renew),
        1 => (0..40_u16).prop_map(Step::Establish),
        1 => (0..40_000_u16).prop_map(Step::Wait),
    ]
}

/// The table's ticks, of 128 ms: a session has two seconds more, or is not renewed.
fn tick(moment: Nanos) -> u64 {
    moment.0 / 128_000_000
}

/// What a session is in the oracle: whether it is embryonic, and when its time is over.
#[derive(Clone, Copy, Debug)]
struct Known {
    embryonic: bool,
    over: Nanos,
}

/// Removes what is over, and says which that was.
fn expire(sessions: &mut Sessions, now: Nanos) -> Vec<u16> {
    let mut gone = Vec::new();
    while let Some(id) = sessions.next_expired(now, &mut 1_000) {
        gone.push(sessions.remove(id).expect("it lives").session.vip.0);
    }
    gone
}

proptest! {
    /// Whatever happens: each session is found by both of its tuples and nothing else is; those that are silent go, not before
    /// their time and at most two ticks later; room is what was asked for.
    #[test]
    fn it_is_a_map_of_two_keys(steps in proptest::collection::vec(step(), 1..300)) {
        const CAPACITY: u32 = 24;
        let mut sessions = table(CAPACITY);
        let mut known: HashMap<u16, Known> = HashMap::new();
        let mut order: VecDeque<u16> = VecDeque::new();
        let mut now = START;
        for step in steps {
            match step {
                Step::Enter(number, embryonic) => {
                    let young = known.values().filter(|known| known.embryonic).count() as u32;
                    let result = enter(&mut sessions, number, embryonic, now);
                    let expected = match () {
                        () if known.len() as u32 == CAPACITY => Err(Full::Table),
                        () if embryonic && young == CAPACITY / 4 => Err(Full::Embryonic),
                        () if known.contains_key(&number) => Err(Full::Taken),
                        () => Ok(()),
                    };
                    prop_assert_eq!(result.map(drop), expected);
                    if expected.is_ok() {
                        let over = now + if embryonic { EMBRYONIC } else { IDLE };
                        known.insert(number, Known { embryonic, over });
                        order.push_back(number);
                    }
                }
                Step::Remove(number) => {
                    if let Some((id, _)) = sessions.find(&tuples(number).0) {
                        let Removed { outside, inside, .. } = sessions.remove(id).expect("it was found");
                        prop_assert_eq!((outside, inside), tuples(number));
                    }
                    known.remove(&number);
                }
                Step::Touch(number) => {
                    if let Some((id, _)) = sessions.find(&tuples(number).0) {
                        sessions.touch(id, (false, IDLE), now);
                    }
                    if let Some(known) = known.get_mut(&number).filter(|known| !known.embryonic) {
                        known.over = now + IDLE;
                    }
                }
                Step::Renew(number) => {
                    if let Some((id, _)) = sessions.find(&tuples(number).1.reversed()) {
                        sessions.renew(id, now);
                    }
                    let since = |over: Nanos| Nanos(over.0 - EMBRYONIC.as_nanos() as u64);
                    let later = |over| tick(now) - tick(since(over)) >= 15;
                    if let Some(known) = known.get_mut(&number).filter(|known| known.embryonic && later(known.over)) {
                        known.over = now + EMBRYONIC;
                        order.retain(|other| *other != number);
                        order.push_back(number);
                    }
                }
                Step::Establish(number) => {
                    if let Some((id, _)) = sessions.find(&tuples(number).1.reversed()) {
                        sessions.touch(id, (true, IDLE), now);
                    }
                    if let Some(known) = known.get_mut(&number) {
                        *known = Known { embryonic: false, over: now + IDLE };
                    }
                }
                Step::Wait(millis) => {
                    now = now + Duration::from_millis(millis.into());
                    for number in expire(&mut sessions, now) {
                        let known = known.remove(&number).expect("it was there");
                        prop_assert!(known.over <= now, "too early: {:?} at {:?}", known, now);
                    }
                    let late = |known: &&Known| known.over + Duration::from_millis(256) < now;
                    prop_assert_eq!(known.values().find(late).map(|known| known.over), None);
                }
            }
            order.retain(|number| known.contains_key(number));
            let oldest = order.iter().find(|number| known[number].embryonic);
            let found = sessions.oldest_embryonic().and_then(|id| sessions.get(id)).map(|session| session.vip.0);
            prop_assert_eq!(found, oldest.copied());
            prop_assert_eq!(sessions.live() as usize, known.len());
            for number in 0..40 {
                let (outside, inside) = tuples(number);
                let by = |tuple: &Tuple, side: Side| match sessions.find(tuple) {
                    Some((id, found)) => found == side && sessions.get(id).is_some_and(|s| s.vip.0 == number),
                    None => !known.contains_key(&number),
                };
                prop_assert!(by(&outside, Side::Client) && by(&inside.reversed(), Side::Backend), "{}", number);
                prop_assert_eq!(sessions.find(&outside.reversed()).is_some(), false);
            }
        }
    }
}

#[test]
fn a_table_without_room_refuses() {
    let mut sessions = table(0);
    assert_eq!(enter(&mut sessions, 0, true, START).map(drop), Err(Full::Table));
    assert_eq!(sessions.find(&tuples(0).0), None);
    assert_eq!(sessions.next_expired(START, &mut 10), None);
}

/// All places can be taken: the buckets have room for every key.
#[test]
fn it_can_be_filled_to_its_last_place() {
    const MANY: u32 = 200_000;
    let mut sessions = table(MANY);
    let outside = |number: u32| {
        let client = end(&format!("2001:db8::{:x}:{:x}", number >> 16, number & 0xffff), 40_000);
        tuple(client, end("2001:db8:1::10", 80))
    };
    for number in 0..MANY {
        let outside = outside(number);
        let inside = tuple(outside.source, end("fd00::11", 80));
        let entered = sessions.insert(&outside, &inside, session(number as u16), (false, IDLE), START);
        assert!(entered.is_ok(), "{number}: {entered:?}");
    }
    assert!((0..MANY).all(|number| sessions.find(&outside(number)).is_some()));
    let each = sessions.bytes() as f64 / f64::from(MANY);
    println!("{each:.1} bytes a session");
    assert!(each <= 128.0, "{each} bytes a session");
}

/// A look at a long silence is as short as it was told to be.
#[test]
fn it_expires_in_small_steps() {
    let mut sessions = table(1_000);
    for number in 0..1_000 {
        enter(&mut sessions, number, false, START).expect("room");
    }
    let later = START + IDLE * 2;
    let (mut rounds, mut gone) = (0, 0);
    while gone < 1_000 {
        let mut budget = 10;
        while let Some(id) = sessions.next_expired(later, &mut budget) {
            sessions.remove(id);
            gone += 1;
        }
        rounds += 1;
    }
    assert!(rounds >= 100, "{rounds}");
}
