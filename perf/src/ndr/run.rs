//! A search on a real system: trials as the search orders them, then latencies at shares of what was found.

use super::goal::{Goal, Trial};
use super::search::{GoalResult, Search};
use crate::latency::Percentiles;
use crate::load::generator::Load;
use crate::load::trial::{Attempt, LoadError, Measure, attempt};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Below the rate that a generator reached once: it need not reach it again.
const REACHED: f64 = 0.998;

/// How to search.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Goals, each with a name.
    pub goals: Vec<(String, Goal)>,
    /// The least load, in packets a second.
    pub min_rate: f64,
    /// The highest load.
    pub max_rate: f64,
    /// How often a trial is repeated in which a thread was without its core.
    pub retries: u32,
}

/// What a search found.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Found {
    /// For each goal its name and what was found.
    pub goals: Vec<(String, GoalResult)>,
    /// The rate in packets a second that the generator could not exceed, if the search met it: what was found may be less
    /// than the balancer carries.
    pub generator_limit: Option<f64>,
    /// Trials that counted.
    pub trials: usize,
    /// Seconds of them.
    pub trial_seconds: f64,
    /// Trials that did not count since a thread was without its core.
    pub voided: u32,
    /// Trials that counted though a thread was without its core: no try was better.
    pub disturbed: u32,
    /// Packets that came after later ones.
    pub reordered: u64,
    /// Copies of packets.
    pub duplicated: u64,
}

impl Found {
    /// The lower bound of a goal in packets a second.
    #[must_use]
    pub fn lower(&self, name: &str) -> Option<f64> {
        self.goals.iter().find(|(of, _)| of == name).and_then(|(_, result)| result.lower)
    }
}

/// Searches. `progress` is told each trial's load in packets a second, length in seconds and loss ratio.
///
/// # Errors
///
/// [`LoadError`].
pub fn find(dut: &mut impl Measure, options: &Options, mut progress: impl FnMut(&Trial)) -> Result<Found, LoadError> {
    let goals: Vec<Goal> = options.goals.iter().map(|(_, goal)| *goal).collect();
    let tolerated = goals.iter().map(|goal| goal.loss_ratio).fold(0.0, f64::max);
    let mut search = Search::new(goals, options.min_rate, options.max_rate);
    let (mut generator_limit, mut voided, mut disturbed) = (None::<f64>, 0, 0);
    let (mut reordered, mut duplicated) = (0, 0);
    while let Some(order) = search.next() {
        let load = Load { rate: order.load, duration: Duration::from_secs_f64(order.duration), latency: false };
        let Attempt { trial, voided: tries } = attempt(dut, &load, options.retries)?;
        voided += tries;
        reordered += trial.run.received.reordered;
        duplicated += trial.run.received.duplicated;
        if trial.is_void() {
            disturbed += 1;
        } else if trial.is_short() && trial.loss_ratio() <= tolerated && order.load > options.min_rate {
            // The balancer carried all that there was: nothing is known of the load that was asked for.
            let reached = trial.offered_rate() * REACHED;
            generator_limit = Some(generator_limit.unwrap_or(f64::INFINITY).min(reached));
            search.limit(reached);
            continue;
        }
        // What was not offered counts as lost where the rest was not carried either.
        let loss_ratio = if trial.is_short() { trial.missing_ratio() } else { trial.loss_ratio() };
        let trial = Trial { load: order.load, duration: order.duration, loss_ratio };
        progress(&trial);
        search.record(trial);
    }
    let names = options.goals.iter().map(|(name, _)| name.clone());
    Ok(Found {
        goals: names.zip(search.results()).collect(),
        generator_limit,
        trials: search.trials().len(),
        trial_seconds: search.trials().iter().map(|trial| trial.duration).sum(),
        voided,
        disturbed,
        reordered,
        duplicated,
    })
}

/// Latencies at one load.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LatencyReport {
    /// The load in words: a share of what was found, or a trickle.
    pub load: String,
    /// Packets a second.
    pub rate: f64,
    /// Packets offered, and of these lost.
    pub offered: u64,
    /// Packets lost.
    pub lost: u64,
    /// Whether a thread was without its core for a time that may show.
    pub disturbed: bool,
    /// Nanoseconds from sending to receiving.
    pub latency: Percentiles,
}

/// Takes latencies at loads, each for `duration`. A trial in which a thread was without its core is repeated, lost packets
/// or not, `retries` times at most; the quietest one counts.
///
/// # Errors
///
/// [`LoadError`].
pub fn latencies(
    dut: &mut impl Measure,
    loads: &[(String, f64)],
    duration: Duration,
    retries: u32,
) -> Result<Vec<LatencyReport>, LoadError> {
    let mut reports = Vec::with_capacity(loads.len());
    for (name, rate) in loads {
        let load = Load { rate: *rate, duration, latency: true };
        let mut best = dut.measure(&load)?;
        for _ in 0..retries {
            if !best.is_disturbed() {
                break;
            }
            let trial = dut.measure(&load)?;
            if trial.generator_stolen + trial.worker_stolen < best.generator_stolen + best.worker_stolen {
                best = trial;
            }
        }
        reports.push(LatencyReport {
            load: name.clone(),
            rate: *rate,
            offered: best.run.offered,
            lost: best.lost(),
            disturbed: best.is_disturbed(),
            latency: best.latencies().map(|latencies| latencies.percentiles()).unwrap_or_default(),
        });
    }
    Ok(reports)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::trial::Trial as LoadTrial;
    use crate::load::trial::tests::trial;

    /// Carries `capacity`, in front of a generator that reaches `reach`.
    struct Simulated {
        capacity: f64,
        reach: f64,
        disturb: bool,
    }

    impl Measure for Simulated {
        fn measure(&mut self, load: &Load) -> Result<LoadTrial, LoadError> {
            let seconds = load.duration.as_secs_f64();
            let offered = load.rate.min(self.reach) * seconds;
            let came = offered.min(self.capacity * seconds);
            Ok(LoadTrial { hypervisor: self.disturb, ..trial(*load, offered.round() as u64, came.round() as u64) })
        }
    }

    fn options() -> Options {
        let goal = |loss_ratio| Goal {
            loss_ratio,
            exceed_ratio: 0.5,
            initial_trial: 0.1,
            final_trial: 0.5,
            duration_sum: 1.0,
            width: 0.005,
        };
        let goals = vec![("NDR".to_owned(), goal(0.0)), ("PDR".to_owned(), goal(0.005))];
        Options { goals, min_rate: 1e3, max_rate: 30e6, retries: 3 }
    }

    #[test]
    fn a_slow_balancer_is_found_behind_a_slow_generator() {
        let mut trials = 0;
        let mut dut = Simulated { capacity: 5e6, reach: 9e6, disturb: false };
        let found = find(&mut dut, &options(), |_| trials += 1).expect("figures");
        assert_eq!((found.trials, found.generator_limit, found.voided), (trials, None, 0));
        let (ndr, pdr) = (found.lower("NDR").expect("a rate"), found.lower("PDR").expect("a rate"));
        assert!((4.97e6..=5e6).contains(&ndr) && ndr <= pdr && pdr <= 5e6 / 0.994, "{ndr} {pdr}");
        assert!(found.goals.iter().all(|(_, result)| result.is_regular()));
    }

    #[test]
    fn a_fast_balancer_is_limited_by_the_generator() {
        let mut dut = Simulated { capacity: 50e6, reach: 9e6, disturb: false };
        let found = find(&mut dut, &options(), |_| ()).expect("figures");
        let limit = found.generator_limit.expect("a limit");
        assert!((8.9e6..9e6).contains(&limit));
        for (_, result) in &found.goals {
            assert_eq!((result.lower, result.upper), (Some(limit), None));
        }
    }

    #[test]
    fn a_generator_that_reaches_nothing_ends_the_search() {
        let found = find(&mut Simulated { capacity: 1e6, reach: 10.0, disturb: false }, &options(), |_| ());
        assert_eq!(found.expect("figures").lower("NDR"), None);
    }

    #[test]
    fn disturbed_trials_are_repeated_and_counted() {
        let found = find(&mut Simulated { capacity: 5e6, reach: 9e6, disturb: true }, &options(), |_| ());
        let found = found.expect("figures");
        assert!(found.disturbed > 0 && found.voided == found.disturbed * 3, "{found:?}");
        assert!(found.lower("NDR").is_some_and(|rate| rate <= 5e6));
    }

    #[test]
    fn latencies_are_taken_at_each_load() {
        let loads = [("half".to_owned(), 1e6), ("all".to_owned(), 2e6)];
        let mut dut = Simulated { capacity: 1.5e6, reach: 9e6, disturb: false };
        let found = latencies(&mut dut, &loads, Duration::from_secs(1), 2).expect("figures");
        let found: Vec<_> = found.iter().map(|report| (&*report.load, report.offered, report.lost)).collect();
        assert_eq!(found, [("half", 1_000_000, 0), ("all", 2_000_000, 500_000)]);
    }
}
