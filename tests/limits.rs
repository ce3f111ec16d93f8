//! The benchmarks under load over rings of DPDK: that they run, what they print, and how they refuse.

use guideway_perf::record::{Record, Results};
use std::process::{Command, Output};

fn bench(line: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_guideway"));
    command.arg("bench").args(line.split_whitespace()).output().expect("the program")
}

/// The record that a short run prints and writes.
fn record(line: &str) -> Record {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let path = file.path().to_str().expect("a path");
    let output = bench(&format!("{line} --json --out {path} --flows 100 --backends 3 --retries 1"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line}: {errors}");
    let printed = String::from_utf8(output.stdout).expect("text");
    assert_eq!(printed, std::fs::read_to_string(path).expect("the file"));
    serde_json::from_str(&printed).expect("a record")
}

fn has_two_cores() -> bool {
    core_affinity::get_core_ids().is_some_and(|cores| cores.len() >= 2)
}

#[test]
fn short_runs_over_rings_leave_records() {
    if !has_two_cores() {
        return;
    }
    let search = "--seconds 0.02 --first-seconds 0.01 --trials 1 --width 0.2 --max-rate 100000";
    let found = record(&format!("ndr {search} --latency-seconds 0.02 --mode gue --family 6 --frame-size 64,9000"));
    let Results::Ndr(report) = &found.results else { panic!("{found:?}") };
    assert_eq!(report.cases.len(), 2);
    assert!(report.cases.iter().all(|case| case.latencies.iter().all(|report| report.offered > 0)), "{report:?}");

    let found = record("reconfig --rate 5000 --pushes 6 --period 2 --pools 1,30");
    let Results::Reconfig(report) = &found.results else { panic!("{found:?}") };
    assert!(report.cases.iter().all(|case| case.visible.samples > 0), "{report:?}");

    let found = record(&format!("scale --workers 1,2 {search}"));
    let Results::Scale(report) = &found.results else { panic!("{found:?}") };
    assert_eq!(report.rows.iter().map(|row| row.workers).collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn bad_usage_says_what_and_ends_with_two() {
    for (line, text) in [
        ("ndr --generator-core 100000", "core 100000"),
        ("ndr --generator-core 0 --worker-core 0", "a core each"),
        ("ndr --min-rate 9 --max-rate 8", "--max-rate"),
        ("ndr --frame-size 63", "64 to 9018"),
        ("ndr --dut external", "--generator-port"),
        ("reconfig --pools 1000 --backends 1000", "--backends 30"),
        ("scale --mode l2dsr,ipip", "one case at a time"),
        ("scrape --vips 3 --backends 10", "a multiple of 3"),
    ] {
        let output = bench(line);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && errors.contains(text), "{line}: {:?} {errors}", output.status);
    }
}
