//! `bench cycles` with each source of packets: that it runs, what it prints, and how it refuses. No figure is judged.

use guideway_perf::record::{Record, Results};
use guideway_perf::report::Report;
use std::process::{Command, Output};

fn cycles(line: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_guideway"));
    command.args(["bench", "cycles"]).args(line.split_whitespace()).output().expect("the program")
}

/// What a short run printed and wrote.
fn report(line: &str) -> Report {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let path = file.path().to_str().expect("a path");
    let output = cycles(&format!("{line} --flows 1000 --backends 3 --family 4 --seconds 0.3 --json --out {path}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && errors.is_empty(), "{line}: {errors}");
    let printed = String::from_utf8(output.stdout).expect("text");
    assert_eq!(printed, std::fs::read_to_string(path).expect("the file"));
    let record: Record = serde_json::from_str(&printed).expect("a record");
    match record.results {
        Results::Cycles(report) => report,
        other => panic!("{line}: {other:?}"),
    }
}

/// Sources that need a core for a generator are left out where there is none.
fn sources() -> Vec<&'static str> {
    let two_cores = core_affinity::get_core_ids().is_some_and(|cores| cores.len() >= 2);
    let here = ["template", "memory", "pcap"];
    here.into_iter().chain(["ring", "memif"].into_iter().filter(|_| two_cores)).collect()
}

#[test]
fn every_source_leaves_a_record() {
    for source in sources() {
        let report = report(&format!("--source {source} --mode l2dsr,gue --load tcp,udp,no-vip"));
        assert_eq!(report.cases.len(), 6, "{source}");
        for case in &report.cases {
            let counted = case.packets > 0 && (case.packets_per_poll - 64.0).abs() < 1e-9;
            assert!(counted && (case.expected_percent - 100.0).abs() < 1e-9, "{source}: {case:?}");
        }
    }
}

#[test]
fn the_table_names_each_case_by_all_its_numbers() {
    let output = cycles(
        "--source memory --seconds 0.02 --mode l2dsr --family 6 --vips 2 --pools 1,2 --backends 3 --spreading zipf \
         --slots transition --affinity --table-size 4099 --frame-size 128 --flows 77",
    );
    let text = String::from_utf8(output.stdout).expect("text");
    for pools in ["1", "2"] {
        let row = ["l2dsr IPv6 T affinity Zipf", "77", "2", pools, "3", "4099", "124"];
        let found = text.lines().any(|line| {
            let cells: Vec<&str> = line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect();
            cells.starts_with(&row)
        });
        assert!(found, "{pools} pools in\n{text}");
    }
}

#[test]
fn bad_usage_says_what_and_ends_with_two() {
    for (line, text) in [
        ("--core 100000", "core 100000"),
        ("--source ring --generator-core 100000", "core 100000"),
        ("--source memif --core 0 --generator-core 0", "a core each"),
        ("--source port", "--device"),
        ("--device net_null0", "--source port"),
        ("--source memory --frame-size 9000", "frames of 2052 bytes"),
        ("--source pcap --load syn-flood", "at most 1000000 flows"),
        ("--frame-size 9001", "64..=9000"),
    ] {
        let output = cycles(line);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && errors.contains(text), "{line}: {:?} {errors}", output.status);
    }
}

#[test]
fn a_port_without_packets_for_the_case_is_an_error_that_says_where_to_send_them() {
    for (device, text) in [
        ("net_null0", "send them to 198.18.0.0:80, protocol 6"),
        ("net_null0,no-rx=1", "send packets to the port while the benchmark runs"),
        ("net_af_packet0,iface=gw-nowhere", "gw-nowhere"),
    ] {
        let output = cycles(&format!("--source port --device {device} --mode l2dsr --family 4 --seconds 0.1"));
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(1) && errors.contains(text), "{device}: {:?} {errors}", output.status);
    }
}
