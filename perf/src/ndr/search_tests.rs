//! Searches of systems that are made up, against what is known of them and against a naive reading of the trials.

use super::goal::{Class, Goal, Trial};
use super::search::{GoalResult, Search};
use proptest::prelude::*;

const MIN: f64 = 1_000.0;
const MAX: f64 = 20e6;
/// No search takes as many trials.
const MOST: usize = 2_000;

/// Numbers without a pattern (xorshift).
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    fn chance(&mut self, share: f64) -> bool {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 as f64) < share * u64::MAX as f64
    }
}

fn goal(loss_ratio: f64, exceed_ratio: f64) -> Goal {
    Goal { loss_ratio, exceed_ratio, initial_trial: 0.25, final_trial: 1.0, duration_sum: 5.0, width: 0.005 }
}

/// Searches a system that tells its loss at a load.
fn search(goals: &[Goal], mut loss: impl FnMut(f64) -> f64) -> Search {
    let mut search = Search::new(goals.to_vec(), MIN, MAX);
    for _ in 0..MOST {
        let Some(order) = search.next() else { return search };
        assert!((MIN..=MAX).contains(&order.load), "{order:?}");
        let trial = Trial { load: order.load, duration: order.duration, loss_ratio: loss(order.load) };
        search.record(trial);
    }
    panic!("no end after {MOST} trials: {:?}", search.results());
}

/// Carries so much, and loses the rest.
fn ideal(capacity: f64) -> impl Fn(f64) -> f64 {
    move |load| (1.0 - capacity / load).max(0.0)
}

/// The relevant bounds, by looking at every load that was tried, trial by trial.
fn naive(search: &Search, goal: &Goal) -> (Option<f64>, Option<f64>) {
    let loads = || search.trials().iter().map(|trial| trial.load);
    let class = |load: f64| {
        let (mut good, mut bad, mut short_good, mut short_bad) = (0.0, 0.0, 0.0, 0.0);
        for trial in search.trials().iter().filter(|trial| trial.load == load) {
            match (trial.loss_ratio > goal.loss_ratio, trial.duration < goal.final_trial) {
                (false, false) => good += trial.duration,
                (true, false) => bad += trial.duration,
                (false, true) => short_good += trial.duration,
                (true, true) => short_bad += trial.duration,
            }
        }
        bad += f64::max(0.0, short_bad - short_good * goal.exceed_ratio / (1.0 - goal.exceed_ratio));
        let missing = f64::max(0.0, goal.duration_sum - good - bad);
        let whole = good + bad + missing;
        let share = |bad: f64| bad / whole <= goal.exceed_ratio + 1e-12;
        match (share(bad), share(bad + missing)) {
            (true, true) => Class::Lower,
            (false, false) => Class::Upper,
            _ => Class::Undecided,
        }
    };
    let upper = loads().filter(|&load| class(load) == Class::Upper).min_by(f64::total_cmp);
    let below = loads().filter(|&load| load < upper.unwrap_or(f64::INFINITY));
    (below.filter(|&load| class(load) == Class::Lower).max_by(f64::total_cmp), upper)
}

fn assert_agrees(search: &Search) {
    for result in search.results() {
        assert_eq!((result.lower, result.upper), naive(search, &result.goal));
    }
}

#[test]
fn an_ideal_system_is_bounded_on_both_sides() {
    let goals = [goal(0.0, 0.5), goal(0.005, 0.5)];
    let search = search(&goals, ideal(7_654_321.0));
    assert_agrees(&search);
    let [ndr, pdr] = search.results()[..] else { panic!("two goals") };
    assert!(ndr.is_regular() && pdr.is_regular());
    assert!(ndr.lower.is_some_and(|lower| lower <= 7_654_321.0) && ndr.upper.is_some_and(|upper| upper > 7_654_321.0));
    assert_eq!(ndr.conditional_throughput, ndr.lower);
    let carried = 7_654_321.0 / 0.995;
    assert!(pdr.lower.is_some_and(|lower| lower <= carried) && pdr.upper.is_some_and(|upper| upper > carried));
    let seconds: f64 = search.trials().iter().map(|trial| trial.duration).sum();
    assert!(seconds < 60.0, "{seconds} seconds for {:?}", search.trials());
}

#[test]
fn a_system_faster_than_the_highest_load_has_no_upper_bound() {
    let search = search(&[goal(0.0, 0.0)], ideal(1e9));
    let [GoalResult { lower, upper, .. }] = search.results()[..] else { panic!("one goal") };
    assert_eq!((lower, upper), (Some(MAX), None));
    assert!(search.trials().iter().all(|trial| trial.load == MAX));
}

#[test]
fn a_system_that_loses_always_has_no_lower_bound() {
    let search = search(&[goal(0.0, 0.5)], |load| ideal(1e6)(load).max(1e-6));
    let [result] = search.results()[..] else { panic!("one goal") };
    assert_eq!((result.lower, result.upper, result.conditional_throughput), (None, Some(MIN), None));
    assert!(!result.is_regular());
}

#[test]
fn a_generator_that_reaches_its_limit_lowers_the_highest_load() {
    let mut search = Search::new(vec![goal(0.0, 0.5)], MIN, MAX);
    while let Some(order) = search.next() {
        if order.load > 9e6 {
            search.limit(9e6);
        } else {
            search.record(Trial { load: order.load, duration: order.duration, loss_ratio: 0.0 });
        }
    }
    let [result] = search.results()[..] else { panic!("one goal") };
    assert_eq!((result.lower, result.upper), (Some(9e6), None));
}

#[test]
fn what_loses_only_in_long_trials_is_found_out() {
    let mut search = Search::new(vec![goal(0.0, 0.0)], MIN, MAX);
    // Short trials fit into a buffer that long ones overflow.
    while let Some(order) = search.next() {
        let capacity = if order.duration < 1.0 { 8e6 } else { 5e6 };
        search.record(Trial { load: order.load, duration: order.duration, loss_ratio: ideal(capacity)(order.load) });
        assert!(search.trials().len() < MOST);
    }
    assert_agrees(&search);
    let [result] = search.results()[..] else { panic!("one goal") };
    assert!(result.is_regular() && result.lower.is_some_and(|lower| (4.9e6..=5e6).contains(&lower)), "{result:?}");
}

#[test]
fn noise_below_the_exceed_ratio_does_not_matter() {
    let mut random = Random::new(1);
    let noisy = |load: f64| if random.chance(0.2) { 0.001 } else { ideal(5e6)(load) };
    let search = search(&[goal(0.0, 0.5)], noisy);
    assert_agrees(&search);
    let [result] = search.results()[..] else { panic!("one goal") };
    assert!(result.is_regular() && result.lower.is_some_and(|lower| lower > 4.5e6 && lower <= 5e6), "{result:?}");
}

#[test]
fn a_strict_search_believes_one_bad_trial() {
    let mut trials = 0;
    let once = |load: f64| {
        trials += 1;
        if trials == 8 { 1e-6 } else { ideal(5e6)(load) }
    };
    let search = search(&[Goal { loss_ratio: 0.0, ..Goal::rfc2544() }], once);
    assert_agrees(&search);
    let bad = search.trials()[7].load;
    assert!(search.results()[0].lower.is_some_and(|lower| lower < bad));
}

proptest! {
    #[test]
    fn bounds_hold_whatever_the_system(
        capacity in 500.0..30e6_f64,
        ratios in (0.0..0.02_f64, 0.0..0.9_f64),
        durations in (0.05..1.0_f64, 1.0..5.0_f64, 1.0..20.0_f64),
        width in 0.001..0.1_f64,
    ) {
        let goal = Goal {
            loss_ratio: ratios.0,
            exceed_ratio: ratios.1,
            initial_trial: durations.0,
            final_trial: durations.1,
            duration_sum: durations.2,
            width,
        };
        let search = search(&[goal], ideal(capacity));
        assert_agrees(&search);
        let result = search.results()[0];
        let carried = capacity / (1.0 - goal.loss_ratio);
        if let Some(lower) = result.lower {
            prop_assert!(lower <= carried * (1.0 + 1e-9));
        }
        if let Some(upper) = result.upper {
            prop_assert!(upper >= carried * (1.0 - 1e-9));
        }
        let expected = (carried >= MIN, carried < MAX);
        prop_assert_eq!((result.lower.is_some(), result.upper.is_some()), expected);
        prop_assert!(result.is_regular() || expected != (true, true));
    }

    #[test]
    fn a_system_without_any_consistency_still_gets_an_answer(seed in any::<u64>(), exceed_ratio in 0.0..0.9_f64) {
        let mut random = Random::new(seed);
        let search = search(&[goal(0.0, exceed_ratio), goal(0.005, exceed_ratio)], |_| {
            if random.chance(0.5) { 0.0 } else if random.chance(0.5) { 0.003 } else { 0.3 }
        });
        assert_agrees(&search);
    }
}
