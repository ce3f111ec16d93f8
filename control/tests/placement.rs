//! Facts → tables: what a failure moves, which group serves, and that nothing but the facts decides.

use guideway_control::consistency::placement::{Fact, Policy, Tables};
use guideway_dataplane::hash::FlowHasher;
use guideway_dataplane::table::Slot;
use proptest::prelude::*;

const SIZE: u32 = 4_093;
const POLICY: Policy = Policy { panic_threshold: None, group_min: 0.5 };

fn fact(number: usize) -> Fact {
    let name = format!("web{number}");
    Fact { name, placed: true, weight: 1 + number as u32 % 3, priority: 0, takes_new: true, up: true }
}

fn facts(count: usize) -> Vec<Fact> {
    (0..count).map(fact).collect()
}

fn tables(policy: Policy) -> Tables {
    Tables::new(FlowHasher::new(*b"0123456789abcdef"), SIZE, policy)
}

fn slots(tables: &mut Tables, facts: &[Fact]) -> Vec<Slot> {
    tables.table(facts).expect("a table").slots().to_vec()
}

/// Slots that moved though their backend stayed.
fn excess(before: &[Slot], after: &[Slot], stays: impl Fn(usize) -> bool) -> usize {
    before.iter().zip(after).filter(|(before, after)| before != after && stays(before.index())).count()
}

#[test]
fn each_single_failure_moves_its_own_slots_and_its_return_restores_the_table() {
    let mut tables = tables(POLICY);
    let mut facts = facts(60);
    let before = slots(&mut tables, &facts);
    for dead in 0..facts.len() {
        facts[dead].up = false;
        let after = slots(&mut tables, &facts);
        assert_eq!(excess(&before, &after, |owner| owner != dead), 0, "{dead}");
        assert!(after.iter().all(|slot| slot.index() != dead));
        facts[dead].up = true;
        assert_eq!(slots(&mut tables, &facts), before, "bit for bit");
    }
}

#[test]
fn a_group_serves_while_enough_of_it_may() {
    let mut tables = tables(POLICY);
    let mut facts = facts(8);
    facts[4..].iter_mut().for_each(|fact| fact.priority = 1);
    let serving = |slots: &[Slot]| -> (usize, usize) {
        let first = slots.iter().filter(|slot| slot.index() < 4).count();
        (first, slots.len() - first)
    };
    let all = SIZE as usize;
    for dead in 0..2 {
        facts[dead].up = false;
        assert_eq!(serving(&slots(&mut tables, &facts)), (all, 0), "half of it is enough");
    }
    facts[2].up = false;
    assert_eq!(serving(&slots(&mut tables, &facts)), (0, all), "the next group takes everything");
    facts[4..].iter_mut().for_each(|fact| fact.up = false);
    assert_eq!(serving(&slots(&mut tables, &facts)), (all, 0), "none reaches it: the one with the largest share");
    facts[2].takes_new = false;
    facts[3].takes_new = false;
    let left = slots(&mut tables, &facts);
    assert!(left.iter().all(|slot| slot.index() == 3), "nobody but one that drains is up: it serves");
}

#[test]
fn panic_is_of_the_group_that_serves() {
    let mut tables = tables(Policy { panic_threshold: Some(0.6), group_min: 0.5 });
    let mut facts = facts(8);
    facts[4..].iter_mut().for_each(|fact| fact.priority = 1);
    let before = slots(&mut tables, &facts);
    facts[0].up = false;
    assert_ne!(slots(&mut tables, &facts), before);
    facts[1].up = false;
    assert_eq!(slots(&mut tables, &facts), before, "2 of 4 is below 60 %: all count as up");
    facts[0].takes_new = false;
    assert!(slots(&mut tables, &facts).iter().all(|slot| slot.index() != 0), "but a drain is a drain");
}

proptest! {
    #[test]
    fn any_set_of_failures_moves_its_own_slots_only(dead in prop::collection::vec(any::<bool>(), 40), drained in prop::collection::vec(prop::bool::weighted(0.1), 40)) {
        let mut tables = tables(POLICY);
        let mut facts = facts(40);
        let before = slots(&mut tables, &facts);
        for (fact, (dead, drained)) in facts.iter_mut().zip(dead.iter().zip(&drained)) {
            (fact.up, fact.takes_new) = (!dead, !drained);
        }
        let serves = |index: usize| facts.get(index).is_some_and(|fact| fact.up && fact.takes_new);
        prop_assume!((0..40).any(serves));
        let after = slots(&mut tables, &facts);
        prop_assert_eq!(excess(&before, &after, serves), 0);
        prop_assert!(after.iter().all(|slot| serves(slot.index())));
        // Whatever happened on the way: only the facts count.
        prop_assert_eq!(slots(&mut self::tables(POLICY), &facts), after);
        facts.iter_mut().for_each(|fact| (fact.up, fact.takes_new) = (true, true));
        prop_assert_eq!(slots(&mut tables, &facts), before);
    }
}
