//! What is searched for, and what trials at a load say about it (RFC 9971).

use serde::{Deserialize, Serialize};

/// A search goal. Durations are in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Goal {
    /// The highest share of packets that a good trial loses.
    pub loss_ratio: f64,
    /// The share of the trials' time that may be bad at a load that still counts as carried: 0 to 1, without 1.
    pub exceed_ratio: f64,
    /// Trials are this long at first, while the search is far from its end.
    pub initial_trial: f64,
    /// Trials that decide are at least this long.
    pub final_trial: f64,
    /// Trials at a load must sum up to this before it counts as carried.
    pub duration_sum: f64,
    /// The search ends when the bounds are as close as this: a share of the upper one.
    pub width: f64,
}

impl Goal {
    /// The throughput of RFC 2544: no loss at all in a trial of 60 seconds.
    #[must_use]
    pub const fn rfc2544() -> Self {
        Self {
            loss_ratio: 0.0,
            exceed_ratio: 0.0,
            initial_trial: 60.0,
            final_trial: 60.0,
            duration_sum: 60.0,
            width: 0.005,
        }
    }

    /// From a rough search to the goal itself: each step with trials twice as long and bounds half as far apart.
    #[must_use]
    pub fn phases(&self) -> Vec<Self> {
        let mut phases = vec![*self];
        let (mut trial, mut width) = (self.final_trial, self.width);
        while trial > self.initial_trial && phases.len() < MOST_PHASES {
            trial = (trial / 4.0).max(self.initial_trial);
            width = (width * 2.0).min(0.5);
            phases.push(Self { final_trial: trial, duration_sum: trial, width, ..*self });
        }
        phases.reverse();
        phases
    }

    /// What trials at one load say.
    pub fn classify<'t>(&self, trials: impl Iterator<Item = &'t Trial>) -> Class {
        let mut sums = Sums::default();
        trials.for_each(|trial| sums.add(self, trial));
        let Sums { good_long, bad_long, good_short, bad_short } = sums;
        // Good short trials excuse as many bad ones as the ratio allows, and prove nothing.
        let excused = good_short * self.exceed_ratio / (1.0 - self.exceed_ratio);
        let bad = bad_long + (bad_short - excused).max(0.0);
        let whole = (good_long + bad).max(self.duration_sum);
        let allowed = whole * self.exceed_ratio;
        // The time that is still missing is taken to be good, and then to be bad.
        match (bad <= allowed + ROUNDING, whole - good_long <= allowed + ROUNDING) {
            (true, true) => Class::Lower,
            (false, false) => Class::Upper,
            _ => Class::Undecided,
        }
    }

    /// The conditional throughput: what came back at a load, in packets a second, when the trials that the exceed ratio
    /// allows to be worse are left out.
    pub fn conditional_throughput<'t>(&self, load: f64, trials: impl Iterator<Item = &'t Trial> + Clone) -> f64 {
        let mut sums = Sums::default();
        trials.clone().for_each(|trial| sums.add(self, trial));
        let mut long: Vec<&Trial> = trials.filter(|trial| self.is_long(trial)).collect();
        long.sort_by(|a, b| a.loss_ratio.total_cmp(&b.loss_ratio));
        let mut remaining = (sums.good_long + sums.bad_long).max(self.duration_sum) * (1.0 - self.exceed_ratio);
        let mut loss_ratio = long.first().map_or(1.0, |trial| trial.loss_ratio);
        for trial in long {
            if remaining <= ROUNDING {
                break;
            }
            loss_ratio = trial.loss_ratio;
            remaining -= trial.duration;
        }
        if remaining > ROUNDING { 0.0 } else { load * (1.0 - loss_ratio) }
    }

    fn is_long(&self, trial: &Trial) -> bool {
        trial.duration + ROUNDING >= self.final_trial
    }
}

/// The most steps from rough to final.
const MOST_PHASES: usize = 4;
/// Durations are sums of decimals.
const ROUNDING: f64 = 1e-9;

/// Sums of the durations of trials at one load.
#[derive(Default)]
struct Sums {
    good_long: f64,
    bad_long: f64,
    good_short: f64,
    bad_short: f64,
}

impl Sums {
    fn add(&mut self, goal: &Goal, trial: &Trial) {
        let good = trial.loss_ratio <= goal.loss_ratio;
        let sum = match (good, goal.is_long(trial)) {
            (true, true) => &mut self.good_long,
            (false, true) => &mut self.bad_long,
            (true, false) => &mut self.good_short,
            (false, false) => &mut self.bad_short,
        };
        *sum += trial.duration;
    }
}

/// A result of a trial.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// The load, in packets a second.
    pub load: f64,
    /// How long it lasted, in seconds.
    pub duration: f64,
    /// The share of packets that did not come back.
    pub loss_ratio: f64,
}

/// What a load is to a goal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// It is carried.
    Lower,
    /// It is not.
    Upper,
    /// Trials do not tell yet.
    Undecided,
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOAL: Goal = Goal {
        loss_ratio: 0.005,
        exceed_ratio: 0.5,
        initial_trial: 1.0,
        final_trial: 2.0,
        duration_sum: 10.0,
        width: 0.01,
    };

    fn class(goal: &Goal, trials: &[(f64, f64)]) -> Class {
        let trials: Vec<Trial> =
            trials.iter().map(|&(duration, loss_ratio)| Trial { load: 1.0, duration, loss_ratio }).collect();
        goal.classify(trials.iter())
    }

    #[test]
    fn a_load_is_carried_when_enough_time_was_good() {
        assert_eq!(class(&GOAL, &[]), Class::Undecided);
        assert_eq!(class(&GOAL, &[(2.0, 0.0), (2.0, 0.005)]), Class::Undecided);
        assert_eq!(class(&GOAL, &[(2.0, 0.0), (2.0, 0.005), (2.0, 0.0)]), Class::Lower, "the rest may be bad");
        assert_eq!(class(&GOAL, &[(2.0, 0.0), (2.0, 1.0), (2.0, 0.0), (2.0, 1.0), (2.0, 0.0)]), Class::Lower);
        assert_eq!(class(&GOAL, &[(2.0, 1.0), (2.0, 0.1)]), Class::Undecided);
        assert_eq!(class(&GOAL, &[(2.0, 1.0), (2.0, 0.1), (2.0, 0.006)]), Class::Upper);
        let strict = Goal { exceed_ratio: 0.0, ..GOAL };
        assert_eq!(class(&strict, &[(2.0, 0.1)]), Class::Upper);
        assert_eq!(class(&strict, &[(2.0, 0.0); 4]), Class::Undecided);
        assert_eq!(class(&strict, &[(2.0, 0.0); 5]), Class::Lower);
    }

    #[test]
    fn short_trials_may_condemn_and_never_prove() {
        assert_eq!(class(&GOAL, &[(1.0, 0.0); 50]), Class::Undecided);
        assert_eq!(class(&GOAL, &[(1.0, 1.0); 6]), Class::Upper);
        assert_eq!(class(&GOAL, &[(1.0, 1.0); 5]), Class::Undecided);
        let excused: Vec<_> = [(1.0, 1.0); 6].into_iter().chain([(1.0, 0.0); 6]).collect();
        assert_eq!(class(&GOAL, &excused), Class::Undecided);
    }

    #[test]
    fn conditional_throughput_is_what_comes_back_at_least() {
        let trial = |duration, loss_ratio| Trial { load: 100.0, duration, loss_ratio };
        let throughput = |goal: &Goal, trials: &[Trial]| goal.conditional_throughput(100.0, trials.iter());
        let trials = [trial(2.0, 0.5), trial(2.0, 0.001), trial(2.0, 0.0), trial(2.0, 0.004), trial(2.0, 0.2)];
        assert!((throughput(&GOAL, &trials) - 99.6).abs() < 1e-9, "the median of five");
        let strict = Goal { exceed_ratio: 0.0, ..GOAL };
        assert!((throughput(&strict, &trials) - 50.0).abs() < 1e-9, "the worst");
        assert_eq!(throughput(&strict, &trials[..2]), 0.0, "not enough time");
        assert_eq!(throughput(&GOAL, &[trial(1.0, 0.0)]), 0.0, "too short to count");
    }

    #[test]
    fn phases_go_from_rough_to_the_goal() {
        let goal = Goal { initial_trial: 1.0, final_trial: 16.0, ..GOAL };
        let found: Vec<_> = goal.phases().iter().map(|goal| (goal.final_trial, goal.width)).collect();
        assert_eq!(found, [(1.0, 0.04), (4.0, 0.02), (16.0, 0.01)]);
        assert_eq!(goal.phases().last(), Some(&goal));
        assert_eq!(Goal::rfc2544().phases(), [Goal::rfc2544()]);
    }
}
