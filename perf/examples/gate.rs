//! Compares counted instructions with the baseline, or makes them the baseline: `scripts/instructions` runs it.
//!
//! ```text
//! gate check BASELINE COUNTS RUSTC
//! gate write BASELINE COUNTS RUSTC REASON
//! ```
//!
//! COUNTS is a file with a case and its count on each line, RUSTC what `rustc --version` says. Ends with 1 if a count
//! is too high, with 2 if it cannot tell.

use guideway_perf::gate::{Baseline, read_counts};
use std::error::Error;
use std::process::ExitCode;
use std::{env, fs, io};

/// What stands at the top of a baseline.
const HEADER: &str = "\
# Instructions per packet of the worker, without source and sink: what `scripts/instructions --check` compares with.
# Do not edit: scripts/instructions --write \"REASON\" counts anew and adds the reason below.

";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments[..] {
        ["check", baseline, counts, rustc] => check(baseline, counts, rustc),
        ["write", baseline, counts, rustc, reason] => write(baseline, counts, rustc, reason).map(|()| true),
        _ => Err("usage: gate check BASELINE COUNTS RUSTC | gate write BASELINE COUNTS RUSTC REASON".into()),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("instructions: {error}");
            ExitCode::from(2)
        }
    }
}

/// Whether nothing rose too far.
fn check(baseline: &str, counts: &str, rustc: &str) -> Result<bool, Box<dyn Error>> {
    let judgement = read_baseline(baseline)?.judge(&read_counts(&read(counts)?)?, rustc);
    for note in &judgement.notes {
        println!("note: {note}");
    }
    for failure in &judgement.failures {
        println!("FAILED: {failure}");
    }
    if judgement.failures.is_empty() {
        println!("no count is above its baseline in {baseline} by more than it may be");
    }
    Ok(judgement.failures.is_empty())
}

fn write(path: &str, counts: &str, rustc: &str, reason: &str) -> Result<(), Box<dyn Error>> {
    let before = if fs::exists(path)? { read_baseline(path)? } else { Baseline::default() };
    let after = before.changed(read_counts(&read(counts)?)?, rustc, reason)?;
    fs::write(path, format!("{HEADER}{}", toml::to_string(&after)?)).map_err(|error| format!("{path}: {error}"))?;
    println!("{path} is written; commit it with the change that it belongs to");
    Ok(())
}

fn read_baseline(path: &str) -> Result<Baseline, Box<dyn Error>> {
    Ok(toml::from_str(&read(path)?).map_err(|error| format!("{path}: {error}"))?)
}

fn read(path: &str) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error: io::Error| format!("{path}: {error}"))
}
