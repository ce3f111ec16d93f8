//! The benchmark of tables: its figures against what is known about them.

use guideway_perf::clock::Monotonic;
use guideway_perf::maglev::report::{Event, EventReport, Report};
use guideway_perf::maglev::{Options, run};
use guideway_perf::present::Present;
use std::time::Duration;

fn measure(slots: &[u32], backends: &[u16]) -> Report {
    let options =
        Options { slots: slots.into(), backends: backends.into(), time: Duration::from_millis(1), samples: 3 };
    run(&Monotonic::default(), &options, |_| ()).expect("primes")
}

#[test]
fn shares_are_even_and_times_are_positive() {
    let report = measure(&[257, 65_537], &[2, 100]);
    let sizes: Vec<_> = report.cases.iter().map(|case| (case.slots, case.backends)).collect();
    assert_eq!(sizes, [(257, 2), (257, 100), (65_537, 2), (65_537, 100)]);
    for case in &report.cases {
        assert!(case.build_ms.min > 0.0 && case.one_down_ms.min > 0.0, "{case:?}");
        // Turns are equal, so shares differ by one slot.
        let mean = f64::from(case.slots) / f64::from(case.backends);
        assert!((case.balance.largest - mean.ceil() / mean).abs() < 1e-9, "{case:?}");
        assert!((case.balance.smallest - mean.floor() / mean).abs() < 1e-9, "{case:?}");
    }
}

#[test]
fn a_failure_moves_nothing_beyond_its_own_slots_and_a_rebuild_does() {
    let report = measure(&[65_537], &[100]);
    let events = &report.cases[0].events;
    let of = |event: Event| events.iter().filter(move |it| it.event == event).collect::<Vec<&EventReport>>();
    assert_eq!(of(Event::Failed).iter().map(|it| it.changed).collect::<Vec<_>>(), [1, 5, 10, 50]);
    for it in of(Event::Failed).into_iter().chain(of(Event::Returned)) {
        assert_eq!(it.excess_percent.max, 0.0, "{it:?}");
        assert!(it.rebuilt_excess_percent.min > 0.0, "{it:?}");
        // Their own slots: as many percent as there are backends that change, within rounding.
        assert!((it.needed_percent.median - f64::from(it.changed)).abs() < 0.1, "{it:?}");
    }
    for it in of(Event::Added) {
        assert_eq!(it.excess_percent, it.rebuilt_excess_percent);
        assert!(it.excess_percent.min > 0.0, "{it:?}");
    }
}

#[test]
fn one_of_two_backends_takes_everything_or_nothing() {
    let report = measure(&[13], &[2]);
    for event in &report.cases[0].events {
        assert_eq!((event.changed, event.excess_percent.max, event.rebuilt_excess_percent.max), (1, 0.0, 0.0));
    }
}

#[test]
fn a_size_that_is_no_prime_is_an_error() {
    let options = Options { slots: vec![65_536], backends: vec![2], time: Duration::ZERO, samples: 1 };
    let error = run(&Monotonic::default(), &options, |_| ()).expect_err("no prime");
    assert!(error.to_string().contains("65536"));
}

#[test]
fn every_table_and_change_is_presented() {
    let report = measure(&[257], &[3, 10]);
    let tables = report.tables();
    assert_eq!(tables[0].rows.len(), 2);
    assert_eq!(tables[1].rows.len(), report.cases.iter().map(|case| case.events.len()).sum::<usize>());
    assert!(tables.iter().all(|table| table.rows.iter().all(|row| row.len() == table.columns.len())));
    let mut keys: Vec<_> = report.metrics().into_iter().map(|metric| metric.key).collect();
    let count = keys.len();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), count, "a key names one figure");
    assert!(tables.iter().flat_map(|table| table.rows.iter().flatten()).any(|cell| cell.contains("257")));
}
