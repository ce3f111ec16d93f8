//! The benchmark of scrapes on a small balancer: that it runs, and says what can be true. No figure is judged.

use guideway_perf::clock::Monotonic;
use guideway_perf::record::Results;
use guideway_perf::scrape::report::Report;
use guideway_perf::scrape::run::run;
use guideway_perf::scrape::{Enter, Kind, Options, Thread};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const OPTIONS: Options = Options {
    vips: 10,
    backends_each: 10,
    round: Duration::from_millis(200),
    rounds: 2,
    period: Duration::from_millis(50),
    control_core: 0,
    worker_core: 0,
    client_core: 0,
};

#[test]
fn scrapes_of_a_small_balancer_are_timed_and_counted() {
    let entered = Arc::new(Mutex::new(Vec::new()));
    let by_threads = Arc::clone(&entered);
    let enter: Enter = Arc::new(move |thread| by_threads.lock().expect("no panic").push(thread));
    let mut done = Vec::new();
    let report = run(&OPTIONS, &Monotonic::default(), &enter, |rounds| done.push(rounds)).expect("a report");
    assert_eq!(done, (1..=6).collect::<Vec<_>>());
    for thread in [Thread::Worker, Thread::Rt, Thread::Bg, Thread::Checks, Thread::Client] {
        assert_eq!(entered.lock().expect("no panic").iter().filter(|it| **it == thread).count(), 1, "{thread:?}");
    }
    assert_eq!(report.phases.iter().map(|phase| phase.kind).collect::<Vec<_>>(), Kind::ALL);
    for phase in &report.phases {
        assert_eq!(phase.rounds.len(), 2);
        assert!(phase.rounds.iter().all(|round| round.cost > 0.0 && round.control_percent > 0.0), "{phase:?}");
        assert!(phase.times.samples > 0 || phase.kind == Kind::Quiet, "{phase:?}");
    }
    series_are_those_of_the_configuration(&report);
    assert_eq!(Results::Scrape(report).present().metrics().len(), 8);
}

fn series_are_those_of_the_configuration(report: &Report) {
    let [quiet, all, none] = &report.phases[..] else { panic!("three kinds") };
    assert_eq!((quiet.times.samples, quiet.bytes, quiet.series), (0, 0, 0));
    assert!(none.series > u64::from(report.vips) && none.bytes > 0, "{none:?}");
    // Eight series of state and traffic, and a probe's three results.
    let of_backends = all.series - none.series;
    assert_eq!(of_backends, u64::from(report.backends) * 11, "{all:?} {none:?}");
    assert!(all.bytes > none.bytes);
}
