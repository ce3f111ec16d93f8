//! The comparison with other programs, with shell scripts in their place: what it measures, and what it refuses.

use guideway_perf::peers::contender::{Contender, Programs};
use guideway_perf::peers::{Error, Options, run};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Answers each line with counters that grow: what it received, and what it sent.
const HONEST: &str = "n=0; while read -r line; do n=$((n + 1000)); echo \"$n $n\"; done";
/// Sends every second packet.
const LOSSY: &str = "n=0; while read -r line; do n=$((n + 1000)); echo \"$n $((n / 2))\"; done";
/// Never receives anything and gives up.
const BROKEN: &str = "echo 'no such device' >&2; exit 3";

/// One test at a time: a program cannot be started while a child of another test still has it open for writing.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn program(directory: &Path, body: &str) -> PathBuf {
    let path = directory.join("program");
    fs::write(&path, format!("#!/bin/sh\n{body}\n")).expect("a script");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a program");
    path
}

fn options(directory: &Path, body: &str) -> Options {
    let program = program(directory, body);
    Options {
        contenders: vec![Contender::GuidewayL2dsr, Contender::GuidewayIpip],
        flows: vec![10, 20],
        rounds: 2,
        windows: 3,
        window: Duration::from_millis(20),
        core: 0,
        spare_core: 0,
        hz: 1_000_000_000,
        hugepages: false,
        programs: Programs { testpmd: program.clone(), l3fwd: program.clone(), guideway: program },
        directory: directory.to_owned(),
    }
}

#[test]
fn contenders_take_turns_and_every_window_counts() {
    let _alone = alone();
    let directory = tempfile::tempdir().expect("a directory");
    let mut turns = Vec::new();
    let report = run(&options(directory.path(), HONEST), |line| turns.push(line.to_owned())).expect("a report");
    let turn = |flows, round, name: &str| format!("{flows} flows, round {round} of 2: {name}");
    let expected: Vec<String> = [(10, 1), (10, 2), (20, 1), (20, 2)]
        .iter()
        .flat_map(|(flows, round)| ["guideway-l2dsr", "guideway-ipip"].map(|name| turn(*flows, *round, name)))
        .collect();
    assert_eq!(turns, expected);
    let cases: Vec<_> = report.cases.iter().map(|case| (case.name.as_str(), case.flows, case.packets)).collect();
    // One question before and one after each window: 1,000 packets, in two rounds of three windows.
    let each = |flows| [("guideway-l2dsr", flows, 6_000), ("guideway-ipip", flows, 6_000)];
    assert_eq!(cases, [each(10), each(20)].concat());
    // A script that waits for its input uses next to nothing of a core.
    assert!(report.cases.iter().all(|case| case.lost_percent > 20.0), "{report}");
}

#[test]
fn a_program_that_loses_packets_is_no_comparison() {
    let _alone = alone();
    let directory = tempfile::tempdir().expect("a directory");
    let error = run(&options(directory.path(), LOSSY), |_| ()).expect_err("no report");
    assert!(matches!(error, Error::Program { name: "guideway-l2dsr", flows: 10, .. }), "{error}");
    assert!(error.to_string().contains("received 1000 packets, forwarded 500, returned 0"), "{error}");
}

#[test]
fn a_program_that_ends_is_quoted() {
    let _alone = alone();
    let directory = tempfile::tempdir().expect("a directory");
    let error = run(&options(directory.path(), BROKEN), |_| ()).expect_err("no report").to_string();
    assert!(error.contains("it ended (exit status: 3)") && error.ends_with("no such device"), "{error}");
}

#[test]
fn a_program_that_is_not_there_is_named() {
    let _alone = alone();
    let directory = tempfile::tempdir().expect("a directory");
    let mut options = options(directory.path(), HONEST);
    options.programs.guideway = directory.path().join("nowhere");
    let error = run(&options, |_| ()).expect_err("no report").to_string();
    assert!(error.contains("starting ") && error.contains("nowhere"), "{error}");
}
