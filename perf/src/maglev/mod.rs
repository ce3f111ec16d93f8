//! The table of a pool: how long it takes to build, how even it is, and what a change of backends moves.
//!
//! What *must* move when backends fail are their own slots, when they are added the slots that they get. Whatever moves
//! beyond that is excess: a flow that loses its backend for nothing. Two ways to answer a change are compared:
//! [`BaseTable::with_eligible`], which gives away the slots of backends that failed and no others, and a table built
//! anew over the backends that are left, as in Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load
//! Balancer", NSDI 2016, section 3.4.

pub mod report;

use crate::clock::Clock;
use crate::window::{Feed, Spread, Window};
use guideway_dataplane::hash::{Domain, FlowHasher};
use guideway_dataplane::table::{BaseTable, BuildError, Table, TableBackend};
use report::{BalanceReport, CaseReport, Event, EventReport, Report};
use std::hint::black_box;
use std::time::Duration;

/// The fleet's key in this benchmark.
const KEY: [u8; 16] = [7; 16];
/// Windows of each time that is measured.
const WINDOWS: u32 = 9;
/// How many backends change at a time, in percent of all; at least one.
const CHANGED_PERCENT: [f64; 5] = [0.1, 1.0, 5.0, 10.0, 50.0];

/// What to measure.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Slots of the tables, each a prime.
    pub slots: Vec<u32>,
    /// Backends of the pools, two at least.
    pub backends: Vec<u16>,
    /// Time for each time that is measured; there are two for each table. As long as one window takes at least.
    pub time: Duration,
    /// Choices of the backends that change, for each number of them.
    pub samples: u32,
}

/// Measures every combination on the calling thread. `done` is told about each when it is measured.
///
/// # Errors
///
/// [`BuildError`] if a number of slots is no prime.
pub fn run(clock: &impl Clock, options: &Options, mut done: impl FnMut(&CaseReport)) -> Result<Report, BuildError> {
    let mut cases = Vec::new();
    for &slots in &options.slots {
        for &backends in &options.backends {
            let case = measure(clock, options, slots, backends)?;
            done(&case);
            cases.push(case);
        }
    }
    Ok(Report { samples: options.samples, cases })
}

fn measure(clock: &impl Clock, options: &Options, slots: u32, backends: u16) -> Result<CaseReport, BuildError> {
    let pool = Pool::new(slots, backends);
    let base = pool.base(|_| true)?;
    let mut one_down = vec![true; usize::from(backends)];
    one_down[0] = false;
    let build_ms = time(clock, options.time, || pool.base(|_| true).map(|base| black_box(base).table().size()));
    let one_down_ms = time(clock, options.time, || base.with_eligible(black_box(&one_down)).size());
    let mut events = Vec::new();
    for percent in CHANGED_PERCENT {
        let changed = ((f64::from(backends) * percent / 100.0).round() as u16).clamp(1, backends - 1);
        // Of few backends several shares are the same number.
        if events.iter().all(|event: &EventReport| event.changed != changed) {
            events.extend(pool.change(&base, changed, options.samples)?);
        }
    }
    let balance = balance(base.table(), |index| index < usize::from(backends), backends);
    Ok(CaseReport { slots, backends, build_ms, one_down_ms, balance, events })
}

/// Milliseconds of one call, in the time in which the thread had the core.
fn time<T>(clock: &impl Clock, time: Duration, mut call: impl FnMut() -> T) -> Spread {
    let ticks = (time.as_secs_f64() / f64::from(WINDOWS) * clock.hz() as f64) as u64;
    let mut window = || {
        let call = || {
            black_box(call());
            1
        };
        Window::run(clock, Feed::Own, ticks, call).cost() * 1e3 / clock.hz() as f64
    };
    Spread::of((0..WINDOWS).map(|_| window()))
}

/// The largest and the smallest share of the backends that serve, in means.
fn balance(table: &Table, serves: impl Fn(usize) -> bool, backends: u16) -> BalanceReport {
    let mut shares = vec![0_u32; usize::from(backends)];
    table.slots().iter().for_each(|slot| shares[slot.index()] += 1);
    let serving = || shares.iter().enumerate().filter(|(index, _)| serves(*index)).map(|(_, share)| *share);
    let mean = f64::from(table.size()) / serving().count().max(1) as f64;
    let in_means = |share: Option<u32>| f64::from(share.unwrap_or(0)) / mean;
    BalanceReport { largest: in_means(serving().max()), smallest: in_means(serving().min()) }
}

/// Backends of equal weight.
struct Pool {
    names: Vec<String>,
    slots: u32,
    hasher: FlowHasher,
}

impl Pool {
    fn new(slots: u32, backends: u16) -> Self {
        let names = (0..backends).map(|number| format!("backend-{number}.example.net")).collect();
        Self { names, slots, hasher: FlowHasher::new(KEY) }
    }

    /// The table over some of the backends.
    fn base(&self, is_in: impl Fn(usize) -> bool) -> Result<BaseTable, BuildError> {
        let backends = (0..).zip(self.names.iter().map(|name| TableBackend { name, weight: 1 }));
        BaseTable::build_of(backends.filter(|(index, _)| is_in(usize::from(*index))), &self.hasher, self.slots)
    }

    /// What happens when `changed` backends fail, return, or are added to the others, over several choices of them.
    fn change(&self, base: &BaseTable, changed: u16, samples: u32) -> Result<Vec<EventReport>, BuildError> {
        let mut found = Event::ALL.map(|event| (event, Vec::new()));
        for sample in 0..samples {
            let is_changed = self.choice(changed, sample);
            let stays: Vec<bool> = is_changed.iter().map(|changed| !changed).collect();
            let all = base.table();
            let (without, rebuilt) = (base.with_eligible(&stays), self.base(|index| stays[index])?);
            let moved = |from: &Table, to: &Table| moved(from, to, &is_changed);
            for (event, moves) in &mut found {
                moves.push(match event {
                    Event::Failed => [moved(all, &without), moved(all, rebuilt.table())],
                    Event::Returned => {
                        [moved(&without, &base.with_eligible(&vec![true; stays.len()])), moved(rebuilt.table(), all)]
                    }
                    // A new backend makes another set of configured ones, and the table is a function of it.
                    Event::Added => [moved(rebuilt.table(), all); 2],
                });
            }
        }
        let percent = |slots: u32| f64::from(slots) * 100.0 / f64::from(self.slots);
        let spread =
            |moves: &[[Moved; 2]], of: fn(&[Moved; 2]) -> u32| Spread::of(moves.iter().map(|it| percent(of(it))));
        let report = |(event, moves): &(Event, Vec<[Moved; 2]>)| EventReport {
            event: *event,
            changed,
            needed_percent: spread(moves, |[ours, _]| ours.needed),
            excess_percent: spread(moves, |[ours, _]| ours.excess),
            rebuilt_excess_percent: spread(moves, |[_, rebuilt]| rebuilt.excess),
        };
        Ok(found.iter().map(report).collect())
    }

    /// Which backends change, chosen by the hash of the sample and the name.
    fn choice(&self, changed: u16, sample: u32) -> Vec<bool> {
        let rank = |name: &String| self.hasher.digest(Domain::BackendName, format!("{sample} {name}").as_bytes());
        let mut order: Vec<usize> = (0..self.names.len()).collect();
        order.sort_by_cached_key(|&index| rank(&self.names[index]));
        let mut chosen = vec![false; order.len()];
        order.iter().take(usize::from(changed)).for_each(|&index| chosen[index] = true);
        chosen
    }
}

/// Slots that changed their backend.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Moved {
    /// From or to a backend that came or went.
    needed: u32,
    /// From one backend that stays to another.
    excess: u32,
}

fn moved(from: &Table, to: &Table, is_changed: &[bool]) -> Moved {
    let pairs = from.slots().iter().zip(to.slots()).filter(|(from, to)| from != to);
    let mut found = Moved { needed: 0, excess: 0 };
    for (from, to) in pairs {
        if is_changed[from.index()] || is_changed[to.index()] {
            found.needed += 1;
        } else {
            found.excess += 1;
        }
    }
    found
}
