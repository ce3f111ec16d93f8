//! The benchmark runs and says what can be true. No figure is judged.

use guideway_dataplane::parse::Family;
use guideway_perf::clock::{Clock, Monotonic};
use guideway_perf::cycles::{Options, run};
use guideway_perf::device::Device;
use guideway_perf::memory::MemoryDevice;
use guideway_perf::present::Present as _;
use guideway_perf::scenario::{Case, Treatment};
use serde_json::Value;
use std::time::Duration;

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for treatment in [Treatment::MacSwap, Treatment::L2dsr, Treatment::Ipip] {
        for family in [Family::V4, Family::V6] {
            cases.push(Case { treatment, family, flows: 100, backends: 3, ..Case::default() });
        }
    }
    cases
}

fn figures(device: &mut impl Device, clock: &impl Clock, lead: usize) -> Value {
    let options = Options { time: Duration::from_millis(40), lead, core: 0, repeats: 0 };
    let mut names = Vec::new();
    let report = run(device, clock, &options, &cases(), |case| names.push(case.name.clone())).expect("a report");
    assert_eq!(names, report.cases.iter().map(|case| case.name.clone()).collect::<Vec<_>>());
    let table = report.tables().remove(0);
    assert_eq!(names, table.rows.iter().map(|row| row[0].clone()).collect::<Vec<_>>());
    serde_json::to_value(&report).expect("JSON")
}

fn assert_sane(report: &Value, unit: &str) {
    assert_eq!(report["unit"], unit);
    assert!(report["hz"].as_u64().is_some_and(|hz| hz > 0), "{report}");
    let cases = report["cases"].as_array().expect("cases");
    assert_eq!(cases.len(), 6);
    for case in cases {
        let number = |pointer: &str| case.pointer(pointer).and_then(Value::as_f64).expect("a number");
        for positive in ["/mpps", "/baseline_mpps", "/wall_mpps", "/packets", "/baseline/min", "/in_all/min"] {
            assert!(number(positive) > 0.0, "{positive} of {case}");
        }
        for spread in ["baseline", "in_all", "net"] {
            let [min, median, max] = ["min", "median", "max"].map(|value| number(&format!("/{spread}/{value}")));
            assert!(min <= median && median <= max, "{spread} of {case}");
        }
        assert!((0.0..=100.0).contains(&number("/lost_percent")), "{case}");
        assert!(number("/windows") >= 7.0 && number("/frame_bytes") >= 60.0, "{case}");
    }
}

#[test]
fn in_memory() {
    for lead in [0, 1_024] {
        assert_sane(&figures(&mut MemoryDevice, &Monotonic::default(), lead), "ns");
    }
}

#[cfg(feature = "dpdk")]
#[test]
fn on_the_null_device() {
    let mut device = guideway_perf::dpdk::NullDevice::start(0, 4_095, 60).expect("DPDK");
    let clock = guideway_dpdk::Tsc::calibrate();
    assert_sane(&figures(&mut device, &clock, 1_024), "cycles");
}
