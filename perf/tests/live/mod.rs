//! What the tests of live sources have in common. DPDK starts once a process, so each source has a file of its own.
#![allow(dead_code, reason = "not every one of them uses all")]

use guideway_dataplane::parse::Family;
use guideway_dpdk::Tsc;
use guideway_perf::cycles::{Error, Options, run};
use guideway_perf::device::Device;
use guideway_perf::report::{CaseReport, Report};
use guideway_perf::scenario::{Case, Load, Treatment};
use std::time::Duration;

/// A case of few flows and backends.
pub fn case(treatment: Treatment, load: Load) -> Case {
    Case { treatment, load, flows: 100, backends: 3, table_size: 4_099, ..Case::default() }
}

/// Each kind of what a worker does with packets, among them the longest.
pub fn cases() -> Vec<Case> {
    vec![
        case(Treatment::MacSwap, Load::Tcp),
        case(Treatment::Ipip, Load::Tcp),
        case(Treatment::L2dsr, Load::Udp),
        case(Treatment::L2dsr, Load::NoVip),
        Case { frame_len: 8_996, family: Family::V6, ..case(Treatment::Gue, Load::Tcp) },
    ]
}

/// The first core for the worker and the last one for a generator; `None` if they are the same.
pub fn cores() -> Option<(usize, usize)> {
    let cores: Vec<usize> = core_affinity::get_core_ids()?.iter().map(|core| core.id).collect();
    let (worker, generator) = (*cores.first()?, *cores.last()?);
    (worker != generator).then_some((worker, generator))
}

/// Measures with time enough for a generator whose core other tests use too.
pub fn measured(device: &mut impl Device, core: usize, cases: &[Case]) -> Result<Report, Error> {
    let options = Options { time: Duration::from_millis(400), lead: 0, core, repeats: 0 };
    run(device, &Tsc::calibrate(), &options, cases, |_| ())
}

/// Figures can be true, and polls that count have at least `least` packets.
pub fn assert_sane(report: &Report, cases: &[Case], least: f64) {
    assert_eq!(report.cases.len(), cases.len());
    for case in &report.cases {
        let CaseReport { packets, packets_per_poll, starved_percent, .. } = *case;
        assert!(packets > 0 && case.in_all.min > 0.0 && case.baseline.min > 0.0, "{case:?}");
        assert!((least..=64.0).contains(&packets_per_poll), "{case:?}");
        assert!((0.0..100.0).contains(&starved_percent), "{case:?}");
    }
}
