//! Whether a figure changed: with noise that is made here, so that the truth is known.

use guideway_perf::machine::Machine;
use guideway_perf::maglev::report::{BalanceReport, CaseReport, Report};
use guideway_perf::present::Better;
use guideway_perf::record::{Record, Results, Start};
use guideway_perf::show::compare::{Comparison, Verdict};
use guideway_perf::window::Spread;

/// Runs of each simulation.
const RUNS: u32 = 4_000;
/// Windows of a run: the fewest that `bench cycles` takes.
const WINDOWS: usize = 7;

/// Numbers that look random (SplitMix64), from 0 to 1.
struct Random(u64);

impl Random {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ mixed >> 31) as f64 / 2_f64.powi(64)
    }

    /// Near 0, with a standard deviation of 1.
    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.next()).sum::<f64>() - 6.0
    }
}

/// What a window costs beyond the truth, as a share of it.
type Noise = fn(&mut Random) -> f64;

/// Frequency, caches, rounding.
const QUIET: Noise = |random| 0.01 * random.normal();
const LOUD: Noise = |random| 0.08 * random.normal();
/// Noise that only adds, with a long tail, as interrupts and neighbours make it.
const SKEWED: Noise = |random| -0.05 * random.next().max(1e-9).ln();
/// One window of seven is spoiled.
const SPOILED: Noise =
    |random| 0.01 * random.normal() + if random.next() < 1.0 / 7.0 { 0.5 * random.next() } else { 0.0 };

/// The share of runs with this verdict if the truth changes by a factor.
fn share(noise: Noise, factor: f64, verdict: Verdict) -> f64 {
    let mut random = Random(1);
    let mut run = |truth: f64| Spread::of((0..WINDOWS).map(|_| truth * (1.0 + noise(&mut random))));
    let hits = (0..RUNS).filter(|_| Verdict::of(&run(100.0), &run(100.0 * factor), Better::Lower) == verdict);
    hits.count() as f64 / f64::from(RUNS)
}

#[test]
fn noise_alone_is_rarely_called_a_change() {
    for noise in [QUIET, LOUD, SKEWED, SPOILED] {
        let called = share(noise, 1.0, Verdict::Worse) + share(noise, 1.0, Verdict::Better);
        // 1.2 % at most, whatever the noise, and the 3 % below which nothing counts take some of it away.
        assert!(called < 0.02, "{called}");
    }
    assert_eq!(share(QUIET, 1.0, Verdict::Worse), 0.0);
}

#[test]
fn changes_are_found_where_noise_lets_them() {
    assert!(share(QUIET, 1.05, Verdict::Worse) > 0.95);
    assert!(share(QUIET, 1.10, Verdict::Worse) > 0.99);
    assert!(share(QUIET, 0.90, Verdict::Better) > 0.99);
    assert!(share(LOUD, 1.50, Verdict::Worse) > 0.95);
    assert!(share(SKEWED, 1.30, Verdict::Worse) > 0.8);
    // Half a run's windows may be spoiled before the median is; its range is spoiled by one.
    let spoiled = [Verdict::Worse, Verdict::Unclear].map(|verdict| share(SPOILED, 1.10, verdict));
    assert!(spoiled[0] > 0.3 && spoiled[0] + spoiled[1] > 0.95, "{spoiled:?}");
}

#[test]
fn a_change_is_never_called_its_opposite() {
    for noise in [QUIET, LOUD, SKEWED, SPOILED] {
        assert!(share(noise, 1.2, Verdict::Better) < 0.001);
    }
}

fn spread(median: f64, min: f64, max: f64) -> Spread {
    Spread { median, min, max }
}

fn exact(value: f64) -> Spread {
    spread(value, value, value)
}

#[test]
fn verdicts_at_the_edges() {
    let of = |a: Spread, b: Spread| Verdict::of(&a, &b, Better::Lower);
    assert_eq!(of(exact(100.0), exact(103.0)), Verdict::Same);
    assert_eq!(of(exact(100.0), exact(103.1)), Verdict::Worse);
    assert_eq!(of(exact(103.1), exact(100.0)), Verdict::Better);
    assert_eq!(Verdict::of(&exact(100.0), &exact(110.0), Better::Higher), Verdict::Better);
    assert_eq!(Verdict::of(&exact(110.0), &exact(100.0), Better::Higher), Verdict::Worse);
    // Ranges may overlap, medians may not lie in them.
    assert_eq!(of(spread(100.0, 98.0, 107.0), spread(110.0, 103.0, 120.0)), Verdict::Worse);
    assert_eq!(of(spread(100.0, 98.0, 111.0), spread(110.0, 103.0, 120.0)), Verdict::Unclear);
    assert_eq!(of(spread(100.0, 98.0, 107.0), spread(110.0, 99.0, 120.0)), Verdict::Unclear);
    assert_eq!(of(exact(0.0), exact(0.0)), Verdict::Same);
    assert_eq!(of(exact(0.0), exact(0.001)), Verdict::Worse);
    assert_eq!(of(exact(-1.0), exact(1.0)), Verdict::Worse);
    assert_eq!(of(exact(-100.0), exact(-101.0)), Verdict::Same);
    assert_eq!(of(exact(-100.0), exact(-110.0)), Verdict::Better);
}

/// A record of tables whose numbers of slots name them, with these times to build.
fn record(samples: u32, builds: &[(u32, Spread)]) -> Record {
    let case = |&(slots, build_ms): &(u32, Spread)| CaseReport {
        slots,
        backends: 10,
        build_ms,
        one_down_ms: exact(1.0),
        balance: BalanceReport { largest: 1.0, smallest: 1.0 },
        events: vec![],
    };
    let machine = Machine { processor: "a".to_owned(), hugepages: vec![(2_048, 7, 8)], ..Machine::default() };
    let report = Report { samples, cases: builds.iter().map(case).collect() };
    Record::new(Results::Maglev(report), machine, Start::now())
}

/// What became of the times to build a table of so many slots.
fn builds(comparison: &Comparison, slots: u32) -> Vec<Verdict> {
    let key = format!("{slots} slots, 10 backends: build");
    comparison.changes.iter().filter(|change| change.key == key).map(|change| change.verdict).collect()
}

#[test]
fn figures_meet_by_name_and_the_others_are_named() {
    let a = record(1, &[(11, exact(1.0)), (13, exact(1.0)), (13, exact(2.0)), (17, exact(5.0))]);
    let b = record(1, &[(17, exact(5.0)), (13, exact(1.0)), (13, exact(3.0)), (19, exact(1.0))]);
    let comparison = Comparison::of(&a, &b);
    assert_eq!(builds(&comparison, 17), [Verdict::Same]);
    assert_eq!(builds(&comparison, 13), [Verdict::Same, Verdict::Worse]);
    for (only, slots) in [(&comparison.only_a, "11 slots"), (&comparison.only_b, "19 slots")] {
        assert!(only.len() == 3 && only.iter().all(|key| key.starts_with(slots)), "{only:?}");
    }
    assert!(comparison.warnings.is_empty(), "{:?}", comparison.warnings);
    for text in [comparison.to_string(), comparison.markdown()] {
        for word in ["11 slots", "19 slots", "1.500", "WORSE", "revision"] {
            assert!(text.contains(word), "{word} in\n{text}");
        }
    }
}

#[test]
fn conditions_that_differ_are_named() {
    let (a, mut b) = (record(5, &[(13, exact(1.0))]), record(6, &[(13, exact(1.0))]));
    b.machine.governor = Some("powersave".to_owned());
    b.machine.hugepages = vec![(2_048, 1, 8)];
    let warnings = Comparison::of(&a, &b).warnings;
    assert_eq!(warnings[0], "frequency governor: A not the kernel's; B powersave");
    assert!(warnings[1].starts_with("only A: Disruption over 5 choices"), "{warnings:?}");
    assert!(warnings[2].starts_with("only B: Disruption over 6 choices"), "{warnings:?}");
    assert_eq!(warnings.len(), 3, "how many hugepages are free is no condition: {warnings:?}");
}

#[test]
fn regressions_count_from_the_percent_asked_for() {
    let a = record(1, &[(11, exact(100.0)), (13, exact(100.0)), (17, exact(100.0)), (19, exact(0.0))]);
    let b = record(1, &[(11, exact(104.0)), (13, exact(120.0)), (17, exact(50.0)), (19, exact(1.0))]);
    let comparison = Comparison::of(&a, &b);
    assert_eq!([0.0, 5.0, 25.0].map(|percent| comparison.regressions(percent).count()), [3, 2, 1]);
}
