//! Whether a figure changed: with noise that is made here, so that the truth is known.

use guideway_perf::clock::Unit;
use guideway_perf::machine::Machine;
use guideway_perf::present::Better;
use guideway_perf::record::{Record, Results, Start};
use guideway_perf::report::{CaseReport, Report};
use guideway_perf::scenario::{Load, Slots, Treatment};
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

fn record(device: &str, cases: &[(&str, Spread)]) -> Record {
    let case = |&(name, net): &(&str, Spread)| CaseReport {
        treatment: Treatment::L2dsr,
        ip_version: 4,
        load: Load::Tcp,
        slots: Slots::Steady,
        affinity: false,
        vips: 1,
        pools: 1,
        zipf: false,
        table_size: 65_537,
        name: name.to_owned(),
        flows: 1,
        backends: 1,
        frame_bytes: 60,
        windows: 7,
        packets: 1,
        baseline: exact(1.0),
        in_all: net,
        net,
        mpps: 1.0,
        baseline_mpps: 1.0,
        wall_mpps: 1.0,
        lost_percent: 0.0,
    };
    let report = Report {
        version: String::new(),
        device: device.to_owned(),
        processor: String::new(),
        virtual_machine: false,
        core: 0,
        unit: Unit::Cycles,
        hz: 1,
        lead: 0,
        steal_percent: None,
        cases: cases.iter().map(case).collect(),
    };
    let machine = Machine { processor: "a".to_owned(), hugepages: vec![(2_048, 7, 8)], ..Machine::default() };
    Record::new(Results::Cycles(report), machine, Start::now())
}

/// The figures of [`record`] that every benchmark of cycles has: cases are found by how their keys begin.
fn of_case<'a>(comparison: &'a Comparison, name: &str) -> Vec<&'a guideway_perf::show::compare::Change> {
    comparison.changes.iter().filter(|change| change.key.starts_with(name)).collect()
}

#[test]
fn figures_meet_by_name_and_the_others_are_named() {
    let a =
        record("memory", &[("gone", exact(1.0)), ("twice", exact(1.0)), ("twice", exact(2.0)), ("same", exact(5.0))]);
    let b =
        record("memory", &[("same", exact(5.0)), ("twice", exact(1.0)), ("twice", exact(3.0)), ("new", exact(1.0))]);
    let comparison = Comparison::of(&a, &b);
    let verdicts = |name| of_case(&comparison, name).iter().map(|change| change.verdict).collect::<Vec<_>>();
    assert_eq!((verdicts("same"), verdicts("twice")), (vec![Verdict::Same], vec![Verdict::Same, Verdict::Worse]));
    assert!(comparison.only_a.iter().all(|key| key.starts_with("gone")) && comparison.only_a.len() == 1);
    assert!(comparison.only_b.iter().all(|key| key.starts_with("new")) && comparison.only_b.len() == 1);
    assert!(comparison.warnings.is_empty(), "{:?}", comparison.warnings);
    for text in [comparison.to_string(), comparison.markdown()] {
        for word in ["gone", "new", "1.500", "WORSE", "revision"] {
            assert!(text.contains(word), "{word} in\n{text}");
        }
    }
}

#[test]
fn conditions_that_differ_are_named() {
    let (a, mut b) = (record("memory", &[("x", exact(1.0))]), record("net_null", &[("x", exact(1.0))]));
    b.machine.governor = Some("powersave".to_owned());
    b.machine.hugepages = vec![(2_048, 1, 8)];
    let warnings = Comparison::of(&a, &b).warnings;
    assert_eq!(warnings[0], "frequency governor: A not the kernel's; B powersave");
    assert!(warnings[1].starts_with("only A: Device: memory") && warnings[2].starts_with("only B: Device: net_null"));
    assert_eq!(warnings.len(), 3, "how many hugepages are free is no condition: {warnings:?}");
}

#[test]
fn regressions_count_from_the_percent_asked_for() {
    let a = record(
        "memory",
        &[("less", exact(100.0)), ("more", exact(100.0)), ("better", exact(100.0)), ("zero", exact(0.0))],
    );
    let b = record(
        "memory",
        &[("less", exact(104.0)), ("more", exact(120.0)), ("better", exact(50.0)), ("zero", exact(1.0))],
    );
    let comparison = Comparison::of(&a, &b);
    assert_eq!([0.0, 5.0, 25.0].map(|percent| comparison.regressions(percent).count()), [3, 2, 1]);
}
