//! Which place of a full bucket a new pin takes, against a model that sorts.

use crate::rig::{ARM, FIRST_ID, IDLE, clock};
use guideway_dataplane::consistency::Rules;
use guideway_dataplane::hash::FlowHash;
use guideway_dataplane::ids::BackendId;
use guideway_dataplane::pin::{Inserted, Pin, PinState, PinTable, Tenure, Tick, WAYS};
use proptest::prelude::*;

/// T of the other pool, whose pins are judged by it.
const LONGEST: u16 = IDLE + 3;
const TICKS: u16 = 20;
/// The new pin's tag; those of the bucket are their ways.
const NEW: u32 = 99;

/// How far the pin of a way has come, when it was used last, and whether its backend is of the pool.
#[derive(Clone, Copy, Debug)]
struct Way {
    state: PinState,
    last: u16,
    ours: bool,
}

impl Way {
    fn backend(self) -> BackendId {
        BackendId(if self.ours { FIRST_ID } else { FIRST_ID + 100 })
    }

    /// Sweeps leave no embryonic pin that is older than half of what its five bits can tell.
    fn swept(self, now: u16) -> Self {
        let least = if self.state == PinState::Embryonic { now - 15 } else { 0 };
        Self { last: self.last.max(least), ..self }
    }

    /// The pin, made by the packets that lead there.
    fn pin(self, tag: u32) -> Pin {
        let (backend, last) = (self.backend(), Tick(self.last));
        let before = Tick(self.last.wrapping_sub(1) & 0x1fff);
        match self.state {
            PinState::Embryonic | PinState::Aged => Pin::embryonic(tag, backend, 7, last),
            PinState::Single => Pin::single(tag, backend, false, last),
            PinState::SingleClosing => Pin::single(tag, backend, true, last),
            PinState::Confirmed => Pin::single(tag, backend, false, before).after_packet(false, last),
            PinState::Closing => Pin::single(tag, backend, false, before).after_packet(true, last),
        }
    }

    /// The class of its pin at a moment: the lowest one goes first. `None`: it stays.
    fn class(self, now: u16, new_is_embryonic: bool) -> Option<(u32, i32)> {
        let age = i32::from(now) - i32::from(self.last);
        let idle = i32::from(if self.ours { IDLE } else { LONGEST });
        match self.state {
            PinState::Embryonic | PinState::Aged => (age > i32::from(ARM)).then_some((1, 0)),
            // One tick more than T, for clocks that differ.
            _ if age > idle + 1 => Some((0, 0)),
            PinState::Single | PinState::SingleClosing if age >= 1 && !new_is_embryonic => Some((2, -age)),
            _ => None,
        }
    }
}

fn a_way() -> impl Strategy<Value = Way> {
    use PinState::{Closing, Confirmed, Embryonic, Single, SingleClosing};
    let state = prop::sample::select(vec![Embryonic, Single, SingleClosing, Confirmed, Closing]);
    (state, 0..TICKS, any::<bool>()).prop_map(|(state, last, ours)| Way { state, last, ours })
}

fn ours(backend: BackendId) -> bool {
    backend.0 < FIRST_ID + 100
}

fn tenure() -> Tenure {
    Tenure { idle: IDLE, longest_idle: LONGEST, rules: Rules::ALL }
}

/// A table of one bucket with these pins, in this order; a way without one is empty.
fn filled(ways: &[Option<Way>]) -> PinTable {
    let table = PinTable::new(WAYS, clock());
    let key = |tag: u32| table.key(FlowHash(tag.into()), 0, Rules::ALL);
    for (tag, way) in (0..).zip(ways) {
        let way = way.unwrap_or(Way { state: PinState::Confirmed, last: 0, ours: true });
        // At the moment of its last use nothing is old, whatever came before: ways are taken in order.
        let pin = way.pin(tag);
        assert_eq!(table.insert(key(tag), pin, Tick(0), &tenure(), |_| true), Inserted::Done(None));
    }
    for (tag, _) in (0..).zip(ways).filter(|(_, way)| way.is_none()) {
        assert!(table.find(key(tag), |_| true).is_some_and(|found| found.remove()));
    }
    table
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn the_least_of_all_goes(
        ways in prop::collection::vec(prop::option::weighted(0.95, a_way()), WAYS),
        ahead in 0..2_u16,
        embryonic: bool,
    ) {
        let now = TICKS - ahead * 4;
        let ways: Vec<_> = ways.into_iter().map(|way| way.map(|way| way.swept(now))).collect();
        let table = filled(&ways);
        let key = |tag: u32| table.key(FlowHash(tag.into()), 0, Rules::ALL);
        let new = Way { state: if embryonic { PinState::Embryonic } else { PinState::Single }, last: now, ours: true };
        let free = ways.iter().position(Option::is_none);
        let least = || (0..).zip(&ways).filter_map(|(way, pin)| Some((pin.as_ref()?.class(now, embryonic)?, way))).min();
        let (expected, way) = match (free, least()) {
            (Some(way), _) => (Inserted::Done(None), Some(way)),
            (None, None) => (Inserted::Full, None),
            (None, Some(((0, _), way))) => (Inserted::Done(None), Some(way)),
            (None, Some((_, way))) => (Inserted::Done(ways[way].map(|old| old.pin(way as u32))), Some(way)),
        };
        prop_assert_eq!(table.insert(key(NEW), new.pin(NEW), Tick(now), &tenure(), ours), expected);
        for (tag, way_of_tag) in (0..).zip(&ways) {
            let stays = way_of_tag.is_some() && way != Some(tag as usize);
            let found = table.find(key(tag), |_| true).map(|found| found.pin);
            prop_assert_eq!(found, way_of_tag.filter(|_| stays).map(|way| way.pin(tag)), "way {}", tag);
        }
        let found = table.find(key(NEW), ours).map(|found| found.pin);
        prop_assert_eq!(found, way.map(|_| new.pin(NEW)));
    }
}
