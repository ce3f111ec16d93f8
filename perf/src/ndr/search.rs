//! Multiple loss ratio search (RFC 9971): which load to try next, and what was found. Pure: trials are made elsewhere.
//!
//! Each goal is approached in [phases](Goal::phases). A phase begins at the bounds that the one before found, moves away
//! from a bound that turns out to lie on the other side in steps that double, and halves what lies between its own
//! bounds. All trials count for all phases and all goals.

use super::goal::{Class, Goal, Trial};
use serde::{Deserialize, Serialize};

/// A search under way.
#[derive(Clone, Debug)]
pub struct Search {
    goals: Vec<Goal>,
    min: f64,
    max: f64,
    trials: Vec<Trial>,
}

/// A trial to be made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Order {
    /// Packets a second.
    pub load: f64,
    /// Seconds.
    pub duration: f64,
}

/// What was found for a goal.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct GoalResult {
    /// The goal.
    pub goal: Goal,
    /// The relevant lower bound: the highest load that is carried, below all that are not. `None`: not even the least
    /// load is.
    pub lower: Option<f64>,
    /// The relevant upper bound: the lowest load that is not carried. `None`: even the highest load is.
    pub upper: Option<f64>,
    /// What came back at the lower bound, in packets a second ([`Goal::conditional_throughput`]).
    pub conditional_throughput: Option<f64>,
}

impl GoalResult {
    /// Whether there are both bounds, as close as the goal asks for.
    #[must_use]
    pub fn is_regular(&self) -> bool {
        self.lower.zip(self.upper).is_some_and(|bounds| is_narrow(&self.goal, bounds))
    }
}

/// Bounds among the loads that were tried.
type Bounds = (Option<f64>, Option<f64>);

impl Search {
    /// A search for goals between two loads in packets a second, `min` below `max`.
    #[must_use]
    pub const fn new(goals: Vec<Goal>, min: f64, max: f64) -> Self {
        Self { goals, min, max, trials: Vec::new() }
    }

    /// The trial that is to be made next; `None`: the search is over.
    #[must_use]
    pub fn next(&self) -> Option<Order> {
        self.goals.iter().find_map(|goal| {
            let mut hint = (None, None);
            for phase in goal.phases() {
                let bounds = self.bounds(&phase);
                if let Some(load) = self.select(&phase, bounds, hint) {
                    return Some(Order { load, duration: phase.final_trial });
                }
                hint = bounds;
            }
            None
        })
    }

    /// Takes a result over.
    pub fn record(&mut self, trial: Trial) {
        self.trials.push(trial);
    }

    /// Takes over that no load above this can be offered. The highest load becomes this, but never less than the least.
    pub const fn limit(&mut self, max: f64) {
        self.max = self.max.min(max).max(self.min);
    }

    /// All trials so far.
    #[must_use]
    pub fn trials(&self) -> &[Trial] {
        &self.trials
    }

    /// What is known of each goal.
    #[must_use]
    pub fn results(&self) -> Vec<GoalResult> {
        let result = |goal: &Goal| {
            let (lower, upper) = self.bounds(goal);
            let conditional_throughput = lower.map(|load| goal.conditional_throughput(load, self.at(load)));
            GoalResult { goal: *goal, lower, upper, conditional_throughput }
        };
        self.goals.iter().map(result).collect()
    }

    fn at(&self, load: f64) -> impl Iterator<Item = &Trial> + Clone {
        self.trials.iter().filter(move |trial| trial.load == load)
    }

    /// Loads that were tried and what they are to a goal, from the least on.
    fn classes(&self, goal: &Goal) -> Vec<(f64, Class)> {
        let mut loads: Vec<f64> = self.trials.iter().map(|trial| trial.load).collect();
        loads.sort_by(f64::total_cmp);
        loads.dedup();
        loads.into_iter().map(|load| (load, goal.classify(self.at(load)))).collect()
    }

    /// The relevant bounds.
    fn bounds(&self, goal: &Goal) -> Bounds {
        let classes = self.classes(goal);
        let upper = classes.iter().find(|(_, class)| *class == Class::Upper).map(|(load, _)| *load);
        let below = classes.iter().rev().filter(|(load, _)| upper.is_none_or(|upper| *load < upper));
        let lower = below.into_iter().find(|(_, class)| *class == Class::Lower).map(|(load, _)| *load);
        (lower, upper)
    }

    /// Where a phase needs a trial; `None`: it is done.
    fn select(&self, goal: &Goal, (lower, upper): Bounds, hint: Bounds) -> Option<f64> {
        // A bound of the phase before that this one did not judge yet.
        let is_inside = |load: &f64| {
            lower.is_none_or(|lower| *load > lower) && upper.is_none_or(|upper| *load < upper) && *load <= self.max
        };
        let hinted = [hint.0, hint.1].into_iter().flatten().find(is_inside);
        match (lower, upper) {
            (Some(lower), Some(upper)) if is_narrow(goal, (lower, upper)) => None,
            (Some(lower), Some(upper)) => hinted.or_else(|| {
                let middle = f64::midpoint(lower, upper);
                // Bounds that no number lies between are as close as they can be.
                (middle > lower && middle < upper).then_some(middle)
            }),
            (None, None) => Some(hinted.unwrap_or(self.max)),
            (None, Some(upper)) => (upper > self.min).then(|| hinted.unwrap_or_else(|| self.below(goal, upper))),
            (Some(lower), None) => (lower < self.max).then(|| hinted.unwrap_or_else(|| self.above(goal, lower))),
        }
    }

    /// A load below all that are not carried, of which `upper` is the lowest: what came back there, or twice as far from
    /// it as the last step went.
    fn below(&self, goal: &Goal, upper: f64) -> f64 {
        let classes = self.classes(goal);
        let above = classes.iter().find(|(load, class)| *load > upper && *class == Class::Upper);
        let step = goal.width * upper;
        let next = match above {
            // The goal's loss may be there, too.
            None => {
                let loss = self.at(upper).map(|trial| trial.loss_ratio).fold(1.0, f64::min);
                (upper * (1.0 - loss) / (1.0 - goal.loss_ratio).max(0.5)).min(upper - step)
            }
            Some((above, _)) => upper - (2.0 * (above - upper)).min(upper / 2.0).max(step),
        };
        next.max(self.min)
    }

    /// A load above all that are carried, of which `lower` is the highest: twice as far from it as the last step went.
    fn above(&self, goal: &Goal, lower: f64) -> f64 {
        let classes = self.classes(goal);
        let below = classes.iter().rev().find(|(load, class)| *load < lower && *class == Class::Lower);
        let step = goal.width * lower;
        let next = lower + below.map_or(step, |(below, _)| (2.0 * (lower - below)).max(step));
        next.min(self.max)
    }
}

fn is_narrow(goal: &Goal, (lower, upper): (f64, f64)) -> bool {
    // A hair more than the width: it is a quotient of sums.
    upper - lower <= goal.width * upper * (1.0 + 1e-9)
}
